//! A table of what clients share with a server's keys, by row.

use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use arc_swap::ArcSwap;
use pssst::{KEY_LEN, Keyring, Product, PublicKey};
use zeroize::{Zeroize, Zeroizing};

use super::row::Row;

/// Words of a secret.
const SECRET_WORDS: usize = KEY_LEN / 8;
/// Rows that are allocated together.
const CHUNK_ROWS: usize = 4096;

/// A secret for each row and server key. Only a writer that holds the snapshot's lock changes it;
/// readers take no lock.
pub(crate) struct Secrets {
    keyring: Keyring,
    /// Number of the keyring's keys.
    keys: usize,
    chunks: ArcSwap<Vec<Arc<Chunk>>>,
    is_complete: AtomicBool,
    /// A client has no row: the table is never complete.
    has_overflowed: AtomicBool,
}

/// The secrets of neighbouring rows. Wiped when dropped.
struct Chunk(Box<[AtomicU64]>);

impl Secrets {
    pub(crate) fn new(keyring: Keyring) -> Self {
        let keys = keyring.server_keys().count();
        Self {
            keyring,
            keys,
            chunks: ArcSwap::default(),
            is_complete: AtomicBool::new(false),
            has_overflowed: AtomicBool::new(false),
        }
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Returns the number of server keys.
    pub(crate) fn keys(&self) -> usize {
        self.keys
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire) && !self.has_overflowed.load(Ordering::Relaxed)
    }

    pub(super) fn set_complete(&self) {
        self.is_complete.store(true, Ordering::Release);
    }

    /// Bytes of its rows.
    pub(crate) fn memory(&self) -> usize {
        let chunks = self.chunks.load();
        chunks.iter().map(|chunk| size_of_val(&*chunk.0) + size_of::<Chunk>() + 3 * size_of::<usize>()).sum()
    }

    /// Makes room for so many rows.
    pub(super) fn reserve(&self, rows: usize) {
        let chunks = self.chunks.load();
        let missing = rows.div_ceil(CHUNK_ROWS).saturating_sub(chunks.len());
        if missing > 0 {
            let words = CHUNK_ROWS * self.keys * SECRET_WORDS;
            let new = iter::repeat_with(|| Arc::new(Chunk::new(words))).take(missing);
            self.chunks.store(Arc::new(chunks.iter().cloned().chain(new).collect()));
        }
    }

    /// Returns the secret of a row with one of the server's keys; zeros where there is none.
    pub(super) fn read(&self, row: Row, key_index: usize) -> Zeroizing<[u8; KEY_LEN]> {
        self.read_at(row.number().unwrap_or(usize::MAX), key_index)
    }

    fn read_at(&self, row: usize, key_index: usize) -> Zeroizing<[u8; KEY_LEN]> {
        let mut secret = Zeroizing::new([0; KEY_LEN]);
        let chunks = self.chunks.load();
        for (bytes, word) in secret.chunks_exact_mut(8).zip(self.words(&chunks, row, key_index)) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        secret
    }

    /// Reads the secret of the row that a hash chooses.
    pub(super) fn read_any(&self, hash: u64, key_index: usize) -> Zeroizing<[u8; KEY_LEN]> {
        let rows = (self.chunks.load().len() * CHUNK_ROWS) as u64;
        let row = hash.checked_rem(rows).and_then(|row| usize::try_from(row).ok());
        self.read_at(row.unwrap_or_default(), key_index)
    }

    /// Returns whether the secrets of this row were computed.
    pub(super) fn is_filled(&self, row: Row) -> bool {
        // All keys of a row are written together, and no secret of an enrolled key is zero.
        self.read(row, 0).iter().any(|byte| *byte != 0)
    }

    /// Computes the secrets of these clients. It takes no lock, and some microseconds for each.
    pub(super) fn compute(&self, client_keys: &[PublicKey]) -> Computed {
        let secrets = |key_index| {
            let mut secrets: Vec<_> = client_keys.iter().map(|_| Product::default()).collect();
            let outcome = self.keyring.shared_secrets(key_index, client_keys, &mut secrets);
            debug_assert_eq!(outcome, Ok(()), "as many secrets as clients");
            secrets
        };
        Computed((0..self.keys).map(secrets).collect())
    }

    /// Stores the secrets of the client at this place of the computed ones. There must be room.
    pub(super) fn store(&self, row: Row, computed: &Computed, place: usize) {
        let Some(row) = row.number() else {
            self.has_overflowed.store(true, Ordering::Relaxed);
            return;
        };
        for (key_index, secrets) in computed.0.iter().enumerate() {
            if let Some(secret) = secrets.get(place) {
                self.write(row, key_index, secret.as_bytes());
            }
        }
    }

    /// Wipes the secrets of a row.
    pub(super) fn wipe(&self, row: Row) {
        if let Some(row) = row.number() {
            (0..self.keys).for_each(|key_index| self.write(row, key_index, &[0; KEY_LEN]));
        }
    }

    fn write(&self, row: usize, key_index: usize, secret: &[u8; KEY_LEN]) {
        // A reader that sees any of it sees the tag, too, that was set before.
        fence(Ordering::Release);
        let chunks = self.chunks.load();
        for (word, bytes) in self.words(&chunks, row, key_index).iter().zip(secret.as_chunks().0) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
    }

    fn words<'c>(&self, chunks: &'c [Arc<Chunk>], row: usize, key_index: usize) -> &'c [AtomicU64] {
        let first = ((row % CHUNK_ROWS) * self.keys + key_index) * SECRET_WORDS;
        let chunk = chunks.get(row / CHUNK_ROWS).filter(|_| key_index < self.keys);
        chunk.and_then(|chunk| chunk.0.get(first..first + SECRET_WORDS)).unwrap_or_default()
    }
}

/// Secrets of some clients, by server key. Wiped when dropped.
pub(super) struct Computed(Vec<Vec<Product>>);

impl Chunk {
    fn new(words: usize) -> Self {
        Self(iter::repeat_with(AtomicU64::default).take(words).collect())
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|word| word.get_mut().zeroize());
    }
}
