//! The signal to stop.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::time::after;

/// Shutdown signal, with the deadline for requests in flight. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    requested: CancellationToken,
    deadline: Arc<OnceLock<Instant>>,
}

impl Shutdown {
    /// Requests the shutdown: what is in flight may take this long. Only the first request counts.
    pub fn request(&self, within: Duration) {
        self.deadline.get_or_init(|| after(within));
        self.requested.cancel();
    }

    /// Waits for the request.
    pub async fn requested(&self) {
        self.requested.cancelled().await;
    }

    /// Returns the deadline; the present without a request.
    pub fn deadline(&self) -> Instant {
        self.deadline.get().copied().unwrap_or_else(Instant::now)
    }
}
