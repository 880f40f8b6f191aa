//! What `serve` and `gateway` share: a server of PSSST, its keys, and whom it serves.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pssst::{KeyCheck, Keyring, SuiteSet};
use pssst_net::{BoundServer, Handler, RateLimit, Request, Server};
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::key_file;
use crate::observe::page::Page;
use crate::observe::{self, Observed};
use crate::service::seconds_since_1970;
use crate::stderr::say;
use crate::words::sender;
use keys::{KeyOptions, Keys};
use policy::Policy;
pub(crate) use policy::{Clients, SharedClients};
use summary::Summary;

mod keys;
mod policy;
mod summary;

/// How a server is to be.
#[derive(clap::Args, Debug)]
pub(crate) struct ServerOptions {
    /// The address and port to serve; port 0 takes a free one, and [::] serves IPv4 as well as IPv6. Sockets that the service
    /// manager passes (systemd's socket activation) are served instead.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:45678")]
    listen: SocketAddr,
    #[command(flatten)]
    keys: KeyOptions,
    #[command(flatten)]
    policy: Policy,
    /// Worker threads, each with its own socket [default: one per core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Drop requests that are longer than this, in bytes of UDP payload.
    #[arg(long, value_name = "BYTES", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(52..=65_507))]
    max_datagram: u32,
    /// Send no reply that is longer than so many times its request; 0 for no limit. Requests can be forged, and point the
    /// server at anybody.
    #[arg(long, value_name = "TIMES", default_value_t = 3)]
    max_amplification: u32,
    /// The same for authenticated clients, whose requests others can repeat as well [default: as --max-amplification].
    #[arg(long, value_name = "TIMES")]
    max_authenticated_amplification: Option<u32>,
    /// Take so many requests a second from each prefix of addresses (IPv4 /24, IPv6 /56) [default: no limit].
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    rate_limit: Option<u32>,
    /// Mebibytes in which recent replies under suite 1 are remembered, to answer a repeated request with the same bytes.
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = clap::value_parser!(u32).range(0..=65_536))]
    memo: u32,
    /// Print a line for every packet.
    #[arg(long, short)]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) access: key_file::Access,
}

/// The options that a running server can change.
pub(crate) const RELOADABLE: [&str; 9] = [
    "secret_key",
    "keys",
    "clients",
    "unknown_clients",
    "anonymous",
    "allow_exposed_keys",
    "max_amplification",
    "max_authenticated_amplification",
    "rate_limit",
];

/// What a server's options name, read and checked, before any of it is used.
pub(crate) struct Prepared {
    keys: Keys,
    accepts: Accepts,
    server: pssst::Server,
    clients: Option<Arc<Clients>>,
    bounds: Bounds,
}

/// What a server accepts, whatever its keys are.
#[derive(Clone, Copy, Debug)]
struct Accepts {
    suites: SuiteSet,
    anonymous: bool,
}

/// How much is taken from whom, and how long replies may be beside their requests.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    rate: Option<RateLimit>,
    amplification: Option<u32>,
    authenticated_amplification: Option<u32>,
}

/// A server that serves.
pub(crate) struct Serving {
    server: Arc<Server>,
    clients: SharedClients,
    keyring_changed: Arc<AtomicU64>,
    keeper: JoinHandle<()>,
}

impl ServerOptions {
    /// What can be checked without a database.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let keys = Keys::read(&self.keys, &self.access).and_then(|keys| keys.now().map(drop));
        Failure::collect([keys, self.policy.check()].into_iter()).map(drop)
    }

    /// Reads everything. Clients that are followed already are not read again.
    pub(crate) async fn prepare(&self, suites: SuiteSet, clients: &SharedClients) -> Result<Prepared, Failure> {
        let keys = Keys::read(&self.keys, &self.access)?;
        let accepts = Accepts { suites, anonymous: !self.policy.refuses_anonymous() };
        let server = accepts.with_keys(keys.now()?);
        let clients = self.policy.clients(clients.load().as_deref()).await?;
        Ok(Prepared { keys, accepts, server, clients, bounds: self.bounds() })
    }

    /// The files that hold what is read.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.keys.files()
    }

    fn bounds(&self) -> Bounds {
        let authenticated = self.max_authenticated_amplification.unwrap_or(self.max_amplification);
        Bounds {
            rate: self.rate_limit.map(RateLimit::new),
            amplification: times(self.max_amplification),
            authenticated_amplification: times(authenticated),
        }
    }

    fn bind(&self, server: pssst::Server, clients: &SharedClients, bounds: Bounds) -> Result<BoundServer, Failure> {
        let clients = Arc::clone(clients);
        let mut builder = Server::builder(server)
            .max_datagram(self.max_datagram as usize)
            .max_amplification(bounds.amplification)
            .max_authenticated_amplification(bounds.authenticated_amplification)
            .rate_limit(bounds.rate)
            .memo((self.memo as usize) << 20, [pssst::Suite::X25519AesGcm128].into_iter().collect())
            .clients(move |key| clients.load().as_ref().map_or(KeyCheck::Validate, |clients| clients.check(key)));
        if let Some(workers) = self.workers {
            builder = builder.workers(workers.into());
        }
        #[cfg(unix)]
        let builder = match builder.bind_passed() {
            Ok(Ok(bound)) => return Ok(bound),
            Ok(Err(builder)) => builder,
            Err(error) => {
                return Err(Failure::new(
                    format!("cannot serve the sockets that were passed: {error}"),
                    "pass UDP sockets only: ListenDatagram= in a systemd socket unit",
                ));
            }
        };
        builder.bind(self.listen).map_err(|error| {
            Failure::new(
                format!("cannot serve {error}"),
                "choose another port, or find who has this one: `ss -lnup` shows it",
            )
            .of_option("listen")
        })
    }
}

/// 0 is no limit.
fn times(times: u32) -> Option<u32> {
    (times > 0).then_some(times)
}

impl Accepts {
    fn with_keys(self, keyring: Keyring) -> pssst::Server {
        let server = pssst::Server::new(keyring).with_suites(self.suites);
        if self.anonymous { server } else { server.authenticated_only() }
    }
}

impl Serving {
    /// Takes the port and starts the workers.
    pub(crate) fn start(
        options: &ServerOptions,
        prepared: Prepared,
        clients: SharedClients,
        handler: Handler,
    ) -> Result<Self, Failure> {
        let Prepared { keys, accepts, server, clients: enrolled, bounds } = prepared;
        clients.store(enrolled);
        let server = options
            .bind(server, &clients, bounds)?
            .serve(handler)
            .map_err(|error| Failure::new(format!("cannot start: {error}"), "are too many threads or files open?"))?;
        let (server, keyring_changed) = (Arc::new(server), Arc::new(AtomicU64::new(seconds_since_1970())));
        let keeper = keep(keys, accepts, &server, &keyring_changed);
        Ok(Self { server, clients, keyring_changed, keeper })
    }

    /// Goes on with what was prepared, without losing a packet.
    pub(crate) fn apply(&mut self, prepared: Prepared, handler: Option<Handler>) {
        let Prepared { keys, accepts, server, clients, bounds } = prepared;
        self.keeper.abort();
        replace_keys(&self.server, server, &self.keyring_changed);
        self.server.replace_rate_limit(bounds.rate);
        self.server.replace_max_amplification(bounds.amplification, bounds.authenticated_amplification);
        self.clients.store(clients);
        if let Some(handler) = handler {
            self.server.replace_handler(handler);
        }
        self.keeper = keep(keys, accepts, &self.server, &self.keyring_changed);
    }

    /// Says where it serves, and by which keys clients know it.
    pub(crate) fn announce(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "listening on {}", self.server.local_addr())?;
        self.server.public_keys().iter().try_for_each(|key| writeln!(out, "public key {key}"))
    }

    pub(crate) const fn clients(&self) -> &SharedClients {
        &self.clients
    }

    /// What can be seen of it.
    pub(crate) fn view(&self) -> View {
        View {
            server: Arc::clone(&self.server),
            clients: Arc::clone(&self.clients),
            keyring_changed: Arc::clone(&self.keyring_changed),
        }
    }

    /// Answers what has arrived, and tells what became of every packet.
    pub(crate) async fn stop(self, within: Duration) -> String {
        self.keeper.abort();
        let stats = self.server.shutdown(within).await;
        let clients = self.clients.load().as_ref().map(|clients| clients.stats());
        Summary { stats, clients }.to_string()
    }
}

/// What can be seen of a server that serves.
pub(crate) struct View {
    server: Arc<Server>,
    clients: SharedClients,
    /// In seconds since 1970.
    keyring_changed: Arc<AtomicU64>,
}

impl Observed for View {
    fn metrics(&self, page: &mut Page<'_>) -> fmt::Result {
        observe::server::metrics(page, &self.server, &self.keyring_changed)?;
        match &*self.clients.load() {
            Some(clients) => observe::server::identities(page, clients),
            None => Ok(()),
        }
    }

    fn not_live(&self) -> Vec<String> {
        observe::stuck(self.server.longest_turn())
    }

    fn not_ready(&self) -> Vec<String> {
        observe::server::not_ready(&self.server, self.clients.load().as_deref())
    }

    fn refusals(&self) -> Vec<(&'static str, u64)> {
        let drops = self.server.stats();
        let drops = drops.outcomes().filter(|(outcome, _)| observe::server::is_drop(*outcome));
        drops.map(|(outcome, count)| (outcome.name(), count)).collect()
    }
}

/// Changes the server's keys when their time comes.
fn keep(keys: Keys, accepts: Accepts, server: &Arc<Server>, changed: &Arc<AtomicU64>) -> JoinHandle<()> {
    let (server, changed) = (Arc::clone(server), Arc::clone(changed));
    tokio::spawn(async move {
        keys.follow(|keyring| {
            replace_keys(&server, accepts.with_keys(keyring), &changed);
        })
        .await;
    })
}

/// Remembers when the keys became others.
fn replace_keys(server: &Server, newer: pssst::Server, changed: &AtomicU64) {
    let before = server.public_keys();
    server.replace_keys(newer);
    if server.public_keys() != before {
        changed.store(seconds_since_1970(), Ordering::Relaxed);
    }
}

/// Prints a line about a request.
pub(crate) fn describe(request: &Request, clients: &SharedClients) {
    let name = request.client_key().and_then(|key| clients.load().as_ref()?.name(key));
    let name = name.map(|name| format!(", {name}")).unwrap_or_default();
    let sender = sender(request.client_key());
    let (peer, len, suite) = (request.peer(), request.message().len(), request.suite().number());
    let server_key = request.server_key().map(|key| format!(", server key {key}")).unwrap_or_default();
    say(format_args!("{peer}: a message of {len} bytes {sender}{name} (suite {suite:#06x}{server_key})"));
}
