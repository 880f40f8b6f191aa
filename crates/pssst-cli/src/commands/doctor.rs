//! `pssst doctor`: why nothing comes back.

use std::env::consts::{ARCH, OS};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgMatches, Command, FromArgMatches};
use pssst_service::stderr::notice;
use pssst_service::{ConfigFile, Failure, Program, Setting, durations, runtime};

use crate::args::key_file;
use crate::args::sealing::SealingOptions;
use crate::args::server_key::ServerOptions;
use crate::services::needs::Needs;
use client::Subject;
use report::{Cause, Conclusion, Evidence, Grade, Report};
use server::Findings;

mod bundle;
mod client;
mod evidence;
mod inference;
mod observations;
mod ports;
mod report;
mod scrub;
mod server;

/// Find out why nothing comes back from a server.
///
/// From the client's side, it finds the server's addresses, asks the directory, compares the
/// clocks, and sends requests under each suite that there is a key for: anonymous, authenticated
/// and with the pre-shared key, of several lengths. Each of them is a real request with the message
/// of --message, which the service behind the server receives: it must be safe to repeat.
///
/// From the server's side, --config checks a configuration file as `pssst config check` does, and
/// then the surroundings that it names, as they are now: ports, clients, upstream, keys,
/// certificates, limits, the health of the running service, and what it has refused.
///
/// A server does not answer what it refuses. Where the cause cannot be told from here, all causes
/// that are left are named.
///
/// Exit codes: 0 all well, 1 a fault was found, 2 usage or configuration, 3 nothing comes back.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    server: OptionalServer,
    /// Prove to the server that this is the client with this secret key, or with this precomputed
    /// identity.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    #[command(flatten)]
    sealing: SealingOptions,
    /// The message of each request. The service behind the server receives it, many times.
    #[arg(long, value_name = "TEXT", default_value = "")]
    message: String,
    /// Examine the services of this configuration file, on the machine where they run. The
    /// environment's values do not count.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = CLIENT_OPTIONS
    )]
    config: Option<PathBuf>,
    /// How long to wait for each reply. Requests are sent at the same time, in two rounds.
    #[arg(long, value_name = "SPAN", default_value = "2s", value_parser = durations::timeout)]
    timeout: Duration,
    /// Print one JSON object. docs/no-answer.md lists its names.
    #[arg(long)]
    json: bool,
    /// Write the report, the version, the configuration and the metrics of running services to this
    /// new tar archive, without secrets: for those who are asked for help.
    #[arg(long, value_name = "FILE.tar")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    access: key_file::Access,
}

/// Options of the client's side: a configuration says the same.
const CLIENT_OPTIONS: [&str; 14] = [
    "server",
    "server_key",
    "suite",
    "directory",
    "pin",
    "directory_ca",
    "key_cache",
    "allow_downgrade",
    "identity",
    "psk",
    "fresh_replies",
    "pad_to",
    "message",
    "allow_exposed_keys",
];

/// The server, unless a configuration is examined.
#[derive(Debug)]
struct OptionalServer(Option<ServerOptions>);

impl clap::Args for OptionalServer {
    fn augment_args(command: Command) -> Command {
        let command = ServerOptions::augment_args(command);
        command.mut_arg("server", |arg| arg.required(false).required_unless_present("config"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        ServerOptions::augment_args_for_update(command)
    }
}

impl FromArgMatches for OptionalServer {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let is_given = matches.contains_id("server");
        is_given.then(|| ServerOptions::from_arg_matches(matches)).transpose().map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// A service as it is examined.
pub(crate) struct Examination {
    pub(crate) service: &'static str,
    /// Checks its options and the files that they name.
    pub(crate) check: fn(&Program, &ConfigFile) -> Result<(), Failure>,
    pub(crate) needs: fn(&Program, &ConfigFile) -> Result<Needs, Failure>,
}

/// A report, and further files of a bundle: their names and texts.
struct Examined {
    report: Report,
    files: Vec<(String, String)>,
}

/// Examines a server, or with the `services` of the program a configuration.
pub(crate) fn run(args: &Args, program: &Program, services: &[Examination]) -> Result<ExitCode, Failure> {
    let examined = match (&args.config, &args.server.0) {
        (Some(file), _) => configuration(file, args.timeout, program, services)?,
        (None, Some(server)) => from_client(server, args, program)?,
        (None, None) => return Err(Failure::usage("no server", "give it with --server, or a file with --config")),
    };
    let report = &examined.report;
    let json = serde_json::to_string(report).map_err(|error| Failure::output(&error.into()))? + "\n";
    let text = report.to_text();
    if let Some(path) = &args.bundle {
        let own = [("report.json", json.clone()), ("report.txt", text.clone()), ("version.txt", version(program))];
        let own = own.map(|(name, text)| (name.to_owned(), text));
        bundle::write(path, &own.into_iter().chain(examined.files).collect::<Vec<_>>())?;
        notice(format_args!("{} has everything but secrets: read it before you send it", path.display()));
    }
    let mut stdout = io::stdout();
    let text = if args.json { json } else { text };
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| Failure::output(&error))?;
    Ok(report.exit_code())
}

fn from_client(server: &ServerOptions, args: &Args, program: &Program) -> Result<Examined, Failure> {
    if io::stderr().is_terminal() {
        notice(format_args!("asking {}...", server.address()));
    }
    let subject = Subject {
        server,
        identity: args.identity.as_deref(),
        sealing: &args.sealing,
        access: &args.access,
        message: args.message.as_bytes(),
        timeout: args.timeout,
    };
    let seen = runtime::run(client::observe(&subject))?;
    let conclusions = inference::conclude(&seen);
    let report = Report::new(program.version, seen.server.clone(), conclusions, evidence::of(&seen));
    Ok(Examined { report, files: Vec::new() })
}

fn configuration(
    path: &Path,
    timeout: Duration,
    program: &Program,
    services: &[Examination],
) -> Result<Examined, Failure> {
    let (file, tables) = ConfigFile::read_each(path, program.services)?;
    let mut findings = Findings::default();
    if let Err(failure) = tables {
        findings.configuration(failure);
    } else if file.services().is_empty() {
        return Err(Failure::usage(
            format!("{} configures no service", path.display()),
            "put options below a line with their command, such as [gateway]",
        ));
    }
    runtime::run(async {
        for examination in services.iter().filter(|one| file.services().contains(&one.service)) {
            match (examination.check)(program, &file) {
                Ok(()) => findings.evidence.push(Evidence::new(
                    "configuration",
                    Grade::Ok,
                    format!("[{}] is right", examination.service),
                )),
                Err(failure) => findings.configuration(failure),
            }
            // The check has named wrong values already.
            if let Ok(needs) = (examination.needs)(program, &file) {
                server::examine(&needs, timeout, &mut findings).await?;
            }
        }
        Ok(())
    })?;
    let Findings { mut conclusions, evidence, metrics } = findings;
    if conclusions.iter().all(|conclusion| conclusion.grade == Grade::Ok) {
        let names = file.services().iter().map(|service| format!("[{service}]")).collect::<Vec<_>>().join(", ");
        let what = format!("{names} of {}: everything that was examined is as it should be", path.display());
        conclusions.insert(0, Conclusion::new(Cause::Well, Grade::Ok, what));
    }
    conclusions.sort_by_key(|conclusion| std::cmp::Reverse(conclusion.grade.index()));
    let report = Report::new(program.version, path.display().to_string(), conclusions, evidence);
    let pages = metrics.into_iter().map(|(service, page)| (format!("metrics-{service}.txt"), page));
    let files = [("configuration.txt".to_owned(), values(program, &file))].into_iter().chain(pages).collect();
    Ok(Examined { report, files })
}

/// Returns the options of a file. What is not an option, comments included, may be a secret.
fn values(program: &Program, file: &ConfigFile) -> String {
    let lines = file.values().map(|(service, key, values)| {
        let is_known = Setting::all(program, service).iter().any(|setting| setting.name == key);
        let values = if is_known { format!("{values:?}") } else { "***".to_owned() };
        format!("[{service}] {key} = {values}\n")
    });
    lines.collect()
}

fn version(program: &Program) -> String {
    let facts = program.facts.iter().fold(String::new(), |text, (name, value)| text + name + " " + value + "\n");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {}\n{facts}{OS} {ARCH} {kernel}", program.name, program.version)
}
