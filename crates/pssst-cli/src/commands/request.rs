//! `pssst request`: one request to a server, and its reply.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pssst::Suite;
use pssst_directory::CurrentKey;
use pssst_net::blocking::{self, Client};
use pssst_net::{Error, Retry};
use serde_json::json;

use crate::args::fallback::{FallbackOption, max_datagram_too_small, shorter_packets};
use crate::args::format;
use crate::args::key_file;
use crate::args::no_reply::NoReply;
use crate::args::sealing::{SealingOptions, cannot_seal, no_shared_secret};
use crate::args::server_key::ServerOptions;
use crate::args::udp::cannot_find;
use crate::args::waiting::while_waiting;
use pssst_service::stderr::notice;
use pssst_service::{Failure, durations};

/// Send one request and print the reply.
///
/// Without a reply, it sends the same bytes again after growing pauses until the timeout: either
/// packet may be lost, and a server answers a repeated request again.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    server: ServerOptions,
    /// Prove to the server that this is the client with this secret key, or with this precomputed
    /// identity (`pssst precompute`).
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    #[command(flatten)]
    sealing: SealingOptions,
    #[command(flatten)]
    fallback: FallbackOption,
    /// Send the request once and do not wait for a reply.
    #[arg(long)]
    no_reply: bool,
    /// How long to wait for the reply, over all attempts.
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = durations::timeout)]
    timeout: Duration,
    /// Refuse to send a request that is longer than this, in bytes of UDP payload. The default
    /// passes every IPv6 network unfragmented.
    #[arg(long, value_name = "BYTES", default_value_t = 1232, value_parser = clap::value_parser!(u32).range(52..=65_507))]
    max_datagram: u32,
    /// Read the message from this file.
    #[arg(long, value_name = "FILE", conflicts_with = "message")]
    file: Option<PathBuf>,
    /// The message. If it is missing or `-`, it is read from standard input.
    message: Option<OsString>,
    /// Print a JSON object: the reply as hexadecimal digits, and as text if it is text; the suite,
    /// the packets sent, and the seconds until the reply.
    #[arg(long, conflicts_with = "no_reply")]
    json: bool,
    #[command(flatten)]
    access: key_file::Access,
}

/// A person waits at a terminal, so the first timeout is shorter than the library's: from half a
/// second to three quarters.
const INITIAL_TIMEOUT: Duration = Duration::from_millis(500);

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    refuse_two_readers_of_stdin(args)?;
    let client = connect(args)?;
    let suite = client.suite();
    let message = message(args, client.max_message_len())?;
    if args.no_reply {
        client.send(message).map_err(|error| failure(&error, args, suite))?;
        report_fallback(&client);
        return Ok(());
    }
    let start = Instant::now();
    let waiting = || match client.stats().retransmits {
        0 => "no reply yet".to_owned(),
        again => format!("no reply yet, sent again ({again})"),
    };
    let reply = while_waiting(waiting, || client.request(message)).map_err(|error| failure(&error, args, suite))?;
    let seconds = start.elapsed().as_secs_f64();
    report_fallback(&client);
    if args.json {
        return format::print(json!({
            "server": args.server.address(),
            "suite": client.suite().number(),
            "reply": std::str::from_utf8(&reply).ok(),
            "reply_hex": base16ct::lower::encode_string(&reply),
            "packets_sent": client.stats().datagrams_sent,
            "seconds": seconds,
        }));
    }
    print(&reply)
}

fn report_fallback(client: &Client) {
    if client.stats().fallbacks > 0 {
        notice("fell back to suite f002 with the pre-shared key: there is no room for suite f003");
    }
}

/// Writes the reply as it is; on a terminal only if it is text, and with a newline at its end.
fn print(reply: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout();
    let end = if stdout.is_terminal() {
        let is_text = std::str::from_utf8(reply)
            .is_ok_and(|text| !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')));
        if !is_text {
            return Err(Failure::new(
                format!("the reply ({} bytes) is not text, and is not written to a terminal", reply.len()),
                "write it to a file (> FILE), or to a program (| xxd)",
            ));
        }
        if reply.ends_with(b"\n") { &b""[..] } else { b"\n" }
    } else {
        b""
    };
    let written = stdout.write_all(reply).and_then(|()| stdout.write_all(end)).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::output(&error))
}

fn connect(args: &Args) -> Result<Client, Failure> {
    let directory = args.server.directory()?;
    let CurrentKey { key, suite } = args.server.current_key(directory.as_ref())?;
    let mut builder = args.sealing.build_without_psk(pssst_net::Client::builder(key));
    if let Some(file) = &args.identity {
        let identity = key_file::read_identity(file, &args.access)?;
        builder = builder.credentials(match args.sealing.read_psk(&args.access)? {
            Some(psk) => identity.with_psk(psk),
            None => identity,
        });
    }
    if let Some(key) = args.fallback.key(directory.as_ref())? {
        builder = builder.fallback(key);
    }
    let builder = blocking::ClientBuilder::from(builder)
        .suite(suite)
        .timeout(args.timeout)
        .retry(Retry { initial_timeout: INITIAL_TIMEOUT, max_retransmits: u32::MAX })
        .max_datagram(args.max_datagram as usize);
    builder.connect(args.server.address()).map_err(|error| match error {
        Error::Network(error) => cannot_find(args.server.address(), &error),
        error => failure(&error, args, suite),
    })
}

fn failure(error: &Error, args: &Args, suite: Suite) -> Failure {
    let server = args.server.address();
    match error {
        Error::Timeout { sent, packet_len, refused, last_network_error } => {
            let packets = if *sent == 1 { "packet" } else { "packets" };
            let no_reply = NoReply {
                server,
                suite,
                has_identity: args.identity.is_some(),
                has_psk: args.sealing.psk.is_some(),
                wants_fresh_replies: args.sealing.fresh_replies,
                timeout: args.timeout,
                packet_len: Some(*packet_len),
                counts: format!("{sent} {packets} sent, {refused} refused as the reply"),
                refused: (*refused).into(),
                network_error: last_network_error.as_ref(),
            };
            no_reply.into_failure()
        }
        Error::Protocol(error) => cannot_seal(*error),
        Error::Network(error) => {
            Failure::new(format!("cannot send to {server}: {error}"), "check that the network is up")
        }
        Error::MaxDatagramTooSmall { .. } => max_datagram_too_small(error),
        Error::PathTooNarrow { packet_len, .. } => Failure::new(error.to_string(), shorter_packets(suite, *packet_len)),
        Error::NoSharedSecret(_) => no_shared_secret(error),
        error => Failure::new(error.to_string(), "try again"),
    }
}

fn refuse_two_readers_of_stdin(args: &Args) -> Result<(), Failure> {
    let message = args.file.is_none() && args.message.as_ref().is_none_or(|message| message == "-");
    let identity = args.identity.as_ref().is_some_and(|identity| identity.as_os_str() == "-");
    let server_key = args.server.reads_stdin();
    let psk = args.sealing.reads_stdin();
    if [message, identity, psk, server_key].into_iter().filter(|&reads| reads).count() > 1 {
        return Err(Failure::usage(
            "more than one input is standard input",
            "give the message as an argument or with --file, and keys as files",
        ));
    }
    Ok(())
}

fn message(args: &Args, max_len: usize) -> Result<Vec<u8>, Failure> {
    let mut message = Vec::new();
    let limit = max_len as u64 + 1;
    let (from, read) = match (&args.file, &args.message) {
        (Some(file), _) => {
            (file.display().to_string(), File::open(file).and_then(|file| file.take(limit).read_to_end(&mut message)))
        }
        (None, Some(text)) if text != "-" => {
            message.extend_from_slice(text.as_encoded_bytes());
            ("the argument".into(), Ok(message.len()))
        }
        (None, _) => {
            if io::stdin().is_terminal() {
                notice("type the message, then Ctrl-D");
            }
            ("standard input".into(), io::stdin().take(limit).read_to_end(&mut message))
        }
    };
    read.map_err(|error| {
        Failure::new(format!("cannot read the message from {from}: {error}"), "check the path and its permissions")
    })?;
    if message.len() > max_len {
        return Err(Failure::usage(
            format!("the message is longer than {max_len} bytes"),
            "a request is a single datagram: send a shorter message; or, if the network takes longer datagrams, raise \
             --max-datagram, and --pad-to where requests are padded, as they are under suite f003; or, there, give \
             --pad-to none",
        ));
    }
    Ok(message)
}
