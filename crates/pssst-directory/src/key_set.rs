//! The document that tells clients the server's public keys.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};
use pssst::{PublicKey, ServerKey, Suite, SuiteSet};
use pssst_support::named_enum;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{Error, MasterId};

const VERSION: u32 = 1;
const MAX_KEYS: usize = 16;
/// Largest integer that every JSON parser reads exactly (RFC 8259, section 6).
const MAX_GENERATION: u64 = (1 << 53) - 1;
const MAX_INTERVAL: SignedDuration = SignedDuration::from_hours(366 * 24);

named_enum! {
    /// State of a key: `next -> current -> previous`.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    #[non_exhaustive]
    pub enum KeyState {
        /// Servers accept it already; clients use it from its time on.
        Next => "next",
        /// Clients use it.
        Current => "current",
        /// Servers still accept it, for clients that do not know its successor yet.
        Previous => "previous",
    }
}

/// A key of the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PublishedKey {
    /// The key, of the kind that its suites need.
    pub key: ServerKey,
    /// The suites that servers accept with it, those that this version knows.
    #[serde(with = "suite_list")]
    pub suites: Vec<Suite>,
    /// State when the document was issued.
    pub state: KeyState,
    /// Time from which on clients use it.
    pub not_before: Timestamp,
    /// Time until which servers accept it; `None` while no successor is known.
    pub not_after: Option<Timestamp>,
}

impl PublishedKey {
    /// Returns a key with its suites, state and times.
    pub fn new(
        key: impl Into<ServerKey>,
        suites: &[Suite],
        state: KeyState,
        not_before: Timestamp,
        not_after: Option<Timestamp>,
    ) -> Self {
        Self { key: key.into(), suites: suites.to_vec(), state, not_before, not_after }
    }

    fn is_in_force(&self, now: Timestamp) -> bool {
        self.not_before <= now && self.not_after.is_none_or(|end| now < end)
    }
}

/// A master of pre-shared keys that the document announces: a client whose own is of another one
/// renews it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PublishedMaster {
    /// Name of the master ([`pssst::PskMaster::id`]).
    pub id: MasterId,
    /// State when the document was issued.
    pub state: KeyState,
    /// Time from which on pre-shared keys are issued under it.
    pub not_before: Timestamp,
    /// Time until which servers accept them; `None` while no successor is known.
    pub not_after: Option<Timestamp>,
}

impl PublishedMaster {
    /// Returns a master with its state and times.
    pub fn new(id: impl Into<MasterId>, state: KeyState, not_before: Timestamp, not_after: Option<Timestamp>) -> Self {
        Self { id: id.into(), state, not_before, not_after }
    }
}

/// A key of the server and the suite to use with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a key and a suite are what a request needs")]
pub struct CurrentKey {
    /// The server's key.
    pub key: ServerKey,
    /// The suite.
    pub suite: Suite,
}

/// The server keys of a pool, as clients get them.
///
/// ```
/// use pssst_directory::KeySet;
///
/// let document = KeySet::parse(br#"{
///     "version": 1,
///     "generation": 7,
///     "issued": "2026-03-01T12:00:00Z",
///     "refresh_at": "2026-03-01T13:00:00Z",
///     "suites": ["0xf002", "0x0001"],
///     "keys": [{
///         "key": "dd2991b0a65a9962ffaae24516308f514901b6b186b6ac6ffa48cdea5d55c317",
///         "suites": ["0xf002", "0x0001"],
///         "state": "current",
///         "not_before": "2026-01-01T00:00:00Z",
///         "not_after": null
///     }]
/// }"#)?;
/// assert_eq!(document.current_key(document.issued)?, document.keys[0].key);
/// # Ok::<(), pssst_directory::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeySet {
    /// Generation of the keys: each change of the pool's schedule increments it. Generations order
    /// documents, because clocks may be wrong; 2^53 - 1 at most.
    pub generation: u64,
    /// Time of issue.
    pub issued: Timestamp,
    /// Latest time of the client's next refresh.
    pub refresh_at: Timestamp,
    /// The suites that clients should use, the preferred one first, those that this version knows.
    pub suites: Vec<Suite>,
    /// The keys, of each kind by the times from which they are used.
    pub keys: Vec<PublishedKey>,
    /// The masters of pre-shared keys, by the times from which they are used.
    pub psk_masters: Vec<PublishedMaster>,
}

impl KeySet {
    /// Length of the longest document that is read, in bytes.
    pub const MAX_LEN: usize = 64 * 1024;

    /// Returns a document. [`parse`](Self::parse) checks whether its keys and times are consistent.
    pub fn new(
        generation: u64,
        issued: Timestamp,
        refresh_at: Timestamp,
        suites: &[Suite],
        keys: Vec<PublishedKey>,
    ) -> Self {
        Self { generation, issued, refresh_at, suites: suites.to_vec(), keys, psk_masters: Vec::new() }
    }

    /// Returns the document with these masters of pre-shared keys.
    #[must_use]
    pub fn with_psk_masters(self, psk_masters: Vec<PublishedMaster>) -> Self {
        Self { psk_masters, ..self }
    }

    /// Returns the master under which pre-shared keys are issued at this time.
    pub fn current_psk_master(&self, now: Timestamp) -> Option<MasterId> {
        let usable = self.psk_masters.iter();
        let usable = usable.filter(|it| it.not_before <= now && it.not_after.is_none_or(|end| now < end));
        usable.max_by_key(|master| master.not_before).map(|master| master.id)
    }

    /// Returns whether this document of the same generation has other keys than `older`. Keys that
    /// have expired by the time of issue may be missing.
    pub(crate) fn conflicts_with(&self, older: &Self) -> bool {
        let find = |keys: &[PublishedKey], key: &PublishedKey| {
            keys.iter().find(|other| other.key == key.key).map(|other| other.not_after)
        };
        let is_new = |key: &PublishedKey| find(&older.keys, key) != Some(key.not_after);
        let is_missing =
            |key: &PublishedKey| find(&self.keys, key).is_none() && key.not_after.is_none_or(|end| end > self.issued);
        self.keys.iter().any(is_new) || older.keys.iter().any(is_missing)
    }

    /// Reads a document. Fields that this version does not know are passed over, and so are suites,
    /// and keys that are for such suites only.
    ///
    /// # Errors
    /// [`Error::TooLong`] above [`KeySet::MAX_LEN`] bytes; [`Error::Protocol`] for a key that must
    /// not be used ([`ServerKey::validate`]); [`Error::Syntax`] for anything but a document of
    /// version 1 with 1 to 16 keys, at least one suite that this version knows, and times in their
    /// order.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > Self::MAX_LEN {
            return Err(Error::TooLong { limit: Self::MAX_LEN });
        }
        // The version first: another one may look different in all else.
        let WireVersion { version } = from_json(bytes, "a JSON document of server keys with its version")?;
        if version != VERSION {
            return Err(Error::Syntax("a document of server keys of version 1"));
        }
        let wire: Wire<WireKey> = from_json(bytes, "the fields of a document of server keys")?;
        if wire.keys.len() > MAX_KEYS || wire.psk_masters.len() > MAX_KEYS {
            return Err(Error::Syntax("at most 16 server keys, and as many masters of pre-shared keys"));
        }
        let document = Self {
            generation: wire.generation,
            issued: wire.issued,
            refresh_at: wire.refresh_at,
            suites: wire.suites,
            psk_masters: wire.psk_masters,
            keys: wire.keys.into_iter().filter_map(|WireKey(key)| key.transpose()).collect::<Result<_, _>>()?,
        };
        document.check()?;
        Ok(document)
    }

    /// Returns the document as [`KeySet::parse`] reads it.
    pub fn to_json(&self) -> String {
        let wire = Wire {
            version: VERSION,
            generation: self.generation,
            issued: self.issued,
            refresh_at: self.refresh_at,
            suites: self.suites.clone(),
            keys: self.keys.clone(),
            psk_masters: self.psk_masters.clone(),
        };
        // Strings, numbers and lists cannot fail.
        serde_json::to_string_pretty(&wire).unwrap_or_default() + "\n"
    }

    /// Returns the key that clients use at this time.
    ///
    /// # Errors
    /// The errors of [`select`](Self::select).
    pub fn current_key(&self, now: Timestamp) -> Result<ServerKey, Error> {
        let suites: Vec<_> = SuiteSet::DATAGRAM.iter().collect();
        self.select(now, &suites).map(|current| current.key)
    }

    /// Returns the key that enrolments and renewals are sealed for at this time: the latest X25519
    /// key in force, which every pool has.
    ///
    /// # Errors
    /// [`Error::NoCurrentKey`].
    pub fn enrollment_key(&self, now: Timestamp) -> Result<PublicKey, Error> {
        let usable = self
            .keys
            .iter()
            .filter(|key| key.key.has_suite(Suite::X25519Aes256GcmSivEnrollment) && key.is_in_force(now));
        let latest = usable.max_by_key(|key| key.not_before).ok_or(Error::NoCurrentKey)?;
        Ok(latest.key.x25519_part())
    }

    /// Returns whether clients of suite 0xf003 have a key that withstands quantum computers: the
    /// document prefers that suite, and has a key for it that was not over when it was issued.
    pub fn is_post_quantum(&self) -> bool {
        let is_post_quantum = |suite: &Suite| *suite == Suite::XWingAes256GcmSiv;
        let mut keys = self.keys.iter().filter(|key| key.suites.iter().any(is_post_quantum));
        self.suites.first().is_some_and(is_post_quantum)
            && keys.any(|key| key.not_after.is_none_or(|end| self.issued < end))
    }

    /// Returns whether the document's keys that withstand quantum computers are over at this time.
    pub(crate) fn has_lost_post_quantum(&self, now: Timestamp) -> bool {
        let mut keys = self.keys.iter().filter(|key| key.suites.contains(&Suite::XWingAes256GcmSiv)).peekable();
        keys.peek().is_some() && keys.all(|key| key.not_after.is_some_and(|end| end <= now))
    }

    /// Returns the suite and the key that a client uses at this time that takes these suites: the
    /// document's first suite among them with a key in force, and the latest such key.
    ///
    /// # Errors
    /// [`Error::NoCommonSuite`] when the document offers none of these suites, or else
    /// [`Error::NoCurrentKey`] when no key of such a suite is in force.
    pub fn select(&self, now: Timestamp, accepted: &[Suite]) -> Result<CurrentKey, Error> {
        let mut suites = self.suites.iter().copied().filter(|suite| accepted.contains(suite)).peekable();
        if suites.peek().is_none() {
            return Err(Error::NoCommonSuite);
        }
        let current = |suite| {
            let usable = self.keys.iter().filter(|key| key.suites.contains(&suite) && key.is_in_force(now));
            usable.max_by_key(|key| key.not_before).map(|key| CurrentKey { key: key.key.clone(), suite })
        };
        suites.find_map(current).ok_or(Error::NoCurrentKey)
    }

    /// Returns the X25519 keys that servers accept at this time, as the directory does: those that
    /// clients use first, and of these the latest first.
    pub(crate) fn renewal_keys(&self, now: Timestamp) -> Vec<PublicKey> {
        let accepted = self.accepted_keys(now);
        let mut keys: Vec<_> = accepted.filter(|key| key.key.has_suite(Suite::X25519Aes256GcmSivEnrollment)).collect();
        keys.sort_by_key(|key| Reverse((key.is_in_force(now), key.not_before)));
        keys.into_iter().map(|key| key.key.x25519_part()).collect()
    }

    /// Returns the keys that servers accept at this time, those of the next rotation too.
    pub(crate) fn accepted_keys(&self, now: Timestamp) -> impl Iterator<Item = &PublishedKey> {
        self.keys.iter().filter(move |key| key.not_after.is_none_or(|end| now < end))
    }

    /// Returns the next time at which [`KeySet::current_key`] or [`KeySet::current_psk_master`] may
    /// change.
    pub fn next_switch(&self, now: Timestamp) -> Option<Timestamp> {
        let times = self.keys.iter().map(|key| [Some(key.not_before), key.not_after]);
        let masters = self.psk_masters.iter().map(|master| [Some(master.not_before), master.not_after]);
        times.chain(masters).flatten().flatten().filter(|time| *time > now).min()
    }

    fn check(&self) -> Result<(), Error> {
        if self.generation > MAX_GENERATION {
            return Err(Error::Syntax("a generation below 2^53"));
        }
        if self.issued >= self.refresh_at || self.refresh_at.duration_since(self.issued) > MAX_INTERVAL {
            return Err(Error::Syntax("a refresh time after the time of issue, within a year"));
        }
        if self.suites.is_empty() {
            return Err(Error::Syntax("a suite that this version knows"));
        }
        if self.keys.is_empty() {
            return Err(Error::Syntax("a server key for a suite that this version knows"));
        }
        for key in &self.keys {
            key.key.validate()?;
            if !key.suites.iter().all(|suite| key.key.has_suite(*suite)) {
                return Err(Error::Syntax("a server key of the kind that its suites need"));
            }
            if key.not_after.is_some_and(|end| end <= key.not_before) {
                return Err(Error::Syntax("a server key that is used before it ends"));
            }
        }
        Ok(())
    }
}

fn from_json<'a, T: Deserialize<'a>>(bytes: &'a [u8], expected: &'static str) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|_| Error::Syntax(expected))
}

/// `None` for a suite that this version does not know.
fn suite_from_text(text: &str) -> Result<Option<Suite>, Error> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 4 && !digits.starts_with('+'));
    let number = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
    let number = number.ok_or(Error::Syntax("a suite: 0x and four hexadecimal digits"))?;
    Ok(Suite::from_number(number).ok())
}

#[derive(Deserialize)]
struct WireVersion {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Wire<K> {
    version: u32,
    generation: u64,
    issued: Timestamp,
    refresh_at: Timestamp,
    #[serde(with = "suite_list")]
    suites: Vec<Suite>,
    keys: Vec<K>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    psk_masters: Vec<PublishedMaster>,
}

/// A key of a document, or `None` if it is for unknown suites only: nothing else about it is known
/// then, not even what a key looks like.
struct WireKey(Result<Option<PublishedKey>, Error>);

impl<'de> Deserialize<'de> for WireKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Suites {
            #[serde(with = "suite_list")]
            suites: Vec<Suite>,
        }
        let value = Value::deserialize(deserializer)?;
        let known = Suites::deserialize(&value).map_err(D::Error::custom)?;
        if known.suites.is_empty() {
            return Ok(Self(Ok(None)));
        }
        Ok(Self(PublishedKey::deserialize(&value).map(Some).map_err(|_| Error::Syntax("the fields of a server key"))))
    }
}

/// Suites as `0x` and four hexadecimal digits. Those that this version does not know are passed
/// over.
mod suite_list {
    use pssst::Suite;
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(suites: &[Suite], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(suites.iter().map(|suite| format!("{:#06x}", suite.number())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Suite>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let suites = texts.iter().filter_map(|text| super::suite_from_text(text).transpose());
        suites.collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pssst::{SecretKey, XWingSecretKey};
    use serde_json::json;

    use super::*;

    const SUITES: [Suite; 2] = [Suite::X25519AesGcm128, Suite::X25519Aes256GcmSiv];

    fn key(seed: u8) -> ServerKey {
        SecretKey::from_bytes([seed; 32]).public_key().into()
    }

    fn sample() -> Value {
        json!({
            "version": 1,
            "generation": 7,
            "issued": "2026-03-01T12:00:00Z",
            "refresh_at": "2026-03-01T13:00:00Z",
            "suites": ["0xf002", "0x0001"],
            "keys": [
                { "key": format!("{:x}", key(1)), "suites": ["0xf002", "0x0001"], "state": "previous",
                  "not_before": "2026-01-01T00:00:00Z", "not_after": "2026-03-02T00:00:00Z" },
                { "key": format!("{:x}", key(2)), "suites": ["0xf002", "0x0001"], "state": "current",
                  "not_before": "2026-03-01T00:00:00Z", "not_after": "2026-03-09T00:00:00Z" },
                { "key": format!("{:x}", key(3)), "suites": ["0x0001"], "state": "next",
                  "not_before": "2026-03-08T00:00:00Z", "not_after": null },
            ],
        })
    }

    fn parse(value: &Value) -> Result<KeySet, Error> {
        KeySet::parse(value.to_string().as_bytes())
    }

    #[test]
    fn documents_survive_their_text() {
        let document = parse(&sample()).unwrap();
        assert_eq!(document.suites, [Suite::X25519Aes256GcmSiv, Suite::X25519AesGcm128]);
        assert_eq!(document.keys[2].state, KeyState::Next);
        assert_eq!(KeySet::parse(document.to_json().as_bytes()).unwrap(), document);
        assert_eq!(serde_json::from_str::<Value>(&document.to_json()).unwrap(), sample());
    }

    #[test]
    fn the_key_in_use_follows_from_the_time() {
        let document = parse(&sample()).unwrap();
        for (time, current, switch) in [
            ("2026-01-01T00:00:00Z", Some(key(1)), Some("2026-03-01T00:00:00Z")),
            ("2026-03-01T12:00:00Z", Some(key(2)), Some("2026-03-02T00:00:00Z")),
            ("2026-03-07T23:59:59.999Z", Some(key(2)), Some("2026-03-08T00:00:00Z")),
            ("2026-03-09T00:00:00Z", Some(key(3)), None),
            ("2036-03-08T00:00:00Z", Some(key(3)), None),
            ("2025-12-31T00:00:00Z", None, Some("2026-01-01T00:00:00Z")),
        ] {
            let now = time.parse().unwrap();
            assert_eq!(document.current_key(now).ok(), current, "{time}");
            assert_eq!(document.next_switch(now), switch.map(|time| time.parse().unwrap()), "{time}");
        }
        let ended = KeySet { keys: document.keys[..2].to_vec(), ..document };
        assert!(matches!(ended.current_key("2026-03-09T00:00:00Z".parse().unwrap()), Err(Error::NoCurrentKey)));
    }

    #[test]
    fn the_preferred_suite_that_has_a_key_is_used() {
        let [suite_1, ours] = SUITES;
        let document = parse(&sample()).unwrap();
        let select = |time: &str, accepted: &[Suite]| {
            document.select(time.parse().unwrap(), accepted).map(|current| (current.suite, current.key))
        };
        let now = "2026-03-07T00:00:00Z";
        assert_eq!(select(now, &SUITES).unwrap(), (ours, key(2)));
        assert_eq!(select(now, &[suite_1]).unwrap(), (suite_1, key(2)));
        // The next key is for suite 1 only: ours keeps the key before it until that ends.
        let later = "2026-03-08T12:00:00Z";
        assert_eq!(select(later, &SUITES).unwrap(), (ours, key(2)));
        assert_eq!(select(later, &[suite_1]).unwrap(), (suite_1, key(3)));
        assert_eq!(select("2026-03-09T00:00:00Z", &SUITES).unwrap(), (suite_1, key(3)));
        assert!(matches!(select("2026-03-09T00:00:00Z", &[ours]), Err(Error::NoCurrentKey)));
        assert!(matches!(select(now, &[]), Err(Error::NoCommonSuite)));
        // The document's order decides, not the client's.
        let reversed = KeySet { suites: vec![suite_1, ours], ..document.clone() };
        assert_eq!(reversed.select(now.parse().unwrap(), &[ours, suite_1]).unwrap().suite, suite_1);
    }

    /// Devices that know suite 0xf003 use its key; the others, and enrolments, use the other one.
    #[test]
    fn keys_of_both_kinds_stand_side_by_side() {
        let xwing = XWingSecretKey::from_bytes([9; 32]).public_key();
        let mut value = sample();
        value["suites"] = json!(["0xf003", "0xf002"]);
        value["keys"][2] = json!({ "key": xwing.to_string(), "suites": ["0xf003"], "state": "current",
            "not_before": "2026-03-01T00:00:00Z", "not_after": null });
        let document = parse(&value).unwrap();
        assert!(document.is_post_quantum() && !parse(&sample()).unwrap().is_post_quantum());
        let now = "2026-03-07T00:00:00Z".parse().unwrap();
        assert_eq!(document.current_key(now).unwrap(), ServerKey::from(xwing));
        assert_eq!(document.select(now, &SUITES).unwrap().key, key(2));
        assert_eq!(document.enrollment_key(now).unwrap(), key(2).x25519_part());
        assert_eq!(KeySet::parse(document.to_json().as_bytes()).unwrap(), document);
    }

    #[test]
    fn documents_of_one_generation_have_the_same_keys() {
        let document = parse(&sample()).unwrap();
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut value = sample();
            change(&mut value);
            parse(&value).unwrap().conflicts_with(&document)
        };
        assert!(!changed(&|_| ()));
        // Issued again, by a directory whose clock is behind, with another interval and suite.
        assert!(!changed(&|value| {
            value["issued"] = "2026-02-28T12:00:00Z".into();
            value["suites"] = json!(["0x0001"]);
        }));
        // The previous key has expired since.
        assert!(!changed(&|value| {
            (value["issued"], value["refresh_at"]) = ("2026-03-02T00:00:00Z".into(), "2026-03-02T01:00:00Z".into());
            value["keys"].as_array_mut().unwrap().remove(0);
        }));
        assert!(changed(&|value| drop(value["keys"].as_array_mut().unwrap().remove(0))));
        assert!(changed(&|value| value["keys"][2]["key"] = key(4).to_string().into()));
        assert!(changed(&|value| value["keys"][1]["not_after"] = "2026-03-10T00:00:00Z".into()));
    }

    #[test]
    fn later_versions_may_add_to_it() {
        let mut value = sample();
        value["later"] = json!({ "a": [1, 2] });
        value["keys"][0]["later"] = json!(null);
        value["suites"] = json!(["0xf00f", "0xf002"]);
        // A key of another kind, for suites to come.
        value["keys"][1]["suites"] = json!(["0xf00f"]);
        value["keys"][1]["key"] = "ab".repeat(1216).into();
        value["later_masters"] = json!([{ "id": "0011223344556677", "not_before": "2026-01-01T00:00:00Z" }]);
        let document = parse(&value).unwrap();
        assert_eq!(document.suites, [Suite::X25519Aes256GcmSiv]);
        assert_eq!(document.keys.iter().map(|key| key.key.clone()).collect::<Vec<_>>(), [key(1), key(3)]);
        // 16 such keys have room.
        for _ in 0..13 {
            let key = value["keys"][1].clone();
            value["keys"].as_array_mut().unwrap().push(key);
        }
        assert_eq!(parse(&value).unwrap().keys.len(), 2);
        assert!(value.to_string().len() < KeySet::MAX_LEN);
    }

    #[test]
    fn whatever_else_comes_is_refused() {
        let low_order = PublicKey::from_bytes([0; 32]).to_string();
        // Twice the order's cofactor apart from a true key's encoding: its top bit.
        let mut alias = *key(1).x25519_part().as_bytes();
        alias[31] |= 0x80;
        let alias = PublicKey::from_bytes(alias).to_string();
        for (pointer, wrong) in [
            ("/version", json!(2)),
            ("/version", json!("1")),
            ("/issued", json!("2026-03-01T13:00:00Z")),
            ("/issued", json!("2024-03-01T13:00:00Z")),
            ("/issued", json!(12)),
            ("/refresh_at", json!("tomorrow")),
            ("/suites", json!([])),
            ("/suites", json!(["0xffff"])),
            ("/suites/0", json!("f001")),
            ("/suites/0", json!("0x+001")),
            ("/suites/0", json!("0x1")),
            ("/keys", json!([])),
            ("/keys", Value::Array(vec![sample()["keys"][0].clone(); 17])),
            ("/keys/0/key", json!(low_order)),
            ("/keys/0/key", json!(alias)),
            ("/keys/0/key", json!("00")),
            ("/keys/0/state", json!("retired")),
            ("/keys/0/not_after", json!("2026-01-01T00:00:00Z")),
            ("/keys/0/not_before", json!(null)),
            ("/keys/0/suites", json!(["0xf003"])),
            ("/keys/0/suites", json!(null)),
            ("/keys/0/suites", json!(["f001"])),
        ] {
            let mut value = sample();
            *value.pointer_mut(pointer).unwrap() = wrong.clone();
            assert!(parse(&value).is_err(), "{pointer} {wrong}");
        }
        let mut long = sample();
        long["later"] = json!("x".repeat(KeySet::MAX_LEN));
        assert!(matches!(parse(&long), Err(Error::TooLong { limit: KeySet::MAX_LEN })));
    }

    proptest! {
        #[test]
        fn no_bytes_disturb_it(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(KeySet::parse(&bytes).is_err());
        }

        #[test]
        fn no_change_disturbs_it(place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let mut text = sample().to_string().into_bytes();
            let place = place.index(text.len());
            text[place] = byte;
            drop(KeySet::parse(&text));
            drop(KeySet::parse(&text[..cut.index(text.len())]));
        }
    }
}
