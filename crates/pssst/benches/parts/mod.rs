//! Parts of a transaction, called directly: the least that it could cost.
#![allow(dead_code, reason = "each benchmark uses a part")]

use std::hint::black_box;
use std::time::Instant;

use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::{KeyInit, aead::AeadInOut};
use graviola::key_agreement::mlkem768::{Ciphertext, DecapKey};
use graviola::key_agreement::x25519::{PublicKey as X25519PublicKey, StaticPrivateKey};
use pssst::{
    Client, ClientCheck, ClientClaim, KeyCheck, Keyring, Padding, PublicKey, ReplySealer, Request, SecretKey, Server,
    ServerKey, SharedSecret, Suite, SysRng, XWingSecretKey,
};
use sha2::{Digest, Sha256};
use sha3::Sha3_256;

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

/// ML-KEM's part of X-Wing, and the combiner.
pub(crate) struct Kem {
    key: DecapKey,
    ciphertext: Vec<u8>,
}

impl Kem {
    /// Takes the ciphertext from a request. Any other key gives an equal amount of work.
    pub(crate) fn new(request: &[u8]) -> Self {
        Self { key: DecapKey::keygen_internal(&[3; 64]), ciphertext: request[36..36 + 1088].to_vec() }
    }

    pub(crate) fn decapsulate(&self) -> [u8; 32] {
        let ciphertext: [u8; 1088] = self.ciphertext.as_slice().try_into().unwrap();
        let secret = self.key.decaps_internal(&Ciphertext::from(ciphertext));
        let hash = Sha3_256::new().chain_update(secret.as_ref()).chain_update([1; 3 * 32 + 6]);
        hash.finalize().into()
    }
}

/// One request opened and one reply sealed by the AEAD alone.
pub(crate) struct Aead {
    key: [u8; 32],
    sealed: Vec<u8>,
    tag: [u8; 16],
    opened: Vec<u8>,
    suite: Suite,
    has_two_keys: bool,
}

impl Aead {
    /// A fresh reply has a key of its own.
    pub(crate) fn new(kind: Kind, len: usize) -> Self {
        let key = [7; 32];
        let mut sealed = vec![0; len];
        let tag = match kind.suite {
            Suite::X25519AesGcm128 => seal(&aes_gcm::Aes128Gcm::new_from_slice(&key[..16]).unwrap(), &mut sealed),
            _ => seal(&aes_gcm_siv::Aes256GcmSiv::new(&key.into()), &mut sealed),
        };
        Self { key, opened: sealed.clone(), sealed, tag, suite: kind.suite, has_two_keys: kind.is_fresh }
    }

    pub(crate) fn open_and_seal(&mut self) -> [u8; 16] {
        match self.suite {
            Suite::X25519AesGcm128 => self.open_and_seal_with::<aes_gcm::Aes128Gcm>(16),
            _ => self.open_and_seal_with::<aes_gcm_siv::Aes256GcmSiv>(32),
        }
    }

    /// Does the work for a packet that was sealed under another key.
    pub(crate) fn refuse(&mut self) {
        match self.suite {
            Suite::X25519AesGcm128 => self.refuse_with::<aes_gcm::Aes128Gcm>(16),
            _ => self.refuse_with::<aes_gcm_siv::Aes256GcmSiv>(32),
        }
    }

    fn refuse_with<A: AeadInOut<NonceSize = U12, TagSize = U16> + KeyInit>(&mut self, key_len: usize) {
        let aead = A::new_from_slice(&self.key[..key_len]).unwrap();
        let wrong = (&[0; 16]).into();
        let body = self.opened.as_mut_slice().into();
        assert!(aead.decrypt_inout_detached(&NONCE.into(), &HEADER, body, wrong).is_err());
    }

    fn open_and_seal_with<A: AeadInOut<NonceSize = U12, TagSize = U16> + KeyInit>(
        &mut self,
        key_len: usize,
    ) -> [u8; 16] {
        self.opened.copy_from_slice(&self.sealed);
        let aead = A::new_from_slice(&self.key[..key_len]).unwrap();
        open(&aead, &mut self.opened, &self.tag);
        let aead = if self.has_two_keys { A::new_from_slice(black_box(&self.key[..key_len])).unwrap() } else { aead };
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

/// Whether the client proves who it is, and where the server takes Z2 from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    Anonymous,
    /// Z2 is computed for each request; suite 1 knows nothing else.
    OnDemand,
    /// Z2 comes from a table.
    Ahead,
}

/// Kind of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) suite: Suite,
    pub(crate) identity: Identity,
    pub(crate) is_fresh: bool,
    /// Padded to 1,232 bytes, as suite 0xf003 is by default.
    pub(crate) is_padded: bool,
}

const fn kind(name: &'static str, suite: Suite, identity: Identity) -> Kind {
    Kind { name, suite, identity, is_fresh: false, is_padded: false }
}

const SUITE_1: Suite = Suite::X25519AesGcm128;
const F002: Suite = Suite::X25519Aes256GcmSiv;
const F003: Suite = Suite::XWingAes256GcmSiv;

pub(crate) const SUITE_1_ANONYMOUS: Kind = kind("suite 1, anonymous", SUITE_1, Identity::Anonymous);
pub(crate) const SUITE_1_AUTHENTICATED: Kind = kind("suite 1, authenticated", SUITE_1, Identity::OnDemand);
pub(crate) const F002_ANONYMOUS: Kind = kind("f002, anonymous", F002, Identity::Anonymous);
pub(crate) const F002_AHEAD: Kind = kind("f002, authenticated, Z2 ahead", F002, Identity::Ahead);
pub(crate) const F002_ON_DEMAND: Kind = kind("f002, authenticated, Z2 on demand", F002, Identity::OnDemand);
pub(crate) const F003_ANONYMOUS: Kind = kind("f003, anonymous", F003, Identity::Anonymous);
pub(crate) const F003_AHEAD: Kind = kind("f003, authenticated, Z2 ahead", F003, Identity::Ahead);
pub(crate) const F003_ON_DEMAND: Kind = kind("f003, authenticated, Z2 on demand", F003, Identity::OnDemand);

/// Every suite in all of its modes.
pub(crate) const KINDS: [Kind; 13] = [
    SUITE_1_ANONYMOUS,
    SUITE_1_AUTHENTICATED,
    F002_ANONYMOUS,
    F002_AHEAD,
    F002_ON_DEMAND,
    Kind { name: "f002, anonymous, fresh", is_fresh: true, ..F002_ANONYMOUS },
    Kind { name: "f002, authenticated, Z2 ahead, fresh", is_fresh: true, ..F002_AHEAD },
    F003_ANONYMOUS,
    F003_AHEAD,
    F003_ON_DEMAND,
    Kind { name: "f003, anonymous, fresh", is_fresh: true, ..F003_ANONYMOUS },
    Kind { name: "f003, authenticated, Z2 ahead, fresh", is_fresh: true, ..F003_AHEAD },
    Kind { name: "f003, authenticated, Z2 ahead, padded", is_padded: true, ..F003_AHEAD },
];

impl Kind {
    pub(crate) fn is_authenticated(self) -> bool {
        self.identity != Identity::Anonymous
    }

    /// X25519 of any point that the server computes to open a request.
    pub(crate) fn multiplications(self) -> usize {
        if self.identity == Identity::OnDemand { 2 } else { 1 }
    }

    /// Lengths in bytes of what the server hashes with SHA-256.
    pub(crate) fn hashed(self) -> &'static [usize] {
        match (self.suite, self.identity, self.is_fresh) {
            (Suite::X25519AesGcm128, ..) => &[64],
            (_, Identity::Anonymous, false) => &[108],
            (_, Identity::Anonymous, true) => &[108, 32, 136, 104],
            (_, Identity::OnDemand, _) | (_, Identity::Ahead, false) => &[108, 40, 72, 136],
            (_, Identity::Ahead, true) => &[108, 40, 72, 136, 32, 136, 104],
        }
    }

    /// Length in bytes of what a message of so many bytes is encrypted as.
    pub(crate) fn body_len(self, len: usize) -> usize {
        if self.is_padded {
            Client::DEFAULT_PADDED_LEN - self.suite.request_overhead(self.is_authenticated())
        } else {
            len
        }
    }

    /// The longest message that fits, up to this length in bytes.
    pub(crate) fn message_len(self, len: usize) -> usize {
        if self.is_padded { len.min(self.body_len(len) - 1) } else { len }
    }
}

/// A server, a client of it, and the server's list of clients.
pub(crate) struct Ends {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) clients: Clients,
}

/// One enrolled client.
pub(crate) struct Clients {
    key: PublicKey,
    z2: Option<[u8; 32]>,
}

impl ClientCheck for Clients {
    fn check(&self, claim: &ClientClaim<'_>) -> KeyCheck {
        if *claim.key() == self.key { KeyCheck::Accept } else { KeyCheck::RejectUnknown }
    }

    fn look_up(&self, claim: &ClientClaim<'_>) -> SharedSecret {
        match self.z2 {
            None => SharedSecret::Compute,
            Some(z2) if *claim.key() == self.key => SharedSecret::Known(z2.into()),
            Some(_) => SharedSecret::Unknown,
        }
    }

    fn allows_unknown_clients(&self) -> bool {
        false
    }
}

pub(crate) fn ends(kind: Kind) -> Ends {
    let xwing_secret = XWingSecretKey::generate(&mut SysRng).unwrap();
    let secret = SecretKey::generate(&mut SysRng).unwrap();
    let identity = SecretKey::generate(&mut SysRng).unwrap();
    let server_key = match kind.suite {
        Suite::XWingAes256GcmSiv => ServerKey::XWing(xwing_secret.public_key()),
        _ => ServerKey::X25519(secret.public_key()),
    };
    let z2 = identity.shared_secret(&server_key.x25519_part()).unwrap();
    let mut client = Client::new(server_key).unwrap().with_suite(kind.suite).unwrap();
    if !kind.is_padded {
        client = client.with_padding(Padding::None).unwrap();
    }
    if kind.is_authenticated() {
        client = client.with_identity(&identity).unwrap();
    }
    if kind.is_fresh {
        client = client.with_fresh_replies().unwrap();
    }
    let server = Server::new(Keyring::new(secret).with_xwing_key(&xwing_secret).unwrap());
    let z2 = (kind.identity == Identity::Ahead).then(|| *z2.as_bytes());
    Ends { server, client, clients: Clients { key: identity.public_key(), z2 } }
}

/// Opens a request and answers with its message.
pub(crate) fn open_and_seal(ends: &Ends, packet: &[u8], buffer: &mut [u8], reply: &mut [u8]) -> usize {
    buffer.copy_from_slice(packet);
    let request = ends.server.open_request_with(buffer, &ends.clients).unwrap();
    let (message, _, sealer) = request.into_parts();
    sealer.seal(&mut SysRng, message, reply).unwrap().len()
}

/// Opens and answers many together, into buffers of their lengths. Counts those that were opened;
/// the rest is refused.
pub(crate) fn open_batch_and_seal(
    ends: &Ends,
    packets: &[Vec<u8>],
    buffers: &mut [Vec<u8>],
    reply: &mut [u8],
) -> usize {
    for (packet, buffer) in packets.iter().zip(&mut *buffers) {
        buffer.copy_from_slice(packet);
    }
    let mut opened = 0;
    let mut fresh = Vec::new();
    let buffers = buffers.iter_mut().map(Vec::as_mut_slice);
    ends.server.open_batch(buffers, &ends.clients, |_, outcome| {
        if let Ok(request) = outcome {
            opened += 1;
            let (message, _, sealer) = Request::into_parts(request);
            if sealer.is_fresh() {
                fresh.push((sealer, &*message));
            } else {
                black_box(sealer.seal(&mut SysRng, message, reply).unwrap());
            }
        }
    });
    if !fresh.is_empty() {
        let replies = fresh.iter_mut().map(|(sealer, message)| (sealer, *message));
        ReplySealer::prepare_batch(&mut SysRng, replies).unwrap();
        for (sealer, message) in fresh {
            black_box(sealer.seal(&mut SysRng, message, reply).unwrap());
        }
    }
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
