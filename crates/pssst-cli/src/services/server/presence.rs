//! Signs of life of this server in the store, for operators.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use pssst_identity::ServerReport;
use pssst_identity::jiff::Timestamp;

use super::Clients;
use crate::args::store::failure;
use pssst_service::Failure;

/// For the last word. A store that is away does not hold up the end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Returns this server at its address, as operators see it.
pub(super) fn of(address: SocketAddr) -> Result<ServerReport, Failure> {
    let name = host().map_or_else(|| address.to_string(), |host| format!("{host} {address}"));
    ServerReport::new(name, env!("CARGO_PKG_VERSION"), Timestamp::now()).map_err(|error| failure(&error))
}

/// Returns the name of this machine, if it is known without a question to the network.
fn host() -> Option<String> {
    let of_system = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = of_system.or_else(|| std::env::var("COMPUTERNAME").ok()).or_else(|| std::env::var("HOSTNAME").ok())?;
    Some(host.trim().to_owned()).filter(|host| !host.is_empty())
}

/// Reports until it is dropped.
pub(super) async fn report(clients: &Clients, server: &ServerReport) -> Infallible {
    let mut was_saved = true;
    loop {
        match clients.store().record_server(&server.at(Timestamp::now())).await {
            Ok(()) => was_saved = true,
            Err(error) if was_saved => {
                was_saved = false;
                tracing::info!(%error, "operators do not see this server: the store does not take its reports");
            }
            Err(_) => {}
        }
        tokio::time::sleep(ServerReport::INTERVAL).await;
    }
}

/// Reports that the server stops.
pub(super) async fn end(clients: &Clients, server: &ServerReport) {
    let server = server.stopping();
    drop(tokio::time::timeout(PATIENCE, clients.store().record_server(&server)).await);
}
