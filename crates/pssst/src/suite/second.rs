//! The construction that suites 0xf002, 0xf003 and 0xf0e1 share (specification, section 5).
//!
//! Names are those of the specification: K1 is what both ends agree on, M hides the client key C,
//! t checks it, Z2 is what client and server share, and D is the transaction's secret.

use aes::Aes256Enc;
use aes_gcm::KeyInit;
use aes_gcm_siv::AesGcmSiv;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::aead::{AdditionalData, CipherSuite, Direction, TransactionSecret};
use crate::packet::{self, CLAIM_LEN, EXCHANGE_VALUE_LEN, Header};
use crate::{PublicKey, SecretKey};

/// `H(n, m) = SHA-256( "PSSSTv2" ‖ n ‖ m )`
fn hash(n: u8, parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    #[cfg(test)]
    crate::work::add(|work| work.hashes += 1);
    let mut hash = Sha256::new().chain_update(b"PSSSTv2").chain_update([n]);
    for part in parts {
        hash.update(part);
    }
    let mut digest = Zeroizing::new([0; 32]);
    hash.finalize_into((&mut *digest).into());
    digest
}

/// K1: what the key agreement, the header and the server key give.
pub(crate) struct SharedKey(Zeroizing<[u8; 32]>);

impl SharedKey {
    /// `K1 = H(1, h ‖ P ‖ X ‖ k)`
    pub(crate) fn derive(
        header: Header,
        key_hash: &[u8; 32],
        exchange_value: &[u8; EXCHANGE_VALUE_LEN],
        agreed: &[u8; 32],
    ) -> Self {
        Self(hash(1, &[&header.to_bytes(), key_hash, exchange_value, agreed]))
    }

    /// `D = K1`, for an anonymous request.
    pub(crate) fn into_anonymous(self) -> TransactionSecret {
        TransactionSecret(self.0)
    }

    /// `D = H(4, K1 ‖ C ‖ Z2 ‖ Q)`, with a Q of zeros where there is no pre-shared key.
    pub(crate) fn bind(&self, client_key: &PublicKey, z2: &[u8; 32], psk: Option<&[u8; 32]>) -> TransactionSecret {
        TransactionSecret(hash(4, &[&*self.0, client_key.as_bytes(), z2, psk.unwrap_or(&[0; 32])]))
    }

    /// Writes `M = C ⊕ H(2, K1)`, then t.
    pub(crate) fn write_claim(&self, client_key: &PublicKey, claim: &mut [u8; CLAIM_LEN]) {
        let (masked, check) = claim.split_at_mut(32);
        masked.copy_from_slice(self.mask(client_key.as_bytes()).as_bytes());
        check.copy_from_slice(&self.check(client_key));
    }

    /// Returns C, and whether t is its check, in constant time.
    pub(crate) fn read_claim(&self, claim: &[u8; CLAIM_LEN]) -> (PublicKey, Choice) {
        let (masked, check) = claim.split_at(32);
        let client_key = self.mask(masked.first_chunk().unwrap_or(&[0; 32]));
        let holds = self.check(&client_key)[..].ct_eq(check);
        (client_key, holds)
    }

    fn mask(&self, key: &[u8; 32]) -> PublicKey {
        let mask = hash(2, &[&*self.0]);
        PublicKey::from_bytes(core::array::from_fn(|place| {
            key.get(place).unwrap_or(&0) ^ mask.get(place).unwrap_or(&0)
        }))
    }

    /// `t = H(3, K1 ‖ C)[0..8]`
    fn check(&self, client_key: &PublicKey) -> [u8; 8] {
        let check = hash(3, &[&*self.0, client_key.as_bytes()]);
        *check.first_chunk().unwrap_or(&[0; 8])
    }
}

/// `D' = H(7, D ‖ Y ‖ x25519(y, X))`: the secret of a fresh reply.
pub(crate) fn fresh_secret(secret: &TransactionSecret, fresh_value: &[u8; 32], shared: &[u8; 32]) -> TransactionSecret {
    TransactionSecret(hash(7, &[&*secret.0, fresh_value, shared]))
}

/// A Z2 that nobody has, for client keys that are not enrolled: as good as a random one to all who
/// do not hold the server's secret key. D hashes it together with C.
pub(crate) fn decoy(scalar: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    hash(0xff, &[scalar])
}

/// The use of a hedged secret scalar: each has its own hash.
#[derive(Clone, Copy)]
pub(crate) enum Hedge {
    /// e, under every suite.
    Ephemeral = 5,
    /// What ML-KEM's encapsulation draws.
    #[cfg(feature = "pq")]
    Encapsulation = 6,
    /// y.
    FreshReply = 8,
}

impl Hedge {
    /// `H(n, r ‖ secret ‖ P ‖ SHA-256(message))`: `secret` is c, or Z2 where a client has no c, or
    /// zeros; D for a fresh reply.
    pub(crate) fn scalar(self, random: &[u8; 32], secret: &[u8; 32], key_hash: &[u8; 32], message: &[u8]) -> SecretKey {
        let message_hash: [u8; 32] = Sha256::digest(message).into();
        SecretKey::from_wiped(hash(self as u8, &[random, secret, key_hash, &message_hash]))
    }
}

pub(super) struct Aes256GcmSiv;

impl CipherSuite for Aes256GcmSiv {
    type Aead = AesGcmSiv<Aes256Enc>;

    /// The AEAD under D.
    fn aead(secret: &[u8; 32]) -> Self::Aead {
        Self::Aead::new(secret.into())
    }

    ///
    fn nonce(_: &[u8; 32], direction: Direction<'_>) -> [u8; 12] {
        match direction {
            Direction::Request => *b"PSSST client",
            Direction::Reply { .. } => *b"PSSST server",
        }
    }

    /// The request's header; or the reply's, then the front of X, Y where there is one, and the
    /// request's tag.
    fn additional_data(header: Header, direction: Direction<'_>) -> AdditionalData {
        let mut data = AdditionalData::new(header);
        if let Direction::Reply { exchange_value, fresh_value, request_tag } = direction {
            data.push(packet::front(exchange_value));
            data.push(fresh_value.map_or(&[][..], |value| &value[..]));
            data.push(request_tag);
        }
        data
    }
}
