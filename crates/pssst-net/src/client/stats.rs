//! Counters of a client.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

use pssst::Refusal;

/// A counter that any thread adds to.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: Count,
    pub(super) one_way: Count,
    pub(super) datagrams_sent: Count,
    pub(super) retransmits: Count,
    pub(super) send_errors: Count,
    pub(super) receive_errors: Count,
    pub(super) replies: Count,
    pub(super) timeouts: Count,
    pub(super) path_too_narrow: Count,
    pub(super) unmatched_replies: Count,
    pub(super) paths_opened: Count,
    pub(super) fallbacks: Count,
    refused: [Count; Refusal::COUNT],
}

impl Counts {
    pub(super) fn refused(&self, cause: Refusal) {
        self.refused[cause.index()].add();
    }

    pub(super) fn snapshot(&self) -> ClientStats {
        ClientStats {
            requests: self.requests.get(),
            one_way: self.one_way.get(),
            datagrams_sent: self.datagrams_sent.get(),
            retransmits: self.retransmits.get(),
            send_errors: self.send_errors.get(),
            receive_errors: self.receive_errors.get(),
            replies: self.replies.get(),
            timeouts: self.timeouts.get(),
            path_too_narrow: self.path_too_narrow.get(),
            unmatched_replies: self.unmatched_replies.get(),
            paths_opened: self.paths_opened.get(),
            fallbacks: self.fallbacks.get(),
            refused: array::from_fn(|place| self.refused[place].get()),
        }
    }
}

/// Counters of a client since its creation, including those of the clients that it replaced
/// ([`ClientBuilder::replacing`](crate::ClientBuilder::replacing)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStats {
    /// Requests that expect a reply.
    pub requests: u64,
    /// Messages sent one way.
    pub one_way: u64,
    /// Datagrams sent, including retransmissions.
    pub datagrams_sent: u64,
    /// Retransmissions among them.
    pub retransmits: u64,
    /// Errors of the system when sending.
    pub send_errors: u64,
    /// Receive errors of the system: mostly that the port is closed.
    pub receive_errors: u64,
    /// Replies accepted.
    pub replies: u64,
    /// Requests that timed out.
    pub timeouts: u64,
    /// Messages that ended with [`Error::PathTooNarrow`](crate::Error::PathTooNarrow).
    pub path_too_narrow: u64,
    /// Packets that match no request in flight: repeated or late replies, and junk.
    pub unmatched_replies: u64,
    /// Sockets opened.
    pub paths_opened: u64,
    /// Messages sent under suite 0xf002 although the suite is 0xf003
    /// ([`ClientBuilder::fallback`](crate::ClientBuilder::fallback)).
    pub fallbacks: u64,
    refused: [u64; Refusal::COUNT],
}

impl ClientStats {
    /// Packets refused as replies: forged, damaged or malformed.
    pub fn refused(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// Returns the packets of [`refused`](Self::refused) by cause.
    pub fn refused_by_cause(&self) -> impl Iterator<Item = (Refusal, u64)> {
        Refusal::ALL.into_iter().zip(self.refused)
    }
}
