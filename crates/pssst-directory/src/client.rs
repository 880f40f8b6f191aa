//! A client of the directory: it follows the server's keys, and enrols the device's key.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use pssst::rand_core::TryRng;
use pssst::{ServerKey, Suite, SuiteSet};
use pssst_link::{Link, LinkKey};
use pssst_support::sync::lock;
use pssst_support::{FileErrorCause, Source};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::{Clock, CurrentKey, Error, KeySet, Pin};
use http::Http;
use refresh::{LONGEST_SLEEP, Timing};
use trust::Trust;
use trusted_clock::TrustedClock;

mod enroll;
mod http;
mod refresh;
mod renew;
mod trust;
mod trusted_clock;

/// Follows the keys of a server or a pool at its directory. Cheap to clone; all clones share one
/// state.
///
/// The last good document stays in memory and in a file, so the client works while the directory is
/// unavailable, and after a restart. The current key depends on the time alone: an announced
/// rotation needs no network when it takes effect.
///
/// # The time
///
/// A clock that shows a time between a fetched document's issue and refresh is used. Otherwise the
/// clock is wrong, and time is counted from the document's issue until the next document.
/// (Certificates are checked by the clock of the system all the same, unless the directory is known
/// by its [`Pin`].)
///
/// ```no_run
/// use pssst_directory::DirectoryClient;
/// use pssst_net::Client;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let directory = DirectoryClient::builder("https://keys.example.com")
///     .pin("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse()?)
///     .cache("/var/lib/gauge/keys.json")
///     .build()?;
/// if directory.server_key().is_err() {
///     directory.fetch().await?;
/// }
/// let client = Client::builder(directory.server_key()?).connect("gauges.example.com:45678").await?;
///
/// let (follower, followed) = (directory.clone(), client.clone());
/// tokio::spawn(async move { follower.keep_current(&followed).await });
///
/// client.request("level?").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct DirectoryClient {
    shared: Arc<Shared>,
}

struct Shared {
    http: Http,
    cache: Option<PathBuf>,
    clock: Clock,
    suites: Vec<Suite>,
    allows_downgrade: bool,
    expected_key: Option<LinkKey>,
    current: Mutex<Option<Current>>,
    documents: watch::Sender<Option<Arc<KeySet>>>,
    /// One at a time, so that documents and files are replaced in order.
    fetching: tokio::sync::Mutex<()>,
    history: Mutex<History>,
}

/// What became of the fetches so far.
#[derive(Default)]
struct History {
    fetched_at: Option<Instant>,
    clock_lead: Option<SignedDuration>,
    failures: u64,
    cache_failures: u64,
    cache_error: Option<String>,
}

/// How well a client follows its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchStatus {
    /// The time since the directory last answered; `None` if it has not done so to this process.
    pub age: Option<Duration>,
    /// Whether the document should have been refreshed by now, or there is none.
    pub is_overdue: bool,
    /// How far the system clock was ahead of the directory's when that last answered, to about a
    /// second; negative if it was behind. `None` if no answer had the time.
    pub clock_lead: Option<SignedDuration>,
    /// How many fetches have failed so far.
    pub failures: u64,
    /// How many documents could not be written to the cache so far.
    pub cache_failures: u64,
    /// The file that could not be written last time, and the cause.
    pub cache_error: Option<String>,
}

#[derive(Clone)]
struct Current {
    document: Arc<KeySet>,
    clock: TrustedClock,
    etag: Option<String>,
}

impl DirectoryClient {
    /// Returns a client of the directory at this URL: `https://` and a host, perhaps with a port.
    pub fn builder(url: impl Into<String>) -> DirectoryClientBuilder {
        DirectoryClientBuilder {
            url: url.into(),
            trust: Trust::System,
            cache: None,
            clock: Clock::default(),
            timeout: Duration::from_secs(30),
            suites: SuiteSet::DATAGRAM.iter().collect(),
            allows_downgrade: false,
            expected_key: None,
        }
    }

    /// Returns a builder for the directory of a link, with its pin, its suites, and its key as the
    /// [expected](DirectoryClientBuilder::expect_key) one; `None` if the link has no directory.
    pub fn from_link(link: &Link) -> Option<DirectoryClientBuilder> {
        let mut builder = Self::builder(format!("https://{}", link.directory.as_ref()?));
        if let Some(pin) = link.pin {
            builder = builder.pin(Pin::from_bytes(pin));
        }
        if !link.suites.is_empty() {
            builder = builder.suites(link.suites.as_slice());
        }
        if let Some(key) = link.key {
            builder = builder.expect_key(key);
        }
        Some(builder)
    }

    /// Returns the document that is held, the last good one.
    pub fn document(&self) -> Option<Arc<KeySet>> {
        self.current().map(|current| current.document)
    }

    /// Returns the documents from here on, the one that is held first. `None` before the first.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<KeySet>>> {
        self.shared.documents.subscribe()
    }

    /// Returns the server's key for this moment.
    ///
    /// # Errors
    /// The errors of [`current_key`](Self::current_key).
    pub fn server_key(&self) -> Result<ServerKey, Error> {
        self.current_key().map(|current| current.key)
    }

    /// Returns the server's key for this moment, and the suite to use with it: the one that the
    /// directory prefers, of those that this client [takes](DirectoryClientBuilder::suites).
    ///
    /// # Errors
    /// [`Error::NoCurrentKey`] without a document, or when its keys are all over;
    /// [`Error::NoCommonSuite`]; [`Error::Downgrade`] when only its post-quantum keys are over.
    pub fn current_key(&self) -> Result<CurrentKey, Error> {
        let (current, shared) = (self.current().ok_or(Error::NoCurrentKey)?, &*self.shared);
        let now = current.clock.now(&shared.clock);
        let takes_post_quantum = shared.suites.contains(&Suite::XWingAes256GcmSiv);
        if takes_post_quantum && !shared.allows_downgrade && current.document.has_lost_post_quantum(now) {
            return Err(Error::Downgrade);
        }
        current.document.select(now, &shared.suites)
    }

    /// Returns the server's key for suite 0xf002 at this moment: for
    /// `pssst_net::ClientBuilder::fallback`.
    ///
    /// # Errors
    /// The errors of [`current_key`](Self::current_key).
    pub fn fallback_key(&self) -> Result<pssst::PublicKey, Error> {
        let current = self.current().ok_or(Error::NoCurrentKey)?;
        let suites = [Suite::X25519Aes256GcmSiv];
        match current.document.select(current.clock.now(&self.shared.clock), &suites)?.key {
            ServerKey::X25519(key) => Ok(key),
            _ => Err(Error::NoCommonSuite),
        }
    }

    /// Returns the key that enrolments are sealed for at this moment.
    ///
    /// # Errors
    /// [`Error::NoCurrentKey`].
    pub(crate) fn enrollment_key(&self) -> Result<pssst::PublicKey, Error> {
        let current = self.current().ok_or(Error::NoCurrentKey)?;
        current.document.enrollment_key(current.clock.now(&self.shared.clock))
    }

    /// Takes the document of a client that this one replaces, in a program that was reconfigured,
    /// if it is of a later generation: otherwise the directory could send older keys, or give up
    /// post-quantum ones, unnoticed. Call it before the first fetch; and again when the other one
    /// has stopped, since that may have fetched in between.
    ///
    /// The document of another directory (another URL) is not taken.
    pub fn take_document_of(&self, previous: &Self) {
        if previous.shared.http.base() != self.shared.http.base() {
            return;
        }
        let Some(theirs) = previous.current() else { return };
        let mut current = lock(&self.shared.current);
        if current.as_ref().is_none_or(|mine| mine.document.generation < theirs.document.generation) {
            self.shared.documents.send_replace(Some(Arc::clone(&theirs.document)));
            // Without its tag: the answer to the next fetch is then written to this client's cache.
            *current = Some(Current { etag: None, ..theirs });
        }
    }

    /// Returns how well the directory is followed.
    pub fn status(&self) -> FetchStatus {
        let is_fresh = |current: Current| current.clock.now(&self.shared.clock) < current.document.refresh_at;
        let is_overdue = !self.current().is_some_and(is_fresh);
        let history = lock(&self.shared.history);
        FetchStatus {
            age: history.fetched_at.map(|time| time.elapsed()),
            is_overdue,
            clock_lead: history.clock_lead,
            failures: history.failures,
            cache_failures: history.cache_failures,
            cache_error: history.cache_error.clone(),
        }
    }

    /// Fetches the directory's document and stores it. If it has not changed, the answer is short.
    ///
    /// # Errors
    /// [`Error::Connection`], [`Error::Status`], [`Error::TooLong`]; those of [`KeySet::parse`];
    /// [`Error::OldDocument`], [`Error::ConflictingDocument`], [`Error::ImplausibleDocument`],
    /// [`Error::Downgrade`] and [`Error::UnexpectedKeys`]; and [`Error::NoCurrentKey`] for a
    /// document without a key in force at its issue. The current document stays then.
    pub async fn fetch(&self) -> Result<Arc<KeySet>, Error> {
        let shared = &*self.shared;
        let _turn = shared.fetching.lock().await;
        let outcome = self.fetch_document().await;
        let mut history = lock(&shared.history);
        match &outcome {
            Ok(_) => history.fetched_at = Some(Instant::now()),
            Err(_) => history.failures += 1,
        }
        outcome
    }

    async fn fetch_document(&self) -> Result<Arc<KeySet>, Error> {
        let shared = &*self.shared;
        let current = self.current();
        let etag = current.as_ref().and_then(|current| current.etag.as_deref());
        let answer = shared.http.get("/.well-known/pssst/keys", etag, KeySet::MAX_LEN).await?;
        if let Some(date) = answer.date {
            lock(&shared.history).clock_lead = Some(shared.clock.now().duration_since(date));
        }
        match (answer.status, current) {
            (200, current) => {
                let document = KeySet::parse(&answer.body)?;
                document.current_key(document.issued)?;
                match (current, &shared.expected_key) {
                    (Some(current), _) => self.check_order(&current.document, &document)?,
                    (None, Some(key)) if !document.keys.iter().any(|own| key.is_of(&own.key)) => {
                        return Err(Error::UnexpectedKeys);
                    }
                    (None, _) => {}
                }
                Ok(self.store(document, answer.etag).await)
            }
            (304, Some(current)) if current.etag.is_some() => Ok(current.document),
            (status, _) => Err(Error::Status(status)),
        }
    }

    /// Refreshes the document: at a random time in the second half of the time until `refresh_at`,
    /// so that a fleet is spread; after failures soon, then with growing pauses. Never returns:
    /// drop the future to stop.
    pub async fn follow(&self) -> Infallible {
        let timing = || {
            let current = self.current()?;
            let until = current.document.refresh_at.duration_since(current.clock.now(&self.shared.clock));
            let interval = current.document.refresh_at.duration_since(current.document.issued);
            Some(Timing {
                until_refresh: Duration::try_from(until).unwrap_or_default(),
                interval: Duration::try_from(interval).unwrap_or_default(),
            })
        };
        refresh::refresh_loop(timing, || self.fetch(), random_fraction).await
    }

    /// Keeps the server's key and the suite of a client current, and its
    /// [fallback](pssst_net::Client::set_fallback) if it has one, and [follows](Self::follow) the
    /// directory for them: at once, at the time of each switch, network or not, and with each new
    /// document. Never returns: drop the future to stop.
    pub async fn keep_current(&self, client: &pssst_net::Client) -> Infallible {
        tokio::select! {
            never = self.follow() => never,
            never = self.apply(client) => never,
        }
    }

    /// Sets the server's key and the suite of a client whenever others are in force.
    async fn apply(&self, client: &pssst_net::Client) -> Infallible {
        let mut documents = self.watch();
        loop {
            documents.mark_unchanged();
            self.set_current_key(client);
            tokio::select! {
                changed = documents.changed() => drop(changed),
                () = tokio::time::sleep(self.until_switch().min(LONGEST_SLEEP)) => {}
            }
        }
    }

    /// Sets the server's key and the suite of a client if others are in force. Without a key in
    /// force the last one stays: a server may still accept it, and there is no better key.
    fn set_current_key(&self, client: &pssst_net::Client) {
        match self.current_key() {
            Ok(CurrentKey { key, suite }) => {
                if (&key, suite) != (&client.server_key(), client.suite()) {
                    match client.set_server(key.clone(), suite) {
                        Ok(()) => tracing::info!(key = %key.label(), %suite, "the server's key or suite has changed"),
                        Err(error) => tracing::error!(%error, "the server's key cannot be used"),
                    }
                }
            }
            Err(error) if self.current().is_some() => {
                tracing::warn!(%error, "the last key of the server stays in use");
            }
            Err(_) => {}
        }
        if let (Some(before), Ok(key)) = (client.fallback(), self.fallback_key())
            && key != before
            && let Err(error) = client.set_fallback(Some(key))
        {
            tracing::error!(%error, "the server's key to fall back to cannot be used");
        }
    }

    /// Checks that a document may replace the stored one.
    fn check_order(&self, held: &KeySet, sent: &KeySet) -> Result<(), Error> {
        let (held_generation, generation) = (held.generation, sent.generation);
        if generation < held_generation {
            return Err(Error::OldDocument { held: held_generation, sent: generation });
        }
        if generation == held_generation && sent.conflicts_with(held) {
            return Err(Error::ConflictingDocument { generation });
        }
        if held.is_post_quantum() && !sent.is_post_quantum() && !self.shared.allows_downgrade {
            return Err(Error::Downgrade);
        }
        // With a stored document that agrees with the clock, the clock is more credible than one
        // that does not.
        let clock = self.shared.clock.now();
        if TrustedClock::is_plausible(held, clock) && !TrustedClock::is_plausible(sent, clock) {
            return Err(Error::ImplausibleDocument { issued: sent.issued });
        }
        Ok(())
    }

    fn until_switch(&self) -> Duration {
        let until_switch = || {
            let current = self.current()?;
            let now = current.clock.now(&self.shared.clock);
            Duration::try_from(current.document.next_switch(now)?.duration_since(now)).ok()
        };
        until_switch().unwrap_or(Duration::MAX)
    }

    fn current(&self) -> Option<Current> {
        lock(&self.shared.current).clone()
    }

    async fn store(&self, document: KeySet, etag: Option<String>) -> Arc<KeySet> {
        let shared = &*self.shared;
        let clock = TrustedClock::from_fetched(&document, shared.clock.now());
        if let TrustedClock::Since { .. } = clock {
            tracing::warn!(clock = %shared.clock.now(), directory = %document.issued, "the system clock is wrong and is not used");
        }
        let document = Arc::new(document);
        let current = Current { document: Arc::clone(&document), clock, etag };
        *lock(&shared.current) = Some(current);
        shared.documents.send_replace(Some(Arc::clone(&document)));
        if let Some(path) = shared.cache.clone() {
            let text = document.to_json();
            let write = move || {
                let outcome = pssst_support::atomic_file::replace(&path, 0o644, text.as_bytes());
                outcome.map_err(|error| format!("{}: {error}", path.display()))
            };
            let outcome = tokio::task::spawn_blocking(write).await;
            let error = outcome.map_err(|error| error.to_string()).flatten().err();
            if let Some(error) = &error {
                tracing::warn!(%error, "the keys could not be written to the cache");
            }
            let mut history = lock(&shared.history);
            history.cache_failures += u64::from(error.is_some());
            history.cache_error = error;
        }
        document
    }
}

impl fmt::Debug for DirectoryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryClient")
            .field("url", &self.shared.http.base())
            .field("cache", &self.shared.cache)
            .field("document", &self.document())
            .finish_non_exhaustive()
    }
}

/// Configures a client of the directory.
#[derive(Debug)]
#[must_use]
pub struct DirectoryClientBuilder {
    url: String,
    trust: Trust,
    cache: Option<PathBuf>,
    clock: Clock,
    timeout: Duration,
    suites: Vec<Suite>,
    allows_downgrade: bool,
    expected_key: Option<LinkKey>,
}

impl DirectoryClientBuilder {
    /// Trusts the authorities in this PEM file instead of the system's.
    pub fn ca_file(self, path: impl Into<PathBuf>) -> Self {
        Self { trust: Trust::File(path.into()), ..self }
    }

    /// Trusts these authorities (PEM) instead of the system's.
    pub fn ca_pem(self, pem: impl Into<Vec<u8>>) -> Self {
        Self { trust: Trust::Pem(pem.into()), ..self }
    }

    /// Trusts the directory whose certificate has this pin and no other: its name, its issuer and
    /// when it expires do not matter.
    pub fn pin(self, pin: Pin) -> Self {
        Self { trust: Trust::Pin(pin), ..self }
    }

    /// Sets the file of the last good document. It holds nothing secret, but anyone who can write
    /// it chooses the server's key.
    ///
    /// If the file does not exist, the client takes any document first, and no older one from then
    /// on. Without such a file, each process begins like that.
    pub fn cache(self, path: impl Into<PathBuf>) -> Self {
        Self { cache: Some(path.into()), ..self }
    }

    /// Takes these suites only; by default all, in the order that the directory prefers.
    pub fn suites(self, suites: impl Into<Vec<Suite>>) -> Self {
        Self { suites: suites.into(), ..self }
    }

    /// Takes a document without a post-quantum key although the stored one has one, and a renewal
    /// without a pre-shared key for a client that has one. Both are refused by default
    /// ([`Error::Downgrade`], [`Error::PskDowngrade`]).
    pub fn allow_downgrade(self) -> Self {
        Self { allows_downgrade: true, ..self }
    }

    /// Refuses the first document if it does not have this key, current or next
    /// ([`Error::UnexpectedKeys`]). Later documents, and one in the cache, are not compared with
    /// it: keys rotate.
    pub fn expect_key(self, key: LinkKey) -> Self {
        Self { expected_key: Some(key), ..self }
    }

    /// Uses this clock instead of the system's.
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Sets the timeout of a request to the directory, up to the last byte of its answer; 30
    /// seconds by default. A third of it applies to the connection.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Builds the client and reads its files. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::Syntax`] for another URL than is expected; [`Error::File`] and [`Error::Trust`] for
    /// authorities that cannot be used; [`Error::Cache`] for a cache that is there and cannot be
    /// used.
    pub fn build(self) -> Result<DirectoryClient, Error> {
        let http = Http::new(&self.url, self.trust.config()?, self.timeout)?;
        let cached = self.cache.as_deref().map(read_cache).transpose()?.flatten();
        let current = cached.map(|document| Current {
            clock: TrustedClock::from_stored(&document, self.clock.now()),
            document: Arc::new(document),
            etag: None,
        });
        let (documents, _) = watch::channel(current.as_ref().map(|current| Arc::clone(&current.document)));
        let (current, fetching) = (Mutex::new(current), tokio::sync::Mutex::default());
        let history = Mutex::default();
        let Self { cache, clock, suites, allows_downgrade, expected_key, .. } = self;
        let shared = Shared {
            http,
            cache,
            clock,
            suites,
            allows_downgrade,
            expected_key,
            current,
            documents,
            fetching,
            history,
        };
        Ok(DirectoryClient { shared: Arc::new(shared) })
    }
}

/// Returns the stored document; `None` if there is no such file. A file that cannot be used is not
/// the same as none: anyone who damages it would have the client forget which keys it had.
fn read_cache(path: &Path) -> Result<Option<KeySet>, Error> {
    let outcome = match Source::new(path).max_len(KeySet::MAX_LEN as u64).read() {
        Ok(contents) => KeySet::parse(&contents),
        Err(error) if matches!(&error.cause, FileErrorCause::Io(cause) if cause.kind() == io::ErrorKind::NotFound) => {
            return Ok(None);
        }
        Err(error) => Err(Error::File(error.cause.into())),
    };
    outcome.map(Some).map_err(|cause| Error::Cache { path: path.to_owned(), cause: Box::new(cause) })
}

/// From 0 to 1.
fn random_fraction() -> f64 {
    // In the middle when the system has no randomness: only the spreading suffers.
    let number = pssst::SysRng.try_next_u32().unwrap_or(u32::MAX / 2);
    f64::from(number) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
