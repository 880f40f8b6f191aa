//! The view of a running service that metrics and health checks have.

use std::fmt;
use std::time::Duration;

use super::writer::MetricsWriter;
use crate::followed_file::FollowedFile;

/// A running service as its metrics and health checks see it, at any time and from any thread.
pub trait Monitored: Send + Sync + 'static {
    /// Writes its metrics.
    ///
    /// # Errors
    /// Those of the writer.
    fn metrics(&self, page: &mut MetricsWriter<'_>) -> fmt::Result;

    /// Returns why it should be restarted, a reason each.
    fn not_live(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns why nothing should be sent to it, a reason each.
    fn not_ready(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the files that it follows by itself, beside those of its reloads.
    fn files(&self) -> Vec<FollowedFile> {
        Vec::new()
    }

    /// Returns the number of refused packets for each cause since it started.
    fn refusals(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// An iteration older than this counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// Returns the reason for [`Monitored::not_live`] if the oldest event-loop iteration of a worker is
/// too old.
pub fn stuck(oldest_iteration: Duration) -> Vec<String> {
    let reason = || format!("a worker is stuck: its event-loop iteration has lasted {} s", oldest_iteration.as_secs());
    (oldest_iteration > STUCK_AFTER).then(reason).into_iter().collect()
}
