//! The table of identities and the feed of changes.

use std::collections::HashSet;

use jiff::Timestamp;
use pssst::PublicKey;
use sqlx::error::DatabaseError;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::rows::{change, column, identity, identity_columns, placeholders, signed, to_json, unsigned};
use super::write::WriteTransaction;
use crate::identity::check_name;
use crate::{
    Action, Changes, ClientTotals, Error, Identity, ListQuery, NewAuditEntry, NewIdentity, Page, Revision, State,
    Update,
};

/// Rows that one statement inserts.
const CHUNK_LEN: usize = 256;
/// More bytes than what is searched can have (`Identity::search_text`, even if every letter grows
/// in lower case).
const MAX_SEARCH_LEN: usize = 24_000;

/// The caller has reserved the revisions.
pub(super) async fn add_all(write: &mut WriteTransaction<'_>, new: Vec<NewIdentity>) -> Result<Vec<Identity>, Error> {
    let (mut keys, mut names) = (HashSet::new(), HashSet::new());
    for identity in &new {
        if !keys.insert(&identity.key) {
            return Err(Error::KeyTaken(identity.key));
        }
        if !names.insert(&identity.name) {
            return Err(Error::NameTaken(identity.name.clone()));
        }
    }
    let now = write.now;
    let added: Vec<_> = new.into_iter().map(|identity| identity.into_identity(now)).collect();
    for chunk in added.chunks(CHUNK_LEN) {
        insert(write, chunk).await?;
        let entries: Vec<_> =
            chunk.iter().map(|identity| entry(Action::Added, identity, identity.name.clone())).collect();
        write.record(&entries).await?;
    }
    Ok(added)
}

/// Without a row in the audit log.
pub(super) async fn insert(write: &mut WriteTransaction<'_>, identities: &[Identity]) -> Result<(), Error> {
    const COLUMNS: &str = "key, revision, name, labels, state, created, changed, expires, requires_psk, search";
    let values = placeholders(identities.len(), 10);
    let sql = format!("INSERT INTO pssst_identities ({COLUMNS}) VALUES {values} ON CONFLICT DO NOTHING");
    let mut query = sqlx::query(AssertSqlSafe(sql));
    let mut first_revision = i64::MAX;
    for identity in identities {
        let revision = write.take_revision();
        first_revision = first_revision.min(revision);
        query = query
            .bind(identity.key.as_bytes().to_vec())
            .bind(revision)
            .bind(identity.name.clone())
            .bind(to_json(&identity.labels))
            .bind(identity.state.name())
            .bind(identity.created.as_millisecond())
            .bind(identity.changed.as_millisecond())
            .bind(identity.expires.map(Timestamp::as_millisecond))
            .bind(i64::from(identity.requires_psk))
            .bind(identity.search_text());
    }
    let inserted = query.execute(&mut *write.transaction).await.map_err(Error::database)?.rows_affected();
    if usize::try_from(inserted) != Ok(identities.len()) {
        return Err(conflict(&mut write.transaction, identities, first_revision).await?);
    }
    let keys = placeholders(1, identities.len());
    let mut query = sqlx::query(AssertSqlSafe(format!("DELETE FROM pssst_removed WHERE key IN {keys}")));
    for identity in identities {
        query = query.bind(identity.key.as_bytes().to_vec());
    }
    query.execute(&mut *write.transaction).await.map_err(Error::database)?;
    Ok(())
}

pub(super) async fn get(connection: &mut AnyConnection, key: &PublicKey) -> Result<Option<Identity>, Error> {
    let sql = concat!("SELECT ", identity_columns!(), " FROM pssst_identities WHERE key = $1");
    let row =
        sqlx::query(sql).bind(key.as_bytes().to_vec()).fetch_optional(connection).await.map_err(Error::database)?;
    row.as_ref().map(identity).transpose()
}

pub(super) async fn find_by_name(connection: &mut AnyConnection, name: &str) -> Result<Option<Identity>, Error> {
    if check_name(name).is_err() {
        return Ok(None);
    }
    let sql = concat!("SELECT ", identity_columns!(), " FROM pssst_identities WHERE name = $1");
    let row = sqlx::query(sql).bind(name.to_owned()).fetch_optional(connection).await.map_err(Error::database)?;
    row.as_ref().map(identity).transpose()
}

pub(super) async fn list(connection: &mut AnyConnection, query: &ListQuery) -> Result<Page, Error> {
    let sql = concat!(
        "SELECT ",
        identity_columns!(),
        " FROM pssst_identities WHERE name > $1 AND ($2 IS NULL OR state = $2) \
         AND ($3 IS NULL OR search LIKE $3 ESCAPE '\\') AND (CAST($4 AS BIGINT) IS NULL OR requires_psk = $4) \
         AND ($5 IS NULL OR search LIKE $5 ESCAPE '\\') ORDER BY name LIMIT $6"
    );
    // PostgreSQL takes no NUL. No name has one, so the same names come after what is before it.
    let after = query.after.as_deref().and_then(|after| after.split('\0').next()).unwrap_or_default();
    let search = query.search.as_deref().map(str::to_lowercase);
    let label = query.label.as_deref().map(Identity::label_line);
    if [&search, &label].into_iter().flatten().any(|text| text.contains('\0') || text.len() > MAX_SEARCH_LEN) {
        return Ok(Page::new(Vec::new(), query));
    }
    let rows = sqlx::query(sql)
        .bind(after.to_owned())
        .bind(query.state.map(State::name))
        .bind(search.map(|search| containing(&search)))
        .bind(query.requires_psk.map(i64::from))
        .bind(label.map(|label| containing(&label)))
        .bind(signed(query.page_len() + 1))
        .fetch_all(connection)
        .await
        .map_err(Error::database)?;
    Ok(Page::new(rows.iter().map(identity).collect::<Result<_, _>>()?, query))
}

/// Reads an index only.
pub(super) async fn totals(connection: &mut AnyConnection, now: Timestamp) -> Result<ClientTotals, Error> {
    const PLACE: &str = "the identities";
    let sql = "SELECT state, COUNT(*), COUNT(CASE WHEN expires <= $1 THEN 1 END) FROM pssst_identities GROUP BY state";
    let rows = sqlx::query(sql).bind(now.as_millisecond()).fetch_all(connection).await.map_err(Error::database)?;
    let mut totals = ClientTotals::default();
    for row in &rows {
        let state = column::<&str>(row, 0, PLACE)?.parse().map_err(|_| Error::Corrupt(PLACE))?;
        totals.add(state, unsigned(column(row, 1, PLACE)?, PLACE)?, unsigned(column(row, 2, PLACE)?, PLACE)?);
    }
    Ok(totals)
}

/// The caller has reserved the revision.
pub(super) async fn update(
    write: &mut WriteTransaction<'_>,
    key: &PublicKey,
    update: Update,
) -> Result<Identity, Error> {
    let old = get(&mut write.transaction, key).await?.ok_or(Error::NotFound(*key))?;
    let mut identity = old.clone();
    let changes_more = update.name.is_some() || update.labels.is_some() || update.expires.is_some();
    let psk_master = update.psk_master.clone();
    identity.apply(update, write.now)?;
    let sql = "UPDATE pssst_identities SET revision = $2, name = $3, labels = $4, state = $5, changed = $6, expires = $7, \
               requires_psk = $8, search = $9 WHERE key = $1";
    let updated = sqlx::query(sql)
        .bind(key.as_bytes().to_vec())
        .bind(write.take_revision())
        .bind(identity.name.clone())
        .bind(to_json(&identity.labels))
        .bind(identity.state.name())
        .bind(identity.changed.as_millisecond())
        .bind(identity.expires.map(Timestamp::as_millisecond))
        .bind(i64::from(identity.requires_psk))
        .bind(identity.search_text())
        .execute(&mut *write.transaction)
        .await;
    if let Err(error) = updated {
        let is_taken = error.as_database_error().is_some_and(DatabaseError::is_unique_violation);
        return Err(if is_taken { Error::NameTaken(identity.name) } else { Error::database(error) });
    }
    let mut entries = Vec::new();
    let action = match identity.state {
        State::Enrolled => Action::Resumed,
        State::Suspended => Action::Suspended,
        State::Revoked => Action::Revoked,
    };
    if identity.state != old.state {
        entries.push(entry(action, &identity, identity.name.clone()));
    }
    if identity.requires_psk != old.requires_psk {
        let action = if identity.requires_psk { Action::PskRequired } else { Action::PskOptional };
        entries.push(entry(action, &identity, identity.name.clone()));
    }
    if let Some(master) = psk_master {
        entries.push(NewAuditEntry::psk_issued(&identity, &master));
    }
    if changes_more || entries.is_empty() {
        entries.push(entry(Action::Changed, &identity, difference(&old, &identity)));
    }
    write.record(&entries).await?;
    Ok(identity)
}

/// The caller has reserved the revision.
pub(super) async fn remove(write: &mut WriteTransaction<'_>, key: &PublicKey) -> Result<(), Error> {
    let identity = get(&mut write.transaction, key).await?.ok_or(Error::NotFound(*key))?;
    let bytes = key.as_bytes().to_vec();
    let revision = write.take_revision();
    sqlx::query("DELETE FROM pssst_identities WHERE key = $1")
        .bind(bytes.clone())
        .execute(&mut *write.transaction)
        .await
        .map_err(Error::database)?;
    sqlx::query("INSERT INTO pssst_removed (key, revision) VALUES ($1, $2)")
        .bind(bytes)
        .bind(revision)
        .execute(&mut *write.transaction)
        .await
        .map_err(Error::database)?;
    write.record(&[entry(Action::Removed, &identity, identity.name.clone())]).await
}

/// One statement, so that the result is consistent. The limit within each half keeps SQLite from
/// sorting all that comes later.
pub(super) async fn changes(connection: &mut AnyConnection, after: Revision, limit: usize) -> Result<Changes, Error> {
    const PLACE: &str = "the row of the store";
    let sql = "SELECT s.name, s.revision, f.revision, f.key, f.name, f.state, f.expires, f.requires_psk \
               FROM pssst_store s LEFT JOIN (\
                   SELECT * FROM (\
                       SELECT revision, key, name, state, expires, requires_psk FROM pssst_identities \
                       WHERE revision > $1 ORDER BY revision LIMIT $2) present \
                   UNION ALL \
                   SELECT * FROM (\
                       SELECT revision, key, NULL, NULL, CAST(NULL AS BIGINT), CAST(NULL AS BIGINT) FROM pssst_removed \
                       WHERE revision > $1 ORDER BY revision LIMIT $2) removed \
                   ORDER BY revision LIMIT $2) f \
               ON s.id = 1 ORDER BY f.revision";
    let rows = sqlx::query(sql)
        .bind(signed(after.0))
        .bind(signed(limit))
        .fetch_all(connection)
        .await
        .map_err(Error::database)?;
    let first = rows.first().ok_or(Error::Corrupt(PLACE))?;
    Ok(Changes {
        store: column(first, 0, PLACE)?,
        latest: Revision(unsigned(column(first, 1, PLACE)?, PLACE)?),
        changes: rows.iter().filter_map(|row| change(row).transpose()).collect::<Result<_, _>>()?,
    })
}

/// Returns the name, and what has changed.
fn difference(old: &Identity, new: &Identity) -> String {
    let mut text = if old.name == new.name { new.name.clone() } else { format!("{} -> {}", old.name, new.name) };
    if old.expires != new.expires {
        text += &new.expires.map_or_else(|| "; never expires".to_owned(), |expires| format!("; expires {expires}"));
    }
    if old.labels != new.labels {
        text.push_str(if new.labels.is_empty() { "; no labels" } else { "; labels" });
        text.extend(new.labels.iter().flat_map(|(name, value)| [" ", name, "=", value]));
    }
    text
}

fn entry(action: Action, identity: &Identity, detail: String) -> NewAuditEntry {
    NewAuditEntry { action, client_key: Some(identity.key), detail }
}

/// Finds the identity that could not be inserted, and the cause. The writers' lock is held, so the
/// cause still exists.
async fn conflict(
    connection: &mut AnyConnection,
    identities: &[Identity],
    first_revision: i64,
) -> Result<Error, Error> {
    for identity in identities {
        let row = sqlx::query("SELECT revision FROM pssst_identities WHERE key = $1")
            .bind(identity.key.as_bytes().to_vec())
            .fetch_optional(&mut *connection)
            .await
            .map_err(Error::database)?;
        match row.map(|row| column::<i64>(&row, 0, "the identities")).transpose()? {
            Some(revision) if revision >= first_revision => {}
            Some(_) => return Ok(Error::KeyTaken(identity.key)),
            None => return Ok(Error::NameTaken(identity.name.clone())),
        }
    }
    Ok(Error::Corrupt("the identities"))
}

/// Returns a pattern for LIKE.
fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
