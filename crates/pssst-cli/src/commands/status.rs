//! `pssst status`: what a running service does, from its own metrics.

use std::io::{self, Write};

use pssst_service::{Failure, Program, runtime};

use crate::monitor::endpoint::EndpointOptions;
use crate::monitor::report::{Report, Since};
use crate::monitor::view::{self, Look};

/// Show what a running service has done so far.
///
/// Whether it is ready, its traffic, refusals by cause, latency, keys, clients, upstream and
/// warnings. It reads /metrics, /livez and /readyz of `serve`, `gateway`, `proxy` or `directory`,
/// which the service shows with --metrics ADDR:PORT. Rates and latencies are since the start of the
/// service; `pssst top` shows those of the moment. Quantiles are estimates, within a factor of two.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    endpoint: EndpointOptions,
    /// Print one JSON object. docs/operations.md lists its names.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, program: &Program) -> Result<(), Failure> {
    let endpoint = args.endpoint.endpoint(program.services)?;
    let reading = runtime::run(endpoint.read())?;
    let report = Report::new(&endpoint, &reading, Since::Start);
    let text = if args.json {
        serde_json::to_string(&report).map_err(|error| Failure::output(&error.into()))? + "\n"
    } else {
        view::plain(&view::lines(&report, None, Look { width: 80, has_colors: false }))
    };
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| Failure::output(&error))
}
