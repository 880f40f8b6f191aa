//! An identity, and what may be said in one.

use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::Timestamp;
use pssst::PublicKey;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::state::State;

/// Length of a name at most, in bytes.
pub(crate) const MAX_NAME_LEN: usize = 128;
const MAX_LABELS: usize = 32;
const MAX_LABEL_VALUE_LEN: usize = 256;

/// Free-form labels, `name=value` each.
pub type Labels = BTreeMap<String, String>;

impl FromStr for State {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|state| state.name() == name).ok_or(Error::Syntax("enrolled, suspended or revoked"))
    }
}

/// A client, as a store knows it. Times have milliseconds.
///
/// For serde it is a map with these names: the key as 64 hexadecimal digits, times as RFC 3339 has
/// them, and nothing for a client that never expires or need not use a pre-shared key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Identity {
    /// The client's public key: canonical and of prime order, and no other identity has it.
    pub key: PublicKey,
    /// Its name: 1 to 128 bytes without white space and control characters, and no other identity
    /// has it.
    pub name: String,
    /// Up to 32 labels.
    #[serde(default)]
    pub labels: Labels,
    /// Whether it is served.
    pub state: State,
    /// When it was enrolled.
    pub created: Timestamp,
    /// Time of the last change.
    pub changed: Timestamp,
    /// Time from which on it is refused, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Whether it must use its pre-shared key: a request without is handled like that of an unknown
    /// client.
    #[serde(default, skip_serializing_if = "is_false")]
    pub requires_psk: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Identity {
    /// Returns the text that searches match: name, labels as `name=value` and the key's hexadecimal
    /// digits, one per line, in lower case.
    pub(crate) fn search_text(&self) -> String {
        let mut text = self.name.to_lowercase();
        for (name, value) in &self.labels {
            text.extend(["\n", &name.to_lowercase(), "=", &value.to_lowercase()]);
        }
        text.push('\n');
        text.push_str(&self.key.to_string());
        text
    }

    /// Returns the part of [`search_text`](Self::search_text) that only clients with this label
    /// have.
    pub(crate) fn label_line(label: &str) -> String {
        format!("\n{}\n", label.to_lowercase())
    }

    /// Returns the part that servers need.
    pub(crate) fn status(&self) -> ClientStatus {
        ClientStatus {
            name: self.name.clone(),
            state: self.state,
            expires: self.expires,
            requires_psk: self.requires_psk,
        }
    }

    /// Applies an update.
    ///
    /// # Errors
    /// [`Error::Outdated`], [`Error::Revoked`], [`Error::InvalidName`], [`Error::InvalidLabel`];
    /// nothing is changed then.
    pub(crate) fn apply(&mut self, update: Update, now: Timestamp) -> Result<(), Error> {
        if update.based_on.is_some_and(|changed| changed != self.changed) {
            return Err(Error::Outdated(self.changed));
        }
        if let (State::Revoked, Some(state @ (State::Enrolled | State::Suspended))) = (self.state, update.state) {
            return Err(Error::Revoked(state));
        }
        if let Some(name) = &update.name {
            check_name(name)?;
        }
        if let Some(labels) = &update.labels {
            check_labels(labels)?;
        }
        self.state = update.state.unwrap_or(self.state);
        self.name = update.name.unwrap_or_else(|| std::mem::take(&mut self.name));
        self.labels = update.labels.unwrap_or_else(|| std::mem::take(&mut self.labels));
        self.expires = update.expires.unwrap_or(self.expires).map(to_milliseconds);
        self.requires_psk = update.requires_psk.unwrap_or(self.requires_psk);
        self.changed = to_milliseconds(now);
        Ok(())
    }
}

/// An identity that is to be enrolled: its key and all that is said in it were checked.
///
/// ```
/// use pssst_identity::pssst::PublicKey;
/// use pssst_identity::{Error, NewIdentity};
///
/// // Anyone knows the secret of this one.
/// let weak = PublicKey::from_bytes([0; 32]);
/// assert!(matches!(NewIdentity::new(weak, "boiler-7"), Err(Error::Key(pssst::Refusal::WeakKey))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIdentity {
    pub(crate) key: PublicKey,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) state: State,
    pub(crate) created: Option<Timestamp>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) requires_psk: bool,
}

impl NewIdentity {
    /// Returns an enrolled client with this key and name, without labels, that never expires and
    /// need not use a pre-shared key.
    ///
    /// # Errors
    /// [`Error::Key`] for a key that is an alias, not canonical or of low order
    /// ([`PublicKey::validate`]), and [`Error::InvalidName`].
    pub fn new(key: PublicKey, name: impl Into<String>) -> Result<Self, Error> {
        let name = name.into();
        key.validate().map_err(Error::Key)?;
        check_name(&name)?;
        let (labels, state) = (Labels::new(), State::Enrolled);
        Ok(Self { key, name, labels, state, created: None, expires: None, requires_psk: false })
    }

    /// Returns the identity with one more label.
    ///
    /// # Errors
    /// [`Error::InvalidLabel`].
    pub fn with_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Result<Self, Error> {
        self.labels.insert(name.into(), value.into());
        check_labels(&self.labels)?;
        Ok(self)
    }

    /// Returns the identity with these labels.
    ///
    /// # Errors
    /// [`Error::InvalidLabel`].
    pub fn with_labels(self, labels: Labels) -> Result<Self, Error> {
        check_labels(&labels)?;
        Ok(Self { labels, ..self })
    }

    /// Returns the identity in this state.
    #[must_use]
    pub fn with_state(self, state: State) -> Self {
        Self { state, ..self }
    }

    /// Returns the identity with an expiry: it is refused from this time on.
    #[must_use]
    pub fn with_expiry(self, expires: impl Into<Option<Timestamp>>) -> Self {
        Self { expires: expires.into(), ..self }
    }

    /// Returns the identity of a client that must use its pre-shared key, or need not.
    #[must_use]
    pub fn with_requires_psk(self, requires_psk: bool) -> Self {
        Self { requires_psk, ..self }
    }

    /// Returns the identity with the time when it was enrolled: for clients that are moved from
    /// another store.
    #[must_use]
    pub fn with_created(self, created: Timestamp) -> Self {
        Self { created: Some(created), ..self }
    }

    /// Its key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Takes an identity of another store, except the time of its last change.
    ///
    /// # Errors
    /// The errors of [`NewIdentity::new`] and [`NewIdentity::with_labels`].
    pub fn from_identity(identity: Identity) -> Result<Self, Error> {
        let Identity { key, name, labels, state, created, expires, requires_psk, changed: _ } = identity;
        let new = Self::new(key, name)?.with_labels(labels)?.with_state(state).with_expiry(expires);
        Ok(new.with_created(created).with_requires_psk(requires_psk))
    }

    /// Reads a client in JSON, as `serde` writes an [`Identity`]: what is imported. The key and the
    /// name are needed; the state, if it is missing, is enrolled, and `changed` is passed over.
    ///
    /// # Errors
    /// [`Error::Json`], also for a field that is not known: it could be the one that refuses the
    /// client. The errors of [`NewIdentity::from_identity`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            key: PublicKey,
            name: String,
            #[serde(default)]
            labels: Labels,
            state: Option<State>,
            created: Option<Timestamp>,
            #[serde(rename = "changed")]
            _changed: Option<Timestamp>,
            expires: Option<Timestamp>,
            #[serde(default)]
            requires_psk: bool,
        }
        let fields: Fields = serde_json::from_str(text).map_err(|error| Error::Json(error.to_string()))?;
        let new = Self::new(fields.key, fields.name)?.with_labels(fields.labels)?.with_expiry(fields.expires);
        let new = new.with_state(fields.state.unwrap_or(State::Enrolled)).with_requires_psk(fields.requires_psk);
        Ok(Self { created: fields.created, ..new })
    }

    pub(crate) fn into_identity(self, now: Timestamp) -> Identity {
        Identity {
            key: self.key,
            name: self.name,
            labels: self.labels,
            state: self.state,
            created: to_milliseconds(self.created.unwrap_or(now)),
            changed: to_milliseconds(now),
            expires: self.expires.map(to_milliseconds),
            requires_psk: self.requires_psk,
        }
    }
}

/// A change of an identity. Fields that are `None` stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers make it")]
pub struct Update {
    /// The new state. Revocation is final.
    pub state: Option<State>,
    /// The new name.
    pub name: Option<String>,
    /// The new labels, which replace all others.
    pub labels: Option<Labels>,
    /// The new time of expiry; `Some(None)` for never.
    pub expires: Option<Option<Timestamp>>,
    /// Whether the client must use its pre-shared key from now on. Set it once the client has the
    /// key.
    pub requires_psk: Option<bool>,
    /// The name of the master of a pre-shared key that the client gets along with the change, for
    /// the audit log.
    pub psk_master: Option<String>,
    /// The time of the client's last change that this update is based on. After another one it is
    /// refused.
    pub based_on: Option<Timestamp>,
}

impl Update {
    /// Changes the state only.
    pub fn state(state: State) -> Self {
        Self { state: Some(state), ..Self::default() }
    }

    /// Changes only whether the client must use its pre-shared key.
    pub fn requires_psk(requires_psk: bool) -> Self {
        Self { requires_psk: Some(requires_psk), ..Self::default() }
    }

    /// Makes the client use its pre-shared key, which it gets, under the master of this name.
    pub fn psk_issued(master: impl Into<String>) -> Self {
        Self { psk_master: Some(master.into()), ..Self::requires_psk(true) }
    }
}

/// The part of an identity that a server needs for a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers make it")]
pub struct ClientStatus {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Time from which on it is refused, if there is one. Servers compare whole seconds.
    pub expires: Option<Timestamp>,
    /// Whether it must use its pre-shared key.
    pub requires_psk: bool,
}

/// Stores keep milliseconds.
pub(crate) fn to_milliseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    // A name must not look like a key, which would name another client, nor like an option.
    let is_name = (1..=MAX_NAME_LEN).contains(&name.len())
        && !name.chars().any(|c| c.is_whitespace() || is_invisible(c))
        && !name.starts_with('-')
        && name.parse::<PublicKey>().is_err();
    if is_name { Ok(()) } else { Err(Error::InvalidName(shortened(name))) }
}

/// Checks a name that a device chose: ASCII, so that it does not look like another client's.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn check_proposed_name(name: &str) -> Result<(), Error> {
    check_name(name)?;
    if name.is_ascii() { Ok(()) } else { Err(Error::InvalidName(shortened(name))) }
}

/// Returns whether a character controls a device, has no width, or changes the direction of text:
/// names that differ by such alone look the same. (Unicode 16, general category Cf, and the fillers
/// that are letters.)
fn is_invisible(c: char) -> bool {
    let has_no_shape = matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    );
    c.is_control() || has_no_shape
}

pub(crate) fn is_label_value(value: &str) -> bool {
    value.len() <= MAX_LABEL_VALUE_LEN && !value.chars().any(is_invisible)
}

pub(crate) fn check_labels(labels: &Labels) -> Result<(), Error> {
    for (name, value) in labels {
        let is_label = check_name(name).is_ok() && !name.contains('=') && is_label_value(value);
        if !is_label {
            return Err(Error::InvalidLabel(shortened(&format!("{name}={value}"))));
        }
    }
    if labels.len() > MAX_LABELS {
        return Err(Error::InvalidLabel(format!("{} labels", labels.len())));
    }
    Ok(())
}

/// So that a message does not carry a whole book.
fn shortened(text: &str) -> String {
    text.chars().take(MAX_NAME_LEN).collect()
}
