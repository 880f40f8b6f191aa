//! Signs of life while a command waits, or works for long. People at a terminal see them.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use pssst_service::stderr::notice;
use pssst_support::grouped;

/// How long a person waits before it looks as if nothing happened.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs `work`, and shows what `line` returns once it has taken two seconds, and again after four
/// more, eight more and so on.
pub(crate) fn while_waiting<T>(line: impl Fn() -> String + Send + Sync, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    thread::scope(|scope| {
        let (done, is_done) = channel::<()>();
        scope.spawn(move || {
            let mut pause = PATIENCE;
            while is_done.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                notice(line());
                pause *= 2;
            }
        });
        let result = work();
        drop(done);
        result
    })
}

/// Returns the line of a command that waits for a directory.
pub(crate) fn no_answer() -> String {
    "the directory has not answered yet".into()
}

/// Lines about a long work, no more than one a second on a terminal, and one in ten seconds
/// elsewhere.
pub(crate) struct Progress {
    start: Instant,
    last: Instant,
    interval: Duration,
}

impl Progress {
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        let seconds = if io::stderr().is_terminal() { 1 } else { 10 };
        Self { start: now, last: now, interval: Duration::from_secs(seconds) }
    }

    /// Shows how much is done, such as `2,000 clients added so far, 512 a second`.
    pub(crate) fn show(&mut self, done: usize, what: impl Display) {
        if self.last.elapsed() >= self.interval {
            self.last = Instant::now();
            let per_second = done as u128 * 1000 / self.start.elapsed().as_millis().max(1);
            notice(format_args!("{} {what} so far, {} a second", grouped(done), grouped(per_second)));
        }
    }
}
