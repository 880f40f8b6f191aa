//! Whom the server serves.

use std::sync::Arc;

use clap::ValueEnum;
use pssst_identity::{Admission, Follower, UnknownClients};

use crate::failure::Failure;
use crate::stderr::say;
use crate::store::{self, failure};

/// Whom the server serves. Without `--clients` that is everybody, whatever key a client proves.
#[derive(clap::Args, Debug)]
pub(super) struct Policy {
    /// Serve the clients that are enrolled here: `file:PATH`, `sqlite:PATH` or `postgres://USER@HOST/DATABASE`. Changes are followed;
    /// while the store is away, those last known are served.
    #[arg(long, value_name = "LOCATION", env = "PSSST_CLIENTS", hide_env_values = true)]
    clients: Option<String>,
    /// What becomes of clients that prove another key [default: refuse].
    #[arg(long, value_enum, requires = "clients")]
    unknown_clients: Option<Unknown>,
    /// What becomes of anonymous clients [default: refuse with --clients, else allow].
    #[arg(long, value_enum)]
    anonymous: Option<Anonymous>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Unknown {
    /// They are refused.
    Refuse,
    /// They are served, once their key is known to be no alias of another.
    Pass,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Anonymous {
    /// They are served.
    Allow,
    /// They are refused by their packets' flags, which costs next to nothing.
    Refuse,
}

/// The enrolled clients, as they are from moment to moment.
pub(super) struct Clients {
    admission: Arc<Admission>,
    _follower: Follower,
}

impl Policy {
    /// Reads who is enrolled, and follows that from here on.
    pub(super) async fn clients(&self) -> Result<Option<Clients>, Failure> {
        let Some(location) = &self.clients else { return Ok(None) };
        let store = store::open(location).await?;
        let follower = Follower::start(store).await.map_err(|error| failure(&error))?;
        say(format_args!("{} clients are known", follower.snapshot().len()));
        let unknown = match self.unknown_clients {
            Some(Unknown::Pass) => UnknownClients::Pass,
            Some(Unknown::Refuse) | None => UnknownClients::Refuse,
        };
        let admission = Arc::new(Admission::new(Arc::clone(follower.snapshot()), unknown));
        Ok(Some(Clients { admission, _follower: follower }))
    }

    pub(super) fn refuses_anonymous(&self) -> bool {
        match self.anonymous {
            Some(anonymous) => anonymous == Anonymous::Refuse,
            None => self.clients.is_some(),
        }
    }
}

impl Clients {
    pub(super) fn admission(&self) -> Arc<Admission> {
        Arc::clone(&self.admission)
    }
}
