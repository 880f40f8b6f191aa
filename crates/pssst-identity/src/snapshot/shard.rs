//! A part of a snapshot: an open-addressing table whose slots a writer updates in place while
//! readers use them.

use std::collections::HashMap;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use pssst::{KEY_LEN, PublicKey};

use super::authorization::Authorization;
use super::names::Names;
use super::row::Row;
use crate::{ClientStatus, State};

/// Slots that are probed together.
const PROBE_WIDTH: usize = 4;
/// Slots whose names are stored and replaced together.
const GROUP: usize = 512;

/// Clients by key. A look-up waits for memory once: slots are found by the key's hash, and one
/// after another until an empty one.
pub(super) struct Shard {
    slots: Box<[Slot]>,
    /// Slots that are in use, or were.
    taken: AtomicUsize,
    /// Of those, the ones that are a client's.
    len: AtomicUsize,
    names: Box<[ArcSwap<Names>]>,
}

/// A client, 40 bytes. Once a slot has a key it keeps it, so that a reader sees one key and
/// never parts of two; what may change is the tag.
#[derive(Default)]
struct Slot {
    key: [AtomicU64; KEY_LEN / 8],
    tag: AtomicU64,
}

/// Tags: the state of a slot in the lowest 3 bits, a bit for a client that must use its pre-shared
/// key, the client's row, and in the high 32 bits its expiry.
const STATE: u64 = 0b111;
const REQUIRES_PSK: u64 = 1 << 3;
const ROW_SHIFT: u32 = u32::BITS - Row::BITS;
const EXPIRES_SHIFT: u32 = u32::BITS;

const EMPTY: u64 = 0;
/// The key is of no client. The slot stays taken: others were put behind it.
const REMOVED: u64 = 1;
const ENROLLED: u64 = 2;
const SUSPENDED: u64 = 3;
const REVOKED: u64 = 4;

impl Shard {
    /// Returns an empty shard with room for this many clients: five of six slots are used at most.
    pub(super) fn with_capacity(clients: usize) -> Self {
        let slots = if clients == 0 { 0 } else { clients + clients.div_ceil(5) + 1 };
        Self {
            slots: iter::repeat_with(Slot::default).take(slots).collect(),
            taken: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            names: iter::repeat_with(ArcSwap::default).take(slots.div_ceil(GROUP)).collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Bytes of this shard, with the two counters of its `Arc`.
    pub(super) fn memory(&self) -> usize {
        let names = self.names.iter().map(|names| size_of::<ArcSwap<Names>>() + names.load().memory()).sum::<usize>();
        size_of::<Self>() + 2 * size_of::<usize>() + size_of_val(&*self.slots) + names
    }

    pub(super) fn authorization(&self, key: &PublicKey, hash: u64) -> Option<Authorization> {
        self.find(words(key), hash).and_then(|(_, tag)| authorization(tag))
    }

    /// Returns the client's row, if there is such a client.
    pub(super) fn row(&self, key: &PublicKey, hash: u64) -> Option<Row> {
        self.find(words(key), hash).filter(|(_, tag)| is_client(*tag)).map(|(_, tag)| row(tag))
    }

    /// Reads what is in the client's row, with its authorization: both of one moment, however slow
    /// the reader is.
    pub(super) fn read_row<T>(
        &self,
        key: &PublicKey,
        hash: u64,
        read: impl Fn(Row) -> T,
    ) -> Option<(Authorization, T)> {
        loop {
            let (place, tag) = self.find(words(key), hash)?;
            let authorization = authorization(tag)?;
            let value = read(row(tag));
            // A row is written anew only after its client's tag.
            fence(Ordering::Acquire);
            if self.slots[place].tag.load(Ordering::Relaxed) == tag {
                return Some((authorization, value));
            }
        }
    }

    pub(super) fn get(&self, key: &PublicKey, hash: u64) -> Option<ClientStatus> {
        let (place, tag) = self.find(words(key), hash)?;
        self.status(place, authorization(tag)?)
    }

    fn status(&self, place: usize, authorization: Authorization) -> Option<ClientStatus> {
        let Authorization { state, expires, requires_psk } = authorization;
        let expires = expires.and_then(|expires| Timestamp::from_second(expires.into()).ok());
        let name = self.names.get(place / GROUP)?.load().get(place % GROUP).to_owned();
        Some(ClientStatus { name, state, expires, requires_psk })
    }

    /// Returns a larger shard with the same clients, if this one has no room for those of the keys
    /// that are not in it.
    pub(super) fn grown<'k>(
        &self,
        keys: impl Iterator<Item = &'k PublicKey>,
        hash: impl Fn(&PublicKey) -> u64,
    ) -> Option<Self> {
        let more = keys.filter(|key| self.find(words(key), hash(key)).is_none()).count();
        if more == 0 || (self.taken.load(Ordering::Relaxed) + more) * 6 <= self.slots.len() * 5 {
            return None;
        }
        let len = self.len();
        // By a sixteenth at least, so that it is not done for each client, and no more, so that
        // little is empty.
        let grown = Self::with_capacity(len + more.max(len / 16).max(4));
        let clients: Vec<_> = (0..self.slots.len()).filter_map(|place| self.client(place)).collect();
        grown.set(clients.iter().map(|(key, status, row)| (key, Some((status, *row)))), hash);
        Some(grown)
    }

    /// Sets clients in place, each with its row; `None` removes. Returns the rows of removed
    /// clients. There must be room for all of them, and only one caller at a time.
    pub(super) fn set<'c>(
        &self,
        clients: impl Iterator<Item = (&'c PublicKey, Option<(&'c ClientStatus, Row)>)>,
        hash: impl Fn(&PublicKey) -> u64,
    ) -> Vec<Row> {
        // A new key is written first, as removed, then its name, then its state.
        let mut names: HashMap<usize, Vec<(usize, &str)>> = HashMap::new();
        let mut tags = Vec::new();
        for (key, status) in clients {
            let found = self.find(words(key), hash(key)).map(|(place, _)| place);
            let Some(place) = found.or_else(|| status.and_then(|_| self.take_slot(key, hash(key)))) else { continue };
            names
                .entry(place / GROUP)
                .or_default()
                .push((place % GROUP, status.map_or("", |(status, _)| &status.name)));
            tags.push((place, status.map_or(REMOVED, |(status, row)| tag(status, row))));
        }
        for (group, changed) in names {
            let names = self.names[group].load().with(GROUP, &changed);
            self.names[group].store(Arc::new(names));
        }
        let mut removed = Vec::new();
        for (place, tag) in tags {
            let before = self.slots[place].tag.swap(tag, Ordering::AcqRel);
            match (is_client(before), is_client(tag)) {
                (false, true) => {
                    self.len.fetch_add(1, Ordering::Relaxed);
                }
                (true, false) => {
                    self.len.fetch_sub(1, Ordering::Relaxed);
                    removed.push(row(before));
                }
                _ => {}
            }
        }
        removed
    }

    /// Gives each client the row that `assign` returns for its key. No reader may know the shard
    /// yet.
    pub(super) fn assign_rows(&self, mut assign: impl FnMut(PublicKey) -> Row) {
        for (place, slot) in self.slots.iter().enumerate() {
            let tag = slot.tag.load(Ordering::Relaxed);
            if is_client(tag) {
                slot.tag.store(with_row(tag, assign(self.key(place))), Ordering::Release);
            }
        }
    }

    /// Returns the number of slots.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Returns the key and the row of the client in this slot, if there is one.
    pub(super) fn key_and_row(&self, place: usize) -> Option<(PublicKey, Row)> {
        let tag = self.slots.get(place)?.tag.load(Ordering::Acquire);
        is_client(tag).then(|| (self.key(place), row(tag)))
    }

    /// Where a key is, and its slot's tag.
    ///
    /// A probe of slots is compared whole before anything is decided: a branch for each would
    /// wait for the memory of one before it asks for the next.
    fn find(&self, key: [u64; 4], hash: u64) -> Option<(usize, u64)> {
        let mut first = self.first(hash);
        let mut probed = 0;
        while probed < self.slots.len() {
            let probe = &self.slots[first..(first + PROBE_WIDTH).min(self.slots.len())];
            // The thread that set the tag had set the key before.
            let mut tags = [EMPTY; PROBE_WIDTH];
            tags.iter_mut().zip(probe).for_each(|(tag, slot)| *tag = slot.tag.load(Ordering::Acquire));
            let mut differences = [u64::MAX; PROBE_WIDTH];
            for (difference, slot) in differences.iter_mut().zip(probe) {
                *difference = iter::zip(&slot.key, key)
                    .fold(0, |all, (word, wanted)| all | (word.load(Ordering::Relaxed) ^ wanted));
            }
            for (place, (tag, difference)) in iter::zip(tags, differences).take(probe.len()).enumerate() {
                if tag == EMPTY {
                    return None;
                }
                if difference == 0 {
                    return Some((first + place, tag));
                }
            }
            probed += probe.len();
            first = (first + probe.len()) % self.slots.len();
        }
        None
    }

    /// Gives a key that is in no slot the first empty one.
    fn take_slot(&self, key: &PublicKey, hash: u64) -> Option<usize> {
        let is_empty = |place: &usize| self.slots[*place].tag.load(Ordering::Relaxed) == EMPTY;
        let first = self.first(hash);
        let place = (first..self.slots.len()).chain(0..first).find(is_empty)?;
        let slot = &self.slots[place];
        iter::zip(&slot.key, words(key)).for_each(|(word, value)| word.store(value, Ordering::Relaxed));
        slot.tag.store(REMOVED, Ordering::Release);
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(place)
    }

    /// The place that the last 32 bits of a hash choose.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "32 bits are what is wanted, and the product's are below the length"
    )]
    fn first(&self, hash: u64) -> usize {
        ((u64::from(hash as u32) * self.slots.len() as u64) >> 32) as usize
    }

    fn client(&self, place: usize) -> Option<(PublicKey, ClientStatus, Row)> {
        let tag = self.slots[place].tag.load(Ordering::Relaxed);
        let status = self.status(place, authorization(tag)?)?;
        Some((self.key(place), status, row(tag)))
    }

    /// Returns the key in a slot that is taken.
    fn key(&self, place: usize) -> PublicKey {
        let mut key = [0; KEY_LEN];
        for (bytes, word) in key.chunks_exact_mut(8).zip(&self.slots[place].key) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        PublicKey::from_bytes(key)
    }
}

fn is_client(tag: u64) -> bool {
    tag & STATE > REMOVED
}

#[expect(clippy::cast_possible_truncation, reason = "the row is in the low half, and takes its own bits")]
fn row(tag: u64) -> Row {
    Row::from_bits((tag as u32) >> ROW_SHIFT)
}

fn with_row(tag: u64, row: Row) -> u64 {
    tag & !(u64::from(Row::NONE.bits()) << ROW_SHIFT) | u64::from(row.bits()) << ROW_SHIFT
}

fn tag(status: &ClientStatus, row: Row) -> u64 {
    let state = match status.state {
        State::Enrolled => ENROLLED,
        State::Suspended => SUSPENDED,
        State::Revoked => REVOKED,
    };
    // 0 is never; what was over before 1970 counts as over in its first second.
    let expires = status.expires.map_or(0, |at| u32::try_from(at.as_second().max(1)).unwrap_or(u32::MAX));
    let requires_psk = if status.requires_psk { REQUIRES_PSK } else { 0 };
    with_row(u64::from(expires) << EXPIRES_SHIFT | requires_psk | state, row)
}

fn authorization(tag: u64) -> Option<Authorization> {
    let state = match tag & STATE {
        ENROLLED => State::Enrolled,
        SUSPENDED => State::Suspended,
        REVOKED => State::Revoked,
        _ => return None,
    };
    let expires = (tag >> EXPIRES_SHIFT) as u32;
    let requires_psk = tag & REQUIRES_PSK != 0;
    Some(Authorization { state, expires: (expires > 0).then_some(expires), requires_psk })
}

fn words(key: &PublicKey) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(key.as_bytes().as_chunks().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    words
}
