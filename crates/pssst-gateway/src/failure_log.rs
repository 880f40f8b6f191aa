//! Log of failures of an upstream or a pool: the first one at once, then a summary each minute.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pssst_support::sync::lock;
use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(60);

/// Logs failures at the default level, with address and cause.
#[derive(Debug)]
pub(crate) struct FailureLog {
    /// What fails: `upstream` or `server`.
    role: &'static str,
    address: String,
    /// Whether the last line tells of a failure.
    is_failing: AtomicBool,
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    /// Failures that no line has told of.
    failures: u64,
    next_line: Option<Instant>,
}

impl FailureLog {
    pub(crate) fn new(role: &'static str, address: impl Into<String>) -> Self {
        Self { role, address: address.into(), is_failing: AtomicBool::new(false), pending: Mutex::default() }
    }

    pub(crate) fn failed(&self, cause: &impl fmt::Display) {
        let now = Instant::now();
        let mut pending = lock(&self.pending);
        pending.failures += 1;
        if pending.next_line.is_some_and(|next| now < next) {
            return;
        }
        let failures = std::mem::take(&mut pending.failures);
        pending.next_line = Some(now + INTERVAL);
        drop(pending);
        self.is_failing.store(true, Ordering::Relaxed);
        tracing::warn!(address = %self.address, %cause, failures, "no answer from the {}", self.role);
    }

    /// Tells once that it answers again. Only a logged failure leads to this line, so
    /// there is at most one a minute.
    pub(crate) fn succeeded(&self) {
        if self.is_failing.load(Ordering::Relaxed) && self.is_failing.swap(false, Ordering::Relaxed) {
            tracing::warn!(address = %self.address, "the {} answers again", self.role);
        }
    }
}
