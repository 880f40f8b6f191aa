//! `pssst config check`: whether services could start with a configuration file.

use std::path::PathBuf;

use pssst_service::stderr::notice;
use pssst_service::{ConfigFile, Failure, Program, unknown_variables};
use serde_json::{Value, json};

use crate::args::format::print;

/// The check of a service's options.
pub(crate) type Check = fn(&Program, &ConfigFile) -> Result<(), Failure>;

/// Check a configuration file: all options, and the files that it names.
///
/// Every mistake is reported with its line. Nothing is started, and no port, database, directory or
/// upstream is used.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The file, with one table per service: [serve], [gateway], [proxy], [directory].
    file: PathBuf,
    /// Print a JSON object: whether it is right, and everything that is wrong.
    #[arg(long)]
    json: bool,
}

/// Checks with the program's services and the check of each.
pub(super) fn run(args: &Args, program: &Program, checks: &[(&str, Check)]) -> Result<(), Failure> {
    unknown_variables(program).into_iter().for_each(notice);
    let outcome = check(args, program, checks);
    if args.json {
        let faults = outcome.as_ref().err().map(faults).unwrap_or_default();
        let services = outcome.as_deref().unwrap_or_default();
        print(json!({ "file": args.file, "right": outcome.is_ok(), "services": services, "faults": faults }))?;
        return outcome.map(drop);
    }
    let tables: Vec<_> = outcome?.iter().map(|service| format!("[{service}]")).collect();
    print(format_args!("{} is right: {}", args.file.display(), tables.join(", ")))
}

fn faults(failure: &Failure) -> Vec<Value> {
    failure.each().map(|failure| json!({ "message": failure.what(), "help": failure.remedy() })).collect()
}

/// Returns the services that the file configures.
fn check(args: &Args, program: &Program, checks: &[(&str, Check)]) -> Result<Vec<&'static str>, Failure> {
    let (file, tables) = ConfigFile::read_each(&args.file, program.services)?;
    let check = |service: &&'static str| {
        checks.iter().filter(|(name, _)| name == service).try_for_each(|(_, check)| check(program, &file))
    };
    Failure::collect([tables].into_iter().chain(file.services().iter().map(check)))?;
    if file.services().is_empty() {
        return Err(Failure::usage(
            format!("{} configures no service", args.file.display()),
            "put options below a line with their command, such as [gateway]",
        ));
    }
    Ok(file.services().to_vec())
}
