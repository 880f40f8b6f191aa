//! A demonstration of PSSST: real transactions between a server and a client over UDP on loopback, with an
//! attacker on the path between them who forges and replays.
//!
//! It needs the protocol crate and the standard library only, so it is built in seconds:
//!
//! ```sh
//! cargo run --release -p pssst-demo
//! ```
//!
//! Everything is one process. The server is a thread of its own; client and attacker share the main thread,
//! so that what the attacker sends arrives before the true reply. The demonstration checks what it shows:
//! it fails when a forgery is accepted, or when the true reply is not.

use std::fmt;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use pssst::{
    AUTHENTICATED_OVERHEAD, Client, Header, OVERHEAD, PendingReply, PublicKey, Refusal, SecretKey, Server, Suite,
    SysRng, X25519,
};

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
    /// A socket failed, or a promise of the protocol did not hold.
    Failed(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Randomness(error) => error.fmt(f),
            Self::Output(error) => write!(f, "cannot write: {error}"),
            Self::Failed(cause) => write!(
                f,
                "the demonstration failed: {cause}\nit needs UDP on 127.0.0.1; if a sandbox or firewall forbids that, \
                 allow it, else please report this"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// Runs the demonstration, and describes each step on `output`.
///
/// # Errors
/// When a socket, the output or the random number generator fails, and when a promise of the protocol does
/// not hold.
pub fn run(output: &mut dyn Write) -> Result<(), Error> {
    let secret = SecretKey::generate(&mut SysRng).map_err(Error::Randomness)?;
    let identity = SecretKey::generate(&mut SysRng).map_err(Error::Randomness)?;
    let server_key = secret.public_key();
    let anonymous = Client::new(server_key).map_err(|error| broke(&error))?;
    let authenticated = Client::new(server_key)
        .and_then(|client| client.with_identity(&identity))
        .map_err(|error| broke(&error))?
        .with_suite(Suite::X25519Aes128GcmSiv);

    let server_socket = bind()?;
    let server_address = address_of(&server_socket)?;
    let (tell, learned) = channel();
    // Ends with the process: it holds nothing that anybody would miss.
    std::thread::spawn(move || serve(&Server::new(secret), &server_socket, &tell));

    let x25519 = X25519::new();
    let mut show = Show { client: bind()?, path: bind()?, server_address, learned, output };
    show.say(&format!(
        "PSSST on loopback: a server, a client, and an attacker who holds the path between them\n\
         \n  server    {server_address}, public key {server_key}\
         \n  client    {}, identity {}\
         \n  attacker  {}, passes on every packet, keeps copies, makes its own\
         \n  X25519    {:?}, in batches {:?}",
        address_of(&show.client)?,
        identity.public_key(),
        address_of(&show.path)?,
        x25519.single_backend(),
        x25519.batch_backend(),
    ))?;

    show.say("\n1. An anonymous transaction (suite 1, which every implementation speaks)")?;
    let old_reply = show.transaction(&anonymous, b"water level at gauge 7?", None)?;

    show.say("\n2. An authenticated transaction (suite 0xf001, ours): the client proves who it is in the same packet")?;
    show.transaction(&authenticated, b"open gate 7", None)?;

    show.say("\n3. A one-way message: nothing is kept to open a reply with")?;
    let (packet, pending) = seal(&authenticated, b"report: gauge 7 reads 2.41 m")?;
    drop(pending);
    show.carry_request(&packet)?;
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

/// What the attacker delivers before the true reply.
enum Forgery {
    FlippedBit,
    Replay(Vec<u8>),
}

/// The server answers everything but reports, and tells the demonstration what it learned.
fn serve(server: &Server, socket: &UdpSocket, tell: &Sender<String>) {
    let mut buffer = [0; 2048];
    let mut reply = [0; 2048];
    while let Ok((len, peer)) = socket.recv_from(&mut buffer) {
        let told = match server.open_request(&mut buffer[..len]) {
            Ok(request) => {
                let sender = sender(request.client_key());
                let message = String::from_utf8_lossy(request.message()).into_owned();
                if !message.starts_with("report") {
                    // A function of the request alone, so that the same request gets the same bytes again.
                    let answer = format!("{} bytes received", message.len());
                    match request.into_reply_sealer().seal(answer.as_bytes(), &mut reply) {
                        Ok(packet) if socket.send_to(packet, peer).is_ok() => {}
                        _ => return,
                    }
                }
                format!("{message:?}, {sender}")
            }
            Err(cause) => format!("nothing: {cause}"),
        };
        if tell.send(told).is_err() {
            return;
        }
    }
}

/// The client, the path, and what is told of them.
struct Show<'o> {
    client: UdpSocket,
    path: UdpSocket,
    server_address: SocketAddr,
    learned: Receiver<String>,
    output: &'o mut dyn Write,
}

impl Show<'_> {
    fn say(&mut self, line: &str) -> Result<(), Error> {
        writeln!(self.output, "{line}").map_err(Error::Output)
    }

    /// Seals a message and carries it to the server and its reply back, after the forgery. Returns the true reply.
    fn transaction(&mut self, client: &Client, message: &[u8], forgery: Option<Forgery>) -> Result<Vec<u8>, Error> {
        let (packet, pending) = seal(client, message)?;
        self.carry_request(&packet)?;
        let reply = receive(&self.path)?;
        if let Some(forgery) = forgery {
            let (what, forged) = match forgery {
                Forgery::FlippedBit => {
                    let mut forged = reply.clone();
                    forged[OVERHEAD - 10] ^= 1;
                    ("a forged reply", forged)
                }
                Forgery::Replay(old) => ("an old reply", old),
            };
            self.say(&format!("   attacker → client  {:2} bytes, {what}", forged.len()))?;
            let Err(cause) = self.deliver(&forged, &pending)? else {
                return Err(broke(&"the client took a forged reply"));
            };
            self.say(&format!("   client    refused it: {cause} ({}), and waits on", cause.name()))?;
        }
        self.take_true_reply(&reply, &pending)?;
        Ok(reply)
    }

    /// The reply is lost on the way, so the same bytes go out again and are answered alike.
    fn lost_reply(&mut self, client: &Client) -> Result<(), Error> {
        let (packet, pending) = seal(client, b"is gate 7 open?")?;
        self.carry_request(&packet)?;
        let lost = receive(&self.path)?;
        self.say("   attacker  swallows the reply; the client sends the same bytes again")?;
        self.carry_request(&packet)?;
        let reply = receive(&self.path)?;
        if reply != lost {
            return Err(broke(&"the server answered the same request with other bytes"));
        }
        self.take_true_reply(&reply, &pending)
    }

    /// From the client to the path, and on to the server.
    fn carry_request(&mut self, packet: &[u8]) -> Result<(), Error> {
        let is_authenticated = Header::of(packet).is_ok_and(Header::has_client_auth);
        let overhead = if is_authenticated { AUTHENTICATED_OVERHEAD } else { OVERHEAD };
        self.say(&format!("   client → server   {:3} bytes = {overhead} + {}", packet.len(), packet.len() - overhead))?;

        send(&self.client, packet, address_of(&self.path)?)?;
        send(&self.path, &receive(&self.path)?, self.server_address)?;
        let told = self.learned.recv_timeout(PATIENCE).map_err(|error| broke(&error))?;
        self.say(&format!("   server    learned {told}"))
    }

    fn take_true_reply(&mut self, reply: &[u8], pending: &PendingReply) -> Result<(), Error> {
        let message_len = reply.len() - OVERHEAD;
        self.say(&format!("   server → client   {:3} bytes = {OVERHEAD} + {message_len}", reply.len()))?;
        let message = self.deliver(reply, pending)?.map_err(|error| broke(&error))?;
        let message = String::from_utf8_lossy(&message).into_owned();
        self.say(&format!(
            "   client    learned {message:?}, from the holder of the server's key, to this very request"
        ))
    }

    /// Path to client, which tries to open it.
    fn deliver(&self, packet: &[u8], pending: &PendingReply) -> Result<Result<Vec<u8>, Refusal>, Error> {
        send(&self.path, packet, address_of(&self.client)?)?;
        Ok(pending.open_to_vec(&receive(&self.client)?))
    }
}

fn seal(client: &Client, message: &[u8]) -> Result<(Vec<u8>, PendingReply), Error> {
    client.seal_request_to_vec(&mut SysRng, message).map_err(Error::Randomness)
}

fn bind() -> Result<UdpSocket, Error> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| broke(&error))
}

fn address_of(socket: &UdpSocket) -> Result<SocketAddr, Error> {
    socket.local_addr().map_err(|error| broke(&error))
}

fn send(socket: &UdpSocket, packet: &[u8], to: SocketAddr) -> Result<(), Error> {
    socket.send_to(packet, to).map(|_| ()).map_err(|error| broke(&error))
}

fn receive(socket: &UdpSocket) -> Result<Vec<u8>, Error> {
    let mut buffer = vec![0; 2048];
    let read = socket.set_read_timeout(Some(PATIENCE)).and_then(|()| socket.recv(&mut buffer));
    buffer.truncate(read.map_err(|error| broke(&error))?);
    Ok(buffer)
}

fn broke(cause: &dyn fmt::Display) -> Error {
    Error::Failed(cause.to_string())
}

fn sender(client_key: Option<&PublicKey>) -> String {
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

    #[test]
    fn a_closed_output_is_an_error() {
        let mut closed: &mut [u8] = &mut [];
        assert!(matches!(run(&mut closed), Err(Error::Output(_))));
    }
}
