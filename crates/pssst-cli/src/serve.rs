//! `pssst serve`: answers every request with its own message, over UDP.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pssst::SuiteSet;
use pssst_net::{Handler, Reply, Request};

use crate::failure::Failure;
use crate::observe::Observed;
use crate::options::SuiteOption;
use crate::server::{self, Clients, Serving, describe};
use crate::service::{self, Service};
use crate::{Cli, Command};

/// Answer every request with its own message.
///
/// Refused packets are dropped without an answer and counted by cause. Stops at SIGINT or SIGTERM: it then answers what has
/// arrived, and prints the counts.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    server: server::ServerOptions,
    /// Accept this suite only; give it again for more. All of them are accepted by default.
    #[arg(long, value_enum, value_name = "SUITE")]
    suite: Vec<SuiteOption>,
    #[command(flatten)]
    service: service::ServiceOptions,
}

impl Args {
    fn suites(&self) -> SuiteSet {
        if self.suite.is_empty() { SuiteSet::ALL } else { self.suite.iter().map(|&suite| suite.into()).collect() }
    }

    /// Returns the echo. The same request always gets the same bytes, as suite 1 needs.
    fn handler(&self, clients: Option<Arc<Clients>>) -> Handler {
        let is_verbose = self.server.verbose;
        Handler::from_fn(move |request: Request<&[u8]>| {
            if is_verbose {
                describe(&request, clients.as_deref());
            }
            Some(Reply::copy_from(request.message()))
        })
    }
}

/// A server that echoes.
pub(crate) struct Serve {
    serving: Serving,
}

impl Service for Serve {
    type Args = Args;

    const NAME: &'static str = "serve";

    fn reloadable() -> Vec<&'static str> {
        [&server::RELOADABLE[..], &["suite"]].concat()
    }

    fn args(cli: &Cli) -> Option<&Args> {
        if let Command::Serve(args) = &cli.command { Some(args) } else { None }
    }

    fn options(args: &Args) -> &service::ServiceOptions {
        &args.service
    }

    fn is_verbose(args: &Args) -> bool {
        args.server.verbose
    }

    fn check(args: &Args) -> Result<(), Failure> {
        args.server.check()
    }

    async fn start(args: &Args) -> Result<Self, Failure> {
        let prepared = args.server.prepare(args.suites(), None).await?;
        let handler = args.handler(prepared.clients.clone());
        Ok(Self { serving: Serving::start(&args.server, prepared, handler)? })
    }

    async fn reload(&mut self, args: &Args) -> Result<(), Failure> {
        let prepared = args.server.prepare(args.suites(), Some(&self.serving)).await?;
        let handler = args.handler(prepared.clients.clone());
        self.serving.apply(prepared, handler);
        Ok(())
    }

    fn files(args: &Args) -> Vec<PathBuf> {
        args.server.files().collect()
    }

    fn announce(&self, out: &mut dyn Write) -> io::Result<()> {
        self.serving.announce(out)
    }

    fn view(&self) -> Arc<dyn Observed> {
        Arc::clone(self.serving.view()) as _
    }

    async fn stop(self, within: Duration) -> String {
        self.serving.stop(within).await
    }
}
