//! A thread with an event loop.

use std::io;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

/// Starts a thread with a current-thread tokio runtime of its own, and waits until its loop is made.
///
/// `make` is called on the new thread, inside the runtime, so that it can register sockets; it returns
/// the loop, which the thread runs to its end. The loop need not be `Send`.
///
/// # Errors
/// When the system does not have another thread or event queue, and what `make` returns.
pub fn spawn<F: Future<Output = ()>>(
    name: String,
    make: impl FnOnce() -> io::Result<F> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (report, outcome) = mpsc::sync_channel(1);
    let work = move || {
        let started = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
            let entered = runtime.enter();
            let event_loop = make()?;
            drop(entered);
            Ok((runtime, event_loop))
        });
        match started {
            Ok((runtime, event_loop)) => {
                drop(report.send(Ok(())));
                runtime.block_on(event_loop);
            }
            Err(error) => drop(report.send(Err(error))),
        }
    };
    let thread = Builder::new().name(name).spawn(work)?;
    outcome.recv().unwrap_or_else(|_| Err(io::Error::other("a thread ended before its loop was made")))?;
    Ok(thread)
}
