//! `pssst directory`: keys for clients, clients for servers, over TLS.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pssst_directory::{Pin, Refusal};
use pssst_directory_server::{
    BoundDirectory, Directory, DirectoryBuilder, DirectoryEvent, Operators, RenewalRefusal, ScheduleFile,
    ServerCertificate,
};
use pssst_identity::{IdentityStore, SqlStore};
use pssst_link::Link;
use pssst_net::RateLimit;

use super::OTHER_FILES;
use super::needs::{Examined, Needs};
use crate::args::format::nonzero_counts;
use crate::args::key_file::Access;
use crate::args::options::SuiteOption;
use crate::args::server_key;
use crate::args::store::Location;
use crate::args::udp::{address, reachable_at};
use pssst_service::addresses;
use pssst_service::{
    Failure, FixedOptions, FollowedFile, LiveOptions, MetricsWriter, Monitored, Service, StandIn, durations, process,
};

/// Serve a pool's keys, enrol devices, and let operators manage both.
///
/// Clients fetch the keys (`pssst keys fetch`, and `--directory` of other commands). Devices enrol
/// with a token (`pssst enroll`). Operators use pages and an API at a separate address. Changed
/// files are reloaded. Stops at SIGINT or SIGTERM.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    fixed: Fixed,
    #[command(flatten)]
    live: LiveOptions,
}

/// Options that need a restart. The files that it names are followed by the directory itself.
#[derive(clap::Args, Debug)]
pub(crate) struct Fixed {
    /// The address and port for clients and devices; [::] serves IPv4 as well as IPv6.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8443", value_parser = addresses::listen)]
    listen: SocketAddr,
    /// The address and port for operators, if there are any.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8444", value_parser = addresses::listen)]
    admin_listen: SocketAddr,
    /// The name or address, and the port, at which clients reach this directory: for the link that
    /// is printed, and those of the operators' page [default: the address for clients, if it is a
    /// single one].
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    public_address: Option<String>,
    /// The name or address, and the port, of the pool's servers: for these links.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    server: Option<String>,
    /// The schedule of the pool's secret keys (`pssst keys init`).
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// The directory's certificate chain, PEM.
    #[arg(long, value_name = "FILE", requires = "certificate_key")]
    certificate: Option<PathBuf>,
    /// The certificate's secret key, PEM.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    certificate_key: Option<PathBuf>,
    /// Use a self-signed certificate, which clients verify by its pin. With --certificate and
    /// --certificate-key it is kept in these files; otherwise every start makes a new one.
    #[arg(long)]
    self_signed: bool,
    /// A name or address for the self-signed certificate; repeat for more.
    #[arg(long, value_name = "NAME", default_value = "localhost", requires = "self_signed")]
    certificate_name: Vec<String>,
    /// File of the operators' token hashes, one line each, from `pssst operator create`.
    #[arg(long, value_name = "FILE")]
    operators: Option<PathBuf>,
    /// Authorities that sign the operators' certificates, PEM.
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Suites to announce to clients, the preferred one first [default: f003 where there are keys
    /// for it, f002, 1].
    #[arg(long, value_enum, value_name = "SUITE")]
    suite: Vec<SuiteOption>,
    /// Refresh interval of clients, if it is to be shorter than the schedule's.
    #[arg(long, value_name = "SPAN", value_parser = durations::span)]
    refresh_interval: Option<Duration>,
    /// Enrolments accepted per second from each address prefix (IPv4 /24, IPv6 /56). Bursts of ten
    /// times as many are accepted after a pause, and ten times as many from all prefixes together.
    #[arg(long, value_name = "PER_SECOND", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate_limit: u32,
    /// Renewals of pre-shared keys accepted per second from each address prefix, with bursts like
    /// those of enrolments; a hundred times as many from all prefixes together, since a whole fleet
    /// renews after a rotation.
    #[arg(long, value_name = "PER_SECOND", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    renewal_rate_limit: u32,
    /// Activation delay of rotations that operators start.
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = durations::span)]
    activation_delay: Duration,
    /// Grace period of rotations that operators start.
    #[arg(long, value_name = "SPAN", default_value = "7d", value_parser = durations::span)]
    grace_period: Duration,
    #[command(flatten)]
    location: Location,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    service: FixedOptions,
}

/// Most connections of each listener.
const MAX_CONNECTIONS: usize = 4096;

const MIN_CONNECTIONS: usize = 16;

impl Examined for DirectoryService {
    fn needs(args: &Args) -> Needs {
        let args = &args.fixed;
        let has_admin = args.operators.is_some() || args.client_ca.is_some();
        let admin = has_admin.then_some(args.admin_listen);
        let files = args.certificate.clone().zip(args.certificate_key.clone());
        Needs {
            tcp: [args.listen].into_iter().chain(admin).collect(),
            store: Some(args.location.text().into()),
            creates_store: true,
            schedule: Some((args.keys.clone(), args.access.clone())),
            certificate: files.map(|(certificate, key)| (certificate, key, args.access.clone())),
            // Rotations replace it.
            writes: vec![args.keys.clone()],
            ..Needs::default()
        }
    }
}

/// A directory that serves.
pub(crate) struct DirectoryService {
    directory: Arc<Directory>,
    store: SqlStore,
    public_addr: SocketAddr,
    admin_addr: Option<SocketAddr>,
    pin: Pin,
    link: Option<String>,
}

/// Its metrics and health.
struct View(Arc<Directory>);

impl Monitored for View {
    fn metrics(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        let stats = self.0.stats();
        page.counters(
            "pssst_directory_events",
            "Requests of devices and operators, by event",
            "event",
            DirectoryEvent::ALL.map(|event| (event.name(), stats.count(event))),
        )?;
        page.counters(
            "pssst_directory_refusals",
            "Requests that were refused",
            "cause",
            Refusal::ALL.map(|refusal| (refusal.name(), stats.refused(refusal))),
        )?;
        page.counters(
            "pssst_directory_renewal_refusals",
            "Renewals that were refused",
            "cause",
            RenewalRefusal::ALL.map(|refusal| (refusal.name(), stats.renewals_refused(refusal))),
        )?;
        page.number(
            "pssst_directory_certificate_expiry_timestamp_seconds",
            "Time when the directory's certificate expires, in seconds since 1970",
            self.0.certificate_expiry().as_second().unsigned_abs(),
        )
    }

    fn files(&self) -> Vec<FollowedFile> {
        self.0.files().into_iter().map(|(path, status)| FollowedFile::new(&path, status)).collect()
    }

    fn not_ready(&self) -> Vec<String> {
        self.0.not_ready()
    }

    fn refusals(&self) -> Vec<(&'static str, u64)> {
        let stats = self.0.stats();
        Refusal::ALL.map(|refusal| (refusal.name(), stats.refused(refusal))).to_vec()
    }
}

impl Service for DirectoryService {
    type Args = Args;
    type Fixed = Fixed;

    const NAME: &'static str = "directory";
    const STAND_INS: &[StandIn] = &[
        StandIn(&["keys"], "--keys=stand-in"),
        StandIn(&["store"], "--store=sqlite:stand-in"),
        StandIn(&["certificate", "certificate-key", "self-signed"], "--self-signed"),
    ];

    fn options(args: &Args) -> (&FixedOptions, &LiveOptions) {
        (&args.fixed.service, &args.live)
    }

    fn is_verbose(_: &Args) -> bool {
        false
    }

    fn check(args: &Args) -> Result<(), Failure> {
        let args = &args.fixed;
        // One of its own it makes when it starts.
        let certificate = match &args.certificate {
            _ if args.self_signed => Ok(()),
            Some(_) => certificate(args).map(drop),
            None => Err(Failure::usage(
                "the directory has no certificate",
                "give --certificate and --certificate-key, or --self-signed for one that clients check by its pin",
            )),
        };
        let client_ca = args.client_ca.as_ref().map(|path| {
            DirectoryBuilder::check_client_ca(path)
                .map_err(|error| server_key::of_file(path, &error).of_option("client-ca"))
        });
        let checks = [
            schedule(args).map(drop),
            operators(args).map(drop),
            args.location.check(),
            certificate,
            client_ca.unwrap_or(Ok(())),
        ];
        Failure::collect(checks.into_iter()).map(drop)
    }

    fn open_files(_: &Args) -> u64 {
        // Two listeners.
        OTHER_FILES + 2 * MAX_CONNECTIONS as u64
    }

    async fn start(args: &Args) -> Result<Self, Failure> {
        let store = args.fixed.location.open_or_create_database().await?;
        let bound = bind(&args.fixed, store.clone()).await?;
        let (public_addr, admin_addr, pin) = (bound.public_addr(), bound.admin_addr(), bound.pin());
        let link = link(&args.fixed, public_addr, pin);
        if let Some(link) = &link {
            bound.set_link(link.clone());
        }
        let link = link.and_then(|link| link.to_text().ok()).map(|text| text.to_string());
        Ok(Self { directory: Arc::new(bound.serve()), store, public_addr, admin_addr, pin, link })
    }

    async fn reload(&mut self, _: &Args) -> Result<(), Failure> {
        Ok(())
    }

    fn files(_: &Args) -> Vec<PathBuf> {
        Vec::new()
    }

    fn announce(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "clients: https://{}", self.public_addr)?;
        if let Some(address) = self.admin_addr {
            writeln!(out, "operators: https://{address}")?;
        }
        writeln!(out, "pin {}", self.pin)?;
        self.link.as_ref().map_or(Ok(()), |link| writeln!(out, "link {link}"))
    }

    fn monitored(&self) -> Arc<dyn Monitored> {
        Arc::new(View(Arc::clone(&self.directory)))
    }

    async fn stop(self, within: Duration) -> String {
        let stats = self.directory.shutdown(within).await;
        self.store.close().await;
        let events = DirectoryEvent::ALL.map(|event| (event.name(), stats.count(event)));
        let refusals = Refusal::ALL.map(|refusal| (refusal.name(), stats.refused(refusal)));
        nonzero_counts(events.into_iter().chain(refusals)).trim_start_matches(", ").to_owned()
    }
}

/// Returns the link for clients, if they can be told where the directory is. Certificates of an
/// authority are replaced with their keys, so that their pin would go out of date.
fn link(args: &Fixed, public_addr: SocketAddr, pin: Pin) -> Option<Link> {
    let directory = reachable_at(args.public_address.as_deref(), public_addr)?;
    let pin = args.self_signed.then_some(*pin.as_bytes());
    Some(Link { server: args.server.clone(), directory: Some(directory), pin, ..Link::default() })
}

/// Returns the number of connections of each listener: both have their own, and the files that the
/// directory reads again have theirs, however low the limit on open files is.
fn max_connections(file_limit: Option<u64>) -> usize {
    let left = file_limit.unwrap_or(u64::MAX).saturating_sub(OTHER_FILES) / 2;
    usize::try_from(left).unwrap_or(usize::MAX).clamp(MIN_CONNECTIONS, MAX_CONNECTIONS)
}

async fn bind(args: &Fixed, store: SqlStore) -> Result<BoundDirectory, Failure> {
    let schedule = schedule(args)?;
    let certificate = certificate(args)?;

    let limit = |per_second| RateLimit::new(per_second).with_burst(10 * per_second);
    let mut builder = Directory::builder(store, Arc::new(schedule), certificate)
        .max_connections(max_connections(process::file_limit()))
        .enrollment_limits(limit(args.rate_limit), limit(10 * args.rate_limit))
        .renewal_limits(limit(args.renewal_rate_limit), limit(100 * args.renewal_rate_limit))
        .rotation(args.activation_delay, args.grace_period);
    if let Some(operators) = operators(args)? {
        builder = builder.operators(operators);
    }
    if let Some(path) = &args.client_ca {
        builder = builder.client_ca(path);
    }
    if let Some(refresh_interval) = args.refresh_interval {
        builder = builder.refresh_interval(refresh_interval);
    }
    if !args.suite.is_empty() {
        builder = builder.suites(args.suite.iter().map(|&suite| suite.into()).collect::<Vec<_>>());
    }
    let admin = (args.operators.is_some() || args.client_ca.is_some()).then_some(args.admin_listen);
    builder.bind(args.listen, admin).await.map_err(|error| server_key::service_failure(&error))
}

fn certificate(args: &Fixed) -> Result<ServerCertificate, Failure> {
    let made = match (&args.certificate, &args.certificate_key) {
        (Some(chain), Some(key)) if args.self_signed => {
            ServerCertificate::self_signed_in_files(chain, key, args.certificate_name.iter().cloned())
        }
        (Some(chain), Some(key)) => ServerCertificate::from_files(chain, key, args.access.allow_exposed_keys),
        _ => ServerCertificate::self_signed(args.certificate_name.iter().cloned()),
    };
    let name = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    made.map_err(|error| {
        let files = format!("{} and {}", name(&args.certificate), name(&args.certificate_key));
        server_key::of_file(Path::new(&files), &error).of_option("certificate")
    })
}

fn schedule(args: &Fixed) -> Result<ScheduleFile, Failure> {
    ScheduleFile::open(&args.keys, args.access.allow_exposed_keys)
        .map_err(|error| server_key::of_schedule(&args.keys, &error).of_option("keys"))
}

fn operators(args: &Fixed) -> Result<Option<Operators>, Failure> {
    let Some(path) = &args.operators else { return Ok(None) };
    Operators::open(path).map(Some).map_err(|error| server_key::of_file(path, &error).of_option("operators"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_on_open_files_leaves_some_for_operators() {
        let of = |limit| max_connections(Some(limit));
        assert_eq!((max_connections(None), of(100_000), of(1024), of(10)), (4096, 4096, 384, 16));
    }
}
