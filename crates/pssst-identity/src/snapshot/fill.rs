//! Filling a table of secrets for the clients that are there already.

use std::sync::Arc;

use pssst_support::sync::lock;

use super::IdentitySnapshot;
use super::secrets::Secrets;
use super::shard::Shard;
use super::writer::PIECE;

/// Slots that are looked at while the lock is held.
const SLOTS: usize = 16 * PIECE;

/// How far a table is filled.
#[derive(Default)]
pub(crate) struct FillPosition {
    shard: usize,
    slot: usize,
    /// The shard as it was at the last piece: another one has its clients elsewhere.
    seen: Option<Arc<Shard>>,
}

impl IdentitySnapshot {
    /// Adds a table of secrets, which gets those of all clients that come from now on.
    pub(crate) fn add_secrets(&self, secrets: &Arc<Secrets>) {
        lock(&self.writing).add(secrets);
    }

    /// Computes the secrets of at most [`PIECE`] clients that were there before. Returns `false`
    /// when the table is complete.
    ///
    /// Writers wait while clients are chosen and while their secrets are stored, not while they are
    /// computed.
    pub(crate) fn fill_piece(&self, secrets: &Secrets, position: &mut FillPosition) -> bool {
        let mut clients = Vec::with_capacity(PIECE);
        {
            let _one_at_a_time = lock(&self.writing);
            let Some(cell) = self.table.shards.get(position.shard) else {
                secrets.set_complete();
                return false;
            };
            let shard = cell.load_full();
            if !position.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &shard)) {
                position.slot = 0;
            }
            let end = shard.slots().min(position.slot + SLOTS);
            while position.slot < end && clients.len() < PIECE {
                let client = shard.key_and_row(position.slot);
                clients.extend(client.filter(|(_, row)| !secrets.is_filled(*row)));
                position.slot += 1;
            }
            if position.slot >= shard.slots() {
                *position = FillPosition { shard: position.shard + 1, slot: 0, seen: None };
            } else {
                position.seen = Some(shard);
            }
        }
        let keys: Vec<_> = clients.iter().map(|(key, _)| *key).collect();
        let computed = secrets.compute(&keys);
        let _one_at_a_time = lock(&self.writing);
        for (place, (key, row)) in clients.iter().enumerate() {
            // The row may be another client's by now.
            if self.table.row(key) == Some(*row) {
                secrets.store(*row, &computed, place);
            }
        }
        true
    }
}
