//! `pssst clients`: who the clients of a pool are.

use std::io::Write;
use std::path::Path;

use pssst::PublicKey;
use pssst_identity::jiff::Timestamp;
use pssst_identity::{ListQuery, NewIdentity, State, Update};

use crate::args::complete;
use crate::args::format::JsonOption;
use crate::args::options;
use crate::args::store::{Location, failure, find};
use pssst_service::Failure;
use pssst_service::runtime;
use pssst_service::stderr::notice;

use output::{as_json, as_line, for_each_page, in_full, print, refused_as_json, refused_as_line};

mod output;
mod psk;
mod transfer;

/// Add clients, look them up, suspend and revoke them.
///
/// Servers with `--clients` and the same store apply a change within a second.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Add(Add),
    List(List),
    Refused(Refused),
    Show(Show),
    /// Refuse clients until they are resumed.
    Suspend(Change),
    /// Serve suspended clients again.
    Resume(Change),
    /// Refuse clients permanently.
    Revoke(Change),
    /// Delete clients, so that their names and keys can be used again.
    Remove(Change),
    Psk(psk::Psk),
    Import(transfer::Import),
    Export(transfer::Export),
}

/// Enrol a client by its public key; invalid keys are refused.
#[derive(clap::Args, Debug)]
struct Add {
    /// Name of the client.
    name: String,
    /// The client's public key: `pssst1…`, 64 hexadecimal digits, or a file.
    #[arg(value_name = "KEY|FILE")]
    key: String,
    /// A label; repeat for more.
    #[arg(long, value_name = "NAME=VALUE", value_parser = options::label)]
    label: Vec<(String, String)>,
    /// Refuse the client from this time on: a date, a time, or a time span from now (`365d`).
    #[arg(long, value_name = "TIME", value_parser = options::time)]
    expires: Option<Timestamp>,
    #[command(flatten)]
    output: JsonOption,
    #[command(flatten)]
    location: Location,
}

/// List the clients by name: name, state, key, `psk` for those that must use a pre-shared key, and
/// labels.
#[derive(clap::Args, Debug)]
struct List {
    /// Only clients in this state.
    #[arg(long, value_parser = options::state)]
    state: Option<State>,
    /// Only clients that must use their pre-shared key, or only the others.
    #[arg(long, value_name = "true|false")]
    requires_psk: Option<bool>,
    /// Only clients whose name, labels (`name=value`) or key contain this text.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Most clients to print.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print one JSON object per line, with all fields.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    location: Location,
}

/// List the clients that servers refused, those seen last first: name or `-`, cause, requests, time
/// of the last one, and key.
///
/// Servers report them to their database once a minute. A client that was enrolled or resumed since
/// is left out.
#[derive(clap::Args, Debug)]
struct Refused {
    /// Most clients to print, up to 1,000.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print one JSON object per line, with all fields.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    location: Location,
}

/// Show everything stored about a client.
#[derive(clap::Args, Debug)]
struct Show {
    /// The client's name or public key.
    #[arg(add = complete::client())]
    client: String,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    location: Location,
}

#[derive(clap::Args, Debug)]
struct Change {
    /// Names or public keys.
    #[arg(required = true, add = complete::client())]
    client: Vec<String>,
    /// Print a JSON object for each client, with all fields.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    location: Location,
}

impl Add {
    /// Returns the failure of a key where the name belongs, if what stands for the key is not one.
    fn swapped(&self) -> Option<Failure> {
        let is_key = self.name.parse::<PublicKey>().is_ok();
        let is_file_of_key = || Path::new(&self.name).is_file() && !Path::new(&self.key).exists();
        (is_key || is_file_of_key()).then(|| {
            Failure::usage(
                format!("{} is a key, and stands where the name belongs", self.name),
                format!("the name comes first: pssst clients add {} {}", self.key, self.name),
            )
        })
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    runtime::run(async {
        match &args.command {
            Command::Add(args) => add(args).await,
            Command::List(args) => list(args).await,
            Command::Refused(args) => refused(args).await,
            Command::Show(args) => show(args).await,
            Command::Suspend(args) => change(args, State::Suspended).await,
            Command::Resume(args) => change(args, State::Enrolled).await,
            Command::Revoke(args) => change(args, State::Revoked).await,
            Command::Remove(args) => remove(args).await,
            Command::Psk(args) => psk::run(args).await,
            Command::Import(args) => transfer::import(args).await,
            Command::Export(args) => transfer::export(args).await,
        }
    })
}

async fn add(args: &Add) -> Result<(), Failure> {
    let key = options::public_key(&args.key).map_err(|failure| args.swapped().unwrap_or(failure))?;
    let new = NewIdentity::new(key, &args.name)
        .and_then(|new| new.with_labels(args.label.iter().cloned().collect()))
        .map_err(|error| failure(&error))?
        .with_expiry(args.expires);
    if args.expires.is_some_and(|expires| expires <= Timestamp::now()) {
        notice(format_args!("{} has expired already: servers refuse it", args.name));
    }
    let store = args.location.open_or_create().await?;
    let identity = store.add(new).await.map_err(|error| failure(&error))?;
    store.close().await;
    print(|out| {
        if args.output.json {
            return as_json(out, &identity);
        }
        writeln!(out, "{} {}", identity.name, identity.key)
    })
}

async fn list(args: &List) -> Result<(), Failure> {
    let store = args.location.open().await?;
    let List { state, requires_psk, .. } = *args;
    let query = ListQuery { state, requires_psk, search: args.search.clone(), ..ListQuery::default() };
    let mut left = args.limit.unwrap_or(usize::MAX);
    for_each_page(&*store, query, |identities| {
        let page = &identities[..identities.len().min(left)];
        left -= page.len();
        print(|out| {
            page.iter().try_for_each(|identity| if args.json { as_json(out, identity) } else { as_line(out, identity) })
        })?;
        Ok(left > 0)
    })
    .await
}

async fn refused(args: &Refused) -> Result<(), Failure> {
    let store = args.location.open_database().await?;
    let clients = store.refused(args.limit.into()).await.map_err(|error| failure(&error))?;
    print(|out| {
        clients
            .iter()
            .try_for_each(|client| if args.json { refused_as_json(out, client) } else { refused_as_line(out, client) })
    })
}

async fn show(args: &Show) -> Result<(), Failure> {
    let identity = find(&*args.location.open().await?, &args.client).await?;
    print(|out| if args.json { as_json(out, &identity) } else { in_full(out, &identity) })
}

async fn change(args: &Change, state: State) -> Result<(), Failure> {
    let store = args.location.open().await?;
    for client in &args.client {
        let identity = find(&*store, client).await?;
        let identity = store.update(&identity.key, Update::state(state)).await.map_err(|error| failure(&error))?;
        if args.json {
            print(|out| as_json(out, &identity))?;
        } else {
            notice(format_args!("{} is {}", identity.name, identity.state));
        }
    }
    store.close().await;
    Ok(())
}

async fn remove(args: &Change) -> Result<(), Failure> {
    let store = args.location.open().await?;
    for client in &args.client {
        let identity = find(&*store, client).await?;
        store.remove(&identity.key).await.map_err(|error| failure(&error))?;
        if args.json {
            print(|out| as_json(out, &identity))?;
        } else {
            notice(format_args!("{} is removed", identity.name));
        }
    }
    store.close().await;
    Ok(())
}
