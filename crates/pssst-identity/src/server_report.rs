//! Signs of life of servers, for operators.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use pssst::SysRng;
use pssst::rand_core::TryRng;

use crate::Error;

/// A server that follows a store, as it reports itself with
/// [`record_server`](crate::IdentityStore::record_server).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerReport {
    /// Random, another one at each start.
    pub(crate) id: [u8; 8],
    /// Name for people: its machine and address. Up to 128 bytes are kept.
    pub name: String,
    /// Version of its program. Up to 128 bytes are kept.
    pub version: String,
    /// When it started.
    pub started: Timestamp,
    /// Time of its last report.
    pub last: Timestamp,
    /// Whether it serves after this report: one that stops is no longer listed.
    pub(crate) is_serving: bool,
}

impl ServerReport {
    /// Interval of a server's reports.
    pub const INTERVAL: Duration = Duration::from_secs(30);

    /// Returns a server that starts at this time.
    ///
    /// # Errors
    /// [`Error::RandomnessUnavailable`].
    pub fn new(name: impl Into<String>, version: impl Into<String>, now: Timestamp) -> Result<Self, Error> {
        let mut id = [0; 8];
        SysRng.try_fill_bytes(&mut id).map_err(|_| Error::RandomnessUnavailable)?;
        let (name, version) = (name.into(), version.into());
        Ok(Self { id, name, version, started: now, last: now, is_serving: true })
    }

    /// Returns the report of this time.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Self {
        Self { last: now, ..self.clone() }
    }

    /// Returns the report of a server that stops.
    #[must_use]
    pub fn stopping(&self) -> Self {
        Self { is_serving: false, ..self.clone() }
    }

    /// Returns whether it reported lately: three reports in a row may not be missing.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        now.duration_since(self.last).unsigned_abs() <= 3 * Self::INTERVAL
    }
}

impl fmt::Debug for ServerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, version, started, last, .. } = self;
        write!(f, "ServerReport({name:?}, {version}, from {started} to {last})")
    }
}
