//! Stores to test, and what to put into them.

use std::sync::Arc;

use pssst_identity::pssst::{ClientCheck, ClientClaim, KeyCheck, PublicKey, Suite};
use pssst_identity::{AccessPolicy, Change, FileStore, IdentityStore, MemoryStore, NewIdentity, Revision, SqlStore};
use pssst_test::Postgres;
use tempfile::TempDir;

pub(crate) type Store = Arc<dyn IdentityStore>;

/// A store with whatever it lives in.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    _directory: Option<TempDir>,
}

pub(crate) async fn memory() -> Fixture {
    Fixture { store: Arc::new(MemoryStore::new()), _directory: None }
}

pub(crate) async fn file() -> Fixture {
    let directory = tempfile::tempdir().expect("a directory");
    let store = FileStore::open(directory.path().join("clients")).await.expect("the file is made");
    Fixture { store: Arc::new(store), _directory: Some(directory) }
}

pub(crate) async fn sqlite() -> Fixture {
    let database = Database::sqlite().await;
    Fixture { store: Arc::new(database.store), _directory: database.directory }
}

pub(crate) async fn postgres() -> Fixture {
    Fixture { store: Arc::new(Database::postgres().await.store), _directory: None }
}

pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) store: SqlStore,
    pub(crate) directory: Option<TempDir>,
}

impl Database {
    pub(crate) async fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // What means something in a URL means nothing in a path.
        let url = format!("sqlite:{}/a b#c?d%41é.db", directory.path().display());
        let store = SqlStore::open(&url).await.expect("SQLite opens");
        Self { url, store, directory: Some(directory) }
    }

    pub(crate) async fn postgres() -> Self {
        let url = tokio::task::block_in_place(|| Postgres::shared().fresh_database());
        let store = SqlStore::open(&url).await.expect("PostgreSQL opens");
        Self { url, store, directory: None }
    }

    /// Does something to the database behind the store's back.
    pub(crate) async fn meddle(&self, sql: &'static str) -> Result<(), sqlx::Error> {
        use sqlx::{AnyConnection, Connection, Executor};

        let url = match &self.directory {
            None => self.url.clone(),
            Some(directory) => {
                // A path that needs no escapes.
                let link = directory.path().join("link.db");
                let _exists = std::os::unix::fs::symlink(self.url.trim_start_matches("sqlite:"), &link);
                format!("sqlite:{}", link.display())
            }
        };
        let mut connection = AnyConnection::connect(&url).await?;
        let done = connection.execute(sql).await.map(drop);
        connection.close().await?;
        done
    }
}

/// The true key of a number, always the same.
pub(crate) fn key(number: u32) -> PublicKey {
    pssst_test::secret(number).public_key()
}

/// Asks a policy about a client that proved its key, without a pre-shared key.
pub(crate) fn check(policy: &AccessPolicy, key: &PublicKey) -> KeyCheck {
    policy.check(&ClientClaim::new(key, Suite::X25519Aes256GcmSiv, 0, false))
}

pub(crate) fn client(number: u32, name: &str) -> NewIdentity {
    NewIdentity::new(key(number), name).expect("a good name")
}

/// All changes after a revision, by pages of this length.
pub(crate) async fn feed(store: &Store, after: Revision, page_len: usize) -> Vec<Change> {
    let (mut all, mut after) = (Vec::new(), after);
    loop {
        let page = store.changes(after, page_len).await.expect("the feed");
        assert!(page.changes.len() <= page_len);
        let Some(last) = page.changes.last() else { return all };
        assert!(last.revision <= page.latest);
        after = last.revision;
        all.extend(page.changes);
    }
}
