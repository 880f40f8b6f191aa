//! Batches of datagrams: their buffers, sources and destinations.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use quinn_udp::RecvMeta;

/// Bytes that keep the buffers of a batch from starting in the same cache set, as powers of two
/// would.
const CACHE_LINE: usize = 64;

/// Buffers for received datagrams, filled anew by every call.
pub struct ReceiveBatch {
    pub(super) buffers: Box<[u8]>,
    /// Bytes from one buffer to the next.
    pub(super) stride: usize,
    /// Length of a buffer, in bytes: one more than the longest datagram, so that what is longer
    /// shows.
    pub(super) buffer_len: usize,
    pub(super) metas: Box<[RecvMeta]>,
    pub(super) len: usize,
}

/// A datagram, in the buffer that it was received into.
#[non_exhaustive]
pub struct Received<'b> {
    /// Its bytes; `None` when it was longer than the batch's buffers, and so was not kept whole.
    pub bytes: Option<&'b mut [u8]>,
    /// The sender's address as the system reports it: answer to this very address. On a socket that
    /// serves both IPv6 and IPv4, IPv4 addresses come mapped into IPv6.
    pub peer: SocketAddr,
    /// The address of this host that it was sent to, if the system reports it and it is a valid
    /// source address.
    pub local: Option<IpAddr>,
}

impl ReceiveBatch {
    /// Buffers for `capacity` datagrams of at most `max_datagram` bytes.
    pub fn new(capacity: usize, max_datagram: usize) -> Self {
        let buffer_len = max_datagram.saturating_add(1);
        let stride = buffer_len.next_multiple_of(CACHE_LINE) + CACHE_LINE;
        Self {
            buffers: vec![0; stride * capacity].into_boxed_slice(),
            stride,
            buffer_len,
            metas: vec![RecvMeta::default(); capacity].into_boxed_slice(),
            len: 0,
        }
    }

    /// Returns how many datagrams were received last.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether none was received.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the datagrams that were received last.
    pub fn datagrams(&mut self) -> impl Iterator<Item = Received<'_>> {
        let limit = self.buffer_len - 1;
        self.buffers.chunks_exact_mut(self.stride).zip(&self.metas[..self.len]).map(move |(buffer, meta)| Received {
            bytes: (meta.len <= limit).then_some(&mut buffer[..meta.len.min(limit)]),
            peer: meta.addr,
            local: meta.dst_ip.filter(|address| is_answerable(*address)),
        })
    }
}

/// For networks that tests make up.
#[cfg(test)]
impl ReceiveBatch {
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == self.metas.len()
    }

    pub(crate) fn put(&mut self, peer: SocketAddr, datagram: &[u8]) {
        let kept = datagram.len().min(self.buffer_len);
        self.buffers[self.len * self.stride..][..kept].copy_from_slice(&datagram[..kept]);
        let meta = &mut self.metas[self.len];
        (meta.addr, meta.len, meta.dst_ip) = (peer, kept, None);
        self.len += 1;
    }
}

impl fmt::Debug for ReceiveBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveBatch")
            .field("len", &self.len)
            .field("capacity", &self.metas.len())
            .field("max_datagram", &(self.buffer_len - 1))
            .finish_non_exhaustive()
    }
}

/// Returns whether a reply can be sent from this address; from a group's it cannot.
pub(super) fn is_answerable(address: IpAddr) -> bool {
    let address = address.to_canonical();
    !address.is_multicast() && address != IpAddr::V4(std::net::Ipv4Addr::BROADCAST)
}

/// Without the bytes, which may have been decrypted in place.
impl fmt::Debug for Received<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("len", &self.bytes.as_ref().map(|bytes| bytes.len()))
            .field("peer", &self.peer)
            .field("local", &self.local)
            .finish()
    }
}

/// Datagrams to be sent together, each with a context of the caller's that comes back with its
/// outcome.
pub struct SendBatch<T> {
    pub(super) bytes: Vec<u8>,
    pub(super) datagrams: Vec<Outgoing<T>>,
}

pub(super) struct Outgoing<T> {
    pub(super) place: Range<usize>,
    pub(super) to: SocketAddr,
    pub(super) from: Option<IpAddr>,
    /// Taken when the outcome is known.
    pub(super) context: Option<T>,
}

impl<T> SendBatch<T> {
    /// Returns an empty batch. It grows to what is put into it, and keeps that memory.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), datagrams: Vec::new() }
    }

    /// Adds a datagram of `len` bytes, which the caller writes; they are zero until then.
    pub fn push(&mut self, to: SocketAddr, from: Option<IpAddr>, len: usize, context: T) -> &mut [u8] {
        let start = self.bytes.len();
        self.bytes.resize(start + len, 0);
        self.datagrams.push(Outgoing { place: start..start + len, to, from, context: Some(context) });
        &mut self.bytes[start..]
    }

    /// Takes back the datagram that was added last.
    pub fn pop(&mut self) -> Option<T> {
        let last = self.datagrams.pop()?;
        self.bytes.truncate(last.place.start);
        last.context
    }

    /// Datagrams in the batch.
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
    }

    /// For networks that tests make up.
    #[cfg(test)]
    pub(crate) fn drain(&mut self, mut each: impl FnMut(SocketAddr, &[u8], T)) {
        for datagram in self.datagrams.drain(..) {
            if let Some(context) = datagram.context {
                each(datagram.to, &self.bytes[datagram.place], context);
            }
        }
        self.clear();
    }
}

/// Without the bytes.
impl<T> fmt::Debug for SendBatch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendBatch").field("len", &self.datagrams.len()).finish_non_exhaustive()
    }
}

impl<T> Default for SendBatch<T> {
    fn default() -> Self {
        Self::new()
    }
}
