//! Identities in memory: for tests, for programs that get them from elsewhere, and below the file.

use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use pssst::PublicKey;
use pssst_support::sync::lock;

use crate::store::{now, random_store_name};
use crate::{
    ChangeReceiver, ChangeSignal, Changes, ClientTotals, Error, Identity, IdentityStore, ListQuery, NewIdentity, Page,
    Revision, Update,
};
use table::Table;

pub(crate) mod table;

/// A store that lives as long as the process.
#[derive(Debug)]
pub struct MemoryStore {
    table: Mutex<Table>,
    signal: ChangeSignal,
}

impl MemoryStore {
    /// Returns an empty store.
    pub fn new() -> Self {
        // Distinguishes it from other stores, which an empty name does too.
        Self { table: Mutex::new(Table::new(random_store_name().unwrap_or_default())), signal: ChangeSignal::default() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A thread that panicked had checked everything before it changed anything.
        lock(&self.table)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl IdentityStore for MemoryStore {
    async fn add_all(&self, identities: Vec<NewIdentity>) -> Result<Vec<Identity>, Error> {
        let added = self.table().add_all(identities, now())?;
        self.signal.notify();
        Ok(added)
    }

    async fn get(&self, key: &PublicKey) -> Result<Option<Identity>, Error> {
        Ok(self.table().get(key).cloned())
    }

    async fn find_by_name(&self, name: &str) -> Result<Option<Identity>, Error> {
        Ok(self.table().find_by_name(name).cloned())
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, Error> {
        Ok(self.table().list(query))
    }

    async fn totals(&self) -> Result<ClientTotals, Error> {
        Ok(self.table().totals(now()))
    }

    async fn update(&self, key: &PublicKey, update: Update) -> Result<Identity, Error> {
        let identity = self.table().update(key, update, now())?;
        self.signal.notify();
        Ok(identity)
    }

    async fn remove(&self, key: &PublicKey) -> Result<(), Error> {
        self.table().remove(key)?;
        self.signal.notify();
        Ok(())
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, Error> {
        Ok(self.table().changes(after, limit))
    }

    fn subscribe(&self) -> ChangeReceiver {
        self.signal.subscribe()
    }
}
