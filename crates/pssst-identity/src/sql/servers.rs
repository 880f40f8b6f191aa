//! The table of servers that follow the store.

use jiff::{SignedDuration, Timestamp};
use sqlx::AnyConnection;

use super::audit::bounded;
use super::rows::{MAX_PAGE_LEN, column, signed, time};
use crate::{Error, ServerReport};

/// How long a server that fell silent is listed.
const MEMORY: SignedDuration = SignedDuration::from_hours(24);
const MAX_TEXT_LEN: usize = 128;
const PLACE: &str = "the servers";

/// Writes a server's own row. It takes no lock of the other writers, and no revision.
pub(super) async fn record(connection: &mut AnyConnection, server: &ServerReport) -> Result<(), Error> {
    let long_ago = server.last.saturating_sub(MEMORY).unwrap_or(Timestamp::MIN);
    sqlx::query("DELETE FROM pssst_servers WHERE last_seen < $1")
        .bind(long_ago.as_millisecond())
        .execute(&mut *connection)
        .await
        .map_err(Error::database)?;
    let query = if server.is_serving {
        sqlx::query(
            "INSERT INTO pssst_servers (id, name, version, started, last_seen) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (id) DO UPDATE SET last_seen = excluded.last_seen",
        )
        .bind(server.id.to_vec())
        .bind(bounded(&server.name, MAX_TEXT_LEN))
        .bind(bounded(&server.version, MAX_TEXT_LEN))
        .bind(server.started.as_millisecond())
        .bind(server.last.as_millisecond())
    } else {
        sqlx::query("DELETE FROM pssst_servers WHERE id = $1").bind(server.id.to_vec())
    };
    query.execute(connection).await.map_err(Error::database)?;
    Ok(())
}

pub(super) async fn list(connection: &mut AnyConnection, now: Timestamp) -> Result<Vec<ServerReport>, Error> {
    let long_ago = now.saturating_sub(MEMORY).unwrap_or(Timestamp::MIN);
    let rows = sqlx::query(
        "SELECT id, name, version, started, last_seen FROM pssst_servers WHERE last_seen >= $1 \
         ORDER BY name, started LIMIT $2",
    )
    .bind(long_ago.as_millisecond())
    .bind(signed(MAX_PAGE_LEN))
    .fetch_all(connection)
    .await
    .map_err(Error::database)?;
    let server = |row| {
        Ok(ServerReport {
            id: column::<&[u8]>(row, 0, PLACE)?.try_into().map_err(|_| Error::Corrupt(PLACE))?,
            name: column(row, 1, PLACE)?,
            version: column(row, 2, PLACE)?,
            started: time(column(row, 3, PLACE)?, PLACE)?,
            last: time(column(row, 4, PLACE)?, PLACE)?,
            is_serving: true,
        })
    };
    rows.iter().map(server).collect()
}
