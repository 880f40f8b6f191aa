//! `pssst doctor`: why nothing comes back.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use pssst_service::stderr::notice;
use pssst_service::{Failure, Program, durations, runtime};

use crate::args::key_file;
use crate::args::sealing::SealingOptions;
use crate::args::server_key::ServerOptions;
use client::Subject;
use report::Report;

mod client;
mod evidence;
mod inference;
mod observations;
mod report;

/// Find out why nothing comes back from a server.
///
/// It finds the server's addresses, asks the directory, compares the clocks, and sends requests
/// under each suite that there is a key for: anonymous, authenticated and with the pre-shared key,
/// of several lengths. Each of them is a real request with the message of --message, which the
/// service behind the server receives: it must be safe to repeat.
///
/// A server does not answer what it refuses. Where the cause cannot be told from here, all causes
/// that are left are named.
///
/// Exit codes: 0 all well, 1 a fault was found, 2 usage or configuration, 3 nothing comes back.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    server: ServerOptions,
    /// Prove to the server that this is the client with this secret key, or with this precomputed
    /// identity.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    #[command(flatten)]
    sealing: SealingOptions,
    /// The message of each request. The service behind the server receives it, many times.
    #[arg(long, value_name = "TEXT", default_value = "")]
    message: String,
    /// How long to wait for each reply. Requests are sent at the same time, in two rounds.
    #[arg(long, value_name = "SPAN", default_value = "2s", value_parser = durations::timeout)]
    timeout: Duration,
    /// Print one JSON object. docs/no-answer.md lists its names.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: key_file::Access,
}

pub(crate) fn run(args: &Args, program: &Program) -> Result<ExitCode, Failure> {
    if io::stderr().is_terminal() {
        notice(format_args!("asking {}...", args.server.address()));
    }
    let subject = Subject {
        server: &args.server,
        identity: args.identity.as_deref(),
        sealing: &args.sealing,
        access: &args.access,
        message: args.message.as_bytes(),
        timeout: args.timeout,
    };
    let seen = runtime::run(client::observe(&subject))?;
    let conclusions = inference::conclude(&seen);
    let report = Report::new(program.version, seen.server.clone(), conclusions, evidence::of(&seen));
    let text = if args.json {
        serde_json::to_string(&report).map_err(|error| Failure::output(&error.into()))? + "\n"
    } else {
        report.to_text()
    };
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| Failure::output(&error))?;
    Ok(report.exit_code())
}
