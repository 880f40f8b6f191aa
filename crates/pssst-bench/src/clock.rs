//! Time in nanoseconds since the load began, and timers.

use std::io;
use std::time::{Duration, Instant};

/// Nanoseconds since the load began.
pub(crate) type Nanos = u64;

/// Tells how long ago the load began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// The load begins now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Nanos {
        nanos(self.0.elapsed())
    }

    /// Returns the instant of a time of the load, for tokio's timers.
    pub(crate) fn instant(self, time: Nanos) -> tokio::time::Instant {
        (self.0 + Duration::from_nanos(time)).into()
    }
}

/// Returns a time as nanoseconds, at most [`Nanos::MAX`].
pub(crate) fn nanos(after: Duration) -> Nanos {
    u64::try_from(after.as_nanos()).unwrap_or(Nanos::MAX)
}

/// Waits for times more precisely than tokio, whose timers are a millisecond apart.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Clock,
    system: system_timer::SystemTimer,
    /// How long before the end waiting becomes spinning.
    spin: Nanos,
}

impl Timer {
    /// Returns a timer for times that are `period` seconds apart over all connections, or for
    /// such as may be met late.
    pub(crate) fn new(clock: Clock, period: Option<f64>) -> io::Result<Self> {
        Ok(Self { clock, system: system_timer::SystemTimer::new()?, spin: period.map_or(0, system_timer::spin) })
    }

    /// Waits until about a time, or a little less; the caller looks at the clock anyway. Lets
    /// others run in any case.
    pub(crate) async fn wait(&mut self, until: Nanos) {
        let left = until.saturating_sub(self.clock.now());
        if left <= self.spin {
            tokio::task::yield_now().await;
        } else {
            self.system.wait(self.clock, until - self.spin).await;
        }
    }
}

/// A timer of the kernel's, which is as precise as the processor's.
#[cfg(target_os = "linux")]
mod system_timer {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, RawFd};
    use std::time::Duration;

    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::{Clock, Nanos, nanos};

    /// Returns how long to spin before every moment: a processor that sleeps takes its time to wake
    /// up. A tenth of the time goes into it at most.
    pub(crate) fn spin(period: f64) -> Nanos {
        nanos(Duration::from_secs_f64(period / 10.0)).min(100_000)
    }

    #[derive(Debug)]
    pub(crate) struct SystemTimer {
        timer: AsyncFd<Raw>,
        /// The time of the next alarm, unless it has passed and was awaited.
        armed: Option<Nanos>,
    }

    /// `nix` gives a borrowed descriptor, tokio wants a raw one.
    #[derive(Debug)]
    struct Raw(TimerFd);

    impl AsRawFd for Raw {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_fd().as_raw_fd()
        }
    }

    impl SystemTimer {
        pub(crate) fn new() -> io::Result<Self> {
            let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
            let timer = Raw(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?);
            #[expect(deprecated, reason = "its successor is unsafe, for descriptors that change; this one does not")]
            let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
            Ok(Self { timer, armed: None })
        }

        /// Waits until a moment, or less: to be woken early costs less than a system call for every
        /// wait.
        pub(crate) async fn wait(&mut self, clock: Clock, until: Nanos) {
            if self.armed.is_none_or(|armed| armed > until) {
                // A time of zero would disarm it.
                let left = Duration::from_nanos(until.saturating_sub(clock.now()).max(1));
                let expiration = Expiration::OneShot(TimeSpec::from_duration(left));
                if self.timer.get_ref().0.set(expiration, TimerSetTimeFlags::empty()).is_err() {
                    return tokio::task::yield_now().await;
                }
                self.armed = Some(until);
            }
            let rung = self.timer.async_io(Interest::READABLE, |timer| Ok(timer.0.wait()?)).await;
            self.armed = None;
            if rung.is_err() {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system_timer {
    use std::io;

    use super::{Clock, Nanos};

    /// Returns how long to spin before every moment: tokio's timers may be more than a millisecond
    /// late.
    pub(crate) const fn spin(_period: f64) -> Nanos {
        2_000_000
    }

    #[derive(Debug)]
    pub(crate) struct SystemTimer;

    impl SystemTimer {
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self)
        }

        pub(crate) async fn wait(&mut self, clock: Clock, until: Nanos) {
            tokio::time::sleep_until(clock.instant(until)).await;
        }
    }
}
