//! The way to a running server: options, then a port.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::num::NonZeroUsize;
use std::thread;

use arc_swap::ArcSwap;

use super::config::ActiveConfig;
use super::shared::{Limits, Shared};
use super::{Server, ServerConfig};
use crate::reply_cache::ReplyCache;
use crate::runtime::Shutdown;
use crate::udp::{self, BufferShortfall, KernelDrops, MAX_DATAGRAM};

impl Server {
    /// Returns a builder. [`ServerBuilder::bind`] takes the port, and [`BoundServer::serve`] starts
    /// the workers under a [`ServerConfig`].
    ///
    /// ```
    /// use pssst_net::pssst::{SecretKey, SysRng};
    /// use pssst_net::{Client, Handler, Reply, Request, Server, ServerConfig};
    ///
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// let secret = SecretKey::generate(&mut SysRng)?;
    /// let server_key = secret.public_key();
    /// let echo = Handler::from_fn(|request: Request<&[u8]>| Some(Reply::copy_from(request.message())));
    /// let server = Server::builder().bind("127.0.0.1:0")?.serve(ServerConfig::new(secret, echo))?;
    ///
    /// let client = Client::builder(server_key).connect(server.local_addr().to_string()).await?;
    /// assert_eq!(client.request("hello").await?, "hello");
    ///
    /// let stats = server.shutdown(std::time::Duration::from_secs(5)).await;
    /// assert_eq!(stats.received, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }
}

/// Configures what stays as it is while a [`Server`] runs: workers, sockets, sizes. The rest is its
/// [`ServerConfig`].
#[derive(Debug)]
#[must_use]
pub struct ServerBuilder {
    workers: usize,
    buffer_len: usize,
    limits: Limits,
    reply_cache_bytes: usize,
}

impl ServerBuilder {
    fn new() -> Self {
        Self {
            workers: thread::available_parallelism().map_or(1, NonZeroUsize::get),
            buffer_len: 4 << 20,
            limits: Limits { datagram: 2048, in_flight: 4096 },
            reply_cache_bytes: 16 << 20,
        }
    }

    /// Sets the number of worker threads, each with its own socket; at least 1. One for each core
    /// by default.
    ///
    /// The kernel spreads clients over the workers by their addresses and ports, so a single client
    /// with a single port is served by one worker.
    pub fn workers(self, workers: usize) -> Self {
        Self { workers: workers.max(1), ..self }
    }

    /// Sets the longest accepted request datagram, in bytes; 2,048 by default. Longer ones are
    /// dropped and counted.
    pub fn max_datagram(mut self, bytes: usize) -> Self {
        self.limits.datagram = bytes.min(MAX_DATAGRAM);
        self
    }

    /// Requests that a worker holds for its handler at most, 4,096 by default; at least 1. Beyond
    /// them the newest are dropped and counted: clients send them again, later.
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.limits.in_flight = requests.max(1);
        self
    }

    /// Bytes of memory in which recent replies under suite 1 are remembered, 16 MiB by default, 0
    /// for none. The other suites need no such memory.
    ///
    /// A request that comes again then gets the very bytes that it got before, without asking the
    /// handler. It is not state of the protocol: any entry may be dropped at any time. It narrows
    /// the danger of two different answers to one request, and does not remove it:
    /// other servers of the pool do not share it. See [`Request`](crate::Request).
    pub fn reply_cache(self, bytes: usize) -> Self {
        Self { reply_cache_bytes: bytes, ..self }
    }

    /// Bytes of each socket's buffers that the system is asked for, 4 MiB by default: what waits
    /// there while a worker is busy. [`BoundServer::buffer_shortfall`] tells whether the system
    /// granted them.
    pub fn socket_buffer(self, bytes: usize) -> Self {
        Self { buffer_len: bytes, ..self }
    }

    /// Takes the port: from here on datagrams wait for the server. Port 0 takes a free one.
    ///
    /// `[::]` takes IPv4 as well as IPv6. Replies leave from the address that their request came
    /// to.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] when another process serves the port, even if it would share
    /// it; and whatever the system has against the address.
    pub fn bind(self, address: impl ToSocketAddrs) -> io::Result<BoundServer> {
        let mut outcome = Err(io::Error::new(io::ErrorKind::InvalidInput, "no address to serve"));
        for address in address.to_socket_addrs()? {
            outcome = udp::bind(address, self.workers, self.buffer_len);
            if outcome.is_ok() {
                break;
            }
        }
        BoundServer::new(self, outcome?, false)
    }

    /// Serves sockets that are bound already, such as those that a service manager passed to this
    /// process ([`udp::inherited_sockets`]). With fewer sockets than workers, several workers share
    /// one.
    ///
    /// At shutdown what waits in these sockets is left to the other process that holds them.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] without any socket, and those of the system.
    pub fn bind_sockets(self, sockets: Vec<UdpSocket>) -> io::Result<BoundServer> {
        if sockets.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no socket to serve"));
        }
        let sockets = udp::spread(sockets, self.workers)?;
        BoundServer::new(self, sockets, true)
    }
}

impl ServerBuilder {
    /// Returns what the workers share.
    pub(crate) fn shared(self, config: ServerConfig, is_inherited: bool) -> Shared {
        Shared {
            config: ArcSwap::from_pointee(ActiveConfig::new(config, None)),
            limits: self.limits,
            reply_cache: (self.reply_cache_bytes > 0).then(|| ReplyCache::new(self.reply_cache_bytes)),
            shutdown: Shutdown::default(),
            max_waiting: udp::max_waiting(self.buffer_len),
            is_inherited,
        }
    }
}

/// A server that has its port and does not serve yet.
#[derive(Debug)]
#[must_use]
pub struct BoundServer {
    settings: ServerBuilder,
    sockets: Vec<UdpSocket>,
    is_inherited: bool,
    local_addr: SocketAddr,
    shortfall: Option<BufferShortfall>,
}

impl BoundServer {
    fn new(settings: ServerBuilder, sockets: Vec<UdpSocket>, is_inherited: bool) -> io::Result<Self> {
        let local_addr = sockets[0].local_addr()?;
        let shortfall = udp::shortfall(&sockets[0], settings.buffer_len)?;
        if let Some(shortfall) = shortfall {
            tracing::warn!("{shortfall}");
        }
        Ok(Self { settings, sockets, is_inherited, local_addr, shortfall })
    }

    /// Returns the address and port that are served.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Returns whether the system granted smaller socket buffers than were asked for, and what to
    /// do about it. It was logged, once.
    pub const fn buffer_shortfall(&self) -> Option<BufferShortfall> {
        self.shortfall
    }

    /// Starts the workers.
    ///
    /// # Errors
    /// If the system cannot start a thread or an event queue.
    pub fn serve(self, config: ServerConfig) -> io::Result<Server> {
        let Self { settings, sockets, is_inherited, local_addr, .. } = self;
        let kernel_drops = KernelDrops::of(&sockets)?;
        Server::start(settings.shared(config, is_inherited), sockets, kernel_drops, local_addr)
    }
}
