//! The schedule of a pool's secret keys, which directory and servers share in a file or a secret
//! mount.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use pssst::{Keyring, PskMaster, PublicKey, SecretKey, ServerKey, Suite, SuiteSet, XWingSecretKey};

use crate::Error;
use pssst_directory::{IssuedSecret, KeySet, KeyState, PublishedKey, PublishedMaster};
pub use sequence::Retirement;
use sequence::{InUse, Sequence};

mod sequence;
mod text;

/// The secret keys of a pool of servers with their times.
///
/// There are up to three kinds of secrets: X25519 keys, which every pool has; X-Wing keys, for
/// suite 0xf003; and masters of pre-shared keys. Those of a kind follow one another without a gap:
/// each but the last ends after its successor has begun, and the last X25519 key has no end. So
/// there is exactly one current X25519 key at any time; before all times it is the first.
///
/// # No client is lost
///
/// A client refreshes its keys within the refresh interval, one hour by default
/// ([`Schedule::with_refresh_interval`]). A client that refreshed just before a rotation started
/// does not know the new key until then, so the old one must be accepted that long;
/// [`Schedule::rotate`] asks for twice as long, so that a client may miss a whole refresh.
///
/// The activation delay is for the servers: the file must reach all of them within it, and it must
/// exceed the difference of their clocks. A server polls its file every second; a secret mount may
/// take minutes to show new contents.
///
/// [`Schedule::replace_compromised`] answers the theft of a key: servers refuse it from then on.
///
/// # Generations
///
/// Every change increments the generation, and clients refuse documents of an older generation than
/// they have. So a directory that lags behind, or one of a thief, cannot bring an old key back. A
/// schedule from a backup needs [`Schedule::take_over`].
///
/// # The file
///
/// JSON, with the secrets of each kind by their times; `xwing_keys` and `psk_masters` may be
/// missing:
///
/// ```json
/// {
///   "version": 1,
///   "generation": 1,
///   "refresh_interval_seconds": 3600,
///   "keys": [
///     { "secret": "PSSST-SECRET-KEY-1…", "not_before": "2026-01-01T00:00:00Z", "not_after": "2026-03-02T00:10:00Z" },
///     { "secret": "PSSST-SECRET-KEY-1…", "not_before": "2026-03-01T00:10:00Z", "not_after": null }
///   ],
///   "xwing_keys": [
///     { "secret": "PSSST-PQ-SECRET-KEY-1…", "not_before": "2026-01-01T00:00:00Z", "not_after": null }
///   ],
///   "psk_masters": [
///     { "secret": "PSSST-PSK-MASTER-1…", "not_before": "2026-01-01T00:00:00Z", "not_after": null }
///   ]
/// }
/// ```
///
/// ```
/// use std::time::Duration;
/// use pssst_directory::KeyState;
/// use pssst_directory_server::{NewSecrets, Schedule};
/// use pssst_directory::jiff::Timestamp;
/// # use pssst_identity::pssst::{SecretKey, Suite, SysRng};
///
/// let now = Timestamp::now();
/// let mut schedule = Schedule::new(SecretKey::generate(&mut SysRng)?, now);
/// let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
/// let new = NewSecrets::from(SecretKey::generate(&mut SysRng)?);
/// schedule.rotate(new, now, 10 * minute, day)?;
///
/// let states = |time| schedule.keys(time, &[Suite::default()]).map(|key| key.state).collect::<Vec<_>>();
/// assert_eq!(states(now), [KeyState::Current, KeyState::Next]);
/// assert_eq!(states(now + 10 * minute), [KeyState::Previous, KeyState::Current]);
/// assert_eq!(states(now + 10 * minute + day), [KeyState::Current]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    generation: u64,
    /// At least 1 s, in whole seconds.
    refresh_interval: Duration,
    /// Never empty.
    keys: Sequence<SecretKey>,
    xwing_keys: Sequence<XWingSecretKey>,
    psk_masters: Sequence<PskMaster>,
}

/// The new secrets of a rotation: of each kind one, or none where that kind stays as it is.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "callers make it")]
pub struct NewSecrets {
    /// An X25519 key.
    pub key: Option<SecretKey>,
    /// An X-Wing key.
    pub xwing_key: Option<XWingSecretKey>,
    /// A master of pre-shared keys.
    pub psk_master: Option<PskMaster>,
}

impl From<SecretKey> for NewSecrets {
    fn from(key: SecretKey) -> Self {
        Self { key: Some(key), ..Self::default() }
    }
}

/// The kinds of secrets that a pool can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionalKind {
    /// X-Wing keys: clients go back to suite 0xf002, if they are configured to.
    XWingKeys,
    /// Masters of pre-shared keys: clients that must use one are not served any more.
    PskMasters,
}

impl fmt::Display for OptionalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::XWingKeys => "keys of suite f003",
            Self::PskMasters => "masters of pre-shared keys",
        })
    }
}

impl Schedule {
    /// Length of the longest file that is read, in bytes.
    pub const MAX_LEN: usize = 64 * 1024;

    /// Returns a schedule with one X25519 key, which is used from now on.
    pub fn new(secret: SecretKey, now: Timestamp) -> Self {
        Self {
            generation: 0,
            refresh_interval: Duration::from_hours(1),
            keys: Sequence::one(secret, to_milliseconds(now)),
            xwing_keys: Sequence::empty(),
            psk_masters: Sequence::empty(),
        }
    }

    /// Returns a new schedule with an X-Wing key too, which is used from now on.
    #[must_use]
    pub fn with_xwing_key(self, secret: XWingSecretKey, now: Timestamp) -> Self {
        Self { xwing_keys: Sequence::one(secret, to_milliseconds(now)), ..self }
    }

    /// Returns a new schedule with a master of pre-shared keys too, which is used from now on.
    #[must_use]
    pub fn with_psk_master(self, master: PskMaster, now: Timestamp) -> Self {
        Self { psk_masters: Sequence::one(master, to_milliseconds(now)), ..self }
    }

    /// Returns its generation: 0 for a new schedule, and one more after each change.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Replaces all keys by new ones, at once: the answer to a stolen key. Servers refuse the old
    /// keys as soon as they have the new schedule, and clients are served when they have fetched
    /// it.
    ///
    /// Of each kind that the schedule [has](Self::has), a new secret is needed; X-Wing keys that
    /// are being given up end at once, masters when they would have. The current master of
    /// pre-shared keys remains valid for `psk_grace_period`, so that clients can renew theirs: the
    /// thief, who has it, lacks the new keys.
    ///
    /// # Errors
    /// [`Error::InvalidSchedule`] for a key that is in it already, without a new secret of a kind,
    /// and after the last generation. Nothing is changed then.
    pub fn replace_compromised(
        &mut self,
        new: NewSecrets,
        now: Timestamp,
        psk_grace_period: Duration,
    ) -> Result<(), Error> {
        const MISSING: Error = Error::InvalidSchedule("a new secret is needed of each kind that the schedule has");
        let now = to_milliseconds(now);
        let psk_end = now.checked_add(psk_grace_period.min(MAX_GRACE_PERIOD)).unwrap_or(now);
        let mut replaced = self.clone();
        replaced.keys.replace(new.key.ok_or(MISSING)?, now, None)?;
        if self.has(OptionalKind::XWingKeys, now) {
            replaced.xwing_keys.replace(new.xwing_key.ok_or(MISSING)?, now, None)?;
        } else {
            replaced.xwing_keys = Sequence::empty();
        }
        if self.has(OptionalKind::PskMasters, now) {
            replaced.psk_masters.replace(new.psk_master.ok_or(MISSING)?, now, Some(to_milliseconds(psk_end)))?;
        }
        replaced.generation = next(self.generation)?;
        replaced.check()?;
        *self = replaced;
        Ok(())
    }

    /// Gives a kind of secrets up: all of them end after this grace period at the latest, and there
    /// is no successor. A later rotation can begin with a new one. If they end by then already,
    /// nothing is changed.
    ///
    /// # Errors
    /// [`Error::InvalidSchedule`] when there is none, for a grace period below the refresh
    /// interval, and after the last generation. Nothing is changed then.
    pub fn retire(&mut self, kind: OptionalKind, now: Timestamp, grace_period: Duration) -> Result<Retirement, Error> {
        const NONE: Error = Error::InvalidSchedule("the schedule has no secrets of this kind");
        if grace_period < self.refresh_interval {
            return Err(Error::InvalidSchedule(
                "the grace period must be at least the refresh interval: clients learn in it that the kind is given up",
            ));
        }
        let end = to_milliseconds(now.checked_add(grace_period.min(MAX_GRACE_PERIOD)).unwrap_or(now));
        let generation = next(self.generation)?;
        let retirement = match kind {
            OptionalKind::XWingKeys if self.xwing_keys.is_in_use(now) => self.xwing_keys.retire(now, end),
            OptionalKind::PskMasters if self.psk_masters.is_in_use(now) => self.psk_masters.retire(now, end),
            OptionalKind::XWingKeys | OptionalKind::PskMasters => return Err(NONE),
        };
        if retirement.is_new {
            self.generation = generation;
        }
        Ok(retirement)
    }

    /// Sets the generation to the one after `above`, so that clients accept a schedule that was
    /// restored from a backup, or that won over another one.
    ///
    /// # Errors
    /// [`Error::InvalidSchedule`] unless `above` is at least the schedule's own generation, and
    /// after the last generation. Nothing is changed then.
    pub fn take_over(&mut self, above: u64) -> Result<(), Error> {
        if above < self.generation {
            return Err(Error::InvalidSchedule("the schedule has a higher generation already"));
        }
        self.generation = next(above)?;
        Ok(())
    }

    /// Returns the schedule with another refresh interval, which is cut to whole seconds; at least
    /// one.
    ///
    /// If the schedule is in use, do not start a rotation before the longest interval that clients
    /// know has passed.
    #[must_use]
    pub fn with_refresh_interval(self, refresh_interval: Duration) -> Self {
        Self {
            refresh_interval: Duration::from_secs(refresh_interval.as_secs().clamp(1, MAX_REFRESH_INTERVAL)),
            ..self
        }
    }

    /// Returns the longest time until clients refresh their keys.
    pub fn refresh_interval(&self) -> Duration {
        self.refresh_interval
    }

    /// Starts a rotation: the new secrets become current at `now + activation_delay`, and the
    /// present ones of their kinds are accepted until `grace_period` after that. What has expired
    /// is removed. A kind that the schedule does not have yet begins with its first secret.
    ///
    /// # Errors
    /// [`Error::RotationUnderWay`] while there is a next secret of these kinds already.
    /// [`Error::InvalidSchedule`] when activation delay and grace period together are less than
    /// twice the [refresh interval](Schedule::refresh_interval), when they are longer than 90 and
    /// 400 days, when the grace period of a master is shorter than the refresh interval, when
    /// servers would have to hold more than [`Keyring::CAPACITY`] keys of a kind or two masters,
    /// for a key that is in it already, and without any new secret. Nothing is changed then.
    pub fn rotate(
        &mut self,
        new: NewSecrets,
        now: Timestamp,
        activation_delay: Duration,
        grace_period: Duration,
    ) -> Result<(), Error> {
        const TOO_LONG: Error =
            Error::InvalidSchedule("the activation delay is at most 90 days, and the grace period at most 400 days");
        let now = to_milliseconds(now);
        let NewSecrets { key, xwing_key, psk_master } = new;
        if key.is_none() && xwing_key.is_none() && psk_master.is_none() {
            return Err(Error::InvalidSchedule("a rotation needs a new secret"));
        }
        if key.is_some() && self.keys.has_next(now)
            || xwing_key.is_some() && self.xwing_keys.has_next(now)
            || psk_master.is_some() && self.psk_masters.has_next(now)
        {
            return Err(Error::RotationUnderWay);
        }
        if activation_delay > MAX_ACTIVATION_DELAY || grace_period > MAX_GRACE_PERIOD {
            return Err(TOO_LONG);
        }
        let accepted = activation_delay.checked_add(grace_period).ok_or(TOO_LONG)?;
        if accepted < 2 * self.refresh_interval {
            return Err(Error::InvalidSchedule(
                "activation delay and grace period together must be at least twice the refresh interval, or clients would be lost",
            ));
        }
        if psk_master.is_some() && self.psk_masters.is_in_use(now) && grace_period < self.refresh_interval {
            return Err(Error::InvalidSchedule(
                "the grace period must be at least the refresh interval: clients renew their pre-shared keys in it",
            ));
        }
        let not_before = to_milliseconds(now.checked_add(activation_delay).map_err(|_| TOO_LONG)?);
        let not_after = to_milliseconds(now.checked_add(accepted).map_err(|_| TOO_LONG)?);

        let mut rotated = self.clone();
        if let Some(key) = key {
            rotated.keys.rotate(key, now, not_before, not_after);
        }
        if let Some(key) = xwing_key {
            rotated.xwing_keys.rotate(key, now, not_before, not_after);
        }
        if let Some(master) = psk_master {
            rotated.psk_masters.rotate(master, now, not_before, not_after);
        }
        rotated.generation = next(self.generation)?;
        rotated.check()?;
        *self = rotated;
        Ok(())
    }

    /// Returns the time from which on the next rotation can start: when the secrets of the last one
    /// are in force. `None`: it can start now.
    pub fn next_rotation(&self, now: Timestamp) -> Option<Timestamp> {
        let suites: Vec<_> = SuiteSet::DATAGRAM.iter().collect();
        let keys = self.keys(now, &suites).map(|key| (key.state, key.not_before));
        let masters = self.psk_masters(now).map(|master| (master.state, master.not_before));
        let next = keys.chain(masters).filter(|(state, _)| *state == KeyState::Next);
        next.map(|(_, not_before)| not_before).max()
    }

    /// Returns whether the schedule has secrets of this kind in use, and has not given them up.
    pub fn has(&self, kind: OptionalKind, now: Timestamp) -> bool {
        match kind {
            OptionalKind::XWingKeys => self.xwing_keys.continues(now),
            OptionalKind::PskMasters => self.psk_masters.continues(now),
        }
    }

    /// Returns whether the schedule lists secrets of this kind, whatever their times.
    pub const fn lists(&self, kind: OptionalKind) -> bool {
        match kind {
            OptionalKind::XWingKeys => !self.xwing_keys.is_empty(),
            OptionalKind::PskMasters => !self.psk_masters.is_empty(),
        }
    }

    /// Returns whether servers accept this X25519 key now.
    pub(crate) fn accepts(&self, key: &PublicKey, now: Timestamp) -> bool {
        self.keys.held_entries(now).any(|entry| entry.public == *key)
    }

    /// Returns the keys that servers accept now, of each kind by the times from which they are
    /// used, each with those of these suites that it is for. What is over is left out, and so are
    /// keys for none of the suites.
    pub fn keys(&self, now: Timestamp, suites: &[Suite]) -> impl Iterator<Item = PublishedKey> {
        let keys = self.keys.in_use(now, true).map(InUse::into_server_key);
        let keys = keys.chain(self.xwing_keys.in_use(now, false).map(InUse::into_server_key));
        keys.filter_map(|key| {
            let suites: Vec<_> = suites.iter().copied().filter(|suite| key.public.has_suite(*suite)).collect();
            let key = PublishedKey::new(key.public, &suites, key.state, key.not_before, key.not_after);
            (!suites.is_empty()).then_some(key)
        })
    }

    /// Returns the masters of pre-shared keys that servers hold now, by the times from which they
    /// are used: their names, not the secrets.
    pub fn psk_masters(&self, now: Timestamp) -> impl Iterator<Item = PublishedMaster> {
        let masters = self.psk_masters.in_use(now, false);
        masters.map(|master| PublishedMaster::new(master.public, master.state, master.not_before, master.not_after))
    }

    /// Returns the master that pre-shared keys are issued under now; `None` for a pool without.
    pub fn current_psk_master(&self, now: Timestamp) -> Option<&PskMaster> {
        self.psk_masters.current_secret(now)
    }

    /// Returns the masters whose pre-shared keys are accepted now: the current one first.
    pub fn accepted_psk_masters(&self, now: Timestamp) -> impl Iterator<Item = &PskMaster> {
        self.psk_masters.held(now)
    }

    /// Returns what a client with this public key shares with each server key in use.
    pub fn shared_secrets(&self, client_key: &PublicKey, now: Timestamp) -> Vec<IssuedSecret> {
        let keys = self.keys.held_entries(now).map(|entry| (ServerKey::from(entry.public), entry.secret.clone()));
        let xwing_keys = self.xwing_keys.held_entries(now);
        let keys = keys.chain(xwing_keys.map(|entry| (entry.public.clone().into(), entry.secret.x25519_part())));
        let secrets = keys.filter_map(|(server_key, scalar)| {
            // A key that is enrolled is never weak.
            let z2 = scalar.shared_secret(client_key).ok()?;
            Some(IssuedSecret::new(server_key.hash(), z2.as_bytes()))
        });
        secrets.collect()
    }

    /// Returns the keys that a server accepts now: of each kind the current key first, since most
    /// clients use it, then the next one, then those before, the latest first.
    ///
    /// # Errors
    /// None as long as a keyring holds [`Keyring::CAPACITY`] keys of each kind, which a schedule
    /// never exceeds.
    pub fn keyring(&self, now: Timestamp) -> Result<Keyring, Error> {
        let mut secrets = self.keys.held(now).cloned();
        let first = secrets.next().ok_or(Error::NoCurrentKey)?;
        let keyring = secrets.try_fold(Keyring::new(first), Keyring::with_key)?;
        Ok(self.xwing_keys.held(now).try_fold(keyring, Keyring::with_xwing_key)?)
    }

    /// Returns a server with the keys that it holds now, for a [`pssst_net::ServerConfig`].
    ///
    /// # Errors
    /// The errors of [`Schedule::keyring`].
    pub fn server(&self, now: Timestamp, suites: SuiteSet) -> Result<pssst::Server, Error> {
        let server = pssst::Server::new(self.keyring(now)?).with_suites(suites);
        Ok(server.with_psk_masters(self.psk_masters.held(now).cloned())?)
    }

    /// Returns the key set for clients now. They refresh it within `refresh_interval`, or within
    /// the schedule's [own interval](Schedule::refresh_interval) if that is shorter, since
    /// rotations count on it.
    ///
    /// # Errors
    /// [`Error::InvalidSchedule`] without a suite, and beyond the end of time.
    pub fn document(&self, now: Timestamp, refresh_interval: Duration, suites: &[Suite]) -> Result<KeySet, Error> {
        if suites.is_empty() {
            return Err(Error::InvalidSchedule("clients need a suite"));
        }
        let issued = to_milliseconds(now);
        let interval = refresh_interval.clamp(Duration::from_secs(1), self.refresh_interval);
        let refresh_at =
            issued.checked_add(interval).map_err(|_| Error::InvalidSchedule("the time to refresh is too far away"))?;
        let mut keys: Vec<_> = self.keys(now, suites).collect();
        // With a clock that is behind, servers are at the first key before its time, and so are
        // clients.
        if let Some(key) = keys.first_mut().filter(|key| key.state == KeyState::Current) {
            key.not_before = key.not_before.min(issued);
        }
        let suites: Vec<_> =
            suites.iter().copied().filter(|suite| keys.iter().any(|key| key.key.has_suite(*suite))).collect();
        let masters = self.psk_masters(now).collect();
        Ok(KeySet::new(self.generation, issued, to_milliseconds(refresh_at), &suites, keys).with_psk_masters(masters))
    }

    /// Returns the time of the next change of a secret's state.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        // The first key is current before its time already.
        let changes = self.keys.changes(true);
        let changes = changes.chain(self.xwing_keys.changes(false)).chain(self.psk_masters.changes(false));
        changes.filter(|time| *time > now).min()
    }

    fn check(&self) -> Result<(), Error> {
        let Some(last) = self.keys.entries().last() else {
            return Err(Error::InvalidSchedule("the schedule has no key"));
        };
        if last.not_after.is_some() {
            return Err(Error::InvalidSchedule("the last key has an end, and no successor"));
        }
        self.keys.check()?;
        self.xwing_keys.check()?;
        self.psk_masters.check()
    }
}

impl<P: Into<ServerKey>> InUse<P> {
    fn into_server_key(self) -> InUse<ServerKey> {
        let Self { public, state, not_before, not_after } = self;
        InUse { public: public.into(), state, not_before, not_after }
    }
}

/// Longest time until a new key is used.
const MAX_ACTIVATION_DELAY: Duration = Duration::from_hours(24 * 90);
/// Longest use of an old key after a rotation: whatever was recorded until then falls with it.
const MAX_GRACE_PERIOD: Duration = Duration::from_hours(24 * 400);

/// Seconds; less than half of the longest rotation.
const MAX_REFRESH_INTERVAL: u64 = 180 * 86_400;

/// Largest integer that every JSON parser reads exactly (RFC 8259, section 6).
const MAX_GENERATION: u64 = (1 << 53) - 1;

fn next(generation: u64) -> Result<u64, Error> {
    let next = generation.checked_add(1).filter(|next| *next <= MAX_GENERATION);
    next.ok_or(Error::InvalidSchedule("there is no generation after the last one"))
}

/// Returns the time as it is written to files.
fn to_milliseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests;
