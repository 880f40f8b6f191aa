//! Progress of a load while it runs, and how busy the generator is.

use std::cell::RefCell;
use std::ops::Range;
use std::time::Duration;

use tokio::time::sleep_until;

use crate::clock::{Clock, Nanos};
use crate::counters::Counters;
use crate::format::{grouped, microseconds, time};

/// Shows the progress once a second, if `show` is given. Returns the share of a core's time that
/// this process took during the window, if the system reports it.
pub(crate) async fn watch(
    clock: Clock,
    window: Range<Nanos>,
    counters: &RefCell<Counters>,
    show: Option<fn(&str)>,
) -> Option<f64> {
    sleep_until(clock.instant(window.start)).await;
    let begin = clock.now();
    let used = processor_time();
    if let Some(show) = show {
        show_progress(clock, window.clone(), counters, show).await;
    }
    sleep_until(clock.instant(window.end)).await;
    let spent = processor_time()?.saturating_sub(used?);
    Some(spent.as_secs_f64() / Duration::from_nanos(clock.now() - begin).as_secs_f64())
}

const SECOND: Nanos = 1_000_000_000;

/// A line that is written over itself.
async fn show_progress(clock: Clock, window: Range<Nanos>, counters: &RefCell<Counters>, show: fn(&str)) {
    let mut before = (0, 0);
    for second in 1.. {
        let next = window.start + second * SECOND;
        if next >= window.end {
            break;
        }
        sleep_until(clock.instant(next)).await;
        let counters = counters.borrow();
        let p99 = time(microseconds(counters.latency.value_at_quantile(0.99)));
        show(&format!(
            "{second} s: {} requests/s, {} replies/s, {} lost, p99 {p99}",
            grouped(counters.requests - before.0),
            grouped(counters.replies - before.1),
            grouped(counters.lost),
        ));
        before = (counters.requests, counters.replies);
    }
    sleep_until(clock.instant(window.end)).await;
    show("");
}

#[cfg(unix)]
fn processor_time() -> Option<Duration> {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;

    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let microseconds = (usage.user_time() + usage.system_time()).num_microseconds();
    Some(Duration::from_micros(u64::try_from(microseconds).ok()?))
}

#[cfg(not(unix))]
fn processor_time() -> Option<Duration> {
    None
}
