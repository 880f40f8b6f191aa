//! `pssst renew`: a client renews its pre-shared key at the pool's directory.

use std::io::{self, Write};
use std::path::PathBuf;

use pssst_directory::Error;
use pssst_net::Credentials;
use pssst_service::stderr::notice;
use pssst_service::{Failure, runtime};

use crate::args::key_file::{self, Access};
use crate::args::server_key::{DirectoryOptions, failure};

/// Renew this client's pre-shared key at its directory, and replace it in its file.
///
/// The client proves its secret key and the pre-shared key that it has: no token is needed. Do this
/// after a rotation of the pool's master, before the grace period of the old one is over; `pssst
/// proxy` does it by itself. Safe to repeat.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    directory: DirectoryOptions<true>,
    /// The client's secret key.
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    /// The file of the pre-shared key, which `pssst enroll` wrote. It is replaced as a whole.
    #[arg(long, value_name = "FILE")]
    psk: PathBuf,
    #[command(flatten)]
    access: Access,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    key_file::refuse_streams([&*args.psk]).map_err(|failure| failure.of_option("psk"))?;
    let directory = args.directory.required()?;
    let identity = key_file::read_secret(&args.identity, &args.access)?;
    let stored = key_file::read_psk(&args.psk, &args.access)?;
    let credentials = Credentials::new(identity).with_psk(stored.psk.clone());
    let renewed = runtime::run(async { directory.renew(&credentials).await.map_err(|error| refused(&error)) })?;
    // Otherwise the client has refused it.
    let Some(issued) = renewed.psk else { return Err(refused(&Error::PskDowngrade)) };
    if issued == stored {
        notice("the pre-shared key is current");
    } else {
        key_file::replace_psk(&args.psk, &issued)?;
    }
    writeln!(io::stdout(), "master {}", issued.master).map_err(|error| Failure::output(&error))
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
