//! `pssst pubkey`: the public key of a secret key.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::args::format::show_fingerprint;
use crate::args::key_file;
use pssst_service::Failure;

/// Print the public key of a secret key.
///
/// The key's fingerprint, for people who compare keys, goes to standard error.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The secret key's file, PEM or 64 hexadecimal digits; `-` is standard input.
    file: PathBuf,
    /// Print a PEM document.
    #[arg(long)]
    pem: bool,
    /// Print hexadecimal digits, as other implementations read them.
    #[arg(long, conflicts_with = "pem")]
    hex: bool,
    #[command(flatten)]
    access: key_file::Access,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let key = key_file::read_server_secret(&args.file, &args.access)?.public_key();
    let mut stdout = io::stdout();
    let written = if args.pem {
        write!(stdout, "{}", key.to_pem())
    } else if args.hex {
        writeln!(stdout, "{key:x}")
    } else {
        writeln!(stdout, "{key}")
    };
    show_fingerprint(&key);
    written.map_err(|error| Failure::output(&error))
}
