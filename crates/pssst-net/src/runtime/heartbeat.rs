//! Signs of life of an event loop.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::time::nanos;

/// Time between two iterations of an event loop that has nothing to do.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// Heartbeat of an event loop, read by a health check: shows that the loop hangs or has ended.
#[derive(Debug)]
pub struct Heartbeat {
    started: Instant,
    /// Nanoseconds from then to the beginning of the current iteration.
    last: AtomicU64,
}

impl Heartbeat {
    /// Starts with a first beat.
    #[expect(clippy::new_without_default, reason = "its value depends on when it is made")]
    pub fn new() -> Self {
        Self { started: Instant::now(), last: AtomicU64::new(0) }
    }

    /// Marks the beginning of an iteration.
    pub fn beat(&self) {
        self.last.store(nanos(self.started.elapsed()), Ordering::Relaxed);
    }

    /// Returns the time since the last beat. Well above [`HEARTBEAT_INTERVAL`]: the loop is blocked, or
    /// has ended.
    pub fn age(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_nanos(self.last.load(Ordering::Relaxed)))
    }
}
