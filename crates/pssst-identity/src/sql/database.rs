//! Connections, and what is done on them in bounded time.

use std::io;
#[cfg(feature = "postgres")]
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
#[cfg(feature = "postgres")]
use sqlx::postgres::PgConnectOptions;
use sqlx::{Any, AnyConnection};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::connect::location;
use super::connections::Connections;
use super::dialect::Dialect;
#[cfg(feature = "postgres")]
use super::listener::Listener;
use super::write::WriteTransaction;
use crate::{ChangeSignal, Error};

/// For one call, once it has a connection. The database itself gives up on a statement earlier.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// Rows that are written within one time limit, even by a slow disk.
const ROWS_IN_TIME: usize = 5000;

pub(super) struct Database {
    pub(super) dialect: Dialect,
    pub(super) connections: Connections,
    pub(super) signal: ChangeSignal,
    /// Writers get it in the order in which they came. Those that wait for it have no connection
    /// yet, so that readers find one; and SQLite by itself is not fair to waiting writers.
    pub(super) write_lock: Mutex<()>,
    #[cfg(feature = "postgres")]
    pub(super) _listener: Option<Listener>,
}

impl Database {
    /// Opens the database at a URL.
    pub(super) async fn open(url: &str, creates: bool) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let signal = ChangeSignal::default();
        let (dialect, options, file) = location(url, creates)?;
        let connections = Connections::open(dialect, options, file).await?;
        #[cfg(feature = "postgres")]
        let listener = match dialect {
            Dialect::Sqlite => None,
            Dialect::Postgres => {
                Some(Listener::spawn(PgConnectOptions::from_str(url).map_err(Error::database)?, signal.clone()))
            }
        };
        Ok(Self {
            dialect,
            connections,
            signal,
            write_lock: Mutex::new(()),
            #[cfg(feature = "postgres")]
            _listener: listener,
        })
    }

    /// Works on a connection, without the lock of the writers.
    pub(super) async fn read<T, E>(&self, work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, E>) -> Result<T, E>
    where
        E: From<Error>,
    {
        self.read_numbered(work).await.map(|(result, _)| result)
    }

    /// Reads, and returns how often the database's file had been replaced by then.
    pub(super) async fn read_numbered<T, E>(
        &self,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, E>,
    ) -> Result<(T, u64), E>
    where
        E: From<Error>,
    {
        let (pool, replacements) = self.connections.current().await?;
        let mut connection = pool.acquire().await.map_err(Error::database)?;
        let outcome = timeout(TIME_LIMIT, work(&mut connection)).await;
        settle(connection, outcome.ok()).map(|result| (result, replacements))
    }

    /// Does the work in a transaction that has the writers' lock and this many revisions, and
    /// commits it if all is well.
    pub(super) async fn write<T, E>(
        &self,
        actor: &str,
        revisions: usize,
        work: impl AsyncFnOnce(&mut WriteTransaction<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        self.write_rows(actor, revisions, revisions, work).await
    }

    /// [`write`](Self::write), with as much time as this many rows need.
    pub(super) async fn write_rows<T, E>(
        &self,
        actor: &str,
        revisions: usize,
        rows: usize,
        work: impl AsyncFnOnce(&mut WriteTransaction<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        let _write_lock = timeout(TIME_LIMIT, self.write_lock.lock()).await.map_err(|_| too_slow())?;
        let (pool, _) = self.connections.current().await?;
        let mut connection = pool.acquire().await.map_err(Error::database)?;
        let time_limit = TIME_LIMIT.saturating_mul(u32::try_from(1 + rows / ROWS_IN_TIME).unwrap_or(u32::MAX));
        let outcome = timeout(time_limit, async {
            let mut write = WriteTransaction::begin(&mut connection, self.dialect, actor, revisions).await?;
            let result = work(&mut write).await?;
            Ok::<_, E>((result, write.commit().await?))
        });
        let outcome = outcome.await.ok();
        let (result, has_changed) = settle(connection, outcome)?;
        if has_changed {
            self.signal.notify();
        }
        Ok(result)
    }
}

/// A connection with an unfinished operation cannot be reused: its peer may have disappeared
/// silently.
fn settle<T, E: From<Error>>(connection: PoolConnection<Any>, outcome: Option<Result<T, E>>) -> Result<T, E> {
    outcome.unwrap_or_else(|| {
        drop(connection.detach());
        Err(too_slow().into())
    })
}

fn too_slow() -> Error {
    Error::database(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
}
