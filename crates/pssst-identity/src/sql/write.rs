//! A transaction that changes something.

use jiff::Timestamp;
use sqlx::{Any, AnyConnection, Connection, Row, SqlSafeStr, Transaction};

use super::audit;
use super::dialect::Dialect;
use super::rows::unsigned;
use crate::store::now;
use crate::{Error, NewAuditEntry};

/// Holds the lock of all writers, the row of `pssst_store`: revisions become visible in their
/// order, and what was checked stays true until the commit.
pub(super) struct WriteTransaction<'c> {
    pub(super) transaction: Transaction<'c, Any>,
    /// When it has begun: what it writes has this time.
    pub(super) now: Timestamp,
    /// The next unused revision.
    next_revision: u64,
    has_changed: bool,
    actor: &'c str,
}

impl<'c> WriteTransaction<'c> {
    pub(super) async fn begin(
        connection: &'c mut AnyConnection,
        dialect: Dialect,
        actor: &'c str,
        revisions: usize,
    ) -> Result<Self, Error> {
        let transaction = connection.begin_with(dialect.begin_write().into_sql_str()).await.map_err(Error::database)?;
        let mut write = Self { transaction, now: Timestamp::UNIX_EPOCH, next_revision: 1, has_changed: false, actor };
        write.reserve(revisions).await?;
        // Only now, since the lock may have taken its time, and later changes should have later
        // times.
        write.now = now();
        Ok(write)
    }

    /// Takes the writers' lock, and this many revisions.
    pub(super) async fn reserve(&mut self, revisions: usize) -> Result<(), Error> {
        let count = i64::try_from(revisions).map_err(|_| Error::Corrupt("the number of revisions"))?;
        let row = sqlx::query("UPDATE pssst_store SET revision = revision + $1 WHERE id = 1 RETURNING revision")
            .bind(count)
            .fetch_optional(&mut *self.transaction)
            .await
            .map_err(Error::database)?
            .ok_or(Error::Corrupt("the revision"))?;
        let latest = unsigned(row.try_get(0).map_err(Error::database)?, "the revision")?;
        self.next_revision = latest.saturating_sub(unsigned(count, "the revision")?) + 1;
        self.has_changed |= revisions > 0;
        Ok(())
    }

    /// One of the revisions that were reserved, as the database has it.
    pub(super) fn take_revision(&mut self) -> i64 {
        let revision = self.next_revision;
        self.next_revision += 1;
        // It was read as an i64.
        i64::try_from(revision).unwrap_or(i64::MAX)
    }

    pub(super) async fn record(&mut self, entries: &[NewAuditEntry]) -> Result<(), Error> {
        audit::insert(&mut self.transaction, self.now, self.actor, entries).await
    }

    pub(super) fn actor(&self) -> &'c str {
        self.actor
    }

    /// Tells whether an identity has changed.
    pub(super) async fn commit(self) -> Result<bool, Error> {
        self.transaction.commit().await.map_err(Error::database)?;
        Ok(self.has_changed)
    }
}
