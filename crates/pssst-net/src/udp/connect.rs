//! Sockets that exchange datagrams with one address only.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use tokio::io::Interest;

/// Returns a socket on a port of its own that exchanges datagrams with this address only.
///
/// # Errors
/// When the system does not have another port, or a route to the address.
pub fn connect(peer: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(peer)?;
    Ok(socket)
}

/// Returns a connected socket for this thread's tokio runtime.
///
/// # Errors
/// The errors of [`connect`].
///
/// # Panics
/// Outside a tokio runtime with I/O enabled.
pub fn connect_async(peer: SocketAddr) -> io::Result<tokio::net::UdpSocket> {
    let socket = connect(peer)?;
    socket.set_nonblocking(true)?;
    tokio::net::UdpSocket::from_std(socket)
}

/// Waits until [`try_receive`] has something to return, perhaps.
///
/// # Errors
/// When the runtime is shutting down.
pub async fn readable(socket: &tokio::net::UdpSocket) -> io::Result<()> {
    // On Linux a socket that only has an error to report is not readable: tokio's `recv` would
    // sleep on.
    socket.ready(Interest::READABLE | Interest::ERROR).await.map(drop)
}

/// Takes a datagram that waits, and returns its length.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] when none waits, and what the network reports, for instance that
/// the peer's port is closed. The socket remains usable.
pub fn try_receive(socket: &tokio::net::UdpSocket, buffer: &mut [u8]) -> io::Result<usize> {
    let error = || Err(socket.take_error()?.unwrap_or_else(|| io::ErrorKind::WouldBlock.into()));
    match socket.try_io(Interest::ERROR, error) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.try_recv(buffer),
        outcome => outcome,
    }
}

/// Returns whether the system refused to send a datagram since it is too large, or the network
/// reports that it is too large for the path.
pub fn is_too_large(error: &io::Error) -> bool {
    // EMSGSIZE, which has no kind of its own.
    #[cfg(unix)]
    let code = rustix::io::Errno::MSGSIZE.raw_os_error();
    // WSAEMSGSIZE.
    #[cfg(not(unix))]
    let code = 10_040;
    error.raw_os_error() == Some(code)
}
