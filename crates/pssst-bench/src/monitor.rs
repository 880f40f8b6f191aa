//! The progress that a load reports, and its early end.

use std::sync::atomic::{AtomicBool, Ordering};

/// Where a load reports its progress, and what ends it early.
#[derive(Clone, Copy, Debug)]
pub struct Monitor<'a> {
    /// Gets a line of progress about once a second.
    pub show: Option<fn(&str)>,
    /// Ends the load once it is true. What was measured until then counts.
    pub stop: &'a AtomicBool,
}

impl Monitor<'_> {
    pub(crate) fn show(&self, line: &str) {
        if let Some(show) = self.show {
            show(line);
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
