//! Waiting for what must happen.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that is certain to happen: long, since the machine may be busy. A
/// test that passes does not wait so long for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Repeats a check until it holds.
///
/// # Panics
/// With `what`, if it does not hold within [`PATIENCE`].
#[track_caller]
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for_value(what, || if holds() { Ok(()) } else { Err("not yet") });
}

/// Repeats a check until it gives a value.
///
/// # Panics
/// With `what` and the last error, if it gives none within [`PATIENCE`].
#[track_caller]
pub fn wait_for_value<T, E: std::fmt::Debug>(what: &str, mut check: impl FnMut() -> Result<T, E>) -> T {
    let start = Instant::now();
    loop {
        match check() {
            Ok(value) => return value,
            Err(error) => assert!(start.elapsed() < PATIENCE, "never: {what}: {error:?}"),
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Repeats a check until it holds, without blocking the thread, and returns how long that took.
///
/// # Panics
/// With `what`, if it does not hold within [`PATIENCE`].
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    start.elapsed()
}
