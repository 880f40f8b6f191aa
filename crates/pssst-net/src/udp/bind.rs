//! Binding the sockets of a server.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// Binds a socket for each of `count` workers to one address. Port 0 takes a free one, the same for
/// all.
///
/// The first socket is bound before it says that it would share its port: so a port that another
/// process serves is refused, even if that process allows sharing, and two servers can never both
/// succeed.
pub(crate) fn bind(address: SocketAddr, count: usize, buffer_len: usize) -> io::Result<Vec<UdpSocket>> {
    let first = open(address, buffer_len)?;
    first.bind(&address.into()).map_err(|error| explain(&error, address))?;
    let first = share(first)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    while sockets.len() < count {
        sockets.push(bind_another(&sockets[0], address, buffer_len)?);
    }
    Ok(sockets)
}

/// Returns the UDP sockets that the service manager passed to this process (systemd's socket
/// activation), for [`ServerBuilder::bind_sockets`](crate::ServerBuilder::bind_sockets); an empty
/// list if it passed none.
///
/// Such sockets outlive the process: no datagram is lost while one server ends and the next one
/// starts. They are passed once: a second call finds none. On systems other than Unix the list is
/// empty.
///
/// ```no_run
/// # use pssst_net::{BoundServer, Server, udp};
/// # fn take_port() -> std::io::Result<BoundServer> {
/// let inherited = udp::inherited_sockets()?;
/// if inherited.is_empty() {
///     Server::builder().bind("[::]:45678")
/// } else {
///     Server::builder().bind_sockets(inherited)
/// }
/// # }
/// ```
///
/// # Errors
/// When something other than a UDP socket was passed, and those of the system.
pub fn inherited_sockets() -> io::Result<Vec<UdpSocket>> {
    inherited()
}

#[cfg(unix)]
fn inherited() -> io::Result<Vec<UdpSocket>> {
    let mut inherited = listenfd::ListenFd::from_env();
    let sockets = (0..inherited.len()).map(|index| inherited.take_udp_socket(index));
    sockets.filter_map(Result::transpose).collect()
}

#[cfg(not(unix))]
fn inherited() -> io::Result<Vec<UdpSocket>> {
    Ok(Vec::new())
}

/// Returns a socket for each of `count` workers out of those that were passed to this process.
pub(crate) fn spread(sockets: Vec<UdpSocket>, count: usize) -> io::Result<Vec<UdpSocket>> {
    let mut spread = Vec::with_capacity(count.max(sockets.len()));
    for place in sockets.len()..count {
        spread.push(sockets[place % sockets.len()].try_clone()?);
    }
    spread.splice(0..0, sockets);
    Ok(spread)
}

fn open(address: SocketAddr, buffer_len: usize) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // The system may grant less without saying so, which `shortfall` finds out.
    socket.set_recv_buffer_size(buffer_len)?;
    socket.set_send_buffer_size(buffer_len)?;
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn share(socket: Socket) -> io::Result<UdpSocket> {
    socket.set_reuse_port(true)?;
    Ok(socket.into())
}

#[cfg(not(target_os = "linux"))]
fn share(socket: Socket) -> io::Result<UdpSocket> {
    Ok(socket.into())
}

/// Binds a further socket. The kernel spreads clients over the sockets of a port by their addresses
/// and ports.
#[cfg(target_os = "linux")]
fn bind_another(_: &UdpSocket, address: SocketAddr, buffer_len: usize) -> io::Result<UdpSocket> {
    let socket = open(address, buffer_len)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Other systems do not spread clients: the workers receive from one socket.
#[cfg(not(target_os = "linux"))]
fn bind_another(first: &UdpSocket, _: SocketAddr, _: usize) -> io::Result<UdpSocket> {
    first.try_clone()
}

/// As many datagrams as can wait in a socket with this many bytes of buffer, or more: systems
/// charge at least 256 bytes for each (Linux 512, of twice what it was asked for), and have
/// smallest buffers of their own.
pub(crate) fn max_waiting(buffer_len: usize) -> usize {
    buffer_len.max(1 << 16) / 256
}

fn explain(error: &io::Error, address: SocketAddr) -> io::Error {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "another process already serves this port",
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has this address",
        io::ErrorKind::PermissionDenied => "this port needs a privilege (CAP_NET_BIND_SERVICE)",
        _ => return io::Error::new(error.kind(), format!("{address}: {error}")),
    };
    io::Error::new(error.kind(), format!("{address}: {why}"))
}

/// The system granted a socket less buffer than it was asked for: bursts are lost sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BufferShortfall {
    /// Bytes that were asked for.
    pub wanted: usize,
    /// Bytes granted for receiving.
    pub receive: usize,
    /// Bytes granted for sending.
    pub send: usize,
}

/// Compares what a socket was granted with what it was asked to have.
pub(crate) fn shortfall(socket: &UdpSocket, wanted: usize) -> io::Result<Option<BufferShortfall>> {
    let socket = socket2::SockRef::from(socket);
    // Linux counts its own bookkeeping, as much again, in what it reports, and not in its limits.
    let share = if cfg!(target_os = "linux") { 2 } else { 1 };
    let receive = socket.recv_buffer_size()? / share;
    let send = socket.send_buffer_size()? / share;
    Ok((receive.min(send) < wanted).then_some(BufferShortfall { wanted, receive, send }))
}

/// With the command that helps.
impl fmt::Display for BufferShortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, receive, send } = self;
        write!(f, "socket buffers are smaller than the {wanted} bytes asked for (receive {receive}, send {send})")?;
        if cfg!(target_os = "linux") {
            write!(f, ": sysctl -w")?;
            for (name, granted) in [("rmem", receive), ("wmem", send)] {
                if granted < wanted {
                    write!(f, " net.core.{name}_max={wanted}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn all_sockets_have_one_port() {
        let sockets = bind(ANY_PORT, 3, 1 << 16).unwrap();
        let ports: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        assert!(ports.len() == 3 && ports.iter().all(|port| *port == ports[0] && port.port() != 0));
    }

    #[test]
    fn a_served_port_is_refused_however_it_is_served() {
        for count in [1, 2] {
            let ours = bind(ANY_PORT, count, 1 << 16).unwrap();
            let address = ours[0].local_addr().unwrap();
            for count in [1, 2] {
                let error = bind(address, count, 1 << 16).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
                assert_eq!(error.to_string(), format!("{address}: another process already serves this port"));
            }
            drop(ours);
            bind(address, count, 1 << 16).unwrap();
        }
        // A socket that allows sharing.
        let theirs = open(ANY_PORT, 1 << 16).unwrap();
        theirs.set_reuse_port(true).unwrap();
        theirs.bind(&ANY_PORT.into()).unwrap();
        let address = theirs.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(bind(address, 2, 1 << 16).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn the_unspecified_ipv6_address_takes_ipv4_too() {
        let sockets = bind((Ipv6Addr::UNSPECIFIED, 0).into(), 2, 1 << 16).unwrap();
        let port = sockets[0].local_addr().unwrap().port();
        let client = UdpSocket::bind(ANY_PORT).unwrap();
        client.send_to(b"hello", (Ipv4Addr::LOCALHOST, port)).unwrap();
        let received = sockets.iter().any(|socket| {
            socket.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
            socket.recv(&mut [0; 10]).is_ok()
        });
        assert!(received);
    }

    #[test]
    fn passed_sockets_are_spread_over_the_workers() {
        let sockets = || vec![UdpSocket::bind(ANY_PORT).unwrap(), UdpSocket::bind(ANY_PORT).unwrap()];
        assert_eq!(spread(sockets(), 1).unwrap().len(), 2);
        let spread = spread(sockets(), 5).unwrap();
        let address = |place: usize| spread[place].local_addr().unwrap();
        assert_eq!(spread.len(), 5);
        assert!(address(0) == address(2) && address(1) == address(3) && address(0) == address(4));
    }

    #[test]
    fn no_more_datagrams_wait_in_a_socket_than_is_said() {
        for buffer_len in [0, 1 << 16, 1 << 20] {
            let receiver = open(ANY_PORT, buffer_len).unwrap();
            receiver.bind(&ANY_PORT.into()).unwrap();
            let receiver = UdpSocket::from(receiver);
            let sender = UdpSocket::bind(ANY_PORT).unwrap();
            for _ in 0..=max_waiting(buffer_len) {
                sender.send_to(&[], receiver.local_addr().unwrap()).unwrap();
            }
            receiver.set_nonblocking(true).unwrap();
            let waiting = std::iter::from_fn(|| receiver.recv(&mut []).ok()).count();
            assert!((1..=max_waiting(buffer_len)).contains(&waiting), "{waiting} in {buffer_len} bytes");
        }
    }

    #[test]
    fn small_buffers_are_noticed_with_the_remedy() {
        let socket = open(ANY_PORT, 1 << 16).unwrap().into();
        assert_eq!(shortfall(&socket, 1 << 16).unwrap(), None);
        let shortfall = shortfall(&socket, 1 << 30).unwrap().unwrap();
        assert_eq!(shortfall, BufferShortfall { wanted: 1 << 30, receive: 1 << 16, send: 1 << 16 });
        assert_eq!(
            shortfall.to_string(),
            "socket buffers are smaller than the 1073741824 bytes asked for (receive 65536, send 65536): sysctl -w \
             net.core.rmem_max=1073741824 net.core.wmem_max=1073741824"
        );
        let only_receive = BufferShortfall { send: 1 << 30, ..shortfall };
        assert!(only_receive.to_string().ends_with("sysctl -w net.core.rmem_max=1073741824"));
    }
}
