//! `pssst config check`: whether services could start with a configuration file.

use std::io::{self, Write};
use std::path::PathBuf;

use pssst_service::stderr::notice;
use pssst_service::{ConfigFile, Failure, Program, unknown_variables};

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
}

/// Checks with the program's services and the check of each.
pub(super) fn run(args: &Args, program: &Program, checks: &[(&str, Check)]) -> Result<(), Failure> {
    let (file, tables) = ConfigFile::read_each(&args.file, program.services)?;
    let check = |service: &&'static str| {
        checks.iter().filter(|(name, _)| name == service).try_for_each(|(_, check)| check(program, &file))
    };
    Failure::collect([tables].into_iter().chain(file.services().iter().map(check)))?;
    unknown_variables(program).into_iter().for_each(notice);
    if file.services().is_empty() {
        return Err(Failure::usage(
            format!("{} configures no service", args.file.display()),
            "put options below a line with their command, such as [gateway]",
        ));
    }
    let tables: Vec<_> = file.services().iter().map(|service| format!("[{service}]")).collect();
    writeln!(io::stdout(), "{} is right: {}", args.file.display(), tables.join(", "))
        .map_err(|error| Failure::output(&error))
}
