//! Looks at the load while it runs: the progress for whoever watches, and how busy the generator is.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::ops::Range;
use std::time::Duration;

use tokio::time::sleep_until;

use super::clock::{Clock, Moment};
use super::format::{grouped, microseconds, time};
use super::tally::Tally;

/// Shows the progress once a second, on a terminal. Returns the share of a core's time that this process took from the
/// first to the last moment of the window, if the system tells.
pub(super) async fn watch(clock: Clock, window: Range<Moment>, tally: &RefCell<Tally>) -> Option<f64> {
    sleep_until(clock.instant(window.start)).await;
    let begin = clock.now();
    let used = processor_time();
    if io::stderr().is_terminal() {
        show_progress(clock, window.clone(), tally).await;
    }
    sleep_until(clock.instant(window.end)).await;
    let spent = processor_time()?.saturating_sub(used?);
    Some(spent.as_secs_f64() / Duration::from_nanos(clock.now() - begin).as_secs_f64())
}

const SECOND: Moment = 1_000_000_000;

/// A line that is written over itself.
async fn show_progress(clock: Clock, window: Range<Moment>, tally: &RefCell<Tally>) {
    let mut before = (0, 0);
    for second in 1.. {
        let next = window.start + second * SECOND;
        if next >= window.end {
            break;
        }
        sleep_until(clock.instant(next)).await;
        let tally = tally.borrow();
        let p99 = time(microseconds(tally.latency.value_at_quantile(0.99)));
        show(&format!(
            "{second} s: {} requests/s, {} replies/s, {} lost, p99 {p99}",
            grouped(tally.requests - before.0),
            grouped(tally.replies - before.1),
            grouped(tally.lost),
        ));
        before = (tally.requests, tally.replies);
    }
    sleep_until(clock.instant(window.end)).await;
    show("");
}

/// Whether anybody can still read it changes nothing.
fn show(line: &str) {
    drop(io::stderr().write_all(format!("\r\x1b[K{line}").as_bytes()));
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
