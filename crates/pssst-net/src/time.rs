//! Deadlines, and loops that turn.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A time from now, not so far away that the clock overflows.
pub(crate) fn after(time: Duration) -> Instant {
    Instant::now() + time.min(Duration::from_secs(86_400 * 365))
}

/// In nanoseconds, as counters have it.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// When a loop last began a turn, by which others see that it hangs or has ended.
#[derive(Debug)]
pub struct Turns {
    started: Instant,
    /// Nanoseconds from then to the beginning of the present turn.
    present: AtomicU64,
}

impl Turns {
    /// The first turn begins now.
    #[expect(clippy::new_without_default, reason = "what it is depends on when it is made")]
    pub fn new() -> Self {
        Self { started: Instant::now(), present: AtomicU64::new(0) }
    }

    /// The next turn begins now.
    pub fn turn(&self) {
        self.present.store(nanos(self.started.elapsed()), Ordering::Relaxed);
    }

    /// How long the present turn has lasted.
    pub fn present(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_nanos(self.present.load(Ordering::Relaxed)))
    }
}
