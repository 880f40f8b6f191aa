//! `pssst precompute`: the identity of a device that must not hold its secret key.

use std::path::PathBuf;

use pssst::{PublicKey, SecretKey, ServerKey, ServerSecretKey, SuiteSet};
use pssst_directory::jiff::Timestamp;
use pssst_directory_server::Schedule;
use pssst_net::Credentials;
use pssst_service::stderr::notice;
use pssst_service::{Failure, runtime};
use serde_json::json;

use crate::args::format::{JsonOption, print};
use crate::args::key_file::{self, Access};
use crate::args::options;
use crate::args::sealing::cannot_seal;
use crate::args::server_key::{DirectoryOptions, failure, of_schedule};

/// Make the identity of a device that must not hold its secret key.
///
/// It is what the client shares with each key of the server, and nothing else. The owner of the
/// client's secret key makes it of the server's public keys, or the server's operator of the
/// server's secret keys and the client's public key; both give the same. The device uses it as its
/// `--identity`, and renews it at the directory (`pssst renew`, `pssst proxy`). Keep it like a
/// secret key: a thief of it can pose as the client towards these keys.
#[derive(clap::Args, Debug)]
#[command(group(clap::ArgGroup::new("client_side").args(["identity", "client"]).required(true)))]
#[command(group(
    clap::ArgGroup::new("server_side")
        .args(["server_key", "directory", "secret_key", "keys"])
        .required(true)
        .multiple(true)
))]
pub(crate) struct Args {
    /// The new file, which only its owner can read.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The client's secret key.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The client's public key, or a file that holds it.
    #[arg(long, value_name = "KEY|FILE")]
    client: Option<String>,
    /// A public key of the server, or a file that holds it; repeat for more.
    #[arg(long, value_name = "KEY|FILE", requires = "identity")]
    server_key: Vec<String>,
    /// A secret key of the server; repeat for more.
    #[arg(long, value_name = "FILE", requires = "client")]
    secret_key: Vec<PathBuf>,
    /// A schedule of the server's secret keys: for all keys that servers accept now.
    #[arg(long, value_name = "SCHEDULE")]
    keys: Option<PathBuf>,
    #[command(flatten)]
    directory: DirectoryOptions<false>,
    #[command(flatten)]
    output: JsonOption,
    #[command(flatten)]
    access: Access,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let identity = match (&args.identity, &args.client) {
        (Some(file), _) => of_secret_key(args, &key_file::read_secret(file, &args.access)?)?,
        (None, Some(client)) => of_public_key(args, options::public_key(client)?)?,
        (None, None) => return Err(Failure::usage("no client", "give its secret key with --identity")),
    };
    let pem = identity.expose_precomputed_pem().unwrap_or_default();
    key_file::create_secret(&args.out, &pem)?;
    if args.output.json {
        let (key, keys) = (identity.client_key().to_string(), identity.shared_secrets());
        return print(json!({ "file": args.out, "key": key, "server_keys": keys }));
    }
    notice(format_args!("for {} keys of the server", identity.shared_secrets()));
    print(identity.client_key())
}

/// Makes the identity of the client's secret key and the server's public keys.
fn of_secret_key(args: &Args, secret: &SecretKey) -> Result<Credentials, Failure> {
    let mut keys = args.server_key.iter().map(|key| options::server_key(key)).collect::<Result<Vec<_>, _>>()?;
    if let Some(schedule) = schedule(args)? {
        let suites: Vec<_> = SuiteSet::DATAGRAM.iter().collect();
        keys.extend(schedule.keys(Timestamp::now(), &suites).map(|published| published.key));
    }
    if let Some(directory) = args.directory.optional()? {
        let document = runtime::run(async { directory.fetch().await.map_err(|error| failure(&error)) })?;
        keys.extend(document.keys.iter().map(|published| published.key.clone()));
    }
    keys.iter().try_fold(Credentials::precomputed(secret.public_key()), |identity, key| {
        // It refuses keys that must not be used.
        pssst::Client::new(key.clone()).map_err(cannot_seal)?;
        share(identity, key, secret, &key.x25519_part())
    })
}

/// Makes the identity of the client's public key and the server's secret keys.
fn of_public_key(args: &Args, client: PublicKey) -> Result<Credentials, Failure> {
    if args.directory.optional()?.is_some() {
        return Err(Failure::usage(
            "a directory has the server's public keys, and they need the client's secret key",
            "give it with --identity, or the server's secret keys with --keys or --secret-key",
        )
        .of_option("directory"));
    }
    client.validate().map_err(|cause| {
        Failure::new(format!("no client may have this key: {cause}"), "ask the client's owner for the right one")
            .of_option("client")
    })?;
    let mut identity = Credentials::precomputed(client);
    for file in &args.secret_key {
        let secret = key_file::read_server_secret(file, &args.access)?;
        let scalar = match &secret {
            ServerSecretKey::X25519(secret) => secret.clone(),
            ServerSecretKey::XWing(secret) => secret.x25519_part(),
            _ => continue,
        };
        identity = share(identity, &secret.public_key(), &scalar, &client)?;
    }
    let schedule = schedule(args)?;
    let secrets = schedule.map(|schedule| schedule.shared_secrets(&client, Timestamp::now())).unwrap_or_default();
    Ok(secrets
        .iter()
        .fold(identity, |identity, shared| identity.with_shared_secret(shared.server_key_hash, shared.expose_bytes())))
}

/// Adds what a secret key on one side and a public key on the other share.
fn share(
    identity: Credentials,
    key: &ServerKey,
    secret: &SecretKey,
    public: &PublicKey,
) -> Result<Credentials, Failure> {
    let z2 = secret.shared_secret(public).map_err(|cause| cannot_seal(cause.into()))?;
    Ok(identity.with_shared_secret(key.hash(), z2.as_bytes()))
}

fn schedule(args: &Args) -> Result<Option<Schedule>, Failure> {
    let Some(path) = &args.keys else { return Ok(None) };
    let schedule = Schedule::read(path, args.access.allow_exposed_keys);
    schedule.map(Some).map_err(|error| of_schedule(path, &error).of_option("keys"))
}
