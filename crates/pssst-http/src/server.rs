//! A listener that serves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::stats::{Counters, HttpStats};

/// A listener that serves. Dropped, it stops at once; [`Server::shutdown`] lets requests in flight
/// end.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    pub(crate) counters: Arc<Counters>,
    /// Accepts no further connection or request.
    pub(crate) stop: CancellationToken,
    /// Ends everything.
    pub(crate) abort: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Server {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            counters: Arc::default(),
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Returns the address at which it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns what has happened so far.
    pub fn stats(&self) -> HttpStats {
        // The other task accepts.
        self.counters.snapshot(self.tasks.len().saturating_sub(1))
    }

    /// Accepts nothing more, lets requests in flight end for as long as `within`, and closes all
    /// connections.
    pub async fn shutdown(&self, within: Duration) {
        self.stop.cancel();
        if timeout(within, self.tasks.wait()).await.is_err() {
            self.abort.cancel();
            self.tasks.wait().await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.abort.cancel();
    }
}
