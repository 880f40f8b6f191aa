//! `pssst bench`: load for a server, and how well it bears it.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use pssst::{Suite, SysRng};
use pssst_net::udp::{MAX_DATAGRAM, connect};

use pssst_service::{Failure, stop_flag};

use crate::args::no_randomness;
use crate::args::no_reply::NoReply;
use crate::args::udp::{is_silence, resolve};
use pssst_bench::{Counters, Error, Monitor, Report, Workload};
use pssst_service::stderr::notice;
use workload::workload;

pub(crate) use args::Args;

mod args;
mod key_rotation;
mod workload;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    args.plan(Suite::X25519Aes256GcmSiv)?;
    let directory = args.server.directory()?;
    let key = args.server.current_key(directory.as_ref())?;
    let (plan, suite) = (args.plan(key.suite)?, key.suite);
    let workload = workload(args, &plan, &key)?;
    let stop = stop_flag()?;
    let addresses = resolve(args.server.address())?;
    let plot =
        args.plot.as_ref().map(|path| File::create(path).map_err(|error| cannot_plot(args, &error))).transpose()?;
    let server = answering(args, &addresses, &workload, suite)?;

    let key_rotations = directory.map(|directory| key_rotation::start(directory, args, &plan, key)).unwrap_or_default();
    let show = io::stderr().is_terminal().then_some(show_progress as fn(&str));
    let monitor = Monitor { show, stop: &stop };
    let outcome = pssst_bench::run(&plan, &workload, server, key_rotations, monitor).map_err(failure)?;
    if outcome.counters.requests == 0 && stop.load(Ordering::Relaxed) {
        return Err(failure(Error::Stopped));
    }
    if outcome.counters.replies == 0 {
        let Counters { requests, refused, unmatched_replies, last_network_error, .. } = outcome.counters;
        let counts =
            format!("{requests} requests, {refused} refused as replies, {unmatched_replies} unmatched replies");
        return Err(no_reply(args, suite, counts, refused, last_network_error.as_ref()));
    }
    let report = Report::new(&plan, outcome);
    if let Some(mut file) = plot {
        let picture = pssst_bench::picture(&report);
        file.write_all(picture.as_bytes()).map_err(|error| cannot_plot(args, &error))?;
    }
    let text = if args.json { report.to_json() } else { report.to_string() };
    let mut stdout = io::stdout();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(|error| Failure::output(&error))?;
    if let Some(note) = report.note() {
        notice(note);
    }
    Ok(())
}

/// Returns the first address of the server that answers, if there are several: `localhost` is `::1`
/// first on many machines, where the server may not listen.
fn answering(args: &Args, addresses: &[SocketAddr], workload: &Workload, suite: Suite) -> Result<SocketAddr, Failure> {
    if let [address] = addresses {
        return Ok(*address);
    }
    let (packet, pending) = workload.anonymous.seal_request_to_vec(&mut SysRng, &[]).map_err(no_randomness)?;
    let is_answered = |address: &&SocketAddr| {
        let deadline = Instant::now() + args.timeout;
        let mut buffer = vec![0; MAX_DATAGRAM];
        let Ok(socket) = connect(**address) else { return false };
        if socket.send(&packet).is_err() {
            return false;
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || socket.set_read_timeout(Some(left)).is_err() {
                return false;
            }
            match socket.recv(&mut buffer) {
                Ok(len) if pending.open(&mut buffer[..len]).is_ok() => return true,
                Ok(_) => {}
                Err(error) if is_silence(&error) => {}
                Err(_) => return false,
            }
        }
    };
    addresses
        .iter()
        .find(is_answered)
        .copied()
        .ok_or_else(|| no_reply(args, suite, "none of its addresses answered".to_owned(), 0, None))
}

/// A line that is written over itself. It does not matter whether standard error can still be
/// written to.
fn show_progress(line: &str) {
    drop(io::stderr().write_all(format!("\r\x1b[K{line}").as_bytes()));
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Randomness(error) => no_randomness(error),
        Error::Sockets(_) => Failure::new(
            error.to_string(),
            "check the route to the server, and `ulimit -n`: each socket takes two files here",
        ),
        Error::Stopped => Failure::new(error.to_string(), "let it run for longer, or give a shorter --warmup"),
        error => Failure::new(error.to_string(), "please report this"),
    }
}

fn no_reply(args: &Args, suite: Suite, counts: String, refused: u64, network_error: Option<&io::Error>) -> Failure {
    let no_reply = NoReply {
        server: args.server.address(),
        suite,
        has_identity: args.identity.is_some(),
        has_psk: args.sealing.psk.is_some(),
        wants_fresh_replies: args.sealing.fresh_replies,
        timeout: args.timeout,
        packet_len: None,
        counts,
        refused,
        network_error,
    };
    no_reply.into_failure()
}

fn cannot_plot(args: &Args, error: &io::Error) -> Failure {
    let path = args.plot.as_deref().unwrap_or_else(|| Path::new("the plot"));
    Failure::new(format!("cannot write {}: {error}", path.display()), "check the path and its permissions")
}
