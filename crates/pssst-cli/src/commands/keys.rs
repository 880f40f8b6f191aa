//! `pssst keys`: the keys of a pool of servers, and their rotation.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use pssst::{PskMaster, SecretKey, ServerKey, ServerSecretKey, SuiteSet, SysRng, XWingSecretKey};
use pssst_directory::jiff::{Timestamp, Unit};
use pssst_directory::{MasterId, PublishedKey};
use pssst_directory_server::{Generated, OptionalKind, Rotated, Schedule, ScheduleFile};

use pssst_service::{Failure, durations};
use serde_json::json;

use crate::args::complete;
use crate::args::format::{JsonOption, print, seconds, show_fingerprint, span};
use crate::args::key_file::{self, Access};
use crate::args::no_randomness;
use crate::args::server_key::{DirectoryOptions, failure, of_schedule};
use crate::args::waiting::{no_answer, while_waiting};
use pssst_service::runtime;
use pssst_service::stderr::notice;

/// Create, show and rotate the key schedule of a pool; fetch its key.
///
/// A schedule is a file of secret keys with the times of their use. The servers of a pool (`pssst
/// serve --keys`) and the directory follow copies of one schedule, and change keys at the same
/// moment.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Init(Init),
    Show(Show),
    Rotate(Rotate),
    Retire(Retire),
    TakeOver(TakeOver),
    Fetch(Fetch),
}

/// Create a schedule in a new file with mode 0600: with one key, and with the master that clients'
/// pre-shared keys are made of.
///
/// Clients that enrol at the pool's directory get a pre-shared key of their own, must use it from
/// then on, and renew it there.
#[derive(clap::Args, Debug)]
struct Init {
    /// The new file.
    schedule: PathBuf,
    /// Begin with this secret key instead of a new one, for a server that has clients already;
    /// repeat for a key of suite f003.
    #[arg(long, value_name = "FILE")]
    secret_key: Vec<PathBuf>,
    /// Begin with this master instead of a new one.
    #[arg(long, value_name = "FILE", conflicts_with = "no_psk")]
    psk_master: Option<PathBuf>,
    /// Begin with a key of suite f003 too, so that clients use that suite: what is recorded then
    /// stays closed to quantum computers, for 1,088 bytes more a request.
    #[arg(long)]
    post_quantum: bool,
    /// Begin without a master: clients have no pre-shared keys.
    #[arg(long)]
    no_psk: bool,
    /// Longest time between two visits of a client to the directory. A rotation takes at least
    /// twice this time.
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = durations::span)]
    refresh_interval: Duration,
    #[command(flatten)]
    output: JsonOption,
    #[command(flatten)]
    access: Access,
}

/// Show the public keys of a schedule with their states and times.
#[derive(clap::Args, Debug)]
struct Show {
    /// The schedule.
    schedule: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
    /// Print the whole public key that this list shows, also one of suite f003, and nothing else.
    #[arg(long, value_name = "KEY", conflicts_with = "json", add = complete::scheduled_key())]
    public_key: Option<String>,
    #[command(flatten)]
    access: Access,
}

/// Start a rotation: clients use new keys after the activation delay, and servers accept the
/// current ones for the grace period after that. The master of pre-shared keys rotates with them.
#[derive(clap::Args, Debug)]
struct Rotate {
    /// The schedule.
    schedule: PathBuf,
    /// Time until clients use the new key. Every server must have the new file by then.
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = durations::span)]
    activation_delay: Duration,
    /// How long servers accept the old keys after that.
    #[arg(long, value_name = "SPAN", default_value = "7d", value_parser = durations::span)]
    grace_period: Duration,
    /// Rotate one kind only, or begin with one that the schedule does not have [default: all kinds
    /// that it has].
    #[arg(long, value_enum, value_name = "KIND")]
    only: Option<Kind>,
    /// Replace all keys at once, because one was stolen: servers refuse the old keys as soon as
    /// they have the new schedule, and each client is served when it has fetched it. Only the old
    /// master of pre-shared keys is accepted for the grace period, so that clients can renew
    /// theirs.
    #[arg(long, conflicts_with_all = ["activation_delay", "only"])]
    compromised: bool,
    #[command(flatten)]
    output: JsonOption,
    #[command(flatten)]
    access: Access,
}

/// The kinds of secrets of a schedule.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// The keys of suites 1 and f002.
    Keys,
    /// The keys of suite f003.
    F003,
    /// The masters of pre-shared keys.
    Psk,
}

impl From<Kind> for Rotated {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Keys => Self::Keys,
            Kind::F003 => Self::XWingKeys,
            Kind::Psk => Self::PskMasters,
        }
    }
}

/// Give up the keys of suite f003, or pre-shared keys: what is in use ends after the grace period,
/// and has no successor.
///
/// Clients of suite f003 refuse the directory's keys without one, unless they are configured to
/// accept the downgrade. Clients that must use a pre-shared key are not served any more, unless
/// `pssst clients psk --off` says otherwise.
#[derive(clap::Args, Debug)]
struct Retire {
    /// The schedule.
    schedule: PathBuf,
    /// The kind of keys to give up.
    #[arg(value_enum)]
    kind: RetiredKind,
    /// How long servers still accept it.
    #[arg(long, value_name = "SPAN", default_value = "7d", value_parser = durations::span)]
    grace_period: Duration,
    #[command(flatten)]
    output: JsonOption,
    #[command(flatten)]
    access: Access,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RetiredKind {
    /// The keys of suite f003.
    F003,
    /// The masters of pre-shared keys.
    Psk,
}

/// Make clients accept a schedule that was restored from a backup, by a generation above the one
/// that they have.
///
/// `pssst keys fetch --json` at a directory, and the warnings of clients, show the generation that
/// clients have.
#[derive(clap::Args, Debug)]
struct TakeOver {
    /// The schedule.
    schedule: PathBuf,
    /// The highest generation that a client may have.
    #[arg(long, value_name = "GENERATION")]
    above: u64,
    #[command(flatten)]
    output: JsonOption,
    #[command(flatten)]
    access: Access,
}

/// Fetch the server's current key from a directory and print it.
#[derive(clap::Args, Debug)]
struct Fetch {
    #[command(flatten)]
    directory: DirectoryOptions<true>,
    /// Print the whole key document as JSON.
    #[arg(long)]
    json: bool,
    /// Write the whole key to this new file too, for `--server-key`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Init(args) => init(args),
        Command::Show(args) => show(args),
        Command::Rotate(args) => rotate(args),
        Command::Retire(args) => retire(args),
        Command::TakeOver(args) => take_over(args),
        Command::Fetch(args) => fetch(args),
    }
}

fn init(args: &Init) -> Result<(), Failure> {
    let (secret, xwing) = given_keys(args)?;
    let secret = secret.map_or_else(|| SecretKey::generate(&mut SysRng).map_err(no_randomness), Ok)?;
    let now = Timestamp::now();
    let mut generated = vec![secret.public_key().into()];
    let mut schedule = Schedule::new(secret, now).with_refresh_interval(args.refresh_interval);
    if args.post_quantum || xwing.is_some() {
        let secret = xwing.map_or_else(|| XWingSecretKey::generate(&mut SysRng).map_err(no_randomness), Ok)?;
        generated.push(secret.public_key().into());
        schedule = schedule.with_xwing_key(secret, now);
    }
    let mut master = None;
    if !args.no_psk {
        let secret = match &args.psk_master {
            Some(file) => {
                key_file::read_psk_master(file, &args.access).map_err(|failure| failure.of_option("psk-master"))?
            }
            None => PskMaster::generate(&mut SysRng).map_err(no_randomness)?,
        };
        master = Some(secret.id());
        schedule = schedule.with_psk_master(secret, now);
    }
    schedule.create(&args.schedule).map_err(|error| match error {
        pssst_directory_server::Error::File(error) if error.kind() == io::ErrorKind::AlreadyExists => Failure::new(
            format!("{} exists already", args.schedule.display()),
            "schedules are never overwritten: choose another name, or remove the file first",
        ),
        error => of_schedule(&args.schedule, &error),
    })?;
    print_new(&generated, master, args.output)
}

/// Returns the secret keys that a schedule is to begin with: one of each kind at most.
fn given_keys(args: &Init) -> Result<(Option<SecretKey>, Option<XWingSecretKey>), Failure> {
    let (mut secret, mut xwing) = (None, None);
    for file in &args.secret_key {
        let is_second = match key_file::read_server_secret(file, &args.access)? {
            ServerSecretKey::X25519(key) => secret.replace(key).is_some(),
            ServerSecretKey::XWing(key) => xwing.replace(key).is_some(),
            _ => false,
        };
        if is_second {
            let what = format!("{} is a second key of its kind", file.display());
            return Err(Failure::usage(what, "give one key, and one of suite f003 beside it; `rotate` adds others")
                .of_option("secret-key"));
        }
    }
    Ok((secret, xwing))
}

/// Prints the public keys, one per line, and beside them the master's name.
fn print_new(keys: &[ServerKey], master: Option<[u8; 8]>, output: JsonOption) -> Result<(), Failure> {
    if output.json {
        let keys: Vec<_> = keys.iter().map(|key| key.label().to_string()).collect();
        return print(json!({ "keys": keys, "psk_master": master.map(|id| MasterId::from(id).to_string()) }));
    }
    if let Some(master) = master {
        notice(format_args!("master of pre-shared keys: {}", MasterId::from(master)));
    }
    keys.iter().for_each(show_fingerprint);
    keys.iter().try_for_each(|key| print(key.label()))
}

fn show(args: &Show) -> Result<(), Failure> {
    let schedule = Schedule::read(&args.schedule, args.access.allow_exposed_keys)
        .map_err(|error| of_schedule(&args.schedule, &error))?;
    let (now, suites) = (Timestamp::now(), SuiteSet::DATAGRAM.iter().collect::<Vec<_>>());
    if let Some(wanted) = &args.public_key {
        let key = schedule.keys(now, &suites).map(|published| published.key);
        let mut named = key.filter(|key| key.label().to_string() == *wanted || format!("{key:x}") == *wanted);
        let key = named.next().ok_or_else(|| {
            Failure::usage(
                format!("{} has no key {wanted} in use", args.schedule.display()),
                "without --public-key the command lists the keys",
            )
            .of_option("public-key")
        })?;
        return print(key);
    }
    if args.json {
        return print(json!({
            "generation": schedule.generation(),
            "refresh_interval": schedule.refresh_interval().as_secs(),
            "keys": schedule.keys(now, &suites).collect::<Vec<_>>(),
            "psk_masters": schedule.psk_masters(now).collect::<Vec<_>>(),
        }));
    }
    let mut text = String::new();
    let until = |end: Option<Timestamp>| end.map_or_else(|| "its rotation".into(), seconds);
    for PublishedKey { key, state, not_before, not_after, .. } in schedule.keys(now, &suites) {
        let (label, fingerprint) = (key.label(), key.fingerprint());
        let (from, until) = (seconds(not_before), until(not_after));
        text.extend([format!("{state:<8} {label} ({fingerprint}) from {from} until {until}\n")]);
    }
    for master in schedule.psk_masters(now) {
        let (id, state, from, end) = (master.id, master.state, seconds(master.not_before), until(master.not_after));
        text.extend([format!("{state:<8} master {id} from {from} until {end}\n")]);
    }
    text.extend([format!("generation: {}\n", schedule.generation())]);
    text.extend([format!("refresh interval of clients: {}\n", span(schedule.refresh_interval()))]);
    io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::output(&error))
}

fn rotate(args: &Rotate) -> Result<(), Failure> {
    let of_schedule = |error| of_schedule(&args.schedule, &error);
    let file = ScheduleFile::open(&args.schedule, args.access.allow_exposed_keys).map_err(of_schedule)?;
    let (now, before) = (file.now(), file.load());
    let generated = if args.compromised {
        file.replace_compromised(args.grace_period)
    } else {
        let rotated = args.only.map_or(Rotated::All, Rotated::from);
        file.rotate(rotated, args.activation_delay, args.grace_period)
    };
    let Generated { keys, psk_master, .. } = generated.map_err(of_schedule)?;
    if args.compromised {
        let after: Vec<_> = file.load().psk_masters(file.now()).map(|master| master.id).collect();
        for master in before.psk_masters(now).filter(|master| !after.contains(&master.id)) {
            notice(format_args!(
                "master {} of pre-shared keys is gone: clients whose key is of it cannot renew it, and enrol again",
                master.id
            ));
        }
    } else if let Ok(at) = now.checked_add(args.activation_delay) {
        let until = at.checked_add(args.grace_period).unwrap_or(at);
        let (at, until) = (seconds(at), seconds(until));
        notice(format_args!("clients use the new keys from {at} on; servers accept the old ones until {until}"));
    }
    print_new(&keys, psk_master, args.output)
}

fn retire(args: &Retire) -> Result<(), Failure> {
    let kind = match args.kind {
        RetiredKind::F003 => OptionalKind::XWingKeys,
        RetiredKind::Psk => OptionalKind::PskMasters,
    };
    let retirement = ScheduleFile::open(&args.schedule, args.access.allow_exposed_keys)
        .and_then(|file| file.retire(kind, args.grace_period))
        .map_err(|error| of_schedule(&args.schedule, &error))?;
    if args.output.json {
        let kind = kind.to_string();
        return print(json!({ "kind": kind, "ends_at": retirement.ends_at, "is_new": retirement.is_new }));
    }
    let before = if retirement.is_new { "" } else { "were given up before, and " };
    let ends_at = retirement.ends_at.round(Unit::Second).unwrap_or(retirement.ends_at);
    print(format_args!("the {kind} {before}end at {ends_at}"))
}

fn take_over(args: &TakeOver) -> Result<(), Failure> {
    let generation = ScheduleFile::open(&args.schedule, args.access.allow_exposed_keys)
        .and_then(|file| file.take_over(args.above))
        .map_err(|error| of_schedule(&args.schedule, &error))?;
    if args.output.json {
        print(json!({ "generation": generation }))
    } else {
        print(format_args!("generation {generation}"))
    }
}

fn fetch(args: &Fetch) -> Result<(), Failure> {
    // Whatever a cache holds: this shows what the directory has.
    let directory = args.directory.without_cache()?;
    let fetch = async {
        let document = directory.fetch().await.map_err(|error| failure(&error))?.to_json();
        let key = directory.server_key().map_err(|error| failure(&error))?;
        Ok((if args.json { document } else { key.label().to_string() }, key))
    };
    let (text, key) = while_waiting(no_answer, || runtime::run(fetch))?;
    if let Some(file) = &args.out {
        key_file::create_secret(file, &key.to_pem()).map_err(|failure| failure.of_option("out"))?;
    }
    print(text)
}
