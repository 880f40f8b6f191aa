//! The replies of one shard: a ring of bytes and its index.

use super::key::Key;

/// Sealed replies in a ring of bytes, where the newest overwrite the oldest, and an index of
/// where they are.
///
/// The index is a table of small sets. Where more keys fall into one set than it has slots, the
/// oldest of them is forgotten before its turn.
pub(super) struct Ring {
    /// Records. None wraps: one that does not fit before the end is written at the start.
    arena: Box<[u8]>,
    index: Box<[Set]>,
    /// Position of the next record. Positions count bytes ever written, so that what was
    /// overwritten is known by its position; modulo the arena's length they are offsets into it.
    head: u64,
}

impl Ring {
    /// Returns a ring and its index in at most `capacity` bytes, allocated here; less than one set
    /// needs holds nothing.
    pub(super) fn new(capacity: usize) -> Self {
        let sets = capacity / BYTES_PER_SET;
        let arena = if sets == 0 { 0 } else { capacity - sets * size_of::<Set>() };
        let mut ring = Self {
            arena: vec![0; arena].into_boxed_slice(),
            index: vec![Set::default(); sets].into_boxed_slice(),
            head: 0,
        };
        ring.clear();
        ring
    }

    /// Returns the reply that was stored under this key, unless it was forgotten.
    pub(super) fn find(&self, key: &Key) -> Option<&[u8]> {
        let Set(slots) = self.index.get(key.set(self.index.len()))?;
        let mut positions =
            slots.iter().filter(|&slot| slot >> POSITION_BITS == key.tag()).map(|slot| slot & POSITION_MASK);
        positions.find_map(|position| self.reply_at(position, &key.exchange_value))
    }

    /// Stores a reply over the oldest ones, unless it is larger than the whole ring. The key must
    /// not be in the ring.
    pub(super) fn store(&mut self, key: &Key, reply: &[u8]) {
        let size = RECORD_HEADER.saturating_add(reply.len());
        let Ok(length) = u32::try_from(reply.len()) else { return };
        if size > self.arena.len() {
            return;
        }
        if self.head + 2 * self.lap() > POSITION_MASK {
            self.clear();
        }
        let left = self.arena.len() - self.offset(self.head);
        let position = if size > left { self.head + left as u64 } else { self.head };
        self.head = position + size as u64;

        let offset = self.offset(position);
        let record = &mut self.arena[offset..offset + size];
        record[..32].copy_from_slice(&key.exchange_value);
        record[32..RECORD_HEADER].copy_from_slice(&length.to_ne_bytes());
        record[RECORD_HEADER..].copy_from_slice(reply);

        let Set(slots) = &mut self.index[key.set(self.index.len())];
        // Empty and overwritten ones are older than all others.
        if let Some(oldest) = slots.iter_mut().min_by_key(|slot| **slot & POSITION_MASK) {
            *oldest = key.tag() << POSITION_BITS | position;
        }
    }

    /// Forgets the replies. Positions start two laps in, where an empty slot, which is 0, is long
    /// overwritten.
    fn clear(&mut self) {
        self.index.fill(Set::default());
        self.head = 2 * self.lap();
    }

    /// Returns the reply at this position, if it was not overwritten and is for this exchange
    /// value.
    fn reply_at(&self, position: u64, exchange_value: &[u8; 32]) -> Option<&[u8]> {
        if self.head - position > self.lap() {
            return None;
        }
        let record = self.arena.get(self.offset(position)..)?;
        let (recorded, rest) = record.split_first_chunk::<32>()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
        if recorded == exchange_value { rest.get(..length) } else { None }
    }

    fn lap(&self) -> u64 {
        self.arena.len() as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "less than the arena's length, which is a usize")]
    fn offset(&self, position: u64) -> usize {
        position.checked_rem(self.lap()).unwrap_or(0) as usize
    }
}

/// A record is the exchange value, the length of the reply, and the reply.
pub(super) const RECORD_HEADER: usize = 32 + size_of::<u32>();
/// The record that the index is sized for: a header and a short reply.
pub(super) const EXPECTED_RECORD: usize = RECORD_HEADER + 84;

/// A slot of the index: 16 bits of the hash, which distinguish most entries, above the record's
/// position.
const POSITION_BITS: u32 = 48;
const POSITION_MASK: u64 = (1 << POSITION_BITS) - 1;

/// One cache line of slots. Any of them may hold any key that hashes to the set.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Set([u64; 8]);

/// Slots for twice as many records as are expected, so that few sets overflow before the ring does.
pub(super) const BYTES_PER_SET: usize = size_of::<Set>() + 4 * EXPECTED_RECORD;

impl Key {
    fn tag(&self) -> u64 {
        self.hash >> POSITION_BITS
    }

    /// Returns the set of a hash, by its low half: its product with their number, without a
    /// division.
    pub(super) fn set(&self, sets: usize) -> usize {
        let low = self.hash & u64::from(u32::MAX);
        ((u128::from(low) * sets as u128) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn key(hash: u64, number: u64) -> Key {
        let mut exchange_value = [0x5a; 32];
        exchange_value[..8].copy_from_slice(&number.to_le_bytes());
        Key { hash, exchange_value }
    }

    impl Ring {
        pub(in crate::reply_cache) fn allocated(&self) -> usize {
            size_of_val(&*self.arena) + size_of_val(&*self.index)
        }

        pub(in crate::reply_cache) fn arena_len(&self) -> usize {
            self.arena.len()
        }
    }

    /// Returns a ring with one set of slots and an arena of this many bytes.
    fn small_ring(arena: usize) -> Ring {
        let mut ring = Ring::new(BYTES_PER_SET);
        ring.arena = vec![0; arena].into_boxed_slice();
        ring.clear();
        ring
    }

    #[test]
    fn an_empty_index_never_names_a_record() {
        let zero = Key { hash: 0, exchange_value: [0; 32] };
        let mut ring = small_ring(100);
        assert_eq!(ring.find(&zero), None);
        ring.store(&key(0, 1), b"");
        assert_eq!(ring.find(&zero), None);
    }

    #[test]
    fn the_oldest_reply_is_overwritten_first() {
        // Room for three records of 20 + 36 bytes, and 12 bytes that none of them fits.
        let mut ring = small_ring(3 * 56 + 12);
        for last in 0..100_u64 {
            ring.store(&key(last << 50, last), &[u8::try_from(last).unwrap(); 20]);
            for number in 0..=last {
                let found = ring.find(&key(number << 50, number));
                // The skipped end counts as overwritten together with the first record after it.
                let kept = last - number < 3;
                assert_eq!(found.is_some(), kept, "{number} after {last}");
                assert!(found.is_none_or(|reply| reply == [u8::try_from(number).unwrap(); 20]));
            }
        }
    }

    #[test]
    fn colliding_keys_are_told_apart_and_push_out_the_oldest() {
        let mut ring = small_ring(100 * 64);
        for last in 0..40_u64 {
            ring.store(&key(7, last), &last.to_le_bytes());
            for number in 0..=last {
                let expected = (last - number < 8).then(|| number.to_le_bytes());
                assert_eq!(ring.find(&key(7, number)), expected.as_ref().map(|reply| &reply[..]));
            }
            assert_eq!(ring.find(&key(7, last + 1)), None);
        }
    }

    #[test]
    fn a_reply_as_large_as_the_arena_is_kept_and_a_larger_one_changes_nothing() {
        let mut ring = small_ring(1000);
        let fits = vec![1; 1000 - RECORD_HEADER];
        ring.store(&key(1, 1), b"small");
        ring.store(&key(2, 2), &fits);
        assert_eq!(ring.find(&key(1, 1)), None);
        assert_eq!(ring.find(&key(2, 2)), Some(&*fits));
        ring.store(&key(3, 3), &[3; 1000 - RECORD_HEADER + 1]);
        assert_eq!(ring.find(&key(3, 3)), None);
        assert_eq!(ring.find(&key(2, 2)), Some(&*fits));
    }

    #[test]
    fn positions_start_again_before_they_run_out_of_bits() {
        let mut ring = small_ring(1000);
        ring.head = POSITION_MASK - 3000;
        let mut restarted = false;
        for number in 0..200 {
            let before = ring.head;
            ring.store(&key(number << 50, number), &number.to_le_bytes());
            restarted |= ring.head < before;
            assert_eq!(ring.find(&key(number << 50, number)), Some(&number.to_le_bytes()[..]));
        }
        assert!(restarted);
        assert_eq!(ring.find(&key(0, 0)), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

        /// Whatever the keys collide in, a reply is never given to another key, nor one that was
        /// overwritten.
        #[test]
        fn collisions_never_mix_replies(
            arena in RECORD_HEADER..600,
            hashes in vec(prop_oneof![Just(0_u64), Just(1 << 50), any::<u64>()], 40),
            records in vec((0..40_usize, 0..150_usize), 1..200),
        ) {
            let mut ring = small_ring(arena);
            let keys: Vec<_> = (0..).zip(hashes).map(|(number, hash)| key(hash, number)).collect();
            let mut latest = HashMap::new();
            for (turn, (number, length)) in records.into_iter().enumerate() {
                if ring.find(&keys[number]).is_none() {
                    let reply = vec![u8::try_from(turn).unwrap(); length];
                    ring.store(&keys[number], &reply);
                    latest.insert(number, reply);
                }
                for (&number, reply) in &latest {
                    let found = ring.find(&keys[number]);
                    prop_assert!(found.is_none_or(|found| found == reply));
                }
            }
        }
    }
}
