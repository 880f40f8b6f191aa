//! What the libraries have to say.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Prints warnings to standard error; when verbose, what happens to every packet.
pub(crate) fn to_stderr(is_verbose: bool) {
    let level = if is_verbose { LevelFilter::TRACE } else { LevelFilter::WARN };
    // If nobody reads standard error any more, nothing is said, and nothing else changes.
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .log_internal_errors(false);
    let filter = Targets::new()
        .with_target("pssst_net", level)
        .with_target("pssst_identity", LevelFilter::WARN)
        .with_target("pssst_directory", LevelFilter::INFO);
    drop(tracing_subscriber::registry().with(lines).with(filter).try_init());
}
