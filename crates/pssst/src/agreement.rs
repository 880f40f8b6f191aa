//! Key agreement: what a server's secret key and a request's front give (specification, section 3).

use sha2::{Digest, Sha256};
use x25519_batch::Product;
use zeroize::Zeroizing;

use crate::packet::{CIPHERTEXT_LEN, EXCHANGE_VALUE_LEN};
use crate::suite::second::decoy;
use crate::{PublicKey, SecretKey};

/// A server's secret key of one kind, with what is made of it once.
///
/// Its X25519 part is multiplied outside, together with that of other packets.
pub(crate) trait KeyAgreement {
    /// s
    fn scalar(&self) -> &[u8; 32];

    /// P, the SHA-256 of the public key as it is encoded.
    fn key_hash(&self) -> &[u8; 32];

    /// The Z2 of client keys that are not enrolled.
    fn decoy(&self) -> &[u8; 32];

    /// k, from `Zx = x25519(s, X)` and, where the suite has one, the ciphertext.
    fn agree(
        &self,
        zx: &Product,
        exchange_value: &[u8; EXCHANGE_VALUE_LEN],
        ciphertext: Option<&[u8; CIPHERTEXT_LEN]>,
    ) -> Zeroizing<[u8; 32]>;
}

/// A secret X25519 key with its public key.
#[derive(Clone)]
pub(crate) struct X25519Key {
    secret: SecretKey,
    pub(crate) public: PublicKey,
    key_hash: [u8; 32],
    decoy: Zeroizing<[u8; 32]>,
}

impl X25519Key {
    pub(crate) fn new(secret: SecretKey) -> Self {
        let public = secret.public_key();
        Self { decoy: decoy(secret.expose_bytes()), secret, public, key_hash: key_hash(public.as_bytes()) }
    }
}

impl KeyAgreement for X25519Key {
    fn scalar(&self) -> &[u8; 32] {
        self.secret.expose_bytes()
    }

    fn key_hash(&self) -> &[u8; 32] {
        &self.key_hash
    }

    fn decoy(&self) -> &[u8; 32] {
        &self.decoy
    }

    /// `k = Zx`
    fn agree(
        &self,
        zx: &Product,
        _: &[u8; EXCHANGE_VALUE_LEN],
        _: Option<&[u8; CIPHERTEXT_LEN]>,
    ) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*zx.as_bytes())
    }
}

/// P
pub(crate) fn key_hash(public_key: &[u8]) -> [u8; 32] {
    Sha256::digest(public_key).into()
}
