//! The requests of a load: what each is sealed by.

use pssst::Client;
use pssst_bench::{Plan, Workload};
use pssst_directory::CurrentKey;
use pssst_service::Failure;

use super::args::Args;
use crate::args::key_file;

pub(super) fn workload(args: &Args, plan: &Plan, server: CurrentKey) -> Result<Workload, Failure> {
    let weak = |error: pssst::Error| {
        Failure::new(
            format!("this server key must not be used: {error}"),
            "anyone could read the requests; ask the server's operator for the right key",
        )
    };
    let client = || Client::new(server.key).map(|client| client.with_suite(server.suite)).map_err(weak);
    let authenticated = match &args.identity {
        Some(file) if plan.authenticated_share > 0.0 => {
            Some(client()?.with_identity(&key_file::read_secret(file, &args.access)?).map_err(weak)?)
        }
        _ => None,
    };
    Ok(Workload {
        anonymous: client()?,
        authenticated,
        authenticated_share: plan.authenticated_share,
        message_len: args.size,
    })
}
