//! What `serve`, `gateway`, `proxy` and `directory` share: how they start, are told to read their configuration again, and stop.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Interval;

use crate::Cli;
use crate::config::{Configured, Invocation, Source};
use crate::failure::Failure;
use crate::log::LogOptions;
use crate::observe::{Listener, Observed, Observer};
use crate::options;
use crate::runtime;
use crate::signals::{Signal, Signals};
use crate::stderr::{say, say_error};
use crate::traces::{TraceOptions, Traces};
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

    /// What is traced of its work, if anything can be.
    fn traces(_: &Self::Args) -> Option<&TraceOptions> {
        None
    }

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
pub(crate) fn run<S: Service>(invocation: &Invocation, configured: &Configured) -> Result<(), Failure> {
    runtime::run(async {
        let watch = Watch::new(files::<S>(configured));
        // Once more, so that nothing can have changed between its reading and the watch.
        let configured = invocation.read()?;
        let args = args::<S>(&configured)?;
        let options = S::options(args);
        let traces = S::traces(args).map(|traces| Traces::start(traces, S::NAME)).transpose()?.flatten();
        options.log.start(S::is_verbose(args), traces.as_ref().map(Traces::layer));
        let locate = |failure| configured.locate(S::NAME, failure);
        S::check(args).map_err(|failure| locate(failure).into_usage())?;
        // From here on signals wait until they are heard.
        let mut signals = Signals::new()?;
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
        let mut running = Running { invocation, configured, service, status, watch, well: Pulse::new(&*view) };
        let say = |cause: &str, count| tracing::info!(cause, count, "refused in the last minute");
        tokio::select! {
            () = refusals::report(Arc::clone(&view), say) => {}
            stopped = running.until_stop(&mut signals) => stopped?,
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
    watch: Watch,
    well: Pulse<'a>,
}

impl<S: Service> Running<'_, S> {
    async fn until_stop(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        loop {
            let every = S::options(args::<S>(&self.configured)?).reload_every;
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Stop => return Ok(()),
                    Signal::Reload => {}
                },
                () = self.watch.changed(every) => {}
                never = self.well.beat() => match never {},
            }
            // What it waits for, a database for instance, may take long.
            let (well, reload) =
                (&mut self.well, reload::<S>(self.invocation, &self.configured, &mut self.service, &mut self.watch));
            notify::reloading();
            let outcome = tokio::select! {
                outcome = reload => outcome,
                () = signals.stop() => return Ok(()),
                never = well.beat() => match never {},
            };
            notify::ready();
            self.status.reloaded(outcome.is_ok());
            match outcome {
                Ok(newer) => {
                    tracing::info!("read the configuration again");
                    self.configured = newer;
                }
                Err(failure) => {
                    say_error(format_args!("nothing was changed, since the configuration is not right\n{failure}"));
                    self.watch.owe();
                }
            }
        }
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
}

/// Reads everything again, and goes on with it, if all of it is right.
async fn reload<S: Service>(
    invocation: &Invocation,
    configured: &Configured,
    service: &mut S,
    watch: &mut Watch,
) -> Result<Configured, Failure> {
    // Before anything is read: what changes from here on is noticed.
    watch.see();
    let newer = invocation.read()?;
    let reloadable = S::reloadable();
    let fixed: Vec<_> = configured
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
    let outcome = service.reload(args::<S>(&newer)?).await;
    outcome.map_err(|failure| newer.locate(S::NAME, failure))?;
    watch.look_at(files::<S>(&newer));
    Ok(newer)
}

/// The files that the configuration is read from.
fn files<S: Service>(configured: &Configured) -> Vec<PathBuf> {
    let named = args::<S>(configured).map(S::files).unwrap_or_default();
    configured.path().into_iter().chain(named).collect()
}

/// Signs of life for the service manager, while the service is well.
struct Pulse<'a> {
    interval: Option<Interval>,
    service: &'a dyn Observed,
}

impl<'a> Pulse<'a> {
    fn new(service: &'a dyn Observed) -> Self {
        Self { interval: notify::interval().map(tokio::time::interval), service }
    }

    async fn beat(&mut self) -> Infallible {
        let Some(interval) = &mut self.interval else { return std::future::pending().await };
        loop {
            interval.tick().await;
            if self.service.not_live().is_empty() {
                notify::alive();
            }
        }
    }
}

fn args<S: Service>(configured: &Configured) -> Result<&S::Args, Failure> {
    S::args(&configured.cli).ok_or_else(|| Failure::usage("another command was read", "call the program again"))
}
