//! What is said besides the output.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether lines go to the log, since others than people read them.
static USES_LOG: AtomicBool = AtomicBool::new(false);

/// From here on, what is said is logged.
pub(crate) fn use_log() {
    USES_LOG.store(true, Ordering::Relaxed);
}

/// Writes a line to standard error. Whether anybody still reads it changes nothing: `eprintln!` would panic.
pub(crate) fn say(line: impl Display) {
    if USES_LOG.load(Ordering::Relaxed) {
        tracing::info!("{line}");
    } else {
        write(line);
    }
}

/// The same with what has failed, which no level of the log leaves out.
pub(crate) fn say_error(line: impl Display) {
    if USES_LOG.load(Ordering::Relaxed) {
        tracing::error!("{line}");
    } else {
        write(line);
    }
}

fn write(line: impl Display) {
    drop(io::stderr().write_all(format!("{line}\n").as_bytes()));
}
