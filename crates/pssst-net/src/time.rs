//! Conversions of times.

use std::time::Duration;

use tokio::time::Instant;

/// Returns a time from now, not so far away that the clock overflows.
pub(crate) fn after(time: Duration) -> Instant {
    Instant::now() + time.min(Duration::from_secs(86_400 * 365))
}

/// In nanoseconds, as counters have it.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
