//! What several tests need: seeded randomness, and one server with its clients.

use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::{KeyInit, aead::AeadInOut};
use curve25519_dalek::MontgomeryPoint;
use curve25519_dalek::constants::EIGHT_TORSION;
use ml_kem::kem::Decapsulate;
use ml_kem::{DecapsulationKey768, EncapsulationKey768};
use pssst::{
    Client, Keyring, Padding, PendingReply, PskMaster, PublicKey, SecretKey, Server, ServerKey, Suite, X25519,
    X25519Backend, XWingSecretKey,
};
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use sha2::{Digest, Sha256};
use sha3::Sha3_256;
use shake::{ExtendableOutput, Shake256, Update};

pub(crate) mod gf128;

/// A generator whose seed is printed with a failing test, so that the failure repeats.
pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    println!("seed {seed}");
    ChaCha20Rng::seed_from_u64(seed)
}

/// Every backend that this machine has, named so that a log shows what it has tested.
pub(crate) fn backends() -> Vec<X25519> {
    let available = X25519Backend::ALL.into_iter().filter_map(X25519::with_backend);
    available.inspect(|x25519| println!("X25519 in batches: {:?}", x25519.batch_backend())).collect()
}

/// `x25519(secret, point)`, by another library's portable code.
pub(crate) fn multiply(secret: &SecretKey, point: &[u8; 32]) -> [u8; 32] {
    MontgomeryPoint(*point).mul_clamped(*secret.expose_bytes()).to_bytes()
}

/// Every other form of a key that X25519 cannot tell from it.
pub(crate) fn aliases_of(key: &PublicKey) -> [[u8; 32]; 8] {
    let point = MontgomeryPoint(*key.as_bytes()).to_edwards(0).unwrap();
    let mut aliases = [*key.as_bytes(); 8];
    for (alias, torsion) in aliases.iter_mut().zip(EIGHT_TORSION.iter().skip(1)) {
        *alias = (point + torsion).to_montgomery().to_bytes();
    }
    aliases[7][31] |= 0x80;
    aliases
}

/// Every encoding of every point of low order: those of the curve, -1 on its twist, and 0 and 1
/// once more above p; each also with its top bit set.
pub(crate) fn low_order_points() -> Vec<[u8; 32]> {
    let near_p =
        |lowest: u8| core::array::from_fn(|place| [lowest, 0xff, 0x7f][place.min(1) + usize::from(place == 31)]);
    let mut points: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|point| point.to_montgomery().to_bytes()).collect();
    points.extend([0xec, 0xed, 0xee].map(near_p));
    for place in 0..points.len() {
        let mut top_bit_set = points[place];
        top_bit_set[31] |= 0x80;
        points.push(top_bit_set);
    }
    points
}

/// A way of sending a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Anonymous,
    Authenticated,
    /// Authenticated, with the client's pre-shared key.
    Psk,
    /// Anonymous, for a fresh reply.
    Fresh,
    /// Authenticated, with every option: pre-shared key, padding, fresh reply.
    Full,
}

impl Mode {
    pub(crate) fn is_authenticated(self) -> bool {
        matches!(self, Self::Authenticated | Self::Psk | Self::Full)
    }

    pub(crate) fn is_fresh(self) -> bool {
        matches!(self, Self::Fresh | Self::Full)
    }

    pub(crate) fn has_psk(self) -> bool {
        matches!(self, Self::Psk | Self::Full)
    }
}

pub(crate) const SUITE_1: Suite = Suite::X25519AesGcm128;
pub(crate) const F002: Suite = Suite::X25519Aes256GcmSiv;
pub(crate) const F003: Suite = Suite::XWingAes256GcmSiv;

/// Every suite in all of its modes.
pub(crate) const ALL: [(Suite, Mode); 12] = [
    (SUITE_1, Mode::Anonymous),
    (SUITE_1, Mode::Authenticated),
    (F002, Mode::Anonymous),
    (F002, Mode::Authenticated),
    (F002, Mode::Psk),
    (F002, Mode::Fresh),
    (F002, Mode::Full),
    (F003, Mode::Anonymous),
    (F003, Mode::Authenticated),
    (F003, Mode::Psk),
    (F003, Mode::Fresh),
    (F003, Mode::Full),
];

/// The suites whose packets are in [`ALL`].
pub(crate) const SUITES: [Suite; 3] = [SUITE_1, F002, F003];

/// Length that [`Mode::Full`] pads requests to, in bytes, where the message leaves it.
pub(crate) fn padded_len(suite: Suite) -> usize {
    suite.request_overhead(true) + 109
}

/// Secret keys of servers: the part of X25519 is one by itself too.
pub(crate) fn server_secrets<const N: usize>(rng: &mut ChaCha20Rng) -> [XWingSecretKey; N] {
    core::array::from_fn(|_| XWingSecretKey::generate(rng).unwrap())
}

/// A keyring with both keys of each secret.
pub(crate) fn keyring(secrets: &[XWingSecretKey]) -> Keyring {
    let first = Keyring::new(secrets[0].x25519_part());
    let both =
        |keyring: Keyring, secret: &XWingSecretKey| keyring.with_key(secret.x25519_part())?.with_xwing_key(secret);
    secrets.iter().try_fold(first, both).unwrap()
}

/// A server key and a client identity, with whatever is made of them.
pub(crate) struct Pair {
    pub(crate) rng: ChaCha20Rng,
    pub(crate) xwing_secret: XWingSecretKey,
    /// The part of X25519 of `xwing_secret`.
    pub(crate) server_secret: SecretKey,
    pub(crate) identity: SecretKey,
    pub(crate) master: PskMaster,
    pub(crate) suite: Suite,
    pub(crate) mode: Mode,
}

impl Pair {
    pub(crate) fn new(seed: u64, (suite, mode): (Suite, Mode)) -> Self {
        let mut rng = rng(seed);
        let [xwing_secret] = server_secrets(&mut rng);
        let server_secret = xwing_secret.x25519_part();
        let identity = SecretKey::generate(&mut rng).unwrap();
        Self {
            rng,
            xwing_secret,
            server_secret,
            identity,
            master: PskMaster::from_bytes([seed.to_le_bytes()[0]; 32]),
            suite,
            mode,
        }
    }

    pub(crate) fn server(&self) -> Server {
        self.server_of(keyring(core::slice::from_ref(&self.xwing_secret)))
    }

    /// Replaces the server's keys.
    pub(crate) fn set_server(&mut self, secret: &XWingSecretKey) {
        self.xwing_secret = secret.clone();
        self.server_secret = secret.x25519_part();
    }

    /// Returns the public key that the suite needs.
    pub(crate) fn server_key(&self) -> ServerKey {
        match self.suite {
            F003 => self.xwing_secret.public_key().into(),
            _ => self.server_secret.public_key().into(),
        }
    }

    /// A server with other keys, and the pool's master.
    pub(crate) fn server_of(&self, keys: impl Into<Keyring>) -> Server {
        Server::new(keys).with_psk_masters([self.master.clone()]).unwrap()
    }

    /// A client, which pads to [`padded_len`] if it pads.
    pub(crate) fn client(&self) -> Client {
        self.client_padding_to(padded_len(self.suite))
    }

    fn client_padding_to(&self, len: usize) -> Client {
        let padding = if self.mode == Mode::Full { Padding::ToLength(len) } else { Padding::None };
        let mut client = Client::new(self.server_key()).unwrap().with_padding(padding).unwrap();
        client = client.with_suite(self.suite).unwrap();
        if self.mode.is_authenticated() {
            client = client.with_identity(&self.identity).unwrap();
        }
        if self.mode.has_psk() {
            client = client.with_psk(self.master.psk(&self.identity.public_key())).unwrap();
        }
        if self.mode.is_fresh() {
            client = client.with_fresh_replies().unwrap();
        }
        client
    }

    /// Returns the client key that a server must learn.
    pub(crate) fn client_key(&self) -> Option<PublicKey> {
        self.mode.is_authenticated().then(|| self.identity.public_key())
    }

    pub(crate) fn seal(&mut self, message: &[u8]) -> (Vec<u8>, PendingReply) {
        let len = padded_len(self.suite).max(message.len() + self.suite.request_overhead(true) + 1);
        let client = self.client_padding_to(len);
        client.seal_request_to_vec(&mut self.rng, message).unwrap()
    }

    /// Seals a request whose proof holds for these key bytes: with what only their owner and the
    /// server can know.
    pub(crate) fn seal_as(&mut self, client_key: [u8; 32], message: &[u8]) -> Vec<u8> {
        let ephemeral = SecretKey::generate(&mut self.rng).unwrap();
        if self.suite == SUITE_1 {
            let x = multiply(&ephemeral, &client_key);
            return self.seal_proof(x, client_key, ephemeral.expose_bytes(), message);
        }
        let z2 = multiply(&self.server_secret, &client_key);
        self.seal_claim(*ephemeral.public_key().as_bytes(), client_key, z2, message)
    }

    /// An authenticated request of suite 1 over any X with any proof.
    pub(crate) fn seal_proof(
        &self,
        x: [u8; 32],
        client_key: [u8; 32],
        ephemeral: &[u8; 32],
        message: &[u8],
    ) -> Vec<u8> {
        let z = multiply(&self.server_secret, &x);
        let plaintext = [&client_key[..], ephemeral, message].concat();
        seal_by_hand(SUITE_1, &self.server_secret.public_key().into(), x, z, Some((client_key, [0; 32])), &plaintext)
    }

    /// An authenticated request over any X, of any client key, under any Z2.
    pub(crate) fn seal_claim(&self, x: [u8; 32], client_key: [u8; 32], z2: [u8; 32], message: &[u8]) -> Vec<u8> {
        let zx = multiply(&self.server_secret, &x);
        seal_by_hand(self.suite, &self.server_key(), x, zx, Some((client_key, z2)), message)
    }

    /// Returns the server's reply, having checked the client.
    pub(crate) fn answer(&mut self, packet: &[u8], message: &[u8]) -> Vec<u8> {
        let mut packet = packet.to_vec();
        let server = self.server();
        let request = server.open_request(&mut packet).unwrap();
        assert_eq!(request.client_key(), self.client_key().as_ref());
        assert_eq!((request.suite(), request.has_psk()), (self.suite, self.mode.has_psk()));
        request.into_reply_sealer().seal_to_vec(&mut self.rng, message).unwrap()
    }

    /// D of a request that was sealed with this pair's keys, by the specification.
    pub(crate) fn transaction_secret(&self, packet: &[u8]) -> [u8; 32] {
        let x: [u8; 32] = packet[4..36].try_into().unwrap();
        let zx = multiply(&self.server_secret, &x);
        if self.suite == SUITE_1 {
            return Sha256::new().chain_update(x).chain_update(zx).finalize().into();
        }
        let k = match self.suite {
            F003 => {
                let mut expanded = [0; 96];
                Shake256::default().chain(self.xwing_secret.expose_bytes()).finalize_xof_into(&mut expanded);
                let key = DecapsulationKey768::from_seed(expanded[..64].try_into().unwrap());
                let secret = key.decapsulate(packet[36..1124].try_into().unwrap());
                combine(&secret, &zx, &x, &self.server_secret.public_key())
            }
            _ => zx,
        };
        let k1 = first_key(packet[..4].try_into().unwrap(), &self.server_key(), &x, &k);
        let Some(client_key) = self.client_key() else { return k1 };
        let z2 = multiply(&self.server_secret, client_key.as_bytes());
        let psk = self.mode.has_psk().then(|| *self.master.psk(&client_key).expose_bytes());
        hash(4, &[&k1, client_key.as_bytes(), &z2, &psk.unwrap_or_default()])
    }
}

/// `H(n, parts)`
pub(crate) fn hash(n: u8, parts: &[&[u8]]) -> [u8; 32] {
    let hash = Sha256::new().chain_update(b"PSSSTv2").chain_update([n]);
    parts.iter().fold(hash, Digest::chain_update).finalize().into()
}

/// K1
pub(crate) fn first_key(header: [u8; 4], server_key: &ServerKey, x: &[u8; 32], k: &[u8; 32]) -> [u8; 32] {
    let p: [u8; 32] = Sha256::digest(server_key.as_bytes()).into();
    hash(1, &[&header, &p, x, k])
}

/// X-Wing's combiner.
fn combine(kem_secret: &[u8], zx: &[u8; 32], x: &[u8; 32], server_key: &PublicKey) -> [u8; 32] {
    let hash = Sha3_256::new().chain_update(kem_secret).chain_update(zx).chain_update(x);
    hash.chain_update(server_key.as_bytes()).chain_update(b"\x5c\x2e\x2f\x2f\x5e\x5c").finalize().into()
}

/// A request sealed by the specification and without the crate, so that a test can play a dishonest
/// client: any exchange value, any shared values, any plaintext. The client is C and Z2.
pub(crate) fn seal_by_hand(
    suite: Suite,
    server_key: &ServerKey,
    x: [u8; 32],
    zx: [u8; 32],
    client: Option<([u8; 32], [u8; 32])>,
    plaintext: &[u8],
) -> Vec<u8> {
    let flags = if client.is_some() { 0x4000_u16 } else { 0 };
    let header: [u8; 4] = [flags.to_be_bytes(), suite.number().to_be_bytes()].concat().try_into().unwrap();
    let mut body = plaintext.to_vec();
    let mut packet = [&header[..], &x].concat();
    let tag = if suite == SUITE_1 {
        let d = Sha256::new().chain_update(x).chain_update(zx).finalize();
        let nonce: [u8; 12] = [&d[16..24], b"RQST"].concat().try_into().unwrap();
        seal_in_place::<aes_gcm::Aes128Gcm>(&d[..16], nonce, &header, &mut body)
    } else {
        let mut k = zx;
        if let ServerKey::XWing(key) = server_key {
            let encoded = key.as_bytes()[..1184].try_into().unwrap();
            let (ct, secret) = EncapsulationKey768::new(encoded).unwrap().encapsulate_deterministic(&[9; 32].into());
            packet.extend(ct);
            k = combine(&secret, &zx, &x, &key.x25519_part());
        }
        let k1 = first_key(header, server_key, &x, &k);
        let mut d = k1;
        if let Some((client_key, z2)) = client {
            let mask = hash(2, &[&k1]);
            packet.extend(client_key.iter().zip(mask).map(|(key, mask)| key ^ mask));
            packet.extend(&hash(3, &[&k1, &client_key])[..8]);
            d = hash(4, &[&k1, &client_key, &z2, &[0; 32]]);
        }
        seal_in_place::<aes_gcm_siv::Aes256GcmSiv>(&d, *b"PSSST client", &header, &mut body)
    };
    packet.extend(body);
    packet.extend(tag);
    packet
}

fn seal_in_place<A>(key: &[u8], nonce: [u8; 12], header: &[u8], body: &mut [u8]) -> [u8; 16]
where
    A: KeyInit + AeadInOut<NonceSize = U12, TagSize = U16>,
{
    let aead = A::new_from_slice(key).unwrap();
    aead.encrypt_inout_detached(&nonce.into(), header, body.into()).unwrap().into()
}
