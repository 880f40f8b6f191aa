//! The crate ml-kem of `RustCrypto`: portable, without the standard library or an allocator.

use ml_kem::kem::{Decapsulate, KeyExport};
use ml_kem::{DecapsulationKey768, EncapsulationKey768};
use zeroize::Zeroizing;

use super::parts::{CIPHERTEXT_LEN, ENCAPSULATION_KEY_LEN, SECRET_LEN, SEED_LEN, Shared, share};
use crate::Error;

/// Wipes itself on drop.
#[derive(Clone)]
pub(super) struct DecapsulationKey(pub(super) Shared<DecapsulationKey768>);

impl DecapsulationKey {
    pub(super) fn from_seed(d_z: &[u8; SEED_LEN]) -> Self {
        Self(share(DecapsulationKey768::from_seed((*d_z).into())))
    }

    pub(super) fn encapsulation_key(&self) -> [u8; ENCAPSULATION_KEY_LEN] {
        self.0.encapsulation_key().to_bytes().into()
    }

    pub(super) fn decapsulate(&self, ct: &[u8; CIPHERTEXT_LEN]) -> Zeroizing<[u8; SECRET_LEN]> {
        let secret = Zeroizing::new(self.0.decapsulate(ct.into()));
        Zeroizing::new(secret.0)
    }
}

#[derive(Clone)]
pub(super) struct EncapsulationKey(Shared<EncapsulationKey768>);

impl EncapsulationKey {
    pub(super) fn from_bytes(bytes: &[u8; ENCAPSULATION_KEY_LEN]) -> Result<Self, Error> {
        EncapsulationKey768::new(bytes.into()).map(|key| Self(share(key))).map_err(|_| Error::InvalidKey)
    }

    pub(super) fn encapsulate(
        &self,
        m: &[u8; SECRET_LEN],
        ct: &mut [u8; CIPHERTEXT_LEN],
    ) -> Zeroizing<[u8; SECRET_LEN]> {
        let (ciphertext, secret) = self.0.encapsulate_deterministic(m.into());
        *ct = ciphertext.into();
        let secret = Zeroizing::new(secret);
        Zeroizing::new(secret.0)
    }
}
