//! `pssst token`: one-time tokens with which devices enrol.

use std::io::{self, Write};
use std::time::Duration;

use pssst_identity::jiff::{Timestamp, Unit};
use pssst_identity::{IdentityStore, TokenGrant, TokenInfo};
use pssst_link::Link;
use zeroize::Zeroizing;

use crate::args::complete;
use crate::args::format::{JsonOption, print};
use crate::args::options;
use crate::args::secret_out::SecretOut;
use crate::args::store::{Location, failure};
use pssst_service::runtime;
use pssst_service::stderr::notice;
use pssst_service::{Failure, durations};

/// Create, list and revoke one-time tokens for devices.
///
/// Devices enrol with them (`pssst enroll`).
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Create(Box<Create>),
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
    /// Print a link for the device instead of the token: this one, which `pssst directory` prints,
    /// with the token in it.
    #[arg(long, value_name = "LINK")]
    link: Option<Link>,
    /// Print a JSON object: the token, its id and its expiry.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    out: SecretOut,
    #[command(flatten)]
    location: Location,
}

/// List the tokens, newest first, without the secrets.
#[derive(clap::Args, Debug)]
struct List {
    /// Those that cannot be used any more as well.
    #[arg(long)]
    all: bool,
    /// Most tokens to print.
    #[arg(long, value_name = "N", default_value = "1000")]
    limit: usize,
    /// Print a JSON object per line, with all fields.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    location: Location,
}

/// Revoke a token that was not used yet.
#[derive(clap::Args, Debug)]
struct Withdraw {
    /// The token's id, 16 hexadecimal digits.
    #[arg(add = complete::token())]
    id: String,
    #[command(flatten)]
    output: JsonOption,
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

/// As the directory has it.
const MAX_VALIDITY: Duration = Duration::from_hours(366 * 24);

async fn create(args: &Create) -> Result<(), Failure> {
    if args.valid > MAX_VALIDITY {
        return Err(Failure::usage("a token is valid for 366 days at most", "give a shorter time with --valid"));
    }
    let expires = Timestamp::now()
        .checked_add(args.valid)
        .and_then(|time| time.round(Unit::Second))
        .map_err(|_| Failure::usage("the token would be valid for too long", "give a shorter time with --valid"))?;
    let grant = TokenGrant {
        name: args.name.clone(),
        labels: args.label.iter().cloned().collect(),
        expires,
        client_expires: args.client_expires,
    };
    if args.link.as_ref().is_some_and(|link| link.directory.is_none()) {
        return Err(Failure::usage(
            "the link has no directory, at which devices enrol",
            "give the one that `pssst directory` prints",
        ));
    }
    let out = args.out.open()?;
    let store = args.location.open_or_create_database().await?;
    let token = store.create_token(grant).await.map_err(|error| failure(&error))?;
    let (id, mut secret) = (token.id(), token.expose());
    if let Some(link) = &args.link {
        let link = Link { token: Some(secret), ..link.clone() };
        secret = link.to_text().map_err(|error| Failure::usage(error.to_string(), "give a shorter link"))?;
    }
    notice(format_args!("token {id} is valid for one device until {expires}; it is shown only now"));
    let written = if args.json {
        // None of these has a character that JSON escapes; no other copy of the secret is made.
        let secret = &*secret;
        out.write(&Zeroizing::new(format!(r#"{{"id":"{id}","token":"{secret}","expires":"{expires}"}}"#)))
    } else {
        out.write(&secret)
    };
    if let Err(error) = written {
        // Nobody has it, so nobody shall use it.
        store.withdraw_token(id).await.map_err(|error| failure(&error))?;
        return Err(Failure::output(&error).with_context(format_args!("token {id} is withdrawn")));
    }
    store.close().await;
    Ok(())
}

async fn list(args: &List) -> Result<(), Failure> {
    let store = args.location.open_database().await?;
    let tokens = store.tokens(!args.all, args.limit).await.map_err(|error| failure(&error))?;
    let now = Timestamp::now();
    let mut text = String::new();
    for token in tokens {
        if args.json {
            text.extend([json(&token).to_string(), "\n".into()]);
            continue;
        }
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

fn json(token: &TokenInfo) -> serde_json::Value {
    let (used, client) = token.used.map(|(at, key)| (at.to_string(), key.to_string())).unzip();
    serde_json::json!({
        "id": token.id.to_string(),
        "name": token.grant.name,
        "labels": token.grant.labels,
        "expires": token.grant.expires.to_string(),
        "client_expires": token.grant.client_expires.map(|time| time.to_string()),
        "created_by": token.created_by,
        "used": used,
        "client": client,
        "withdrawn": token.withdrawn.map(|time| time.to_string()),
    })
}

async fn withdraw(args: &Withdraw) -> Result<(), Failure> {
    let id = args.id.parse().map_err(|_| {
        Failure::usage(format!("{:?} is not the id of a token", args.id), "give the 16 digits from `pssst token list`")
    })?;
    let store = args.location.open_database().await?;
    if store.withdraw_token(id).await.map_err(|error| failure(&error))? {
        store.close().await;
        if args.output.json {
            return print(serde_json::json!({ "id": id.to_string(), "withdrawn": true }));
        }
        notice(format_args!("token {id} is withdrawn"));
        return Ok(());
    }
    Err(Failure::new(
        format!("there is no unused token {id}"),
        "`pssst token list --all` shows its state; to revoke a client that used it: `pssst clients revoke`",
    ))
}
