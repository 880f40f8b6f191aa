use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;
use proptest::prelude::*;

use super::*;
use crate::telemetry::MetricsWriter;

/// Returns the page with what this writes.
fn written(write: impl Fn(&mut MetricsWriter<'_>) -> fmt::Result + Send + Sync + 'static) -> String {
    struct Writes<F>(Arc<F>);

    impl<F> fmt::Debug for Writes<F> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Writes")
        }
    }

    impl<F: Fn(&mut MetricsWriter<'_>) -> fmt::Result + Send + Sync + 'static> Collector for Writes<F> {
        fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
            self.0(&mut MetricsWriter::new(encoder))
        }
    }

    let mut registry = Registry::default();
    registry.register_collector(Box::new(Writes(Arc::new(write))));
    let mut page = String::new();
    text::encode(&mut page, &registry).unwrap();
    page
}

#[test]
fn what_services_write_is_read() {
    let page = written(|page| {
        page.info("build", "The program", &[("version", "1.2.3"), ("backend", "avx2")])?;
        page.counter("requests", "Requests", 1 << 53)?;
        page.counters("drops", "Drops", "cause", [("junk", 7), ("a \"b\"\\\nc}, d", 8)])?;
        page.gauge("age", "Age", 0.25)?;
        page.histogram("delay", "Delay", 1e9, 3_000, [(1024, 1), (2048, 2), (u64::MAX, 0)])
    });
    let page = MetricsPage::parse(&page).unwrap();
    assert_eq!((page.label("build_info", "version"), page.label("build_info", "other")), (Some("1.2.3"), None));
    assert_eq!(page.count("requests_total"), Some(1 << 53));
    let drops: Vec<_> = page.counts("drops_total", "cause").collect();
    assert_eq!(drops, [("junk", 7), ("a \"b\"\\\nc}, d", 8)]);
    assert_eq!((page.value("age"), page.value("none"), page.value("drops_total")), (Some(0.25), None, None));
    let delay = page.histogram("delay").unwrap();
    assert_eq!((delay.count(), delay.mean()), (3, Some(1e-6)));
}

#[test]
fn timestamps_exemplars_and_values_of_all_kinds_are_read() {
    let page = MetricsPage::parse(concat!(
        "# TYPE a gauge\na 1 1700000000\nb_bucket{le=\"+Inf\",} 2 # {trace=\"x\"} 0.1\n",
        "c NaN\nd -Inf\ne -3\nf 1.5e3\ng 1e300\n# EOF\n"
    ));
    let page = page.unwrap();
    assert_eq!((page.count("a"), page.count("f")), (Some(1), Some(1500)));
    assert_eq!(page.counts("b_bucket", "le").collect::<Vec<_>>(), [("+Inf", 2)]);
    for name in ["c", "d", "e", "g"] {
        assert!(page.value(name).is_some() && page.count(name).is_none(), "{name}");
    }
}

#[test]
fn other_texts_are_refused_with_their_line() {
    for (text, expected) in [
        ("", "line 1: the metrics end without `# EOF`"),
        ("a 1\n", "line 1: the metrics end without `# EOF`"),
        ("a 1\n# EOF\nb 2\n", "line 3: it follows the end"),
        ("<html>\n# EOF", "line 1: it does not begin with a metric's name"),
        ("a 1\n\n# EOF", "line 2: it does not begin with a metric's name"),
        ("1a 1\n# EOF", "line 1: it does not begin with a metric's name"),
        ("a\n# EOF", "line 1: no space before the value"),
        ("a one\n# EOF", "line 1: the value is not a number"),
        ("a{b=\"c} 1\n# EOF", "line 1: a label's value has no closing quote"),
        ("a{b=\"\\c\"} 1\n# EOF", "line 1: a label has an unknown escape"),
        ("a{b=c} 1\n# EOF", "line 1: a label has no value in quotes"),
        ("a{=\"c\"} 1\n# EOF", "line 1: a label has no name"),
        ("a{b=\"c\"d=\"e\"} 1\n# EOF", "line 1: neither a comma nor a brace"),
    ] {
        let error = MetricsPage::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn everything_is_bounded() {
    let refused = |text: String| MetricsPage::parse(&(text + "# EOF\n")).unwrap_err().to_string();
    assert_eq!(refused("a 1\n".repeat(MAX_SAMPLES + 1)), "line 10001: more than 10,000 samples");
    assert_eq!(refused("# \n".repeat(MAX_PAGE_LEN / 2)), "line 1: the text is longer than 1 MiB");
    assert_eq!(refused(format!("# {}\n", "x".repeat(MAX_LINE_LEN))), "line 1: it is longer than 16 KiB");
    assert_eq!(refused(format!("a{{{}}} 1\n", "b=\"c\",".repeat(17))), "line 1: more than 16 labels");
}

#[test]
fn quantiles_are_estimated_within_their_bucket() {
    let histogram = |counts: &[(f64, u64)]| Histogram::new(counts.to_vec(), 100.0).unwrap();
    let delays = histogram(&[(1.0, 0), (2.0, 50), (4.0, 90), (8.0, 100), (f64::INFINITY, 100)]);
    for (q, expected) in [(0.0, 1.0), (0.25, 1.5), (0.5, 2.0), (0.7, 3.0), (0.9, 4.0), (0.95, 6.0), (1.0, 8.0)] {
        let found = delays.quantile(q).unwrap();
        assert!((found - expected).abs() < 1e-9, "{q}: {found}");
    }
    let empty = histogram(&[(1.0, 0), (f64::INFINITY, 0)]);
    assert_eq!((empty.quantile(0.5), empty.mean(), empty.count()), (None, None, 0));
    assert_eq!(histogram(&[(1.0, 1), (f64::INFINITY, 4)]).quantile(0.9), Some(1.0));
}

#[test]
fn histograms_are_compared_with_earlier_ones_only() {
    let histogram = |counts: [u64; 3], sum| {
        Histogram::new([1.0, 2.0, f64::INFINITY].into_iter().zip(counts).collect(), sum).unwrap()
    };
    let (before, after) = (histogram([1, 2, 3], 4.0), histogram([1, 4, 6], 9.0));
    let between = after.since(&before).unwrap();
    assert_eq!((between.count(), between.mean()), (3, Some(5.0 / 3.0)));
    assert_eq!(before.since(&after), None);
    let other = Histogram::new(vec![(1.0, 1), (f64::INFINITY, 1)], 1.0).unwrap();
    assert_eq!(after.since(&other), None);
    for counts in [vec![(1.0, 2), (f64::INFINITY, 1)], vec![(1.0, 1)], vec![], vec![(f64::NAN, 1), (f64::INFINITY, 1)]]
    {
        assert_eq!(Histogram::new(counts, 0.0), None);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,200}") {
        drop(MetricsPage::parse(&text));
        drop(MetricsPage::parse(&format!("{text}\n# EOF\n")));
    }

    #[test]
    fn any_text_of_the_right_characters_is_read_or_refused(text in "[ab_{}=\",\\\\ 1.+\n#EOF-]{0,200}") {
        if let Ok(page) = MetricsPage::parse(&text) {
            drop(page.histogram("a"));
        }
    }

    #[test]
    fn any_label_and_count_is_read_back(label in "(?s).{0,40}", count in 0..=1_u64 << 53) {
        let shown = label.clone();
        let page = written(move |page| page.counters("drops", "Drops", "cause", [(shown.as_str(), count)]));
        let page = MetricsPage::parse(&page).unwrap();
        prop_assert_eq!(page.counts("drops_total", "cause").collect::<Vec<_>>(), vec![(label.as_str(), count)]);
    }

    #[test]
    fn quantiles_rise_and_lie_within_the_bounds(counts in proptest::collection::vec(0..1000_u64, 1..20)) {
        let mut below = 0;
        let last = counts.len() - 1;
        let buckets = counts.iter().enumerate().map(|(place, count)| {
            below += count;
            (if place == last { f64::INFINITY } else { f64::from(1_u32 << place) }, below)
        });
        let histogram = Histogram::new(buckets.collect(), 1.0).unwrap();
        let quantiles: Vec<_> = [0.0, 0.1, 0.5, 0.9, 0.99, 1.0].map(|q| histogram.quantile(q)).into();
        prop_assert!(quantiles.is_sorted());
        prop_assert_eq!(quantiles[0].is_some(), below > 0);
        prop_assert!(quantiles.iter().flatten().all(|value| (0.0..=f64::from(1_u32 << last)).contains(value)));
    }
}
