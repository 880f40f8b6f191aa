//! Datagrams in batches: as many as wait in a socket are received by one system call, and as many as are ready are sent by
//! one for each local address.
//!
//! What the server stands on, and of use to whoever moves many datagrams. On Linux `recvmmsg` and `sendmmsg`; elsewhere what
//! the system has, one by one if need be.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::Range;

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use tokio::io::Interest;

#[cfg(target_os = "linux")]
use linux::Sender;
#[cfg(not(target_os = "linux"))]
use portable::Sender;

pub use bind::{BufferShortfall, inherited_sockets};
pub(crate) use bind::{bind, max_waiting, shortfall, spread};
pub(crate) use drops::KernelDrops;
use options::disable_offloads;

mod bind;
mod drops;
#[cfg(target_os = "linux")]
mod linux;
mod options;
mod portable;
#[cfg(test)]
mod tests;

/// Bytes of the largest payload of a UDP datagram, over IPv4.
pub const MAX_DATAGRAM: usize = 65_507;

/// Bytes that keep the buffers of a batch from starting in the same cache set, as powers of two would.
const CACHE_LINE: usize = 64;

/// A UDP socket that receives and sends in batches.
///
/// Every datagram comes with the local address that it was sent to, and can be answered from there: a client of a host with
/// several addresses takes an answer from no other (`IP_PKTINFO`). Datagrams are neither coalesced by the kernel
/// (`UDP_GRO` is off: it would cut datagrams short without a word when buffers are small) nor fragmented.
///
/// It stays on the thread that made it.
#[derive(Debug)]
pub struct BatchSocket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    sender: Sender,
    /// Bound to one address, which is where everything leaves from without being told.
    has_own_address: bool,
}

impl BatchSocket {
    /// Takes over a bound socket.
    ///
    /// # Errors
    /// Those of the system when options cannot be set.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        let local = socket.local_addr()?;
        disable_offloads(&socket, local)?;
        let has_own_address = !local.ip().is_unspecified();
        let sender = Sender::new(local.is_ipv4());
        Ok(Self { io: tokio::net::UdpSocket::from_std(socket)?, state, sender, has_own_address })
    }

    /// The address and port that the socket is bound to.
    ///
    /// # Errors
    /// That of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Waits until at least one datagram is there, and takes as many as wait and the batch holds.
    ///
    /// # Errors
    /// What the network had to say, for instance that a peer of ours cannot be reached. The socket remains usable.
    pub async fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<()> {
        self.io.async_io(Interest::READABLE, || self.receive_now(batch)).await
    }

    /// Takes as many datagrams as wait and the batch holds.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when none waits; otherwise as for [`BatchSocket::receive`].
    pub fn try_receive(&self, batch: &mut ReceiveBatch) -> io::Result<()> {
        // Not by way of tokio, which may not have heard yet of what has arrived.
        self.receive_now(batch)
    }

    fn receive_now(&self, batch: &mut ReceiveBatch) -> io::Result<()> {
        batch.len = 0;
        let mut free = batch.buffers.chunks_exact_mut(batch.stride);
        while batch.len < batch.metas.len() {
            let wanted = BATCH_SIZE.min(batch.metas.len() - batch.len);
            let mut slices: [_; BATCH_SIZE] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
            for (slice, buffer) in slices.iter_mut().zip(free.by_ref().take(wanted)) {
                *slice = IoSliceMut::new(&mut buffer[..batch.buffer_len]);
            }
            match self.state.recv((&self.io).into(), &mut slices[..wanted], &mut batch.metas[batch.len..]) {
                Ok(received) => {
                    batch.len += received;
                    if received < wanted {
                        break;
                    }
                }
                // What came before is not lost over it.
                Err(_) if batch.len > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends the whole batch and empties it, waiting while the socket's buffer is full. `each` is told of every datagram
    /// whether the system took it, in no particular order; one that it refuses keeps no other from being sent. A buffer that
    /// stays full for 100 ms fails the rest.
    pub async fn send<T>(&mut self, batch: &mut SendBatch<T>, mut each: impl FnMut(T, io::Result<()>)) {
        if self.has_own_address {
            batch.datagrams.iter_mut().for_each(|datagram| datagram.from = None);
        } else {
            // One system call takes one local address.
            batch.datagrams.sort_by_key(|datagram| datagram.from);
        }
        let mut sent = 0;
        let mut is_stuck = false;
        while sent < batch.datagrams.len() {
            let from = batch.datagrams[sent].from;
            let group = sent..batch.datagrams.partition_point(|datagram| datagram.from <= from);
            match self.sender.send(&self.io, &self.state, batch, group) {
                Ok(count) => {
                    for datagram in &mut batch.datagrams[sent..sent + count] {
                        if let Some(context) = datagram.context.take() {
                            each(context, Ok(()));
                        }
                    }
                    sent += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !is_stuck => {
                    is_stuck = !self.is_writable_again().await;
                }
                Err(error) => {
                    if let Some(context) = batch.datagrams[sent].context.take() {
                        each(context, Err(error));
                    }
                    sent += 1;
                }
            }
        }
        batch.clear();
    }

    /// Waits for room in the socket's buffer.
    async fn is_writable_again(&self) -> bool {
        // The system call was not tokio's, which therefore has to be told that there was no room.
        let forget = self.io.try_io(Interest::WRITABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        debug_assert!(forget.is_err());
        tokio::time::timeout(FULL_BUFFER, self.io.writable()).await.is_ok_and(|ready| ready.is_ok())
    }
}

/// How long a full socket buffer is waited for, before a batch is given up.
const FULL_BUFFER: std::time::Duration = std::time::Duration::from_millis(100);

/// Buffers for received datagrams, filled anew by every call.
pub struct ReceiveBatch {
    buffers: Box<[u8]>,
    /// Bytes from one buffer to the next.
    stride: usize,
    /// Bytes of a buffer: one more than the longest datagram, so that what is longer shows.
    buffer_len: usize,
    metas: Box<[RecvMeta]>,
    len: usize,
}

/// A datagram, in the buffer that it was received into.
pub struct Received<'b> {
    /// Its bytes; `None` when it was longer than the batch's buffers, and so was not kept whole.
    pub bytes: Option<&'b mut [u8]>,
    /// Who sent it, as the system says it: to be answered under this very address. On a socket that serves both IPv6 and
    /// IPv4, IPv4 addresses come mapped into IPv6.
    pub peer: SocketAddr,
    /// The address of this host that it was sent to, if the system tells and it is fit to answer from.
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

    /// How many datagrams were received last.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none was received.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The datagrams that were received last.
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

/// What was sent to a group cannot be answered under its address.
fn is_answerable(address: IpAddr) -> bool {
    let address = address.to_canonical();
    !address.is_multicast() && address != IpAddr::V4(std::net::Ipv4Addr::BROADCAST)
}

/// Without the bytes, which may have been decrypted meanwhile.
impl fmt::Debug for Received<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("len", &self.bytes.as_ref().map(|bytes| bytes.len()))
            .field("peer", &self.peer)
            .field("local", &self.local)
            .finish()
    }
}

/// Datagrams to be sent together, each with a context of the caller's that comes back with its outcome.
pub struct SendBatch<T> {
    bytes: Vec<u8>,
    datagrams: Vec<Outgoing<T>>,
}

struct Outgoing<T> {
    place: Range<usize>,
    to: SocketAddr,
    from: Option<IpAddr>,
    /// Taken when the outcome is known.
    context: Option<T>,
}

impl<T> SendBatch<T> {
    /// An empty batch. It grows to what is put into it, and keeps that memory.
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

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    fn clear(&mut self) {
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
