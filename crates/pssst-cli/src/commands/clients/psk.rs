//! `pssst clients psk`: pre-shared keys of clients that were added by hand.

use std::path::PathBuf;

use pssst::PskMaster;
use pssst_directory::IssuedPsk;
use pssst_directory_server::Schedule;
use pssst_identity::jiff::Timestamp;
use pssst_identity::{State, Update};
use pssst_service::Failure;
use pssst_service::stderr::notice;
use serde_json::json;

use crate::args::complete;
use crate::args::format::{JsonOption, print};
use crate::args::key_file::{self, Access};
use crate::args::server_key::of_schedule;
use crate::args::store::{Location, failure, find};

/// Issue a client's pre-shared key, which the client must use from then on; or end that duty.
///
/// Clients that enrol at the directory get theirs there. This is for clients that were added by
/// hand, and for those that have lost theirs. Bring the file to the client on a safe way, and
/// remove it here.
#[derive(clap::Args, Debug)]
pub(super) struct Psk {
    /// The client's name or public key.
    #[arg(add = complete::client())]
    client: String,
    /// The pool's schedule, which has the master of pre-shared keys.
    #[arg(long, value_name = "SCHEDULE", required_unless_present_any = ["off", "master"], conflicts_with = "off")]
    keys: Option<PathBuf>,
    /// The master, where the servers have it in a file instead of a schedule.
    #[arg(long = "psk-master", value_name = "FILE", conflicts_with_all = ["off", "keys"])]
    master: Option<PathBuf>,
    /// Write the pre-shared key to this new file, which only its owner can read [default: the
    /// client's name, with the extension `psk`].
    #[arg(long, value_name = "FILE", conflicts_with = "off")]
    out: Option<PathBuf>,
    /// Serve the client without a pre-shared key from now on.
    #[arg(long)]
    off: bool,
    #[command(flatten)]
    output: JsonOption,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    location: Location,
}

pub(super) async fn run(args: &Psk) -> Result<(), Failure> {
    let store = args.location.open().await?;
    let client = find(&*store, &args.client).await?;
    let issued = match args.master()? {
        Some(master) => {
            if client.state == State::Revoked {
                return Err(Failure::new(
                    format!("{} is revoked", client.name),
                    "make a new key for this client and add it",
                ));
            }
            let psk = IssuedPsk { psk: master.psk(&client.key), master: master.id().into() };
            let out = args.out.clone().map_or_else(|| default_out(&client.name), Ok)?;
            key_file::create_secret(&out, &psk.expose_pem()).map_err(|failure| failure.of_option("out"))?;
            Some((out, psk.master))
        }
        None => None,
    };
    let update = match &issued {
        Some((_, master)) => Update::psk_issued(master.to_string()),
        None => Update::requires_psk(false),
    };
    let updated = store.update(&client.key, update).await;
    if let (Err(_), Some((out, _))) = (&updated, &issued) {
        drop(std::fs::remove_file(out));
    }
    updated.map_err(|error| failure(&error))?;
    store.close().await;
    if args.output.json {
        let (file, master) = issued.map(|(out, master)| (out, master.to_string())).unzip();
        let name = &client.name;
        return print(json!({ "name": name, "key": client.key.to_string(), "psk_file": file, "psk_master": master }));
    }
    match issued {
        Some((out, _)) => notice(format_args!("{} must use the pre-shared key in {}", client.name, out.display())),
        None => notice(format_args!("{} need not use a pre-shared key", client.name)),
    }
    Ok(())
}

impl Psk {
    /// Returns the master to make the pre-shared key of; `None` if the client is to have none.
    fn master(&self) -> Result<Option<PskMaster>, Failure> {
        if let Some(file) = &self.master {
            let master = key_file::read_psk_master(file, &self.access);
            return master.map(Some).map_err(|failure| failure.of_option("psk-master"));
        }
        let Some(schedule) = &self.keys else { return Ok(None) };
        let read = Schedule::read(schedule, self.access.allow_exposed_keys);
        let read = read.map_err(|error| of_schedule(schedule, &error).of_option("keys"))?;
        let master = read.current_psk_master(Timestamp::now()).ok_or_else(|| {
            Failure::new(
                format!("{} has no master of pre-shared keys in use", schedule.display()),
                "`pssst keys rotate --only psk` begins with one",
            )
            .of_option("keys")
        })?;
        Ok(Some(master.clone()))
    }
}

/// Returns the file of a client that has this name. A name may be a path elsewhere.
fn default_out(name: &str) -> Result<PathBuf, Failure> {
    if name.starts_with('.') || name.contains(['/', '\\', ':']) {
        return Err(
            Failure::usage("the client's name is not the name of a file", "give one with --out FILE").of_option("out")
        );
    }
    Ok(PathBuf::from(format!("{name}.psk")))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn names_that_are_paths_are_no_files() {
        assert_eq!(default_out("boiler-7").unwrap(), Path::new("boiler-7.psk"));
        for name in ["../boiler", "/etc/boiler", ".boiler", r"a\b", "c:boiler"] {
            assert!(default_out(name).is_err(), "{name}");
        }
    }
}
