//! `pssst completions`: what shells complete.

use std::io::{self, Write};

use clap::Command;
use clap_complete::Shell;

use pssst_service::Failure;

/// Print a shell's completions for this program.
///
/// For bash: `pssst completions bash > /usr/share/bash-completion/completions/pssst`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args, mut program: Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "pssst", &mut script);
    io::stdout().write_all(&script).map_err(|error| Failure::output(&error))
}
