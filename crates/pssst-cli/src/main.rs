//! The program `pssst`: keys, a server, requests, and a demonstration of the protocol. One module per subcommand.
//!
//! Exit codes: 0 done, 1 failed, 2 usage.

// They panic when nobody reads: write to standard output and handle the error, or say it by `stderr::say`.
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod bench;
mod check_config;
mod clients;
mod compat;
mod completions;
mod config;
mod demo;
mod directory;
mod enroll;
mod failure;
mod gateway;
mod inspect;
mod key_file;
mod keygen;
mod keys;
mod log;
mod man;
mod observe;
mod operator;
mod options;
mod proxy;
mod pubkey;
mod reach;
mod request;
mod runtime;
mod serve;
mod server;
mod service;
mod signals;
mod stderr;
mod store;
mod token;
#[cfg(feature = "otel")]
mod traces;
#[cfg(not(feature = "otel"))]
#[path = "traces/absent.rs"]
mod traces;
mod udp;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use config::Invocation;
use failure::Failure;
use gateway::Gatewaying;
use proxy::Proxying;
use serve::Serve;

/// Small encrypted requests over UDP, and their replies, without any state at the server.
///
/// Exit codes: 0 done, 1 failed, 2 usage.
#[derive(Parser)]
#[command(name = "pssst", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Keygen(keygen::Args),
    Pubkey(pubkey::Args),
    Serve(serve::Args),
    Gateway(Box<gateway::Args>),
    Proxy(Box<proxy::Args>),
    Request(request::Args),
    Compat(compat::Args),
    Demo(demo::Args),
    Bench(bench::Args),
    Inspect(inspect::Args),
    Clients(clients::Args),
    Token(token::Args),
    Keys(keys::Args),
    Enroll(enroll::Args),
    Directory(Box<directory::Args>),
    Operator(operator::Args),
    CheckConfig(check_config::Args),
    Completions(completions::Args),
    Man(man::Args),
}

fn main() -> ExitCode {
    match run(&Invocation::of_this_process()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(invocation: &Invocation) -> Result<(), Failure> {
    let configured = invocation.read()?;
    match &configured.cli.command {
        Command::Keygen(args) => keygen::run(args),
        Command::Pubkey(args) => pubkey::run(args),
        Command::Serve(_) => service::run::<Serve>(invocation, &configured),
        Command::Gateway(_) => service::run::<Gatewaying>(invocation, &configured),
        Command::Proxy(_) => service::run::<Proxying>(invocation, &configured),
        Command::Request(args) => request::run(args),
        Command::Compat(args) => compat::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Clients(args) => clients::run(args),
        Command::Token(args) => token::run(args),
        Command::Keys(args) => keys::run(args),
        Command::Enroll(args) => enroll::run(args),
        Command::Directory(_) => service::run::<directory::Serving>(invocation, &configured),
        Command::Operator(args) => operator::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::CheckConfig(args) => check_config::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    }
}
