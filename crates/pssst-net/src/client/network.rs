//! What a client reaches servers by: the system's UDP, or a network that tests make up.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use pssst::SysRng;
use pssst::rand_core::TryRng;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Everything that a client asks of the world, but the time.
pub(crate) trait Network: Send + Sync {
    /// The addresses of a server.
    fn resolve<'a>(&'a self, server: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;

    /// A socket with a port of its own, which exchanges datagrams with this address only.
    fn connect(&self, server: SocketAddr) -> io::Result<Box<dyn Datagrams>>;

    /// A random number between 0 and 1, to keep clients from sending in step.
    fn fraction(&self) -> f64;
}

/// A connected socket.
pub(crate) trait Datagrams: Send + Sync {
    /// For one task only.
    fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;

    /// Waits while the socket's buffer is full.
    fn send<'a>(&'a self, packet: &'a [u8]) -> BoxFuture<'a, io::Result<()>>;
}

/// The system's UDP.
pub(super) struct Udp;

impl Network for Udp {
    fn resolve<'a>(&'a self, server: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host(server).await?.collect()) })
    }

    fn connect(&self, server: SocketAddr) -> io::Result<Box<dyn Datagrams>> {
        let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = std::net::UdpSocket::bind((any, 0))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        Ok(Box::new(UdpSocket::from_std(socket)?))
    }

    fn fraction(&self) -> f64 {
        // Without randomness clients may send in step, which is no reason not to send.
        SysRng.try_next_u32().map_or(0.0, |number| f64::from(number) / f64::from(u32::MAX))
    }
}

impl Datagrams for UdpSocket {
    fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Self::poll_recv(self, cx, buffer)
    }

    fn send<'a>(&'a self, packet: &'a [u8]) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move { Self::send(self, packet).await.map(drop) })
    }
}
