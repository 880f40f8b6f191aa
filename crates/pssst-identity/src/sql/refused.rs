//! The table of refused clients.

use sqlx::{AnyConnection, AssertSqlSafe};

use super::rows::{MAX_PAGE_LEN, column, key, name, placeholders, signed, time, unsigned};
use crate::{Error, RefusedCause, RefusedClient};

/// Rows that are kept: those of the clients that were seen last.
const MAX_ROWS: i64 = 1000;
const PLACE: &str = "the refused clients";

/// Adds what a server reports. It takes no lock of the other writers, and no revision.
pub(super) async fn record(connection: &mut AnyConnection, clients: &[RefusedClient]) -> Result<(), Error> {
    if clients.is_empty() {
        return Ok(());
    }
    // In one order, so that two servers do not wait for each other.
    let mut clients: Vec<_> = clients.iter().collect();
    clients.sort_by_key(|client| *client.key.as_bytes());
    let values = placeholders(clients.len(), 5);
    let sql = format!(
        "INSERT INTO pssst_refused (key, cause, requests, first_seen, last_seen) VALUES {values} \
         ON CONFLICT (key) DO UPDATE SET cause = excluded.cause, requests = pssst_refused.requests + excluded.requests, \
         last_seen = excluded.last_seen"
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for client in clients {
        query = query
            .bind(client.key.as_bytes().to_vec())
            .bind(client.cause.name())
            .bind(signed(client.requests))
            .bind(client.first.as_millisecond())
            .bind(client.last.as_millisecond());
    }
    query.execute(&mut *connection).await.map_err(Error::database)?;
    sqlx::query(
        "DELETE FROM pssst_refused WHERE key NOT IN (SELECT key FROM pssst_refused ORDER BY last_seen DESC LIMIT $1)",
    )
    .bind(MAX_ROWS)
    .execute(connection)
    .await
    .map_err(Error::database)?;
    Ok(())
}

/// Lists the clients, those seen last first. A client that was enrolled or resumed since is left
/// out.
pub(super) async fn list(connection: &mut AnyConnection, limit: usize) -> Result<Vec<RefusedClient>, Error> {
    let sql = "SELECT r.key, i.name, r.cause, r.requests, r.first_seen, r.last_seen \
               FROM pssst_refused r LEFT JOIN pssst_identities i ON i.key = r.key \
               WHERE i.key IS NULL OR i.state <> 'enrolled' OR r.last_seen > i.changed \
               ORDER BY r.last_seen DESC, r.key LIMIT $1";
    let rows = sqlx::query(sql)
        .bind(signed(limit.clamp(1, MAX_PAGE_LEN)))
        .fetch_all(connection)
        .await
        .map_err(Error::database)?;
    let client = |row| {
        let cause = column::<&str>(row, 2, PLACE)?;
        Ok(RefusedClient {
            key: key(column(row, 0, PLACE)?, PLACE)?,
            name: column::<Option<&str>>(row, 1, PLACE)?.map(|text| name(text, PLACE)).transpose()?,
            cause: RefusedCause::ALL.into_iter().find(|known| known.name() == cause).ok_or(Error::Corrupt(PLACE))?,
            requests: unsigned(column(row, 3, PLACE)?, PLACE)?,
            first: time(column(row, 4, PLACE)?, PLACE)?,
            last: time(column(row, 5, PLACE)?, PLACE)?,
        })
    };
    rows.iter().map(client).collect()
}
