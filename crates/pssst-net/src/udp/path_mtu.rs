//! Datagrams that are longer than the path's MTU: they are not fragmented, and the network's
//! reports are heard.

use std::io;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

/// Returns the bytes of headers that an IP packet with a datagram to this address has.
pub(crate) fn headers_len(peer: SocketAddr) -> usize {
    // UDP has 8.
    if peer.ip().to_canonical().is_ipv4() { 20 + 8 } else { 40 + 8 }
}

/// Keeps the datagrams of a connected socket from being fragmented, here and on the way, so that
/// one which is too long is refused or reported ([`is_too_large`](super::is_too_large)).
///
/// The system's record of path MTUs does not count (`IP_PMTUDISC_PROBE`, not `DO`): anyone can
/// forge reports, and those about other programs' packets change the record too, often without a
/// port that must be guessed. One forged packet would stop all long datagrams for ten minutes.
#[cfg(target_os = "linux")]
pub(crate) fn forbid_fragments(socket: &UdpSocket, peer: SocketAddr) -> io::Result<()> {
    use rustix::net::sockopt::{
        Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
    };

    if peer.is_ipv6() {
        set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::PROBE)?;
    }
    // On IPv6 sockets this is for IPv4 addresses that are mapped into IPv6.
    Ok(set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::PROBE)?)
}

#[cfg(target_os = "macos")]
pub(crate) fn forbid_fragments(socket: &UdpSocket, peer: SocketAddr) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};

    if peer.is_ipv4() {
        setsockopt(socket, sockopt::IpDontFrag, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv6DontFrag, &true)?;
    }
    Ok(())
}

/// Other systems fragment as they are configured to.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(crate) fn forbid_fragments(_: &UdpSocket, _: SocketAddr) -> io::Result<()> {
    Ok(())
}

/// Returns the MTU of the path of a connected socket, if the system knows it: what it learned last,
/// or that of the interface.
#[cfg(target_os = "linux")]
pub(crate) fn path_mtu(socket: &UdpSocket) -> Option<usize> {
    use rustix::net::sockopt::{ip_mtu, ipv6_mtu};

    let mtu = if socket.peer_addr().ok()?.is_ipv4() { ip_mtu(socket) } else { ipv6_mtu(socket) };
    usize::try_from(mtu.ok()?).ok()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn path_mtu(_: &UdpSocket) -> Option<usize> {
    None
}
