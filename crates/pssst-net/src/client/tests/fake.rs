//! A network that does what a test tells it, in virtual time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::{pending, poll_fn, ready};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::network::{BoxFuture, ClientSocket, Network};

/// Records what is sent, and delivers what a test hands it.
#[derive(Clone)]
pub(super) struct Fake(Arc<Mutex<State>>);

pub(super) struct State {
    start: Instant,
    /// Addresses that the name resolves to from here on, one answer after another; the last one
    /// stays.
    pub(super) resolutions: VecDeque<Resolution>,
    /// Times that the name was resolved.
    pub(super) resolved: u32,
    /// The IP address of sockets that are connected from here on.
    pub(super) local_ip: IpAddr,
    /// Addresses that no socket can be connected to.
    pub(super) unreachable: HashSet<SocketAddr>,
    /// Times that a socket was to be connected.
    pub(super) connects: u32,
    /// The MTU of all paths, if the system knows it.
    pub(super) path_mtu: Option<usize>,
    /// What sending to an address does, unless it works.
    pub(super) sending: HashMap<SocketAddr, Sending>,
    /// What requests draw, in turn and from the start again.
    pub(super) fractions: Vec<f64>,
    drawn: usize,
    pub(super) sent: Vec<Sent>,
    sockets: Vec<Socket>,
}

#[derive(Clone)]
pub(super) enum Resolution {
    To(Vec<SocketAddr>),
    Fails,
    Hangs,
}

#[derive(Clone, Copy)]
pub(super) enum Sending {
    Fails(io::ErrorKind),
    /// As when the socket tells of an earlier packet.
    FailsOnce(io::ErrorKind),
    Hangs,
    /// Fails for datagrams of more than so many bytes.
    TooLarge(usize),
    /// Works, and a router reports datagrams of more than so many bytes.
    Narrow(usize),
    /// Works, and the network reports a closed port.
    Refused,
}

/// A datagram that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// Milliseconds since the network was made.
    pub(super) at: u128,
    /// The local socket, by its number in the order of opening.
    pub(super) socket: usize,
    pub(super) to: SocketAddr,
    pub(super) packet: Vec<u8>,
}

struct Socket {
    inbox: VecDeque<io::Result<Vec<u8>>>,
    /// Receiving fails, again and again.
    storm: Option<io::ErrorKind>,
    polls: usize,
    waker: Option<Waker>,
    is_open: bool,
}

impl Fake {
    /// Returns a network on which the server's name resolves to these addresses.
    pub(super) fn new(addresses: &[SocketAddr]) -> Self {
        Self(Arc::new(Mutex::new(State {
            start: Instant::now(),
            resolutions: [Resolution::To(addresses.to_vec())].into(),
            resolved: 0,
            local_ip: Ipv4Addr::LOCALHOST.into(),
            unreachable: HashSet::new(),
            connects: 0,
            path_mtu: None,
            sending: HashMap::new(),
            fractions: vec![0.0],
            drawn: 0,
            sent: Vec::new(),
            sockets: Vec::new(),
        })))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        pssst_support::sync::lock(&self.0)
    }

    /// Milliseconds since the network was made.
    pub(super) fn now(&self) -> u128 {
        self.state().now()
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.state().sent.clone()
    }

    /// When datagrams were sent.
    pub(super) fn times(&self) -> Vec<u128> {
        self.state().sent.iter().map(|sent| sent.at).collect()
    }

    /// Where datagrams were sent to.
    pub(super) fn destinations(&self) -> Vec<SocketAddr> {
        self.state().sent.iter().map(|sent| sent.to).collect()
    }

    /// Returns the sockets that datagrams were sent from.
    pub(super) fn sources(&self) -> Vec<usize> {
        self.state().sent.iter().map(|sent| sent.socket).collect()
    }

    /// Sockets that are open.
    pub(super) fn open_sockets(&self) -> usize {
        self.state().sockets.iter().filter(|socket| socket.is_open).count()
    }

    /// Lets a datagram arrive on a socket.
    pub(super) fn deliver(&self, socket: usize, packet: impl Into<Vec<u8>>) {
        self.arrive(socket, Ok(packet.into()));
    }

    /// Lets the network report an error on a socket.
    pub(super) fn report(&self, socket: usize, error: io::ErrorKind) {
        self.arrive(socket, Err(error.into()));
    }

    /// Lets a router report on a socket that packets are too long.
    pub(super) fn report_too_large(&self, socket: usize) {
        self.arrive(socket, Err(too_large()));
    }

    /// Lets receiving on a socket fail whenever it is tried, or no longer.
    pub(super) fn set_storm(&self, socket: usize, storm: Option<io::ErrorKind>) {
        let mut state = self.state();
        state.sockets[socket].storm = storm;
        state.sockets[socket].wake();
    }

    /// Times that a socket was asked for a datagram.
    pub(super) fn polls(&self, socket: usize) -> usize {
        self.state().sockets[socket].polls
    }

    fn arrive(&self, socket: usize, what: io::Result<Vec<u8>>) {
        let mut state = self.state();
        let socket = &mut state.sockets[socket];
        assert!(socket.is_open, "something arrives on a closed socket");
        socket.inbox.push_back(what);
        socket.wake();
    }
}

impl State {
    fn now(&self) -> u128 {
        self.start.elapsed().as_millis()
    }
}

impl Socket {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Network for Fake {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        let mut state = self.state();
        state.resolved += 1;
        let resolution = if state.resolutions.len() > 1 {
            state.resolutions.pop_front().unwrap()
        } else {
            state.resolutions[0].clone()
        };
        match resolution {
            Resolution::To(addresses) => Box::pin(ready(Ok(addresses))),
            Resolution::Fails => Box::pin(ready(Err(io::Error::other("no such name")))),
            Resolution::Hangs => Box::pin(pending()),
        }
    }

    fn connect(&self, server: SocketAddr) -> io::Result<Box<dyn ClientSocket>> {
        let mut state = self.state();
        state.connects += 1;
        if state.unreachable.contains(&server) {
            return Err(io::ErrorKind::NetworkUnreachable.into());
        }
        let (inbox, number) = (VecDeque::new(), state.sockets.len());
        state.sockets.push(Socket { inbox, storm: None, polls: 0, waker: None, is_open: true });
        Ok(Box::new(Connected { net: self.clone(), number, server, local_ip: state.local_ip }))
    }

    fn fraction(&self) -> f64 {
        let mut state = self.state();
        let fraction = state.fractions[state.drawn % state.fractions.len()];
        state.drawn += 1;
        fraction
    }
}

/// An open socket; closed when dropped.
struct Connected {
    net: Fake,
    number: usize,
    server: SocketAddr,
    local_ip: IpAddr,
}

impl Connected {
    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        let mut state = self.net.state();
        let socket = &mut state.sockets[self.number];
        socket.polls += 1;
        // A client that does not pause would never let the test see it.
        if let Some(error) = socket.storm.filter(|_| socket.polls < 10_000) {
            return Poll::Ready(Err(error.into()));
        }
        if let Some(outcome) = socket.inbox.pop_front() {
            return Poll::Ready(outcome);
        }
        socket.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl ClientSocket for Connected {
    fn local_ip(&self) -> Option<IpAddr> {
        Some(self.local_ip)
    }

    fn path_mtu(&self) -> Option<usize> {
        self.net.state().path_mtu
    }

    fn recv<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, io::Result<usize>> {
        Box::pin(async move {
            let packet = poll_fn(|cx| self.poll_recv(cx)).await?;
            buffer[..packet.len()].copy_from_slice(&packet);
            Ok(packet.len())
        })
    }

    fn send<'a>(&'a self, packet: &'a [u8]) -> BoxFuture<'a, io::Result<()>> {
        let mut state = self.net.state();
        match state.sending.get(&self.server).copied() {
            Some(Sending::Hangs) => return Box::pin(pending()),
            Some(Sending::Fails(error)) => return Box::pin(ready(Err(error.into()))),
            Some(Sending::TooLarge(limit)) if packet.len() > limit => {
                return Box::pin(ready(Err(too_large())));
            }
            Some(Sending::FailsOnce(error)) => {
                state.sending.remove(&self.server);
                return Box::pin(ready(Err(error.into())));
            }
            Some(Sending::Refused) => {
                let socket = &mut state.sockets[self.number];
                socket.inbox.push_back(Err(io::ErrorKind::ConnectionRefused.into()));
                socket.wake();
            }
            Some(Sending::Narrow(limit)) if packet.len() > limit => {
                let socket = &mut state.sockets[self.number];
                socket.inbox.push_back(Err(too_large()));
                socket.wake();
            }
            Some(Sending::TooLarge(_) | Sending::Narrow(_)) | None => {}
        }
        let sent = Sent { at: state.now(), socket: self.number, to: self.server, packet: packet.to_vec() };
        state.sent.push(sent);
        Box::pin(ready(Ok(())))
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.net.state().sockets[self.number].is_open = false;
    }
}

/// As the system says that a datagram is too large.
pub(super) fn too_large() -> io::Error {
    #[cfg(unix)]
    let code = rustix::io::Errno::MSGSIZE.raw_os_error();
    #[cfg(not(unix))]
    let code = 10_040;
    io::Error::from_raw_os_error(code)
}

/// Waits for a moment, in which everything that can happen at once happens.
pub(super) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
