//! The heartbeat of an event loop.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::time::nanos;

/// How often an idle event loop beats.
const INTERVAL: Duration = Duration::from_secs(1);

/// The heartbeat of an event loop, which a health check reads.
///
/// A loop beats at every iteration, and once a second when idle. A heartbeat that is much older
/// belongs to a loop that is blocked or has ended.
#[derive(Debug)]
pub struct Heartbeat {
    created: Instant,
    /// Nanoseconds from `created` to the last beat.
    last: AtomicU64,
}

impl Heartbeat {
    /// Returns a heartbeat that beats for the first time now.
    #[expect(clippy::new_without_default, reason = "its value depends on the time")]
    pub fn new() -> Self {
        Self { created: Instant::now(), last: AtomicU64::new(0) }
    }

    /// Beats.
    pub fn beat(&self) {
        self.last.store(nanos(self.created.elapsed()), Ordering::Relaxed);
    }

    /// Returns the time since the last beat.
    pub fn age(&self) -> Duration {
        self.created.elapsed().saturating_sub(Duration::from_nanos(self.last.load(Ordering::Relaxed)))
    }

    /// Returns a timer that wakes an idle loop for its next beat.
    pub fn timer() -> Interval {
        let mut timer = tokio::time::interval(INTERVAL);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        timer
    }
}
