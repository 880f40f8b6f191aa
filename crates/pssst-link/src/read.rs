//! Reads the text of a link.

use std::str::FromStr;

use pssst::Suite;
use zeroize::Zeroizing;

use crate::Error;
use crate::form::{self, MAX_LEN, SCHEME};
use crate::link::{Link, LinkKey, suite_name};

impl FromStr for Link {
    type Err = Error;

    /// Reads a link. White space around it is ignored.
    ///
    /// # Errors
    /// [`Error`], which says what is wrong with it.
    fn from_str(text: &str) -> Result<Self, Error> {
        let link = parameters(text.trim())?;
        link.check()?;
        Ok(link)
    }
}

/// Reads all parts, each by itself.
fn parameters(text: &str) -> Result<Link, Error> {
    let is_link = text.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
    if !is_link {
        return Err(Error::NotLink);
    }
    if text.len() > MAX_LEN {
        return Err(Error::TooLong);
    }
    // The checksum before the rest: a damaged link makes no sense anywhere.
    let (text, check) = text.rsplit_once(form::CHECKSUM).ok_or(Error::Cut)?;
    if check != form::checksum(text) {
        return Err(Error::Checksum);
    }
    let rest = text.strip_prefix(SCHEME).ok_or(Error::NotLink)?;
    let (server, query) = rest
        .split_once("/?")
        .ok_or(Error::Invalid { part: "form", expected: "pssst://HOST:PORT/?, then parameters" })?;
    let mut link = Link { server: (!server.is_empty()).then(|| server.to_owned()), ..Link::default() };
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        link.take(name, value)?;
    }
    Ok(link)
}

impl Link {
    fn take(&mut self, name: &str, value: &str) -> Result<(), Error> {
        match name {
            "key" => set("key", &mut self.key, key(value)?),
            "suites" if !self.suites.is_empty() => Err(Error::Repeated("suites")),
            "suites" => {
                self.suites = value.split(',').map(suite).collect::<Result<_, _>>()?;
                Ok(())
            }
            "directory" => set("directory", &mut self.directory, value.to_owned()),
            "pin" => set("pin", &mut self.pin, pin(value)?),
            "token" => set("token", &mut self.token, Zeroizing::new(value.to_owned())),
            other => Err(Error::UnknownParameter(other.into())),
        }
    }
}

fn set<T>(name: &'static str, place: &mut Option<T>, value: T) -> Result<(), Error> {
    if place.replace(value).is_some() { Err(Error::Repeated(name)) } else { Ok(()) }
}

/// In the one form that is written.
fn key(text: &str) -> Result<LinkKey, Error> {
    let key = text.parse().map(LinkKey::X25519).or_else(|_| text.parse().map(LinkKey::XWing));
    key.ok().filter(|key| key.to_string() == text).ok_or(Error::Invalid { part: "key", expected: "a public key" })
}

fn suite(text: &str) -> Result<Suite, Error> {
    let known = Suite::ALL.into_iter().find(|&suite| suite_name(suite) == text && !text.is_empty());
    known.ok_or(Error::Invalid { part: "suites", expected: "one that this version knows: 1, f002, f003" })
}

fn pin(text: &str) -> Result<[u8; 32], Error> {
    let mut pin = [0; 32];
    match base16ct::lower::decode(text, &mut pin) {
        Ok(decoded) if decoded.len() == 32 => Ok(pin),
        _ => Err(Error::Invalid { part: "pin", expected: "64 hexadecimal digits" }),
    }
}
