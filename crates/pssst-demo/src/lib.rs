//! A demonstration of PSSST: real transactions between a server and a client over UDP on loopback,
//! with an attacker on the path between them who forges and replays.
//!
//! It needs the protocol crate and the standard library only, so it is built in seconds:
//!
//! ```sh
//! cargo run --release -p pssst-demo
//! ```
//!
//! Everything is one process. The server is a thread of its own; client and attacker share the main
//! thread, so that what the attacker sends arrives before the true reply. The demonstration checks
//! what it shows: it fails when either side learns another message or another sender than it
//! should, when the client accepts a forgery, and when the client refuses the true reply.
//!
//! # What it is not
//!
//! * **Not a server to start from**: the crate `pssst-net` has the server, the client and examples.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use pssst::{Client, Header, PendingReply, PublicKey, Refusal, SecretKey, Server, Suite, SysRng, X25519};

/// How long anything on loopback may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the demonstration ended early.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The system's random number generator failed.
    Randomness(pssst::Error),
    /// The output cannot be written.
    Output(io::Error),
    /// A socket failed.
    Network(io::Error),
    /// A promise of the protocol did not hold.
    BrokenPromise(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Randomness(error) => error.fmt(f),
            Self::Output(error) => write!(f, "cannot write: {error}"),
            Self::Network(error) => write!(f, "the demonstration cannot use UDP on 127.0.0.1: {error}"),
            Self::BrokenPromise(cause) => write!(f, "the demonstration failed: {cause}"),
        }
    }
}

impl std::error::Error for Error {}

/// Runs the demonstration, and describes each step on `output`.
///
/// # Errors
/// When a socket, the output or the random number generator fails, and when a promise of the
/// protocol does not hold.
pub fn run(output: &mut dyn Write) -> Result<(), Error> {
    run_with(output, |server, socket, observed| serve(&server, &socket, &observed, answer))
}

fn run_with(
    output: &mut dyn Write,
    serve: impl FnOnce(Server, UdpSocket, Sender<Observation>) + Send + 'static,
) -> Result<(), Error> {
    let secret = SecretKey::generate(&mut SysRng).map_err(Error::Randomness)?;
    let identity = SecretKey::generate(&mut SysRng).map_err(Error::Randomness)?;
    let server_key = secret.public_key();
    let anonymous = Peer { client: Client::new(server_key).map_err(broken)?, key: None };
    let authenticated = Client::new(server_key).and_then(|client| client.with_identity(&identity)).map_err(broken)?;
    let authenticated = Peer { client: authenticated, key: Some(identity.public_key()) };

    let server_socket = bind()?;
    let server_address = address_of(&server_socket)?;
    let (sender, observations) = channel();
    // It ends with the process, and nothing it holds needs to be saved.
    std::thread::spawn(move || serve(Server::new(secret), server_socket, sender));

    let x25519 = X25519::new();
    let mut show = Show { client: bind()?, path: bind()?, server_address, observations, output };
    show.say(&format!(
        "PSSST on loopback: a server, a client, and an attacker on the path between them\n\
         \n  server    {server_address}, public key {server_key}\
         \n  client    {}, identity {}\
         \n  attacker  {}, forwards every packet, keeps copies, sends its own\
         \n  X25519    {:?}, in batches {:?}",
        address_of(&show.client)?,
        identity.public_key(),
        address_of(&show.path)?,
        x25519.single_backend(),
        x25519.batch_backend(),
    ))?;

    show.say("\n1. An anonymous transaction")?;
    let old_reply = show.transaction(&anonymous, b"water level at gauge 7?", None)?;

    show.say("\n2. An authenticated transaction: the client proves who it is in the same packet")?;
    show.transaction(&authenticated, b"open gate 7", None)?;

    show.say("\n3. A one-way message: the client keeps nothing to open a reply with")?;
    let report = b"report: gauge 7 reads 2.41 m";
    let (packet, pending) = authenticated.seal(report)?;
    drop(pending);
    show.carry_request(&packet, &authenticated, report)?;
    show.say("   client    waits for nothing, keeps nothing")?;

    show.say("\n4. A forged reply: the attacker changes one bit and delivers that first")?;
    show.transaction(&authenticated, b"is gate 7 open?", Some(Forgery::FlippedBit))?;

    show.say("\n5. A replayed reply: the attacker delivers the reply of transaction 1 first")?;
    show.transaction(&anonymous, b"water level at gauge 7 now?", Some(Forgery::Replay(old_reply)))?;

    show.say("\n6. The same request twice: the reply is lost, the client sends the same bytes again")?;
    show.lost_reply(&authenticated)?;

    show.say(
        "\nAll went as it should. The server kept nothing between any two of these packets.\n\
         Next: install the program (`cargo install --path crates/pssst-cli --locked`), then `pssst keygen`, `pssst serve`, `pssst request`; see the README.",
    )
}

/// A packet that the attacker delivers before the true reply.
enum Forgery {
    FlippedBit,
    Replay(Vec<u8>),
}

/// A client, and the key that it proves to the server.
struct Peer {
    client: Client,
    key: Option<PublicKey>,
}

impl Peer {
    fn seal(&self, message: &[u8]) -> Result<(Vec<u8>, PendingReply), Error> {
        self.client.seal_request_to_vec(&mut SysRng, message).map_err(Error::Randomness)
    }
}

/// Contents of a packet as the server read them: the client's key and the message.
type Observation = Result<(Option<PublicKey>, Vec<u8>), Refusal>;

/// Opens requests, reports what they say, and answers all but those that begin with `report`.
fn serve(server: &Server, socket: &UdpSocket, observed: &Sender<Observation>, mut answer: impl FnMut(&[u8]) -> String) {
    let mut buffer = [0; 2048];
    let mut reply = [0; 2048];
    while let Ok((len, peer)) = socket.recv_from(&mut buffer) {
        let observation = server.open_request(&mut buffer[..len]).map(|request| {
            let (message, client_key, sealer) = request.into_parts();
            let packet = (!message.starts_with(b"report"))
                .then(|| sealer.seal(&mut SysRng, answer(message).as_bytes(), &mut reply).ok());
            // A reply that is not sent is missed by the client.
            let _sent = packet.flatten().map(|packet| socket.send_to(packet, peer));
            (client_key, message.to_vec())
        });
        if observed.send(observation).is_err() {
            return;
        }
    }
}

/// Returns a function of the request alone, so that the server seals the same bytes for the same
/// request.
fn answer(message: &[u8]) -> String {
    format!("{} bytes received", message.len())
}

/// The sockets of the client and the attacker, and the text that describes their packets.
struct Show<'o> {
    client: UdpSocket,
    path: UdpSocket,
    server_address: SocketAddr,
    observations: Receiver<Observation>,
    output: &'o mut dyn Write,
}

impl Show<'_> {
    fn say(&mut self, line: &str) -> Result<(), Error> {
        writeln!(self.output, "{line}").map_err(Error::Output)
    }

    /// Seals a message, carries it to the server and its reply back, after the forgery. Returns the
    /// true reply.
    fn transaction(&mut self, peer: &Peer, message: &[u8], forgery: Option<Forgery>) -> Result<Vec<u8>, Error> {
        let (packet, pending) = peer.seal(message)?;
        self.carry_request(&packet, peer, message)?;
        let reply = receive(&self.path)?;
        if let Some(forgery) = forgery {
            let (what, forged) = match forgery {
                Forgery::FlippedBit => {
                    let mut forged = reply.clone();
                    *forged.last_mut().ok_or_else(|| broken("the reply is empty"))? ^= 1;
                    ("a forged reply", forged)
                }
                Forgery::Replay(old) => ("an old reply", old),
            };
            self.say(&format!("   attacker → client  {:2} bytes, {what}", forged.len()))?;
            let Err(cause) = self.deliver(&forged, &pending)? else {
                return Err(broken(format_args!("the client accepted {what}")));
            };
            self.say(&format!("   client    refused it: {cause} ({}), and waits on", cause.name()))?;
        }
        self.take_true_reply(&reply, &pending, message)?;
        Ok(reply)
    }

    /// Loses the reply on the way: the client sends the same bytes again, and so does the server.
    fn lost_reply(&mut self, peer: &Peer) -> Result<(), Error> {
        let message = b"is gate 7 open?";
        let (packet, pending) = peer.seal(message)?;
        self.carry_request(&packet, peer, message)?;
        let lost = receive(&self.path)?;
        self.say("   attacker  swallows the reply; the client sends the same bytes again")?;
        self.carry_request(&packet, peer, message)?;
        let reply = receive(&self.path)?;
        if reply != lost {
            return Err(broken("the server answered the same request with other bytes"));
        }
        self.take_true_reply(&reply, &pending, message)
    }

    /// Carries a request from the client to the path and on to the server, and checks what the
    /// server learned.
    fn carry_request(&mut self, packet: &[u8], peer: &Peer, message: &[u8]) -> Result<(), Error> {
        let is_authenticated = Header::parse(packet).is_ok_and(Header::has_client_auth);
        let overhead = Suite::default().request_overhead(is_authenticated);
        self.say(&format!("   client → server   {:3} bytes = {overhead} + {}", packet.len(), packet.len() - overhead))?;

        send(&self.client, packet, address_of(&self.path)?)?;
        send(&self.path, &receive(&self.path)?, self.server_address)?;
        let observation = self.observations.recv_timeout(PATIENCE);
        let (client_key, learned) = observation
            .map_err(|_| broken("the server stopped, or took too long"))?
            .map_err(|cause| broken(format_args!("the server refused a true request: {cause}")))?;
        let text = format!("{:?}, {}", String::from_utf8_lossy(&learned), sender(client_key));
        self.say(&format!("   server    learned {text}"))?;
        if learned != message || client_key != peer.key {
            return Err(broken("the server learned another message, or another sender, than there was"));
        }
        Ok(())
    }

    fn take_true_reply(&mut self, reply: &[u8], pending: &PendingReply, request: &[u8]) -> Result<(), Error> {
        let overhead = Suite::default().reply_overhead(false);
        let message_len = reply.len().saturating_sub(overhead);
        self.say(&format!("   server → client   {:3} bytes = {overhead} + {message_len}", reply.len()))?;
        let opened = self.deliver(reply, pending)?;
        let message = opened.map_err(|cause| broken(format_args!("the client refused the true reply: {cause}")))?;
        let message = String::from_utf8_lossy(&message);
        self.say(&format!(
            "   client    learned {message:?}, from the holder of the server's key, to this very request"
        ))?;
        if message != answer(request) {
            return Err(broken("the client learned another answer than the server gives"));
        }
        Ok(())
    }

    /// Sends a packet from the path to the client, which tries to open it.
    fn deliver(&self, packet: &[u8], pending: &PendingReply) -> Result<Result<Vec<u8>, Refusal>, Error> {
        send(&self.path, packet, address_of(&self.client)?)?;
        Ok(pending.open_to_vec(&receive(&self.client)?))
    }
}

fn bind() -> Result<UdpSocket, Error> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::Network)
}

fn address_of(socket: &UdpSocket) -> Result<SocketAddr, Error> {
    socket.local_addr().map_err(Error::Network)
}

fn send(socket: &UdpSocket, packet: &[u8], to: SocketAddr) -> Result<(), Error> {
    socket.send_to(packet, to).map(|_| ()).map_err(Error::Network)
}

fn receive(socket: &UdpSocket) -> Result<Vec<u8>, Error> {
    let mut buffer = vec![0; 2048];
    socket.set_read_timeout(Some(PATIENCE)).map_err(Error::Network)?;
    let len = socket.recv(&mut buffer).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            broken(format_args!("no packet arrived within {} s", PATIENCE.as_secs()))
        }
        _ => Error::Network(error),
    })?;
    buffer.truncate(len);
    Ok(buffer)
}

fn broken(cause: impl fmt::Display) -> Error {
    Error::BrokenPromise(cause.to_string())
}

fn sender(client_key: Option<PublicKey>) -> String {
    client_key.map_or_else(|| "from an anonymous client".into(), |key| format!("from client {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_ends_as_its_title_says() {
        let mut output = Vec::new();
        run(&mut output).unwrap();
        let output = String::from_utf8(output).unwrap();
        for line in ["(decrypt_failed), and waits on", "(reply_mismatch), and waits on", "All went as it should."] {
            assert!(output.contains(line), "{line} is not in\n{output}");
        }
    }

    /// Runs with another server, and returns why the demonstration failed.
    fn failure(serve: impl FnOnce(Server, UdpSocket, Sender<Observation>) + Send + 'static) -> String {
        match run_with(&mut io::sink(), serve) {
            Err(Error::BrokenPromise(cause)) => cause,
            other => panic!("expected a broken promise, not {other:?}"),
        }
    }

    #[test]
    fn a_server_that_cannot_open_requests_fails() {
        let cause = failure(|_, socket, observed| {
            serve(&Server::new(SecretKey::from_bytes([7; 32])), &socket, &observed, answer);
        });
        assert!(cause.starts_with("the server refused a true request"), "{cause}");
    }

    #[test]
    fn a_server_that_learns_something_else_fails() {
        for (forget_sender, message) in [(true, &b"report: gauge 7 reads 2.41 m"[..]), (false, b"something else")] {
            let cause = failure(move |server, socket, observed| {
                let (sender, observations) = channel();
                std::thread::spawn(move || serve(&server, &socket, &sender, answer));
                for observation in observations {
                    let changed = observation.map(|(key, learned): (Option<PublicKey>, Vec<u8>)| {
                        let is_report = learned.starts_with(b"report");
                        let learned = if is_report { message.to_vec() } else { learned };
                        (key.filter(|_| !(is_report && forget_sender)), learned)
                    });
                    if observed.send(changed).is_err() {
                        return;
                    }
                }
            });
            assert_eq!(cause, "the server learned another message, or another sender, than there was");
        }
    }

    #[test]
    fn an_answer_to_something_else_fails() {
        let cause = failure(|server, socket, observed| {
            serve(&server, &socket, &observed, |_| "0 bytes received".into());
        });
        assert_eq!(cause, "the client learned another answer than the server gives");
    }

    #[test]
    fn a_server_that_changes_its_answer_to_a_repeated_request_fails() {
        let mut answered = 0;
        let cause = failure(move |server, socket, observed| {
            serve(&server, &socket, &observed, |message| {
                answered += 1;
                // The report is not answered, so the repeated request is the sixth.
                if answered < 6 { answer(message) } else { "changed".into() }
            });
        });
        assert_eq!(cause, "the server answered the same request with other bytes");
    }

    #[test]
    fn a_closed_output_is_an_error() {
        let mut closed: &mut [u8] = &mut [];
        assert!(matches!(run(&mut closed), Err(Error::Output(_))));
    }
}
