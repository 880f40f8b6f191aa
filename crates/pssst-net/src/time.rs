//! Deadlines.

use std::time::Duration;

use tokio::time::Instant;

/// A time from now, not so far away that the clock overflows.
pub(crate) fn after(time: Duration) -> Instant {
    Instant::now() + time.min(Duration::from_secs(86_400 * 365))
}
