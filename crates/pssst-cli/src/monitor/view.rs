//! A report as lines for people, on a screen or as plain text.

use jiff::Timestamp;
use pssst_bench::format::time;
use pssst_support::grouped;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::history::History;
use super::report::{Count, Counts, Latency, Report};

/// Name, total and rate: fits into 60 columns.
const NAME: usize = 26;
const FIGURE: usize = 15;
const MAX_TREND: usize = 40;

/// How lines are to look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) width: usize,
    pub(crate) has_colors: bool,
}

pub(crate) const HEADING: Style = Style::new().add_modifier(Modifier::BOLD);

impl Look {
    /// For what needs attention.
    pub(crate) const fn alarm(self) -> Style {
        if self.has_colors { HEADING.fg(Color::Red) } else { HEADING }
    }
}

/// Returns all that a report says.
pub(crate) fn lines(report: &Report, history: Option<&History>, look: Look) -> Vec<Line<'static>> {
    let rates = if report.interval_seconds.is_some() { "per second" } else { "(no rate yet)" };
    let mut view = View { lines: Vec::new(), look, rates };
    view.title(report);
    view.counts("traffic", &report.traffic, true, None);
    view.gauge_line(report, &[("in flight", "in_flight"), ("workers", "workers")]);
    view.counts("events", &report.events, false, None);
    view.counts("refusals", &report.refusals, false, history);
    view.latency(report);
    view.keys(report);
    view.clients(report);
    view.counts("upstream", &report.upstream, false, None);
    if let Some(is_open) = report.gauges.get("upstream_circuit_open") {
        view.plain(format!("circuit breaker {}", if *is_open > 0.0 { "open" } else { "closed" }));
    }
    view.gauge_line(report, &[("in flight", "upstream_in_flight")]);
    view.counts("pool", &report.pool, true, None);
    view.counts("refused replies of the pool", &report.pool_refusals, false, None);
    if let Some(age) = report.gauges.get("pool_keys_age_seconds") {
        view.plain(format!("the directory answered {} ago", span(*age)));
    }
    view.process(report);
    view.lines
}

/// Returns lines as a text without colours.
pub(crate) fn plain(lines: &[Line<'_>]) -> String {
    lines.iter().map(|line| line.to_string().trim_end().to_owned() + "\n").collect()
}

/// Returns a text without the characters that would change the terminal, or the order of others.
pub(crate) fn printable(text: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_harmful(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

struct View {
    lines: Vec<Line<'static>>,
    look: Look,
    /// The heading of rates.
    rates: &'static str,
}

impl View {
    fn push(&mut self, text: &str, style: Style) {
        self.lines.push(Line::from(Span::styled(printable(text), style)));
    }

    fn plain(&mut self, text: impl AsRef<str>) {
        self.push(&format!("  {}", text.as_ref()), Style::new());
    }

    fn heading(&mut self, text: &str) {
        self.lines.push(Line::default());
        self.push(text, HEADING);
    }

    fn title(&mut self, report: &Report) {
        let state = match (report.live, report.ready) {
            (false, _) => "not live",
            (true, false) => "not ready",
            (true, true) => "ready",
        };
        let style = if report.live && report.ready { HEADING } else { self.look.alarm() };
        self.push(&format!("pssst {} {} at {}: {state}", report.service, report.version, report.url), style);
        if let Some(started) = report.started {
            let uptime = report.uptime_seconds.map(|uptime| format!(" ({})", span(uptime))).unwrap_or_default();
            self.push(&format!("up since {}{uptime}", date(started)), Style::new());
        }
        for warning in &report.warnings {
            let text = printable(&format!("! {warning}"));
            for (place, line) in wrap(&text, self.look.width.saturating_sub(2)).into_iter().enumerate() {
                self.push(&(if place > 0 { "  " } else { "" }.to_owned() + &line), self.look.alarm());
            }
        }
    }

    /// Writes counters: all of them, or only those that are not zero. With a history, which is of
    /// these counters, each has its trend.
    fn counts(&mut self, heading: &str, counts: &Counts, shows_zeros: bool, history: Option<&History>) {
        if counts.0.is_empty() {
            return;
        }
        let shown: Vec<_> = counts.0.iter().filter(|(_, count)| shows_zeros || count.total > 0).collect();
        if shown.is_empty() {
            self.heading(&format!("{heading}: none"));
            return;
        }
        self.heading(&format!("{heading:<width$}{:>FIGURE$}{:>FIGURE$}", "total", self.rates, width = NAME));
        for (name, count) in shown {
            let width = self.look.width.saturating_sub(NAME + 2 * FIGURE + 2).min(MAX_TREND);
            let trend = history.map(|history| history.trend(name, width)).unwrap_or_default();
            self.count(name, *count, &trend);
        }
    }

    fn count(&mut self, name: &str, count: Count, trend: &str) {
        let rate = count.per_second.map_or_else(|| "-".into(), rate);
        let name = name.replace('_', " ");
        let text =
            format!("  {name:<width$}{:>FIGURE$}{rate:>FIGURE$}  {trend}", grouped(count.total), width = NAME - 2);
        self.push(&text, Style::new());
    }

    fn latency(&mut self, report: &Report) {
        if report.latency.is_empty() {
            return;
        }
        self.heading(&format!("{:<10}{:>10}{:>10}{:>10}{:>10}", "latency", "p50", "p90", "p99", "mean"));
        for (name, latency) in &report.latency {
            let Latency { p50_seconds, p90_seconds, p99_seconds, mean_seconds, .. } = latency;
            let [p50, p90, p99, mean] = [p50_seconds, p90_seconds, p99_seconds, mean_seconds]
                .map(|seconds| seconds.map_or_else(|| "-".into(), |seconds| time(seconds * 1e6)));
            self.plain(format!("{name:<8}{p50:>10}{p90:>10}{p99:>10}{mean:>10}"));
        }
    }

    fn keys(&mut self, report: &Report) {
        if let Some(keys) = report.gauges.get("keys") {
            let ago = |changed: Timestamp| format!(", changed {} ago", span(seconds_between(changed, report.date)));
            let changed = report.keys_changed.map(ago).unwrap_or_default();
            self.heading(&format!("keys: {keys}{changed}"));
            for (name, count) in report.key_requests.0.iter().filter(|(_, count)| count.total > 0) {
                self.count(&format!("requests of key {name}"), *count, "");
            }
        }
    }

    fn clients(&mut self, report: &Report) {
        if let Some(clients) = report.gauges.get("clients") {
            self.heading(&format!("clients: {}", whole(*clients)));
            if let Some(age) = report.gauges.get("clients_snapshot_age_seconds") {
                self.plain(format!("compared with their store {} ago", span(*age)));
            }
            if let Some(secrets) = report.gauges.get("client_secrets").filter(|secrets| **secrets > 0.0) {
                let bytes = report.gauges.get("client_secrets_bytes").copied().unwrap_or_default();
                self.plain(format!("{} shared secrets in {:.1} MiB", whole(*secrets), bytes / 1_048_576.0));
            }
            for (name, count) in report.client_refusals.0.iter().filter(|(_, count)| count.total > 0) {
                self.count(&format!("refused: {name}"), *count, "");
            }
        }
    }

    /// Writes gauges, those that there are.
    fn gauge_line(&mut self, report: &Report, gauges: &[(&str, &str)]) {
        let shown = gauges
            .iter()
            .filter_map(|(name, gauge)| report.gauges.get(gauge).map(|value| format!("{name} {}", whole(*value))));
        let shown: Vec<_> = shown.collect();
        if !shown.is_empty() {
            self.plain(shown.join(", "));
        }
    }

    fn process(&mut self, report: &Report) {
        self.heading("process");
        let share = report.cpu_share.map(|share| format!("{:.0} % of a core", share * 100.0));
        let memory = report.gauges.get("memory_bytes").map(|bytes| format!("{:.1} MB of memory", bytes / 1e6));
        let files = report.gauges.get("open_files").map(|files| format!("{} open files", whole(*files)));
        let threads = report.gauges.get("threads").map(|threads| format!("{} threads", whole(*threads)));
        let shown: Vec<_> = [share, memory, files, threads].into_iter().flatten().collect();
        self.plain(shown.join(", "));
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast that saturates")]
fn whole(value: f64) -> String {
    grouped(value as u64)
}

fn rate(per_second: f64) -> String {
    if per_second < 99.95 { format!("{per_second:.1}") } else { whole(per_second.round()) }
}

fn date(time: Timestamp) -> String {
    time.strftime("%F %T UTC").to_string()
}

fn seconds_between(earlier: Timestamp, later: Timestamp) -> f64 {
    later.duration_since(earlier).as_secs_f64().max(0.0)
}

/// Returns a span of time in its two largest units.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast that saturates")]
pub(crate) fn span(seconds: f64) -> String {
    let seconds = seconds as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", grouped(seconds / 86_400), seconds / 3600 % 24),
    }
}

/// Breaks a text between words. Words that are longer stay whole.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > width {
            lines.push(word.into());
        } else if let Some(last) = lines.last_mut() {
            if line > 0 {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::monitor::reading::tests::{endpoint, reading};
    use crate::monitor::report::Since;

    #[test]
    fn narrow_terminals_show_all_figures() {
        let reading = reading(
            Instant::now(),
            4610,
            concat!(
                "pssst_server_requests_total{auth=\"anonymous\"} 7220000\n",
                "pssst_server_drops_total{cause=\"decrypt_failed\"} 5\npssst_server_drops_total{cause=\"junk\"} 0\n",
                "pssst_keyring_keys 2.0\npssst_keyring_reload_timestamp_seconds 4000.0\n",
                "pssst_server_key_requests_total{key=\"0\"} 7\npssst_identity_clients 1204.0\n",
                "pssst_server_client_secrets 2408.0\npssst_server_client_secrets_bytes 1048576.0\n",
                "pssst_file_refused{file=\"a\\u001b[2J/clients\\nb\"} 1.0\n",
            )
            .replace("\\u001b", "\u{1b}")
            .as_str(),
        );
        let report = Report::new(&endpoint(), &reading, Since::Start);
        let text = plain(&lines(&report, None, Look { width: 60, has_colors: false }));
        for expected in [
            "pssst serve 1.2.3 at http://a:1: ready\n",
            "up since 1970-01-01 00:16:40 UTC (1 h 0 min)\n",
            "  requests anonymous            7,220,000          2,000\n",
            "  decrypt failed                        5            0.0\n",
            "keys: 2, changed 10 min 10 s ago\n",
            "clients: 1,204\n  2,408 shared secrets in 1.0 MiB\n",
            "! a\u{fffd}[2J/clients\u{fffd}b cannot be used",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        assert!(!text.contains("junk") && text.lines().all(|line| line.chars().count() <= 60), "{text}");
    }

    /// Counters of other tables can have the name of a refusal.
    #[test]
    fn refusals_have_their_trend_and_nothing_else_has_it() {
        let text =
            "pssst_server_drops_total{cause=\"timeout\"} 5\npssst_gateway_requests_total{outcome=\"timeout\"} 6\n";
        let report = Report::new(&endpoint(), &reading(Instant::now(), 1010, text), Since::Start);
        let mut history = History::default();
        history.push(&report.refusals);
        let text = plain(&lines(&report, Some(&history), Look { width: 80, has_colors: false }));
        assert_eq!(text.lines().filter(|line| line.ends_with("  █")).count(), 1, "{text}");
    }

    #[test]
    fn spans_and_rates_are_short() {
        for (seconds, expected) in
            [(0.9, "0 s"), (61.0, "1 min 1 s"), (7260.0, "2 h 1 min"), (90_000.0, "1 d 1 h"), (-1.0, "0 s")]
        {
            assert_eq!(span(seconds), expected);
        }
        assert_eq!([0.04, 99.94, 99.96, 1234.5].map(rate), ["0.0", "99.9", "100", "1,235"].map(String::from));
    }
}
