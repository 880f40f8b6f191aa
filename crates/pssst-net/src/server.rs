//! The server: one worker for each core, each with its own socket, batch and handler.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pssst::ServerKey;
use pssst_support::sync::lock;

pub use builder::{BoundServer, ServerBuilder};
pub use config::ServerConfig;
pub use handler::Handler;
pub use request::{Reply, Request};
pub use stats::{DatagramOutcome, Stats};

use crate::runtime::Threads;
use crate::udp::{BatchSocket, KernelDrops};
use config::ActiveConfig;

pub(crate) use shared::Shared;
pub(crate) use stats::WorkerCounts;
#[cfg(test)]
pub(crate) use worker::ServerSocket;
pub(crate) use worker::Worker;

mod builder;
mod config;
mod context;
mod handler;
mod handlers;
mod request;
mod shared;
mod stats;
mod worker;

/// A running server.
///
/// Dropping it stops it at once; [`Server::shutdown`] stops it without losing a request.
pub struct Server {
    shared: Arc<Shared>,
    counts: Vec<Arc<WorkerCounts>>,
    kernel_drops: Mutex<KernelDrops>,
    local_addr: SocketAddr,
    threads: Threads,
    /// Held while the configuration is changed.
    changing_config: Mutex<()>,
}

impl Server {
    fn start(
        shared: Shared,
        sockets: Vec<UdpSocket>,
        kernel_drops: KernelDrops,
        local_addr: SocketAddr,
    ) -> io::Result<Self> {
        let mut server = Self {
            shared: Arc::new(shared),
            counts: Vec::new(),
            kernel_drops: Mutex::new(kernel_drops),
            local_addr,
            threads: Threads::default(),
            changing_config: Mutex::default(),
        };
        for (index, socket) in sockets.into_iter().enumerate() {
            server.start_worker(index, socket)?;
        }
        tracing::info!(address = %local_addr, workers = server.counts.len(), "serving");
        Ok(server)
    }

    /// Returns the address and port that are served.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Returns counts of what the server has done so far.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::new();
        self.worker_stats().iter().for_each(|worker| stats.add(worker));
        stats.kernel_drops = lock(&self.kernel_drops).count();
        stats
    }

    /// Returns counts of what each worker has done so far.
    pub fn worker_stats(&self) -> Vec<Stats> {
        self.counts.iter().map(|counts| counts.snapshot()).collect()
    }

    /// Returns the age of the oldest event-loop iteration of any worker. Well above a second: a
    /// handler blocks its worker, or the worker has ended.
    pub fn worker_stall(&self) -> Duration {
        self.threads.oldest_heartbeat()
    }

    /// Returns the public keys in use: those of each kind in the order in which they are tried.
    pub fn server_keys(&self) -> Vec<ServerKey> {
        self.shared.config.load().config.server_keys()
    }

    /// Calls `function` with the protocol's server of the configuration in use.
    pub fn with_protocol<T>(&self, function: impl FnOnce(&pssst::Server) -> T) -> T {
        let config = self.shared.config.load_full();
        function(config.server())
    }

    /// Returns the configuration in use.
    pub fn config(&self) -> ServerConfig {
        self.shared.config.load().config.clone()
    }

    /// Replaces the configuration, as one: no packet is lost, and each is served under the old
    /// configuration or under the new one.
    ///
    /// Workers take it with their next batch, and idle ones within a second. If the new handler
    /// panics as it is made for a worker, that worker keeps the old configuration, and counts and
    /// logs it ([`Stats::config_errors`]).
    pub fn set_config(&self, config: ServerConfig) {
        self.update_config(|_| config);
    }

    /// Replaces the configuration as [`set_config`](Self::set_config) does, with what `update`
    /// makes of the one in use. Updates wait for one another, so none is lost;
    /// `update` must not replace the configuration itself.
    pub fn update_config(&self, update: impl FnOnce(ServerConfig) -> ServerConfig) {
        let _guard = lock(&self.changing_config);
        let previous = self.shared.config.load();
        let config = update(previous.config.clone());
        let keys = config.server_keys().len();
        self.shared.config.store(Arc::new(ActiveConfig::new(config, Some(&previous))));
        tracing::debug!(keys, "configuration replaced");
    }

    /// Stops: reads what waits in the sockets (unless they were passed to this process and live
    /// on), finishes what was accepted, as far as `within` allows, and closes. Returns what the
    /// server has done in its life.
    ///
    /// Further calls wait for the same end.
    pub async fn shutdown(&self, within: Duration) -> Stats {
        self.shared.shutdown.request(within);
        self.threads.ended().await;
        self.end()
    }

    /// Stops as [`Server::shutdown`] does, for programs without async: blocks its thread.
    pub fn shutdown_blocking(&self, within: Duration) -> Stats {
        self.shared.shutdown.request(within);
        self.threads.join();
        self.end()
    }

    /// Lets go of the port.
    fn end(&self) -> Stats {
        lock(&self.kernel_drops).close();
        self.stats()
    }

    fn start_worker(&mut self, index: usize, socket: UdpSocket) -> io::Result<()> {
        let counts = Arc::new(WorkerCounts::new());
        let (shared, its_counts) = (Arc::clone(&self.shared), Arc::clone(&counts));
        self.threads.start(format!("pssst-worker-{index}"), move |heartbeat| {
            Ok(Worker::new(BatchSocket::new(socket)?, shared, its_counts, heartbeat).run())
        })?;
        self.counts.push(counts);
        Ok(())
    }
}

/// Stops the workers, which give up what they have not finished.
impl Drop for Server {
    fn drop(&mut self) {
        self.shared.shutdown.request(Duration::ZERO);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addr", &self.local_addr)
            .field("workers", &self.counts.len())
            .finish_non_exhaustive()
    }
}
