//! Tokio, for the commands that wait for databases and directories.

use std::future::Future;

use crate::failure::Failure;

/// Runs a command on this thread.
///
/// # Errors
/// When the system has no event queue left, and those of the command.
pub fn run<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}"), "check the limit on open files"))?
        .block_on(command)
}
