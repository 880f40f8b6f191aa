//! The file of a schedule: JSON, with the secret keys in hexadecimal digits.
//!
//! No copies of secrets are left: keys are parsed in place in the text, which the caller wipes.
//! (Hence no PEM: its line breaks would be written as escapes, which the parser resolves in memory
//! of its own.)

use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use pssst::SecretKey;
use pssst_support::{Source, atomic_file, secret_file};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Entry, MAX_GENERATION, MAX_REFRESH_INTERVAL, Schedule};
use crate::Error;

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    version: u32,
    generation: u64,
    refresh_interval_seconds: u64,
    #[serde(borrow)]
    keys: Vec<WireKey<'a>>,
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
        const EXPECTED: Error =
            Error::Syntax("a key schedule of version 1 in JSON, with secret keys of 64 hexadecimal digits");
        let wire: Wire<'_> = serde_json::from_slice(bytes).map_err(|_| EXPECTED)?;
        if wire.version != VERSION {
            return Err(EXPECTED);
        }
        if !(1..=MAX_REFRESH_INTERVAL).contains(&wire.refresh_interval_seconds) {
            return Err(Error::Syntax("a refresh interval of a second to a year"));
        }
        let entry = |key: WireKey<'_>| {
            let secret = SecretKey::from_hex(key.secret).map_err(|_| EXPECTED)?;
            Ok(Entry::new(secret, key.not_before, key.not_after))
        };
        let keys = wire.keys.into_iter().map(entry).collect::<Result<_, Error>>()?;
        if wire.generation > MAX_GENERATION {
            return Err(Error::Syntax("a generation below 2^53"));
        }
        let schedule = Self {
            generation: wire.generation,
            refresh_interval: Duration::from_secs(wire.refresh_interval_seconds),
            keys,
        };
        schedule.check()?;
        Ok(schedule)
    }

    pub(super) fn to_text(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let secrets: Vec<_> = self.keys.iter().map(|key| key.secret.expose_hex()).collect();
        let key = |(entry, secret): (&Entry, _)| {
            let &Entry { not_before, not_after, .. } = entry;
            WireKey { secret, not_before, not_after }
        };
        let wire = Wire {
            version: VERSION,
            generation: self.generation,
            refresh_interval_seconds: self.refresh_interval.as_secs(),
            keys: self.keys.iter().zip(secrets.iter().map(|secret| secret.as_str())).map(key).collect(),
        };
        // Sized at once: growing would leave copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(Self::MAX_LEN));
        serde_json::to_writer_pretty(&mut *text, &wire).map_err(io::Error::from)?;
        text.push(b'\n');
        Ok(text)
    }
}
