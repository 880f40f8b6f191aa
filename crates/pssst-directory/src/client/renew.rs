//! Renewal of what a client got at its enrolment.

use std::convert::Infallible;
use std::fmt::Display;
use std::time::Duration;

use jiff::Timestamp;
use pssst::{ServerKey, SysRng};
use pssst_net::Credentials;
use pssst_support::Backoff;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::enroll::SUITE;
use super::refresh::{LONGEST_SLEEP, MAX_BACKOFF, MIN_PAUSE, max_backoff};
use super::{DirectoryClient, random_fraction};
use crate::{Error, KeySet, MasterId, RenewalRequest, Renewed};

/// Path at the directory.
const PATH: &str = "/v1/renew";

impl DirectoryClient {
    /// Renews what the client got at its enrolment: its pre-shared key, under the pool's current
    /// master; and, for credentials without the secret key, what the client shares with each key of
    /// the server. The server's keys are fetched first.
    ///
    /// No token is needed. The client proves its identity, and presents the pre-shared key that it
    /// has. Store what it gets before the old secrets end, and see
    /// [`keep_renewed`](Self::keep_renewed), which does all of it in time.
    ///
    /// If the directory is unreachable or unavailable, the same request is sent again, up to three
    /// times. Renewing again does no harm.
    ///
    /// # Errors
    /// The errors of [`DirectoryClient::fetch`]; [`Error::Refused`]; [`Error::NoSharedSecret`];
    /// [`Error::PskDowngrade`]; and [`Error::Protocol`] or [`Error::Syntax`] for an answer that was
    /// not made by a server of the pool.
    pub async fn renew(&self, credentials: &Credentials) -> Result<Renewed, Error> {
        self.fetch().await?;
        let (packet, pending) = self.seal_renewal(credentials)?;
        let reply = self.post_sealed(PATH, &packet, Renewed::MAX_LEN).await?;
        self.open_renewal(credentials, &pending, reply)
    }

    /// Keeps a client current, as [`keep_current`](Self::keep_current) does, and its credentials
    /// too: it renews them when the directory announces another current master than that of the
    /// client's pre-shared key, and, for credentials without the secret key, a server key that they
    /// have no shared secret for. Never returns: drop the future to stop.
    ///
    /// Renewals come at a random time, so that a fleet is spread; after failures soon, then with
    /// growing pauses. The client uses what it got at once, and `store` gets it for storage: if
    /// that fails, it is called again.
    ///
    /// `credentials` are those that the client has, and `master` is the name of the master of their
    /// pre-shared key ([`IssuedPsk`](crate::IssuedPsk)): without it, the key is renewed once.
    ///
    /// ```no_run
    /// use pssst_directory::{DirectoryClient, IssuedPsk};
    /// use pssst_net::{Client, Credentials};
    /// # async fn example(
    /// #     directory: DirectoryClient,
    /// #     identity: pssst_net::pssst::SecretKey,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    ///
    /// let IssuedPsk { psk, master } = IssuedPsk::from_pem(&std::fs::read_to_string("gauge.psk")?)?;
    /// let credentials = Credentials::new(identity).with_psk(psk);
    /// let client = Client::builder(directory.server_key()?).credentials(credentials.clone());
    /// let client = client.connect("gauges.example.com:45678").await?;
    ///
    /// let followed = client.clone();
    /// tokio::spawn(async move {
    ///     let store = async |renewed: pssst_directory::Renewed| match renewed.psk {
    ///         // As a whole or not at all: a file that is renamed, for instance.
    ///         Some(issued) => std::fs::write("gauge.psk", &*issued.expose_pem()),
    ///         None => Ok(()),
    ///     };
    ///     directory.keep_renewed(&followed, credentials, Some(master), store).await
    /// });
    /// # Ok(()) }
    /// ```
    pub async fn keep_renewed<F, S, E>(
        &self,
        client: &pssst_net::Client,
        credentials: Credentials,
        master: Option<MasterId>,
        store: F,
    ) -> Infallible
    where
        F: FnMut(Renewed) -> S,
        S: Future<Output = Result<(), E>>,
        E: Display,
    {
        tokio::select! {
            never = self.follow() => never,
            never = self.renewal_loop(client, credentials, master, store) => never,
        }
    }

    async fn renewal_loop<F, S, E>(
        &self,
        client: &pssst_net::Client,
        mut credentials: Credentials,
        mut master: Option<MasterId>,
        mut store: F,
    ) -> Infallible
    where
        F: FnMut(Renewed) -> S,
        S: Future<Output = Result<(), E>>,
        E: Display,
    {
        let mut documents = self.watch();
        let mut renewal = Attempts::default();
        let mut storage = Attempts::default();
        let mut unsaved = None;
        loop {
            documents.mark_unchanged();
            self.set_current_key(client);
            renewal.plan(self.time_to_renew(&credentials, master));
            if renewal.is_due() {
                match self.try_renew(&credentials).await {
                    Ok(renewed) => {
                        credentials = self.prune(client, renewed.apply_to(credentials));
                        master = renewed.psk.as_ref().map(|issued| issued.master);
                        match client.set_credentials(credentials.clone()) {
                            Ok(()) => {
                                let master = master.as_ref().map(tracing::field::display);
                                tracing::info!(master, "the client's secrets were renewed");
                            }
                            Err(error) => tracing::error!(%error, "the renewed secrets cannot be used"),
                        }
                        unsaved = Some(renewed);
                        storage = Attempts::now();
                        // Otherwise the directory that answered lags behind the document.
                        if self.time_to_renew(&credentials, master).is_none() {
                            renewal = Attempts::default();
                            self.set_current_key(client);
                        } else {
                            renewal.retry(self.interval());
                        }
                    }
                    Err(error) => {
                        let pause = renewal.retry(self.interval());
                        tracing::warn!(%error, ?pause, "cannot renew the client's secrets at the directory");
                    }
                }
            }
            if let Some(renewed) = unsaved.take_if(|_| storage.is_due())
                && let Err(error) = store(Renewed::clone(&renewed)).await
            {
                let pause = storage.retry(self.interval());
                tracing::error!(%error, ?pause, "the renewed secrets cannot be stored: a restart or a reload would lose them");
                unsaved = Some(renewed);
            }
            if unsaved.is_none() {
                storage = Attempts::default();
            }
            let pauses = [renewal.pause(), storage.pause(), Some(self.until_switch())];
            let pause = pauses.into_iter().flatten().min().unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP);
            tokio::select! {
                changed = documents.changed() => drop(changed),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Renews with the document that is there, and once.
    async fn try_renew(&self, credentials: &Credentials) -> Result<Renewed, Error> {
        let (packet, pending) = self.seal_renewal(credentials)?;
        let reply = self.try_sealed(PATH, &packet, Renewed::MAX_LEN).await?;
        self.open_renewal(credentials, &pending, reply)
    }

    /// Seals for the first key of the pool that the client can authenticate towards.
    fn seal_renewal(&self, credentials: &Credentials) -> Result<(Vec<u8>, pssst::PendingReply), Error> {
        let current = self.current().ok_or(Error::NoCurrentKey)?;
        let keys = current.document.renewal_keys(current.clock.now(&self.shared.clock));
        if keys.is_empty() {
            return Err(Error::NoCurrentKey);
        }
        let mut keys = keys.into_iter().map(ServerKey::from);
        let key = keys.find(|key| credentials.has_secret_for(&key.hash())).ok_or(Error::NoSharedSecret)?;
        // [R-50]
        let client = credentials.identify(pssst::Client::new(key.clone())?.with_suite(SUITE)?, &key)?;
        let request =
            RenewalRequest { psk: credentials.psk().cloned(), wants_shared_secrets: !credentials.has_secret_key() };
        Ok(client.seal_request_to_vec(&mut SysRng, &request.to_json())?)
    }

    fn open_renewal(
        &self,
        credentials: &Credentials,
        pending: &pssst::PendingReply,
        reply: Vec<u8>,
    ) -> Result<Renewed, Error> {
        // Once it is open, the secrets are in it.
        let mut reply = Zeroizing::new(reply);
        let renewed = Renewed::parse(pending.open(&mut reply)?)?;
        if renewed.key != credentials.client_key() {
            return Err(Error::Syntax("secrets of this client"));
        }
        // Storing it would lose the identity.
        if !credentials.has_secret_key() && renewed.shared_secrets.is_empty() {
            return Err(Error::Syntax("shared secrets of this client"));
        }
        if credentials.psk().is_some() && renewed.psk.is_none() && !self.shared.allows_downgrade {
            return Err(Error::PskDowngrade);
        }
        Ok(renewed)
    }

    /// Returns the time within which these credentials are to be renewed; `None` while they need
    /// not be.
    fn time_to_renew(&self, credentials: &Credentials, master: Option<MasterId>) -> Option<Duration> {
        let current = self.current()?;
        let now = current.clock.now(&self.shared.clock);
        time_to_renew(&current.document, now, credentials, master, self.shared.allows_downgrade)
    }

    /// Leaves out the shared secrets for keys that are over.
    fn prune(&self, client: &pssst_net::Client, credentials: Credentials) -> Credentials {
        let Some(current) = self.current() else { return credentials };
        let used = client.server_key().hash();
        let mut kept: Vec<_> = current.document.keys.iter().map(|key| key.key.hash()).collect();
        kept.push(used);
        credentials.retain_shared_secrets(|hash| kept.contains(hash))
    }

    fn interval(&self) -> Option<Duration> {
        self.current().map(|current| interval(&current.document))
    }
}

/// Returns the time within which credentials are to be renewed, at a random moment; `None` while
/// they need not be.
fn time_to_renew(
    document: &KeySet,
    now: Timestamp,
    credentials: &Credentials,
    master: Option<MasterId>,
    allows_downgrade: bool,
) -> Option<Duration> {
    // A failure or two must have time as well.
    let before = |end: Timestamp| Duration::try_from(end.duration_since(now)).unwrap_or_default() / 4;
    let whole = interval(document) / 2;
    let psk = credentials.psk().and_then(|_| match document.current_psk_master(now) {
        Some(current) if master == Some(current) => None,
        None if !allows_downgrade => None,
        _ => {
            let mine = document.psk_masters.iter().find(|it| Some(it.id) == master);
            Some(mine.and_then(|it| it.not_after).map_or(whole, before))
        }
    });
    let missing = document.accepted_keys(now).filter(|key| !credentials.has_secret_for(&key.key.hash()));
    let shared_secrets = missing.map(|key| before(key.not_before)).min();
    psk.into_iter().chain(shared_secrets).min().map(|time| time.min(whole))
}

/// From issue to the time to refresh.
fn interval(document: &KeySet) -> Duration {
    Duration::try_from(document.refresh_at.duration_since(document.issued)).unwrap_or_default()
}

/// When something is tried next.
#[derive(Default)]
struct Attempts {
    due: Option<Instant>,
    backoff: Option<Backoff>,
}

impl Attempts {
    fn now() -> Self {
        Self { due: Some(Instant::now()), backoff: None }
    }

    /// Begins at a random moment within a time; ends without one. A time that is shorter than
    /// before brings it forward, unless it has failed.
    fn plan(&mut self, within: Option<Duration>) {
        match within {
            None => *self = Self::default(),
            Some(within) if self.backoff.is_none() => {
                let latest = Instant::now() + within;
                if self.due.is_none_or(|due| due > latest) {
                    self.due = Some(Instant::now() + within.mul_f64(random_fraction()));
                }
            }
            Some(_) => {}
        }
    }

    fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }

    /// Returns the pause until the next attempt, after one that failed.
    fn retry(&mut self, interval: Option<Duration>) -> Duration {
        let backoff = self.backoff.get_or_insert_with(|| Backoff::new(MIN_PAUSE, MAX_BACKOFF));
        backoff.set_max(max_backoff(interval));
        let pause = backoff.next_delay_with(random_fraction());
        self.due = Some(Instant::now() + pause);
        pause
    }

    fn pause(&self) -> Option<Duration> {
        self.due.map(|due| due.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use pssst::{PreSharedKey, PublicKey, SecretKey, Suite};

    use super::*;
    use crate::{KeyState, PublishedKey, PublishedMaster};

    const SUITES: [Suite; 1] = [Suite::X25519Aes256GcmSiv];
    const SECOND: Duration = Duration::from_secs(1);

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_bytes([seed; 32]).public_key()
    }

    /// The second key and the second master are used from 1000 on, the first ones end at 2000.
    fn document() -> KeySet {
        let published = |seed, state, from, until| PublishedKey::new(key(seed), &SUITES, state, time(from), until);
        let keys = vec![published(1, KeyState::Current, 0, Some(time(2000))), published(2, KeyState::Next, 1000, None)];
        let master = |id: u8, state, from, until| PublishedMaster::new([id; 8], state, time(from), until);
        let masters = vec![master(1, KeyState::Current, 0, Some(time(2000))), master(2, KeyState::Next, 1000, None)];
        KeySet::new(1, time(0), time(1200), &SUITES, keys).with_psk_masters(masters)
    }

    fn psk() -> PreSharedKey {
        PreSharedKey::from_bytes([7; 32])
    }

    #[test]
    fn a_pre_shared_key_is_renewed_when_its_master_is_not_current_any_more() {
        let credentials = Credentials::new(SecretKey::from_bytes([9; 32])).with_psk(psk());
        let id = |id: u8| Some(MasterId::from([id; 8]));
        for (now, master, expected) in [
            (0, id(1), None),
            (999, id(1), None),
            (1000, id(1), Some(250)),
            (1900, id(1), Some(25)),
            (1000, id(2), None),
            (3000, id(2), None),
            // Unknown ones, at any time.
            (0, None, Some(600)),
            (0, id(5), Some(600)),
            (2500, id(1), Some(0)),
        ] {
            let found = time_to_renew(&document(), time(now), &credentials, master, false);
            assert_eq!(found, expected.map(Duration::from_secs), "{now} {master:?}");
        }
        let without = credentials.clone().without_psk();
        assert_eq!(time_to_renew(&document(), time(1000), &without, None, false), None);
        // Given up.
        let given_up = KeySet { psk_masters: Vec::new(), ..document() };
        let find = |allows| time_to_renew(&given_up, time(0), &credentials, id(1), allows);
        assert_eq!((find(false), find(true)), (None, Some(600 * SECOND)));
    }

    #[test]
    fn shared_secrets_are_renewed_before_their_key_is_used() {
        let hash = |seed| ServerKey::from(key(seed)).hash();
        let one = Credentials::precomputed(key(9)).with_shared_secret(hash(1), &[1; 32]);
        let find = |credentials, now| time_to_renew(&document(), time(now), credentials, None, false);
        assert_eq!(find(&one, 0), Some(250 * SECOND));
        assert_eq!(find(&one, 980), Some(5 * SECOND));
        assert_eq!(find(&one, 1500), Some(Duration::ZERO));
        let both = one.clone().with_shared_secret(hash(2), &[2; 32]);
        assert_eq!(find(&both, 0), None);
        // The first one is over.
        let second = Credentials::precomputed(key(9)).with_shared_secret(hash(2), &[2; 32]);
        assert_eq!((find(&second, 1999).is_some(), find(&second, 2000)), (true, None));
    }

    #[test]
    fn renewals_are_sealed_for_the_key_in_use_if_they_can_be() {
        assert_eq!(document().renewal_keys(time(500)), [key(1), key(2)]);
        assert_eq!(document().renewal_keys(time(1500)), [key(2), key(1)]);
        assert_eq!(document().renewal_keys(time(2500)), [key(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_spread_and_back_off() {
        let mut attempts = Attempts::default();
        attempts.plan(Some(1000 * SECOND));
        let first = attempts.pause().unwrap();
        attempts.plan(Some(1000 * SECOND));
        assert!(attempts.pause() == Some(first) && first <= 1000 * SECOND);
        attempts.plan(Some(SECOND / 1000));
        assert!(attempts.pause().unwrap() <= SECOND / 1000);
        tokio::time::sleep(SECOND).await;
        assert!(attempts.is_due());
        let pauses: Vec<_> = (0..4).map(|_| attempts.retry(Some(16 * SECOND))).collect();
        for (pause, step) in pauses.iter().zip([1, 2, 4, 4]) {
            assert!((step * SECOND / 2..=step * SECOND).contains(pause), "{pauses:?}");
        }
        attempts.plan(Some(Duration::ZERO));
        assert!(!attempts.is_due(), "a failed attempt waits");
        attempts.plan(None);
        assert_eq!(attempts.pause(), None);
    }
}
