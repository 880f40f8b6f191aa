//! ML-KEM-768 (FIPS 203), computed by the library that is fastest on a machine.

use core::fmt;

use zeroize::Zeroizing;

use crate::Error;

#[cfg_attr(
    not(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))),
    path = "kem/unsupported.rs"
)]
mod assembly;
mod parts;
mod portable;
#[cfg(test)]
mod tests;

pub(crate) use parts::{CIPHERTEXT_LEN, ENCAPSULATION_KEY_LEN};
use parts::{SECRET_LEN, SEED_LEN};

/// Bytes of the stack that expanding a key may have written secrets to.
#[cfg(feature = "std")]
const STACK_WIPE_LEN: usize = if cfg!(debug_assertions) { 128 } else { 64 } * 1024;

/// The secret key of a key pair, expanded. The last clone to be dropped wipes it.
#[derive(Clone)]
pub(crate) struct DecapsulationKey(SecretBackend);

#[derive(Clone)]
#[cfg_attr(not(feature = "std"), expect(clippy::large_enum_variant, reason = "there is only the large one"))]
enum SecretBackend {
    Assembly(assembly::DecapsulationKey),
    Portable(portable::DecapsulationKey),
}

impl DecapsulationKey {
    /// Expands a seed, `d ‖ z`. Any 64 bytes are one.
    pub(crate) fn from_seed(d_z: &[u8; SEED_LEN]) -> Self {
        let backend = Self::expand(d_z);
        // Without the standard library the stack may be shorter than that, and is the caller's.
        #[cfg(feature = "std")]
        zeroize::zeroize_stack::<STACK_WIPE_LEN>();
        Self(backend)
    }

    #[inline(never)]
    fn expand(d_z: &[u8; SEED_LEN]) -> SecretBackend {
        match assembly::DecapsulationKey::from_seed(d_z) {
            Some(key) => SecretBackend::Assembly(key),
            None => SecretBackend::Portable(portable::DecapsulationKey::from_seed(d_z)),
        }
    }

    /// Returns the public key of the pair, encoded.
    pub(crate) fn encapsulation_key(&self) -> [u8; ENCAPSULATION_KEY_LEN] {
        match &self.0 {
            SecretBackend::Assembly(key) => key.encapsulation_key(),
            SecretBackend::Portable(key) => key.encapsulation_key(),
        }
    }

    /// Returns the secret that a ciphertext carries.
    ///
    /// A ciphertext that was not made for this key gives a secret that no one can guess, in equal
    /// time: the caller cannot tell, and the next tag that it checks does not hold.
    pub(crate) fn decapsulate(&self, ct: &[u8; CIPHERTEXT_LEN]) -> Zeroizing<[u8; SECRET_LEN]> {
        match &self.0 {
            SecretBackend::Assembly(key) => key.decapsulate(ct),
            SecretBackend::Portable(key) => key.decapsulate(ct),
        }
    }
}

impl fmt::Debug for DecapsulationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecapsulationKey").finish_non_exhaustive()
    }
}

/// The public key of a key pair.
#[derive(Clone)]
pub(crate) struct EncapsulationKey(PublicBackend);

#[derive(Clone)]
#[cfg_attr(not(feature = "std"), expect(clippy::large_enum_variant, reason = "there is only the large one"))]
enum PublicBackend {
    Assembly(assembly::EncapsulationKey),
    Portable(portable::EncapsulationKey),
}

impl EncapsulationKey {
    /// Decodes a key.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidKey`] when a coefficient is not below q, 3329.
    pub(crate) fn from_bytes(bytes: &[u8; ENCAPSULATION_KEY_LEN]) -> Result<Self, Error> {
        Ok(Self(match assembly::EncapsulationKey::from_bytes(bytes) {
            Some(key) => PublicBackend::Assembly(key?),
            None => PublicBackend::Portable(portable::EncapsulationKey::from_bytes(bytes)?),
        }))
    }

    /// Writes a ciphertext for this key, and returns the secret in it.
    ///
    /// Both depend on the key and on `m` alone: 32 bytes that are secret, random, and used for
    /// nothing else.
    pub(crate) fn encapsulate(
        &self,
        m: &[u8; SECRET_LEN],
        ct: &mut [u8; CIPHERTEXT_LEN],
    ) -> Zeroizing<[u8; SECRET_LEN]> {
        match &self.0 {
            PublicBackend::Assembly(key) => key.encapsulate(m, ct),
            PublicBackend::Portable(key) => key.encapsulate(m, ct),
        }
    }
}
