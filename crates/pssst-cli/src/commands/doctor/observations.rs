//! Observations of a server from a client's side.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pssst::Suite;

/// The claim of a request about its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Anonymous,
    Authenticated,
    /// With the pre-shared key, too.
    WithPsk,
}

/// How a request is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) suite: Suite,
    pub(super) mode: Mode,
    pub(super) wants_fresh_reply: bool,
    /// The length that the packet is padded to.
    pub(super) padded_to: Option<usize>,
}

impl Recipe {
    /// Returns the plainest one, as long as it has to be.
    pub(super) const fn plain(suite: Suite, mode: Mode) -> Self {
        Self { suite, mode, wants_fresh_reply: false, padded_to: None }
    }

    /// Returns the length of its packet with a message.
    pub(super) fn packet_len(&self, message_len: usize) -> usize {
        let own = self.suite.request_overhead(self.mode != Mode::Anonymous) + message_len;
        self.padded_to.unwrap_or(own)
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "suite {}, {}", name(self.suite), self.mode)?;
        if self.wants_fresh_reply {
            f.write_str(", fresh reply")?;
        }
        if let Some(len) = self.padded_to {
            write!(f, ", padded to {len} bytes")?;
        }
        Ok(())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "anonymous",
            Self::Authenticated => "authenticated",
            Self::WithPsk => "authenticated with the pre-shared key",
        })
    }
}

/// Returns the name of a suite, as --suite takes it.
pub(super) fn name(suite: Suite) -> String {
    format!("{:x}", suite.number())
}

/// A request, and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) address: SocketAddr,
    pub(super) recipe: Recipe,
    pub(super) packet_len: usize,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its reply came.
    Answered {
        /// Packets that it took.
        packets: u64,
    },
    /// Nothing came.
    Silent,
    /// Packets came that are not its reply.
    OtherPackets,
    /// The port is closed, as the network reports.
    Closed,
    /// There is no way to the address, as this system or the network reports.
    NoRoute(String),
    /// A firewall refuses to send.
    Forbidden,
    /// The path does not carry so long a packet, as this system or the network reports.
    TooLong { path_mtu: Option<usize> },
    /// Nothing was sent.
    NotSent(String),
}

/// All observations.
#[derive(Clone, Debug)]
pub(super) struct Observations {
    /// `HOST:PORT`.
    pub(super) server: String,
    pub(super) resolved: Resolved,
    /// Files of keys that cannot be used: what is wrong, and what to do.
    pub(super) key_files: Vec<(String, String)>,
    pub(super) directory: Option<Directory>,
    /// The request that the client itself sends, if there is a key for it.
    pub(super) intended: Option<Recipe>,
    /// The server's keys that were used, and where they are from.
    pub(super) keys: Vec<String>,
    /// The client's public key.
    pub(super) client_key: Option<String>,
    pub(super) probes: Vec<Probe>,
    /// Whether a machine reports that another port of it is closed.
    pub(super) reports_closed_ports: Vec<(IpAddr, bool)>,
}

/// The addresses of a name.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    pub(super) addresses: Result<Vec<SocketAddr>, String>,
    pub(super) took: Duration,
}

/// A directory, as it was found.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    pub(super) url: String,
    pub(super) answer: Result<Document, DirectoryFault>,
    pub(super) took: Duration,
    /// How far this machine's clock is ahead.
    pub(super) clock_lead: Option<SignedDuration>,
    pub(super) cache: Option<Cache>,
}

/// The announcement of a directory.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) generation: u64,
    pub(super) keys: usize,
    pub(super) issued: Timestamp,
}

/// Keys from before.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    pub(super) path: String,
    pub(super) issued: Option<Timestamp>,
    /// Whether the directory still lists the key that the client takes from it; `None` if that
    /// cannot be told, or the client takes none.
    pub(super) is_listed: Option<bool>,
}

/// Why a directory is of no use.
#[derive(Clone, Debug)]
pub(super) struct DirectoryFault {
    pub(super) kind: DirectoryFaultKind,
    pub(super) what: String,
    pub(super) remedy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DirectoryFaultKind {
    Unreachable,
    NotTrusted,
    Document,
    /// It does not have the key that a link says.
    WrongKey,
}
