//! `pssst check-config`: whether services could start with a configuration file.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::config::{ConfigFile, Configured};
use crate::directory;
use crate::failure::Failure;
use crate::gateway::Gatewaying;
use crate::proxy::Proxying;
use crate::serve::Serve;
use crate::service::Service;

/// Check a configuration file as a whole: every option, and the keys and other files that it names.
///
/// All that is wrong is told, with its line. Nothing is started, no port is taken, and no database, directory or upstream is asked.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The file, with a table for each service: [serve], [gateway], [proxy], [directory].
    file: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let file = ConfigFile::read(&args.file)?;
    let checked = Failure::collect(file.services().iter().map(|service| check(&file, service).map(|()| service)))?;
    if checked.is_empty() {
        return Err(Failure::usage(
            format!("{} configures no service", args.file.display()),
            "options stand below a line with their command, such as [gateway]",
        ));
    }
    let tables: Vec<_> = checked.into_iter().map(|service| format!("[{service}]")).collect();
    writeln!(io::stdout(), "{} is right: {}", args.file.display(), tables.join(", "))
        .map_err(|error| Failure::output(&error))
}

fn check(file: &ConfigFile, service: &str) -> Result<(), Failure> {
    let configured = Configured::of_file(file.clone(), service)?;
    check_as::<Serve>(&configured)
        .or_else(|| check_as::<Gatewaying>(&configured))
        .or_else(|| check_as::<Proxying>(&configured))
        .or_else(|| check_as::<directory::Serving>(&configured))
        .unwrap_or(Ok(()))
        .map_err(|failure| configured.locate(service, failure).into_usage())
}

/// `None` if it is another service.
fn check_as<S: Service>(configured: &Configured) -> Option<Result<(), Failure>> {
    S::args(&configured.cli).map(S::check)
}
