//! The log on standard error.

use clap::ValueEnum;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::failure::Failure;
use crate::program::Program;
use crate::stderr;
use crate::traces::BoxedLayer;

/// Options of a service's log.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct LogOptions {
    /// Log lines of text, or of JSON.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    log_format: Format,
    /// Minimum level to log.
    #[arg(long, value_enum, value_name = "LEVEL", default_value = "info")]
    log_level: Level,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

impl LogOptions {
    /// Starts the log of these crates; with the events of every packet when verbose.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(&self, program: &Program, is_verbose: bool, traces: Option<BoxedLayer>) -> Result<(), Failure> {
        stderr::start_queue()
            .map_err(|error| Failure::new(format!("cannot start the log: {error}"), "raise the limit of threads"))?;
        let level = LevelFilter::from(self.log_level);
        let mut filter = Targets::new().with_targets(program.logged_crates.iter().map(|target| (*target, level)));
        if is_verbose {
            filter = filter.with_target(program.verbose_crate, LevelFilter::TRACE);
        }
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(stderr::LogWriter)
            .with_ansi(false)
            .with_target(false)
            .log_internal_errors(false);
        let lines = match self.log_format {
            Format::Text => lines.with_timer(Clock::new()).with_filter(filter).boxed(),
            Format::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
        };
        let layers: Vec<_> = std::iter::once(lines).chain(traces).collect();
        let started = tracing_subscriber::registry().with(layers).try_init();
        if started.is_ok() && matches!(self.log_format, Format::Json) {
            stderr::use_log();
        }
        Ok(())
    }
}

/// The time of day, unless the reader of the lines adds it.
struct Clock {
    is_journal: bool,
}

impl Clock {
    fn new() -> Self {
        Self { is_journal: std::env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stderr(&stream)) }
    }
}

/// Returns whether standard error is still the stream that systemd named for this process or its
/// parent: `DEVICE:INODE`.
fn is_stderr(stream: &str) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata("/dev/stderr").is_ok_and(|file| stream == format!("{}:{}", file.dev(), file.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = stream;
        false
    }
}

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        if self.is_journal { Ok(()) } else { SystemTime.format_time(writer) }
    }
}
