//! `pssst config`: the configuration files of services.

use pssst_service::{Failure, Program};

pub(crate) use check::Check;

mod check;
mod init;
mod known;
mod show;
mod toml;

/// Write, show and check the configuration of services.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Init(init::Args),
    Show(show::Args),
    Check(check::Args),
}

/// Runs it with the program's services and the check of each.
pub(crate) fn run(args: &Args, program: &Program, checks: &[(&str, Check)]) -> Result<(), Failure> {
    match &args.command {
        Command::Init(args) => init::run(args, program),
        Command::Show(args) => show::run(args, program),
        Command::Check(args) => check::run(args, program, checks),
    }
}
