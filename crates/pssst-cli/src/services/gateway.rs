//! `pssst gateway`: a server that answers with the answers of an existing service.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use clap::ValueEnum;
use pssst::{Suite, SuiteSet};
use pssst_gateway::{CircuitBreaker, Error, Gateway, HttpVersion, StatusRule, Upstream};
use pssst_net::Handler;

use super::needs::{Examined, Needs};
use super::server::{self, Clients, FixedServerOptions, LiveServerOptions, RunningServer, describe};
use crate::args::format::nonzero_counts;
use crate::args::key_file;
use crate::args::options::SuiteOption;
use pssst_service::{
    Failure, FixedOptions, FollowedFile, LiveOptions, MetricsWriter, Monitored, Service, StandIn, TraceOptions,
    durations, traces,
};

mod metrics;

/// Put PSSST in front of a service (HTTP, UDP, TCP, Unix socket).
///
/// Each message becomes one request to the service, and its answer becomes the reply.
/// docs/gateway.md describes what the service learns about the client.
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
    #[command(flatten)]
    server: FixedServerOptions,
    #[command(flatten)]
    service: FixedOptions,
    #[command(flatten)]
    traces: TraceOptions,
}

/// Options that a reload may change.
#[derive(clap::Args, Debug)]
struct Live {
    #[command(flatten)]
    server: LiveServerOptions,
    /// Accept this suite; repeat for more [default: f002 and f003]. Under suite 1 a service must
    /// answer the same message with the same bytes, or replies can be forged.
    #[arg(long, value_enum, value_name = "SUITE")]
    suite: Vec<SuiteOption>,
    #[command(flatten)]
    upstream: UpstreamOptions,
    #[command(flatten)]
    service: LiveOptions,
}

/// The service, and how to speak with it.
#[derive(clap::Args, Debug)]
struct UpstreamOptions {
    /// The service: `http://HOST/PATH`, `https://HOST/PATH`, `udp://HOST:PORT`, `tcp://HOST:PORT`
    /// or `unix:/PATH`. Over the last two, the length of each message stands before it in two
    /// bytes.
    #[arg(long, value_name = "URL", value_parser = location)]
    upstream: Location,
    /// How long to wait for the service.
    #[arg(long, value_name = "SPAN", default_value = "2s", value_parser = durations::timeout)]
    upstream_timeout: Duration,
    /// Most concurrent requests to the service, over all workers. More are dropped; clients retry.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    upstream_concurrency: u32,
    /// Open the circuit (stop calling the service) after this many consecutive failures; 0 for
    /// never.
    #[arg(long, value_name = "N", default_value_t = 16)]
    circuit_failures: u32,
    /// How long the circuit stays open at first. The time doubles while the service keeps failing,
    /// up to 30 times this value.
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = durations::timeout)]
    circuit_open_for: Duration,
    /// Deliver messages to the service without waiting for its answers; never reply.
    #[arg(long)]
    one_way: bool,
    /// Longest answer of the service to pass on, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 65_455, value_parser = clap::value_parser!(u32).range(0..=65_455))]
    max_reply: u32,
    /// Put the 32 bytes of the client's public key before each message to udp:, tcp: and unix:
    /// services; zeros for anonymous clients.
    #[arg(long)]
    prefix_client_key: bool,
    /// The Content-Type of requests over HTTP.
    #[arg(long, value_name = "TYPE", default_value = "application/octet-stream")]
    content_type: String,
    /// Send the line in this file as the HTTP header Authorization, so that the service can
    /// authenticate the gateway. Other users must not be able to read the file.
    #[arg(long, value_name = "FILE")]
    authorization_file: Option<PathBuf>,
    /// For https:, trust the authorities in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE")]
    upstream_ca: Option<PathBuf>,
    /// HTTP version.
    #[arg(long, value_enum, value_name = "VERSION", default_value = "auto")]
    http_version: Version,
    /// How the upstream's HTTP status reaches the client.
    #[arg(long, value_enum, value_name = "RULE", default_value = "ok")]
    http_status: Status,
}

/// Where the service is.
#[derive(Clone, Debug)]
enum Location {
    Upstream(Upstream),
    /// Is refused later: clap repeats what it refuses.
    WithCredentials,
}

fn location(text: &str) -> Result<Location, Error> {
    match text.parse() {
        Err(Error::Credentials) => Ok(Location::WithCredentials),
        outcome => outcome.map(Location::Upstream),
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Version {
    /// The highest version that both sides support.
    Auto,
    /// HTTP/1.1.
    #[value(name = "1")]
    Http1,
    /// HTTP/2.
    #[value(name = "2")]
    Http2,
}

impl From<Version> for HttpVersion {
    fn from(version: Version) -> Self {
        match version {
            Version::Auto => Self::Auto,
            Version::Http1 => Self::Http1,
            Version::Http2 => Self::Http2,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Status {
    /// Reply with the body of a 2xx; send no reply for other statuses.
    Ok,
    /// Reply with every status: two bytes of status, then the body.
    Prefix,
}

impl From<Status> for StatusRule {
    fn from(status: Status) -> Self {
        match status {
            Status::Ok => Self::Ok,
            Status::Prefix => Self::Prefix,
        }
    }
}

impl Examined for GatewayService {
    fn needs(args: &Args) -> Needs {
        let upstream = match &args.live.upstream.upstream {
            Location::Upstream(upstream) => Some(upstream.clone()),
            Location::WithCredentials => None,
        };
        Needs { upstream, ..args.live.server.needs(args.fixed.server.listen()) }
    }
}

impl Args {
    fn suites(&self) -> SuiteSet {
        if self.live.suite.is_empty() {
            SuiteSet::DATAGRAM.without(Suite::X25519AesGcm128)
        } else {
            self.live.suite.iter().map(|&suite| suite.into()).collect()
        }
    }

    /// Builds the upstream from the checked options; instead of another one, perhaps.
    fn gateway(&self, clients: Option<Arc<Clients>>, previous: Option<&Gateway>) -> Result<Gateway, Failure> {
        let options = &self.live.upstream;
        let Location::Upstream(upstream) = &options.upstream else {
            return Err(failure(&Error::Credentials));
        };
        let mut builder = Gateway::builder(upstream.clone())
            .timeout(options.upstream_timeout)
            .max_concurrency(options.upstream_concurrency as usize)
            .circuit_breaker(CircuitBreaker::new(options.circuit_failures, options.circuit_open_for))
            .one_way(options.one_way)
            .max_reply(options.max_reply as usize)
            .prefix_client_key(options.prefix_client_key)
            .content_type(&options.content_type)
            .http_version(options.http_version.into())
            .status_rule(options.http_status.into())
            .trace_parent(traces::parent)
            .names(move |key| clients.as_ref()?.name(key));
        if let Some(path) = &options.authorization_file {
            let text = key_file::refuse_streams([&**path]);
            let text = text.and_then(|()| key_file::read_secret_text(path, &self.live.server.access));
            builder = text
                .and_then(|text| builder.authorization(text.trim()).map_err(|error| failure(&error)))
                .map_err(|failure| failure.of_option("authorization-file"))?;
        }
        if let Some(path) = &options.upstream_ca {
            builder = builder.ca_file(path);
        }
        if let Some(gateway) = previous {
            builder = builder.replacing(gateway);
        }
        builder.build().map_err(|error| failure(&error))
    }

    /// What answers requests.
    fn handler(&self, gateway: &Gateway, clients: Option<Arc<Clients>>) -> Handler {
        if !self.fixed.server.verbose {
            return gateway.handler();
        }
        gateway.handler().inspect(move |request| describe(request, clients.as_deref()))
    }
}

/// Returns the failure of the option at fault, with what to do.
fn failure(error: &Error) -> Failure {
    let (option, remedy) = match error {
        Error::InvalidUpstream | Error::HttpClient(_) => {
            ("upstream", "as in http://127.0.0.1:8080/readings or udp://127.0.0.1:53")
        }
        Error::Credentials => ("upstream", "give credentials with --authorization-file"),
        Error::EmptyAuthorization | Error::InvalidAuthorization | Error::AuthorizationWithoutHttp => {
            ("authorization-file", "the file has one line, as in Bearer SECRET")
        }
        Error::InvalidContentType(_) => ("content-type", "as in application/json"),
        Error::KeyPrefixOverHttp => ("prefix-client-key", "omit it: over HTTP the header PSSST-Client-Key has the key"),
        Error::AuthoritiesWithoutTls
        | Error::UnreadableAuthorities { .. }
        | Error::InvalidAuthorities { .. }
        | Error::Tls(_) => ("upstream-ca", "it takes a PEM file of certificates, for https:"),
    };
    Failure::usage(error.to_string(), remedy).of_option(option)
}

/// A gateway that serves.
pub(crate) struct GatewayService {
    server: RunningServer,
    /// Replaced at reloads.
    gateway: Arc<ArcSwap<Gateway>>,
}

/// Its metrics and health.
struct View {
    server: Arc<server::View>,
    gateway: Arc<ArcSwap<Gateway>>,
}

impl Monitored for View {
    fn metrics(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        self.server.metrics(page)?;
        metrics::metrics(page, &self.gateway.load().stats())
    }

    fn files(&self) -> Vec<FollowedFile> {
        self.server.files()
    }

    fn not_live(&self) -> Vec<String> {
        self.server.not_live()
    }

    fn not_ready(&self) -> Vec<String> {
        self.server.not_ready()
    }

    fn refusals(&self) -> Vec<(&'static str, u64)> {
        self.server.refusals()
    }
}

impl Service for GatewayService {
    type Args = Args;
    type Fixed = Fixed;

    const NAME: &'static str = "gateway";
    const STAND_INS: &[StandIn] = &[
        StandIn(&["secret-key", "keys"], "--secret-key=stand-in"),
        StandIn(&["upstream"], "--upstream=unix:/stand-in"),
    ];

    fn options(args: &Args) -> (&FixedOptions, &LiveOptions) {
        (&args.fixed.service, &args.live.service)
    }

    fn is_verbose(args: &Args) -> bool {
        args.fixed.server.verbose
    }

    fn traces(args: &Args) -> Option<&TraceOptions> {
        Some(&args.fixed.traces)
    }

    fn check(args: &Args) -> Result<(), Failure> {
        let gateway = args.gateway(None, None).map(drop);
        let explicit = args.live.server.check_that_access_is_explicit();
        Failure::collect([args.live.server.check(&args.live.suite), explicit, gateway].into_iter()).map(drop)
    }

    fn opened_by_lack(before: &Args, after: &Args) -> Vec<&'static str> {
        let has_lost_ca = before.live.upstream.upstream_ca.is_some() && after.live.upstream.upstream_ca.is_none();
        // Without any, it accepts f002 and f003.
        let has_lost_suites = !before.live.suite.is_empty() && after.live.suite.is_empty();
        let lost = before.live.server.opened_by_lack(&after.live.server);
        let lost = lost.into_iter().chain(has_lost_ca.then_some("upstream-ca"));
        lost.chain(has_lost_suites.then_some("suite")).collect()
    }

    fn open_files(args: &Args) -> u64 {
        args.fixed.server.open_files() + u64::from(args.live.upstream.upstream_concurrency)
    }

    async fn start(args: &Args) -> Result<Self, Failure> {
        let prepared = args.live.server.prepare(args.suites(), &args.live.suite, None).await?;
        let clients = prepared.clients.clone();
        let gateway = args.gateway(clients.clone(), None)?;
        let server = RunningServer::start(&args.fixed.server, prepared, args.handler(&gateway, clients))?;
        Ok(Self { server, gateway: Arc::new(ArcSwap::from_pointee(gateway)) })
    }

    async fn reload(&mut self, args: &Args) -> Result<(), Failure> {
        let prepared = args.live.server.prepare(args.suites(), &args.live.suite, Some(&self.server)).await?;
        let clients = prepared.clients.clone();
        let gateway = args.gateway(clients.clone(), Some(&self.gateway.load()))?;
        self.server.apply(prepared, args.handler(&gateway, clients)).await;
        self.gateway.store(Arc::new(gateway));
        Ok(())
    }

    fn files(args: &Args) -> Vec<PathBuf> {
        let options = &args.live.upstream;
        let files = options.authorization_file.iter().chain(&options.upstream_ca).cloned();
        args.live.server.files().chain(files).collect()
    }

    fn announce(&self, out: &mut dyn Write) -> io::Result<()> {
        self.server.announce(out)?;
        writeln!(out, "upstream {}", self.gateway.load().upstream())
    }

    fn monitored(&self) -> Arc<dyn Monitored> {
        Arc::new(View { server: Arc::clone(self.server.view()), gateway: Arc::clone(&self.gateway) })
    }

    async fn stop(self, within: Duration) -> String {
        let served = self.server.stop(within).await;
        let stats = self.gateway.load().stats();
        let outcomes = nonzero_counts(stats.outcomes().map(|(outcome, count)| (outcome.name(), count)));
        format!("{served}; upstream{}", outcomes.replacen(',', "", 1))
    }
}
