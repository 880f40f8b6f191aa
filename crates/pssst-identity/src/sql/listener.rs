//! Notifications of changes by PostgreSQL.

use std::time::Duration;

use sqlx::Executor;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::ChangeSignal;

/// Channel that the database's trigger notifies.
const CHANNEL: &str = "pssst_identity";
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Interval after which a silent connection is checked.
const SILENCE: Duration = Duration::from_secs(15);
/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(250);

/// A task that forwards the database's notifications until this is dropped.
pub(super) struct Listener(JoinHandle<()>);

impl Listener {
    pub(super) fn spawn(options: PgConnectOptions, signal: ChangeSignal) -> Self {
        Self(tokio::spawn(async move {
            loop {
                if let Ok(Ok(listener)) = timeout(CONNECT_LIMIT, connect(&options)).await {
                    listen(listener, &signal).await;
                }
                sleep(PAUSE).await;
            }
        }))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn connect(options: &PgConnectOptions) -> Result<PgListener, sqlx::Error> {
    let pool = PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
    let pool = pool.acquire_timeout(CONNECT_LIMIT).connect_with(options.clone()).await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    // A new connection is made here, where a hint is given when it listens.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Until the connection is lost.
async fn listen(mut listener: PgListener, signal: &ChangeSignal) {
    // Changes before this moment were not notified.
    signal.notify();
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(_))) => {
                signal.notify();
            }
            Ok(Ok(None) | Err(_)) => return,
            Err(_) => match timeout(CONNECT_LIMIT, listener.execute("SELECT 1")).await {
                Ok(Ok(_)) => {}
                _ => return,
            },
        }
    }
}
