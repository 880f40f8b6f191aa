//! Stores by their location.

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
    if location == "memory:" {
        return Ok(Arc::new(MemoryStore::new()));
    }
    #[cfg(feature = "file")]
    if let Some(path) = location.strip_prefix("file:").filter(|path| !path.is_empty()) {
        return Ok(Arc::new(FileStore::open(path).await?));
    }
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    if ["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| location.starts_with(scheme)) {
        return Ok(Arc::new(SqlStore::open(location).await?.with_actor(actor)));
    }
    #[cfg(not(any(feature = "sqlite", feature = "postgres")))]
    let _ = actor;
    Err(Error::Syntax("memory:, file:PATH, sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE"))
}
