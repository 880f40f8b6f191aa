//! Threads that run one event loop each.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pssst_support::sync::lock;
use tokio::sync::watch;

use super::Heartbeat;

/// Threads with an event loop each, on a current-thread runtime of tokio.
#[derive(Debug, Default)]
pub struct Threads {
    /// Closed when the last thread has ended.
    running: watch::Sender<()>,
    handles: Mutex<Vec<JoinHandle<()>>>,
    heartbeats: Vec<Arc<Heartbeat>>,
}

impl Threads {
    /// Starts a thread. `make` is called there, within the runtime, and returns the event loop.
    ///
    /// # Errors
    /// That of `make`, and those of the system when it has no thread or event queue left.
    pub fn start<F>(
        &mut self,
        name: String,
        make: impl FnOnce(Arc<Heartbeat>) -> io::Result<F> + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()>,
    {
        let running = self.running.subscribe();
        let heartbeat = Arc::new(Heartbeat::new());
        let (report, started) = mpsc::sync_channel(1);
        let work = {
            let heartbeat = Arc::clone(&heartbeat);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let outcome = runtime.and_then(|runtime| {
                    let entered = runtime.enter();
                    let event_loop = make(heartbeat)?;
                    drop(entered);
                    Ok((runtime, event_loop))
                });
                match outcome {
                    Ok((runtime, event_loop)) => {
                        drop(report.send(Ok(())));
                        runtime.block_on(event_loop);
                    }
                    Err(error) => drop(report.send(Err(error))),
                }
                drop(running);
            }
        };
        let handle = thread::Builder::new().name(name).spawn(work)?;
        lock(&self.handles).push(handle);
        started.recv().unwrap_or_else(|_| Err(io::Error::other("a thread did not start")))?;
        self.heartbeats.push(heartbeat);
        Ok(())
    }

    /// Returns the age of the oldest heartbeat.
    pub fn oldest_heartbeat(&self) -> Duration {
        self.heartbeats.iter().map(|heartbeat| heartbeat.age()).max().unwrap_or_default()
    }

    /// Waits until all threads have ended.
    pub async fn ended(&self) {
        self.running.closed().await;
    }

    /// Blocks until all threads have ended.
    pub fn join(&self) {
        // A second caller waits for the first, which holds the lock.
        for handle in lock(&self.handles).drain(..) {
            // The panic hook has reported a panic.
            drop(handle.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::Shutdown;
    use super::*;

    #[tokio::test]
    async fn threads_end_when_their_loops_do() {
        let (mut threads, shutdown) = (Threads::default(), Shutdown::default());
        for number in 0..3 {
            let shutdown = shutdown.clone();
            let make = move |heartbeat: Arc<Heartbeat>| {
                Ok(async move {
                    heartbeat.beat();
                    shutdown.requested().await;
                })
            };
            threads.start(format!("loop-{number}"), make).unwrap();
        }
        assert!(threads.ended().now_or_never().is_none());
        shutdown.request(Duration::ZERO);
        threads.ended().await;
        threads.join();
    }

    #[test]
    fn errors_at_the_start_are_reported() {
        let mut threads = Threads::default();
        let make = |_| Err::<std::future::Ready<()>, _>(io::ErrorKind::PermissionDenied.into());
        let error = threads.start("loop".into(), make).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(threads.oldest_heartbeat(), Duration::ZERO);
        threads.join();
    }
}
