//! Parts of a transaction, called directly: the least that it could cost.
#![allow(dead_code, reason = "each benchmark uses a part")]

use std::hint::black_box;
use std::time::Instant;

use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::{KeyInit, aead::AeadInOut};
use graviola::key_agreement::x25519::{PublicKey as X25519PublicKey, StaticPrivateKey};
use pssst::{Client, KeyCheck, PublicKey, SecretKey, Server, Suite, SysRng};
use sha2::{Digest, Sha256};

/// One multiplication, scalar and point as bytes, as the protocol has them.
pub(crate) fn x25519(scalar: &[u8; 32], point: &[u8; 32]) -> [u8; 32] {
    StaticPrivateKey::from_array(scalar).diffie_hellman(&X25519PublicKey::from_array(point)).unwrap().as_bytes()
}

/// One multiplication of the base point.
pub(crate) fn x25519_base(scalar: &[u8; 32]) -> [u8; 32] {
    StaticPrivateKey::from_array(scalar).public_key().as_bytes()
}

/// The hash of a key derivation over this many bytes.
pub(crate) fn sha256(input: &[u8]) -> [u8; 32] {
    Sha256::digest(input).into()
}

/// Two calls under one fresh key: the set-up, and a message opened and one sealed.
pub(crate) struct Aead {
    key: [u8; 16],
    sealed: Vec<u8>,
    tag: [u8; 16],
    opened: Vec<u8>,
    suite: Suite,
}

impl Aead {
    pub(crate) fn new(suite: Suite, len: usize) -> Self {
        let key = [7; 16];
        let mut sealed = vec![0; len];
        let tag = match suite {
            Suite::X25519Aes256GcmSiv => seal(&aes_gcm_siv::Aes256GcmSiv::new(&key.into()), &mut sealed),
            _ => seal(&aes_gcm::Aes128Gcm::new(&key.into()), &mut sealed),
        };
        Self { key, opened: sealed.clone(), sealed, tag, suite }
    }

    pub(crate) fn open_and_seal(&mut self) -> [u8; 16] {
        match self.suite {
            Suite::X25519Aes256GcmSiv => self.open_and_seal_with::<aes_gcm_siv::Aes256GcmSiv>(),
            _ => self.open_and_seal_with::<aes_gcm::Aes128Gcm>(),
        }
    }

    /// Does the work for a packet that was sealed under another key of suite 1.
    pub(crate) fn refuse(&mut self) {
        let aead = aes_gcm::Aes128Gcm::new_from_slice(&self.key).unwrap();
        let wrong = (&[0; 16]).into();
        let body = self.opened.as_mut_slice().into();
        assert!(aead.decrypt_inout_detached(&NONCE.into(), &HEADER, body, wrong).is_err());
    }

    fn open_and_seal_with<A: AeadInOut<NonceSize = U12, TagSize = U16> + KeyInit>(&mut self) -> [u8; 16] {
        self.opened.copy_from_slice(&self.sealed);
        let aead = A::new_from_slice(&self.key).unwrap();
        open(&aead, &mut self.opened, &self.tag);
        seal(&aead, &mut self.opened)
    }
}

const NONCE: [u8; 12] = *b"12345678RQST";
const HEADER: [u8; 4] = [0, 0, 0, 1];

fn seal<A: AeadInOut<NonceSize = U12, TagSize = U16>>(aead: &A, body: &mut [u8]) -> [u8; 16] {
    aead.encrypt_inout_detached(&NONCE.into(), &HEADER, body.into()).unwrap().into()
}

fn open<A: AeadInOut<NonceSize = U12, TagSize = U16>>(aead: &A, body: &mut [u8], tag: &[u8; 16]) {
    aead.decrypt_inout_detached(&NONCE.into(), &HEADER, body.into(), tag.into()).unwrap();
}

/// A server, and a client of it.
pub(crate) fn ends(suite: Suite, authenticated: bool) -> (Server, Client) {
    let secret = SecretKey::generate(&mut SysRng).unwrap();
    let mut client = Client::new(secret.public_key()).unwrap().with_suite(suite).unwrap();
    if authenticated {
        client = client.with_identity(&SecretKey::generate(&mut SysRng).unwrap()).unwrap();
    }
    (Server::new(secret), client)
}

/// Opens a request whose client is enrolled, or anonymous, and answers with its message.
pub(crate) fn open_and_seal(server: &Server, packet: &[u8], buffer: &mut [u8], reply: &mut [u8]) -> usize {
    buffer.copy_from_slice(packet);
    let request = server.open_request_with(buffer, &|_: &PublicKey| KeyCheck::Accept).unwrap();
    let (message, _, sealer) = request.into_parts();
    sealer.seal(&mut SysRng, message, reply).unwrap().len()
}

/// Opens and answers many together, into buffers of their lengths. Counts those that were opened;
/// the rest is refused.
pub(crate) fn open_batch_and_seal(
    server: &Server,
    packets: &[Vec<u8>],
    buffers: &mut [Vec<u8>],
    reply: &mut [u8],
) -> usize {
    for (packet, buffer) in packets.iter().zip(&mut *buffers) {
        buffer.copy_from_slice(packet);
    }
    let mut opened = 0;
    let buffers = buffers.iter_mut().map(Vec::as_mut_slice);
    server.open_batch(buffers, &|_: &PublicKey| KeyCheck::Accept, |_, outcome| {
        if let Ok(request) = outcome {
            let (message, _, sealer) = request.into_parts();
            black_box(sealer.seal(&mut SysRng, message, reply).unwrap());
            opened += 1;
        }
    });
    opened
}

/// Microseconds of one call, of several.
#[expect(clippy::disallowed_methods, reason = "a benchmark has a clock; the protocol has none")]
pub(crate) fn time(calls: u32, call: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        call();
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Every suite in both modes, with a name.
pub(crate) const KINDS: [(&str, Suite, bool); 4] = [
    ("suite 1, anonymous", Suite::X25519AesGcm128, false),
    ("suite 1, authenticated", Suite::X25519AesGcm128, true),
    ("suite f002, anonymous", Suite::X25519Aes256GcmSiv, false),
    ("suite f002, authenticated", Suite::X25519Aes256GcmSiv, true),
];
