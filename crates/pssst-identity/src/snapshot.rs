//! The look-up that servers make for each packet: the status of a client, by exact key, from
//! memory.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use pssst::{KEY_LEN, PublicKey};
use pssst_support::sync::lock;
use zeroize::Zeroizing;

use crate::{Change, ClientStatus};
pub(crate) use authorization::Authorization;
pub(crate) use fill::FillPosition;
use row::Row;
pub(crate) use secrets::Secrets;
use shard::Shard;
use writer::{PIECE, Writer};

mod authorization;
mod fill;
mod names;
mod row;
mod secrets;
mod shard;
mod writer;

/// 64 shards: few enough to stay in the fastest cache, many enough that making room in one of them
/// is quickly done.
const SHARD_BITS: u32 = 6;

/// The clients of a store, in memory.
///
/// A look-up takes no lock and does not allocate. A writer updates clients in place, and replaces a
/// shard that is full by a larger one. A client takes 50 bytes, and those of its name; in a
/// snapshot that grows little by little, 53.
///
/// ```
/// use pssst_identity::pssst::PublicKey;
/// use pssst_identity::IdentitySnapshot;
///
/// let snapshot = IdentitySnapshot::new();
/// assert_eq!(snapshot.get(&PublicKey::from_bytes([9; 32])), None);
/// ```
pub struct IdentitySnapshot {
    table: Table,
    /// Writers take turns.
    writing: Mutex<Writer>,
}

impl IdentitySnapshot {
    /// Returns a snapshot without clients.
    pub fn new() -> Self {
        Self { table: Table::new(RandomState::new()), writing: Mutex::default() }
    }

    /// Returns the status of the client with exactly this key.
    pub fn get(&self, key: &PublicKey) -> Option<ClientStatus> {
        let (shard, hash) = self.table.shard(key);
        shard.load().get(key, hash)
    }

    /// [`IdentitySnapshot::get`] for the packet path.
    pub(crate) fn authorization(&self, key: &PublicKey) -> Option<Authorization> {
        let (shard, hash) = self.table.shard(key);
        shard.load().authorization(key, hash)
    }

    /// Looks up the authorization of a client and what it shares with one of the server's keys, for
    /// the packet path, before any proof. It takes no lock, allocates nothing and remembers
    /// nothing. The secret is zero where there is none.
    ///
    /// For a key that is not there, it reads some row too, so that both take about as long.
    pub(crate) fn shared_secret(
        &self,
        key: &PublicKey,
        secrets: &Secrets,
        key_index: usize,
    ) -> Option<(Authorization, Zeroizing<[u8; KEY_LEN]>)> {
        let (cell, hash) = self.table.shard(key);
        loop {
            let shard = cell.load();
            let found = shard.read_row(key, hash, |row| secrets.read(row, key_index));
            // In a shard that was replaced, tags stay as they were.
            if !Arc::ptr_eq(&shard, &cell.load()) {
                continue;
            }
            if found.is_none() {
                black_box(secrets.read_any(hash, key_index));
            }
            return found;
        }
    }

    /// Applies these changes in their order. When this returns, every thread sees them.
    ///
    /// With [`SharedSecrets`](crate::SharedSecrets) over this snapshot, it computes those of new
    /// clients first, some microseconds for each client and server key: do not call it on a task
    /// of an asynchronous runtime then.
    pub fn apply(&self, changes: &[Change]) {
        let writer = &mut *lock(&self.writing);
        if !writer.has_secrets() {
            self.table.apply(changes, Some(writer));
            return;
        }
        // The latest change of each. What needs no computation comes first: a revocation waits for
        // no new client.
        let latest: HashMap<_, _> = changes.iter().map(|change| (&change.key, change)).collect();
        let is_new = |change: &&Change| change.status.is_some() && self.table.row(&change.key).is_none();
        let (new, old): (Vec<_>, Vec<_>) = latest.into_values().partition(is_new);
        self.table.apply(old, Some(writer));
        for new in new.chunks(PIECE) {
            self.table.apply(new.iter().copied(), Some(writer));
        }
    }

    /// Returns whether there are secrets over this snapshot, so that writers compute.
    pub(crate) fn has_secrets(&self) -> bool {
        lock(&self.writing).has_secrets()
    }

    /// Returns an empty table, to fill for [`IdentitySnapshot::replace`].
    pub(crate) fn empty_table(&self) -> Table {
        Table::new(self.table.hasher.clone())
    }

    /// Forgets every client, and takes these over instead: each key is seen as it was or as it is
    /// now, and never missed.
    pub(crate) fn replace(&self, table: Table) {
        let writer = &mut *lock(&self.writing);
        // Clients that stay keep their rows, and what is in them.
        let mut new = Vec::new();
        for shard in &table.shards {
            shard.load().assign_rows(|key| {
                self.table.row(&key).unwrap_or_else(|| {
                    let row = writer.take_row();
                    new.push((key, row));
                    row
                })
            });
        }
        writer.fill(&new);
        let old = self.table.shards.iter().map(ArcSwap::load_full);
        let clients = old.flat_map(|shard| (0..shard.slots()).filter_map(move |place| shard.key_and_row(place)));
        let gone = clients.filter(|(key, _)| table.row(key).is_none()).map(|(_, row)| row).collect();
        for (shard, replacement) in self.table.shards.iter().zip(table.shards) {
            shard.store(replacement.into_inner());
        }
        writer.give_back(gone);
    }

    /// Clients in it, in every state.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Returns whether it holds no client.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        self.table.shards.iter().map(|shard| size_of::<ArcSwap<Shard>>() + shard.load().memory()).sum()
    }
}

impl Default for IdentitySnapshot {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for IdentitySnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentitySnapshot").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The latest change of each client: its status and its row, or that it was removed.
type Latest<'c> = HashMap<&'c PublicKey, Option<(&'c ClientStatus, Row)>>;

/// All shards, and the hash that assigns keys to them: so that an attacker cannot choose keys that
/// collide.
pub(crate) struct Table {
    hasher: RandomState,
    shards: Box<[ArcSwap<Shard>]>,
}

impl Table {
    fn new(hasher: RandomState) -> Self {
        let shards = (0..1 << SHARD_BITS).map(|_| ArcSwap::from_pointee(Shard::with_capacity(0))).collect();
        Self { hasher, shards }
    }

    /// The leading bits of a key's hash choose the shard, the last ones the place in it.
    fn shard(&self, key: &PublicKey) -> (&ArcSwap<Shard>, u64) {
        let hash = self.hasher.hash_one(key.as_bytes());
        (&self.shards[shard_place(hash)], hash)
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.load().len()).sum()
    }

    /// Returns the row of the client with this key, if there is one.
    fn row(&self, key: &PublicKey) -> Option<Row> {
        let (shard, hash) = self.shard(key);
        shard.load().row(key, hash)
    }

    /// Applies changes. The writer gives rows; without one, clients have none until the table takes
    /// another's place.
    pub(crate) fn apply<'c>(&self, changes: impl IntoIterator<Item = &'c Change>, mut writer: Option<&mut Writer>) {
        let mut by_shard: HashMap<usize, Latest<'_>> = HashMap::new();
        for change in changes {
            let place = shard_place(self.hasher.hash_one(change.key.as_bytes()));
            let status = change.status.as_ref().map(|status| (status, Row::NONE));
            by_shard.entry(place).or_default().insert(&change.key, status);
        }
        let hash = |key: &PublicKey| self.hasher.hash_one(key.as_bytes());
        if let Some(writer) = &mut writer {
            let mut new = Vec::new();
            for (key, client) in by_shard.values_mut().flatten() {
                let Some((_, row)) = client else { continue };
                *row = self.row(key).unwrap_or_else(|| {
                    let row = writer.take_row();
                    new.push((**key, row));
                    row
                });
            }
            // Before anyone can see them.
            writer.fill(&new);
        }
        for (place, changes) in by_shard {
            let shard = &self.shards[place];
            if let Some(grown) = shard.load().grown(changes.keys().copied(), hash) {
                shard.store(Arc::new(grown));
            }
            let removed = shard.load().set(changes.into_iter(), hash);
            if let Some(writer) = &mut writer {
                writer.give_back(removed);
            }
        }
    }
}

fn shard_place(hash: u64) -> usize {
    (hash >> (u64::BITS - SHARD_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use jiff::Timestamp;
    use proptest::prelude::*;
    use pssst::SecretKey;

    use super::*;
    use crate::Revision;
    use crate::State;

    fn key(number: u64) -> PublicKey {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        PublicKey::from_bytes(bytes)
    }

    fn change(number: u64, status: Option<ClientStatus>) -> Change {
        Change { revision: Revision(0), key: key(number), status }
    }

    fn status(name: &str, state: State, expires: Option<i64>) -> ClientStatus {
        let expires = expires.map(|at| Timestamp::from_second(at).unwrap());
        ClientStatus { name: name.into(), state, expires, requires_psk: name.len().is_multiple_of(2) }
    }

    fn any_status() -> impl Strategy<Value = Option<ClientStatus>> {
        let state = prop::sample::select(State::ALL.to_vec());
        let expires = prop::option::of(1_i64..=u32::MAX.into());
        prop::option::of(
            ("[a-zé]{1,20}", state, expires).prop_map(|(name, state, expires)| status(&name, state, expires)),
        )
    }

    proptest! {
        /// Whatever is set, changed and removed, the snapshot says what a plain map says.
        #[test]
        fn a_snapshot_is_a_map(batches in prop::collection::vec(prop::collection::vec((0_u64..300, any_status()), 0..200), 1..8)) {
            let (snapshot, mut map) = (IdentitySnapshot::new(), BTreeMap::new());
            for batch in batches {
                let changes: Vec<_> = batch.into_iter().map(|(number, status)| change(number, status)).collect();
                snapshot.apply(&changes);
                for Change { key, status, .. } in changes {
                    match status {
                        Some(status) => map.insert(key, status),
                        None => map.remove(&key),
                    };
                }
                prop_assert_eq!(snapshot.len(), map.len());
                for number in 0..300 {
                    let known = snapshot.get(&key(number));
                    let authorization = snapshot.authorization(&key(number));
                    let decides = |known: &ClientStatus| (known.state, known.requires_psk);
                    let authorization = authorization.map(|known| (known.state, known.requires_psk));
                    prop_assert_eq!(authorization, known.as_ref().map(decides));
                    prop_assert_eq!(known.as_ref(), map.get(&key(number)));
                }
            }
        }
    }

    #[test]
    fn keys_are_compared_whole() {
        let snapshot = IdentitySnapshot::new();
        snapshot.apply(&[change(1, Some(status("one", State::Enrolled, None)))]);
        for place in 0..32 {
            let mut other = *key(1).as_bytes();
            other[place] ^= 0x80;
            assert_eq!(snapshot.get(&PublicKey::from_bytes(other)), None);
        }
    }

    #[test]
    fn expiry_counts_from_its_second() {
        let snapshot = IdentitySnapshot::new();
        let far = i64::from(u32::MAX) + 1_000;
        for (number, expires) in [(1, None), (2, Some(1_000)), (3, Some(far)), (4, Some(0)), (5, Some(-5))] {
            snapshot.apply(&[change(number, Some(status("a", State::Enrolled, expires)))]);
        }
        let is_expired = |number, now| {
            snapshot.authorization(&key(number)).unwrap().is_expired(Timestamp::from_second(now).unwrap())
        };
        for now in [999, 1_000, far] {
            assert!(!is_expired(1, now));
            assert_eq!(is_expired(2, now), now >= 1_000);
            assert!(is_expired(4, now) && is_expired(5, now));
        }
        // Times after the year 2105 count as its end.
        assert!(!is_expired(3, far - 2_000) && is_expired(3, far));
    }

    /// Unchanged clients are always found while others are written.
    #[test]
    fn readers_never_miss_what_stays() {
        let snapshot = IdentitySnapshot::new();
        let stays: Vec<_> =
            (0..2_000).map(|number| change(number, Some(status("stays", State::Enrolled, None)))).collect();
        snapshot.apply(&stays);
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        while !is_done.load(Ordering::Relaxed) {
                            for number in 0..2_000 {
                                assert_eq!(snapshot.get(&key(number)).unwrap().name, "stays");
                            }
                        }
                    })
                })
                .collect();
            for round in 0..20_u64 {
                let comes = status("comes", State::Suspended, None);
                let changes: Vec<_> =
                    (10_000..14_000).map(|number| change(number, (round % 2 == 0).then(|| comes.clone()))).collect();
                snapshot.apply(&changes);
            }
            is_done.store(true, Ordering::Relaxed);
            for reader in readers {
                reader.join().unwrap();
            }
        });
        assert_eq!(snapshot.len(), 2_000);
    }

    #[test]
    fn a_client_takes_50_bytes_and_its_name() {
        let snapshot = IdentitySnapshot::new();
        let clients: Vec<_> =
            (0..1_000_000).map(|number| change(number, Some(status("12345678", State::Enrolled, None)))).collect();
        snapshot.apply(&clients);
        let bytes = snapshot.memory() - IdentitySnapshot::new().memory();
        assert!((57 * 1_000_000..59 * 1_000_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn secrets_of_removed_clients_are_wiped() {
        let snapshot = IdentitySnapshot::new();
        let secrets = Arc::new(Secrets::new(SecretKey::from_bytes([1; 32]).into()));
        snapshot.add_secrets(&secrets);
        let one = status("one", State::Enrolled, None);
        let add = |numbers: std::ops::Range<u64>| {
            snapshot.apply(&numbers.map(|number| change(number, Some(one.clone()))).collect::<Vec<_>>());
        };
        let row = |number| snapshot.table.row(&key(number)).unwrap();
        add(2..10);
        let rows: Vec<_> = (2..10).map(row).collect();
        assert!(rows.iter().all(|row| secrets.is_filled(*row)));

        snapshot.apply(&[change(3, None)]);
        assert!(!secrets.is_filled(rows[1]) && secrets.is_filled(rows[2]));
        let table = snapshot.empty_table();
        table.apply(&[change(4, Some(one.clone())), change(20, Some(one.clone()))], None);
        snapshot.replace(table);
        // The one that stays, and the new one in the first row that was free.
        assert_eq!((row(4), row(20)), (rows[2], rows[1]));
        let filled: Vec<_> = (0..8).filter(|place| secrets.is_filled(rows[*place])).collect();
        assert_eq!(filled, [1, 2]);
        // Rows are used again.
        add(30..38);
        assert_eq!(lock(&snapshot.writing).rows(), 10);
    }
}
