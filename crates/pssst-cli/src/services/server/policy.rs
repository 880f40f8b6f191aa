//! The access policy of a server.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use clap::ValueEnum;
use pssst::{Keyring, PublicKey};
use pssst_identity::jiff::Timestamp;
use pssst_identity::{
    AccessPolicy, AccessStats, Follower, FollowerStatus, IdentityStore, PacketSample, RefusedReport, SharedSecrets,
    UnknownClients,
};

use pssst_support::WatchStatus;

use crate::args::store::{self, failure};
use pssst_service::stderr::notice;
use pssst_service::{Failure, FollowedFile};

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
    /// Compute what each enrolled client shares with the server's keys ahead of time, or for each
    /// request [default: ahead, unless unknown clients are allowed]. Ahead, an authenticated
    /// request costs half, for 32 bytes a client and key; and a device that is not enrolled is
    /// refused like a forgery, and named from a sample.
    #[arg(long, value_enum, requires = "clients")]
    client_secrets: Option<ClientSecrets>,
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
enum ClientSecrets {
    /// In a table that is used once it is complete.
    Ahead,
    /// For each request.
    OnDemand,
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
    unknown: UnknownClients,
    /// Whether shared secrets are to be computed ahead of time.
    computes_ahead: bool,
    policy: AccessPolicy,
    sample: Arc<PacketSample>,
    store: Arc<dyn IdentityStore>,
    follower: Arc<Follower>,
}

impl Policy {
    /// Returns where the enrolled clients are kept.
    pub(super) fn location(&self) -> Option<&str> {
        self.clients.as_deref()
    }

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
        if unknown == UnknownClients::Allow && self.client_secrets == Some(ClientSecrets::Ahead) {
            return Err(Failure::usage(
                "what unknown clients share with the server cannot be computed ahead of time",
                "give --client-secrets on-demand, or --unknown-clients refuse",
            )
            .of_option("client-secrets"));
        }
        let computes_ahead = unknown == UnknownClients::Refuse && self.client_secrets != Some(ClientSecrets::OnDemand);
        let mut policy = AccessPolicy::new(Arc::clone(follower.snapshot()), unknown);
        if let Some(before) = before {
            policy = policy.replacing(&before.policy);
        }
        let sample = before.map(|before| Arc::clone(&before.sample)).unwrap_or_default();
        let location = location.clone();
        Ok(Some(Arc::new(Clients { location, unknown, computes_ahead, policy, sample, store, follower })))
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
    /// Returns what decides on requests. It follows the store as long as these clients live.
    pub(super) fn policy(&self) -> AccessPolicy {
        self.policy.clone()
    }

    /// Returns the clients with their secrets for these keys, which takes some microseconds each:
    /// call it where it may block. `None` where they are computed on demand.
    pub(super) fn with_secrets_for(&self, keyring: &Keyring) -> Option<Self> {
        if !self.computes_ahead {
            return None;
        }
        let started = Instant::now();
        let secrets = SharedSecrets::compute(self.follower.snapshot(), keyring);
        tracing::info!(
            clients = self.follower.snapshot().len(),
            bytes = secrets.memory(),
            milliseconds = started.elapsed().as_millis(),
            "computed the clients' shared secrets"
        );
        let policy = AccessPolicy::new(Arc::clone(self.follower.snapshot()), self.unknown);
        Some(Self {
            location: self.location.clone(),
            unknown: self.unknown,
            computes_ahead: true,
            policy: policy.replacing(&self.policy).with_shared_secrets(secrets),
            sample: Arc::clone(&self.sample),
            store: Arc::clone(&self.store),
            follower: Arc::clone(&self.follower),
        })
    }

    /// Returns the packets that did not decrypt.
    pub(super) fn sample(&self) -> &Arc<PacketSample> {
        &self.sample
    }

    /// Opens the sampled packets with the true secrets: so devices that are not enrolled are
    /// counted and named.
    pub(super) fn examine_sample(&self, server: &pssst::Server) {
        self.sample.examine(server, &self.policy);
    }

    /// Returns the name under which a client is enrolled.
    pub(crate) fn name(&self, key: &PublicKey) -> Option<String> {
        self.follower.snapshot().get(key).map(|status| status.name)
    }

    /// Returns the secrets that are in use, if they are computed ahead of time.
    pub(super) fn shared_secrets(&self) -> Option<&SharedSecrets> {
        self.policy.shared_secrets()
    }

    /// Returns the file of the clients, if they are in one, and how well it is followed.
    pub(super) fn followed_file(&self) -> Option<FollowedFile> {
        let path = self.location.strip_prefix("file:")?;
        let FollowerStatus { age, failures, error, .. } = self.follower.status();
        Some(FollowedFile::new(Path::new(path), WatchStatus::new(age, failures, error)))
    }

    pub(crate) fn stats(&self) -> AccessStats {
        self.policy.stats()
    }

    /// Returns the refused clients that are due to be reported.
    pub(super) fn take_refused(&self, now: Timestamp) -> RefusedReport {
        self.policy.refused().report(now, |key| self.name(key))
    }

    /// Returns whether these and others are in one store.
    pub(super) fn shares_store_with(&self, other: Option<&Self>) -> bool {
        other.is_some_and(|other| other.location == self.location)
    }

    pub(super) fn store(&self) -> &dyn IdentityStore {
        &*self.store
    }

    pub(crate) fn follower(&self) -> &Follower {
        &self.follower
    }
}
