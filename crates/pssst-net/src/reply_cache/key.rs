//! The keys of the reply cache.

use std::hash::{Hash, Hasher};

/// An exchange value and its hash. The shard, the set in the index and the tag use different bits
/// of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) hash: u64,
    pub(super) exchange_value: [u8; 32],
}

impl Key {
    pub(super) fn shard(&self) -> usize {
        usize::from(self.hash.to_le_bytes()[4])
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Hands on the hash that a [`Key`] brings along.
#[derive(Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0 << 8 | u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
