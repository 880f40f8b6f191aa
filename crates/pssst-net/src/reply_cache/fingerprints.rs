//! Fingerprints of replies, which outlive the replies themselves.

use pssst::TAG_LEN;

use super::key::Key;

/// The tag of a sealed reply.
pub(super) type Fingerprint = [u8; TAG_LEN];

/// The fingerprints of recent replies: small sets, where the newest overwrites the oldest.
pub(super) struct Fingerprints(Box<[Set]>);

#[derive(Clone, Copy, Default)]
struct Set {
    slots: [Slot; SLOTS],
    /// The slot that is overwritten next.
    oldest: usize,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    /// The hash of the exchange value, which depends on a secret of this process. 0 is none.
    key: u64,
    reply: Fingerprint,
}

const SLOTS: usize = 8;

impl Fingerprints {
    /// Returns a table in at most `capacity` bytes, allocated here.
    pub(super) fn new(capacity: usize) -> Self {
        Self(vec![Set::default(); capacity / size_of::<Set>()].into_boxed_slice())
    }

    /// Remembers the fingerprint of a reply, and returns whether it agrees with the one that is
    /// remembered for the same request, if there is one.
    pub(super) fn agrees(&mut self, key: &Key, reply: Fingerprint) -> bool {
        let set = key.set(self.0.len());
        let Some(Set { slots, oldest }) = self.0.get_mut(set) else { return true };
        let hash = key.hash.max(1);
        if let Some(slot) = slots.iter().find(|slot| slot.key == hash) {
            return slot.reply == reply;
        }
        if let Some(slot) = slots.get_mut(*oldest) {
            *slot = Slot { key: hash, reply };
        }
        *oldest = (*oldest + 1) % SLOTS;
        true
    }

    #[cfg(test)]
    pub(super) fn allocated(&self) -> usize {
        size_of_val(&*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hash: u64) -> Key {
        Key { hash, exchange_value: [0; 32] }
    }

    fn tag(first: u8, last: u8) -> Fingerprint {
        let mut tag = [0; TAG_LEN];
        (tag[0], tag[15]) = (first, last);
        tag
    }

    #[test]
    fn another_reply_to_the_same_request_is_noticed() {
        let mut table = Fingerprints::new(10_000);
        for hash in [0, 7, u64::MAX] {
            assert!(table.agrees(&key(hash), tag(1, 2)));
            assert!(table.agrees(&key(hash), tag(1, 2)));
            assert!(!table.agrees(&key(hash), tag(1, 3)) && !table.agrees(&key(hash), tag(0, 2)));
            assert!(table.agrees(&key(hash), tag(1, 2)), "the first one stays");
        }
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut table = Fingerprints::new(size_of::<Set>());
        for number in 1..=20 {
            assert!(table.agrees(&key(number.into()), tag(number, 0)));
        }
        assert!((13..=20).all(|hash| !table.agrees(&key(hash), tag(0, 0))));
        assert!(table.agrees(&key(1), tag(0, 0)));
        let mut none = Fingerprints::new(0);
        assert!(none.agrees(&key(1), tag(1, 1)) && none.agrees(&key(1), tag(2, 2)));
    }
}
