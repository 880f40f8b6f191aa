//! How well files are followed.

use std::time::{Duration, Instant};

/// Keeps what polls of followed files found, for metrics and health checks.
#[derive(Clone, Debug)]
pub struct WatchHealth {
    good_at: Instant,
    failures: u64,
    error: Option<String>,
}

/// How well a value follows its files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchStatus {
    /// The time since the files last had what the value was parsed from.
    pub age: Duration,
    /// How many polls have failed so far.
    pub failures: u64,
    /// The file that cannot be used, and the cause; `None` while all is well.
    pub error: Option<String>,
}

impl WatchStatus {
    /// Returns the status of a value that follows its files by other means.
    pub const fn new(age: Duration, failures: u64, error: Option<String>) -> Self {
        Self { age, failures, error }
    }
}

impl WatchHealth {
    /// Files that have just been read.
    pub fn new(now: Instant) -> Self {
        Self { good_at: now, failures: 0, error: None }
    }

    /// The files have what is in use. Returns whether the last poll failed.
    pub fn good(&mut self, now: Instant) -> bool {
        self.good_at = now;
        self.error.take().is_some()
    }

    /// A poll failed: the file that cannot be used, and the cause.
    pub fn failed(&mut self, error: String) {
        self.failures += 1;
        self.error = Some(error);
    }

    /// Returns the state of now.
    pub fn status(&self, now: Instant) -> WatchStatus {
        WatchStatus::new(now.saturating_duration_since(self.good_at), self.failures, self.error.clone())
    }
}
