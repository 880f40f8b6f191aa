//! Where the clients are kept.

use std::path::PathBuf;
use std::sync::Arc;

use pssst_identity::{Error, Identity, IdentityStore, SqlStore};

use pssst_service::Failure;

/// Where the clients are kept.
#[derive(clap::Args, Debug)]
pub(crate) struct Location {
    /// Store of clients: `file:PATH` (text file), `sqlite:PATH` or `postgres://USER@HOST/DATABASE`.
    /// Put a password in PGPASSWORD or ~/.pgpass.
    #[arg(long = "store", value_name = "LOCATION", env = "PSSST_STORE", hide_env_values = true)]
    store: String,
}

impl Location {
    /// Opens any store that exists.
    pub(crate) async fn open(&self) -> Result<Arc<dyn IdentityStore>, Failure> {
        open(&self.store).await
    }

    /// Opens any store, and creates its file if it is missing: for the commands that add clients.
    pub(crate) async fn open_or_create(&self) -> Result<Arc<dyn IdentityStore>, Failure> {
        check(&self.store)?;
        pssst_identity::open(&self.store, &actor()).await.map_err(|error| location_failure(&self.store, &error))
    }

    /// Opens a database that exists: only databases have tokens and an audit log.
    pub(crate) async fn open_database(&self) -> Result<SqlStore, Failure> {
        self.check()?;
        let store =
            SqlStore::open_existing(&self.store).await.map_err(|error| location_failure(&self.store, &error))?;
        Ok(store.with_actor(actor()))
    }

    /// Opens a database, and creates its file if it is missing.
    pub(crate) async fn open_or_create_database(&self) -> Result<SqlStore, Failure> {
        self.check()?;
        let store = SqlStore::open(&self.store).await.map_err(|error| location_failure(&self.store, &error))?;
        Ok(store.with_actor(actor()))
    }

    /// Returns the location as it was given. It may hold a password.
    pub(crate) fn text(&self) -> &str {
        &self.store
    }

    /// Returns whether it may be a database, without opening it.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.store.starts_with("file:") {
            return Err(Failure::usage(
                "a file of clients has no tokens and no audit log",
                "use sqlite:PATH or postgres://..., and move the clients there with `pssst clients export` and `import`",
            )
            .of_option("store"));
        }
        check(&self.store).map(drop).map_err(|failure| failure.of_option("store"))
    }
}

/// Opens `file:`, `sqlite:` or `postgres:`. A file must exist.
pub(crate) async fn open(location: &str) -> Result<Arc<dyn IdentityStore>, Failure> {
    check(location)?;
    pssst_identity::open_existing(location, &actor()).await.map_err(|error| location_failure(location, &error))
}

/// Returns the file that a location names, without opening it.
fn check(location: &str) -> Result<Option<PathBuf>, Failure> {
    pssst_identity::check_location(location).map_err(|error| location_failure(location, &error))
}

/// Returns whether a location may be one and, if it is a file, whether that exists. Nothing is
/// opened.
pub(crate) fn check_existing(location: &str) -> Result<(), Failure> {
    match check(location)?.filter(|path| path.try_exists().is_ok_and(|exists| !exists)) {
        Some(path) => Err(failure(&Error::Missing(path))),
        None => Ok(()),
    }
}

/// Returns the file that a location names, if it names one.
pub(crate) fn file(location: &str) -> Option<PathBuf> {
    check(location).ok().flatten()
}

/// Returns a client by its name or its key.
pub(crate) async fn find(store: &dyn IdentityStore, client: &str) -> Result<Identity, Failure> {
    let found = match client.parse() {
        Ok(key) => store.get(&key).await,
        Err(_) => store.find_by_name(client).await,
    };
    found.map_err(|error| failure(&error))?.ok_or_else(|| {
        Failure::new(
            format!("there is no client {client:?}"),
            "`pssst clients list` shows all of them, `--search` finds some",
        )
    })
}

/// Returns the actor for the audit log: the user that runs this program, as the system reports it.
/// The environment is believed only where root could have written anything in its place.
#[cfg(unix)]
fn actor() -> String {
    let uid = nix::unistd::Uid::current();
    let name = nix::unistd::User::from_uid(uid).ok().flatten().map_or_else(|| format!("uid {uid}"), |user| user.name);
    match std::env::var("SUDO_USER") {
        Ok(by) if uid.is_root() && !by.is_empty() => format!("cli:{name} (sudo by {by})"),
        _ => format!("cli:{name}"),
    }
}

#[cfg(not(unix))]
fn actor() -> String {
    let user = std::env::var("USERNAME").ok();
    format!("cli:{}", user.filter(|user| !user.is_empty()).unwrap_or_else(|| "unknown".into()))
}

/// Returns the failure of a store. Its location may hold a password, and is not shown as a whole.
fn location_failure(location: &str, error: &Error) -> Failure {
    let name = || match pssst_identity::check_location(location) {
        Ok(Some(path)) => path.display().to_string(),
        _ => format!("PostgreSQL at {}", authority(location)),
    };
    match error {
        Error::Syntax(_) => Failure::usage(
            format!("this is not a location of clients: {error}"),
            "say what it is: file:clients.txt, sqlite:clients.db or postgres://pssst@localhost/pssst",
        ),
        Error::Line { .. } | Error::Database(_) | Error::Corrupt(_) => failure(error).with_context(name()),
        _ => failure(error),
    }
}

/// Returns the host and the port of a URL, without user and password.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// What went wrong, and what to do.
pub(crate) fn failure(error: &Error) -> Failure {
    let remedy = match error {
        Error::Key(_) => "ask the client's owner for the key that `pssst pubkey` prints",
        Error::InvalidName(_) => "choose another name, for instance one with hyphens instead of spaces",
        Error::InvalidLabel(_) => "labels are given as --label NAME=VALUE",
        Error::KeyTaken(_) => "`pssst clients show KEY` shows who has it",
        Error::NameTaken(_) => {
            "`pssst clients show NAME` shows who has it; choose another, or remove that client first"
        }
        Error::NotFound(_) => "another operator removed it in the meantime",
        Error::Outdated(_) => "look at it again, and repeat the change",
        Error::Revoked(_) => "make a new key for this client and add it; `pssst clients remove` deletes the old one",
        Error::Line { .. } => "correct the line and try again",
        Error::Json(_) => "each line is a JSON object with at least \"key\" and \"name\"",
        Error::Syntax(_) => "correct it and try again",
        Error::Missing(_) => {
            "check the path; `clients add`, `clients import`, `token create` and `directory` create a store"
        }
        Error::UnprotectedDatabase(_) => {
            "add ?sslmode=verify-full&sslrootcert=FILE to its location; another sslmode leaves it to the network who is enrolled"
        }
        Error::File(_) => "check the path and its permissions",
        Error::Database(_) => "check that the database runs, its location, and that this user may change its tables",
        Error::Corrupt(_) => "another program may have changed the database: restore a backup",
        Error::ArchiveMismatch => "another operator has archived them already: see `pssst audit list`",
        _ => "try again; if it fails again, this machine cannot provide random numbers",
    };
    Failure::new(error.to_string(), remedy)
}
