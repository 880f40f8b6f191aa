//! The access policy of a server.

use std::sync::Arc;

use clap::ValueEnum;
use pssst::{KeyCheck, PublicKey};
use pssst_identity::jiff::Timestamp;
use pssst_identity::{AccessPolicy, AccessStats, Follower, IdentityStore, RefusedReport, UnknownClients};

use crate::args::store::{self, failure};
use pssst_service::Failure;
use pssst_service::stderr::notice;

/// Options that say which clients are served. Without `--clients` all clients are served, whatever
/// key they prove.
#[derive(clap::Args, Debug)]
pub(super) struct Policy {
    /// Serve the clients enrolled in this store: `file:PATH`, `sqlite:PATH` or
    /// `postgres://USER@HOST/DATABASE`. Changes apply within a second; while the store is
    /// unavailable, the last known clients are served.
    #[arg(long, value_name = "LOCATION", hide_env_values = true)]
    clients: Option<String>,
    /// Allow or refuse clients whose key is not enrolled [default: refuse].
    #[arg(long, value_enum, requires = "clients")]
    unknown_clients: Option<Unknown>,
    /// Allow or refuse anonymous clients [default: refuse with --clients, else allow].
    #[arg(long, value_enum)]
    anonymous: Option<Anonymous>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Unknown {
    /// Refuse them.
    Refuse,
    /// Serve them, if their key is valid and not an alias of another.
    Allow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Anonymous {
    /// Serve them.
    Allow,
    /// Refuse them by the flags of their packets, at nearly no cost.
    Refuse,
}

/// The enrolled clients, as they are from moment to moment.
pub(crate) struct Clients {
    location: String,
    policy: AccessPolicy,
    store: Arc<dyn IdentityStore>,
    follower: Arc<Follower>,
}

impl Policy {
    /// What can be checked without the store.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let Some(location) = &self.clients else { return Ok(()) };
        store::check_existing(location).map_err(|failure| failure.of_option("clients"))
    }

    /// Reads who is enrolled, and follows that from here on; unless that is done already.
    pub(super) async fn clients(&self, before: Option<&Clients>) -> Result<Option<Arc<Clients>>, Failure> {
        let Some(location) = &self.clients else { return Ok(None) };
        let (store, follower) = match before.filter(|before| before.location == *location) {
            Some(before) => (Arc::clone(&before.store), Arc::clone(&before.follower)),
            None => follow(location).await.map_err(|failure| failure.of_option("clients"))?,
        };
        let unknown = match self.unknown_clients {
            Some(Unknown::Allow) => UnknownClients::Allow,
            Some(Unknown::Refuse) | None => UnknownClients::Refuse,
        };
        let mut policy = AccessPolicy::new(Arc::clone(follower.snapshot()), unknown);
        if let Some(before) = before {
            policy = policy.replacing(&before.policy);
        }
        Ok(Some(Arc::new(Clients { location: location.clone(), policy, store, follower })))
    }

    /// Returns whether an option says who is served.
    pub(super) fn is_explicit(&self) -> bool {
        self.clients.is_some() || self.anonymous.is_some()
    }

    /// Returns the options whose lack in `after` would serve more clients.
    pub(super) fn opened_by_lack(&self, after: &Self) -> impl Iterator<Item = &'static str> {
        let has_lost_clients = self.clients.is_some() && after.clients.is_none();
        let admits_anonymous = self.refuses_anonymous() && !after.refuses_anonymous();
        let has_lost_word = admits_anonymous && after.anonymous.is_none();
        has_lost_clients.then_some("clients").into_iter().chain(has_lost_word.then_some("anonymous"))
    }

    /// Reports at each start and reload which clients are served without being enrolled.
    pub(super) fn report(&self) {
        if self.clients.is_none() {
            tracing::warn!("all clients are served, whatever key they prove: there is no --clients");
        } else if matches!(self.unknown_clients, Some(Unknown::Allow)) {
            tracing::warn!("clients that are not enrolled are served: --unknown-clients allow");
        }
        if self.clients.is_some() && !self.refuses_anonymous() {
            tracing::warn!("anonymous clients are served: --anonymous allow");
        }
    }

    pub(super) fn refuses_anonymous(&self) -> bool {
        match self.anonymous {
            Some(anonymous) => anonymous == Anonymous::Refuse,
            None => self.clients.is_some(),
        }
    }
}

async fn follow(location: &str) -> Result<(Arc<dyn IdentityStore>, Arc<Follower>), Failure> {
    let store = store::open(location).await?;
    let follower = Follower::start(Arc::clone(&store)).await.map_err(|error| failure(&error))?;
    notice(format_args!("{} clients are known", follower.snapshot().len()));
    Ok((store, Arc::new(follower)))
}

impl Clients {
    pub(crate) fn check(&self, key: &PublicKey) -> KeyCheck {
        self.policy.check(key)
    }

    /// Returns the name under which a client is enrolled.
    pub(crate) fn name(&self, key: &PublicKey) -> Option<String> {
        self.follower.snapshot().get(key).map(|status| status.name)
    }

    pub(crate) fn stats(&self) -> AccessStats {
        self.policy.stats()
    }

    /// Returns the refused clients that are due to be reported.
    pub(super) fn take_refused(&self, now: Timestamp) -> RefusedReport {
        self.policy.refused().report(now, |key| self.name(key))
    }

    pub(super) fn store(&self) -> &dyn IdentityStore {
        &*self.store
    }

    pub(crate) fn follower(&self) -> &Follower {
        &self.follower
    }
}
