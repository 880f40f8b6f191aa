//! `pssst request`: one request to a server, and its reply.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pssst::rand_core::TryRng;
use pssst::{Client, PendingReply, SysRng};

use crate::failure::Failure;
use crate::key_file;
use crate::options::{self, SuiteOption};
use crate::stderr::say;
use crate::udp::{BUFFER_LEN, is_silence};

/// Send one request and print the reply's message.
///
/// While no reply comes, the same bytes are sent again after growing pauses, until the time is up: a packet may be lost in
/// either direction, and a server answers the same request again.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The server's name or address, and its port.
    #[arg(long, value_name = "HOST:PORT")]
    server: String,
    /// The server's public key, 64 hexadecimal digits or a file.
    #[arg(long, value_name = "HEX|FILE")]
    server_key: String,
    /// Prove to the server that this is the client with this secret key.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The cipher suite; prefer f001 when the server accepts it.
    #[arg(long, value_enum, default_value = "1")]
    suite: SuiteOption,
    /// Send the request once and wait for nothing.
    #[arg(long)]
    no_reply: bool,
    /// How long to wait for the reply, in seconds, over all attempts.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    /// Take the message from this file.
    #[arg(long, value_name = "FILE", conflicts_with = "message")]
    file: Option<PathBuf>,
    /// The message; without it, or as `-`, it is read from standard input.
    message: Option<OsString>,
    #[command(flatten)]
    access: key_file::Access,
}

/// Bytes of the largest payload of a UDP datagram over IPv4.
const MAX_DATAGRAM: usize = 65_507;
/// The first pause lies between this and one and a half times this.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How long one socket is listened to when there are several.
const TURN: Duration = Duration::from_millis(10);

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    refuse_two_readers_of_stdin(args)?;
    let client = client(args)?;
    let message = message(args, MAX_DATAGRAM - client.overhead())?;
    let addresses = resolve(&args.server)?;
    let (packet, pending) = client.seal_request_to_vec(&mut SysRng, &message).map_err(Failure::no_randomness)?;

    if args.no_reply {
        drop(pending);
        return one_way(&packet, &addresses, &args.server);
    }
    let mut exchange = Exchange::new(packet, pending, addresses);
    let Some(reply) = exchange.run(Instant::now() + args.timeout) else {
        return Err(exchange.no_reply(args));
    };
    let mut stdout = io::stdout();
    stdout.write_all(&reply).and_then(|()| stdout.flush()).map_err(|error| Failure::output(&error))
}

fn refuse_two_readers_of_stdin(args: &Args) -> Result<(), Failure> {
    let message = args.file.is_none() && args.message.as_ref().is_none_or(|message| message == "-");
    let identity = args.identity.as_ref().is_some_and(|identity| identity.as_os_str() == "-");
    let server_key = args.server_key == "-";
    if [message, identity, server_key].into_iter().filter(|&reads| reads).count() > 1 {
        return Err(Failure::usage(
            "more than one thing is to be read from standard input",
            "give the message as an argument or with --file, and keys as files",
        ));
    }
    Ok(())
}

fn client(args: &Args) -> Result<Client, Failure> {
    let weak = |error: pssst::Error| {
        Failure::new(
            format!("this server key must not be used: {error}"),
            "anybody could read the request; ask the server's owner for the true key",
        )
    };
    let client = Client::new(options::public_key(&args.server_key)?).map_err(weak)?.with_suite(args.suite.into());
    match &args.identity {
        Some(file) => client.with_identity(&key_file::read_secret(file, &args.access)?).map_err(weak),
        None => Ok(client),
    }
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
                say("type the message, then Ctrl-D");
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
            "a request is a single datagram; send less, or in several requests",
        ));
    }
    Ok(message)
}

fn resolve(server: &str) -> Result<Vec<SocketAddr>, Failure> {
    let remedy =
        "--server takes a name or address and a port, as in localhost:45678, 192.0.2.7:45678 or [2001:db8::7]:45678";
    match server.to_socket_addrs() {
        Ok(addresses) => {
            let addresses: Vec<_> = addresses.collect();
            if addresses.is_empty() {
                return Err(Failure::new(format!("{server} has no address"), remedy));
            }
            Ok(addresses)
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            Err(Failure::usage(format!("{server} is no server address: {error}"), remedy))
        }
        Err(error) => Err(Failure::new(format!("cannot find {server}: {error}"), remedy)),
    }
}

/// A socket that takes packets of this address only.
fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(address)?;
    Ok(socket)
}

/// Sends once, to the first address that can be sent to.
fn one_way(packet: &[u8], addresses: &[SocketAddr], server: &str) -> Result<(), Failure> {
    let mut last = None;
    for &address in addresses {
        match connect(address).and_then(|socket| socket.send(packet)) {
            Ok(_) => return Ok(()),
            Err(error) => last = Some(error),
        }
    }
    let why = last.map(|error| error.to_string()).unwrap_or_default();
    Err(Failure::new(
        format!("cannot send to {server}: {why}"),
        "is the network up, and the message not too long for it?",
    ))
}

/// One request under way: its packet, what opens its reply, and the sockets that the reply may come to.
struct Exchange {
    packet: Vec<u8>,
    pending: PendingReply,
    /// The one to be tried next stands first.
    addresses: Vec<SocketAddr>,
    /// One for each address that was tried; all stay open, so that a late reply is still taken.
    sockets: Vec<(SocketAddr, UdpSocket)>,
    buffer: Vec<u8>,
    sent: u32,
    refused: u32,
    last_error: Option<io::Error>,
}

enum Heard {
    Reply(Vec<u8>),
    Silence,
    /// The network says that nobody is there. It may err, or lie, so it ends nothing.
    Unreachable,
}

impl Exchange {
    fn new(packet: Vec<u8>, pending: PendingReply, addresses: Vec<SocketAddr>) -> Self {
        let buffer = vec![0; BUFFER_LEN];
        Self { packet, pending, addresses, sockets: Vec::new(), buffer, sent: 0, refused: 0, last_error: None }
    }

    /// Sends the same bytes again and again until a true reply comes or the time is up.
    fn run(&mut self, deadline: Instant) -> Option<Vec<u8>> {
        pauses(random_fraction())
            .map_while(|pause| {
                let now = Instant::now();
                (now < deadline).then(|| self.attempt(deadline.min(now + pause)))
            })
            .find_map(|reply| reply)
    }

    /// Sends to the next address, and on to the one after it if nobody is there; then waits out the pause.
    fn attempt(&mut self, until: Instant) -> Option<Vec<u8>> {
        for _ in 0..self.addresses.len() {
            let address = self.addresses[0];
            self.addresses.rotate_left(1);
            let heard = match self.send(address) {
                Ok(()) => self.listen(until),
                Err(error) => self.unreachable(error),
            };
            match heard {
                Heard::Reply(message) => return Some(message),
                Heard::Silence => return None,
                Heard::Unreachable => {}
            }
        }
        loop {
            match self.listen(until) {
                Heard::Reply(message) => return Some(message),
                Heard::Silence => return None,
                Heard::Unreachable => {}
            }
        }
    }

    fn send(&mut self, address: SocketAddr) -> io::Result<()> {
        let known = self.sockets.iter().position(|(known, _)| *known == address);
        let place = known.unwrap_or(self.sockets.len());
        if known.is_none() {
            self.sockets.push((address, connect(address)?));
        }
        self.sockets[place].1.send(&self.packet)?;
        self.sent += 1;
        Ok(())
    }

    fn listen(&mut self, until: Instant) -> Heard {
        let several = self.sockets.len() > 1;
        loop {
            for (_, socket) in &self.sockets {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Heard::Silence;
                }
                let turn = if several { left.min(TURN) } else { left };
                match socket.set_read_timeout(Some(turn)).and_then(|()| socket.recv(&mut self.buffer)) {
                    // Forged, stray and replayed packets change nothing: the true reply is still awaited.
                    Ok(len) => match self.pending.open(&mut self.buffer[..len]) {
                        Ok(message) => return Heard::Reply(message.to_vec()),
                        Err(_) => self.refused += 1,
                    },
                    Err(error) if is_silence(&error) => {}
                    Err(error) => return self.unreachable(error),
                }
            }
            if self.sockets.is_empty() {
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
                return Heard::Silence;
            }
        }
    }

    fn unreachable(&mut self, error: io::Error) -> Heard {
        self.last_error = Some(error);
        Heard::Unreachable
    }

    fn no_reply(&self, args: &Args) -> Failure {
        let Self { sent, refused, .. } = self;
        let seconds = args.timeout.as_secs_f64();
        let last_error = self.last_error.as_ref().map(|error| format!(", last error: {error}")).unwrap_or_default();
        let what = format!(
            "no reply from {} within {seconds} s (packets sent {sent}, refused {refused}{last_error})",
            args.server
        );
        Failure::new(
            what,
            "a server never answers what it cannot open: does it run, is the address right, is --server-key the key \
             that it shows, and does it accept the suite?",
        )
    }
}

/// How long to wait after each packet: a first pause that differs between clients, then twice as long each time (the
/// shape of RFC 7252, section 4.2).
fn pauses(fraction: f64) -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(FIRST_PAUSE.mul_f64(1.0 + fraction / 2.0)), |pause| Some(pause.saturating_mul(2)))
}

/// Between 0 and 1, so that many clients that were cut off together do not come back together. Without randomness, 0.
fn random_fraction() -> f64 {
    SysRng.try_next_u32().map_or(0.0, |number| f64::from(number) / f64::from(u32::MAX))
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("give a number of seconds above 0 and up to 86400".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_start_apart_and_double() {
        let millis = |fraction| pauses(fraction).take(4).map(|pause| pause.as_millis()).collect::<Vec<_>>();
        assert_eq!(millis(0.0), [500, 1000, 2000, 4000]);
        assert_eq!(millis(1.0), [750, 1500, 3000, 6000]);
        assert!((0..100).all(|_| (0.0..=1.0).contains(&random_fraction())));
    }

    #[test]
    fn timeouts_are_bounded() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for text in ["", "0", "-1", "1e9", "NaN", "inf", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
