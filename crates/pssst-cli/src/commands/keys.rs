//! `pssst keys`: the keys of a pool of servers, and their rotation.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use pssst::{SecretKey, SysRng};
use pssst_directory::PublishedKey;
use pssst_directory::jiff::Timestamp;
use pssst_directory_server::{Schedule, ScheduleFile};

use pssst_service::{Failure, durations};

use crate::args::key_file::{self, Access};
use crate::args::no_randomness;
use crate::args::server_key::{DirectoryOptions, failure, of_file};
use pssst_service::runtime;

/// Manage the key schedule of a pool of servers: create, show and rotate it, or fetch the current
/// key from a directory.
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
    TakeOver(TakeOver),
    Fetch(Fetch),
}

/// Create a schedule with one key, in a new file with mode 0600.
#[derive(clap::Args, Debug)]
struct Init {
    /// The new file.
    schedule: PathBuf,
    /// Begin with this secret key instead of a new one, for a server that has clients already.
    #[arg(long, value_name = "FILE")]
    secret_key: Option<PathBuf>,
    /// Longest time between two visits of a client to the directory. A rotation takes at least
    /// twice this time.
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = durations::span)]
    refresh_interval: Duration,
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
    #[command(flatten)]
    access: Access,
}

/// Start a rotation: clients use a new key after the activation delay, and servers accept the
/// current one for the grace period after that.
#[derive(clap::Args, Debug)]
struct Rotate {
    /// The schedule.
    schedule: PathBuf,
    /// Time until clients use the new key. Every server must have the new file by then.
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = durations::span)]
    activation_delay: Duration,
    /// How long servers accept the old key after that.
    #[arg(long, value_name = "SPAN", default_value = "7d", value_parser = durations::span)]
    grace_period: Duration,
    /// Replace all keys at once, because one was stolen: servers refuse the old keys as soon as
    /// they have the new schedule, and each client is served when it has fetched it.
    #[arg(long, conflicts_with_all = ["activation_delay", "grace_period"])]
    compromised: bool,
    #[command(flatten)]
    access: Access,
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
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Init(args) => init(args),
        Command::Show(args) => show(args),
        Command::Rotate(args) => rotate(args),
        Command::TakeOver(args) => take_over(args),
        Command::Fetch(args) => fetch(args),
    }
}

fn init(args: &Init) -> Result<(), Failure> {
    let secret = match &args.secret_key {
        Some(file) => key_file::read_secret(file, &args.access)?,
        None => SecretKey::generate(&mut SysRng).map_err(no_randomness)?,
    };
    let key = secret.public_key();
    let schedule = Schedule::new(secret, Timestamp::now()).with_refresh_interval(args.refresh_interval);
    schedule.create(&args.schedule).map_err(|error| match error {
        pssst_directory_server::Error::File(error) if error.kind() == io::ErrorKind::AlreadyExists => Failure::new(
            format!("{} exists already", args.schedule.display()),
            "schedules are never overwritten: choose another name, or remove the file first",
        ),
        error => of_file(&args.schedule, &error),
    })?;
    writeln!(io::stdout(), "{key}").map_err(|error| Failure::output(&error))
}

fn show(args: &Show) -> Result<(), Failure> {
    let schedule = Schedule::read(&args.schedule, args.access.allow_exposed_keys)
        .map_err(|error| of_file(&args.schedule, &error))?;
    if args.json {
        let object = serde_json::json!({
            "generation": schedule.generation(),
            "refresh_interval": schedule.refresh_interval().as_secs(),
            "keys": schedule.keys(Timestamp::now()).collect::<Vec<_>>(),
        });
        return writeln!(io::stdout(), "{object}").map_err(|error| Failure::output(&error));
    }
    let mut text = String::new();
    for PublishedKey { key, state, not_before, not_after, .. } in schedule.keys(Timestamp::now()) {
        let end = not_after.map_or_else(|| "its rotation".into(), |end| end.to_string());
        text.extend([format!("{state:<8} {key} from {not_before} until {end}\n")]);
    }
    text.extend([format!("generation: {}\n", schedule.generation())]);
    text.extend([format!("refresh interval of clients: {} s\n", schedule.refresh_interval().as_secs())]);
    io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::output(&error))
}

fn rotate(args: &Rotate) -> Result<(), Failure> {
    let key = ScheduleFile::open(&args.schedule, args.access.allow_exposed_keys)
        .and_then(|file| {
            if args.compromised {
                file.replace_compromised()
            } else {
                file.rotate(args.activation_delay, args.grace_period)
            }
        })
        .map_err(|error| of_file(&args.schedule, &error))?;
    writeln!(io::stdout(), "{key}").map_err(|error| Failure::output(&error))
}

fn take_over(args: &TakeOver) -> Result<(), Failure> {
    let generation = ScheduleFile::open(&args.schedule, args.access.allow_exposed_keys)
        .and_then(|file| file.take_over(args.above))
        .map_err(|error| of_file(&args.schedule, &error))?;
    writeln!(io::stdout(), "generation {generation}").map_err(|error| Failure::output(&error))
}

fn fetch(args: &Fetch) -> Result<(), Failure> {
    // Whatever a cache holds: this shows what the directory has.
    let directory = args.directory.without_cache()?;
    let text = runtime::run(async {
        let document = directory.fetch().await.map_err(|error| failure(&error))?.to_json();
        let key = directory.server_key().map_err(|error| failure(&error))?;
        Ok(if args.json { document } else { key.to_string() })
    })?;
    writeln!(io::stdout(), "{text}").map_err(|error| Failure::output(&error))
}
