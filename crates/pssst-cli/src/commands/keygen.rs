//! `pssst keygen`: a new secret key.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use pssst::{SecretKey, SysRng};
use zeroize::Zeroizing;

use pssst_service::Failure;

use crate::args::key_file;
use crate::args::no_randomness;
use pssst_service::stderr::notice;

/// Create a secret key and print its public key.
///
/// The file gets mode 0600 and is never overwritten. Servers and clients use the same kind of key.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The new file. `-` writes the secret key to standard output and the public key to standard
    /// error.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The form of the secret key.
    #[arg(long, value_enum, default_value = "pem")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// PKCS#8, which OpenSSL reads.
    Pem,
    /// 64 hexadecimal digits, which the other implementations of PSSST read.
    Hex,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let secret = SecretKey::generate(&mut SysRng).map_err(no_randomness)?;
    let text = match args.format {
        Format::Pem => secret.expose_pem(),
        Format::Hex => Zeroizing::new(format!("{}\n", *secret.expose_hex())),
    };

    if args.out == Path::new("-") {
        notice(secret.public_key());
        return io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::output(&error));
    }
    key_file::create_secret(&args.out, &text)?;
    writeln!(io::stdout(), "{}", secret.public_key()).map_err(|error| Failure::output(&error))
}
