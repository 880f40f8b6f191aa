//! A service: how it starts, reads its configuration again, and stops.

use std::cell::Cell;
use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Command, FromArgMatches};
use pssst_http::Server;
use pssst_support::{FileError, FileErrorCause, strict_modes};
use tokio::time::Interval;

use crate::addresses;
use crate::config::{ConfigFile, Configured, Invocation, StandIn, unknown_variables};
use crate::durations;
use crate::failure::Failure;
use crate::file_watcher::FileWatcher;
use crate::log::LogOptions;
use crate::process;
use crate::program::Program;
use crate::runtime;
use crate::signals::{Signal, Signals};
use crate::stderr::{self, notice, report_error};
use crate::systemd;
use crate::telemetry::{self, Monitored, Status, Telemetry, report_drops};
use crate::traces::{TraceOptions, Traces};

/// Options of any service that stay as they are while it runs.
#[derive(Args, Clone, Debug)]
pub struct FixedOptions {
    /// Serve metrics and health checks over HTTP at this address and port: /metrics, /livez and
    /// /readyz [default: nowhere].
    #[arg(long, value_name = "ADDR:PORT", value_parser = addresses::listen)]
    metrics: Option<SocketAddr>,
    /// Accept files that belong to users other than root and this process's, or that everyone can
    /// change. Bind mounts of containers may need it.
    #[arg(long)]
    allow_unsafe_files: bool,
    /// Allow core dumps and debuggers, for the search for a fault. They reveal the secret keys.
    #[arg(long)]
    allow_core_dumps: bool,
    #[command(flatten)]
    log: LogOptions,
}

/// Options of any service that a reload may change.
#[derive(Args, Clone, Debug)]
pub struct LiveOptions {
    /// Read options from this TOML file, from the table with this command's name. The environment
    /// (`PSSST_LISTEN` for --listen, and so on) overrides the file, and the command line overrides
    /// both.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the files for changes this often, and reload all of them when one changed. SIGHUP
    /// reloads at once.
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = durations::span)]
    reload_interval: Duration,
    /// How long to keep serving after SIGTERM while /readyz reports 503, so that balancers stop
    /// sending.
    #[arg(long, value_name = "SPAN", default_value = "0s", value_parser = durations::timeout_or_none)]
    drain: Duration,
    /// How long to wait for requests in flight after that.
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = durations::timeout)]
    shutdown_timeout: Duration,
}

impl FixedOptions {
    /// Returns where metrics are shown, if they are.
    pub const fn metrics(&self) -> Option<SocketAddr> {
        self.metrics
    }
}

/// A command that runs until it is stopped.
#[expect(async_fn_in_trait, reason = "a service runs on the thread that started it")]
pub trait Service: Sized {
    /// All of its options.
    type Args: Args;

    /// Those of its options that stay as they are while it runs, [`FixedOptions`] among them. A
    /// reload that would change one of them is refused.
    type Fixed: Args;

    /// The command's name.
    const NAME: &'static str;

    /// Required options, for the check of a file that lacks some.
    const STAND_INS: &[StandIn];

    /// Returns the options that every service has.
    fn options(args: &Self::Args) -> (&FixedOptions, &LiveOptions);

    /// Returns whether the events of every packet are logged.
    fn is_verbose(args: &Self::Args) -> bool;

    /// Returns what is traced of its work, if anything can be.
    fn traces(_: &Self::Args) -> Option<&TraceOptions> {
        None
    }

    /// Checks what can be checked of the options without starting.
    ///
    /// # Errors
    /// All that is wrong.
    fn check(args: &Self::Args) -> Result<(), Failure>;

    /// Returns the options, by their names, that `after` lacks, so that the service would trust or
    /// serve more than with `before`. Such a reload is refused: a file that has lost a line opens
    /// nothing.
    fn opened_by_lack(_before: &Self::Args, _after: &Self::Args) -> Vec<&'static str> {
        Vec::new()
    }

    /// Returns how many files, sockets among them, it may open at once.
    fn open_files(args: &Self::Args) -> u64;

    /// Starts it.
    ///
    /// # Errors
    /// Why it cannot start.
    async fn start(args: &Self::Args) -> Result<Self, Failure>;

    /// Takes other options: all of them, or none.
    ///
    /// # Errors
    /// Why it keeps those that it has.
    async fn reload(&mut self, args: &Self::Args) -> Result<(), Failure>;

    /// Returns the files that are read again at a reload.
    fn files(args: &Self::Args) -> Vec<PathBuf>;

    /// Writes what users and scripts wait for.
    ///
    /// # Errors
    /// Those of the output.
    fn announce(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Returns the running service as its metrics and health checks see it.
    fn monitored(&self) -> Arc<dyn Monitored>;

    /// Finishes what was accepted, and returns a summary of what was done.
    async fn stop(self, within: Duration) -> String;
}

/// Checks what a configuration file says for a service, without starting it.
///
/// # Errors
/// All that is wrong.
pub fn check<S: Service>(program: &Program, file: &ConfigFile) -> Result<(), Failure> {
    let check = |configured: &Configured| S::check(&args::<S>(configured)?);
    Configured::check_file(program, file, S::NAME, S::STAND_INS, check)
}

/// Returns the options of a service that only change with a restart.
pub fn fixed_options<S: Service>() -> Vec<String> {
    let options = S::Fixed::augment_args(Command::new(S::NAME));
    options.get_arguments().filter_map(|arg| arg.get_long().map(ToOwned::to_owned)).collect()
}

/// Reads the options of a service in a configuration file, as far as they are right. The
/// environment does not count.
///
/// # Errors
/// All that is wrong with the values, if so much is wrong that no options are left.
pub fn read_options<S: Service>(program: &Program, file: &ConfigFile) -> Result<S::Args, Failure> {
    let read = Cell::new(None);
    let keep = |configured: &Configured| args::<S>(configured).map(|args| read.set(Some(args)));
    let checked = Configured::check_file(program, file, S::NAME, &[], keep);
    let missing = || Failure::usage(format!("{} has no such service", file.path().display()), "check its tables");
    read.into_inner().ok_or_else(|| checked.err().unwrap_or_else(missing))
}

/// Runs a service to its end.
///
/// # Errors
/// Why it did not start, or what made it end.
pub fn run<S: Service>(invocation: &Invocation, configured: Configured) -> Result<(), Failure> {
    let outcome = runtime::run(async {
        let args = args::<S>(&configured)?;
        let program = invocation.program();
        let mut watcher = FileWatcher::new(files::<S>(&configured, &args));
        if configured.file().is_some_and(ConfigFile::has_changed) {
            // Between its reading and the watcher.
            watcher.force_reload();
        }
        let (fixed, _) = S::options(&args);
        let traces = S::traces(&args).map(|traces| Traces::start(traces, program, S::NAME)).transpose()?.flatten();
        fixed.log.start(program, S::is_verbose(&args), traces.as_ref().map(|traces| traces.layer(program)))?;
        for warning in unknown_variables(program) {
            tracing::warn!("{warning}");
        }
        if !fixed.allow_core_dumps {
            process::protect_memory();
        }
        process::raise_file_limit(S::open_files(&args));
        strict_modes::require(!fixed.allow_unsafe_files);
        check_owners(&files::<S>(&configured, &args)).map_err(Failure::into_usage)?;
        let locate = |failure| configured.locate(S::NAME, failure);
        S::check(&args).map_err(|failure| locate(failure).into_usage())?;
        // From here on signals are queued.
        let mut signals = Signals::new()?;
        // It may wait for a network, or for a database.
        let service = tokio::select! {
            started = S::start(&args) => started.map_err(locate)?,
            () = signals.stop() => return Ok(()),
        };
        let status = Arc::new(Status::new());
        let server = match fixed.metrics {
            Some(address) => {
                let shown =
                    Telemetry::new(program, S::NAME, service.monitored(), Arc::clone(&status), watcher.health());
                Some(telemetry::serve(address, shown).await.map_err(locate)?)
            }
            None => None,
        };
        announce(&service, server.as_ref()).map_err(|error| Failure::output(&error))?;
        systemd::ready();

        let monitored = service.monitored();
        let watchdog = Watchdog::new(&*monitored);
        let mut running = Running { invocation, configured, args, service, status, watcher, watchdog };
        let refused = |cause: &str, count| tracing::info!(cause, count, "refused in the last minute");
        let lost = |_: &str, count| tracing::warn!(count, "lines of this log were lost, since nobody read them");
        tokio::select! {
            never = report_drops(|| monitored.refusals(), refused) => match never {},
            never = report_drops(|| vec![("log", stderr::lost_lines())], lost) => match never {},
            stopped = running.until_stop(&mut signals) => stopped?,
        }
        systemd::stopping();
        running.stop(&mut signals).await
    });
    stderr::flush();
    outcome
}

fn announce<S: Service>(service: &S, server: Option<&Server>) -> io::Result<()> {
    let mut stdout = io::stdout();
    service.announce(&mut stdout)?;
    if let Some(server) = server {
        writeln!(stdout, "metrics at http://{}/metrics", server.local_addr())?;
    }
    stdout.flush()
}

struct Running<'a, S: Service> {
    invocation: &'a Invocation,
    configured: Configured,
    args: S::Args,
    service: S,
    status: Arc<Status>,
    watcher: FileWatcher,
    watchdog: Watchdog<'a>,
}

impl<S: Service> Running<'_, S> {
    async fn until_stop(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        loop {
            let (_, live) = S::options(&self.args);
            let usable = tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Stop => return Ok(()),
                    Signal::Reload => Ok(()),
                },
                changed = self.watcher.changed(live.reload_interval) => changed,
                never = self.watchdog.beat() => match never {},
            };
            if let Err(error) = usable {
                self.report_refusal(&unusable(&error));
                continue;
            }
            let before = (&self.configured, &self.args);
            let reload = reload::<S>(self.invocation, before, &mut self.service, &mut self.watcher);
            systemd::reloading();
            // What it waits for, a database for instance, may take long.
            let outcome = tokio::select! {
                outcome = reload => outcome,
                () = signals.stop() => return Ok(()),
                never = self.watchdog.beat() => match never {},
            };
            systemd::ready();
            match outcome {
                Ok((configured, args)) => {
                    self.status.reloaded(true);
                    tracing::info!("reloaded the configuration");
                    (self.configured, self.args) = (configured, args);
                }
                Err(failure) => {
                    self.report_refusal(&failure);
                    self.watcher.refuse(&failure.to_string());
                }
            }
        }
    }

    /// Reports that the files of before stay in use.
    fn report_refusal(&self, failure: &Failure) {
        self.status.reloaded(false);
        report_error(format_args!("the reload was refused and nothing was changed\n{failure}"));
    }

    /// Serves on for a while as not ready; then ends.
    async fn stop(self, signals: &mut Signals) -> Result<(), Failure> {
        let (_, live) = S::options(&self.args);
        self.status.drain();
        if !live.drain.is_zero() {
            tracing::info!(seconds = live.drain.as_secs_f64(), "draining: still serving, and not ready");
        }
        tokio::select! {
            () = tokio::time::sleep(live.drain) => {}
            // Asked twice.
            () = signals.stop() => {}
        }
        notice(self.service.stop(live.shutdown_timeout).await);
        Ok(())
    }
}

/// Reloads everything, and applies it if all of it is valid.
async fn reload<S: Service>(
    invocation: &Invocation,
    (configured, previous): (&Configured, &S::Args),
    service: &mut S,
    watcher: &mut FileWatcher,
) -> Result<(Configured, S::Args), Failure> {
    // Before anything is read: what changes from here on is noticed.
    watcher.mark_seen().map_err(|error| unusable(&error))?;
    let newer = invocation.read()?;
    let fixed = configured.changes(&newer, &S::Fixed::augment_args(Command::new(S::NAME)));
    if !fixed.is_empty() {
        return Err(Failure::new(
            format!("{} cannot change while it runs", fixed.join(", ")),
            "restart it; with sockets from the service manager not even a packet is lost",
        ));
    }
    let args = args::<S>(&newer)?;
    let lost = S::opened_by_lack(previous, &args);
    if !lost.is_empty() {
        return Err(Failure::new(
            format!("{} is no longer in the configuration: the service would be more open without it", lost.join(", ")),
            "put it back; or restart the service if that is intended",
        ));
    }
    check_owners(&files::<S>(&newer, &args))?;
    let outcome = service.reload(&args).await;
    outcome.map_err(|failure| newer.locate(S::NAME, failure))?;
    watcher.accept(files::<S>(&newer, &args));
    Ok((newer, args))
}

/// Returns a file that is followed and cannot be used.
fn unusable(error: &FileError) -> Failure {
    let remedy = match error.cause {
        FileErrorCause::Emptied => "restore its contents, or restart the service if the change is intended",
        FileErrorCause::Changeable { .. } | FileErrorCause::OtherOwner(_) => {
            "check its contents, and let only root or the service's user write it; or give --allow-unsafe-files"
        }
        _ => "check the path and its permissions",
    };
    Failure::new(format!("cannot read {}: {}", error.path.display(), error.cause), remedy)
}

/// Refuses files that other users could have written.
fn check_owners(files: &[PathBuf]) -> Result<(), Failure> {
    Failure::collect(files.iter().map(|file| strict_modes::check(file).map_err(|error| unusable(&error)))).map(drop)
}

/// Returns the files that the configuration is read from.
fn files<S: Service>(configured: &Configured, args: &S::Args) -> Vec<PathBuf> {
    configured.file().map(|file| file.path().to_owned()).into_iter().chain(S::files(args)).collect()
}

/// Signs of life for the service manager, while the service is well.
struct Watchdog<'a> {
    interval: Option<Interval>,
    service: &'a dyn Monitored,
}

impl<'a> Watchdog<'a> {
    fn new(service: &'a dyn Monitored) -> Self {
        Self { interval: systemd::interval().map(tokio::time::interval), service }
    }

    async fn beat(&mut self) -> Infallible {
        let Some(interval) = &mut self.interval else { return std::future::pending().await };
        loop {
            interval.tick().await;
            if self.service.not_live().is_empty() {
                systemd::alive();
            }
        }
    }
}

fn args<S: Service>(configured: &Configured) -> Result<S::Args, Failure> {
    let unreadable = || Failure::usage("the command line belongs to another command", "run the program again");
    let values = configured.values().ok_or_else(unreadable)?;
    S::Args::from_arg_matches(values).map_err(|_| unreadable())
}
