//! Status of a service: readiness, reloads, drain.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use super::writer::MetricsWriter;

/// How far it is, and how its reloads went.
#[derive(Debug)]
pub(crate) struct Status {
    is_draining: AtomicBool,
    is_refused: AtomicBool,
    done: AtomicU64,
    refused: AtomicU64,
    /// In seconds since 1970, as is the next.
    loaded: AtomicU64,
    started: u64,
}

impl Status {
    /// Returns a service that has just started.
    pub(crate) fn new() -> Self {
        Self {
            is_draining: AtomicBool::new(false),
            is_refused: AtomicBool::new(false),
            done: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            loaded: AtomicU64::new(seconds_since_1970()),
            started: seconds_since_1970(),
        }
    }

    /// It is about to stop.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// A reload was done, or refused.
    pub(crate) fn reloaded(&self, is_done: bool) {
        if is_done {
            self.loaded.store(seconds_since_1970(), Ordering::Relaxed);
        }
        if is_done { &self.done } else { &self.refused }.fetch_add(1, Ordering::Relaxed);
        self.is_refused.store(!is_done, Ordering::Relaxed);
    }

    /// Returns whether the last reload was refused.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    pub(crate) fn metrics(&self, program: &str, page: &mut MetricsWriter<'_>) -> fmt::Result {
        let [done, refused] = [&self.done, &self.refused].map(|count| count.load(Ordering::Relaxed));
        page.counters(
            &format!("{program}_config_reloads"),
            "Reloads of the configuration, by result",
            "result",
            [("done", done), ("refused", refused)],
        )?;
        page.number(
            &format!("{program}_config_reload_refused"),
            "Whether the last reload was refused (1), so that an older configuration is in force",
            self.is_refused().into(),
        )?;
        page.number(
            &format!("{program}_config_reload_timestamp_seconds"),
            "Time when the configuration in force was read, in seconds since 1970",
            self.loaded.load(Ordering::Relaxed),
        )?;
        page.number("process_start_time_seconds", "Start time of the process, in seconds since 1970", self.started)
    }
}

/// Returns the time of day in seconds since 1970.
pub fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
