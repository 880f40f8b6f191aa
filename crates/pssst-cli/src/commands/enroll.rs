//! `pssst enroll`: a device hands its public key to the pool.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use pssst::{SecretKey, SysRng};
use pssst_identity::Token;

use pssst_service::Failure;

use crate::args::key_file::{self, Access};
use crate::args::no_randomness;
use crate::args::server_key::{DirectoryOptions, failure};
use pssst_service::runtime;
use pssst_service::stderr::notice;

/// Enrol this device at a directory with a one-time token, and prove that it holds its secret key.
///
/// Safe to repeat: the same token with the same key gets the same answer.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    directory: DirectoryOptions<true>,
    /// The device's secret key; created if the file does not exist.
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    /// File with the token; `-` is standard input.
    #[arg(long, value_name = "FILE", default_value = "-")]
    token: PathBuf,
    /// Name to request, if the token leaves it to the device.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    access: Access,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let directory = args.directory.required()?;
    // First, so that no key is made for nothing.
    let token = token(&args.token, &args.access)?;
    let identity = identity(args)?;
    let enrolled = runtime::run(async {
        directory.enroll(&token, &identity, args.name.as_deref()).await.map_err(|error| failure(&error))
    })?;
    writeln!(io::stdout(), "{} {}", enrolled.name, enrolled.key).map_err(|error| Failure::output(&error))
}

fn token(file: &Path, access: &Access) -> Result<Token, Failure> {
    if file == Path::new("-") && io::stdin().is_terminal() {
        notice("paste the token, then press Enter and Ctrl-D");
    }
    let text = key_file::read_secret_text(file, access)?;
    text.parse().map_err(|_| {
        let name = if file == Path::new("-") { Path::new("standard input") } else { file };
        Failure::new(
            format!("{} has no token", name.display()),
            "a token is what `pssst token create` printed: pssst-token- and 81 more characters",
        )
    })
}

fn identity(args: &Args) -> Result<SecretKey, Failure> {
    if args.identity.exists() || args.identity == Path::new("-") {
        return key_file::read_secret(&args.identity, &args.access);
    }
    let secret = SecretKey::generate(&mut SysRng).map_err(no_randomness)?;
    key_file::create_secret(&args.identity, &secret.expose_pem())?;
    notice(format_args!("created a new secret key in {}", args.identity.display()));
    Ok(secret)
}
