//! What `serve` and `gateway` share: a server of PSSST, its keys, and its clients.

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::ValueEnum;
use pssst::{FreshReplies, Suite, SuiteSet};
use pssst_identity::ServerReport;
use pssst_link::Link;
use pssst_net::{BoundServer, Handler, RateLimit, Request, Server, ServerConfig, udp};
use pssst_support::sync::lock;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::OTHER_FILES;
use super::needs::Needs;
use crate::args::format::sender;
use crate::args::key_file;
use crate::args::options::SuiteOption;
use crate::args::udp::{address, listen_remedy, reachable_at};
use keys::{KeyOptions, Keys, ServerKeys};
pub(crate) use policy::Clients;
use policy::Policy;
use pssst_service::addresses;
use pssst_service::stderr::notice;
use pssst_service::{Failure, FollowedFile, MetricsWriter, Monitored, seconds_since_1970, stuck};
use summary::Summary;

mod keys;
mod metrics;
mod policy;
mod presence;
mod refused;
mod summary;

/// Options of a server that stay as they are while it runs.
#[derive(clap::Args, Debug)]
pub(crate) struct FixedServerOptions {
    /// The address and port to serve; port 0 takes a free one, and [::] serves IPv4 as well as
    /// IPv6. Sockets that the service manager passes (systemd's socket activation) are served
    /// instead.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:45678", value_parser = addresses::listen)]
    listen: SocketAddr,
    /// The name or address, and the port, at which clients reach this server: for the link that is
    /// printed [default: the address to serve, if it is a single one].
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    public_address: Option<String>,
    /// Number of worker threads, each with its own socket [default: one per core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Drop requests that are longer than this, in bytes of UDP payload.
    #[arg(long, value_name = "BYTES", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(52..=65_507))]
    max_datagram: u32,
    /// Size of the reply cache in MiB: repeated requests under suite 1 get identical replies.
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = clap::value_parser!(u32).range(0..=65_536))]
    reply_cache: u32,
    /// Print a line for every packet.
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// Options of a server that a reload may change.
#[derive(clap::Args, Debug)]
pub(crate) struct LiveServerOptions {
    #[command(flatten)]
    keys: KeyOptions,
    #[command(flatten)]
    policy: Policy,
    /// Give fresh replies to clients that ask for them, or refuse such requests, or require them. A
    /// fresh reply stays closed when the server's secret key falls later, and costs two
    /// multiplications. Suite 1 has none [default: allow].
    #[arg(long, value_enum, value_name = "RULE")]
    fresh_replies: Option<FreshRule>,
    /// Longest reply, as a multiple of its request's length; 0 for no limit. It bounds what an
    /// attacker gains by forging the sender's address [default: 3].
    #[arg(long, value_name = "TIMES")]
    max_amplification: Option<u32>,
    /// Amplification limit for authenticated clients. An attacker can replay their requests from a
    /// forged address [default: as --max-amplification].
    #[arg(long, value_name = "TIMES")]
    max_authenticated_amplification: Option<u32>,
    /// Requests accepted per second from each address prefix (IPv4 /24, IPv6 /56) [default: no
    /// limit].
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    rate_limit: Option<u32>,
    /// Requests accepted per second from each client that proved its key, whatever its address
    /// [default: no limit].
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    client_rate_limit: Option<u32>,
    #[command(flatten)]
    pub(crate) access: key_file::Access,
}

/// Whether fresh replies are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FreshRule {
    /// To those who ask.
    Allow,
    /// To nobody.
    Refuse,
    /// To all: other requests are refused.
    Require,
}

const MAX_AMPLIFICATION: u32 = 3;

/// 8 MiB, so that few of 100,000 clients share one.
const CLIENT_BUCKETS: usize = 1 << 20;

/// Files and stores that a server's options name, read and checked before any is used.
pub(crate) struct Prepared {
    keys: Arc<Keys>,
    accepts: Accepts,
    server: pssst::Server,
    pub(crate) clients: Option<Arc<Clients>>,
    bounds: Bounds,
}

/// Rules of acceptance that do not depend on keys.
#[derive(Clone, Copy, Debug)]
struct Accepts {
    suites: SuiteSet,
    anonymous: bool,
    fresh_replies: FreshReplies,
}

/// How much is taken from whom, and how long replies may be beside their requests.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    rate: Option<RateLimit>,
    client_rate: Option<RateLimit>,
    amplification: Option<u32>,
    authenticated_amplification: Option<u32>,
}

/// A running server.
pub(crate) struct RunningServer {
    view: Arc<View>,
    /// For clients of a fixed key.
    link: Option<String>,
    refresh_task: JoinHandle<()>,
}

/// A running server as its metrics and health checks see it.
pub(crate) struct View {
    server: Server,
    /// Sources of changes of the configuration in use.
    followed: Mutex<Followed>,
    /// When the keys last changed, in seconds since 1970.
    keyring_changed: AtomicU64,
    /// Reports of refused clients that the store did not take.
    refused_unsaved: Arc<AtomicU64>,
    /// This server, as operators see it.
    report: ServerReport,
}

/// Sources of changes of a configuration.
struct Followed {
    keys: Arc<Keys>,
    clients: Option<Arc<Clients>>,
}

impl LiveServerOptions {
    /// Returns what a server needs, which listens there.
    pub(crate) fn needs(&self, listen: SocketAddr) -> Needs {
        Needs {
            udp: vec![listen],
            has_socket_buffers: true,
            store: self.policy.location().map(Into::into),
            schedule: self.keys.schedule().map(|path| (path.into(), self.access.clone())),
            ..Needs::default()
        }
    }

    /// What can be checked without a database.
    pub(crate) fn check(&self, wanted: &[SuiteOption]) -> Result<(), Failure> {
        let keys = self.read_keys(wanted).and_then(|keys| keys.now().map(drop));
        Failure::collect([keys, self.policy.check()].into_iter()).map(drop)
    }

    /// Returns the options whose lack in `after` would serve more.
    pub(crate) fn opened_by_lack(&self, after: &Self) -> Vec<&'static str> {
        let (anonymous, authenticated) = self.amplification();
        let (anonymous_after, authenticated_after) = after.amplification();
        let limits = [
            ("rate-limit", self.rate_limit.is_some() && after.rate_limit.is_none()),
            ("client-rate-limit", self.client_rate_limit.is_some() && after.client_rate_limit.is_none()),
            ("fresh-replies", self.requires_fresh_replies() && after.fresh_replies.is_none()),
            ("max-amplification", is_looser(anonymous, anonymous_after) && after.max_amplification.is_none()),
            (
                "max-authenticated-amplification",
                is_looser(authenticated, authenticated_after)
                    && after.max_authenticated_amplification.is_none()
                    && self.max_authenticated_amplification.is_some(),
            ),
        ];
        let lost = limits.into_iter().filter(|(_, is_lost)| *is_lost).map(|(option, _)| option);
        self.policy.opened_by_lack(&after.policy).chain(lost).collect()
    }

    pub(crate) fn requires_fresh_replies(&self) -> bool {
        self.fresh_replies == Some(FreshRule::Require)
    }

    /// Returns the limits for anonymous and for authenticated clients; 0 is no limit.
    fn amplification(&self) -> (u32, u32) {
        let anonymous = self.max_amplification.unwrap_or(MAX_AMPLIFICATION);
        (anonymous, self.max_authenticated_amplification.unwrap_or(anonymous))
    }

    /// Returns whether it is said who is served: a service that others rely on is not opened by the
    /// lack of a line.
    pub(crate) fn check_that_access_is_explicit(&self) -> Result<(), Failure> {
        if self.policy.is_explicit() {
            return Ok(());
        }
        Err(Failure::usage(
            "nothing says which clients are served",
            "give --clients LOCATION to serve the enrolled ones, or --anonymous allow to serve everyone",
        ))
    }

    /// Reads the keys, and refuses suites that are `wanted` and cannot be served with them.
    fn read_keys(&self, wanted: &[SuiteOption]) -> Result<Keys, Failure> {
        let keys = Keys::read(&self.keys, &self.access)?;
        if wanted.contains(&SuiteOption::XWingAes256GcmSiv) {
            keys.check_xwing_key()?;
        }
        Ok(keys)
    }

    /// Reads everything, for `suites`; the operator named those that are `wanted`. Clients that
    /// `previous` follows already are not read again.
    pub(crate) async fn prepare(
        &self,
        suites: SuiteSet,
        wanted: &[SuiteOption],
        previous: Option<&RunningServer>,
    ) -> Result<Prepared, Failure> {
        let keys = self.read_keys(wanted)?;
        let accepts = Accepts {
            suites,
            anonymous: !self.policy.refuses_anonymous(),
            fresh_replies: match self.fresh_replies {
                None | Some(FreshRule::Allow) => FreshReplies::Allow,
                Some(FreshRule::Refuse) => FreshReplies::Refuse,
                Some(FreshRule::Require) => FreshReplies::Require,
            },
        };
        if self.requires_fresh_replies() && suites.contains(Suite::X25519AesGcm128) {
            return Err(Failure::usage(
                "suite 1 has no fresh replies, and they are required",
                "switch suite 1 off: --suite f002, and --suite f003 where there is a key for it",
            )
            .of_option("fresh-replies"));
        }
        let server = accepts.with_keys(keys.now()?)?;
        let previous = previous.and_then(|previous| previous.view.clients());
        let clients = self.policy.clients(previous.as_deref()).await?;
        self.policy.report();
        if wanted.contains(&SuiteOption::XWingAes256GcmSiv) {
            keys.warn_without_current_xwing_key();
        }
        Ok(Prepared { keys: Arc::new(keys), accepts, server, clients, bounds: self.bounds() })
    }

    /// Returns the files that hold what is read.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.keys.files()
    }

    fn bounds(&self) -> Bounds {
        let (amplification, authenticated) = self.amplification();
        Bounds {
            rate: self.rate_limit.map(RateLimit::new),
            client_rate: self.client_rate_limit.map(|rate| RateLimit::new(rate).with_buckets(CLIENT_BUCKETS)),
            amplification: times(amplification),
            authenticated_amplification: times(authenticated),
        }
    }
}

impl FixedServerOptions {
    pub(crate) const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Returns how many files it may open: a socket and an event queue for each worker.
    pub(crate) fn open_files(&self) -> u64 {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        OTHER_FILES + 4 * self.workers.map_or_else(cores, u64::from)
    }

    fn bind(&self) -> Result<BoundServer, Failure> {
        let mut builder =
            Server::builder().max_datagram(self.max_datagram as usize).reply_cache((self.reply_cache as usize) << 20);
        if let Some(workers) = self.workers {
            builder = builder.workers(workers.into());
        }
        let bound = match udp::inherited_sockets() {
            Ok(sockets) if sockets.is_empty() => builder.bind(self.listen).map_err(|error| {
                Failure::new(format!("cannot serve {error}"), listen_remedy(&error)).of_option("listen")
            })?,
            sockets => sockets.and_then(|sockets| builder.bind_sockets(sockets)).map_err(|error| {
                Failure::new(
                    format!("cannot serve the inherited sockets: {error}"),
                    "pass UDP sockets only: ListenDatagram= in a systemd socket unit",
                )
            })?,
        };
        Ok(bound)
    }
}

/// 0 is no limit.
/// Returns whether one limit on amplification lets more through than another; 0 is no limit.
const fn is_looser(before: u32, after: u32) -> bool {
    before.wrapping_sub(1) < after.wrapping_sub(1)
}

fn times(times: u32) -> Option<u32> {
    (times > 0).then_some(times)
}

impl Accepts {
    fn with_keys(self, keys: ServerKeys) -> Result<pssst::Server, Failure> {
        let server = pssst::Server::new(keys.keyring).with_suites(self.suites).with_fresh_replies(self.fresh_replies);
        let server = server.with_psk_masters(keys.psk_masters).map_err(|error| {
            Failure::usage(format!("the masters of pre-shared keys: {error}"), "give the current one and one other")
        })?;
        Ok(if self.anonymous { server } else { server.authenticated_only() })
    }
}

impl Prepared {
    /// Returns the configuration of a server with this handler, and what keeps its keys up to date.
    fn into_config(self, handler: Handler) -> (ServerConfig, Followed, Accepts) {
        let Self { keys, accepts, server, clients, bounds } = self;
        let mut config = ServerConfig::new(server, handler)
            .rate_limit(bounds.rate)
            .client_rate_limit(bounds.client_rate)
            .max_amplification(bounds.amplification)
            .max_authenticated_amplification(bounds.authenticated_amplification);
        if let Some(clients) = clients.clone() {
            config = with_clients(config, &clients);
        }
        (config, Followed { keys, clients }, accepts)
    }
}

fn with_clients(config: ServerConfig, clients: &Clients) -> ServerConfig {
    let sample = Arc::clone(clients.sample());
    config.client_check(clients.policy()).on_undecrypted(move |packet| {
        let _is_taken = sample.offer(packet);
    })
}

/// Returns the link of a server, if clients can be told where it is.
fn link(server: &Server, public_address: Option<&str>, suites: SuiteSet) -> Option<String> {
    let address = reachable_at(public_address, server.local_addr())?;
    let keys = server.server_keys();
    let key = keys.iter().find(|key| key.has_suite(Suite::default()))?.x25519_part();
    let mut link = Link::to(address, key);
    if !suites.contains(Suite::default()) {
        if !suites.contains(Suite::X25519AesGcm128) {
            // No link has a key of suite f003.
            return None;
        }
        link.suites.push(Suite::X25519AesGcm128);
    }
    link.to_text().ok().map(|text| text.to_string())
}

impl RunningServer {
    /// Takes the port and starts the workers.
    pub(crate) fn start(options: &FixedServerOptions, prepared: Prepared, handler: Handler) -> Result<Self, Failure> {
        let (config, followed, accepts) = prepared.into_config(handler);
        let (keys, clients) = (Arc::clone(&followed.keys), followed.clients.clone());
        // A directory announces the keys of a schedule, and its link stays good when they rotate.
        let has_fixed_keys = !keys.is_scheduled();
        let server = options.bind()?.serve(config).map_err(|error| {
            Failure::new(format!("cannot start: {error}"), "check the limits on threads and open files")
        })?;
        let keyring_changed = AtomicU64::new(seconds_since_1970());
        let refused_unsaved = Arc::default();
        let link = if has_fixed_keys { link(&server, options.public_address.as_deref(), accepts.suites) } else { None };
        let report = presence::of(server.local_addr())?;
        let view = Arc::new(View { server, followed: Mutex::new(followed), keyring_changed, refused_unsaved, report });
        Ok(Self { refresh_task: keep(keys, clients, accepts, &view), view, link })
    }

    /// Replaces the configuration as one, without losing a packet.
    pub(crate) async fn apply(&mut self, prepared: Prepared, handler: Handler) {
        let (config, followed, accepts) = prepared.into_config(handler);
        let (keys, clients) = (Arc::clone(&followed.keys), followed.clients.clone());
        self.refresh_task.abort();
        // It may be at work on another thread, and must not put old keys into the new
        // configuration.
        drop((&mut self.refresh_task).await);
        self.view.update_config(|_| config);
        let before = mem::replace(&mut *lock(&self.view.followed), followed).clients;
        if let Some(before) = before.filter(|before| !before.shares_store_with(clients.as_deref())) {
            presence::end(&before, &self.view.report).await;
        }
        self.refresh_task = keep(keys, clients, accepts, &self.view);
    }

    /// Prints the addresses that it serves at, its public keys and its link.
    pub(crate) fn announce(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "listening on {}", self.view.server.local_addr())?;
        self.view.server.server_keys().iter().try_for_each(|key| writeln!(out, "public key {}", key.label()))?;
        self.link.as_ref().map_or(Ok(()), |link| writeln!(out, "link {link}"))
    }

    pub(crate) const fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Answers the requests that have arrived, and returns the counts of all outcomes.
    pub(crate) async fn stop(self, within: Duration) -> String {
        self.refresh_task.abort();
        let stats = self.view.server.shutdown(within).await;
        let clients = match self.view.clients() {
            Some(clients) => {
                presence::end(&clients, &self.view.report).await;
                Some(clients.stats())
            }
            None => None,
        };
        Summary { stats, clients }.to_string()
    }
}

impl View {
    fn clients(&self) -> Option<Arc<Clients>> {
        lock(&self.followed).clients.clone()
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&lock(&self.followed).keys)
    }

    /// Replaces the configuration, and notes when the keys changed.
    fn update_config(&self, update: impl FnOnce(ServerConfig) -> ServerConfig) {
        self.server.update_config(|config| {
            let keys = config.server_keys();
            let config = update(config);
            if config.server_keys() != keys {
                self.keyring_changed.store(seconds_since_1970(), Ordering::Relaxed);
            }
            config
        });
    }
}

impl Monitored for View {
    fn metrics(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        metrics::metrics(page, &self.server, &self.keyring_changed)?;
        match self.clients() {
            Some(clients) => metrics::identities(page, &clients, self.refused_unsaved.load(Ordering::Relaxed)),
            None => Ok(()),
        }
    }

    fn files(&self) -> Vec<FollowedFile> {
        let clients = self.clients().and_then(|clients| clients.followed_file());
        self.keys().followed_files().into_iter().chain(clients).collect()
    }

    fn not_live(&self) -> Vec<String> {
        stuck(self.server.worker_stall())
    }

    fn not_ready(&self) -> Vec<String> {
        let overdue = self.keys().overdue();
        metrics::not_ready(&self.server, self.clients().as_deref()).into_iter().chain(overdue).collect()
    }

    fn refusals(&self) -> Vec<(&'static str, u64)> {
        let drops = self.server.stats();
        let drops = drops.outcomes().filter(|(outcome, _)| !outcome.is_served());
        drops.map(|(outcome, count)| (outcome.name(), count)).collect()
    }
}

/// Changes the server's keys when their time comes, and reports refused clients.
fn keep(keys: Arc<Keys>, clients: Option<Arc<Clients>>, accepts: Accepts, view: &Arc<View>) -> JoinHandle<()> {
    let view = Arc::clone(view);
    tokio::spawn(async move {
        let (sender, mut changes) = watch::channel(keys.now().ok());
        changes.mark_changed();
        let follow = keys.follow(|keys| drop(sender.send_replace(Some(keys))));
        let apply = async {
            let masters = sender.borrow().as_ref().map(ServerKeys::masters).unwrap_or_default();
            let mut applied = Applied { masters, has_secrets: clients.is_none() };
            while changes.changed().await.is_ok() {
                let newest = changes.borrow_and_update().clone();
                if let Some(newest) = newest {
                    apply_keys(newest, clients.as_ref(), accepts, &view, &mut applied).await;
                }
            }
        };
        let report = async {
            match &clients {
                Some(clients) => {
                    let saves = refused::report(Arc::clone(clients), Arc::clone(&view.refused_unsaved));
                    let presence = presence::report(clients, &view.report);
                    match tokio::join!(saves, presence, examine(clients, &view)).0 {}
                }
                None => std::future::pending::<()>().await,
            }
        };
        tokio::join!(follow, apply, report);
    })
}

/// The part of the newest keys that is in force.
struct Applied {
    /// Names of the masters.
    masters: Vec<[u8; 8]>,
    /// Whether the secrets that clients share with the keys are there, or are not computed ahead.
    has_secrets: bool,
}

/// Puts keys into force, together with what the clients share with them where that is computed
/// ahead of time. Keys that were taken away end at once, and masters change at once; keys that were
/// added wait for their secrets.
async fn apply_keys(
    keys: ServerKeys,
    clients: Option<&Arc<Clients>>,
    accepts: Accepts,
    view: &View,
    applied: &mut Applied,
) {
    let server = |keys: ServerKeys| match accepts.with_keys(keys) {
        Ok(server) => Some(server),
        Err(failure) => {
            tracing::error!(error = failure.what(), "the server continues with the keys that it has");
            None
        }
    };
    let added: Vec<_> = keys.keyring.server_keys().collect();
    let is_in_force = view.server.server_keys() == added;
    let only_adds = view.server.server_keys().iter().all(|key| added.contains(key));
    if !is_in_force
        && (clients.is_none() || !only_adds)
        && let Some(server) = server(keys.clone())
    {
        view.update_config(|config| {
            let config = config.keys(server);
            clients.into_iter().fold(config, |config, clients| with_clients(config, clients))
        });
    }
    let masters = keys.masters();
    let has_other_masters = mem::replace(&mut applied.masters, masters.clone()) != masters;
    if is_in_force && applied.has_secrets {
        if has_other_masters && let Some(server) = server(keys) {
            view.update_config(|config| config.keys(server));
        }
        return;
    }
    let Some(clients) = clients.map(Arc::clone) else { return };
    applied.has_secrets = true;
    let (keyring, before) = (keys.keyring.clone(), Arc::clone(&clients));
    let computed = tokio::task::spawn_blocking(move || clients.with_secrets_for(&keyring)).await.ok().flatten();
    let clients = computed.map_or(before, Arc::new);
    if let Some(server) = server(keys) {
        view.update_config(|config| with_clients(config.keys(server), &clients));
        // For the metrics of the table.
        lock(&view.followed).clients = Some(clients);
    }
}

/// Has the packets examined that did not decrypt, until it is dropped.
async fn examine(clients: &Arc<Clients>, view: &Arc<View>) {
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (clients, view) = (Arc::clone(clients), Arc::clone(view));
        // A panic there ends this examination only.
        drop(
            tokio::task::spawn_blocking(move || view.server.with_protocol(|server| clients.examine_sample(server)))
                .await,
        );
    }
}

/// Prints a line about a request.
pub(crate) fn describe(request: &Request<&[u8]>, clients: Option<&Clients>) {
    let name = request.client_key().and_then(|key| clients?.name(key));
    let name = name.map(|name| format!(", {name}")).unwrap_or_default();
    let sender = sender(request.client_key());
    let (peer, len, suite) = (request.peer(), request.message().len(), request.suite().number());
    let server_key = request.server_key().map(|key| format!(", server key {}", key.label())).unwrap_or_default();
    notice(format_args!("{peer}: a message of {len} bytes {sender}{name} (suite {suite:#06x}{server_key})"));
}
