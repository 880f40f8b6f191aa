//! Parts of the audit log that were exported and deleted.

use jiff::Timestamp;
use sqlx::AnyConnection;

use super::audit::{self, PLACE};
use super::rows::{column, signed, unsigned};
use super::write::WriteTransaction;
use crate::audit::ArchiveBuilder;
use crate::{Action, AuditArchive, Error, NewAuditEntry};

/// Returns what was exported and deleted, oldest first.
pub(super) async fn list(connection: &mut AnyConnection) -> Result<Vec<AuditArchive>, Error> {
    let rows = sqlx::query("SELECT first, last, entries, hash FROM pssst_audit_archives ORDER BY first")
        .fetch_all(connection)
        .await
        .map_err(Error::database)?;
    let archive = |row| {
        Ok(AuditArchive {
            first: unsigned(column(row, 0, PLACE)?, PLACE)?,
            last: unsigned(column(row, 1, PLACE)?, PLACE)?,
            entries: unsigned(column(row, 2, PLACE)?, PLACE)?,
            hash: column::<&[u8]>(row, 3, PLACE)?.try_into().map_err(|_| Error::Corrupt(PLACE))?,
        })
    };
    rows.iter().map(archive).collect()
}

/// Deletes the entries of an archive, if they are still the entries in it.
pub(super) async fn prune(write: &mut WriteTransaction<'_>, archive: &AuditArchive) -> Result<(), Error> {
    let previous = list(&mut write.transaction).await?.pop();
    let (mut builder, mut after) = (ArchiveBuilder::after(previous.as_ref()), 0);
    while after < archive.last {
        let page = audit::oldest(&mut write.transaction, after, Timestamp::MAX).await?;
        let Some(last) = page.last() else { break };
        after = last.number;
        for entry in page.iter().take_while(|entry| entry.number <= archive.last) {
            builder.add(entry.number, &entry.to_line());
        }
    }
    if builder.finish().as_ref() != Some(archive) {
        return Err(Error::ArchiveMismatch);
    }
    sqlx::query("INSERT INTO pssst_audit_archives (first, last, entries, hash) VALUES ($1, $2, $3, $4)")
        .bind(signed(archive.first))
        .bind(signed(archive.last))
        .bind(signed(archive.entries))
        .bind(archive.hash.to_vec())
        .execute(&mut *write.transaction)
        .await
        .map_err(Error::database)?;
    sqlx::query("DELETE FROM pssst_audit WHERE number <= $1")
        .bind(signed(archive.last))
        .execute(&mut *write.transaction)
        .await
        .map_err(Error::database)?;
    let AuditArchive { first, last, entries, hash } = archive;
    let hash = base16ct::lower::encode_string(hash);
    let detail = format!("entries {first} to {last} ({entries}), SHA-256 {hash}");
    write.record(&[NewAuditEntry { action: Action::Archived, client_key: None, detail }]).await
}
