//! Options of sockets.

use std::io;
use std::net::{SocketAddr, UdpSocket};

/// Turns off what `quinn-udp` turns on and we do without: coalescing; a time stamp and the
/// congestion bits of every datagram; and, on a socket with an address of its own, the address that
/// each was sent to.
#[cfg(target_os = "linux")]
pub(super) fn disable_offloads(socket: &UdpSocket, local: SocketAddr) -> io::Result<()> {
    use nix::errno::Errno;
    use nix::sys::socket::{setsockopt, sockopt};

    // A system that does not know an option has it off: coalescing before Linux 5.0, time stamps in
    // QEMU.
    let unless_unknown = |result| match result {
        Err(Errno::ENOPROTOOPT) => Ok(()),
        other => other,
    };
    unless_unknown(setsockopt(socket, sockopt::UdpGroSegment, &false))?;
    unless_unknown(setsockopt(socket, sockopt::ReceiveTimestampns, &false))?;
    setsockopt(socket, sockopt::IpRecvTos, &false)?;
    let needs_destination = local.ip().is_unspecified();
    if local.is_ipv4() {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &needs_destination)?;
    } else {
        setsockopt(socket, sockopt::Ipv6RecvTClass, &false)?;
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &needs_destination)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn disable_offloads(_: &UdpSocket, _: SocketAddr) -> io::Result<()> {
    Ok(())
}
