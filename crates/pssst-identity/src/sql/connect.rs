//! Opening a database, and bringing its tables up to date.

use std::io;
#[cfg(feature = "postgres")]
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

#[cfg(feature = "sqlite")]
use pssst_support::secret_file;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{Migration, MigrationType, Migrator};
#[cfg(feature = "postgres")]
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Connection, Executor, SqlSafeStr};
use tokio::time::{Instant, sleep, timeout};

use super::dialect::Dialect;
use crate::Error;
use crate::store::random_store_name;

const MAX_CONNECTIONS: u32 = 8;
const ACQUIRE_LIMIT: Duration = Duration::from_secs(5);
/// Later migrations may have to rewrite large tables.
const MIGRATION_LIMIT: Duration = Duration::from_secs(300);
/// For a SQLite file that another process has locked.
const BUSY_LIMIT: Duration = Duration::from_secs(10);
/// Version of the tables: the number of migrations.
const VERSION: i64 = 3;
const MIGRATIONS_TABLE: &str = "pssst_migrations";

/// For every connection. SQLite's time limit is [`BUSY_LIMIT`]; the file remembers that it is in
/// WAL mode.
const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout = 10000; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                               PRAGMA trusted_schema = OFF";
const POSTGRES_SETTINGS: &str = "SET statement_timeout = '5s'; SET lock_timeout = '5s'; \
                                 SET idle_in_transaction_session_timeout = '15s'";
/// The second of two processes waits for the first.
const POSTGRES_MIGRATION_SETTINGS: &str = "SET statement_timeout = '300s'";

/// Brings the tables up to date, and connects.
pub(super) async fn connect(dialect: Dialect, options: &AnyConnectOptions) -> Result<AnyPool, Error> {
    let migration = timeout(MIGRATION_LIMIT, migrate(dialect, options)).await;
    migration.map_err(|_| database_io(io::ErrorKind::TimedOut.into()))??;
    let settings = match dialect {
        Dialect::Sqlite => SQLITE_SETTINGS,
        Dialect::Postgres => POSTGRES_SETTINGS,
    };
    AnyPoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(ACQUIRE_LIMIT)
        .after_connect(move |connection, _| Box::pin(async move { connection.execute(settings).await.map(drop) }))
        .connect_with(options.clone())
        .await
        .map_err(Error::database)
}

const EXPECTED: Error = Error::Syntax("sqlite:PATH or postgres://USER@HOST/DATABASE");

/// Checks a location without touching anything, and returns the file of SQLite.
pub(crate) fn check_location(url: &str) -> Result<Option<PathBuf>, Error> {
    #[cfg(feature = "sqlite")]
    if let Some(path) = url.strip_prefix("sqlite:") {
        return sqlite_path(path).map(Some);
    }
    #[cfg(feature = "postgres")]
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return refuse_unprotected(url).map(|()| None);
    }
    Err(EXPECTED)
}

/// Returns how to connect, and the file of SQLite.
pub(super) fn location(url: &str, creates: bool) -> Result<(Dialect, AnyConnectOptions, Option<PathBuf>), Error> {
    match check_location(url)? {
        #[cfg(feature = "sqlite")]
        Some(path) => {
            let (options, path) = sqlite_options(&path, creates)?;
            Ok((Dialect::Sqlite, options, Some(path)))
        }
        #[cfg(feature = "postgres")]
        None => Ok((Dialect::Postgres, AnyConnectOptions::from_str(url).map_err(Error::database)?, None)),
        #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
        _ => {
            let _ = creates;
            Err(EXPECTED)
        }
    }
}

/// Refuses a server on another machine unless the URL or `PGSSLMODE` says how the connection is
/// protected: by default it would be TLS with any server, or none.
#[cfg(feature = "postgres")]
fn refuse_unprotected(url: &str) -> Result<(), Error> {
    let options = PgConnectOptions::from_str(url).map_err(Error::database)?;
    let host = options.get_host();
    let is_address_of_this_machine = || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let is_local = options.get_socket().is_some() || host == "localhost" || is_address_of_this_machine();
    let is_explicit = url.contains("sslmode=") || !matches!(options.get_ssl_mode(), PgSslMode::Prefer);
    if is_local || is_explicit { Ok(()) } else { Err(Error::UnprotectedDatabase(host.to_owned())) }
}

async fn migrate(dialect: Dialect, options: &AnyConnectOptions) -> Result<(), Error> {
    let connection = timeout(ACQUIRE_LIMIT, options.connect()).await;
    let mut connection =
        connection.map_err(|_| Error::database(sqlx::Error::PoolTimedOut))?.map_err(Error::database)?;
    if !is_current(&mut connection).await {
        update_tables(dialect, &mut connection).await?;
    }
    connection.close().await.map_err(Error::database)?;
    Ok(())
}

/// Returns whether the tables are those of this version, and filled. Then there is nothing to
/// write: readers need neither the lock of writers nor their privileges.
async fn is_current(connection: &mut AnyConnection) -> bool {
    let query = sqlx::query_scalar::<_, i64>(
        "SELECT CAST(MAX(version) AS BIGINT) FROM pssst_migrations WHERE EXISTS (SELECT 1 FROM pssst_store)",
    );
    query.fetch_one(connection).await.is_ok_and(|version| version == VERSION)
}

async fn update_tables(dialect: Dialect, connection: &mut AnyConnection) -> Result<(), Error> {
    let store_name = random_store_name()?;
    match dialect {
        Dialect::Sqlite => {
            connection.execute(SQLITE_SETTINGS).await.map_err(Error::database)?;
            enter_wal_mode(connection).await?;
            // Another process that opens the file at the same time waits.
            let mut transaction =
                connection.begin_with(dialect.begin_write().into_sql_str()).await.map_err(Error::database)?;
            run_migrations(dialect, &mut transaction, store_name).await?;
            transaction.commit().await.map_err(Error::database)?;
        }
        Dialect::Postgres => {
            connection.execute(POSTGRES_MIGRATION_SETTINGS).await.map_err(Error::database)?;
            // The migrator takes a lock of its own, and a transaction for each migration.
            run_migrations(dialect, connection, store_name).await?;
        }
    }
    Ok(())
}

async fn run_migrations(dialect: Dialect, connection: &mut AnyConnection, store_name: String) -> Result<(), Error> {
    let [first, second, third] = match dialect {
        Dialect::Sqlite => [
            include_str!("../../migrations/sqlite/0001_identities.sql"),
            include_str!("../../migrations/sqlite/0002_requires_psk.sql"),
            include_str!("../../migrations/sqlite/0003_overview.sql"),
        ],
        Dialect::Postgres => [
            include_str!("../../migrations/postgres/0001_identities.sql"),
            include_str!("../../migrations/postgres/0002_requires_psk.sql"),
            include_str!("../../migrations/postgres/0003_overview.sql"),
        ],
    };
    let migration = |version, name: &'static str, sql: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations(vec![
        migration(1, "identities", first),
        migration(2, "requires_psk", second),
        migration(VERSION, "overview", third),
    ]);
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator.run_direct(None, &mut *connection, false).await.map_err(|error| Error::database(error.into()))?;
    sqlx::query("INSERT INTO pssst_store (id, name, revision) VALUES (1, $1, 0) ON CONFLICT DO NOTHING")
        .bind(store_name)
        .execute(connection)
        .await
        .map_err(Error::database)?;
    Ok(())
}

/// Here SQLite does not always wait for others by itself.
async fn enter_wal_mode(connection: &mut AnyConnection) -> Result<(), Error> {
    let deadline = Instant::now() + BUSY_LIMIT;
    loop {
        match connection.execute("PRAGMA journal_mode = WAL").await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() >= deadline || !is_busy(&error) => return Err(Error::database(error)),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// `SQLITE_BUSY`, in the low byte of the extended code.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

#[cfg(feature = "sqlite")]
fn sqlite_path(path: &str) -> Result<PathBuf, Error> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.contains(":memory:") {
        return Err(Error::Syntax("the path of a file after sqlite:"));
    }
    Ok(path.into())
}

#[cfg(feature = "sqlite")]
fn sqlite_options(path: &Path, creates: bool) -> Result<(AnyConnectOptions, PathBuf), Error> {
    let path = std::path::absolute(path).map_err(database_io)?;
    if creates {
        // SQLite gives the files that it puts beside this one the same permissions.
        secret_file::create_if_missing(&path).map_err(database_io)?;
    } else if !path.try_exists().map_err(database_io)? {
        return Err(Error::Missing(path));
    }
    Ok((sqlite_options_at(&path)?, path))
}

/// Returns how to open the file at this path. One that this process may only read is opened as it
/// is, without the files that SQLite puts beside a database; where there are such, they are used.
pub(super) fn sqlite_options_at(path: &Path) -> Result<AnyConnectOptions, Error> {
    let mut url = sqlite_url(path);
    if is_read_only(path) {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let has_log = Path::new(&log).metadata().is_ok_and(|log| log.len() > 0);
        url.push_str(if has_log { "?mode=ro" } else { "?mode=ro&immutable=true" });
    }
    AnyConnectOptions::from_str(&url).map_err(Error::database)
}

/// Returns whether this process may read the file, and not write it.
pub(super) fn is_read_only(path: &Path) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};

    let opened = std::fs::OpenOptions::new().write(true).open(path);
    opened.is_err_and(|error| matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem))
}

pub(super) fn database_io(error: io::Error) -> Error {
    Error::database(sqlx::Error::Io(error))
}

/// The path may have characters that mean something in a URL.
fn sqlite_url(path: &Path) -> String {
    let mut url = String::from("sqlite://");
    for byte in path.to_string_lossy().bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push('%');
            url.push_str(&base16ct::upper::encode_string(&[byte]));
        }
    }
    url
}
