//! `pssst proxy`: the client's side, for programs that know nothing of PSSST.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pssst::Suite;
use pssst_directory::{CurrentKey, DirectoryClient, FetchStatus, IssuedPsk, MasterId, Renewed};
use pssst_gateway::Proxy;
use pssst_net::{Client, Credentials, Error, Retry};
use pssst_support::Backoff;
use pssst_support::sync::lock;
use tokio::task::JoinHandle;

use super::needs::{Examined, Needs, ServerNeeds};
use super::{OTHER_FILES, client_metrics};
use crate::args::fallback::{FallbackOption, max_datagram_too_small};
use crate::args::format::nonzero_counts;
use crate::args::key_file;
use crate::args::sealing::{SealingOptions, cannot_seal, no_shared_secret};
use crate::args::server_key::{ServerOptions, current_key, failure, replacement_key};
use crate::args::udp::{cannot_find, check_server, listen_remedy};
use pssst_service::addresses;
use pssst_service::{
    Failure, FixedOptions, LiveOptions, MetricsWriter, Monitored, Service, StandIn, TraceOptions, durations, stuck,
};

mod metrics;

/// Send plain UDP datagrams of local programs as requests to servers.
///
/// It returns the replies. /// Programs on this machine send to the proxy what they would send to
/// the service behind the pool's gateways. They need no change.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    fixed: Fixed,
    #[command(flatten)]
    live: Live,
}

/// Options that need a restart.
#[derive(clap::Args, Debug)]
pub(crate) struct Fixed {
    /// Address and port to receive datagrams at; repeat for more. Port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:45679", value_parser = addresses::listen)]
    listen: Vec<SocketAddr>,
    /// Also accept datagrams from other machines. Nothing protects them on their way to the proxy.
    #[arg(long)]
    allow_other_hosts: bool,
    /// Most datagrams in flight at each listening address; more are dropped.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_in_flight: u32,
    /// How long to wait at the start until the name of the server is found and the directory
    /// answers: a machine may start before its network.
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = durations::timeout_or_none)]
    wait_for_network: Duration,
    /// Forward datagrams without waiting for replies.
    #[arg(long)]
    one_way: bool,
    #[command(flatten)]
    service: FixedOptions,
    #[command(flatten)]
    traces: TraceOptions,
}

/// Options that a reload may change.
#[derive(clap::Args, Debug)]
struct Live {
    #[command(flatten)]
    server: ServerOptions,
    /// Prove to the servers that this is the client with this secret key, or with this precomputed
    /// identity (`pssst precompute`). With --directory the proxy renews a precomputed identity and
    /// the pre-shared key of --psk, and replaces their files: it must be able to write there.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    #[command(flatten)]
    sealing: SealingOptions,
    #[command(flatten)]
    fallback: FallbackOption,
    /// How long to wait for a reply, over all attempts.
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = durations::timeout)]
    timeout: Duration,
    /// Time until the first retransmission, plus up to half of it at random; it doubles each time.
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = durations::timeout)]
    initial_timeout: Duration,
    /// Refuse to send a request that is longer than this, in bytes of UDP payload. The default
    /// passes every IPv6 network unfragmented.
    #[arg(long, value_name = "BYTES", default_value_t = 1232, value_parser = clap::value_parser!(u32).range(52..=65_507))]
    max_datagram: u32,
    #[command(flatten)]
    access: key_file::Access,
    #[command(flatten)]
    service: LiveOptions,
}

impl Examined for ProxyService {
    fn needs(args: &Args) -> Needs {
        let live = &args.live;
        let server = ServerNeeds {
            server: live.server.clone(),
            identity: live.identity.clone(),
            sealing: live.sealing.clone(),
            access: live.access.clone(),
        };
        Needs {
            udp: args.fixed.listen.clone(),
            server: Some(server),
            writes: live.server.key_cache().map(Into::into).into_iter().collect(),
            ..Needs::default()
        }
    }
}

impl Args {
    fn identity(&self) -> Result<Option<Credentials>, Failure> {
        let Some(file) = &self.live.identity else { return Ok(None) };
        let identity = key_file::read_identity(file, &self.live.access);
        identity.map(Some).map_err(|failure| failure.of_option("identity"))
    }

    fn check_listen(&self) -> Result<(), Failure> {
        match self.fixed.listen.iter().find(|address| !address.ip().is_loopback() && !self.fixed.allow_other_hosts) {
            None => Ok(()),
            Some(address) => Err(Failure::usage(
                format!("{address} is not a loopback address, so that other machines could use the proxy"),
                "listen at 127.0.0.1 or [::1], or give --allow-other-hosts",
            )
            .of_option("listen")),
        }
    }

    /// Returns whether there is room for a message.
    fn check_size(&self) -> Result<(), Failure> {
        let needed = Suite::default().request_overhead(self.live.identity.is_some());
        if self.live.max_datagram as usize > needed {
            return Ok(());
        }
        let what = format!("datagrams of {} bytes have no room for a message", self.live.max_datagram);
        let remedy = format!("a request is {needed} bytes longer than its message");
        Err(Failure::usage(what, remedy).of_option("max-datagram"))
    }

    fn refuse_streams(&self) -> Result<(), Failure> {
        key_file::refuse_streams(self.live.identity.as_deref()).map_err(|failure| failure.of_option("identity"))?;
        key_file::refuse_streams(self.live.sealing.psk.as_deref()).map_err(|failure| failure.of_option("psk"))?;
        let server_key = self.live.server.reads_stdin().then_some(Path::new("-"));
        key_file::refuse_streams(server_key).map_err(|failure| failure.of_option("server-key"))
    }
}

/// A proxy that serves.
pub(crate) struct ProxyService {
    proxy: Arc<Proxy>,
    addresses: Vec<SocketAddr>,
    view: Arc<View>,
    /// Follows the directory.
    refresh_task: Option<JoinHandle<()>>,
}

/// Its metrics and health.
struct View {
    proxy: Arc<Proxy>,
    directory: Mutex<Option<DirectoryClient>>,
}

impl View {
    fn fetch_status(&self) -> Option<FetchStatus> {
        lock(&self.directory).as_ref().map(DirectoryClient::status)
    }
}

impl Monitored for View {
    fn metrics(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        metrics::metrics(page, &self.proxy)?;
        client_metrics::metrics(page, &self.proxy.client().stats())?;
        self.fetch_status().map_or(Ok(()), |status| client_metrics::directory(page, &status))
    }

    fn not_ready(&self) -> Vec<String> {
        let overdue = self.fetch_status().filter(|status| status.is_overdue);
        overdue.map(|_| "the directory's key document is overdue".to_owned()).into_iter().collect()
    }

    fn not_live(&self) -> Vec<String> {
        stuck(self.proxy.worker_stall())
    }

    fn refusals(&self) -> Vec<(&'static str, u64)> {
        self.proxy.stats().drops().map(|(cause, count)| (cause.name(), count)).collect()
    }
}

impl Service for ProxyService {
    type Args = Args;
    type Fixed = Fixed;

    const NAME: &'static str = "proxy";
    const STAND_INS: &[StandIn] =
        &[StandIn(&["server"], "--server=stand-in:1"), StandIn(&["server-key", "directory"], "--server-key=stand-in")];

    fn options(args: &Args) -> (&FixedOptions, &LiveOptions) {
        (&args.fixed.service, &args.live.service)
    }

    fn is_verbose(_: &Args) -> bool {
        false
    }

    fn traces(args: &Args) -> Option<&TraceOptions> {
        Some(&args.fixed.traces)
    }

    fn check(args: &Args) -> Result<(), Failure> {
        let streams = args.refuse_streams();
        let psk = args.live.sealing.read_psk(&args.live.access).map(drop);
        let keys = Failure::collect([args.identity().map(drop), psk, args.live.server.check()].into_iter()).map(drop);
        let fallback = args.live.fallback.check(args.live.server.has_directory());
        let checks = [
            args.check_listen(),
            check_server(args.live.server.address()),
            args.check_size(),
            streams.and(keys),
            fallback,
        ];
        Failure::collect(checks.into_iter()).map(drop)
    }

    fn opened_by_lack(before: &Args, after: &Args) -> Vec<&'static str> {
        let has_lost_identity = before.live.identity.is_some() && after.live.identity.is_none();
        let lost = before.live.server.opened_by_lack(&after.live.server);
        let lost = lost.chain(before.live.sealing.opened_by_lack(&after.live.sealing));
        has_lost_identity.then_some("identity").into_iter().chain(lost).collect()
    }

    fn open_files(args: &Args) -> u64 {
        // Each listening address has a client, which changes sockets now and then.
        OTHER_FILES + 16 * args.fixed.listen.len() as u64
    }

    async fn start(args: &Args) -> Result<Self, Failure> {
        let Connected { client, directory, renewal } = connect_patiently(args).await?;
        let bound = Proxy::builder(client)
            .max_in_flight(args.fixed.max_in_flight as usize)
            .one_way(args.fixed.one_way)
            .allow_other_hosts(args.fixed.allow_other_hosts)
            .bind(&args.fixed.listen)
            .map_err(|error| {
                Failure::new(format!("cannot listen at {error}"), listen_remedy(&error)).of_option("listen")
            })?;
        let addresses = bound.local_addrs().to_vec();
        let proxy = bound.serve().map_err(|error| {
            Failure::new(format!("cannot start: {error}"), "check the limits on threads and open files")
        })?;
        let proxy = Arc::new(proxy);
        let refresh_task = keep_current(directory.as_ref(), &proxy.client(), renewal);
        let view = Arc::new(View { proxy: Arc::clone(&proxy), directory: Mutex::new(directory) });
        Ok(Self { proxy, addresses, view, refresh_task })
    }

    async fn reload(&mut self, args: &Args) -> Result<(), Failure> {
        let (client, directory) = (self.proxy.client(), lock(&self.view.directory).clone());
        let previous = Previous { client: &client, directory: directory.as_ref() };
        let Connected { client, directory, renewal } = connect(args, Some(&previous)).await?;
        if let Some(before) = self.refresh_task.take() {
            before.abort();
        }
        if let Some((directory, previous)) = directory.as_ref().zip(previous.directory) {
            // It may have fetched a later document until now.
            directory.take_document_of(previous);
        }
        self.refresh_task = keep_current(directory.as_ref(), &client, renewal);
        self.proxy.replace_client(client);
        *lock(&self.view.directory) = directory;
        Ok(())
    }

    fn files(args: &Args) -> Vec<PathBuf> {
        let identity = args.live.identity.iter().chain(&args.live.sealing.psk).cloned();
        identity.chain(args.live.server.files()).chain(args.live.fallback.file()).collect()
    }

    fn announce(&self, out: &mut dyn Write) -> io::Result<()> {
        self.addresses.iter().try_for_each(|address| writeln!(out, "listening on {address}"))
    }

    fn monitored(&self) -> Arc<dyn Monitored> {
        Arc::<View>::clone(&self.view)
    }

    async fn stop(self, within: Duration) -> String {
        let stats = self.proxy.shutdown(within).await;
        let drops = nonzero_counts(stats.drops().map(|(cause, count)| (cause.name(), count)));
        format!("received {}, replied {}{drops}", stats.received, stats.replies)
    }
}

/// Connects as [`connect`] does, and tries again for a while if that fails for a cause that may
/// pass.
async fn connect_patiently(args: &Args) -> Result<Connected, Failure> {
    let deadline = Instant::now() + args.fixed.wait_for_network;
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
    loop {
        let failure = match connect(args, None).await {
            Err(failure) if !failure.is_usage() => failure,
            outcome => return outcome,
        };
        let pause = backoff.next_delay();
        if Instant::now() + pause > deadline {
            return Err(failure);
        }
        tracing::warn!(cause = failure.what(), "cannot start yet; trying again");
        tokio::time::sleep(pause).await;
    }
}

/// The client and the directory that a reload replaces.
struct Previous<'a> {
    client: &'a Client,
    directory: Option<&'a DirectoryClient>,
}

/// A client of the pool, and what keeps it current.
struct Connected {
    client: Client,
    /// The directory of its keys.
    directory: Option<DirectoryClient>,
    /// Present if it has a directory, and a pre-shared key or a precomputed identity.
    renewal: Option<Renewal>,
}

/// What renews a client's secrets.
struct Renewal {
    credentials: Credentials,
    /// The master of its pre-shared key.
    master: Option<MasterId>,
    files: RenewedFiles,
}

/// The files of a client's secrets.
#[derive(Clone)]
struct RenewedFiles {
    psk: Option<PathBuf>,
    identity: PathBuf,
}

/// Connects to the pool. The client can replace another one.
async fn connect(args: &Args, previous: Option<&Previous<'_>>) -> Result<Connected, Failure> {
    args.refuse_streams()?;
    let directory = args.live.server.directory()?;
    let current = match (&directory, previous) {
        (None, _) => args.live.server.fixed(),
        (Some(directory), None) => current_key(directory).await.map_err(|failure| failure.of_option("directory")),
        (Some(directory), Some(previous)) => {
            let current = replacement_key(directory, previous.directory).await;
            current.map_err(|failure| failure.of_option("directory"))
        }
    };
    let CurrentKey { key, suite } = current?;
    let key_hash = key.hash();
    let mut builder = Client::builder(key)
        .suite(suite)
        .timeout(args.live.timeout)
        .retry(Retry { initial_timeout: args.live.initial_timeout, ..Retry::default() })
        .max_in_flight(args.fixed.max_in_flight as usize)
        .max_datagram(args.live.max_datagram as usize);
    builder = args.live.sealing.build_without_psk(builder);
    if let Some(key) = args.live.fallback.key(directory.as_ref())? {
        builder = builder.fallback(key);
    }
    let mut renewal = None;
    if let (Some(mut credentials), Some(identity)) = (args.identity()?, args.live.identity.clone()) {
        let mut master = None;
        if let Some(IssuedPsk { psk, master: issued }) = args.live.sealing.read_issued_psk(&args.live.access)? {
            credentials = credentials.with_psk(psk);
            master = Some(issued);
        }
        if let Some(directory) = &directory
            && (master.is_some() || !credentials.has_secret_key())
        {
            let mut current =
                Renewal { credentials, master, files: RenewedFiles { psk: args.live.sealing.psk.clone(), identity } };
            // It was off while the key changed.
            if !current.credentials.has_secret_for(&key_hash) {
                current = current.renewed(directory).await?;
            }
            credentials = current.credentials.clone();
            renewal = Some(current);
        }
        builder = builder.credentials(credentials);
    }
    if let Some(previous) = previous {
        builder = builder.replacing(previous.client);
    }
    let client = builder.connect(args.live.server.address()).await.map_err(|error| {
        match error {
            Error::Network(error) => cannot_find(args.live.server.address(), &error),
            Error::Protocol(error) => return cannot_seal(error),
            error @ Error::MaxDatagramTooSmall { .. } => return max_datagram_too_small(&error),
            error @ Error::NoSharedSecret(_) => return no_shared_secret(&error),
            error => Failure::new(error.to_string(), "try again"),
        }
        .of_option("server")
    })?;
    if client.max_message_len() == 0 {
        return Err(Failure::usage(
            format!("datagrams of {} bytes have no room for a message of this suite", args.live.max_datagram),
            "raise --max-datagram, or give --pad-to",
        )
        .of_option("max-datagram"));
    }
    Ok(Connected { client, directory, renewal })
}

impl Renewal {
    /// Returns it after a renewal, which is stored.
    async fn renewed(self, directory: &DirectoryClient) -> Result<Self, Failure> {
        let Self { credentials, files, .. } = self;
        let renewed = directory.renew(&credentials).await.map_err(|error| failure(&error).of_option("identity"))?;
        let master = renewed.psk.as_ref().map(|issued| issued.master);
        let credentials = renewed.apply_to(credentials);
        files.clone().store(renewed).await.map_err(|error| {
            Failure::new(error, "check the path and its permissions: the proxy replaces the files that it renews")
        })?;
        Ok(Self { credentials, master, files })
    }
}

impl RenewedFiles {
    /// Replaces them.
    async fn store(self, renewed: Renewed) -> Result<(), String> {
        let replace = move || key_file::replace_renewed(&renewed, self.psk.as_deref(), &self.identity);
        let replaced = tokio::task::spawn_blocking(replace).await;
        replaced.map_err(|error| error.to_string())?.map_err(|failure| failure.what().to_owned())
    }
}

/// Starts the task that keeps the server's key current, and the client's secrets if they are to be
/// renewed.
fn keep_current(
    directory: Option<&DirectoryClient>,
    client: &Client,
    renewal: Option<Renewal>,
) -> Option<JoinHandle<()>> {
    let (directory, client) = (directory?.clone(), client.clone());
    Some(tokio::spawn(async move {
        match renewal {
            None => match directory.keep_current(&client).await {},
            Some(Renewal { credentials, master, files }) => {
                let store = |renewed: Renewed| files.clone().store(renewed);
                match directory.keep_renewed(&client, credentials, master, store).await {}
            }
        }
    }))
}
