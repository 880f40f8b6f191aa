//! The peers that the targets of packets share: one server, and a client of each kind.

use std::sync::LazyLock;

use pssst::{
    Client, ClientCheck, ClientClaim, Error, KeyCheck, Keyring, PendingReply, PskMaster, SecretKey, Server,
    SharedSecret, Suite, SuiteSet, SysRng, XWingSecretKey,
};

pub static PEERS: LazyLock<Peers> = LazyLock::new(Peers::new);

/// A server with two keys of each kind, two masters, and every suite.
pub struct Peers {
    pub server: Server,
    pub honest: Vec<Honest>,
}

/// A request that was sent, and waits for its reply.
pub struct Honest {
    pub kind: Kind,
    pub pending: PendingReply,
}

/// A way of sending a request.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub suite: Suite,
    pub is_authenticated: bool,
    pub has_psk: bool,
    pub is_fresh: bool,
    pub is_padded: bool,
}

fn secrets() -> [XWingSecretKey; 2] {
    [[7; 32], [8; 32]].map(XWingSecretKey::from_bytes)
}

fn identity() -> SecretKey {
    SecretKey::from_bytes([9; 32])
}

fn masters() -> [PskMaster; 2] {
    [[10; 32], [11; 32]].map(PskMaster::from_bytes)
}

impl Peers {
    fn new() -> Self {
        let [first, second] = secrets();
        let keyring = Keyring::new(first.x25519_part()).with_key(second.x25519_part());
        let keyring = keyring.and_then(|keyring| keyring.with_xwing_key(&first)?.with_xwing_key(&second));
        let server = Server::new(keyring.expect("room for four keys")).with_suites(SuiteSet::from_iter(Suite::ALL));
        let server = server.with_psk_masters(masters()).expect("room for two masters");
        let mut peers = Self { server, honest: Vec::new() };
        for suite in Suite::ALL {
            for bits in 0..16 {
                let bit = |place| bits >> place & 1 == 1;
                let (is_authenticated, has_psk, is_fresh, is_padded) = (bit(0), bit(1), bit(2), bit(3));
                let kind = Kind { suite, is_authenticated, has_psk, is_fresh, is_padded };
                if let Ok(client) = peers.client(kind) {
                    let (_, pending) = client.seal_request_to_vec(&mut SysRng, b"ping").expect("randomness");
                    peers.honest.push(Honest { kind, pending });
                }
            }
        }
        peers
    }

    /// Returns a client of the server's second key, with a pre-shared key of the second master.
    ///
    /// # Errors
    /// Not every suite has every option.
    pub fn client(&self, kind: Kind) -> Result<Client, Error> {
        let [_, secret] = secrets();
        let client = if kind.suite == Suite::XWingAes256GcmSiv {
            Client::new(secret.public_key())
        } else {
            Client::new(secret.x25519_part().public_key())?.with_suite(kind.suite)
        };
        let mut client =
            client?.with_padding(if kind.is_padded { pssst::Padding::ToLength(1300) } else { pssst::Padding::None })?;
        if kind.is_authenticated {
            client = client.with_identity(&identity())?;
        }
        if kind.has_psk {
            let [_, master] = masters();
            client = client.with_psk(master.psk(&identity().public_key()))?;
        }
        if kind.is_fresh { client.with_fresh_replies() } else { Ok(client) }
    }
}

/// The client is enrolled; what it shares with the server is computed when it is needed, or ahead.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    PerRequest,
    Precomputed,
}

impl ClientCheck for Check {
    fn check(&self, claim: &ClientClaim<'_>) -> KeyCheck {
        if *claim.key() == identity().public_key() { KeyCheck::Accept } else { KeyCheck::Validate }
    }

    fn look_up(&self, claim: &ClientClaim<'_>) -> SharedSecret {
        if matches!(self, Self::PerRequest) {
            return SharedSecret::Compute;
        }
        if *claim.key() != identity().public_key() {
            return SharedSecret::Unknown;
        }
        let server_key = PEERS.server.keyring().server_keys().nth(claim.server_key_index()).expect("the key it names");
        let z2 = identity().shared_secret(&server_key.x25519_part()).expect("a key of prime order");
        SharedSecret::Known((*z2.as_bytes()).into())
    }
}
