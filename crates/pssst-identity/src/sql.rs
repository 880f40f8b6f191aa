//! SQLite, and PostgreSQL for a pool of servers.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use pssst::PublicKey;

use crate::audit::ArchiveBuilder;
use crate::store::now;
use crate::{
    AuditArchive, AuditEntry, AuditQuery, ChangeReceiver, Changes, ClientTotals, EnrollError, Error, Identity,
    IdentityStore, ListQuery, NewAuditEntry, NewIdentity, Page, RefusedClient, Revision, ServerReport, Token,
    TokenGrant, TokenId, TokenInfo, Update,
};
pub(crate) use connect::check_location;
use database::Database;

mod archive;
mod audit;
mod connect;
mod connections;
mod database;
mod dialect;
mod identities;
#[cfg(feature = "postgres")]
mod listener;
mod refused;
mod rows;
mod servers;
mod tokens;
mod write;

/// A store in a database. Cheap to clone: clones share the connections and what
/// [`subscribe`](IdentityStore::subscribe) notifies.
///
/// Every change is written into the audit log in the same transaction. A call waits for other
/// writers, for a connection and for the database, 35 seconds in all at most and 5 when the
/// database cannot be reached; then it is an [`Error::Database`], and the next call tries again.
/// Only adding very many identities at once may take longer.
#[derive(Clone)]
pub struct SqlStore {
    database: Arc<Database>,
    actor: Arc<str>,
}

impl SqlStore {
    /// Opens `sqlite:PATH` or `postgres://...`, and brings its tables up to date. Changes are
    /// ascribed to `pssst` until [`with_actor`](Self::with_actor) says better.
    ///
    /// The text after `sqlite:` is the path, without escapes. The file is created with mode 0600 if
    /// it does not exist. A database in memory would differ for each connection, so it is not
    /// supported: use [`MemoryStore`](crate::MemoryStore).
    ///
    /// PostgreSQL on another machine needs a word about TLS, `sslmode=verify-full` for instance:
    /// without it the store is not opened.
    ///
    /// A URL for PostgreSQL supports everything that its own programs' URLs do, TLS included
    /// (`sslmode=verify-full`, `sslrootcert=...`); what it leaves out is taken from `PGHOST` and
    /// its like.
    ///
    /// # Errors
    /// [`Error::Syntax`] for another URL, [`Error::UnprotectedDatabase`], and [`Error::Database`].
    /// Neither shows the URL, which may hold a password.
    ///
    /// # A file that is replaced
    ///
    /// Before each call the file at the path is compared with the one that is open. If another one
    /// has taken its place, such as a restored backup, it is opened instead, and followers read all
    /// of it. While there is none, every call is an error.
    pub async fn open(url: &str) -> Result<Self, Error> {
        Self::open_or_create(url, true).await
    }

    /// Opens the database as [`open`](Self::open) does, but does not create the file of SQLite.
    ///
    /// # Errors
    /// [`Error::Missing`], and the errors of [`open`](Self::open).
    pub async fn open_existing(url: &str) -> Result<Self, Error> {
        Self::open_or_create(url, false).await
    }

    async fn open_or_create(url: &str, creates: bool) -> Result<Self, Error> {
        Ok(Self { database: Arc::new(Database::open(url, creates).await?), actor: "pssst".into() })
    }

    /// Returns a handle whose changes the audit log ascribes to this actor. Up to 128 bytes of it
    /// are kept.
    #[must_use]
    pub fn with_actor(&self, actor: impl Into<String>) -> Self {
        Self { database: Arc::clone(&self.database), actor: audit::bounded(&actor.into(), audit::MAX_ACTOR_LEN).into() }
    }

    /// Creates a token. Tokens that were used, withdrawn or expired more than 90 days ago are
    /// deleted.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::InvalidLabel`], [`Error::RandomnessUnavailable`],
    /// [`Error::Database`].
    pub async fn create_token(&self, grant: TokenGrant) -> Result<Token, Error> {
        tokens::check(&grant)?;
        let token = Token::generate()?;
        self.database.write(&self.actor, 0, async |write| tokens::create(write, &token, grant).await).await?;
        Ok(token)
    }

    /// Returns the tokens, newest first, up to 1,000. `open_only`: only those that can still be
    /// used.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Corrupt`].
    pub async fn tokens(&self, open_only: bool, limit: usize) -> Result<Vec<TokenInfo>, Error> {
        self.database.read(async |connection| tokens::list(connection, open_only, limit, now()).await).await
    }

    /// Withdraws a token. Returns `false` if there is no usable one.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn withdraw_token(&self, id: TokenId) -> Result<bool, Error> {
        self.database.write(&self.actor, 0, async |write| tokens::withdraw(write, id).await).await
    }

    /// Enrols a key with a token, atomically. The caller has verified the proof of the key. The
    /// same token with the same key again, while that identity is enrolled, gives the identity once
    /// more and stores nothing.
    ///
    /// A refusal leaves the token as it was. It is not in the audit log: the caller that answers
    /// the device knows more of it, and [records](Self::record) it.
    ///
    /// # Errors
    /// Every [`EnrollError`].
    pub async fn enroll(&self, token: &Token, key: &PublicKey, name: Option<&str>) -> Result<Identity, EnrollError> {
        self.enroll_with(token, key, name, false).await
    }

    /// Enrols a key with a token as [`enroll`](Self::enroll) does: the key of a client that gets a
    /// pre-shared key along with it, and must use that from its first request on.
    ///
    /// A repeated enrolment stores nothing either: look at [`Identity::requires_psk`] to see
    /// whether the client must use its pre-shared key.
    ///
    /// # Errors
    /// Every [`EnrollError`].
    pub async fn enroll_requiring_psk(
        &self,
        token: &Token,
        key: &PublicKey,
        name: Option<&str>,
    ) -> Result<Identity, EnrollError> {
        self.enroll_with(token, key, name, true).await
    }

    async fn enroll_with(
        &self,
        token: &Token,
        key: &PublicKey,
        name: Option<&str>,
        requires_psk: bool,
    ) -> Result<Identity, EnrollError> {
        // A device with a bad token must not hold up those that write.
        let seen = self.database.read(async |connection| tokens::examine(connection, token, key, now()).await).await?;
        if let tokens::Examined::Repeated(identity) = seen {
            return Ok(*identity);
        }
        self.database
            .write(&self.actor, 0, async |write| tokens::enroll(write, token, key, name, requires_psk).await)
            .await
    }

    /// Returns the clients that servers have refused and that are not served since, those seen last
    /// first, up to 1,000.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Corrupt`].
    pub async fn refused(&self, limit: usize) -> Result<Vec<RefusedClient>, Error> {
        self.database.read(async |connection| refused::list(connection, limit).await).await
    }

    /// Returns the servers that reported within the last day and did not say that they stop, by
    /// name, up to 1,000.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Corrupt`].
    pub async fn servers(&self) -> Result<Vec<ServerReport>, Error> {
        self.database.read(async |connection| servers::list(connection, now()).await).await
    }

    /// Writes an entry into the audit log.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn record(&self, entry: NewAuditEntry) -> Result<(), Error> {
        self.database.write(&self.actor, 0, async |write| write.record(&[entry]).await).await
    }

    /// Returns the latest entries of the audit log before this number (`None`: the latest of all),
    /// newest first, up to 1,000.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Corrupt`].
    pub async fn audit_log(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, Error> {
        self.find_audit_entries(&AuditQuery { before, limit, ..AuditQuery::default() }).await
    }

    /// Returns the latest entries of the audit log that fit a query, newest first.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Corrupt`].
    pub async fn find_audit_entries(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, Error> {
        self.database.read(async |connection| audit::list(connection, query).await).await
    }

    /// Writes the entries from before this time as lines of JSON, oldest first, and returns what
    /// was written; `None` if there are none. Then make sure that the lines are on the disk, and
    /// [delete](Self::prune_audit_log) the entries.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Corrupt`], and [`Error::File`] if the writer fails.
    pub async fn export_audit_log(
        &self,
        before: Timestamp,
        out: &mut (dyn Write + Send),
    ) -> Result<Option<AuditArchive>, Error> {
        let mut builder = ArchiveBuilder::after(self.audit_archives().await?.last());
        let mut after = 0;
        loop {
            let page = self.database.read(async |connection| audit::oldest(connection, after, before).await).await?;
            let Some(last) = page.last() else { return Ok(builder.finish()) };
            after = last.number;
            for entry in page {
                let line = entry.to_line();
                out.write_all(line.as_bytes())?;
                builder.add(entry.number, &line);
            }
        }
    }

    /// Deletes the entries of an archive, and keeps its hash. The audit log has an entry about it.
    ///
    /// # Errors
    /// [`Error::ArchiveMismatch`] if the entries are not those of the archive: another operator has
    /// deleted them. [`Error::Database`].
    pub async fn prune_audit_log(&self, archive: &AuditArchive) -> Result<(), Error> {
        // As much time as for as many identities.
        let rows = usize::try_from(archive.entries).unwrap_or(usize::MAX);
        self.database.write_rows(&self.actor, 0, rows, async |write| archive::prune(write, archive).await).await
    }

    /// Returns what was exported and deleted, oldest first.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Corrupt`].
    pub async fn audit_archives(&self) -> Result<Vec<AuditArchive>, Error> {
        self.database.read(async |connection| archive::list(connection).await).await
    }
}

impl fmt::Debug for SqlStore {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore")
            .field("dialect", &self.database.dialect)
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl IdentityStore for SqlStore {
    async fn add_all(&self, new: Vec<NewIdentity>) -> Result<Vec<Identity>, Error> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        self.database.write(&self.actor, new.len(), async |write| identities::add_all(write, new).await).await
    }

    async fn get(&self, key: &PublicKey) -> Result<Option<Identity>, Error> {
        self.database.read(async |connection| identities::get(connection, key).await).await
    }

    async fn find_by_name(&self, name: &str) -> Result<Option<Identity>, Error> {
        self.database.read(async |connection| identities::find_by_name(connection, name).await).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, Error> {
        self.database.read(async |connection| identities::list(connection, query).await).await
    }

    async fn totals(&self) -> Result<ClientTotals, Error> {
        self.database.read(async |connection| identities::totals(connection, now()).await).await
    }

    async fn update(&self, key: &PublicKey, update: Update) -> Result<Identity, Error> {
        self.database.write(&self.actor, 1, async |write| identities::update(write, key, update).await).await
    }

    async fn remove(&self, key: &PublicKey) -> Result<(), Error> {
        self.database.write(&self.actor, 1, async |write| identities::remove(write, key).await).await
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, Error> {
        let read = async |connection: &mut _| identities::changes(connection, after, limit).await;
        let (mut changes, replacements) = self.database.read_numbered(read).await?;
        // A file that took the place of another is another store, even if it is a copy of it.
        if replacements > 0 {
            changes.store = format!("{} {replacements}", changes.store);
        }
        Ok(changes)
    }

    async fn close(&self) {
        self.database.connections.close().await;
    }

    async fn record_refused(&self, clients: &[RefusedClient]) -> Result<(), Error> {
        self.database.read(async |connection| refused::record(connection, clients).await).await
    }

    async fn record_server(&self, server: &ServerReport) -> Result<(), Error> {
        self.database.read(async |connection| servers::record(connection, server).await).await
    }

    fn subscribe(&self) -> ChangeReceiver {
        self.database.signal.subscribe()
    }
}
