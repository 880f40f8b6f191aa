//! Stores by their location.

use std::sync::Arc;

use crate::{Error, FileStore, IdentityStore, MemoryStore, SqlStore};

/// Opens the store at a location: `memory:` (empty, and gone with the process), `file:PATH` ([`FileStore`]), `sqlite:PATH` or
/// `postgres://USER:PASSWORD@HOST/DATABASE` ([`SqlStore`]). The audit log of a database ascribes changes to the actor.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("clients.db");
/// # let location = format!("sqlite:{}", path.display());
/// let store = pssst_identity::open(&location, "alice").await?;
/// assert!(store.find_by_name("boiler-7").await?.is_none());
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Syntax`] for another location, and what the store has against it. No error shows the location, which may hold a
/// password.
pub async fn open(location: &str, actor: &str) -> Result<Arc<dyn IdentityStore>, Error> {
    if location == "memory:" {
        return Ok(Arc::new(MemoryStore::new()));
    }
    match location.strip_prefix("file:") {
        Some("") => Err(LOCATION),
        Some(path) => Ok(Arc::new(FileStore::open(path).await?)),
        None if ["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| location.starts_with(scheme)) => {
            Ok(Arc::new(SqlStore::open(location).await?.acting_as(actor)))
        }
        None => Err(LOCATION),
    }
}

const LOCATION: Error = Error::Syntax("memory:, file:PATH, sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE");
