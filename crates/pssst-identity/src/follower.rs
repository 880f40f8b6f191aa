//! Keeps a snapshot in step with its store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout};

use crate::{ChangeReceiver, Changes, Error, IdentitySnapshot, IdentityStore, Revision};

/// How long a change takes at most to be seen while the store answers, where nothing pushes it.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Changes that are read at once.
const PAGE_LEN: usize = 65_536;
/// Interval of repeated warnings while the store is unavailable.
const REMINDER: Duration = Duration::from_secs(60);

/// A snapshot that follows its store until this is dropped.
///
/// It sees a change when the store notifies it, or at most a quarter of a second later. While the
/// store is unavailable it keeps the last snapshot, [`Follower::status`] reports the error, and a
/// warning is logged; once it is back, what was missed is read.
///
/// ```
/// use std::sync::Arc;
/// use pssst_identity::pssst::{SecretKey, SysRng};
/// use pssst_identity::{AccessPolicy, Follower, IdentityStore, MemoryStore, NewIdentity, UnknownClients};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Arc::new(MemoryStore::new());
/// store.add(NewIdentity::new(SecretKey::generate(&mut SysRng)?.public_key(), "boiler-7")?).await?;
///
/// let follower = Follower::start(store).await?;
/// assert_eq!(follower.snapshot().len(), 1);
/// let policy = AccessPolicy::new(Arc::clone(follower.snapshot()), UnknownClients::Refuse);
/// # let _ = policy;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Follower {
    snapshot: Arc<IdentitySnapshot>,
    status: watch::Receiver<Contact>,
    task: JoinHandle<()>,
}

/// Status of a follower.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FollowerStatus {
    /// Time since the store last answered: the snapshot may lack later changes.
    pub age: Duration,
    /// The store's revision in the snapshot.
    pub revision: Revision,
    /// How many attempts have failed so far.
    pub failures: u64,
    /// The error of the last attempt, if it failed.
    pub error: Option<String>,
}

#[derive(Clone, Debug)]
struct Contact {
    last: Instant,
    revision: Revision,
    failures: u64,
    error: Option<String>,
}

impl Follower {
    /// Reads the whole store, and follows it from then on, in a task of the current tokio runtime.
    ///
    /// # Errors
    /// The store's error at this first attempt.
    ///
    /// # Panics
    /// If called outside a tokio runtime.
    pub async fn start(store: Arc<dyn IdentityStore>) -> Result<Self, Error> {
        let snapshot = Arc::new(IdentitySnapshot::new());
        // Before the first reading, so that no change falls between.
        let receiver = store.subscribe();
        let mut position = Position::default();
        position.catch_up(&*store, &snapshot).await?;

        let (sender, status) =
            watch::channel(Contact { last: Instant::now(), revision: position.revision, failures: 0, error: None });
        let task = tokio::spawn(follow(store, Arc::clone(&snapshot), receiver, position, sender));
        Ok(Self { snapshot, status, task })
    }

    /// Returns the snapshot.
    pub fn snapshot(&self) -> &Arc<IdentitySnapshot> {
        &self.snapshot
    }

    /// Returns its status.
    pub fn status(&self) -> FollowerStatus {
        let Contact { last, revision, failures, error } = self.status.borrow().clone();
        FollowerStatus { age: last.elapsed(), revision, failures, error }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Applies changes to a snapshot: on a thread of its own where it has to compute.
async fn change(snapshot: &Arc<IdentitySnapshot>, change: impl FnOnce(&IdentitySnapshot) + Send + 'static) {
    if snapshot.has_secrets() {
        let snapshot = Arc::clone(snapshot);
        if let Err(error) = spawn_blocking(move || change(&snapshot)).await {
            // Nothing may count as read that was not applied.
            std::panic::resume_unwind(Box::new(error));
        }
    } else {
        change(snapshot);
    }
}

async fn follow(
    store: Arc<dyn IdentityStore>,
    snapshot: Arc<IdentitySnapshot>,
    mut receiver: ChangeReceiver,
    mut position: Position,
    contact: watch::Sender<Contact>,
) {
    let mut warned: Option<Instant> = None;
    loop {
        if let Ok(false) = timeout(POLL_INTERVAL, receiver.changed()).await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        let outcome = position.catch_up(&*store, &snapshot).await;
        let revision = position.revision;
        match outcome {
            Ok(()) => {
                if warned.take().is_some() {
                    tracing::warn!(clients = snapshot.len(), "the store of clients is available again");
                }
                contact.send_modify(|contact| {
                    (contact.last, contact.revision, contact.error) = (Instant::now(), revision, None);
                });
            }
            Err(error) => {
                if warned.is_none_or(|at| at.elapsed() >= REMINDER) {
                    warned = Some(Instant::now());
                    tracing::warn!(%error, "the store of clients is unavailable; the last snapshot stays in use");
                }
                contact.send_modify(|contact| {
                    (contact.revision, contact.error) = (revision, Some(error.to_string()));
                    contact.failures += 1;
                });
            }
        }
    }
}

/// How far a store has been read.
#[derive(Debug, Default)]
struct Position {
    store: String,
    revision: Revision,
}

impl Position {
    async fn catch_up(&mut self, store: &dyn IdentityStore, snapshot: &Arc<IdentitySnapshot>) -> Result<(), Error> {
        let mut changes = store.changes(self.revision, PAGE_LEN).await?;
        if changes.store != self.store || changes.latest < self.revision {
            if !self.store.is_empty() {
                tracing::warn!("the store of clients was replaced or restored: reading all of it");
            }
            return self.read_all(store, snapshot).await;
        }
        while let Some(last) = changes.changes.last() {
            let last = last.revision;
            let page = changes.changes;
            change(snapshot, move |snapshot| snapshot.apply(&page)).await;
            self.revision = last;
            if last >= changes.latest {
                break;
            }
            changes = store.changes(last, PAGE_LEN).await?;
        }
        Ok(())
    }

    /// Reads the store from its beginning. Until that is done, the snapshot stays what it was.
    async fn read_all(&mut self, store: &dyn IdentityStore, snapshot: &Arc<IdentitySnapshot>) -> Result<(), Error> {
        let (table, mut revision, mut waiting) = (snapshot.empty_table(), Revision(0), Vec::new());
        loop {
            let Changes { store: name, changes, latest } = store.changes(revision, PAGE_LEN).await?;
            let last = changes.last().map(|last| last.revision);
            let is_last = last.is_none_or(|last| last >= latest);
            revision = last.unwrap_or(revision);
            waiting.extend(changes);
            // A growing table is copied now and then, not with every page.
            if is_last || waiting.len() > table.len() / 4 {
                table.apply(&waiting, None);
                waiting.clear();
            }
            if is_last {
                change(snapshot, |snapshot| snapshot.replace(table)).await;
                *self = Self { store: name, revision };
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use async_trait::async_trait;
    use pssst::{PublicKey, SecretKey};

    use super::*;
    use crate::{ChangeSignal, ClientTotals, Identity, ListQuery, MemoryStore, NewIdentity, Page, State, Update};

    /// A store that can be away, another, or silent about what changes.
    #[derive(Default)]
    struct Unreliable {
        inner: watch::Sender<Arc<MemoryStore>>,
        is_away: AtomicBool,
        /// Every store below says that it is the same one.
        is_one_store: bool,
        never: ChangeSignal,
    }

    #[async_trait]
    impl IdentityStore for Unreliable {
        async fn add_all(&self, identities: Vec<NewIdentity>) -> Result<Vec<Identity>, Error> {
            let inner = Arc::clone(&self.inner.borrow());
            inner.add_all(identities).await
        }
        async fn get(&self, _: &PublicKey) -> Result<Option<Identity>, Error> {
            Ok(None)
        }
        async fn find_by_name(&self, _: &str) -> Result<Option<Identity>, Error> {
            Ok(None)
        }
        async fn list(&self, _: &ListQuery) -> Result<Page, Error> {
            Err(Error::Corrupt("nothing lists"))
        }
        async fn totals(&self) -> Result<ClientTotals, Error> {
            Err(Error::Corrupt("nothing counts"))
        }
        async fn update(&self, key: &PublicKey, update: Update) -> Result<Identity, Error> {
            let inner = Arc::clone(&self.inner.borrow());
            inner.update(key, update).await
        }
        async fn remove(&self, key: &PublicKey) -> Result<(), Error> {
            let inner = Arc::clone(&self.inner.borrow());
            inner.remove(key).await
        }
        async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, Error> {
            if self.is_away.load(Ordering::Relaxed) {
                return Err(Error::Corrupt("it is away"));
            }
            let inner = Arc::clone(&self.inner.borrow());
            // Small pages, so that there are several.
            let changes = inner.changes(after, limit.min(3)).await?;
            Ok(if self.is_one_store { Changes { store: "one".into(), ..changes } } else { changes })
        }
        fn subscribe(&self) -> ChangeReceiver {
            self.never.subscribe()
        }
    }

    fn key(number: u8) -> PublicKey {
        SecretKey::from_bytes([number; 32]).public_key()
    }

    fn client(number: u8) -> NewIdentity {
        NewIdentity::new(key(number), format!("client-{number}")).unwrap()
    }

    /// In virtual time, which jumps to the next poll.
    async fn until(follower: &Follower, is_so: impl Fn(&Follower) -> bool) {
        for _ in 0..100 {
            if is_so(follower) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("never: {follower:?}");
    }

    fn state(follower: &Follower, number: u8) -> Option<State> {
        follower.snapshot().get(&key(number)).map(|status| status.state)
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_sees_what_changes_and_what_was_missed() {
        let store = Arc::new(Unreliable::default());
        store.add_all((1..=10).map(client).collect()).await.unwrap();
        let follower = Follower::start(store.clone()).await.unwrap();
        assert_eq!((follower.snapshot().len(), follower.status().revision), (10, Revision(10)));

        store.update(&key(3), Update::state(State::Revoked)).await.unwrap();
        store.remove(&key(4)).await.unwrap();
        until(&follower, |now| state(now, 3) == Some(State::Revoked) && state(now, 4).is_none()).await;
        assert_eq!(follower.snapshot().len(), 9);

        // While the store is unavailable, the last snapshot serves, and that is reported.
        store.is_away.store(true, Ordering::Relaxed);
        store.add_all((20..=29).map(client).collect()).await.unwrap();
        store.update(&key(5), Update::state(State::Suspended)).await.unwrap();
        until(&follower, |now| now.status().error.is_some_and(|error| error.contains("it is away"))).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(follower.status().age >= Duration::from_secs(30));
        assert_eq!((state(&follower, 5), follower.snapshot().len()), (Some(State::Enrolled), 9));

        store.is_away.store(false, Ordering::Relaxed);
        until(&follower, |now| now.status().error.is_none()).await;
        assert_eq!((state(&follower, 5), follower.snapshot().len()), (Some(State::Suspended), 19));
        assert!(follower.status().age < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_was_exchanged_is_read_anew() {
        let store = Arc::new(Unreliable::default());
        store.add_all((1..=10).map(client).collect()).await.unwrap();
        let follower = Follower::start(store.clone()).await.unwrap();

        // Another store that has come just as far.
        store.inner.send_replace(Arc::default());
        store.add_all((11..=20).map(client).collect()).await.unwrap();
        until(&follower, |now| state(now, 20).is_some()).await;
        assert_eq!((follower.snapshot().len(), state(&follower, 1)), (10, None));
    }

    /// As from a backup.
    #[tokio::test(start_paused = true)]
    async fn a_store_that_was_set_back_is_read_anew() {
        let store = Arc::new(Unreliable { is_one_store: true, ..Unreliable::default() });
        store.add_all((1..=10).map(client).collect()).await.unwrap();
        let follower = Follower::start(store.clone()).await.unwrap();

        store.inner.send_replace(Arc::default());
        store.add_all((1..=9).map(client).collect()).await.unwrap();
        until(&follower, |now| state(now, 10).is_none()).await;
        assert_eq!((follower.snapshot().len(), follower.status().revision), (9, Revision(9)));
    }

    #[tokio::test]
    async fn a_store_that_is_away_at_the_start_is_an_error() {
        let store = Arc::new(Unreliable { is_away: true.into(), ..Unreliable::default() });
        assert!(Follower::start(store).await.is_err());
    }

    /// Nothing but the hint can be so fast: time stands still.
    #[tokio::test(start_paused = true)]
    async fn hints_are_followed_at_once() {
        let store = Arc::new(MemoryStore::new());
        let follower = Follower::start(store.clone()).await.unwrap();
        let start = Instant::now();
        store.add(client(1)).await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!((state(&follower, 1), start.elapsed()), (Some(State::Enrolled), Duration::ZERO));
    }
}
