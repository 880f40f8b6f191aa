//! `pssst config`: the configuration files of services.

use pssst_service::{Failure, Program};

pub(crate) use check::Check;

mod check;

/// Check the configuration files of services.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Check(check::Args),
}

/// Runs it with the program's services and the check of each.
pub(crate) fn run(args: &Args, program: &Program, checks: &[(&str, Check)]) -> Result<(), Failure> {
    match &args.command {
        Command::Check(args) => check::run(args, program, checks),
    }
}
