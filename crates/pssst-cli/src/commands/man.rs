//! `pssst man`: manual pages, made from the definition of the command line.

use std::path::PathBuf;

use pssst_service::{Failure, Program};

use crate::manual::pages;

/// Write the manual pages into a folder.
///
/// One page per command: pssst.1, pssst-serve.1 and so on; and pssst.toml.5 about the configuration
/// file.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The folder, which must exist.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args, program: &Program) -> Result<(), Failure> {
    let write = |(name, page): (String, String)| std::fs::write(args.out.join(name), page);
    pages::all(program).into_iter().try_for_each(write).map_err(|error| {
        Failure::new(
            format!("cannot write into {}: {error}", args.out.display()),
            "check that the folder exists and that you may write to it",
        )
    })
}
