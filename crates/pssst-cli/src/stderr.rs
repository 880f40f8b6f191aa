//! What is said besides the output.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes a line to standard error. Whether anybody still reads it changes nothing: `eprintln!` would panic.
pub(crate) fn say(line: impl Display) {
    drop(io::stderr().write_all(format!("{line}\n").as_bytes()));
}
