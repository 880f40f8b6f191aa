//! When to stop, and when to reload the configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::failure::Failure;
use crate::runtime;

/// The signals that a service listens to. They are caught from here on, not only once they are
/// waited for.
#[cfg(unix)]
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(crate) fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};

        let catch = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(
                    format!("cannot wait for signals: {error}"),
                    "check whether a sandbox forbids signal handlers",
                )
            })
        };
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hangup: catch(SignalKind::hangup())?,
        })
    }

    /// SIGINT or SIGTERM.
    pub(crate) async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

/// Request by a signal.
pub(crate) enum Signal {
    Stop,
    #[cfg_attr(not(unix), expect(dead_code, reason = "other systems have no such signal"))]
    Reload,
}

#[cfg(not(unix))]
pub(crate) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(crate) async fn stop(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(crate) async fn next(&mut self) -> Signal {
        self.stop().await;
        Signal::Stop
    }
}

/// Returns a flag that becomes true at SIGINT or SIGTERM, for a command that then ends by itself. A
/// second signal ends the process at once.
///
/// # Errors
/// When the system gives no thread, or forbids signal handlers.
pub fn stop_flag() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    let (set, (caught, is_caught)) = (Arc::clone(&flag), mpsc::channel());
    let wait = move || {
        runtime::run(async {
            let signals = Signals::new();
            let mut signals = match signals {
                Ok(signals) => signals,
                Err(failure) => return caught.send(Err(failure)).map_err(|_| unheard()),
            };
            caught.send(Ok(())).map_err(|_| unheard())?;
            signals.stop().await;
            set.store(true, Ordering::Relaxed);
            signals.stop().await;
            // As the shell reports an interrupted command.
            std::process::exit(130)
        })
    };
    thread::Builder::new().name("signals".into()).spawn(wait).map_err(|_| unheard())?;
    is_caught.recv().unwrap_or_else(|_| Err(unheard()))?;
    Ok(flag)
}

fn unheard() -> Failure {
    Failure::new("cannot wait for signals", "raise the limit of threads")
}
