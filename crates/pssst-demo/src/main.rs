//! The README's first command: runs the demonstration.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match pssst_demo::run(&mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error closed too, the exit code alone tells.
            drop(writeln!(std::io::stderr(), "error: {error}"));
            ExitCode::FAILURE
        }
    }
}
