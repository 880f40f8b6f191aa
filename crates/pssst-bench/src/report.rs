//! The result, for people and for programs.

use std::fmt;

use hdrhistogram::Histogram;
use pssst_support::grouped;
use serde::Serialize;

use crate::counters::Outcome;
use crate::format::{float, microseconds, time};
use crate::plan::Plan;

/// The result of a measurement. Its JSON form has these names.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The address that answered.
    pub server: String,
    /// The number of the suite.
    pub suite: u16,
    /// Length of a request's message, in bytes.
    pub size: usize,
    /// The share of authenticated requests, from 0 to 1.
    pub authenticated_share: f64,
    /// Sockets that sent.
    pub sockets: u32,
    /// Requests in flight, at most.
    pub concurrency: usize,
    /// Requests a second that were asked for, in an open loop.
    pub rate: Option<f64>,
    /// Seconds that were measured.
    pub duration: f64,
    /// Whether it was stopped before the time that was asked for.
    pub partial: bool,
    /// Requests sent.
    pub requests: u64,
    /// Replies that opened.
    pub replies: u64,
    /// Not answered within the timeout.
    pub lost: u64,
    /// Requests of an open loop that were not sent: too many were in flight, or it was too late.
    pub unsent: u64,
    /// Packets that claimed to be a reply that is waited for, and did not open.
    pub refused: u64,
    /// Replies that came again, or after their request was given up.
    pub duplicates: u64,
    /// Packets that match no request in flight.
    pub unmatched_replies: u64,
    /// Junk packets sent.
    pub junk: u64,
    /// Errors that the system reported when it could not send or receive.
    pub network_errors: u64,
    /// Requests sent a second.
    pub requests_per_second: f64,
    /// Replies a second.
    pub replies_per_second: f64,
    /// From when a request was sent, or in an open loop was to be sent, until its reply was there.
    pub latency_us: Quantiles,
    /// How long after its time a request left: the generator's own part of the latency.
    pub send_lag_us: Quantiles,
    /// The generator's processor time, as a share of one core.
    pub generator_cpu: Option<f64>,
    /// Latencies in nanoseconds.
    #[serde(skip)]
    pub latency: Histogram<u64>,
}

/// Microseconds.
#[derive(Debug, Serialize)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// Above this share of a core the generator may be what is measured.
const BUSY: f64 = 0.9;
/// Microseconds above which a load is not what was asked for.
const LATE_US: f64 = 1000.0;

impl Report {
    /// Returns the report of a load.
    pub fn new(plan: &Plan, outcome: Outcome) -> Self {
        let Outcome { server, counters, measured, cpu_share } = outcome;
        let partial = measured < plan.duration;
        // In a form that people read.
        let duration = if partial { (measured.as_secs_f64() * 1e3).round() / 1e3 } else { measured.as_secs_f64() };
        let per_second = |count| if duration > 0.0 { float(count) / duration } else { 0.0 };
        Self {
            server: server.to_string(),
            suite: plan.suite.number(),
            size: plan.size,
            authenticated_share: plan.authenticated_share,
            sockets: plan.connections,
            concurrency: plan.concurrency,
            rate: plan.rate,
            duration,
            partial,
            requests: counters.requests,
            replies: counters.replies,
            lost: counters.lost,
            unsent: counters.unsent,
            refused: counters.refused,
            duplicates: counters.repeated,
            unmatched_replies: counters.unmatched_replies,
            junk: counters.junk,
            network_errors: counters.network_errors,
            requests_per_second: per_second(counters.requests),
            replies_per_second: per_second(counters.replies),
            latency_us: Quantiles::of(&counters.latency),
            send_lag_us: Quantiles::of(&counters.send_lag),
            generator_cpu: cpu_share,
            latency: counters.latency,
        }
    }

    /// Returns the report as a JSON object.
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// Returns a line that describes the load.
    pub(crate) fn load(&self) -> String {
        let Self { suite, size, sockets, duration, .. } = self;
        let stopped = if self.partial { " (stopped early)" } else { "" };
        let pace = match self.rate {
            Some(rate) => format!("{rate} requests a second"),
            None => format!("{} requests in flight", grouped(self.concurrency)),
        };
        let authenticated = match self.authenticated_share {
            0.0 => "anonymous".into(),
            1.0 => "authenticated".into(),
            share => format!("{} % authenticated", share * 100.0),
        };
        let suite = format!("{suite:04x}");
        let suite = suite.trim_start_matches('0');
        let sockets = if *sockets == 1 { "1 socket".into() } else { format!("{sockets} sockets") };
        format!("{pace}, {duration} s{stopped}, {size}-byte messages, {authenticated}, suite {suite}, {sockets}")
    }

    /// Returns a warning about the figures, if there is one.
    pub fn note(&self) -> Option<String> {
        if let Some(cpu) = self.generator_cpu.filter(|cpu| *cpu > BUSY) {
            return Some(format!(
                "note: the generator took {:.0} % of a core, so it may be the limit and not the server; run several at \
                 once, on other cores or machines",
                cpu * 100.0
            ));
        }
        (self.send_lag_us.p99 > LATE_US).then(|| {
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
        count(f, "unmatched", self.unmatched_replies, "")?;
        count(f, "junk", self.junk, "")?;
        if self.network_errors > 0 {
            count(f, "not taken", self.network_errors, "   by the network")?;
        }
        writeln!(f, "  latency     {}", self.latency_us)?;
        if self.rate.is_some() {
            writeln!(f, "  of it late  {}", self.send_lag_us)?;
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
