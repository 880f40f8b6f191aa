//! Checks of this repository, run as `cargo xtask CHECK`.
//!
//! Each check ends with the line `N passed, N failed`, and with exit code 1 if anything failed.

use std::path::Path;
use std::process::ExitCode;

mod layers;

fn main() -> ExitCode {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    if !std::env::args().skip(1).eq(["layers"]) {
        eprintln!("usage: cargo xtask layers");
        return ExitCode::from(2);
    }
    let report = match layers::check(Path::new(root), layers::LAYERS) {
        Ok(report) => report,
        Err(error) => {
            println!("{error}\n0 passed, 1 failed");
            return ExitCode::FAILURE;
        }
    };
    report.complaints.iter().for_each(|complaint| println!("{complaint}"));
    println!("{} passed, {} failed", report.passed, report.complaints.len());
    if report.complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
