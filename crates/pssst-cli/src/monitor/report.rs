//! The figures of a service: totals since its start, and rates since its start or since an earlier
//! reading.

use std::collections::BTreeMap;

use jiff::Timestamp;
use pssst_service::metrics_page::{Histogram, MetricsPage};
use serde::{Serialize, Serializer};

use super::endpoint::Endpoint;
use super::reading::Reading;
use super::warnings::warnings;

/// Counters by name: theirs, and a label's value if they are one of a family.
type Source = (&'static str, &'static str, Option<(&'static str, &'static str)>);

const TRAFFIC: [Source; 12] = [
    ("requests_anonymous", "pssst_server_requests_total", Some(("auth", "anonymous"))),
    ("requests_authenticated", "pssst_server_requests_total", Some(("auth", "authenticated"))),
    ("replies", "pssst_server_replies_total", Some(("repeated", "false"))),
    ("replies_repeated", "pssst_server_replies_total", Some(("repeated", "true"))),
    ("no_reply", "pssst_server_no_reply_total", None),
    ("datagrams_received", "pssst_server_datagrams_received_total", None),
    ("received_bytes", "pssst_server_received_bytes_total", None),
    ("sent_bytes", "pssst_server_sent_bytes_total", None),
    ("kernel_drops", "pssst_server_kernel_drops_total", None),
    ("receive_errors", "pssst_server_receive_errors_total", None),
    ("datagrams_received", "pssst_proxy_datagrams_received_total", None),
    ("replies", "pssst_proxy_replies_total", None),
];
const POOL: [Source; 9] = [
    ("requests", "pssst_client_requests_total", None),
    ("one_way", "pssst_client_one_way_total", None),
    ("attempts", "pssst_client_attempts_total", None),
    ("retransmits", "pssst_client_retransmits_total", None),
    ("replies", "pssst_client_replies_total", None),
    ("timeouts", "pssst_client_timeouts_total", None),
    ("fallbacks", "pssst_client_fallbacks_total", None),
    ("unmatched_replies", "pssst_client_unmatched_replies_total", None),
    ("send_errors", "pssst_client_send_errors_total", None),
];
/// Families of refusals, their label, and what goes before the cause.
const REFUSALS: [(&str, &str); 4] = [
    ("pssst_server_drops_total", ""),
    ("pssst_proxy_drops_total", ""),
    ("pssst_directory_refusals_total", ""),
    ("pssst_directory_renewal_refusals_total", "renewal_"),
];
const LATENCY: [(&str, &str); 4] = [
    ("request", "pssst_server_request_duration_seconds"),
    ("handler", "pssst_server_handler_duration_seconds"),
    ("request", "pssst_proxy_request_duration_seconds"),
    ("upstream", "pssst_gateway_upstream_duration_seconds"),
];
/// Values of the moment.
const GAUGES: [(&str, &str); 15] = [
    ("in_flight", "pssst_server_in_flight"),
    ("in_flight", "pssst_proxy_in_flight"),
    ("upstream_in_flight", "pssst_gateway_in_flight"),
    ("upstream_circuit_open", "pssst_gateway_circuit_open"),
    ("workers", "pssst_server_workers"),
    ("keys", "pssst_keyring_keys"),
    ("clients", "pssst_identity_clients"),
    ("clients_revision", "pssst_identity_revision"),
    ("clients_snapshot_age_seconds", "pssst_identity_snapshot_age_seconds"),
    ("client_secrets", "pssst_server_client_secrets"),
    ("client_secrets_bytes", "pssst_server_client_secrets_bytes"),
    ("pool_keys_age_seconds", "pssst_client_keys_age_seconds"),
    ("memory_bytes", "process_resident_memory_bytes"),
    ("open_files", "process_open_fds"),
    ("threads", "process_threads"),
];

/// A counter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Count {
    pub(crate) total: u64,
    /// `None` when there is no time to divide by, or the counter began anew.
    pub(crate) per_second: Option<f64>,
}

/// Counters by name, in their order.
#[derive(Debug, Default)]
pub(crate) struct Counts(pub(crate) Vec<(String, Count)>);

/// Durations.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) mean_seconds: Option<f64>,
    pub(crate) p50_seconds: Option<f64>,
    pub(crate) p90_seconds: Option<f64>,
    pub(crate) p99_seconds: Option<f64>,
}

/// What `pssst status --json` prints: the names are part of the command's interface.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) url: String,
    pub(crate) service: String,
    pub(crate) version: String,
    pub(crate) started: Option<Timestamp>,
    pub(crate) uptime_seconds: Option<f64>,
    pub(crate) live: bool,
    pub(crate) ready: bool,
    pub(crate) warnings: Vec<String>,
    /// The time that rates and latencies are of. `None` when there are none.
    pub(crate) interval_seconds: Option<f64>,
    pub(crate) traffic: Counts,
    pub(crate) refusals: Counts,
    pub(crate) latency: BTreeMap<&'static str, Latency>,
    pub(crate) keys_changed: Option<Timestamp>,
    pub(crate) key_requests: Counts,
    pub(crate) client_refusals: Counts,
    pub(crate) upstream: Counts,
    pub(crate) pool: Counts,
    pub(crate) pool_refusals: Counts,
    pub(crate) events: Counts,
    pub(crate) cpu_share: Option<f64>,
    pub(crate) gauges: BTreeMap<&'static str, f64>,
    /// For ages, which people read.
    #[serde(skip)]
    pub(crate) date: Timestamp,
}

/// What rates are relative to.
#[derive(Clone, Copy)]
pub(crate) enum Since<'a> {
    Start,
    Earlier(&'a Reading),
}

/// Two pages, and the time between.
struct Pages<'a> {
    now: &'a MetricsPage,
    /// `None`: the start, when everything was zero.
    before: Option<&'a MetricsPage>,
    seconds: Option<f64>,
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, count)| (name, count)))
    }
}

impl Report {
    pub(crate) fn new(endpoint: &Endpoint, reading: &Reading, since: Since<'_>) -> Self {
        let page = &reading.page;
        let pages = match since {
            // Both times have whole seconds only.
            Since::Start => {
                Pages { now: page, before: None, seconds: reading.uptime().filter(|uptime| *uptime >= 1.0) }
            }
            Since::Earlier(earlier) => Pages {
                now: page,
                before: Some(&earlier.page),
                seconds: (!reading.has_restarted_since(earlier))
                    .then(|| (reading.taken - earlier.taken).as_secs_f64())
                    .filter(|seconds| *seconds > 0.0),
            },
        };
        let refusals = REFUSALS.into_iter().flat_map(|(family, prefix)| pages.family(family, "cause", prefix).0);
        let label = |name| page.label("pssst_build_info", name).unwrap_or("service").to_owned();
        Self {
            url: endpoint.url(),
            service: label("service"),
            version: label("version"),
            started: reading.started(),
            uptime_seconds: reading.uptime(),
            live: reading.not_live.is_empty(),
            ready: reading.not_ready.is_empty(),
            warnings: warnings(reading),
            interval_seconds: pages.seconds,
            traffic: pages.counters(&TRAFFIC),
            refusals: Counts(refusals.collect()),
            latency: LATENCY.into_iter().filter_map(|(name, family)| Some((name, pages.latency(family)?))).collect(),
            keys_changed: reading.timestamp("pssst_keyring_reload_timestamp_seconds"),
            key_requests: pages.family("pssst_server_key_requests_total", "key", ""),
            client_refusals: pages.family("pssst_identity_refusals_total", "cause", ""),
            upstream: pages.family("pssst_gateway_requests_total", "outcome", ""),
            pool: pages.counters(&POOL),
            pool_refusals: pages.family("pssst_client_refused_replies_total", "cause", ""),
            events: pages.family("pssst_directory_events_total", "event", ""),
            cpu_share: pages.cpu_share(),
            gauges: GAUGES.into_iter().filter_map(|(name, gauge)| Some((name, page.value(gauge)?))).collect(),
            date: reading.date,
        }
    }
}

impl Pages<'_> {
    fn counters(&self, sources: &[Source]) -> Counts {
        let counts = sources.iter().filter_map(|(name, family, label)| {
            let read = |page: &MetricsPage| match label {
                None => page.count(family),
                Some((label, value)) => page.counts(family, label).find(|(it, _)| it == value).map(|(_, count)| count),
            };
            Some(((*name).to_owned(), self.count(read(self.now)?, self.before.and_then(read))))
        });
        Counts(counts.collect())
    }

    fn family(&self, family: &str, label: &str, prefix: &str) -> Counts {
        let counts = self.now.counts(family, label).map(|(value, total)| {
            let before = self.before.and_then(|page| page.counts(family, label).find(|(it, _)| *it == value));
            (format!("{prefix}{value}"), self.count(total, before.map(|(_, count)| count)))
        });
        Counts(counts.collect())
    }

    /// Returns a counter with its rate. Before the start it was zero, and so was a new one.
    #[expect(clippy::cast_precision_loss, reason = "15 digits are plenty")]
    fn count(&self, total: u64, before: Option<u64>) -> Count {
        let more = total.checked_sub(before.unwrap_or(0));
        Count { total, per_second: self.seconds.zip(more).map(|(seconds, more)| more as f64 / seconds) }
    }

    fn latency(&self, family: &str) -> Option<Latency> {
        let now = self.now.histogram(family)?;
        let histogram = match self.before {
            None => Some(now),
            // Those of another process tell nothing of this time.
            Some(before) => self.seconds.and_then(|_| now.since(&before.histogram(family)?)),
        };
        let quantile = |q| histogram.as_ref().and_then(|histogram| histogram.quantile(q));
        Some(Latency {
            count: histogram.as_ref().map_or(0, Histogram::count),
            mean_seconds: histogram.as_ref().and_then(Histogram::mean),
            p50_seconds: quantile(0.5),
            p90_seconds: quantile(0.9),
            p99_seconds: quantile(0.99),
        })
    }

    /// Returns how many cores were busy with the process.
    fn cpu_share(&self) -> Option<f64> {
        let used = |page: &MetricsPage| page.value("process_cpu_seconds_total");
        let before = self.before.map_or(Some(0.0), used)?;
        Some((used(self.now)? - before) / self.seconds?).filter(|share| *share >= 0.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::monitor::reading::tests::{endpoint, reading};

    fn requests(count: u64) -> String {
        format!("pssst_server_requests_total{{auth=\"anonymous\"}} {count}\n")
    }

    fn of_requests(report: &Report) -> (u64, Option<f64>) {
        let (_, count) = report.traffic.0.iter().find(|(name, _)| name == "requests_anonymous").unwrap();
        (count.total, count.per_second)
    }

    #[test]
    fn rates_are_since_the_start_or_since_an_earlier_reading() {
        let start = Instant::now();
        let (first, second) = (reading(start, 1010, &requests(50)), reading(start, 1014, &requests(250)));
        let of_start = Report::new(&endpoint(), &first, Since::Start);
        assert_eq!((of_start.uptime_seconds, of_requests(&of_start)), (Some(10.0), (50, Some(5.0))));
        let between = Report::new(&endpoint(), &second, Since::Earlier(&first));
        assert_eq!((between.interval_seconds, of_requests(&between)), (Some(4.0), (250, Some(50.0))));
        assert_eq!((&*between.service, &*between.version), ("serve", "1.2.3"));
    }

    #[test]
    fn a_restart_or_a_counter_that_fell_gives_no_rate() {
        let start = Instant::now();
        let (before, after) = (reading(start, 1010, &requests(50)), reading(start, 1014, &requests(7)));
        let fallen = Report::new(&endpoint(), &after, Since::Earlier(&before));
        assert_eq!(of_requests(&fallen), (7, None));
        let text = requests(90) + "process_start_time_seconds 1012.0\n";
        let mut restarted = reading(start, 1014, "");
        let text = format!("pssst_build_info{{version=\"1\"}} 1\n{text}# EOF\n");
        restarted.page = MetricsPage::parse(&text).unwrap();
        assert!(restarted.has_restarted_since(&before));
        let report = Report::new(&endpoint(), &restarted, Since::Earlier(&before));
        assert_eq!((report.interval_seconds, of_requests(&report)), (None, (90, None)));
    }

    #[test]
    fn a_clock_that_is_behind_gives_no_rate() {
        let early = reading(Instant::now(), 900, &requests(50));
        let report = Report::new(&endpoint(), &early, Since::Start);
        assert_eq!((report.uptime_seconds, of_requests(&report)), (None, (50, None)));
    }

    #[test]
    fn latencies_are_those_of_the_interval() {
        let delays = |fast: u64, slow: u64| {
            let name = "pssst_server_request_duration_seconds";
            format!(
                "{name}_sum 0.5\n{name}_bucket{{le=\"1.0\"}} {fast}\n{name}_bucket{{le=\"2.0\"}} {all}\n{name}_bucket{{le=\"+Inf\"}} {all}\n",
                all = fast + slow
            )
        };
        let start = Instant::now();
        let (first, second) = (reading(start, 1010, &delays(100, 0)), reading(start, 1014, &delays(100, 10)));
        let report = Report::new(&endpoint(), &second, Since::Earlier(&first));
        assert_eq!((report.latency["request"].count, report.latency["request"].p50_seconds), (10, Some(1.5)));
        let idle = Report::new(&endpoint(), &reading(start, 1015, &delays(100, 10)), Since::Earlier(&second));
        assert_eq!((idle.latency["request"].count, idle.latency["request"].p50_seconds), (0, None));
    }
}
