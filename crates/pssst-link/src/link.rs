//! The contents of a link, and its text.

use std::fmt;

use pssst::{PublicKey, ServerKey, Suite, XWingKeyHash};
use pssst_support::host_port;
use zeroize::Zeroizing;

use crate::Error;
use crate::form::{self, MAX_LEN, SCHEME};

/// The contents of a link. [`Link::to_text`] writes it, `FromStr` reads it.
///
/// A link has a server, a directory or both. A server without a directory has its X25519 key in the
/// link.
#[derive(Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers make it")]
pub struct Link {
    /// The server, `HOST:PORT`. It may be missing in links for an enrolment.
    pub server: Option<String>,
    /// The server's key. With a directory, it is what the first document of that must have.
    pub key: Option<LinkKey>,
    /// The suites that the server accepts, the preferred one first. Empty: those that belong to
    /// the key, or that the directory announces.
    pub suites: Vec<Suite>,
    /// The directory of the server's keys, `HOST:PORT`, reached over HTTPS.
    pub directory: Option<String>,
    /// Pin of the directory: SHA-256 of the public key of its certificate (RFC 7469, section 2.4).
    pub pin: Option<[u8; 32]>,
    /// A token with which one device enrols.
    pub token: Option<Zeroizing<String>>,
}

/// A server's key in a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkKey {
    /// An X25519 key.
    X25519(PublicKey),
    /// The hash of an X-Wing key, which the directory has.
    XWing(XWingKeyHash),
}

impl LinkKey {
    /// Returns whether this is the key, or its hash.
    pub fn is_of(&self, key: &ServerKey) -> bool {
        *self == Self::from(key)
    }
}

impl From<&ServerKey> for LinkKey {
    fn from(key: &ServerKey) -> Self {
        if key.has_suite(Suite::XWingAes256GcmSiv) {
            Self::XWing(XWingKeyHash::from_bytes(key.hash()))
        } else {
            Self::X25519(key.x25519_part())
        }
    }
}

impl fmt::Display for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X25519(key) => key.fmt(f),
            Self::XWing(hash) => hash.fmt(f),
        }
    }
}

impl Link {
    /// Returns the link of a server, `HOST:PORT`, with a fixed key.
    pub fn to(server: impl Into<String>, key: PublicKey) -> Self {
        Self { server: Some(server.into()), key: Some(LinkKey::X25519(key)), ..Self::default() }
    }

    /// Returns whether the link is a secret: it has a token.
    pub const fn is_secret(&self) -> bool {
        self.token.is_some()
    }

    /// Writes the link: its parts in the order of the fields, and the checksum.
    ///
    /// # Errors
    /// [`Error`] where parts are missing, do not go together or have no such text.
    pub fn to_text(&self) -> Result<Zeroizing<String>, Error> {
        self.check()?;
        // Its full length at once: a string that grows leaves pieces behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_LEN));
        text.push_str(SCHEME);
        text.push_str(self.server.as_deref().unwrap_or_default());
        text.push_str("/?");
        let mut separator = "";
        let mut push = |name: &str, value: &str| {
            text.extend([separator, name, "=", value]);
            separator = "&";
        };
        if let Some(key) = &self.key {
            push("key", &key.to_string());
        }
        if !self.suites.is_empty() {
            let suites: Vec<_> = self.suites.iter().map(|&suite| suite_name(suite)).collect();
            push("suites", &suites.join(","));
        }
        if let Some(directory) = &self.directory {
            push("directory", directory);
        }
        if let Some(pin) = &self.pin {
            push("pin", &base16ct::lower::encode_string(pin));
        }
        if let Some(token) = &self.token {
            push("token", token);
        }
        let check = form::checksum(&text);
        text.extend([form::CHECKSUM, &check]);
        if text.len() > MAX_LEN { Err(Error::TooLong) } else { Ok(text) }
    }

    /// Checks that the parts go together.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for address in [&self.server, &self.directory].into_iter().flatten() {
            check_address(address)?;
        }
        if let Some(token) = &self.token {
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if token.is_empty() || !token.bytes().all(is_word) {
                return Err(Error::Invalid { part: "token", expected: "a token" });
            }
        }
        match self {
            Self { server: None, directory: None, .. } => Err(Error::Missing("a server or a directory")),
            Self { directory: None, key: None, .. } => Err(Error::Missing("the server's key, or a directory")),
            Self { directory: None, key: Some(LinkKey::XWing(_)), .. } => {
                Err(Error::Missing("the directory that has the key: a link has the hash of a key of suite f003 only"))
            }
            Self { directory: None, pin: Some(_), .. } => Err(Error::Missing("the directory that the pin is of")),
            Self { directory: None, token: Some(_), .. } => Err(Error::Missing("the directory that takes the token")),
            _ => self.check_suites(),
        }
    }

    fn check_suites(&self) -> Result<(), Error> {
        const EXPECTED: &str = "suites out of 1, f002 and f003, each once";
        let is_repeated = |(at, suite)| self.suites.iter().take(at).any(|earlier| earlier == suite);
        let is_named = |suite: &Suite| !suite_name(*suite).is_empty();
        if !self.suites.iter().all(is_named) || self.suites.iter().enumerate().any(is_repeated) {
            return Err(Error::Invalid { part: "suites", expected: EXPECTED });
        }
        let needs_x_wing = self.suites.contains(&Suite::XWingAes256GcmSiv);
        if needs_x_wing && self.directory.is_none() {
            return Err(Error::Missing("the directory that has the key of suite f003"));
        }
        Ok(())
    }
}

/// A host that URIs have without escapes, and a port.
fn check_address(address: &str) -> Result<(), Error> {
    const EXPECTED: &str = "HOST:PORT, with a name in ASCII letters, and brackets around an IPv6 address";
    let is_plain = address.is_ascii() && !address.contains('%');
    if is_plain && host_port::target(address).is_ok() {
        Ok(())
    } else {
        Err(Error::Invalid { part: "address", expected: EXPECTED })
    }
}

/// Returns the suite as links have it, and nothing for one that no datagram has.
pub(crate) const fn suite_name(suite: Suite) -> &'static str {
    match suite {
        Suite::X25519AesGcm128 => "1",
        Suite::X25519Aes256GcmSiv => "f002",
        Suite::XWingAes256GcmSiv => "f003",
        _ => "",
    }
}

/// Redacts the token.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "..");
        f.debug_struct("Link")
            .field("server", &self.server)
            .field("key", &self.key)
            .field("suites", &self.suites)
            .field("directory", &self.directory)
            .field("pin", &self.pin.map(|pin| base16ct::lower::encode_string(&pin)))
            .field("token", &token)
            .finish()
    }
}
