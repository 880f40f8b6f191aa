//! The network that a client uses: the system's UDP, or one that tests simulate.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use pssst::SysRng;
use pssst::rand_core::TryRng;
use tokio::net::UdpSocket;

use crate::udp;

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Everything that a client asks of the world, but the time.
pub(crate) trait Network: Send + Sync {
    /// Returns the addresses of a server.
    fn resolve<'a>(&'a self, server: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;

    /// Returns a socket with a port of its own, which exchanges datagrams with this address only.
    fn connect(&self, server: SocketAddr) -> io::Result<Box<dyn ClientSocket>>;

    /// Returns a random number between 0 and 1, to keep clients from sending in step.
    fn fraction(&self) -> f64;
}

/// A connected socket.
pub(crate) trait ClientSocket: Send + Sync {
    /// Waits for a datagram and returns its length, or for an error that the network reports. For
    /// one task only.
    fn recv<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, io::Result<usize>>;

    /// Returns the IP address that it sends from, if the system tells.
    fn local_ip(&self) -> Option<IpAddr>;

    /// Returns the MTU of the path, if the system knows it: of IP packets, with their headers.
    fn path_mtu(&self) -> Option<usize>;

    /// Waits while the socket's buffer is full.
    fn send<'a>(&'a self, packet: &'a [u8]) -> BoxFuture<'a, io::Result<()>>;
}

/// The system's UDP.
pub(super) struct Udp;

impl Network for Udp {
    fn resolve<'a>(&'a self, server: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(udp::lookup(server))
    }

    fn connect(&self, server: SocketAddr) -> io::Result<Box<dyn ClientSocket>> {
        let socket = udp::connect_async(server)?;
        udp::forbid_fragments(&socket, server)?;
        Ok(Box::new(socket))
    }

    fn fraction(&self) -> f64 {
        // Without randomness clients may send in step, which is better than not sending.
        SysRng.try_next_u32().map_or(0.0, |number| f64::from(number) / f64::from(u32::MAX))
    }
}

impl ClientSocket for UdpSocket {
    fn local_ip(&self) -> Option<IpAddr> {
        self.local_addr().ok().map(|address| address.ip())
    }

    fn path_mtu(&self) -> Option<usize> {
        udp::path_mtu(self)
    }

    fn recv<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, io::Result<usize>> {
        Box::pin(async move {
            loop {
                udp::readable(self).await?;
                match udp::try_receive(self, buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    outcome => return outcome,
                }
            }
        })
    }

    fn send<'a>(&'a self, packet: &'a [u8]) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move { Self::send(self, packet).await.map(drop) })
    }
}
