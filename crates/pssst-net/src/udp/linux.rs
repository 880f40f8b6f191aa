//! `sendmmsg`: one system call for all datagrams that leave from one local address.
//!
//! `quinn-udp` sends to one destination a call, and `nix` attaches one set of control messages to a
//! whole call. Together they do what is needed without unsafe code of ours: `quinn-udp` receives,
//! and `nix` sends, once for each address that the requests of a batch came to, which nearly always
//! is a single one.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::ops::Range;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
use quinn_udp::UdpSocketState;

use super::batch::SendBatch;
use super::portable::send_one;

/// Datagrams that one call sends at most.
const MAX_GROUP: usize = 64;

/// The headers of a call, kept from one to the next.
pub(super) struct Sender {
    plain: MultiHeaders<SockaddrStorage>,
    /// With room for a local address: nix panics without it, and the kernel refuses room that is
    /// not used.
    with_source: MultiHeaders<SockaddrStorage>,
}

impl Sender {
    pub(super) fn new(is_ipv4: bool) -> Self {
        let room =
            if is_ipv4 { nix::cmsg_space!(nix::libc::in_pktinfo) } else { nix::cmsg_space!(nix::libc::in6_pktinfo) };
        Self {
            plain: MultiHeaders::preallocate(MAX_GROUP, None),
            with_source: MultiHeaders::preallocate(MAX_GROUP, Some(room)),
        }
    }

    /// Sends as many datagrams of a group as the kernel takes, from its first one on. An error is
    /// about that first one.
    pub(super) fn send<T>(
        &mut self,
        socket: &tokio::net::UdpSocket,
        state: &UdpSocketState,
        batch: &SendBatch<T>,
        group: Range<usize>,
    ) -> io::Result<usize> {
        if group.len() == 1 {
            return send_one(socket, state, batch, group.start);
        }
        let datagrams = &batch.datagrams[group.start..group.end.min(group.start + MAX_GROUP)];
        let slices: Vec<_> =
            datagrams.iter().map(|datagram| [IoSlice::new(&batch.bytes[datagram.place.clone()])]).collect();
        let peers: Vec<_> = datagrams.iter().map(|datagram| Some(SockaddrStorage::from(datagram.to))).collect();
        let source = datagrams.first().and_then(|datagram| datagram.from).map(Source::from);
        let (headers, control) = match &source {
            None => (&mut self.plain, None),
            Some(Source::V4(info)) => (&mut self.with_source, Some(ControlMessage::Ipv4PacketInfo(info))),
            Some(Source::V6(info)) => (&mut self.with_source, Some(ControlMessage::Ipv6PacketInfo(info))),
        };
        loop {
            match sendmmsg(socket.as_raw_fd(), headers, &slices, &peers, control.as_slice(), MsgFlags::empty()) {
                Ok(results) => return Ok(results.count()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// The address that datagrams leave from.
enum Source {
    V4(nix::libc::in_pktinfo),
    V6(nix::libc::in6_pktinfo),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(nix::libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: nix::libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
                ipi_addr: nix::libc::in_addr { s_addr: 0 },
            }),
            IpAddr::V6(address) => Self::V6(nix::libc::in6_pktinfo {
                ipi6_addr: nix::libc::in6_addr { s6_addr: address.octets() },
                ipi6_ifindex: 0,
            }),
        }
    }
}
