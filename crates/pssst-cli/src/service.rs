//! What `serve`, `gateway`, `proxy` and `directory` share: how they start, are told to read their configuration again, and stop.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::Cli;
use crate::config::{Configured, Invocation, Source};
use crate::failure::Failure;
use crate::log::LogOptions;
use crate::observe::{Listener, Observed, Observer};
use crate::options;
use crate::runtime;
use crate::signals::{Signal, Signals};
use crate::stderr::say;
pub(crate) use status::{Status, seconds_since_1970};
use watch::Watch;

mod notify;
mod refusals;
mod status;
mod watch;

/// How a service runs.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ServiceOptions {
    #[command(flatten)]
    source: Source,
    /// Show metrics and health over HTTP at this address and port, under /metrics, /livez and /readyz [default: nowhere].
    #[arg(long, value_name = "ADDR:PORT")]
    metrics: Option<SocketAddr>,
    #[command(flatten)]
    log: LogOptions,
    /// How often the files that were read are looked at; when one has changed, all are read again. SIGHUP does so at once.
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = options::duration)]
    reload_every: Duration,
    /// How long to serve on once asked to stop, while saying that this is no longer ready, for balancers to notice.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = options::seconds_or_none)]
    drain: Duration,
    /// How long to go on with what was accepted, after that.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = options::seconds)]
    stop_within: Duration,
}

/// The options of [`ServiceOptions`] that a reload may change.
const RELOADABLE: [&str; 4] = ["config", "reload_every", "drain", "stop_within"];

/// A command that runs until it is told to stop.
pub(crate) trait Service: Sized {
    type Args;

    /// The command's name.
    const NAME: &'static str;

    /// Those of its options that a reload may change, by the names of their fields.
    fn reloadable() -> Vec<&'static str>;

    /// Its options, if they are the ones that were given.
    fn args(cli: &Cli) -> Option<&Self::Args>;

    fn options(args: &Self::Args) -> &ServiceOptions;

    /// Whether every packet is worth a line.
    fn is_verbose(args: &Self::Args) -> bool;

    /// What can be checked of the options without starting.
    fn check(args: &Self::Args) -> Result<(), Failure>;

    async fn start(args: &Self::Args) -> Result<Self, Failure>;

    /// Goes on with other options: with all of them, or with none.
    async fn reload(&mut self, args: &Self::Args) -> Result<(), Failure>;

    /// The files that are read again at a reload.
    fn files(args: &Self::Args) -> Vec<PathBuf>;

    /// What users and scripts wait for.
    fn announce(&self, out: &mut dyn Write) -> io::Result<()>;

    /// What can be seen of it, while it runs.
    fn view(&self) -> Arc<dyn Observed>;

    /// Finishes what was accepted, and tells what was done.
    async fn stop(self, within: Duration) -> String;
}

/// Runs a service to its end.
pub(crate) fn run<S: Service>(invocation: &Invocation, configured: Configured) -> Result<(), Failure> {
    runtime::run(async {
        let args = args::<S>(&configured)?;
        let options = S::options(args);
        options.log.start(S::is_verbose(args));
        // From here on signals wait until they are heard.
        let mut signals = Signals::new()?;
        let locate = |failure| configured.locate(S::NAME, failure);
        let service = S::start(args).await.map_err(locate)?;
        let status = Arc::new(Status::new());
        let listener = match options.metrics {
            Some(address) => {
                let observer = Observer::new(service.view(), Arc::clone(&status));
                Some(Listener::start(address, observer).await.map_err(locate)?)
            }
            None => None,
        };
        announce(&service, listener.as_ref()).map_err(|error| Failure::output(&error))?;
        notify::ready();

        let view = service.view();
        let mut running = Running { invocation, configured, service, status };
        let say = |cause: &str, count| tracing::info!(cause, count, "refused in the last minute");
        tokio::select! {
            () = refusals::report(Arc::clone(&view), say) => {}
            stopped = running.until_stop(&mut signals, &*view) => stopped?,
        }
        notify::stopping();
        running.stop(&mut signals).await
    })
}

fn announce<S: Service>(service: &S, listener: Option<&Listener>) -> io::Result<()> {
    let mut stdout = io::stdout();
    service.announce(&mut stdout)?;
    if let Some(listener) = listener {
        writeln!(stdout, "metrics at http://{}/metrics", listener.address())?;
    }
    stdout.flush()
}

struct Running<'a, S> {
    invocation: &'a Invocation,
    configured: Configured,
    service: S,
    status: Arc<Status>,
}

impl<S: Service> Running<'_, S> {
    async fn until_stop(&mut self, signals: &mut Signals, view: &dyn Observed) -> Result<(), Failure> {
        let mut watch = Watch::new(self.files());
        let mut well = notify::interval().map(tokio::time::interval);
        loop {
            let every = S::options(args::<S>(&self.configured)?).reload_every;
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Stop => return Ok(()),
                    Signal::Reload => self.reload().await,
                },
                () = watch.changed(every, self.status.is_refused()) => self.reload().await,
                () = next(&mut well) => {
                    if view.not_live().is_empty() {
                        notify::alive();
                    }
                    continue;
                }
            }
            watch.see(self.files());
        }
    }

    /// Reads everything again, and goes on with it, if all of it is right.
    async fn reload(&mut self) {
        notify::reloading();
        let outcome = self.try_reload().await;
        match &outcome {
            Ok(()) => tracing::info!("read the configuration again"),
            Err(failure) => say(format_args!("nothing was changed, since the configuration is not right\n{failure}")),
        }
        self.status.reloaded(outcome.is_ok());
        notify::ready();
    }

    async fn try_reload(&mut self) -> Result<(), Failure> {
        let newer = self.invocation.read()?;
        let reloadable = S::reloadable();
        let fixed: Vec<_> = self
            .configured
            .changes(&newer, S::NAME)
            .into_iter()
            .filter(|id| !reloadable.contains(&&**id) && !RELOADABLE.contains(&&**id))
            .map(|id| id.replace('_', "-"))
            .collect();
        if !fixed.is_empty() {
            return Err(Failure::new(
                format!("{} cannot change while it runs", fixed.join(", ")),
                "restart it; with sockets from the service manager not even a packet is lost",
            ));
        }
        let outcome = self.service.reload(args::<S>(&newer)?).await;
        outcome.map_err(|failure| newer.locate(S::NAME, failure))?;
        self.configured = newer;
        Ok(())
    }

    /// Is not ready, but serves, for a while; then ends.
    async fn stop(self, signals: &mut Signals) -> Result<(), Failure> {
        let options = S::options(args::<S>(&self.configured)?);
        self.status.drain();
        tokio::select! {
            () = tokio::time::sleep(options.drain) => {}
            // Whoever asks twice means it.
            () = signals.stop() => {}
        }
        say(self.service.stop(options.stop_within).await);
        Ok(())
    }

    fn files(&self) -> Vec<PathBuf> {
        let named = args::<S>(&self.configured).map(S::files).unwrap_or_default();
        self.configured.path().into_iter().chain(named).collect()
    }
}

/// The next time, if there are any.
async fn next(interval: &mut Option<tokio::time::Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

fn args<S: Service>(configured: &Configured) -> Result<&S::Args, Failure> {
    S::args(&configured.cli).ok_or_else(|| Failure::usage("another command was read", "call the program again"))
}
