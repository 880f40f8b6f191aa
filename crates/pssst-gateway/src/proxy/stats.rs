//! Counts of what became of a proxy's datagrams.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a datagram of a program got no answer. Each of them has at most one such cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Drop {
    /// It has no room in a request ([`pssst_net::Client::max_message_len`]).
    TooLong,
    /// As many were under way as may be.
    Overloaded,
    /// It came from another machine.
    NotLoopback,
    /// No reply came in time.
    TimedOut,
    /// It could not be sent, the network or the client's key being of no use.
    Failed,
    /// The reply could not be handed to the program.
    SendFailed,
    /// Given up, the proxy being stopped.
    Abandoned,
}

impl Drop {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::TooLong,
        Self::Overloaded,
        Self::NotLoopback,
        Self::TimedOut,
        Self::Failed,
        Self::SendFailed,
        Self::Abandoned,
    ];

    /// A name for logs and metrics, in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Overloaded => "overload",
            Self::NotLoopback => "not_loopback",
            Self::TimedOut => "timeout",
            Self::Failed => "failed",
            Self::SendFailed => "send_failed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// What a proxy has done since it started. Every datagram that was received was answered, sent one way, dropped, or is in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyStats {
    /// Datagrams that programs sent.
    pub received: u64,
    /// Replies that were handed to programs.
    pub replies: u64,
    /// Datagrams that were sent on without waiting for replies.
    pub one_way: u64,
    /// Times that the system reported an error instead of a datagram.
    pub receive_errors: u64,
    drops: [u64; Drop::ALL.len()],
}

impl ProxyStats {
    /// Datagrams that were dropped for this cause.
    pub const fn dropped(&self, cause: Drop) -> u64 {
        self.drops[cause as usize]
    }

    /// How many datagrams were dropped for which cause.
    pub fn drops(&self) -> impl Iterator<Item = (Drop, u64)> {
        Drop::ALL.into_iter().map(|cause| (cause, self.dropped(cause)))
    }

    /// Datagrams that wait for their replies.
    pub fn in_flight(&self) -> u64 {
        self.received.saturating_sub(self.replies + self.one_way + self.drops.iter().sum::<u64>())
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) received: AtomicU64,
    pub(super) replies: AtomicU64,
    pub(super) one_way: AtomicU64,
    pub(super) receive_errors: AtomicU64,
    drops: [AtomicU64; Drop::ALL.len()],
}

impl Counters {
    pub(super) fn dropped(&self, cause: Drop) {
        add(&self.drops[cause as usize]);
    }

    pub(super) fn snapshot(&self) -> ProxyStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Ends first: what ends between the readings shows as in flight.
        let (replies, one_way) = (read(&self.replies), read(&self.one_way));
        let drops = array::from_fn(|place| read(&self.drops[place]));
        let (received, receive_errors) = (read(&self.received), read(&self.receive_errors));
        ProxyStats { received, replies, one_way, receive_errors, drops }
    }
}

pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_own_place_and_name() {
        for (place, cause) in Drop::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, place);
            assert_eq!(Drop::ALL.iter().filter(|other| other.name() == cause.name()).count(), 1);
        }
    }
}
