//! In place of assembly, where there is none: keys that cannot exist.

use zeroize::Zeroizing;

use super::parts::{CIPHERTEXT_LEN, ENCAPSULATION_KEY_LEN, SECRET_LEN, SEED_LEN};
use crate::Error;

#[derive(Clone)]
pub(super) enum DecapsulationKey {}

impl DecapsulationKey {
    pub(super) fn from_seed(_: &[u8; SEED_LEN]) -> Option<Self> {
        None
    }

    pub(super) fn encapsulation_key(&self) -> [u8; ENCAPSULATION_KEY_LEN] {
        match *self {}
    }

    pub(super) fn decapsulate(&self, _: &[u8; CIPHERTEXT_LEN]) -> Zeroizing<[u8; SECRET_LEN]> {
        match *self {}
    }
}

#[derive(Clone)]
pub(super) enum EncapsulationKey {}

impl EncapsulationKey {
    pub(super) fn from_bytes(_: &[u8; ENCAPSULATION_KEY_LEN]) -> Option<Result<Self, Error>> {
        None
    }

    pub(super) fn encapsulate(
        &self,
        _: &[u8; SECRET_LEN],
        _: &mut [u8; CIPHERTEXT_LEN],
    ) -> Zeroizing<[u8; SECRET_LEN]> {
        match *self {}
    }
}
