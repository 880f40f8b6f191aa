//! What a load shows while it runs, and what ends it early.

use std::sync::atomic::{AtomicBool, Ordering};

/// What a load shows while it runs, and what ends it early.
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
