//! The paths that a request was sent on.

use std::io;
use std::mem;
use std::sync::Arc;

use tokio::sync::watch;

use super::path::Path;
use super::transaction::PathView;
use crate::error::copy_of;
use crate::udp;

/// The paths that a request was sent on. They stay open as long as it, for replies that come late.
pub(super) struct AttemptedPaths {
    last: Arc<Path>,
    /// Errors that the network reported on the last one since it was chosen.
    errors: watch::Receiver<Option<io::Error>>,
    earlier: Vec<Arc<Path>>,
}

impl AttemptedPaths {
    pub(super) fn new(path: Arc<Path>) -> Self {
        Self { errors: path.network_errors(), last: path, earlier: Vec::new() }
    }

    pub(super) const fn last(&self) -> &Arc<Path> {
        &self.last
    }

    /// Adds a path, as the last one.
    pub(super) fn push(&mut self, path: Arc<Path>) -> PathView {
        self.errors = path.network_errors();
        self.earlier.push(mem::replace(&mut self.last, path));
        self.last.view()
    }

    /// Waits for an error of the network on the last path. All requests on it get it, except that a
    /// report of packets that are too long matters only to longer ones than this path carries.
    pub(super) async fn network_error(&mut self, packet_len: usize) -> io::Error {
        loop {
            if self.errors.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let error = self.errors.borrow_and_update().as_ref().map(copy_of);
            if let Some(error) = error.filter(|error| !udp::is_too_large(error) || !self.last.carries(packet_len)) {
                return error;
            }
        }
    }

    /// Ignores a report of too long packets that nobody waited for: it is about an earlier packet
    /// than the one that is sent now.
    pub(super) fn forget_late_reports(&mut self) {
        let is_late = self.errors.borrow().as_ref().is_some_and(udp::is_too_large);
        if is_late {
            self.errors.mark_unchanged();
        }
    }
}
