//! `pssst pubkey`: the public key of a secret key.

use std::path::PathBuf;

use crate::args::format::{print, show_fingerprint, shown};
use crate::args::key_file;
use pssst_service::Failure;
use serde_json::json;

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
    /// Print a JSON object: the key and its fingerprint.
    #[arg(long, conflicts_with_all = ["pem", "hex"])]
    json: bool,
    #[command(flatten)]
    access: key_file::Access,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let key = key_file::read_server_secret(&args.file, &args.access)?.public_key();
    if args.json {
        let fingerprint = key.fingerprint().to_string();
        return print(json!({ "public_key": key.to_string(), "fingerprint": fingerprint }));
    }
    let written = if args.pem {
        print(key.to_pem().trim_end())
    } else if args.hex {
        print(format_args!("{key:x}"))
    } else {
        print(shown(&key))
    };
    show_fingerprint(&key);
    written
}
