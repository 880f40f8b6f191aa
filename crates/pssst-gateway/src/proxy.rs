//! The proxy: a client for programs that do not speak PSSST.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pssst_net::Client;
use pssst_net::runtime::{Shutdown, Threads};

use crate::failure_log::FailureLog;

use forwarder::{Forwarder, Settings, Shared};
use stats::Counters;
pub use stats::{Drop as ProxyDrop, ProxyStats};

mod forwarder;
mod stats;

/// Configures a [`Proxy`].
#[derive(Debug)]
#[must_use]
pub struct ProxyBuilder {
    client: Client,
    settings: Settings,
}

impl ProxyBuilder {
    /// Sets the most datagrams in flight at each address; 1,024 by default, at least 1. Beyond them
    /// the newest are dropped and counted.
    pub fn max_in_flight(mut self, datagrams: usize) -> Self {
        self.settings.max_in_flight = datagrams.max(1);
        self
    }

    /// Sends datagrams on and waits for no replies.
    pub fn one_way(mut self, is_one_way: bool) -> Self {
        self.settings.is_one_way = is_one_way;
        self
    }

    /// Also accepts datagrams from other machines. The network between them and the proxy is
    /// unprotected, and anyone who reaches the proxy uses the client's identity.
    pub fn allow_other_hosts(mut self, allow: bool) -> Self {
        self.settings.allows_other_hosts = allow;
        self
    }

    /// Binds these addresses: from here on datagrams are queued for the proxy. Port 0 takes a free
    /// one.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] without any address, and for one that other machines reach,
    /// unless [`ProxyBuilder::allow_other_hosts`] allows it; and those of the system.
    pub fn bind(self, addresses: &[SocketAddr]) -> io::Result<BoundProxy> {
        let reached = addresses.iter().find(|address| !address.ip().is_loopback());
        if let Some(address) = reached.filter(|_| !self.settings.allows_other_hosts) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{address} is not a loopback address: other machines could use the proxy"),
            ));
        }
        let sockets = addresses.iter().map(UdpSocket::bind).collect::<io::Result<Vec<_>>>()?;
        if sockets.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no address to listen at"));
        }
        let local_addrs = sockets.iter().map(UdpSocket::local_addr).collect::<io::Result<_>>()?;
        Ok(BoundProxy { builder: self, sockets, local_addrs })
    }
}

/// A proxy that has its ports and does not serve yet.
#[derive(Debug)]
#[must_use]
pub struct BoundProxy {
    builder: ProxyBuilder,
    sockets: Vec<UdpSocket>,
    local_addrs: Vec<SocketAddr>,
}

impl BoundProxy {
    /// Returns the addresses and ports that programs send to.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Starts a thread for each address.
    ///
    /// # Errors
    /// If the system cannot start a thread or an event queue.
    pub fn serve(self) -> io::Result<Proxy> {
        let ProxyBuilder { client, settings } = self.builder;
        let log = FailureLog::new("server", client.server());
        let shared = Arc::new(Shared {
            log,
            client: ArcSwap::from_pointee(client),
            counters: Counters::default(),
            settings,
            shutdown: Shutdown::default(),
        });
        let mut proxy = Proxy { shared, threads: Threads::default() };
        for socket in self.sockets {
            proxy.start(socket)?;
        }
        Ok(proxy)
    }
}

/// Sends datagrams of programs on its machine as requests to a pool of servers, and returns their
/// replies.
///
/// Each datagram is a separate request, including one that a program retransmits. The reply is sent
/// to the source of the datagram, from the address that it was sent to. Without a reply the program
/// gets nothing, as over UDP. Dropping a proxy stops it at once. See the [crate's
/// documentation](crate) for an example.
pub struct Proxy {
    shared: Arc<Shared>,
    threads: Threads,
}

impl Proxy {
    /// Returns a builder of a proxy that sends its requests with this client.
    pub fn builder(client: Client) -> ProxyBuilder {
        let settings = Settings { max_in_flight: 1024, is_one_way: false, allows_other_hosts: false };
        ProxyBuilder { client, settings }
    }

    /// Its counters.
    pub fn stats(&self) -> ProxyStats {
        self.shared.counters.snapshot()
    }

    /// Returns the age of the oldest event-loop iteration of any thread. Well above a second: a
    /// thread hangs, or has ended.
    pub fn worker_stall(&self) -> Duration {
        self.threads.oldest_heartbeat()
    }

    /// Returns the client that it currently sends with.
    pub fn client(&self) -> Client {
        Client::clone(&self.shared.client.load())
    }

    /// Replaces the client for all further datagrams. What is under way ends with the one that
    /// began it.
    pub fn replace_client(&self, client: Client) {
        self.shared.client.store(Arc::new(client));
    }

    /// Stops: takes nothing more, and finishes what is under way, as far as `within` allows.
    /// Returns what it has done in its life.
    pub async fn shutdown(&self, within: Duration) -> ProxyStats {
        self.shared.shutdown.request(within);
        self.threads.ended().await;
        self.stats()
    }

    fn start(&mut self, socket: UdpSocket) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let shared = Arc::clone(&self.shared);
        self.threads.start("pssst-proxy".into(), move |heartbeat| Ok(Forwarder::new(socket, shared, heartbeat)?.run()))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.shutdown.request(Duration::ZERO);
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
