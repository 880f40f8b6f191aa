//! Suite 0x0001, `X25519_AESGCM128` (specification, section 4): what other implementations speak.

use aes::Aes128Enc;
use aes_gcm::aead::consts::U12;
use aes_gcm::{AesGcm, KeyInit};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::aead::{AdditionalData, CipherSuite, Direction, TransactionSecret};
use crate::packet::{EXCHANGE_VALUE_LEN, Header};

/// `D = SHA-256( X ‖ Z )`
pub(crate) fn derive(exchange_value: &[u8; EXCHANGE_VALUE_LEN], shared_value: &[u8; 32]) -> TransactionSecret {
    let hash = Sha256::new().chain_update(exchange_value).chain_update(shared_value);
    let mut secret = TransactionSecret(Zeroizing::new([0; 32]));
    hash.finalize_into((&mut *secret.0).into());
    secret
}

pub(super) struct Aes128Gcm;

impl CipherSuite for Aes128Gcm {
    type Aead = AesGcm<Aes128Enc, U12>;

    /// The AEAD under `D[0..16]`.
    fn aead(secret: &[u8; 32]) -> Self::Aead {
        let mut key = [0; 16];
        key.copy_from_slice(&secret[..16]);
        let aead = Self::Aead::new((&key).into());
        key.zeroize();
        aead
    }

    /// `D[16..24] ‖ "RQST"` or `D[24..32] ‖ "RPLY"`.
    fn nonce(secret: &[u8; 32], direction: Direction<'_>) -> [u8; 12] {
        let (unique, label) = match direction {
            Direction::Request => (&secret[16..24], b"RQST"),
            Direction::Reply { .. } => (&secret[24..32], b"RPLY"),
        };
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(unique);
        nonce[8..].copy_from_slice(label);
        nonce
    }

    /// The packet's own header, which for a reply differs from the request's.
    fn additional_data(header: Header, _: Direction<'_>) -> AdditionalData {
        AdditionalData::new(header)
    }
}
