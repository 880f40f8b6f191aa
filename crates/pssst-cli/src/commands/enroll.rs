//! `pssst enroll`: a device hands its public key to the pool.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use pssst::{SecretKey, SysRng};
use pssst_directory::IssuedPsk;
use pssst_identity::Token;
use pssst_link::Link;
use serde_json::json;

use pssst_service::Failure;

use crate::args::format::{JsonOption, print, show_fingerprint};
use crate::args::key_file::{self, Access};
use crate::args::no_randomness;
use crate::args::server_key::{DirectoryOptions, failure};
use crate::args::waiting::{no_answer, while_waiting};
use pssst_service::runtime;
use pssst_service::stderr::notice;

/// Enrol this device at a directory with a one-time token.
///
/// The device proves that it holds its secret key. Safe to repeat: the same token with the same key
/// gets the same answer. In a pool with pre-shared keys the device gets its own, must use it from
/// then on (`--psk`), and renews it with `pssst renew` or `pssst proxy`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    directory: DirectoryOptions<false>,
    /// The device's secret key; created if the file does not exist.
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    /// File with the token, or with a link that has it and the directory; `-` is standard input.
    #[arg(long, value_name = "FILE", default_value = "-")]
    token: PathBuf,
    /// Write the pre-shared key, if the pool issues them, to this file, which only its owner can
    /// read [default: beside the secret key, with the extension `psk`].
    #[arg(long, value_name = "FILE")]
    psk_out: Option<PathBuf>,
    /// Name to request, if the token leaves it to the device.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    output: JsonOption,
    #[command(flatten)]
    access: Access,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    // First, so that no key is made for nothing.
    let (token, link) = token(&args.token, &args.access)?;
    let directory = args.directory.of_link(link.as_ref())?;
    let identity = identity(args)?;
    let enroll = async { directory.enroll(&token, &identity, args.name.as_deref()).await };
    let enroll = async { enroll.await.map_err(|error| failure(&error)) };
    let enrolled = while_waiting(no_answer, || runtime::run(enroll))?;
    let mut psk = None;
    if let Some(issued) = enrolled.psk {
        let path = save_psk(args, &issued).map_err(|failure| not_saved(&enrolled.name, &failure))?;
        notice(format_args!("this client must use the pre-shared key in {} (--psk)", path.display()));
        psk = Some((path, issued.master.to_string()));
    }
    if args.output.json {
        let (file, master) = psk.unzip();
        let (name, key) = (enrolled.name, enrolled.key.to_string());
        return print(json!({ "name": name, "key": key, "psk_file": file, "psk_master": master }));
    }
    show_fingerprint(&identity.public_key().into());
    print(format_args!("{} {}", enrolled.name, enrolled.key))
}

/// Writes the pre-shared key to its file, unless that has it already, and returns the file.
fn save_psk(args: &Args, psk: &IssuedPsk) -> Result<PathBuf, Failure> {
    let path = match &args.psk_out {
        Some(path) => path.clone(),
        None if args.identity == Path::new("-") => {
            return Err(Failure::usage("standard input has no folder to put it in", "give its file with --psk-out"));
        }
        None => args.identity.with_extension("psk"),
    };
    // As after a repeated enrolment. Another client's is not overwritten.
    let is_there = path.exists() && key_file::read_psk(&path, &args.access).is_ok_and(|stored| stored == *psk);
    if !is_there {
        key_file::create_secret(&path, &psk.expose_pem())?;
    }
    Ok(path)
}

fn not_saved(name: &str, failure: &Failure) -> Failure {
    Failure::new(
        format!("{name} is enrolled, and its pre-shared key, which it must use, was not saved: {}", failure.what()),
        "repeat the command with --psk-out and a new file: the same token and secret key get the pre-shared key again",
    )
}

fn token(file: &Path, access: &Access) -> Result<(Token, Option<Link>), Failure> {
    if file == Path::new("-") && io::stdin().is_terminal() {
        notice("paste the token, then press Enter and Ctrl-D");
    }
    key_file::read_token(file, access)
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
