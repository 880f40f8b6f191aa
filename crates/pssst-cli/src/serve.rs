//! `pssst serve`: answers every request with its own message, over UDP.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pssst::{Keyring, PublicKey, SecretKey, SuiteSet};
use pssst_directory::ScheduleFile;
use pssst_identity::{Admission, AdmissionStats};
use pssst_net::{BoundServer, Handler, RateLimit, Reply, Request, Server, Stats};

use crate::failure::Failure;
use crate::key_file;
use crate::log;
use crate::options::{self, SuiteOption};
use crate::runtime;
use crate::signals::Signals;
use crate::stderr::say;
use crate::words::sender;
use policy::{Clients, Policy};

mod policy;

/// Answer every request with its own message.
///
/// Refused packets are dropped without an answer and counted by cause. Stops at SIGINT or SIGTERM: it then answers what has
/// arrived, and prints the counts.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The address and port to serve; port 0 takes a free one, and [::] serves IPv4 as well as IPv6. Sockets that the service
    /// manager passes (systemd's socket activation) are served instead.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:45678")]
    listen: SocketAddr,
    /// The server's secret key. Give more files, most used first, while one key replaces another.
    #[arg(long, value_name = "FILE", required_unless_present = "keys", conflicts_with = "keys")]
    secret_key: Vec<PathBuf>,
    /// A schedule of secret keys (`pssst keys init`), which is followed: keys change at the times that it says.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    #[command(flatten)]
    policy: Policy,
    /// Accept this suite only; give it again for more. All of them are accepted by default.
    #[arg(long, value_enum, value_name = "SUITE")]
    suite: Vec<SuiteOption>,
    /// Worker threads, each with its own socket [default: one per core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Drop requests that are longer than this, in bytes of UDP payload.
    #[arg(long, value_name = "BYTES", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(52..=65_507))]
    max_datagram: u32,
    /// Send no reply that is longer than so many times its request; 0 for no limit. Requests can be forged, and point the
    /// server at anybody.
    #[arg(long, value_name = "TIMES", default_value_t = 3)]
    max_amplification: u32,
    /// The same for authenticated clients, whose requests others can repeat as well [default: as --max-amplification].
    #[arg(long, value_name = "TIMES")]
    max_authenticated_amplification: Option<u32>,
    /// Take so many requests a second from each prefix of addresses (IPv4 /24, IPv6 /56) [default: no limit].
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    rate_limit: Option<u32>,
    /// Mebibytes in which recent replies under suite 1 are remembered, to answer a repeated request with the same bytes.
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = clap::value_parser!(u32).range(0..=65_536))]
    memo: u32,
    /// How long to go on answering what was accepted, once asked to stop.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = options::seconds)]
    stop_within: Duration,
    /// Print a line for every packet.
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    access: key_file::Access,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    log::to_stderr(args.verbose);
    runtime::run(async {
        let clients = args.policy.clients().await?;
        let keys = Keys::read(args)?;
        let bound = bind(args, &keys, clients.as_ref())?;
        let signals = Signals::new()?;
        announce(bound.local_addr(), &bound.public_keys()).map_err(|error| Failure::output(&error))?;

        let (is_verbose, admission) = (args.verbose, clients.as_ref().map(Clients::admission));
        // The same request always gets the same bytes, as suite 1 needs.
        let echo = move |request: Request| {
            if is_verbose {
                describe(&request, admission.as_deref());
            }
            Some(Reply::from(request.into_message()))
        };
        let server = bound
            .serve(Handler::function(echo))
            .map_err(|error| Failure::new(format!("cannot start: {error}"), "are too many threads or files open?"))?;
        tokio::select! {
            () = signals.stop() => {}
            never = keys.keep(args, &server) => match never {},
        }
        let stats = server.shutdown(args.stop_within).await;
        say(Summary { stats, clients: clients.map(|clients| clients.admission().stats()) });
        Ok(())
    })
}

fn bind(args: &Args, keys: &Keys, clients: Option<&Clients>) -> Result<BoundServer, Failure> {
    let mut builder = Server::builder(configured(args, keys.now()?))
        .max_datagram(args.max_datagram as usize)
        .max_amplification(times(args.max_amplification))
        .max_authenticated_amplification(times(args.max_authenticated_amplification.unwrap_or(args.max_amplification)))
        .rate_limit(args.rate_limit.map(RateLimit::new))
        .memo((args.memo as usize) << 20, [pssst::Suite::X25519AesGcm128].into_iter().collect());
    if let Some(workers) = args.workers {
        builder = builder.workers(workers.into());
    }
    if let Some(clients) = clients {
        let admission = clients.admission();
        builder = builder.clients(move |key| admission.check(key));
    }
    #[cfg(unix)]
    let builder = match builder.bind_passed() {
        Ok(Ok(bound)) => return Ok(bound),
        Ok(Err(builder)) => builder,
        Err(error) => {
            return Err(Failure::new(
                format!("cannot serve the sockets that were passed: {error}"),
                "pass UDP sockets only: ListenDatagram= in a systemd socket unit",
            ));
        }
    };
    builder.bind(args.listen).map_err(|error| {
        Failure::new(
            format!("cannot serve {error}"),
            "choose another port, or find who has this one: `ss -lnup` shows it",
        )
    })
}

/// 0 is no limit.
fn times(times: u32) -> Option<u32> {
    (times > 0).then_some(times)
}

/// Where the server's keys are from.
enum Keys {
    /// Files that are read once.
    Fixed(Vec<SecretKey>),
    /// A file that is followed.
    Schedule(Arc<ScheduleFile>),
}

impl Keys {
    fn read(args: &Args) -> Result<Self, Failure> {
        if let Some(path) = &args.keys {
            let file = ScheduleFile::open(path, args.access.allow_exposed_keys)
                .map_err(|error| crate::keys::of_file(path, &error))?;
            return Ok(Self::Schedule(Arc::new(file)));
        }
        args.secret_key
            .iter()
            .map(|file| key_file::read_secret(file, &args.access))
            .collect::<Result<_, _>>()
            .map(Self::Fixed)
    }

    /// The keys of this moment.
    fn now(&self) -> Result<Keyring, Failure> {
        match self {
            Self::Fixed(secrets) => keyring(secrets),
            Self::Schedule(file) => {
                file.load().keyring(file.now()).map_err(|error| crate::keys::of_file(file.path(), &error))
            }
        }
    }

    /// Changes the server's keys when their time comes.
    async fn keep(&self, args: &Args, server: &Server) -> Infallible {
        match self {
            Self::Fixed(_) => std::future::pending().await,
            Self::Schedule(file) => {
                file.follow(|schedule, now| match schedule.keyring(now) {
                    Ok(keyring) => server.replace_keys(configured(args, keyring)),
                    Err(error) => say(format_args!("the server keeps its keys: {error}")),
                })
                .await
            }
        }
    }
}

fn keyring(secrets: &[SecretKey]) -> Result<Keyring, Failure> {
    let mut secrets = secrets.iter().cloned();
    let first = secrets.next().ok_or_else(|| Failure::usage("no secret key", "give one with --secret-key FILE"))?;
    secrets.try_fold(Keyring::new(first), Keyring::with_key).map_err(|_| {
        Failure::usage(
            format!("more than {} secret keys", Keyring::CAPACITY),
            "every further key makes junk dearer to refuse: give the ones that clients still use",
        )
    })
}

/// A server with these keys, that accepts what the options say.
fn configured(args: &Args, keyring: Keyring) -> pssst::Server {
    let mut server = pssst::Server::new(keyring);
    if !args.suite.is_empty() {
        server = server.with_suites(args.suite.iter().map(|&suite| suite.into()).collect::<SuiteSet>());
    }
    if args.policy.refuses_anonymous() {
        server = server.authenticated_only();
    }
    server
}

fn announce(address: SocketAddr, keys: &[PublicKey]) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {address}")?;
    for key in keys {
        writeln!(stdout, "public key {key}")?;
    }
    stdout.flush()
}

fn describe(request: &Request, admission: Option<&Admission>) {
    let known = request.client_key().and_then(|key| admission?.snapshot().get(key));
    let name = known.map(|standing| format!(", {}", standing.name)).unwrap_or_default();
    let sender = sender(request.client_key());
    let (peer, len, suite) = (request.peer(), request.message().len(), request.suite().number());
    let server_key = request.server_key().map(|key| format!(", server key {key}")).unwrap_or_default();
    say(format_args!("{peer}: a message of {len} bytes {sender}{name} (suite {suite:#06x}{server_key})"));
}

/// What became of the packets.
struct Summary {
    stats: Stats,
    clients: Option<AdmissionStats>,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stats, clients } = self;
        write!(f, "received {}", stats.received)?;
        for (outcome, count) in stats.outcomes().filter(|(_, count)| *count > 0) {
            write!(f, ", {} {count}", outcome.name())?;
        }
        if let Some(AdmissionStats { unknown, suspended, revoked, expired, .. }) = clients {
            let causes = [("unknown", unknown), ("suspended", suspended), ("revoked", revoked), ("expired", expired)];
            for (cause, count) in causes.into_iter().filter(|(_, count)| **count > 0) {
                write!(f, ", clients_{cause} {count}")?;
            }
        }
        for (name, count) in
            [("receive_errors", stats.receive_errors), ("kernel_drops", stats.kernel_drops.unwrap_or_default())]
        {
            if count > 0 {
                write!(f, ", {name} {count}")?;
            }
        }
        Ok(())
    }
}
