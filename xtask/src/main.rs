//! Checks of this repository, run as `cargo xtask CHECK`.
//!
//! Each check ends with the line `N passed, N failed`, and with exit code 1 if anything failed.

use std::path::Path;
use std::process::ExitCode;

mod ci;
mod layers;
mod metadata;
mod packages;
mod public_dependencies;
mod report;
mod words;

const USAGE: &str = "usage: cargo xtask layers | words | packages | public-dependencies | ci list | ci TIER_OR_STEP...";

fn main() -> ExitCode {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let report = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["layers"] => layers::check(root, layers::LAYERS),
        ["words"] => words::check(root),
        ["packages"] => packages::check(root),
        ["public-dependencies"] => public_dependencies::check(root),
        ["ci", ref names @ ..] => return run_ci(root, names),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let report = match report {
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

fn run_ci(root: &Path, names: &[&str]) -> ExitCode {
    match ci::run(root, names) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
