//! `pssst directory`: keys for clients, clients for servers, over TLS.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pssst_directory::{
    BoundDirectory, Directory, DirectoryEvent, Error, Operators, Refusal, ScheduleFile, ServerCertificate,
};
use pssst_net::RateLimit;

use crate::failure::Failure;
use crate::key_file::Access;
use crate::options::{self, SuiteOption};
use crate::signals::Signals;
use crate::stderr::say;
use crate::store::Location;
use crate::{keys, log, reach, runtime};

/// Serve the current keys of a pool to its clients over HTTPS, enrol devices, and let operators look after both.
///
/// Clients fetch the keys (`pssst keys fetch`, `--directory` elsewhere), devices enrol by a token (`pssst enroll`), and operators
/// come to a page and an API on an address of their own. All files are read again when they change. Stops at SIGINT or SIGTERM.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The address and port for clients and devices; [::] serves IPv4 as well as IPv6.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// The address and port for operators, where there are any.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8444")]
    admin_listen: SocketAddr,
    /// The schedule of the pool's secret keys (`pssst keys init`).
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// The directory's certificate and those that vouch for it, PEM.
    #[arg(long, value_name = "FILE", required_unless_present = "self_signed", requires = "certificate_key")]
    certificate: Option<PathBuf>,
    /// The certificate's secret key, PEM.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    certificate_key: Option<PathBuf>,
    /// Make a certificate that nobody vouches for; clients know it by its pin. With --certificate and --certificate-key it is kept
    /// in these files, otherwise there is another one at each start.
    #[arg(long)]
    self_signed: bool,
    /// A name or address for the self-signed certificate; give it again for more.
    #[arg(long, value_name = "NAME", default_value = "localhost", requires = "self_signed")]
    certificate_name: Vec<String>,
    /// Who may come as an operator with a token: a file of lines that `pssst operator create` makes.
    #[arg(long, value_name = "FILE")]
    operators: Option<PathBuf>,
    /// Who may come as an operator with a certificate: the authorities that sign these, PEM.
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// The suites that the servers accept, for clients to know, the preferred one first. By default f001 and 1.
    #[arg(long, value_enum, value_name = "SUITE")]
    suite: Vec<SuiteOption>,
    /// Within which time clients are to come back, where that is to be less than the schedule says.
    #[arg(long, value_name = "SPAN", value_parser = options::duration)]
    check_in: Option<Duration>,
    /// Take so many enrolments a second from each prefix of addresses (IPv4 /24, IPv6 /56), ten times as many at once after a quiet
    /// time, and ten times as many from all together.
    #[arg(long, value_name = "PER_SECOND", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate_limit: u32,
    /// The lead of rotations that operators start.
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = options::duration)]
    lead: Duration,
    /// Their overlap.
    #[arg(long, value_name = "SPAN", default_value = "7d", value_parser = options::duration)]
    overlap: Duration,
    /// How long to go on with requests at hand, once asked to stop.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = options::seconds)]
    stop_within: Duration,
    #[command(flatten)]
    location: Location,
    #[command(flatten)]
    access: Access,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    log::to_stderr(false);
    runtime::run(async {
        let signals = Signals::new()?;
        let bound = bind(args).await?;
        announce(&bound).map_err(|error| Failure::output(&error))?;
        let directory = bound.serve();
        signals.stop().await;
        let stats = directory.shutdown(args.stop_within).await;
        let events = DirectoryEvent::ALL.map(|event| (event.name(), stats.count(event)));
        let refusals = Refusal::ALL.map(|refusal| (refusal.name(), stats.refused(refusal)));
        let counts = events.into_iter().chain(refusals).filter(|(_, count)| *count > 0);
        say(counts.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", "));
        Ok(())
    })
}

async fn bind(args: &Args) -> Result<BoundDirectory, Failure> {
    let exposed = args.access.allow_exposed_keys;
    let schedule = ScheduleFile::open(&args.keys, exposed).map_err(|error| keys::of_file(&args.keys, &error))?;
    let certificate = certificate(args).map_err(|error| reach::failure(&error).with_context("the certificate"))?;
    let store = args.location.open_database().await?;

    let each = RateLimit::new(args.rate_limit).with_burst(10 * args.rate_limit);
    let all = RateLimit::new(10 * args.rate_limit).with_burst(100 * args.rate_limit);
    let mut builder = Directory::builder(store, Arc::new(schedule), certificate)
        .enrollment_limits(each, all)
        .rotation(args.lead, args.overlap);
    if let Some(path) = &args.operators {
        builder = builder.operators(Operators::open(path).map_err(|error| keys::of_file(path, &error))?);
    }
    if let Some(path) = &args.client_ca {
        builder = builder.client_ca(path);
    }
    if let Some(check_in) = args.check_in {
        builder = builder.check_in(check_in);
    }
    if !args.suite.is_empty() {
        builder = builder.suites(args.suite.iter().map(|&suite| suite.into()).collect::<Vec<_>>());
    }
    let admin = (args.operators.is_some() || args.client_ca.is_some()).then_some(args.admin_listen);
    builder.bind(args.listen, admin).await.map_err(|error| reach::failure(&error))
}

fn certificate(args: &Args) -> Result<ServerCertificate, Error> {
    match (&args.certificate, &args.certificate_key) {
        (Some(chain), Some(key)) if args.self_signed => {
            ServerCertificate::self_signed_in_files(chain, key, args.certificate_name.iter().cloned())
        }
        (Some(chain), Some(key)) => ServerCertificate::from_files(chain, key, args.access.allow_exposed_keys),
        _ => ServerCertificate::self_signed(args.certificate_name.iter().cloned()),
    }
}

fn announce(bound: &BoundDirectory) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "clients come to https://{}", bound.public_addr())?;
    if let Some(address) = bound.admin_addr() {
        writeln!(stdout, "operators come to https://{address}")?;
    }
    writeln!(stdout, "pin {}", bound.pin())?;
    stdout.flush()
}
