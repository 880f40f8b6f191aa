//! Secrets of one kind that follow one another.

use jiff::Timestamp;
use pssst::{Keyring, PskMaster, PublicKey, SecretKey, Server, XWingPublicKey, XWingSecretKey};
use pssst_directory::KeyState;

use crate::Error;

const MILLISECOND: jiff::SignedDuration = jiff::SignedDuration::from_millis(1);

/// A secret of a schedule.
pub(crate) trait Secret: Clone + Eq + std::fmt::Debug {
    /// What everyone may see of it.
    type Public: Clone + Eq + std::fmt::Debug;

    /// The most that a server holds at a time.
    const CAPACITY: usize;

    fn public(&self) -> Self::Public;
}

impl Secret for SecretKey {
    type Public = PublicKey;

    const CAPACITY: usize = Keyring::CAPACITY;

    fn public(&self) -> PublicKey {
        self.public_key()
    }
}

impl Secret for XWingSecretKey {
    type Public = XWingPublicKey;

    const CAPACITY: usize = Keyring::CAPACITY;

    fn public(&self) -> XWingPublicKey {
        self.public_key()
    }
}

impl Secret for PskMaster {
    type Public = [u8; 8];

    const CAPACITY: usize = Server::MAX_PSK_MASTERS;

    fn public(&self) -> [u8; 8] {
        self.id()
    }
}

/// The end of a kind of secrets that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retirement {
    /// When the last of them ends.
    pub ends_at: Timestamp,
    /// Whether the schedule was changed; `false` if it had them end by then already.
    pub is_new: bool,
}

/// Secrets by the times from which they are used: each ends after its successor has begun, and the
/// last may have no end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sequence<S: Secret> {
    entries: Vec<Entry<S>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry<S: Secret> {
    pub(super) secret: S,
    pub(super) public: S::Public,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Option<Timestamp>,
}

/// A secret that is in use, as everyone may see it.
pub(super) struct InUse<P> {
    pub(super) public: P,
    pub(super) state: KeyState,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Option<Timestamp>,
}

impl<S: Secret> Sequence<S> {
    pub(super) const fn empty() -> Self {
        Self { entries: Vec::new() }
    }

    /// Returns a sequence with one secret, which is used from this time on.
    pub(super) fn one(secret: S, not_before: Timestamp) -> Self {
        Self { entries: vec![Entry::new(secret, not_before, None)] }
    }

    pub(super) const fn from_entries(entries: Vec<Entry<S>>) -> Self {
        Self { entries }
    }

    pub(super) fn entries(&self) -> &[Entry<S>] {
        &self.entries
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the place of the current secret: the latest that is in force.
    fn current(&self, now: Timestamp) -> Option<usize> {
        let place = self.entries.iter().rposition(|entry| entry.not_before <= now)?;
        self.entries.get(place).filter(|entry| !entry.is_over(now)).map(|_| place)
    }

    /// Returns the place of the current secret, or else of the first one: for keys, which a pool
    /// always has.
    fn current_or_first(&self, now: Timestamp) -> usize {
        self.current(now).unwrap_or(0)
    }

    /// Returns the current secret.
    pub(super) fn current_secret(&self, now: Timestamp) -> Option<&S> {
        self.current(now).and_then(|place| self.entries.get(place)).map(|entry| &entry.secret)
    }

    /// Returns whether a successor of the current secret is there already.
    pub(super) fn has_next(&self, now: Timestamp) -> bool {
        let first_later = self.entries.iter().position(|entry| entry.not_before > now);
        // Of keys the first is current before its time.
        first_later.is_some_and(|place| place > 0 || self.entries.len() > 1)
    }

    /// Returns what is in use, by the times from which it is. What is over is left out. With
    /// `first_is_current` there is a current one at every time.
    pub(super) fn in_use(&self, now: Timestamp, first_is_current: bool) -> impl Iterator<Item = InUse<S::Public>> {
        let current = if first_is_current { Some(self.current_or_first(now)) } else { self.current(now) };
        let entries = self.entries.iter().enumerate().filter(move |(_, entry)| !entry.is_over(now));
        entries.map(move |(place, entry)| InUse {
            public: entry.public.clone(),
            state: match current {
                Some(current) if place < current => KeyState::Previous,
                Some(current) if place == current => KeyState::Current,
                // Without a current one, those that have begun are over soon.
                None if entry.not_before <= now => KeyState::Previous,
                _ => KeyState::Next,
            },
            not_before: entry.not_before,
            not_after: entry.not_after,
        })
    }

    /// Returns the secrets that a server holds: the current one first, since most clients use it,
    /// then the next one, then those before, the latest first.
    pub(super) fn held(&self, now: Timestamp) -> impl Iterator<Item = &S> {
        self.held_entries(now).map(|entry| &entry.secret)
    }

    /// Returns the entries of what a server holds, in the same order.
    pub(super) fn held_entries(&self, now: Timestamp) -> impl Iterator<Item = &Entry<S>> {
        let (previous, rest) = self.entries.split_at(self.current_or_first(now).min(self.entries.len()));
        let previous = previous.iter().rev();
        rest.iter().chain(previous).filter(move |entry| !entry.is_over(now))
    }

    /// Adds a secret that is current from `not_before` on; the one before ends at `not_after`. What
    /// is over is removed.
    pub(super) fn rotate(&mut self, secret: S, now: Timestamp, not_before: Timestamp, not_after: Timestamp) {
        self.entries.retain(|entry| !entry.is_over(now));
        self.end(not_after);
        self.entries.push(Entry::new(secret, not_before, None));
    }

    /// Returns whether there is a secret that is not over and has no end: the kind is not given up.
    pub(super) fn continues(&self, now: Timestamp) -> bool {
        self.is_in_use(now) && self.entries.last().is_some_and(|last| last.not_after.is_none())
    }

    /// Returns whether there is a secret that is not over.
    pub(super) fn is_in_use(&self, now: Timestamp) -> bool {
        self.entries.iter().any(|entry| !entry.is_over(now))
    }

    /// Replaces all secrets by a new one that is current at once. The one that was current stays
    /// until `not_after`, where there is one.
    pub(super) fn replace(&mut self, secret: S, now: Timestamp, not_after: Option<Timestamp>) -> Result<(), Error> {
        let public = secret.public();
        if self.entries.iter().any(|entry| entry.public == public) {
            return Err(Error::InvalidSchedule("a key occurs twice"));
        }
        let current = self.current(now).and_then(|place| self.entries.get(place).cloned());
        self.entries = current
            .zip(not_after)
            .into_iter()
            .map(|(entry, end)| Entry {
                not_before: entry.not_before.min(now - MILLISECOND),
                not_after: Some(end.max(now)),
                ..entry
            })
            .collect();
        self.entries.push(Entry::new(secret, now, None));
        Ok(())
    }

    /// Has all that is in use end by `not_after`, without a successor. Returns when the last one
    /// ends, and whether that changed anything.
    pub(super) fn retire(&mut self, now: Timestamp, not_after: Timestamp) -> Retirement {
        let goes_on = |entry: &Entry<S>| entry.not_before > now || entry.not_after.is_none_or(|end| end > not_after);
        if !self.entries.iter().any(goes_on) {
            let ends_at = self.entries.iter().filter_map(|entry| entry.not_after).max().unwrap_or(not_after);
            return Retirement { ends_at, is_new: false };
        }
        self.entries.retain(|entry| !entry.is_over(now) && entry.not_before <= now);
        for entry in &mut self.entries {
            entry.end(not_after);
        }
        Retirement { ends_at: not_after, is_new: true }
    }

    /// Has the last secret end, unless it ends already.
    pub(super) fn end(&mut self, not_after: Timestamp) {
        if let Some(last) = self.entries.last_mut() {
            last.end(not_after);
        }
    }

    /// Returns the times at which a state changes.
    pub(super) fn changes(&self, first_is_current: bool) -> impl Iterator<Item = Timestamp> {
        let beginnings = self.entries.iter().skip(usize::from(first_is_current)).map(|entry| entry.not_before);
        beginnings.chain(self.entries.iter().filter_map(|entry| entry.not_after))
    }

    /// Checks that the secrets follow one another without a gap.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.entries.len() > S::CAPACITY {
            return Err(Error::InvalidSchedule(
                "a server holds at most 4 keys of a kind and 2 masters: wait until an old one has expired",
            ));
        }
        for (place, entry) in self.entries.iter().enumerate() {
            let later = self.entries.iter().skip(place + 1);
            if later.clone().any(|other| other.public == entry.public) {
                return Err(Error::InvalidSchedule("a key occurs twice"));
            }
            let successor = later.map(|other| other.not_before).next();
            if successor.is_some_and(|successor| successor <= entry.not_before) {
                return Err(Error::InvalidSchedule("the keys are not in the order of their times"));
            }
            let is_gapless = entry.not_after.zip(successor).is_some_and(|(end, successor)| end >= successor);
            if successor.is_some() && !is_gapless {
                return Err(Error::InvalidSchedule("a key must end when its successor is used, or later"));
            }
        }
        Ok(())
    }
}

impl<S: Secret> Entry<S> {
    pub(super) fn new(secret: S, not_before: Timestamp, not_after: Option<Timestamp>) -> Self {
        Self { public: secret.public(), secret, not_before, not_after }
    }

    fn end(&mut self, not_after: Timestamp) {
        self.not_after = Some(self.not_after.map_or(not_after, |end| end.min(not_after)));
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.not_after.is_some_and(|end| end <= now)
    }
}
