//! Progress of a load while it runs, and how busy the generator is.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::time::Duration;

use pssst_support::grouped;
use tokio::time::sleep_until;

use crate::clock::{Clock, Nanos};
use crate::counters::Counters;
use crate::format::{microseconds, time};
use crate::monitor::Monitor;

/// Shows the progress once a second, and brings `end` forward if the load is to stop. Returns the
/// share of a core's time that this process took during the window, if the system reports it.
pub(crate) async fn watch(
    clock: Clock,
    window: Range<Nanos>,
    end: &Cell<Nanos>,
    counters: &RefCell<Counters>,
    monitor: Monitor<'_>,
) -> Option<f64> {
    let mut is_stopped = wait(clock, window.start, monitor).await;
    let (begin, used) = (clock.now(), processor_time());
    let mut before = (0, 0);
    for second in 1.. {
        let next = window.end.min(window.start + second * SECOND);
        is_stopped = is_stopped || wait(clock, next, monitor).await;
        if is_stopped || next == window.end {
            break;
        }
        show_progress(second, &mut before, &counters.borrow(), monitor);
    }
    let now = clock.now();
    if is_stopped && now < window.end {
        end.set(now);
        counters.borrow_mut().end_at(now);
    }
    monitor.show("");
    let spent = processor_time()?.saturating_sub(used?);
    Some(spent.as_secs_f64() / Duration::from_nanos((now - begin).max(1)).as_secs_f64())
}

const SECOND: Nanos = 1_000_000_000;
/// How often to see whether the load is to stop.
const INTERVAL: Nanos = SECOND / 20;

/// Waits until a time, or until the load is to stop: then it returns true.
async fn wait(clock: Clock, until: Nanos, monitor: Monitor<'_>) -> bool {
    loop {
        let now = clock.now();
        if monitor.is_stopped() || now >= until {
            return monitor.is_stopped();
        }
        sleep_until(clock.instant(until.min(now + INTERVAL))).await;
    }
}

/// Shows a line that is written over itself.
fn show_progress(second: Nanos, before: &mut (u64, u64), counters: &Counters, monitor: Monitor<'_>) {
    let p99 = time(microseconds(counters.latency.value_at_quantile(0.99)));
    monitor.show(&format!(
        "{second} s: {} requests/s, {} replies/s, {} lost, p99 {p99}",
        grouped(counters.requests - before.0),
        grouped(counters.replies - before.1),
        grouped(counters.lost),
    ));
    *before = (counters.requests, counters.replies);
}

#[cfg(unix)]
fn processor_time() -> Option<Duration> {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;

    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let microseconds = (usage.user_time() + usage.system_time()).num_microseconds();
    Some(Duration::from_micros(u64::try_from(microseconds).ok()?))
}

#[cfg(not(unix))]
fn processor_time() -> Option<Duration> {
    None
}
