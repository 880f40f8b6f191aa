//! The file of a schedule: JSON, with the secret keys as text with a checksum.
//!
//! No copies of secrets are left: keys are parsed in place in the text, which the caller wipes.
//! (Hence no PEM: its line breaks would be written as escapes, which the parser resolves in memory
//! of its own.)

use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use pssst::{PskMaster, SecretKey, XWingSecretKey};
use pssst_support::{Source, atomic_file, secret_file};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::sequence::{Entry, Secret, Sequence};
use super::{MAX_GENERATION, MAX_REFRESH_INTERVAL, Schedule};
use crate::Error;

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    version: u32,
    generation: u64,
    refresh_interval_seconds: u64,
    #[serde(borrow)]
    keys: Vec<WireKey<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    xwing_keys: Vec<WireKey<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    psk_masters: Vec<WireKey<'a>>,
}

#[derive(Serialize, Deserialize)]
struct WireKey<'a> {
    secret: &'a str,
    not_before: Timestamp,
    not_after: Option<Timestamp>,
}

impl Schedule {
    /// Reads a schedule from a file with mode 0600; or from any file, where secret mounts are
    /// exposed to all users of a container.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Exposed`], [`Error::TooLong`], [`Error::Syntax`],
    /// [`Error::InvalidSchedule`].
    pub fn read(path: &Path, allow_exposed: bool) -> Result<Self, Error> {
        let source = Source::new(path).secret(!allow_exposed).max_len(Self::MAX_LEN as u64);
        Self::parse(&source.read()?)
    }

    /// Writes it to a file that only its owner can read, atomically: a reader sees the old
    /// one or the new one. A symbolic link stays, and what it leads to is replaced.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        Ok(atomic_file::replace(path, 0o600, &self.to_text()?)?)
    }

    /// Writes it to a new file that only its owner can read.
    ///
    /// # Errors
    /// [`Error::File`], with [`AlreadyExists`](std::io::ErrorKind::AlreadyExists) for a file that
    /// is there: it is never overwritten.
    pub fn create(&self, path: &Path) -> Result<(), Error> {
        let text = self.to_text()?;
        // The process that creates the name writes the contents.
        drop(secret_file::create(path)?);
        let written = atomic_file::replace(path, 0o600, &text);
        if written.is_err() {
            // The first error is the one to report.
            drop(std::fs::remove_file(path));
        }
        Ok(written?)
    }

    /// Reads what [`Schedule::to_text`] writes. The parser's errors are not passed on, since they
    /// may quote the text.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        const EXPECTED: Error = Error::Syntax("a key schedule of version 1 in JSON");
        let wire: Wire<'_> = serde_json::from_slice(bytes).map_err(|_| EXPECTED)?;
        if wire.version != VERSION {
            return Err(EXPECTED);
        }
        if !(1..=MAX_REFRESH_INTERVAL).contains(&wire.refresh_interval_seconds) {
            return Err(Error::Syntax("a refresh interval of a second to a year"));
        }
        let keys = read(&wire.keys, SecretKey::from_bech32)?;
        let xwing_keys = read(&wire.xwing_keys, XWingSecretKey::from_bech32)?;
        let psk_masters = read(&wire.psk_masters, PskMaster::from_bech32)?;
        if wire.generation > MAX_GENERATION {
            return Err(Error::Syntax("a generation below 2^53"));
        }
        let schedule = Self {
            generation: wire.generation,
            refresh_interval: Duration::from_secs(wire.refresh_interval_seconds),
            keys,
            xwing_keys,
            psk_masters,
        };
        schedule.check()?;
        Ok(schedule)
    }

    pub(super) fn to_text(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let keys = secrets(&self.keys, SecretKey::expose_bech32);
        let xwing_keys = secrets(&self.xwing_keys, XWingSecretKey::expose_bech32);
        let psk_masters = secrets(&self.psk_masters, PskMaster::expose_bech32);
        let wire = Wire {
            version: VERSION,
            generation: self.generation,
            refresh_interval_seconds: self.refresh_interval.as_secs(),
            keys: wire_keys(&self.keys, &keys),
            xwing_keys: wire_keys(&self.xwing_keys, &xwing_keys),
            psk_masters: wire_keys(&self.psk_masters, &psk_masters),
        };
        // Sized at once: growing would leave copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(Self::MAX_LEN));
        serde_json::to_writer_pretty(&mut *text, &wire).map_err(io::Error::from)?;
        text.push(b'\n');
        Ok(text)
    }
}

fn read<S: Secret>(
    keys: &[WireKey<'_>],
    parse: impl Fn(&str) -> Result<S, pssst::Error>,
) -> Result<Sequence<S>, Error> {
    let secret = |text| {
        parse(text).map_err(|error| match error {
            pssst::Error::KeyChecksum => Error::InvalidSchedule("a character of a secret key is wrong or missing"),
            _ => Error::Syntax(
                "PSSST-SECRET-KEY-1… in keys, PSSST-PQ-SECRET-KEY-1… in xwing_keys, PSSST-PSK-MASTER-1… in psk_masters",
            ),
        })
    };
    let entries = keys.iter().map(|key| Ok(Entry::new(secret(key.secret)?, key.not_before, key.not_after)));
    entries.collect::<Result<_, Error>>().map(Sequence::from_entries)
}

fn secrets<S: Secret>(sequence: &Sequence<S>, text: impl Fn(&S) -> Zeroizing<String>) -> Vec<Zeroizing<String>> {
    sequence.entries().iter().map(|entry| text(&entry.secret)).collect()
}

fn wire_keys<'a, S: Secret>(sequence: &Sequence<S>, secrets: &'a [Zeroizing<String>]) -> Vec<WireKey<'a>> {
    let entries = sequence.entries().iter().zip(secrets);
    entries
        .map(|(entry, secret)| WireKey { secret, not_before: entry.not_before, not_after: entry.not_after })
        .collect()
}
