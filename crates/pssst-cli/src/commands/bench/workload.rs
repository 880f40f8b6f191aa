//! The requests of a load: what each is sealed by.

use pssst::{Client, PreSharedKey};
use pssst_bench::{Plan, Workload};
use pssst_directory::CurrentKey;
use pssst_net::{Credentials, Error};
use pssst_service::Failure;

use super::args::Args;
use crate::args::key_file;
use crate::args::sealing::{cannot_seal, no_shared_secret};

pub(super) fn workload(args: &Args, plan: &Plan, server: &CurrentKey) -> Result<Workload, Failure> {
    let client = |psk: Option<PreSharedKey>, identity: Option<&Credentials>| {
        let mut client = Client::new(server.key.clone())?.with_suite(server.suite)?;
        if let Some(identity) = identity {
            client = identity.identify(client, &server.key)?;
        }
        Ok(args.sealing.apply(client, psk)?)
    };
    let cannot_make = |error| match error {
        Error::Protocol(error) => cannot_seal(error),
        error => no_shared_secret(&error),
    };
    let authenticated = match &args.identity {
        Some(file) if plan.authenticated_share > 0.0 => {
            let identity = key_file::read_identity(file, &args.access)?;
            Some(client(args.sealing.read_psk(&args.access)?, Some(&identity)).map_err(cannot_make)?)
        }
        _ => None,
    };
    Ok(Workload {
        anonymous: client(None, None).map_err(cannot_make)?,
        authenticated,
        authenticated_share: plan.authenticated_share,
        message_len: args.size,
    })
}
