//! `pssst operator`: who may look after a directory.

use std::io::{self, Write};
use std::path::PathBuf;

use pssst_directory_server::{Error, Operators};

use pssst_service::Failure;
use pssst_service::stderr::notice;

/// Create credentials for operators of a directory.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Create(Create),
}

/// Create a token for an operator and print it. Its hash is added to the file; remove that line to
/// revoke the token.
#[derive(clap::Args, Debug)]
struct Create {
    /// The operator's name, for the audit log: letters, digits and `.`, `-`, `_`, `@`.
    name: String,
    /// The file of operators, made if it is not there.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let Command::Create(Create { name, file }) = &args.command;
    let token = Operators::add(file, name).map_err(|error| match error {
        Error::Syntax(_) if Operators::new_credential(name).is_err() => Failure::new(
            format!("no token for {name:?}: {error}"),
            "choose a name of up to 64 letters, digits and . - _ @",
        ),
        Error::Syntax(_) => {
            Failure::new(format!("{}: {error}", file.display()), "repair the file; it was left unchanged")
        }
        error => {
            Failure::new(format!("cannot write {}: {error}", file.display()), "check the path and its permissions")
        }
    })?;
    notice(format_args!("the token of {name}; it is shown only now:"));
    writeln!(io::stdout(), "{}", *token).map_err(|error| Failure::output(&error))
}
