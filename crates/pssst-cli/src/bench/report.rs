//! The result, for people and for programs.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::args::{Args, Plan};
use super::format::{float, grouped, grouped_usize, microseconds, time};
use super::tally::Outcome;

/// The result of a measurement. Its JSON form has these names.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) server: String,
    pub(super) suite: u16,
    /// Bytes of a request's message.
    pub(super) size: usize,
    pub(super) authenticated_share: f64,
    pub(super) sockets: u32,
    pub(super) concurrency: usize,
    /// Requests a second that were asked for, in an open loop.
    pub(super) rate: Option<f64>,
    /// Seconds.
    pub(super) duration: f64,
    pub(super) requests: u64,
    pub(super) replies: u64,
    /// Not answered within the timeout.
    pub(super) lost: u64,
    /// Of an open loop, for which too many were in flight or which were too late.
    pub(super) unsent: u64,
    /// Packets that claimed to be a reply that is waited for, and did not open.
    pub(super) refused: u64,
    /// Replies that came again, or after their request was given up.
    pub(super) duplicates: u64,
    /// Packets that belong to no request.
    pub(super) strays: u64,
    pub(super) junk: u64,
    /// What the system said when it could not send or receive.
    pub(super) network_errors: u64,
    pub(super) requests_per_second: f64,
    pub(super) replies_per_second: f64,
    /// From when a request was sent, or in an open loop was to be sent, until its reply was there.
    pub(super) latency_us: Quantiles,
    /// How long after its time a request left: the generator's own part of the latency.
    pub(super) lateness_us: Quantiles,
    /// The generator's processor time, as a share of one core.
    pub(super) generator_cpu: Option<f64>,
    #[serde(skip)]
    pub(super) latency: Histogram<u64>,
}

/// Microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

/// Above this share of a core the generator may be what is measured.
const BUSY: f64 = 0.9;
/// Microseconds above which a load is not what was asked for.
const LATE_US: f64 = 1000.0;

impl Report {
    pub(super) fn new(args: &Args, plan: &Plan, outcome: Outcome) -> Self {
        let Outcome { server, tally, cpu_share } = outcome;
        let duration = args.duration.as_secs_f64();
        Self {
            server: server.to_string(),
            suite: pssst::Suite::from(args.suite).number(),
            size: args.size,
            authenticated_share: plan.authenticated_share,
            sockets: plan.lanes,
            concurrency: plan.concurrency,
            rate: args.rate,
            duration,
            requests: tally.requests,
            replies: tally.replies,
            lost: tally.lost,
            unsent: tally.unsent,
            refused: tally.refused,
            duplicates: tally.repeated,
            strays: tally.strays,
            junk: tally.junk,
            network_errors: tally.network_errors,
            requests_per_second: float(tally.requests) / duration,
            replies_per_second: float(tally.replies) / duration,
            latency_us: Quantiles::of(&tally.latency),
            lateness_us: Quantiles::of(&tally.lateness),
            generator_cpu: cpu_share,
            latency: tally.latency,
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// What the load was, in a line.
    pub(super) fn load(&self) -> String {
        let Self { suite, size, sockets, duration, .. } = self;
        let pace = match self.rate {
            Some(rate) => format!("{rate} requests a second"),
            None => format!("{} requests in flight", grouped_usize(self.concurrency)),
        };
        let authenticated = match self.authenticated_share {
            0.0 => "anonymous".into(),
            1.0 => "authenticated".into(),
            share => format!("{} % authenticated", share * 100.0),
        };
        let suite = format!("{suite:04x}");
        let suite = suite.trim_start_matches('0');
        let sockets = if *sockets == 1 { "1 socket".into() } else { format!("{sockets} sockets") };
        format!("{pace}, {duration} s, {size}-byte messages, {authenticated}, suite {suite}, {sockets}")
    }

    /// What a reader should know before believing the figures.
    pub(super) fn note(&self) -> Option<String> {
        if let Some(cpu) = self.generator_cpu.filter(|cpu| *cpu > BUSY) {
            return Some(format!(
                "note: the generator took {:.0} % of a core, so it may be the limit and not the server; run several at \
                 once, on other cores or machines",
                cpu * 100.0
            ));
        }
        (self.lateness_us.p99 > LATE_US).then(|| {
            "note: requests left late, and that is in their latency: something else keeps the generator's core busy"
                .into()
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |f: &mut fmt::Formatter<'_>, name, count, more: &str| {
            writeln!(f, "  {name:<12}{:>14}{more}", grouped(count))
        };
        writeln!(f, "{}: {}", self.server, self.load())?;
        count(f, "requests", self.requests, "")?;
        count(f, "replies", self.replies, &format!("   {:.0} a second", self.replies_per_second))?;
        let lost_share = 100.0 * float(self.lost) / float(self.requests.max(1));
        count(f, "lost", self.lost, &format!("   {lost_share:.3} %"))?;
        if self.rate.is_some() {
            count(f, "unsent", self.unsent, "   too many in flight, or too late")?;
        }
        count(f, "refused", self.refused, "")?;
        count(f, "duplicates", self.duplicates, "")?;
        count(f, "strays", self.strays, "")?;
        count(f, "junk", self.junk, "")?;
        if self.network_errors > 0 {
            count(f, "not taken", self.network_errors, "   by the network")?;
        }
        writeln!(f, "  latency     {}", self.latency_us)?;
        if self.rate.is_some() {
            writeln!(f, "  of it late  {}", self.lateness_us)?;
        }
        match self.generator_cpu {
            Some(cpu) => write!(f, "  generator   {:.0} % of a core", cpu * 100.0),
            None => write!(f, "  generator   unknown share of a core"),
        }
    }
}

impl Quantiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| microseconds(histogram.value_at_quantile(quantile).min(histogram.max()));
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99, p999, max] = [self.p50, self.p90, self.p99, self.p999, self.max].map(time);
        write!(f, "p50 {p50}   p90 {p90}   p99 {p99}   p99.9 {p999}   max {max}")
    }
}
