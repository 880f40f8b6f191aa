//! `pssst serve`: answers every request with its own message, over UDP.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use pssst::{Keyring, PublicKey, SuiteSet};
use pssst_net::{BoundServer, Handler, RateLimit, Reply, Request, Server, Stats};

use crate::failure::Failure;
use crate::key_file;
use crate::log;
use crate::options::{self, SuiteOption};
use crate::stderr::say;
use crate::words::sender;

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
    #[arg(long, value_name = "FILE", required = true)]
    secret_key: Vec<PathBuf>,
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
    let bound = bind(args)?;
    let (is_verbose, keys) = (args.verbose, bound.public_keys());
    let address = bound.local_addr();

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot wait for signals: {error}"), "are too many files open?"))?;
    let stats = runtime.block_on(async {
        let signals = Signals::new()?;
        announce(address, &keys).map_err(|error| Failure::output(&error))?;
        // The same request always gets the same bytes, as suite 1 needs.
        let echo = move |request: Request| {
            if is_verbose {
                describe(&request, &keys);
            }
            Some(Reply::from(request.into_message()))
        };
        let server = bound
            .serve(Handler::function(echo))
            .map_err(|error| Failure::new(format!("cannot start: {error}"), "are too many threads or files open?"))?;
        signals.stop().await;
        Ok(server.shutdown(args.stop_within).await)
    })?;
    say(Summary(stats));
    Ok(())
}

fn bind(args: &Args) -> Result<BoundServer, Failure> {
    let mut builder = Server::builder(server(args)?)
        .max_datagram(args.max_datagram as usize)
        .max_amplification(times(args.max_amplification))
        .max_authenticated_amplification(times(args.max_authenticated_amplification.unwrap_or(args.max_amplification)))
        .rate_limit(args.rate_limit.map(RateLimit::new))
        .memo((args.memo as usize) << 20, [pssst::Suite::X25519AesGcm128].into_iter().collect());
    if let Some(workers) = args.workers {
        builder = builder.workers(workers.into());
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

fn server(args: &Args) -> Result<pssst::Server, Failure> {
    let mut secrets = Vec::new();
    for file in &args.secret_key {
        secrets.push(key_file::read_secret(file, &args.access)?);
    }
    let mut secrets = secrets.into_iter();
    let first = secrets.next().ok_or_else(|| Failure::usage("no secret key", "give one with --secret-key FILE"))?;
    let keyring = secrets.try_fold(Keyring::new(first), Keyring::with_key).map_err(|_| {
        Failure::usage(
            format!("more than {} secret keys", Keyring::CAPACITY),
            "every further key makes junk dearer to refuse: give the ones that clients still use",
        )
    })?;
    let server = pssst::Server::new(keyring);
    Ok(if args.suite.is_empty() {
        server
    } else {
        server.with_suites(args.suite.iter().map(|&suite| suite.into()).collect::<SuiteSet>())
    })
}

fn announce(address: SocketAddr, keys: &[PublicKey]) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {address}")?;
    for key in keys {
        writeln!(stdout, "public key {key}")?;
    }
    stdout.flush()
}

fn describe(request: &Request, keys: &[PublicKey]) {
    let sender = sender(request.client_key());
    let place = keys.iter().position(|key| Some(key) == request.server_key()).unwrap_or_default();
    let (peer, len, suite) = (request.peer(), request.message().len(), request.suite().number());
    say(format_args!("{peer}: a message of {len} bytes {sender} (suite {suite:#06x}, server key {place})"));
}

/// The signals that ask to stop. They are caught from here on, not only once they are waited for.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};

        let catch = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(format!("cannot wait for signals: {error}"), "does a sandbox forbid signal handlers?")
            })
        };
        Ok(Self { interrupt: catch(SignalKind::interrupt())?, terminate: catch(SignalKind::terminate())? })
    }

    async fn stop(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn stop(self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What became of the packets.
struct Summary(Stats);

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(stats) = self;
        write!(f, "received {}", stats.received)?;
        for (outcome, count) in stats.outcomes().filter(|(_, count)| *count > 0) {
            write!(f, ", {} {count}", outcome.name())?;
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
