//! `pssst renew`: a client renews its pre-shared key at the pool's directory.

use std::io::{self, Write};
use std::path::PathBuf;

use pssst_directory::Error;
use pssst_service::stderr::notice;
use pssst_service::{Failure, runtime};
use serde_json::json;

use crate::args::format::{JsonOption, print};
use crate::args::key_file::{self, Access};
use crate::args::server_key::{DirectoryOptions, failure};
use crate::args::waiting::{no_answer, while_waiting};

/// Renew this client's pre-shared key at its directory.
///
/// It is replaced in its file; so is what a device without its secret key shares with the server's
/// keys. The client proves its secret key and the pre-shared key that it has: no token is needed.
/// Do this after a rotation of the pool's master, before the grace period of the old one is over;
/// `pssst proxy` does it by itself. Safe to repeat.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    directory: DirectoryOptions<true>,
    /// The client's secret key; or its precomputed identity (`pssst precompute`), which is replaced
    /// as a whole by one for the keys that servers accept now.
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    /// The file of the pre-shared key, which `pssst enroll` wrote. It is replaced as a whole. A
    /// client that must use one has to give it.
    #[arg(long, value_name = "FILE")]
    psk: Option<PathBuf>,
    #[command(flatten)]
    output: JsonOption,
    #[command(flatten)]
    access: Access,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    key_file::refuse_streams(args.psk.as_deref()).map_err(|failure| failure.of_option("psk"))?;
    let directory = args.directory.required()?;
    let mut credentials = key_file::read_identity(&args.identity, &args.access)?;
    if !credentials.has_secret_key() {
        key_file::refuse_streams([&*args.identity]).map_err(|failure| failure.of_option("identity"))?;
    } else if args.psk.is_none() {
        return Err(Failure::usage(
            "a client that holds its secret key renews its pre-shared key, and none is given",
            "give its file with --psk",
        ));
    }
    let stored = args.psk.as_ref().map(|file| key_file::read_psk(file, &args.access)).transpose()?;
    if let Some(stored) = &stored {
        credentials = credentials.with_psk(stored.psk.clone());
    }
    let renew = async { directory.renew(&credentials).await.map_err(|error| refused(&error)) };
    let renewed = while_waiting(no_answer, || runtime::run(renew))?;
    if stored.is_some() && renewed.psk.is_none() {
        // Otherwise the client has refused it.
        return Err(refused(&Error::PskDowngrade));
    }
    let is_current = credentials.has_secret_key() && renewed.psk == stored;
    if is_current {
        notice("the pre-shared key is current");
    } else {
        key_file::replace_renewed(&renewed, args.psk.as_deref(), &args.identity)?;
    }
    if args.output.json {
        let master = renewed.psk.filter(|_| stored.is_some()).map(|issued| issued.master.to_string());
        let keys = renewed.shared_secrets.len();
        return print(json!({ "renewed": !is_current, "psk_master": master, "server_keys": keys }));
    }
    let mut text = String::new();
    if let Some(issued) = renewed.psk.filter(|_| stored.is_some()) {
        text.extend([format!("master {}\n", issued.master)]);
    }
    if !renewed.shared_secrets.is_empty() {
        text.extend([format!("server keys {}\n", renewed.shared_secrets.len())]);
    }
    io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::output(&error))
}

fn refused(error: &Error) -> Failure {
    match error {
        Error::Refused { .. } => Failure::new(
            error.to_string(),
            "check that --identity and --psk are this client's; if the client is enrolled and its pre-shared key is too \
             old, ask the operator for a new one (`pssst clients psk`), or enrol again with the token of its enrolment",
        ),
        error => failure(error),
    }
}
