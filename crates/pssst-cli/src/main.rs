//! The program `pssst`: keys, servers, requests, and a demonstration of the protocol.
//!
//! Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 no reply.

// They panic when nobody reads: write to standard output and handle the error, or use
// `pssst_service::stderr`.
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod args;
mod commands;
mod manual;
mod monitor;
mod services;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::CompleteEnv;
use commands::doctor::Examination;
use commands::{
    audit, bench, clients, compat, completions, config, demo, doctor, enroll, inspect, keygen, keys, link, man,
    operator, precompute, pubkey, renew, request, status, token, top,
};
use pssst_service::{Failure, Invocation, Program, Service, check, fixed_options, process, run as serve};
use services::directory::{self, DirectoryService};
use services::echo::{self, EchoService};
use services::gateway::{self, GatewayService};
use services::needs::{self, Examined};
use services::proxy::{self, ProxyService};

/// Small encrypted requests and replies over UDP, without state at the server.
///
/// Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 no reply.
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
    Serve(Box<echo::Args>),
    Gateway(Box<gateway::Args>),
    Proxy(Box<proxy::Args>),
    Doctor(Box<doctor::Args>),
    Status(status::Args),
    Top(top::Args),
    Request(request::Args),
    Compat(compat::Args),
    Demo(demo::Args),
    Bench(bench::Args),
    Inspect(inspect::Args),
    Clients(clients::Args),
    Token(token::Args),
    Audit(audit::Args),
    Keys(keys::Args),
    Link(link::Args),
    Enroll(enroll::Args),
    Renew(renew::Args),
    Precompute(precompute::Args),
    Directory(Box<directory::Args>),
    Operator(operator::Args),
    Config(config::Args),
    Completions(completions::Args),
    Man(man::Args),
}

const SERVICES: [&str; 4] = [EchoService::NAME, GatewayService::NAME, ProxyService::NAME, DirectoryService::NAME];

fn main() -> ExitCode {
    // Ends the process if a shell asks what fits.
    CompleteEnv::with_factory(Cli::command).var(completions::VARIABLE).complete();
    match run(&Invocation::of_this_process(program())) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn program() -> Program {
    let mut program = Program::new("pssst", env!("CARGO_PKG_VERSION"), manual::with_help(Cli::command()), &SERVICES);
    let backend = format!("{:?}", pssst::X25519::new().batch_backend()).to_lowercase();
    program.facts = vec![("backend", backend)];
    program.fixed_options = vec![
        (EchoService::NAME, fixed_options::<EchoService>()),
        (GatewayService::NAME, fixed_options::<GatewayService>()),
        (ProxyService::NAME, fixed_options::<ProxyService>()),
        (DirectoryService::NAME, fixed_options::<DirectoryService>()),
    ];
    program.logged_crates = &[
        "pssst",
        "pssst_net",
        "pssst_identity",
        "pssst_directory",
        "pssst_directory_server",
        "pssst_gateway",
        "pssst_service",
    ];
    program.verbose_crate = "pssst_net";
    program.traced_crates = &["pssst_net", "pssst_gateway"];
    program
}

fn examination<S: Examined>() -> Examination {
    Examination { service: S::NAME, check: check::<S>, needs: needs::of::<S> }
}

fn run(invocation: &Invocation) -> Result<ExitCode, Failure> {
    let configured = invocation.read()?;
    let cli = Cli::from_arg_matches(configured.matches()).unwrap_or_else(|error| error.exit());
    let program = invocation.program();
    if !program.services.contains(&configured.command()) {
        process::protect_memory();
    }
    let outcome = match &cli.command {
        Command::Keygen(args) => keygen::run(args),
        Command::Pubkey(args) => pubkey::run(args),
        Command::Serve(_) => serve::<EchoService>(invocation, configured),
        Command::Gateway(_) => serve::<GatewayService>(invocation, configured),
        Command::Proxy(_) => serve::<ProxyService>(invocation, configured),
        Command::Doctor(args) => {
            return doctor::run(
                args,
                program,
                &[
                    examination::<EchoService>(),
                    examination::<GatewayService>(),
                    examination::<ProxyService>(),
                    examination::<DirectoryService>(),
                ],
            );
        }
        Command::Status(args) => status::run(args, program),
        Command::Top(args) => top::run(args, program),
        Command::Request(args) => request::run(args),
        Command::Compat(args) => compat::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Clients(args) => clients::run(args),
        Command::Link(args) => link::run(args),
        Command::Token(args) => token::run(args),
        Command::Audit(args) => audit::run(args),
        Command::Keys(args) => keys::run(args),
        Command::Enroll(args) => enroll::run(args),
        Command::Renew(args) => renew::run(args),
        Command::Precompute(args) => precompute::run(args),
        Command::Directory(_) => serve::<DirectoryService>(invocation, configured),
        Command::Operator(args) => operator::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Config(args) => config::run(
            args,
            program,
            &[
                (EchoService::NAME, check::<EchoService>),
                (GatewayService::NAME, check::<GatewayService>),
                (ProxyService::NAME, check::<ProxyService>),
                (DirectoryService::NAME, check::<DirectoryService>),
            ],
        ),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args, program),
    };
    outcome.map(|()| ExitCode::SUCCESS)
}
