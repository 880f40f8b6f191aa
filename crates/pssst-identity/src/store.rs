//! What every store of identities can do.

use async_trait::async_trait;
use jiff::Timestamp;
use pssst::PublicKey;

use crate::{ChangeReceiver, ClientStatus, Error, Identity, NewIdentity, RefusedClient, ServerReport, State, Update};

/// Revision of a store: each change of an identity has a number, and later changes have larger
/// ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number and no more")]
pub struct Revision(pub u64);

/// A store of identities.
///
/// Every method is atomic and durable. Methods may be called from many tasks and, but for
/// [`MemoryStore`](crate::MemoryStore), from many processes at once.
#[async_trait]
pub trait IdentityStore: Send + Sync {
    /// Adds all of these, or none.
    ///
    /// # Errors
    /// [`Error::KeyTaken`], [`Error::NameTaken`], or the store's own failure.
    async fn add_all(&self, identities: Vec<NewIdentity>) -> Result<Vec<Identity>, Error>;

    /// Returns the identity with exactly this key.
    ///
    /// # Errors
    /// The store's own error.
    async fn get(&self, key: &PublicKey) -> Result<Option<Identity>, Error>;

    /// Returns the identity with exactly this name.
    ///
    /// # Errors
    /// The store's own error.
    async fn find_by_name(&self, name: &str) -> Result<Option<Identity>, Error>;

    /// Returns a page of identities, in the byte order of their names.
    ///
    /// # Errors
    /// The store's own error.
    async fn list(&self, query: &ListQuery) -> Result<Page, Error>;

    /// Counts the identities by their state.
    ///
    /// # Errors
    /// The store's own error.
    async fn totals(&self) -> Result<ClientTotals, Error>;

    /// Changes an identity, and returns the result.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Outdated`], [`Error::Revoked`], [`Error::NameTaken`],
    /// [`Error::InvalidName`], [`Error::InvalidLabel`], or the store's own failure.
    async fn update(&self, key: &PublicKey, update: Update) -> Result<Identity, Error>;

    /// Deletes an identity. Its key and its name can be enrolled again.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the store's own failure.
    async fn remove(&self, key: &PublicKey) -> Result<(), Error>;

    /// Returns the first `limit` changes after this revision, oldest first, the latest of each
    /// identity only. After revision 0, that is every identity there is.
    ///
    /// # Errors
    /// The store's own error.
    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, Error>;

    /// Returns a receiver that is notified soon after a change that the store notices. Changes that
    /// it does not notice (another process changed a file) are found only by calling
    /// [`changes`](Self::changes).
    fn subscribe(&self) -> ChangeReceiver;

    /// Keeps what a server reports of refused clients, for operators to see: the requests are added
    /// to those that were reported before. A store that is read by servers only does nothing.
    ///
    /// # Errors
    /// The store's own error.
    async fn record_refused(&self, _clients: &[RefusedClient]) -> Result<(), Error> {
        Ok(())
    }

    /// Keeps a server's sign of life, for operators to see. A store that is read by servers only
    /// does nothing.
    ///
    /// # Errors
    /// The store's own error.
    async fn record_server(&self, _server: &ServerReport) -> Result<(), Error> {
        Ok(())
    }

    /// Ends the store's connections, and waits until its files are as complete as without them: a
    /// copy of them, or a reader without the right to write, misses nothing. Later calls fail.
    async fn close(&self) {}

    /// Adds one identity.
    ///
    /// # Errors
    /// The errors of [`add_all`](Self::add_all).
    async fn add(&self, identity: NewIdentity) -> Result<Identity, Error> {
        self.add_all(vec![identity]).await?.pop().ok_or(Error::Corrupt("what was added"))
    }
}

/// A query for a list of identities.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers make it")]
pub struct ListQuery {
    /// Only names after this one: [`Page::next`] of the page before.
    pub after: Option<String>,
    /// Most identities of a page, clamped to 1 to 1,000.
    pub limit: usize,
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those that must use their pre-shared key, or only the others.
    pub requires_psk: Option<bool>,
    /// Only those whose name, key (64 hexadecimal digits) or one of whose labels (`name=value`)
    /// contains this text, ignoring case.
    pub search: Option<String>,
    /// Only those with this label, `name=value`, ignoring case.
    pub label: Option<String>,
}

impl Default for ListQuery {
    fn default() -> Self {
        Self { after: None, limit: 100, state: None, requires_psk: None, search: None, label: None }
    }
}

impl ListQuery {
    /// Returns the effective limit.
    pub(crate) fn page_len(&self) -> usize {
        self.limit.clamp(1, 1000)
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// The identities, by name.
    pub identities: Vec<Identity>,
    /// Value of [`ListQuery::after`] for the next page; `None` if this is the last.
    pub next: Option<String>,
}

impl Page {
    /// From up to one more than fits.
    pub(crate) fn new(mut identities: Vec<Identity>, query: &ListQuery) -> Self {
        let has_next = identities.len() > query.page_len();
        identities.truncate(query.page_len());
        let next = identities.last().filter(|_| has_next).map(|identity| identity.name.clone());
        Self { identities, next }
    }
}

/// How many identities a store has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientTotals {
    /// Enrolled, and not expired.
    pub enrolled: u64,
    /// Enrolled, and expired: they are refused.
    pub expired: u64,
    /// Suspended, expired or not.
    pub suspended: u64,
    /// Revoked, expired or not.
    pub revoked: u64,
}

impl ClientTotals {
    /// Returns the number of all identities.
    pub const fn all(&self) -> u64 {
        self.enrolled + self.expired + self.suspended + self.revoked
    }

    /// Counts identities in this state, so many of them expired.
    pub(crate) const fn add(&mut self, state: State, count: u64, expired: u64) {
        match state {
            State::Enrolled => {
                self.enrolled += count.saturating_sub(expired);
                self.expired += expired;
            }
            State::Suspended => self.suspended += count,
            State::Revoked => self.revoked += count,
        }
    }
}

/// A part of a store's feed of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// Random name of the store: under another name, revisions seen before are invalid.
    pub store: String,
    /// The store's latest revision. An older one than seen before means that the store was
    /// restored, for instance from a backup: start again from revision 0.
    pub latest: Revision,
    /// The changes, oldest first.
    pub changes: Vec<Change>,
}

/// A change of one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The number of this change.
    pub revision: Revision,
    /// The client's key.
    pub key: PublicKey,
    /// The identity after the change; `None` if it was removed.
    pub status: Option<ClientStatus>,
}

impl Change {
    /// Returns a change, for stores and tests.
    pub const fn new(revision: Revision, key: PublicKey, status: Option<ClientStatus>) -> Self {
        Self { revision, key, status }
    }
}

/// Returns a name that no other store has.
pub(crate) fn random_store_name() -> Result<String, Error> {
    let mut bytes = [0; 16];
    pssst::rand_core::TryRng::try_fill_bytes(&mut pssst::SysRng, &mut bytes)
        .map_err(|_| Error::RandomnessUnavailable)?;
    Ok(base16ct::lower::encode_string(&bytes))
}

/// Returns the time that stores write down.
pub(crate) fn now() -> Timestamp {
    crate::identity::to_milliseconds(Timestamp::now())
}
