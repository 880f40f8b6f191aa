//! Both ends of the protocol, with keys, random bytes and messages that valgrind takes for
//! uninitialised memory. It then reports every conditional jump and every address that depends on
//! one of them.
//!
//! ```sh
//! valgrind --read-inline-info=yes target/release/protocol server 2>&1 | scripts/check-disclosures
//! ```
//!
//! Some outcomes are not secret, and are branched upon: whether a tag holds, for instance.
//! `scripts/check-disclosures` knows these lines.

use std::convert::Infallible;
use std::process::ExitCode;

use pssst::rand_core::{TryCryptoRng, TryRng};
use pssst::{
    Client, ClientCheck, ClientClaim, KeyCheck, Keyring, Padding, PendingReply, Product, PskMaster, PublicKey, Refusal,
    SecretKey, Server, SharedSecret, Suite, UnsealedRequest, X25519, XWingPublicKey, XWingSecretKey,
};
use x25519_batch_constant_time::leak_by_branch;
use x25519_batch_constant_time::valgrind::{conceal, disclose, is_concealed, is_running};

const SERVER_SECRET: [u8; 32] = [0x51; 32];
const XWING_SECRET: [u8; 32] = [0x52; 32];
const CLIENT_SECRET: [u8; 32] = [0x53; 32];
const MASTERS: [[u8; 32]; 2] = [[0x54; 32], [0x55; 32]];
const MESSAGE: [u8; 40] = [0x2a; 40];

/// A way of sending a request.
#[derive(Clone, Copy, Debug)]
struct Kind {
    suite: Suite,
    is_authenticated: bool,
    has_psk: bool,
    is_fresh: bool,
    is_padded: bool,
}

fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for suite in [Suite::X25519AesGcm128, Suite::X25519Aes256GcmSiv, Suite::XWingAes256GcmSiv] {
        for (is_authenticated, has_psk, is_fresh, is_padded) in [
            (false, false, false, false),
            (true, false, false, false),
            (true, true, false, false),
            (false, false, true, false),
            (true, true, true, true),
        ] {
            if suite != Suite::X25519AesGcm128 || !(has_psk || is_fresh) {
                kinds.push(Kind { suite, is_authenticated, has_psk, is_fresh, is_padded });
            }
        }
    }
    kinds
}

fn main() -> ExitCode {
    if !is_running() {
        eprintln!("this says something under valgrind only");
        return ExitCode::from(2);
    }
    let x25519 = X25519::new();
    println!("X25519 by {:?}, one by one by {:?}", x25519.batch_backend(), x25519.single_backend());
    match std::env::args().nth(1).as_deref() {
        Some("server") => kinds().into_iter().for_each(serve),
        Some("client") => kinds().into_iter().for_each(send),
        Some("leak") => {
            let mut secret = CLIENT_SECRET;
            conceal(&mut secret);
            std::hint::black_box(leak_by_branch(&secret));
        }
        _ => {
            eprintln!("usage: protocol server|client|leak");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// The server's secrets are concealed: its keys, masters, and the table of what it shares with
/// clients.
fn serve(kind: Kind) {
    println!("server, {kind:?}");
    let client = client(kind, CLIENT_SECRET, &MASTERS[1]);
    let server = server(kind, concealed);
    let (packet, pending) = client.seal_request_to_vec(&mut Counter(1), &MESSAGE).unwrap();

    // One by one, and in batches: with Z2 from the table, and computed.
    for is_precomputed in [false, true] {
        let check = check(kind, is_precomputed);
        let mut packet = packet.clone();
        let request = server.open_request_with(&mut packet, &check).unwrap();
        answer(request, &pending);

        let mut packets = vec![packet_of(&client); 5];
        // A claim that does not hold, a tag that does not, and what is in the place of a ciphertext
        // of ML-KEM, of M, or of the body.
        let claim = client.overhead() - 17;
        packets[1][claim] ^= 1;
        *packets[2].last_mut().unwrap() ^= 1;
        packets[3][40] ^= 1;
        let mut outcomes = Vec::new();
        server.open_batch(packets.iter_mut().map(Vec::as_mut_slice), &check, |_, outcome| {
            outcomes.push(outcome.map(|request| assert!(is_concealed(&request.message()[0]))).err());
        });
        let failed = Some(Refusal::DecryptFailed);
        assert_eq!(outcomes, [None, failed, failed, failed, None]);
    }
    // Handled with a Z2 that nobody has.
    if kind.is_authenticated && kind.suite != Suite::X25519AesGcm128 {
        let mut packet = packet;
        let outcome = server.open_request_with(&mut packet, &Check { z2: None, is_precomputed: true });
        assert_eq!(outcome.err(), Some(Refusal::DecryptFailed));
    }
}

fn packet_of(client: &Client) -> Vec<u8> {
    client.seal_request_to_vec(&mut Counter(2), &MESSAGE).unwrap().0
}

/// Compares what was opened, and lets the client open a reply to it.
fn answer(request: pssst::Request<'_>, pending: &PendingReply) {
    let (message, client_key, sealer) = request.into_parts();
    assert!(message.iter().all(is_concealed), "valgrind lost sight of the secrets");
    disclose(message);
    assert_eq!(message, MESSAGE);
    if let Some(key) = client_key {
        let mut key = *key.as_bytes();
        assert!(is_concealed(&key), "valgrind lost sight of the secrets");
        disclose(&mut key);
        assert_eq!(key, *SecretKey::from_bytes(CLIENT_SECRET).public_key().as_bytes());
    }
    let mut reply_message = MESSAGE;
    conceal(&mut reply_message);
    let mut reply = sealer.seal_to_vec(&mut Concealed(Counter(3)), &reply_message).unwrap();
    assert!(reply[reply.len() - 16..].iter().all(is_concealed), "valgrind lost sight of the secrets");
    disclose(&mut reply);
    assert_eq!(pending.open(&mut reply).unwrap(), MESSAGE);
}

/// The client's secrets are concealed: its key, its pre-shared key, what it draws, and its message.
fn send(kind: Kind) {
    println!("client, {kind:?}");
    let client = client(kind, concealed(CLIENT_SECRET), &concealed(MASTERS[1]));
    let server = server(kind, |bytes| bytes);
    let mut message = MESSAGE;
    conceal(&mut message);

    let (mut packet, pending) = client.seal_request_to_vec(&mut Concealed(Counter(1)), &message).unwrap();
    assert!(packet[4..36].iter().all(is_concealed), "valgrind lost sight of the secrets");
    receive(kind, &server, &mut packet, &pending);

    let mut buffers = [(); 5].map(|()| vec![0; client.packet_len(message.len()).unwrap()]);
    let requests = buffers.iter_mut().map(|buffer| UnsealedRequest { client: &client, message: &message, buffer });
    let mut all_pending = Vec::new();
    Client::seal_batch(&mut Concealed(Counter(2)), requests, |_, outcome| all_pending.push(outcome.unwrap().1));
    for (packet, pending) in buffers.iter_mut().zip(&all_pending) {
        receive(kind, &server, packet, pending);
    }
}

/// Opens a packet once it is public, and lets the client open the reply.
fn receive(kind: Kind, server: &Server, packet: &mut [u8], pending: &PendingReply) {
    disclose(packet);
    let request = server.open_request_with(packet, &check(kind, false)).unwrap();
    assert_eq!(request.message(), MESSAGE);
    let mut reply = request.into_reply_sealer().seal_to_vec(&mut Counter(3), &MESSAGE).unwrap();
    let opened = pending.open(&mut reply).unwrap();
    assert!(opened.iter().all(is_concealed), "valgrind lost sight of the secrets");
    disclose(opened);
    assert_eq!(opened, MESSAGE);
}

fn client(kind: Kind, secret: [u8; 32], master: &[u8; 32]) -> Client {
    let xwing = XWingSecretKey::from_bytes(XWING_SECRET).public_key();
    let anonymous = match kind.suite {
        Suite::XWingAes256GcmSiv => Client::new(xwing),
        _ => Client::new(SecretKey::from_bytes(SERVER_SECRET).public_key()),
    };
    let mut client = anonymous.unwrap().with_suite(kind.suite).unwrap();
    if kind.is_authenticated {
        client = client.with_identity(&SecretKey::from_bytes(secret)).unwrap();
    }
    if kind.has_psk {
        let client_key = SecretKey::from_bytes(CLIENT_SECRET).public_key();
        client = client.with_psk(PskMaster::from_bytes(*master).psk(&client_key)).unwrap();
    }
    if kind.is_fresh {
        client = client.with_fresh_replies().unwrap();
    }
    let padding = if kind.is_padded { Padding::ToLength(client.overhead() + 100) } else { Padding::None };
    client.with_padding(padding).unwrap()
}

fn server(kind: Kind, hide: impl Fn([u8; 32]) -> [u8; 32]) -> Server {
    let keyring = Keyring::new(SecretKey::from_bytes(hide(SERVER_SECRET)));
    let keyring = if kind.suite == Suite::XWingAes256GcmSiv {
        keyring.with_xwing_key(&XWingSecretKey::from_bytes(hide(XWING_SECRET))).unwrap()
    } else {
        keyring
    };
    Server::new(keyring).with_psk_masters(MASTERS.map(|master| PskMaster::from_bytes(hide(master)))).unwrap()
}

/// Accepts everyone; has Z2 of one client, of none, or does not look up.
struct Check {
    z2: Option<Product>,
    is_precomputed: bool,
}

fn check(kind: Kind, is_precomputed: bool) -> Check {
    let server_key = match kind.suite {
        Suite::XWingAes256GcmSiv => XWingPublicKey::x25519_part(&XWingSecretKey::from_bytes(XWING_SECRET).public_key()),
        _ => SecretKey::from_bytes(SERVER_SECRET).public_key(),
    };
    let z2 = SecretKey::from_bytes(CLIENT_SECRET).shared_secret(&server_key).ok();
    Check { z2, is_precomputed }
}

impl ClientCheck for Check {
    fn check(&self, _: &ClientClaim<'_>) -> KeyCheck {
        KeyCheck::Accept
    }

    fn look_up(&self, claim: &ClientClaim<'_>) -> SharedSecret {
        let _: &PublicKey = claim.key();
        match (&self.z2, self.is_precomputed) {
            (_, false) => SharedSecret::Compute,
            (Some(z2), true) => SharedSecret::Known(concealed(*z2.as_bytes()).into()),
            (None, true) => SharedSecret::Unknown,
        }
    }
}

fn concealed(mut bytes: [u8; 32]) -> [u8; 32] {
    conceal(&mut bytes);
    bytes
}

/// Stands for a generator: each call gives other bytes.
struct Counter(u8);

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(5).wrapping_add(1);
            *byte = self.0;
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}

/// A generator whose bytes are concealed.
struct Concealed(Counter);

impl TryRng for Concealed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.try_fill_bytes(bytes)?;
        conceal(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Concealed {}
