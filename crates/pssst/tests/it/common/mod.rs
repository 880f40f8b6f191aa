//! What several tests need: seeded randomness, and one server with its clients.

use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::{KeyInit, aead::AeadInOut};
use curve25519_dalek::MontgomeryPoint;
use curve25519_dalek::constants::EIGHT_TORSION;
use pssst::{Client, PendingReply, PublicKey, SecretKey, Server, Suite, X25519, X25519Backend};
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use sha2::{Digest, Sha256};

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

/// Both ways of sending a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Anonymous,
    Authenticated,
}

/// Every suite in both modes.
pub(crate) const ALL: [(Suite, Mode); 4] = [
    (Suite::X25519AesGcm128, Mode::Anonymous),
    (Suite::X25519AesGcm128, Mode::Authenticated),
    (Suite::X25519Aes128GcmSiv, Mode::Anonymous),
    (Suite::X25519Aes128GcmSiv, Mode::Authenticated),
];

/// A server key and a client identity, with whatever is made of them.
pub(crate) struct Pair {
    pub(crate) rng: ChaCha20Rng,
    pub(crate) server_secret: SecretKey,
    pub(crate) identity: SecretKey,
    pub(crate) suite: Suite,
    pub(crate) mode: Mode,
}

impl Pair {
    pub(crate) fn new(seed: u64, (suite, mode): (Suite, Mode)) -> Self {
        let mut rng = rng(seed);
        let server_secret = SecretKey::generate(&mut rng).unwrap();
        let identity = SecretKey::generate(&mut rng).unwrap();
        Self { rng, server_secret, identity, suite, mode }
    }

    pub(crate) fn server(&self) -> Server {
        Server::new(self.server_secret.clone())
    }

    pub(crate) fn client(&self) -> Client {
        let client = Client::new(self.server_secret.public_key()).unwrap().with_suite(self.suite);
        match self.mode {
            Mode::Anonymous => client,
            Mode::Authenticated => client.with_identity(&self.identity).unwrap(),
        }
    }

    /// Returns the client key that a server must learn.
    pub(crate) fn client_key(&self) -> Option<PublicKey> {
        (self.mode == Mode::Authenticated).then(|| self.identity.public_key())
    }

    pub(crate) fn seal(&mut self, message: &[u8]) -> (Vec<u8>, PendingReply) {
        let client = self.client();
        client.seal_request_to_vec(&mut self.rng, message).unwrap()
    }

    /// Seals a request whose proof holds for these key bytes.
    pub(crate) fn seal_as(&mut self, client_key: [u8; 32], message: &[u8]) -> Vec<u8> {
        let ephemeral = SecretKey::generate(&mut self.rng).unwrap();
        let x = multiply(&ephemeral, &client_key);
        self.seal_proof(x, client_key, ephemeral.expose_bytes(), message)
    }

    /// An authenticated request over any X with any proof.
    pub(crate) fn seal_proof(
        &self,
        x: [u8; 32],
        client_key: [u8; 32],
        ephemeral: &[u8; 32],
        message: &[u8],
    ) -> Vec<u8> {
        let z = multiply(&self.server_secret, &x);
        let plaintext = [&client_key[..], ephemeral, message].concat();
        seal_by_hand(self.suite, true, &self.server_secret.public_key(), x, z, &plaintext)
    }

    /// Returns the server's reply, having checked the client.
    pub(crate) fn answer(&self, packet: &[u8], message: &[u8]) -> Vec<u8> {
        let mut packet = packet.to_vec();
        let server = self.server();
        let request = server.open_request(&mut packet).unwrap();
        assert_eq!(request.client_key(), self.client_key().as_ref());
        assert_eq!(request.suite(), self.suite);
        request.into_reply_sealer().seal_to_vec(message).unwrap()
    }
}

/// A request sealed by the specification and without the crate, so that a test can play a dishonest
/// client: any exchange value, any shared value, any plaintext.
pub(crate) fn seal_by_hand(
    suite: Suite,
    client_auth: bool,
    server_key: &PublicKey,
    exchange_value: [u8; 32],
    shared_value: [u8; 32],
    plaintext: &[u8],
) -> Vec<u8> {
    let flags = if client_auth { 0x4000_u16 } else { 0 };
    let mut packet = [flags.to_be_bytes(), suite.number().to_be_bytes()].concat();
    let mut hash = Sha256::new();
    if suite == Suite::X25519Aes128GcmSiv {
        hash.update(&packet);
        hash.update(server_key.as_bytes());
    }
    let d = hash.chain_update(exchange_value).chain_update(shared_value).finalize();
    let nonce: [u8; 12] = [&d[16..24], b"RQST"].concat().try_into().unwrap();
    let mut body = plaintext.to_vec();
    let tag = match suite {
        Suite::X25519AesGcm128 => seal_in_place::<aes_gcm::Aes128Gcm>(&d[..16], nonce, &packet, &mut body),
        Suite::X25519Aes128GcmSiv => seal_in_place::<aes_gcm_siv::Aes128GcmSiv>(&d[..16], nonce, &packet, &mut body),
        _ => unreachable!("no further suite"),
    };
    packet.extend(exchange_value);
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
