//! Datagrams in batches: as many as wait in a socket are received by one system call, and as many
//! as are ready are sent by one for each local address.
//!
//! The base of the server, useful to any program that moves many datagrams. On Linux `recvmmsg` and
//! `sendmmsg`; elsewhere with the calls of the system, one datagram at a time if necessary.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};

use quinn_udp::{BATCH_SIZE, UdpSocketState};
use tokio::io::Interest;

#[cfg(target_os = "linux")]
use linux::Sender;
#[cfg(not(target_os = "linux"))]
use portable::Sender;

pub use batch::{ReceiveBatch, Received, SendBatch};
pub use bind::{BufferShortfall, inherited_sockets};
pub(crate) use bind::{bind, max_waiting, shortfall, spread};
pub use connect::{connect, connect_async, is_too_large, readable, try_receive};
pub(crate) use drops::KernelDrops;
use options::disable_offloads;
pub(crate) use path_mtu::{forbid_fragments, headers_len, path_mtu};
pub(crate) use resolver::lookup;
pub use resolver::{FailureGuard, Resolver};

mod batch;
mod bind;
mod connect;
mod drops;
#[cfg(target_os = "linux")]
mod linux;
mod options;
mod path_mtu;
mod portable;
mod resolver;
#[cfg(test)]
mod tests;

/// Length of the largest payload of a UDP datagram, in bytes, over IPv4.
pub const MAX_DATAGRAM: usize = 65_507;

/// A UDP socket that receives and sends in batches.
///
/// Every datagram comes with the local address that it was sent to, and can be answered from there:
/// a client of a host with several addresses takes an answer from no other (`IP_PKTINFO`).
/// Datagrams are neither coalesced by the kernel (`UDP_GRO` is off: it would cut datagrams short
/// without a word when buffers are small) nor fragmented.
///
/// It stays on the thread that made it.
#[derive(Debug)]
pub struct BatchSocket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    sender: Sender,
    /// Bound to one address, which is then the source of every datagram.
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

    /// Returns the address and port that the socket is bound to.
    ///
    /// # Errors
    /// That of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Waits until at least one datagram is there, and takes as many as wait and the batch holds.
    ///
    /// # Errors
    /// Errors that the network reported, for instance that a peer cannot be reached. The socket
    /// remains usable.
    pub async fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<()> {
        self.io.async_io(Interest::READABLE, || self.receive_now(batch)).await
    }

    /// Takes as many datagrams as wait and the batch holds.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when none waits; otherwise as for [`BatchSocket::receive`].
    pub fn try_receive(&self, batch: &mut ReceiveBatch) -> io::Result<()> {
        // Not through tokio, which may not know yet of datagrams that have arrived.
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

    /// Sends the whole batch and empties it, waiting while the socket's buffer is full. `each` is
    /// called for every datagram with the system's result, in no particular order; one that it
    /// refuses keeps no other from being sent. A buffer that stays full for 100 ms fails the rest.
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
        // tokio did not make the system call, so it has to learn that the socket was not writable.
        let forget = self.io.try_io(Interest::WRITABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        debug_assert!(forget.is_err());
        tokio::time::timeout(FULL_BUFFER, self.io.writable()).await.is_ok_and(|ready| ready.is_ok())
    }
}

/// How long a full socket buffer is waited for, before a batch is given up.
const FULL_BUFFER: std::time::Duration = std::time::Duration::from_millis(100);
