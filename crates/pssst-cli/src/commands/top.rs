//! `pssst top`: what a running service does now.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use pssst_service::{Failure, Program, durations, runtime};

use crate::args::format::print;
use crate::monitor::endpoint::{Endpoint, EndpointOptions};
use crate::monitor::report::{Report, Since};
use crate::monitor::view::{self, Look};

mod live;
mod screen;

/// Each reading costs the service three short connections.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// Watch what a running service does now.
///
/// Rates, refusals with their trend, latency, keys, clients and upstream, over the last interval.
/// It reads what `pssst status` reads. Keys: q, Esc or Ctrl-C ends it, arrows, Page Up, Page Down,
/// Home and End scroll, and the space bar pauses. Where standard output is not a terminal, it
/// prints one frame as text. `NO_COLOR` switches colours off.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    endpoint: EndpointOptions,
    /// How often to read the metrics: 100 ms and more.
    #[arg(long, value_name = "SPAN", default_value = "2s", value_parser = interval)]
    interval: Duration,
    /// Print one frame as text, after one interval, and end.
    #[arg(long)]
    once: bool,
    /// Print one JSON object, as `pssst status` does, after one interval, and end.
    #[arg(long)]
    json: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    durations::timeout(text)
        .ok()
        .filter(|interval| *interval >= MIN_INTERVAL)
        .ok_or_else(|| "give a time span from 100ms to a day; a bare number is seconds".into())
}

pub(crate) fn run(args: &Args, program: &Program) -> Result<(), Failure> {
    let endpoint = args.endpoint.endpoint(program.services)?;
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if args.once || args.json || is_dumb || !io::stdout().is_terminal() {
        return runtime::run(once(&endpoint, args.interval, args.json));
    }
    runtime::run(live::run(&endpoint, args.interval))
}

async fn once(endpoint: &Endpoint, interval: Duration, is_json: bool) -> Result<(), Failure> {
    let before = endpoint.read().await?;
    tokio::time::sleep(interval).await;
    let report = Report::new(endpoint, &endpoint.read().await?, Since::Earlier(&before));
    if is_json {
        return print(serde_json::json!(report));
    }
    let text = view::plain(&view::lines(&report, None, Look { width: 80, has_colors: false }));
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| Failure::output(&error))
}
