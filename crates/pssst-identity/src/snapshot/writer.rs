//! State of a snapshot's writers: rows, and the tables beside the snapshot.

use std::sync::{Arc, Weak};

use pssst::PublicKey;

use super::row::{Row, Rows};
use super::secrets::Secrets;

/// New clients whose secrets are computed before they become visible together.
pub(super) const PIECE: usize = 1024;

/// Rows, and the tables of secrets over the snapshot.
#[derive(Default)]
pub(crate) struct Writer {
    rows: Rows,
    secrets: Vec<Weak<Secrets>>,
}

impl Writer {
    /// Adds a table, which gets the secrets of all clients that come from now on.
    pub(super) fn add(&mut self, secrets: &Arc<Secrets>) {
        secrets.reserve(self.rows.len());
        self.secrets.retain(|secrets| secrets.strong_count() > 0);
        self.secrets.push(Arc::downgrade(secrets));
    }

    pub(super) fn has_secrets(&self) -> bool {
        self.secrets.iter().any(|secrets| secrets.strong_count() > 0)
    }

    /// Returns the number of rows that are in use, or were.
    #[cfg(test)]
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn take_row(&mut self) -> Row {
        self.rows.take()
    }

    /// Computes the secrets of new clients in every table.
    pub(super) fn fill(&self, clients: &[(PublicKey, Row)]) {
        for secrets in self.secrets.iter().filter_map(Weak::upgrade) {
            secrets.reserve(self.rows.len());
            for clients in clients.chunks(PIECE) {
                let keys: Vec<_> = clients.iter().map(|(key, _)| *key).collect();
                let computed = secrets.compute(&keys);
                for (place, (_, row)) in clients.iter().enumerate() {
                    secrets.store(*row, &computed, place);
                }
            }
        }
    }

    /// Takes back the rows of removed clients, and wipes what is in them.
    pub(super) fn give_back(&mut self, rows: Vec<Row>) {
        for secrets in self.secrets.iter().filter_map(Weak::upgrade) {
            for row in &rows {
                secrets.wipe(*row);
            }
        }
        for row in rows {
            self.rows.give_back(row);
        }
    }
}
