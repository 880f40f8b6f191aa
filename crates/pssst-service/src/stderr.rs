//! Messages on standard error.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether lines go to the log, since others than people read them.
static USES_LOG: AtomicBool = AtomicBool::new(false);

/// Sends messages to the log from here on.
pub(crate) fn use_log() {
    USES_LOG.store(true, Ordering::Relaxed);
}

/// Writes a line to standard error. Unlike `eprintln!` it does not panic if standard error is
/// closed.
pub fn notice(line: impl Display) {
    if USES_LOG.load(Ordering::Relaxed) {
        tracing::info!("{line}");
    } else {
        write(line);
    }
}

/// Writes a line about a failure, which no level of the log leaves out.
pub fn report_error(line: impl Display) {
    if USES_LOG.load(Ordering::Relaxed) {
        tracing::error!("{line}");
    } else {
        write(line);
    }
}

fn write(line: impl Display) {
    drop(io::stderr().write_all(format!("{line}\n").as_bytes()));
}
