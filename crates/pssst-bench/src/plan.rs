//! The figures of a load, and what can keep it from running.

use std::fmt;
use std::io;
use std::time::Duration;

use pssst::Suite;

/// The figures of a load.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Sockets, never more than requests that may be in flight.
    pub connections: u32,
    /// Requests in flight: as many (closed loop), or at most as many (open loop).
    pub concurrency: usize,
    /// Requests that are sealed beforehand, at least `concurrency`.
    pub prepared: usize,
    /// Between 0 and 1.
    pub authenticated_share: f64,
    /// Junk packets for each request.
    pub junk_per_request: f64,
    /// Bytes of each message.
    pub size: usize,
    /// The suite of all requests.
    pub suite: Suite,
    /// Requests a second of an open loop; `None` for a closed loop.
    pub rate: Option<f64>,
    /// Time before the measurement.
    pub warmup: Duration,
    /// Time that is measured.
    pub duration: Duration,
    /// How long a reply is waited for.
    pub timeout: Duration,
}

/// Why a load did not run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The system's random number generator failed.
    Randomness(pssst::Error),
    /// Sockets cannot be opened.
    Sockets(io::Error),
    /// The histograms cannot be made.
    Histogram(String),
    /// The load was stopped while its requests were prepared.
    Stopped,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Randomness(error) => error.fmt(f),
            Self::Sockets(error) => write!(f, "cannot open sockets: {error}"),
            Self::Histogram(error) => f.write_str(error),
            Self::Stopped => f.write_str("stopped before anything was measured"),
        }
    }
}

impl std::error::Error for Error {}
