//! The schedule of a pool's secret keys, which directory and servers share in a file or a secret
//! mount.

use std::cmp::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use pssst::{Keyring, PublicKey, SecretKey, Suite, SuiteSet};

use crate::Error;
use pssst_directory::{KeySet, KeyState, PublishedKey};

mod text;

/// The secret keys of a pool of servers with their times.
///
/// Keys follow one another without a gap: each key but the last ends after its successor has begun,
/// and the last has no end. So there is exactly one current key at any time; before all times it is
/// the first.
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
/// JSON, with the keys by their times:
///
/// ```json
/// {
///   "version": 1,
///   "generation": 1,
///   "refresh_interval_seconds": 3600,
///   "keys": [
///     { "secret": "(64 hexadecimal digits)", "not_before": "2026-01-01T00:00:00Z", "not_after": "2026-03-02T00:10:00Z" },
///     { "secret": "(64 hexadecimal digits)", "not_before": "2026-03-01T00:10:00Z", "not_after": null }
///   ]
/// }
/// ```
///
/// ```
/// use std::time::Duration;
/// use pssst_directory::KeyState;
/// use pssst_directory_server::Schedule;
/// use pssst_directory::jiff::Timestamp;
/// # use pssst_identity::pssst::{SecretKey, SysRng};
///
/// let now = Timestamp::now();
/// let mut schedule = Schedule::new(SecretKey::generate(&mut SysRng)?, now);
/// let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
/// schedule.rotate(SecretKey::generate(&mut SysRng)?, now, 10 * minute, day)?;
///
/// let states = |time| schedule.keys(time).map(|key| key.state).collect::<Vec<_>>();
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
    /// By `not_before`, never empty.
    keys: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    secret: SecretKey,
    public: PublicKey,
    not_before: Timestamp,
    not_after: Option<Timestamp>,
}

impl Schedule {
    /// Length of the longest file that is read, in bytes.
    pub const MAX_LEN: usize = 64 * 1024;

    /// Returns a schedule with one key, which is used from now on.
    pub fn new(secret: SecretKey, now: Timestamp) -> Self {
        let keys = vec![Entry::new(secret, to_milliseconds(now), None)];
        Self { generation: 0, refresh_interval: Duration::from_hours(1), keys }
    }

    /// Returns its generation: 0 for a new schedule, and one more after each change.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Replaces all keys by `secret`, at once: the answer to a stolen key. Servers refuse the old
    /// keys as soon as they have the new schedule, and clients are served when they have fetched
    /// it.
    ///
    /// # Errors
    /// [`Error::InvalidSchedule`] for a key that is in it already, and after the last generation.
    /// Nothing is changed then.
    pub fn replace_compromised(&mut self, secret: SecretKey, now: Timestamp) -> Result<PublicKey, Error> {
        let entry = Entry::new(secret, to_milliseconds(now), None);
        let public = entry.public;
        if self.keys.iter().any(|key| key.public == public) {
            return Err(Error::InvalidSchedule("a key occurs twice"));
        }
        *self = Self { generation: next(self.generation)?, keys: vec![entry], ..*self };
        Ok(public)
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

    /// Starts a rotation: `secret` becomes current at `now + activation_delay`, and the present key
    /// is accepted until `grace_period` after that. Expired keys are removed.
    ///
    /// # Errors
    /// [`Error::RotationUnderWay`] while there is a next key already. [`Error::InvalidSchedule`]
    /// when activation delay and grace period together are less than twice the [refresh
    /// interval](Schedule::refresh_interval), when they are longer than 90 and 400 days, when
    /// servers would have to hold more than [`Keyring::CAPACITY`] keys, and for a key that is in it
    /// already. Nothing is changed then.
    pub fn rotate(
        &mut self,
        secret: SecretKey,
        now: Timestamp,
        activation_delay: Duration,
        grace_period: Duration,
    ) -> Result<PublicKey, Error> {
        const TOO_LONG: Error =
            Error::InvalidSchedule("the activation delay is at most 90 days, and the grace period at most 400 days");
        let now = to_milliseconds(now);
        if self.keys.len() > self.current(now) + 1 {
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
        let not_before = to_milliseconds(now.checked_add(activation_delay).map_err(|_| TOO_LONG)?);
        let not_after = to_milliseconds(now.checked_add(accepted).map_err(|_| TOO_LONG)?);

        let mut rotated = self.clone();
        rotated.keys.retain(|key| !key.is_over(now));
        if let Some(current) = rotated.keys.last_mut() {
            current.not_after = Some(not_after);
        }
        let entry = Entry::new(secret, not_before, None);
        let public = entry.public;
        rotated.keys.push(entry);
        rotated.generation = next(self.generation)?;
        rotated.check()?;
        *self = rotated;
        Ok(public)
    }

    /// Returns the keys that servers accept now, by the times from which they are used. What is
    /// over is left out.
    pub fn keys(&self, now: Timestamp) -> impl Iterator<Item = PublishedKey> {
        let current = self.current(now);
        let keys = self.keys.iter().enumerate().filter(move |(_, key)| !key.is_over(now));
        keys.map(move |(place, key)| {
            let state = match place.cmp(&current) {
                Ordering::Less => KeyState::Previous,
                Ordering::Equal => KeyState::Current,
                Ordering::Greater => KeyState::Next,
            };
            PublishedKey::new(key.public, &Suite::ALL, state, key.not_before, key.not_after)
        })
    }

    /// Returns the keys that a server accepts now: the current key first, since most clients use
    /// it, then the next one, then those before, the latest first.
    ///
    /// # Errors
    /// None as long as a keyring holds [`Keyring::CAPACITY`] keys, which a schedule never exceeds.
    pub fn keyring(&self, now: Timestamp) -> Result<Keyring, Error> {
        let (previous, rest) = self.keys.split_at(self.current(now));
        let previous = previous.iter().rev().filter(|key| !key.is_over(now));
        let mut secrets = rest.iter().chain(previous).map(|key| key.secret.clone());
        let first = secrets.next().ok_or(Error::NoCurrentKey)?;
        Ok(secrets.try_fold(Keyring::new(first), Keyring::with_key)?)
    }

    /// Returns a server with the keys that it holds now, for a [`pssst_net::ServerConfig`].
    ///
    /// # Errors
    /// The errors of [`Schedule::keyring`].
    pub fn server(&self, now: Timestamp, suites: SuiteSet) -> Result<pssst::Server, Error> {
        Ok(pssst::Server::new(self.keyring(now)?).with_suites(suites))
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
        let mut keys: Vec<_> = self.keys(now).collect();
        for key in &mut keys {
            key.suites = suites.to_vec();
        }
        // With a clock that is behind, servers are at the first key before its time, and so are
        // clients.
        if let Some(key) = keys.first_mut().filter(|key| key.state == KeyState::Current) {
            key.not_before = key.not_before.min(issued);
        }
        Ok(KeySet::new(self.generation, issued, to_milliseconds(refresh_at), suites, keys))
    }

    /// Returns the time of the next change of a key's state.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        // The first key is current before its time already.
        let beginnings = self.keys.iter().skip(1).map(|key| key.not_before);
        beginnings.chain(self.keys.iter().filter_map(|key| key.not_after)).filter(|time| *time > now).min()
    }

    /// Returns the place of the current key: the latest that is in force, or else the first.
    fn current(&self, now: Timestamp) -> usize {
        self.keys.iter().rposition(|key| key.not_before <= now).unwrap_or(0)
    }

    fn check(&self) -> Result<(), Error> {
        let Some(last) = self.keys.last() else { return Err(Error::InvalidSchedule("there is no key")) };
        if last.not_after.is_some() {
            return Err(Error::InvalidSchedule("the last key has an end, and no successor"));
        }
        if self.keys.len() > Keyring::CAPACITY {
            return Err(Error::InvalidSchedule("a server holds at most 4 keys: wait until an old one has expired"));
        }
        for (place, key) in self.keys.iter().enumerate() {
            let later = self.keys.iter().skip(place + 1);
            if later.clone().any(|other| other.public == key.public) {
                return Err(Error::InvalidSchedule("a key occurs twice"));
            }
            let successor = later.map(|other| other.not_before).next();
            if successor.is_some_and(|successor| successor <= key.not_before) {
                return Err(Error::InvalidSchedule("the keys are not in the order of their times"));
            }
            let is_gapless = key.not_after.zip(successor).is_some_and(|(end, successor)| end >= successor);
            if successor.is_some() && !is_gapless {
                return Err(Error::InvalidSchedule("a key must end when its successor is used, or later"));
            }
        }
        Ok(())
    }
}

impl Entry {
    fn new(secret: SecretKey, not_before: Timestamp, not_after: Option<Timestamp>) -> Self {
        Self { public: secret.public_key(), secret, not_before, not_after }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.not_after.is_some_and(|end| end <= now)
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
