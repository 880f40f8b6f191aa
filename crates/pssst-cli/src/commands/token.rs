//! `pssst token`: one-time tokens with which devices enrol.

use std::io::{self, Write};
use std::time::Duration;

use pssst_identity::TokenGrant;
use pssst_identity::jiff::Timestamp;

use crate::args::options;
use crate::args::store::{Location, failure};
use pssst_service::runtime;
use pssst_service::stderr::notice;
use pssst_service::{Failure, durations};

/// Create, list and revoke one-time tokens, with which devices enrol (`pssst enroll`).
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Create(Create),
    List(List),
    Withdraw(Withdraw),
}

/// Create a token and print it. It is shown only now; the store has its hash.
#[derive(clap::Args, Debug)]
struct Create {
    /// The name that the device gets. Without it the device proposes one.
    #[arg(long)]
    name: Option<String>,
    /// A label that the device gets; give it again for more.
    #[arg(long, value_name = "NAME=VALUE", value_parser = options::label)]
    label: Vec<(String, String)>,
    /// For how long the token is good.
    #[arg(long, value_name = "SPAN", default_value = "24h", value_parser = durations::span)]
    valid: Duration,
    /// From when on the enrolled client is refused: a date, a time, or how long from now (`365d`).
    #[arg(long, value_name = "TIME", value_parser = options::time)]
    client_expires: Option<Timestamp>,
    #[command(flatten)]
    location: Location,
}

/// List the tokens, newest first, without the secrets.
#[derive(clap::Args, Debug)]
struct List {
    /// Those that cannot be used any more as well.
    #[arg(long)]
    all: bool,
    /// Most clients to print.
    #[arg(long, value_name = "N", default_value = "1000")]
    limit: usize,
    #[command(flatten)]
    location: Location,
}

/// Revoke a token that was not used yet.
#[derive(clap::Args, Debug)]
struct Withdraw {
    /// The token's id, 16 hexadecimal digits.
    id: String,
    #[command(flatten)]
    location: Location,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    runtime::run(async {
        match &args.command {
            Command::Create(args) => create(args).await,
            Command::List(args) => list(args).await,
            Command::Withdraw(args) => withdraw(args).await,
        }
    })
}

async fn create(args: &Create) -> Result<(), Failure> {
    let expires = Timestamp::now()
        .checked_add(args.valid)
        .map_err(|_| Failure::usage("the token would be valid for too long", "give a shorter time with --valid"))?;
    let grant = TokenGrant {
        name: args.name.clone(),
        labels: args.label.iter().cloned().collect(),
        expires,
        client_expires: args.client_expires,
    };
    let token =
        args.location.open_or_create_database().await?.create_token(grant).await.map_err(|error| failure(&error))?;
    notice(format_args!("token {} is valid for one device until {expires}; it is shown only now:", token.id()));
    writeln!(io::stdout(), "{}", *token.expose()).map_err(|error| Failure::output(&error))
}

async fn list(args: &List) -> Result<(), Failure> {
    let store = args.location.open_database().await?;
    let tokens = store.tokens(!args.all, args.limit).await.map_err(|error| failure(&error))?;
    let now = Timestamp::now();
    let mut text = String::new();
    for token in tokens {
        let state = match (&token.used, &token.withdrawn) {
            (Some((at, key)), _) => format!("used at {at} by {key}"),
            (None, Some(at)) => format!("withdrawn at {at}"),
            (None, None) if token.grant.expires <= now => format!("expired at {}", token.grant.expires),
            (None, None) => format!("good until {}", token.grant.expires),
        };
        let name = token.grant.name.as_deref().unwrap_or("(any name)");
        text.extend([format!("{} {name} by {}, {state}\n", token.id, token.created_by)]);
    }
    io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::output(&error))
}

async fn withdraw(args: &Withdraw) -> Result<(), Failure> {
    let id = args.id.parse().map_err(|_| {
        Failure::usage(format!("{:?} is not the id of a token", args.id), "give the 16 digits from `pssst token list`")
    })?;
    if args.location.open_database().await?.withdraw_token(id).await.map_err(|error| failure(&error))? {
        notice(format_args!("token {id} is withdrawn"));
        return Ok(());
    }
    Err(Failure::new(
        format!("there is no unused token {id}"),
        "`pssst token list --all` shows its state; to revoke a client that used it: `pssst clients revoke`",
    ))
}
