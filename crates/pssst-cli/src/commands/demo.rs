//! `pssst demo`: the demonstration of the crate `pssst-demo`.

use std::io;

use pssst_demo::Error;

use pssst_service::Failure;

use crate::args::no_randomness;

/// Show the protocol at work, between a client and a server.
///
/// An attacker stands between them. Real packets are sent over UDP on loopback, within one process.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<(), Failure> {
    pssst_demo::run(&mut io::stdout()).map_err(|error| match error {
        Error::Randomness(error) => no_randomness(error),
        Error::Output(error) => Failure::output(&error),
        Error::Network(_) => {
            Failure::new(error.to_string(), "allow it in the sandbox or firewall, or run it elsewhere")
        }
        error => Failure::new(error.to_string(), "please report this"),
    })
}
