//! `pssst serve`: answers every request with its own message, over UDP.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pssst::{Suite, SuiteSet};
use pssst_net::{Handler, Reply, Request};

use super::needs::{Examined, Needs};
use super::server::{Clients, FixedServerOptions, LiveServerOptions, RunningServer, describe};
use crate::args::options::SuiteOption;
use pssst_service::{Failure, FixedOptions, LiveOptions, Monitored, Service, StandIn};

/// Answer every request with its own message (echo).
///
/// Refused packets are dropped without a reply and counted by cause. On SIGINT or SIGTERM it
/// answers the requests that have arrived, prints the counts and stops.
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
}

/// Options that a reload may change.
#[derive(clap::Args, Debug)]
struct Live {
    #[command(flatten)]
    server: LiveServerOptions,
    /// Accept this suite only; repeat for more [default: all, but suite 1 where fresh replies are
    /// required].
    #[arg(long, value_enum, value_name = "SUITE")]
    suite: Vec<SuiteOption>,
    #[command(flatten)]
    service: LiveOptions,
}

impl Args {
    fn suites(&self) -> SuiteSet {
        match self.live.suite.as_slice() {
            [] if self.live.server.requires_fresh_replies() => SuiteSet::DATAGRAM.without(Suite::X25519AesGcm128),
            [] => SuiteSet::DATAGRAM,
            suites => suites.iter().map(|&suite| suite.into()).collect(),
        }
    }

    /// Returns the echo. The same request always gets the same bytes, as suite 1 needs.
    fn handler(&self, clients: Option<Arc<Clients>>) -> Handler {
        let is_verbose = self.fixed.server.verbose;
        Handler::from_fn(move |request: Request<&[u8]>| {
            if is_verbose {
                describe(&request, clients.as_deref());
            }
            Some(Reply::copy_from(request.message()))
        })
    }
}

impl Examined for EchoService {
    fn needs(args: &Args) -> Needs {
        args.live.server.needs(args.fixed.server.listen())
    }
}

/// A server that echoes.
pub(crate) struct EchoService {
    server: RunningServer,
}

impl Service for EchoService {
    type Args = Args;
    type Fixed = Fixed;

    const NAME: &'static str = "serve";
    const STAND_INS: &[StandIn] = &[StandIn(&["secret-key", "keys"], "--secret-key=stand-in")];

    fn options(args: &Args) -> (&FixedOptions, &LiveOptions) {
        (&args.fixed.service, &args.live.service)
    }

    fn is_verbose(args: &Args) -> bool {
        args.fixed.server.verbose
    }

    fn check(args: &Args) -> Result<(), Failure> {
        args.live.server.check(&args.live.suite)
    }

    fn opened_by_lack(before: &Args, after: &Args) -> Vec<&'static str> {
        // Without any, it accepts all suites.
        let has_lost_suites = !before.live.suite.is_empty() && after.live.suite.is_empty();
        let lost = before.live.server.opened_by_lack(&after.live.server);
        lost.into_iter().chain(has_lost_suites.then_some("suite")).collect()
    }

    fn open_files(args: &Args) -> u64 {
        args.fixed.server.open_files()
    }

    async fn start(args: &Args) -> Result<Self, Failure> {
        let prepared = args.live.server.prepare(args.suites(), &args.live.suite, None).await?;
        let handler = args.handler(prepared.clients.clone());
        Ok(Self { server: RunningServer::start(&args.fixed.server, prepared, handler)? })
    }

    async fn reload(&mut self, args: &Args) -> Result<(), Failure> {
        let prepared = args.live.server.prepare(args.suites(), &args.live.suite, Some(&self.server)).await?;
        let handler = args.handler(prepared.clients.clone());
        self.server.apply(prepared, handler).await;
        Ok(())
    }

    fn files(args: &Args) -> Vec<PathBuf> {
        args.live.server.files().collect()
    }

    fn announce(&self, out: &mut dyn Write) -> io::Result<()> {
        self.server.announce(out)
    }

    fn monitored(&self) -> Arc<dyn Monitored> {
        Arc::clone(self.server.view()) as _
    }

    async fn stop(self, within: Duration) -> String {
        self.server.stop(within).await
    }
}
