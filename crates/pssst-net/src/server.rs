//! The server: one worker for each core, each with its own socket, batch and handler.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use pssst::{KeyCheck, Keyring, PublicKey, SecretKey, Suite, SuiteSet};
use tokio::sync::watch;

pub use handler::Handler;
pub use listen::BufferShortfall;
pub use request::{Reply, Request};
pub use stats::{Outcome, Stats};

use crate::memo::Memo;
use crate::rate_limit::{RateLimit, RateLimiter};
use crate::time::after;
use crate::udp::{BatchSocket, MAX_DATAGRAM};
use kernel::KernelDrops;
use shared::{Amplification, Limits, Serving, Stop};

pub(crate) use shared::Shared;
pub(crate) use stats::WorkerCounts;
#[cfg(test)]
pub(crate) use worker::Datagrams;
pub(crate) use worker::Worker;

mod handler;
mod kernel;
mod listen;
mod request;
mod shared;
mod stats;
mod worker;

/// How a server is to be. [`ServerBuilder::bind`] takes its port.
#[derive(Debug)]
#[must_use]
pub struct ServerBuilder {
    serving: Serving,
    workers: usize,
    buffer_len: usize,
    limits: Limits,
    memo_len: usize,
    memo_suites: SuiteSet,
}

impl ServerBuilder {
    fn new(server: pssst::Server) -> Self {
        Self {
            serving: Serving {
                server: Arc::new(server),
                check: Arc::new(|_| KeyCheck::Validate),
                rate_limiter: None,
                amplification: Amplification { anonymous: Some(3), authenticated: Some(3) },
            },
            workers: thread::available_parallelism().map_or(1, NonZeroUsize::get),
            buffer_len: 4 << 20,
            limits: Limits { datagram: 2048, in_flight: 4096 },
            memo_len: 16 << 20,
            memo_suites: SuiteSet::from_iter([Suite::X25519AesGcm128]),
        }
    }

    /// Worker threads, each with its own socket; at least 1. One for each core by default.
    ///
    /// The kernel spreads clients over the workers by their addresses and ports, so a single client with a single port is
    /// served by one worker.
    pub fn workers(self, workers: usize) -> Self {
        Self { workers: workers.max(1), ..self }
    }

    /// What is said of a client key that passed its proof, as in [`pssst::Server::open_request_with`]: ask a list of enrolled
    /// clients here. By default every valid key is served.
    pub fn clients(self, check: impl Fn(&PublicKey) -> KeyCheck + Send + Sync + 'static) -> Self {
        Self { serving: Serving { check: Arc::new(check), ..self.serving }, ..self }
    }

    /// Bytes of the longest request datagram that is taken, 2,048 by default. Longer ones are dropped and counted.
    pub fn max_datagram(mut self, bytes: usize) -> Self {
        self.limits.datagram = bytes.min(MAX_DATAGRAM);
        self
    }

    /// Requests that a worker holds for its handler at most, 4,096 by default; at least 1. Beyond them the newest are dropped
    /// and counted: clients send them again, later.
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.limits.in_flight = requests.max(1);
        self
    }

    /// How many times longer a reply datagram may be than its request, 3 by default; `None` for no limit. Longer replies are
    /// not sent, and are counted.
    ///
    /// The sender's address of a request can be forged, so a server answers whoever an attacker points it at. Three times is
    /// what QUIC allows towards addresses that are not validated (RFC 9000, section 8.1).
    pub fn max_amplification(mut self, times: impl Into<Option<u32>>) -> Self {
        self.serving.amplification.anonymous = times.into();
        self
    }

    /// The same for requests of authenticated clients, whose requests others can repeat, too. 3 by default.
    pub fn max_authenticated_amplification(mut self, times: impl Into<Option<u32>>) -> Self {
        self.serving.amplification.authenticated = times.into();
        self
    }

    /// Bytes of memory in which recent replies are remembered, 16 MiB by default, 0 for none; and under which suites, suite 1
    /// by default.
    ///
    /// A request that comes again then gets the very bytes that it got before, without asking the handler. That is no state of
    /// the protocol, since any of it may be forgotten at any time. It narrows the danger of two different answers to one
    /// request under suite 1, and does not remove it: another server of the pool knows nothing of it. See [`Request`].
    pub fn memo(self, bytes: usize, suites: SuiteSet) -> Self {
        Self { memo_len: bytes, memo_suites: suites, ..self }
    }

    /// Limits what each prefix of source addresses may ask. Unlimited by default.
    pub fn rate_limit(mut self, limit: impl Into<Option<RateLimit>>) -> Self {
        self.serving.rate_limiter = limit.into().map(|limit| Arc::new(RateLimiter::new(limit)));
        self
    }

    /// Bytes of each socket's buffers that the system is asked for, 4 MiB by default: what waits there while a worker is
    /// busy. [`BoundServer::buffer_shortfall`] tells whether the system granted them.
    pub fn socket_buffer(self, bytes: usize) -> Self {
        Self { buffer_len: bytes, ..self }
    }

    /// Takes the port: from here on datagrams wait for the server. Port 0 takes a free one.
    ///
    /// `[::]` takes IPv4 as well as IPv6. Replies leave from the address that their request came to.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] when another process serves the port, even if it would share it; and whatever the system
    /// has against the address.
    pub fn bind(self, address: impl ToSocketAddrs) -> io::Result<BoundServer> {
        let mut outcome = Err(io::Error::new(io::ErrorKind::InvalidInput, "no address to serve"));
        for address in address.to_socket_addrs()? {
            outcome = listen::bind(address, self.workers, self.buffer_len);
            if outcome.is_ok() {
                break;
            }
        }
        BoundServer::new(self, outcome?, false)
    }

    /// Serves sockets that are bound already. With fewer sockets than workers, several workers share one.
    ///
    /// At shutdown what waits in these sockets is left to whoever else holds them.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] without any socket, and those of the system.
    pub fn bind_sockets(self, sockets: Vec<UdpSocket>) -> io::Result<BoundServer> {
        if sockets.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no socket to serve"));
        }
        let sockets = listen::spread(sockets, self.workers)?;
        BoundServer::new(self, sockets, true)
    }

    /// Serves the UDP sockets that the service manager passed to this process (systemd's socket activation), if it did. Such
    /// sockets outlive the process: no datagram is lost while one server ends and the next one starts.
    ///
    /// If none was passed, the settings come back as the inner error, for [`ServerBuilder::bind`]. They are passed once: a
    /// second call finds none.
    ///
    /// ```no_run
    /// # use pssst_net::{BoundServer, ServerBuilder};
    /// fn take_port(builder: ServerBuilder) -> std::io::Result<BoundServer> {
    ///     builder.bind_passed()?.or_else(|builder| builder.bind("[::]:45678"))
    /// }
    /// ```
    ///
    /// # Errors
    /// When something other than a UDP socket was passed, and those of the system.
    #[cfg(unix)]
    pub fn bind_passed(self) -> io::Result<Result<BoundServer, Self>> {
        let mut passed = listenfd::ListenFd::from_env();
        let mut sockets = Vec::new();
        for place in 0..passed.len() {
            sockets.extend(passed.take_udp_socket(place)?);
        }
        if sockets.is_empty() { Ok(Err(self)) } else { self.bind_sockets(sockets).map(Ok) }
    }
}

impl ServerBuilder {
    /// What the workers share.
    pub(crate) fn shared(self, handler: Handler, is_inherited: bool) -> Shared {
        Shared {
            serving: ArcSwap::from_pointee(self.serving),
            handler: ArcSwap::from_pointee(handler),
            limits: self.limits,
            memo: (self.memo_len > 0).then(|| Memo::new(self.memo_len)),
            memo_suites: self.memo_suites,
            stop: Stop::default(),
            max_waiting: listen::max_waiting(self.buffer_len),
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
        let shortfall = listen::shortfall(&sockets[0], settings.buffer_len)?;
        if let Some(shortfall) = shortfall {
            tracing::warn!("{shortfall}");
        }
        Ok(Self { settings, sockets, is_inherited, local_addr, shortfall })
    }

    /// The address and port that are served.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Whether the system granted smaller socket buffers than were asked for, and what to do about it. It was logged, once.
    pub const fn buffer_shortfall(&self) -> Option<BufferShortfall> {
        self.shortfall
    }

    /// The public keys, in the order in which they are tried.
    pub fn public_keys(&self) -> Vec<PublicKey> {
        self.settings.serving.public_keys()
    }

    /// Starts the workers.
    ///
    /// # Errors
    /// When the system has no thread or no event queue left.
    pub fn serve(self, handler: Handler) -> io::Result<Server> {
        let Self { settings, sockets, is_inherited, local_addr, .. } = self;
        let shared = Arc::new(settings.shared(handler, is_inherited));
        let kernel_drops = KernelDrops::of(&sockets)?;
        let mut server = Server {
            shared,
            counts: Vec::new(),
            kernel_drops: Mutex::new(kernel_drops),
            local_addr,
            running: watch::Sender::default(),
            threads: Mutex::default(),
        };
        for (place, socket) in sockets.into_iter().enumerate() {
            server.start_worker(place, socket)?;
        }
        tracing::info!(address = %local_addr, workers = server.counts.len(), "serving");
        Ok(server)
    }
}

/// A running server.
///
/// Dropping it stops it at once; [`Server::shutdown`] stops it without losing a request.
pub struct Server {
    shared: Arc<Shared>,
    counts: Vec<Arc<WorkerCounts>>,
    kernel_drops: Mutex<KernelDrops>,
    local_addr: SocketAddr,
    /// Closed when the last worker has ended.
    running: watch::Sender<()>,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Server {
    /// A server with this key, or these keys; or with a whole [`pssst::Server`], if it is to accept fewer suites.
    ///
    /// ```
    /// use pssst_net::{Client, Handler, Reply, Request, Server};
    /// use pssst_net::pssst::{SecretKey, SysRng};
    ///
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// let secret = SecretKey::generate(&mut SysRng)?;
    /// let server_key = secret.public_key();
    /// let server = Server::builder(secret)
    ///     .bind("127.0.0.1:0")?
    ///     .serve(Handler::function(|request: Request| Some(Reply::from(request.into_message()))))?;
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
    pub fn builder(keys: impl Into<ServerKeys>) -> ServerBuilder {
        ServerBuilder::new(keys.into().0)
    }

    /// The address and port that are served.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What the server has done so far.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::new();
        self.worker_stats().iter().for_each(|worker| stats.add(worker));
        stats.kernel_drops = lock(&self.kernel_drops).count();
        stats
    }

    /// What each worker has done so far.
    pub fn worker_stats(&self) -> Vec<Stats> {
        self.counts.iter().map(|counts| counts.snapshot()).collect()
    }

    /// How long the worker that has been at it the longest is in its present turn: receiving a batch, answering it, and waiting
    /// for the next one, though for no more than a second. Much more than a second means that a handler blocks its worker.
    pub fn longest_turn(&self) -> Duration {
        self.counts.iter().map(|counts| counts.turns.present()).max().unwrap_or_default()
    }

    /// The public keys in use, in the order in which they are tried.
    pub fn public_keys(&self) -> Vec<PublicKey> {
        self.shared.serving.load().public_keys()
    }

    /// Replaces the keys, or the whole [`pssst::Server`]. No packet is lost: each is opened with the old ones or the new ones.
    /// The old ones are wiped as soon as no worker uses them.
    pub fn replace_keys(&self, keys: impl Into<ServerKeys>) {
        let server = Arc::new(keys.into().0);
        self.shared.serving.rcu(|serving| Serving { server: Arc::clone(&server), ..Serving::clone(serving) });
        tracing::info!(keys = server.keyring().public_keys().count(), "keys replaced");
    }

    /// Replaces what [`ServerBuilder::clients`] was given.
    pub fn replace_clients(&self, check: impl Fn(&PublicKey) -> KeyCheck + Send + Sync + 'static) {
        let check: shared::Check = Arc::new(check);
        self.shared.serving.rcu(|serving| Serving { check: Arc::clone(&check), ..Serving::clone(serving) });
    }

    /// Replaces what [`ServerBuilder::max_amplification`] and [`ServerBuilder::max_authenticated_amplification`] were given.
    pub fn replace_max_amplification(
        &self,
        times: impl Into<Option<u32>>,
        authenticated_times: impl Into<Option<u32>>,
    ) {
        let amplification = Amplification { anonymous: times.into(), authenticated: authenticated_times.into() };
        self.shared.serving.rcu(|serving| Serving { amplification, ..Serving::clone(serving) });
    }

    /// Replaces what [`ServerBuilder::rate_limit`] was given. Under another limit than before all sources begin anew.
    pub fn replace_rate_limit(&self, limit: impl Into<Option<RateLimit>>) {
        let limit = limit.into();
        let present = self.shared.serving.load().rate_limiter.as_ref().map(|limiter| limiter.limit());
        if limit != present {
            let limiter = limit.map(|limit| Arc::new(RateLimiter::new(limit)));
            self.shared.serving.rcu(|serving| Serving { rate_limiter: limiter.clone(), ..Serving::clone(serving) });
        }
    }

    /// Replaces the handler. Requests that the old one has taken are finished by it.
    pub fn replace_handler(&self, handler: Handler) {
        self.shared.handler.store(Arc::new(handler));
    }

    /// Stops: reads what waits in the sockets (unless they were passed to this process and live on), finishes what was
    /// accepted, as far as `within` allows, and closes. Returns what the server has done in its life.
    ///
    /// Whoever calls it again waits for the same end.
    pub async fn shutdown(&self, within: Duration) -> Stats {
        self.request_stop(within);
        self.running.closed().await;
        self.end()
    }

    /// [`Server::shutdown`] for programs without async: blocks its thread.
    pub fn shutdown_blocking(&self, within: Duration) -> Stats {
        self.request_stop(within);
        // Whoever comes second waits for the first.
        for thread in lock(&self.threads).drain(..) {
            // What made it panic was said when it did.
            drop(thread.join());
        }
        self.end()
    }

    /// Lets go of the port.
    fn end(&self) -> Stats {
        lock(&self.kernel_drops).close();
        self.stats()
    }

    fn request_stop(&self, within: Duration) {
        self.shared.stop.request(after(within));
    }

    fn start_worker(&mut self, place: usize, socket: UdpSocket) -> io::Result<()> {
        let running = self.running.subscribe();
        let counts = Arc::new(WorkerCounts::new());
        let (shared, its_counts) = (Arc::clone(&self.shared), Arc::clone(&counts));
        let (report, started) = std::sync::mpsc::sync_channel(1);
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let outcome = runtime.and_then(|runtime| {
                let entered = runtime.enter();
                let worker = Worker::new(BatchSocket::new(socket)?, shared, its_counts);
                drop(entered);
                Ok((runtime, worker))
            });
            match outcome {
                Ok((runtime, worker)) => {
                    drop(report.send(Ok(())));
                    runtime.block_on(worker.run());
                }
                Err(error) => drop(report.send(Err(error))),
            }
            drop(running);
        };
        let thread = thread::Builder::new().name(format!("pssst-worker-{place}")).spawn(work)?;
        lock(&self.threads).push(thread);
        started.recv().unwrap_or_else(|_| Err(io::Error::other("a worker did not start")))?;
        self.counts.push(counts);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stops the workers, which give up what they have not finished.
impl Drop for Server {
    fn drop(&mut self) {
        self.request_stop(Duration::ZERO);
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

/// What a server opens requests with: made from a [`SecretKey`], a [`Keyring`] or a [`pssst::Server`].
#[derive(Debug)]
pub struct ServerKeys(pssst::Server);

impl From<SecretKey> for ServerKeys {
    fn from(secret: SecretKey) -> Self {
        Self(pssst::Server::new(secret))
    }
}

impl From<Keyring> for ServerKeys {
    fn from(keyring: Keyring) -> Self {
        Self(pssst::Server::new(keyring))
    }
}

impl From<pssst::Server> for ServerKeys {
    fn from(server: pssst::Server) -> Self {
        Self(server)
    }
}
