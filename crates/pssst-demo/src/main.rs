//! The README's first command: runs the demonstration.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match pssst_demo::run(&mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is closed too, only the exit code reports the failure.
            drop(writeln!(std::io::stderr(), "error: {error}"));
            ExitCode::FAILURE
        }
    }
}
