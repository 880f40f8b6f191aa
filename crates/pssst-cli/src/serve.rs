//! `pssst serve`: answers every request with its own message, over UDP.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pssst::{Keyring, OVERHEAD, Server, SuiteSet};

use crate::failure::Failure;
use crate::key_file;
use crate::options::SuiteOption;
use crate::stderr::say;
use crate::udp::{BUFFER_LEN, is_silence, sender};

/// Answer every request with its own message.
///
/// Refused packets are dropped without an answer and counted by cause. Stops at SIGINT or SIGTERM, and then prints the
/// counts.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The address and port to serve; port 0 takes a free one. On a machine with several addresses name one of them: a
    /// reply to a request for 0.0.0.0 or [::] may leave from another address than the one that was asked.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:45678")]
    listen: SocketAddr,
    /// The server's secret key. Give more files, most used first, while one key replaces another.
    #[arg(long, value_name = "FILE", required = true)]
    secret_key: Vec<PathBuf>,
    /// Accept this suite only; give it again for more. All of them are accepted by default.
    #[arg(long, value_enum, value_name = "SUITE")]
    suite: Vec<SuiteOption>,
    /// Print a line for every packet.
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    access: key_file::Access,
}

/// How often the loop looks whether it was asked to stop.
const STOP_CHECK: Duration = Duration::from_millis(100);
/// Failures to receive in a row after which the socket is given up.
const MAX_RECEIVE_FAILURES: u32 = 100;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let server = server(args)?;
    let socket = UdpSocket::bind(args.listen).map_err(|error| {
        Failure::new(
            format!("cannot serve {}: {error}", args.listen),
            "does another process serve this port, or is the address not of this machine? `ss -lnup` shows who does",
        )
    })?;
    let stop = stop_at_signal()?;
    announce(&server, &socket).map_err(|error| Failure::output(&error))?;

    let mut counts = Counts::default();
    let outcome = serve(&server, &socket, &stop, &mut counts, args.verbose);
    say(counts);
    outcome
}

fn server(args: &Args) -> Result<Server, Failure> {
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
    let server = Server::new(keyring);
    Ok(if args.suite.is_empty() {
        server
    } else {
        server.with_suites(args.suite.iter().map(|&suite| suite.into()).collect::<SuiteSet>())
    })
}

fn announce(server: &Server, socket: &UdpSocket) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {}", socket.local_addr()?)?;
    for key in server.keyring().public_keys() {
        writeln!(stdout, "public key {key}")?;
    }
    stdout.flush()
}

fn serve(
    server: &Server,
    socket: &UdpSocket,
    stop: &AtomicBool,
    counts: &mut Counts,
    verbose: bool,
) -> Result<(), Failure> {
    let broken = |error: io::Error| Failure::new(format!("the socket broke: {error}"), "start the server again");
    socket.set_read_timeout(Some(STOP_CHECK)).map_err(broken)?;
    let mut buffer = vec![0; BUFFER_LEN];
    let mut reply = vec![0; BUFFER_LEN];
    let mut receive_failures = 0;

    while !stop.load(Ordering::Relaxed) {
        let (len, peer) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if is_silence(&error) => continue,
            // The network's complaints, say of an unreachable client, are not the socket's end.
            Err(error) => {
                counts.receive_failures += 1;
                receive_failures += 1;
                if receive_failures == MAX_RECEIVE_FAILURES {
                    return Err(broken(error));
                }
                continue;
            }
        };
        receive_failures = 0;

        let request = match server.open_request(&mut buffer[..len]) {
            Ok(request) => request,
            Err(cause) => {
                *counts.refused.entry(cause.name()).or_default() += 1;
                if verbose {
                    say(format_args!("{peer}: {len} bytes refused: {cause} ({})", cause.name()));
                }
                continue;
            }
        };
        counts.requests += 1;
        if verbose {
            let (sender, suite, key) = (sender(&request), request.suite().number(), request.server_key_index());
            let answer_len = request.message().len() + OVERHEAD;
            say(format_args!(
                "{peer}: {len} bytes {sender} (suite {suite:#06x}, server key {key}), answered with {answer_len} bytes"
            ));
        }
        // The same request always gets the same bytes, as suite 1 needs.
        let (message, _, sealer) = request.into_parts();
        let sent = sealer.seal(message, &mut reply).map(|packet| socket.send_to(packet, peer));
        match sent {
            Ok(Ok(_)) => counts.replies += 1,
            _ => counts.send_failures += 1,
        }
    }
    Ok(())
}

#[cfg(unix)]
fn stop_at_signal() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|error| {
            Failure::new(format!("cannot wait for signals: {error}"), "does a sandbox forbid signal handlers?")
        })?;
    }
    Ok(stop)
}

#[cfg(not(unix))]
fn stop_at_signal() -> Result<Arc<AtomicBool>, Failure> {
    Ok(Arc::new(AtomicBool::new(false)))
}

/// What became of the packets.
#[derive(Default)]
struct Counts {
    requests: u64,
    replies: u64,
    send_failures: u64,
    receive_failures: u64,
    refused: BTreeMap<&'static str, u64>,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { requests, replies, send_failures, receive_failures, refused } = self;
        write!(f, "requests {requests}, replies {replies}")?;
        write!(f, ", send failures {send_failures}, receive failures {receive_failures}")?;
        write!(f, ", refused {}", refused.values().sum::<u64>())?;
        refused.iter().try_for_each(|(cause, count)| write!(f, ", {cause} {count}"))
    }
}
