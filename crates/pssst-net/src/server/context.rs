//! A request's way back: what a worker keeps of a request while a handler has it.

use std::net::{IpAddr, SocketAddr};

use pssst::ReplySealer;
use tokio::time::Instant;

use super::Reply;
use crate::reply_cache::PendingEntry;

/// Source of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) peer: SocketAddr,
    pub(super) local: Option<IpAddr>,
    /// Length of the packet, in bytes.
    pub(super) len: usize,
    /// Place of the datagram in its batch.
    pub(super) place: usize,
}

/// A worker's record of a request that a handler has, to answer it.
pub(super) struct ReplyContext {
    /// It stays where it is, and so leaves no copy of its secret behind.
    pub(super) sealer: Box<ReplySealer>,
    pub(super) source: Source,
    pub(super) received: Instant,
    /// When the handler got the request.
    pub(super) handed: Instant,
    /// Length of the longest reply packet, in bytes.
    pub(super) max_reply: usize,
    pub(super) pending: Option<PendingEntry>,
}

/// A request that a handler is done with.
pub(super) struct Finished {
    pub(super) context: ReplyContext,
    pub(super) outcome: Result<Option<Reply>, Failure>,
}

/// Why a handler gave no answer.
#[cfg_attr(not(feature = "tower"), expect(dead_code, reason = "layers of tower alone report two of them"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    TimedOut,
    Overloaded,
    Failed,
}
