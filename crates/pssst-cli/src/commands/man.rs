//! `pssst man`: manual pages, made from the definition of the command line.

use std::path::PathBuf;

use clap::Command;
use pssst_service::Failure;

/// Write one man page per command into a folder: pssst.1, pssst-serve.1 and so on.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The folder, which must exist.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args, program: Command) -> Result<(), Failure> {
    clap_mangen::generate_to(program.disable_help_subcommand(true), &args.out).map_err(|error| {
        Failure::new(
            format!("cannot write into {}: {error}", args.out.display()),
            "check that the folder exists and that you may write to it",
        )
    })
}
