//! One system call for each datagram, on any system.

use std::io;

use quinn_udp::{Transmit, UdpSocketState};

use super::batch::SendBatch;

/// Keeps nothing.
#[derive(Debug)]
#[cfg(not(target_os = "linux"))]
pub(super) struct Sender;

#[cfg(not(target_os = "linux"))]
impl Sender {
    pub(super) const fn new(_is_ipv4: bool) -> Self {
        Self
    }

    /// Sends the first datagram of a group.
    pub(super) fn send<T>(
        &mut self,
        socket: &tokio::net::UdpSocket,
        state: &UdpSocketState,
        batch: &SendBatch<T>,
        group: std::ops::Range<usize>,
    ) -> io::Result<usize> {
        send_one(socket, state, batch, group.start)
    }
}

/// Sends one datagram. `Ok(1)` says that it was taken.
pub(super) fn send_one<T>(
    socket: &tokio::net::UdpSocket,
    state: &UdpSocketState,
    batch: &SendBatch<T>,
    which: usize,
) -> io::Result<usize> {
    let datagram = &batch.datagrams[which];
    let transmit = Transmit {
        destination: datagram.to,
        ecn: None,
        contents: &batch.bytes[datagram.place.clone()],
        segment_size: None,
        src_ip: datagram.from,
    };
    state.try_send(socket.into(), &transmit).map(|()| 1)
}
