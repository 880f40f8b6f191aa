//! Stores by their location.

use std::path::PathBuf;
use std::sync::Arc;

#[cfg(feature = "file")]
use crate::FileStore;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use crate::SqlStore;
use crate::{Error, IdentityStore, MemoryStore};

/// Opens the store at a location: `memory:` (empty, and lost with the process), `file:PATH`
/// (`FileStore`), `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE` (`SqlStore`). The audit
/// log of a database ascribes changes to the actor.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("clients.db");
/// # let location = format!("sqlite:{}", path.display());
/// # #[cfg(feature = "sqlite")] {
/// let store = pssst_identity::open(&location, "alice").await?;
/// assert!(store.find_by_name("boiler-7").await?.is_none());
/// # }
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Syntax`] for another location, or one whose feature is not enabled, and what the store
/// has against it. No error shows the location, which may hold a password.
pub async fn open(location: &str, actor: &str) -> Result<Arc<dyn IdentityStore>, Error> {
    open_store(location, actor, true).await
}

/// Opens the store at a location as [`open`] does, but never creates a file: a mistyped path or a
/// volume that is not mounted must not become a store without clients.
///
/// # Errors
/// [`Error::Missing`], and the errors of [`open`].
pub async fn open_existing(location: &str, actor: &str) -> Result<Arc<dyn IdentityStore>, Error> {
    open_store(location, actor, false).await
}

/// Checks a location as far as that is possible without opening the store, and returns the file
/// that it names. `memory:` is refused: it cannot be shared with another process.
///
/// ```
/// use pssst_identity::check_location;
///
/// # #[cfg(feature = "sqlite")]
/// assert_eq!(check_location("sqlite:clients.db")?.as_deref(), Some("clients.db".as_ref()));
/// assert!(check_location("clients.db").is_err());
/// # Ok::<(), pssst_identity::Error>(())
/// ```
///
/// # Errors
/// [`Error::Syntax`], and the errors of a location of PostgreSQL ([`Error::UnprotectedDatabase`]).
pub fn check_location(location: &str) -> Result<Option<PathBuf>, Error> {
    #[cfg(feature = "file")]
    if let Some(path) = location.strip_prefix("file:").filter(|path| !path.is_empty()) {
        return Ok(Some(path.into()));
    }
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    if is_database(location) {
        return crate::sql::check_location(location);
    }
    let _ = location;
    Err(EXPECTED)
}

const EXPECTED: Error = Error::Syntax("file:PATH, sqlite:PATH or postgres://USER@HOST/DATABASE");

#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn is_database(location: &str) -> bool {
    ["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| location.starts_with(scheme))
}

#[cfg_attr(
    not(any(feature = "file", feature = "sqlite", feature = "postgres")),
    expect(clippy::unused_async, reason = "only stores outside the process are awaited")
)]
async fn open_store(location: &str, actor: &str, creates: bool) -> Result<Arc<dyn IdentityStore>, Error> {
    if location == "memory:" {
        return Ok(Arc::new(MemoryStore::new()));
    }
    #[cfg(feature = "file")]
    if let Some(path) = location.strip_prefix("file:").filter(|path| !path.is_empty()) {
        let opened = if creates { FileStore::open(path).await } else { FileStore::open_existing(path).await };
        return Ok(Arc::new(opened?));
    }
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    if is_database(location) {
        let opened = if creates { SqlStore::open(location).await } else { SqlStore::open_existing(location).await };
        return Ok(Arc::new(opened?.with_actor(actor)));
    }
    #[cfg(not(any(feature = "sqlite", feature = "postgres")))]
    let _ = (actor, creates);
    Err(EXPECTED)
}
