//! graviola: assembly for x86-64 and aarch64, most of it verified.
//!
//! Its public calls draw their own randomness and consume the key. Those that take a seed or `m`,
//! or borrow the key, are hidden from its documentation, hence the exact version in `Cargo.toml`.
//! They skip what the public calls do on entry and on exit: checking the CPU, which is done here
//! whenever a key is made; clearing vector registers, which [`clear_registers`] does; and on
//! aarch64, asking the CPU for data-independent timing.

use graviola::key_agreement::mlkem768::{Ciphertext, DecapKey, EncapKey, Message};
use graviola::key_agreement::x25519::StaticPrivateKey;
use zeroize::Zeroizing;

use super::parts::{CIPHERTEXT_LEN, ENCAPSULATION_KEY_LEN, SECRET_LEN, SEED_LEN, Shared, share};
use crate::Error;

/// Returns whether the CPU has what graviola asserts, and `bmi2` and `popcnt`, which its assembly
/// uses unasked. Each question is one cached load.
fn is_supported() -> bool {
    #[cfg(target_arch = "x86_64")]
    let others = std::is_x86_feature_detected!("bmi2") && std::is_x86_feature_detected!("popcnt");
    #[cfg(target_arch = "aarch64")]
    let others = true;
    others && graviola::util::is_cpu_supported()
}

/// Clears the vector registers that secrets passed through: so does every public call of graviola
/// that handles a secret, and this is the shortest one.
fn clear_registers() {
    drop(StaticPrivateKey::from_array(&[0; SECRET_LEN]));
}

/// Wipes itself on drop. There is a value only where the CPU was asked first.
#[derive(Clone)]
pub(super) struct DecapsulationKey(pub(super) Shared<DecapKey>);

impl DecapsulationKey {
    /// Returns `None` where the CPU lacks an instruction.
    pub(super) fn from_seed(d_z: &[u8; SEED_LEN]) -> Option<Self> {
        is_supported().then(|| {
            let key = Self(share(DecapKey::keygen_internal(d_z)));
            clear_registers();
            key
        })
    }

    pub(super) fn encapsulation_key(&self) -> [u8; ENCAPSULATION_KEY_LEN] {
        self.0.encapsulation_key().as_bytes()
    }

    pub(super) fn decapsulate(&self, ct: &[u8; CIPHERTEXT_LEN]) -> Zeroizing<[u8; SECRET_LEN]> {
        let secret = self.0.decaps_internal(&Ciphertext::from(*ct));
        clear_registers();
        Zeroizing::new(*secret.as_ref())
    }
}

/// There is a value only where the CPU was asked first.
#[derive(Clone)]
pub(super) struct EncapsulationKey(Shared<EncapKey>);

impl EncapsulationKey {
    /// Returns `None` where the CPU lacks an instruction.
    pub(super) fn from_bytes(bytes: &[u8; ENCAPSULATION_KEY_LEN]) -> Option<Result<Self, Error>> {
        is_supported().then(|| EncapKey::from_bytes(bytes).map(|key| Self(share(key))).map_err(|_| Error::InvalidKey))
    }

    pub(super) fn encapsulate(
        &self,
        m: &[u8; SECRET_LEN],
        ct: &mut [u8; CIPHERTEXT_LEN],
    ) -> Zeroizing<[u8; SECRET_LEN]> {
        // The call consumes a key, which is no more than its encoding.
        let key = EncapKey::clone(&self.0);
        let (secret, ciphertext) = key.encaps_internal(Message(*m));
        clear_registers();
        *ct = *ciphertext.as_ref();
        Zeroizing::new(*secret.as_ref())
    }
}
