//! The program `pssst`: keys, a server, requests, and a demonstration of the protocol. One module per subcommand.
//!
//! Exit codes: 0 done, 1 failed, 2 usage.

// They panic when nobody reads: write to standard output and handle the error, or say it by `stderr::say`.
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod bench;
mod clients;
mod compat;
mod demo;
mod directory;
mod enroll;
mod failure;
mod key_file;
mod keygen;
mod keys;
mod log;
mod operator;
mod options;
mod pubkey;
mod reach;
mod request;
mod runtime;
mod serve;
mod signals;
mod stderr;
mod store;
mod token;
mod udp;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    Request(request::Args),
    Compat(compat::Args),
    Demo(demo::Args),
    Bench(bench::Args),
    Clients(clients::Args),
    Token(token::Args),
    Keys(keys::Args),
    Enroll(enroll::Args),
    Directory(Box<directory::Args>),
    Operator(operator::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Keygen(args) => keygen::run(&args),
        Command::Pubkey(args) => pubkey::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Request(args) => request::run(&args),
        Command::Compat(args) => compat::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Clients(args) => clients::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Enroll(args) => enroll::run(&args),
        Command::Directory(args) => directory::run(&args),
        Command::Operator(args) => operator::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
