//! Runs files of test vectors: `cargo run --release -p pssst --example vectors -- FILE…`
//!
//! Prints each case that fails, by its id, and last `N passed, N failed`. Fails if one fails, or if
//! none ran.

mod runner;

use std::process::ExitCode;

fn main() -> ExitCode {
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    if files.is_empty() {
        eprintln!("usage: vectors FILE…");
        return ExitCode::from(2);
    }

    let (mut passed, mut failed) = (0, 0);
    for file in files {
        let name = file.display();
        match std::fs::read_to_string(&file).map_err(|error| error.to_string()).and_then(|text| runner::run(&text)) {
            Ok(report) => {
                passed += report.passed;
                failed += report.failures.len();
                for failure in report.failures {
                    println!("{name}: {failure}");
                }
            }
            Err(error) => {
                failed += 1;
                println!("{name}: {error}");
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
