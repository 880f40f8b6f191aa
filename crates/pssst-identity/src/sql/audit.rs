//! The audit log's table.

use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::rows::{MAX_PAGE_LEN, column, key, placeholders, signed, time, unsigned};
use crate::{Action, AuditEntry, AuditQuery, Error, NewAuditEntry};

pub(super) const MAX_ACTOR_LEN: usize = 128;
const MAX_DETAIL_LEN: usize = 512;
pub(super) const PLACE: &str = "the audit log";

pub(super) async fn insert(
    connection: &mut AnyConnection,
    at: Timestamp,
    actor: &str,
    entries: &[NewAuditEntry],
) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let values = placeholders(entries.len(), 5);
    let sql = format!("INSERT INTO pssst_audit (at, actor, action, client_key, detail) VALUES {values}");
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for entry in entries {
        query = query
            .bind(at.as_millisecond())
            .bind(actor.to_owned())
            .bind(entry.action.name())
            .bind(entry.client_key.map(|key| key.as_bytes().to_vec()))
            .bind(bounded(&entry.detail, MAX_DETAIL_LEN));
    }
    query.execute(connection).await.map_err(Error::database)?;
    Ok(())
}

pub(super) async fn list(connection: &mut AnyConnection, query: &AuditQuery) -> Result<Vec<AuditEntry>, Error> {
    let AuditQuery { before, limit, actor, action, client_key, since, until } = query;
    // PostgreSQL takes no NUL, and no actor has one.
    if actor.as_ref().is_some_and(|actor| actor.contains('\0')) {
        return Ok(Vec::new());
    }
    // Only the conditions there are, so that a client's entries are found by their index.
    let conditions = [
        ("actor =", actor.is_some()),
        ("action =", action.is_some()),
        ("client_key =", client_key.is_some()),
        ("at >=", since.is_some()),
        ("at <", until.is_some()),
    ];
    let asked = conditions.into_iter().filter(|(_, is_asked)| *is_asked).map(|(condition, _)| condition);
    let conditions: Vec<_> = asked.zip(2..).map(|(condition, place)| format!("AND {condition} ${place} ")).collect();
    let sql = format!(
        "SELECT number, at, actor, action, client_key, detail FROM pssst_audit WHERE number < $1 {}\
         ORDER BY number DESC LIMIT ${}",
        conditions.concat(),
        conditions.len() + 2
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(before.map_or(i64::MAX, signed));
    if let Some(actor) = actor {
        query = query.bind(actor.clone());
    }
    if let Some(action) = action {
        query = query.bind(action.name());
    }
    if let Some(key) = client_key {
        query = query.bind(key.as_bytes().to_vec());
    }
    for time in [since, until].into_iter().flatten() {
        query = query.bind(time.as_millisecond());
    }
    let limit = signed((*limit).clamp(1, MAX_PAGE_LEN));
    let rows = query.bind(limit).fetch_all(connection).await.map_err(Error::database)?;
    rows.iter().map(entry).collect()
}

fn entry(row: &AnyRow) -> Result<AuditEntry, Error> {
    let action = column::<&str>(row, 3, PLACE)?;
    Ok(AuditEntry {
        number: unsigned(column(row, 0, PLACE)?, PLACE)?,
        at: time(column(row, 1, PLACE)?, PLACE)?,
        actor: column(row, 2, PLACE)?,
        entry: NewAuditEntry {
            action: Action::ALL.into_iter().find(|known| known.name() == action).ok_or(Error::Corrupt(PLACE))?,
            client_key: column::<Option<&[u8]>>(row, 4, PLACE)?.map(|bytes| key(bytes, PLACE)).transpose()?,
            detail: column(row, 5, PLACE)?,
        },
    })
}

/// Returns up to [`MAX_PAGE_LEN`] entries after this number and before this time, oldest first.
pub(super) async fn oldest(
    connection: &mut AnyConnection,
    after: u64,
    before: Timestamp,
) -> Result<Vec<AuditEntry>, Error> {
    let sql = "SELECT number, at, actor, action, client_key, detail FROM pssst_audit WHERE number > $1 AND at < $2 \
               ORDER BY number LIMIT $3";
    let rows = sqlx::query(sql)
        .bind(signed(after))
        .bind(before.as_millisecond())
        .bind(signed(MAX_PAGE_LEN))
        .fetch_all(connection)
        .await
        .map_err(Error::database)?;
    rows.iter().map(entry).collect()
}

/// As much of a text as is kept, without control characters: a log is read on terminals, and
/// databases refuse some.
pub(super) fn bounded(text: &str, max_len: usize) -> String {
    let mut kept = String::new();
    for c in text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }) {
        if kept.len() + c.len_utf8() > max_len {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(bounded("boiler-7", 6), "boiler");
        assert_eq!(bounded("éé", 3), "é");
        assert_eq!(bounded("a\0\u{1b}[2J", 100), "a\u{fffd}\u{fffd}[2J");
    }
}
