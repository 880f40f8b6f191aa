//! The addresses of a server's name.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use pssst_support::sync::lock;

use super::network::Network;
use crate::runtime::LogThrottle;

/// How long name servers may take, once the name was resolved before.
const RESOLVE_WITHIN: Duration = Duration::from_secs(5);
/// Addresses of a name that are used at most.
const MAX_ADDRESSES: usize = 16;

/// A server's name, and the addresses that it was last resolved to: at least one.
pub(super) struct Names {
    network: Arc<dyn Network>,
    server: String,
    addresses: ArcSwap<Vec<SocketAddr>>,
    is_resolving: AtomicBool,
    warning: Mutex<LogThrottle>,
}

impl Names {
    pub(super) async fn resolve(network: Arc<dyn Network>, server: &str, within: Duration) -> io::Result<Self> {
        let addresses = resolve(&*network, server, within).await?;
        Ok(Self {
            network,
            server: server.to_owned(),
            addresses: ArcSwap::from_pointee(addresses),
            is_resolving: AtomicBool::new(false),
            warning: Mutex::default(),
        })
    }

    /// The addresses, as far as is known.
    pub(super) fn addresses(&self) -> Arc<Vec<SocketAddr>> {
        self.addresses.load_full()
    }

    /// Resolves the name again, unless somebody does already. If nothing comes of it, the known addresses stay.
    pub(super) async fn resolve_again(self: Arc<Self>) {
        if self.is_resolving.swap(true, Ordering::Relaxed) {
            return;
        }
        match resolve(&*self.network, &self.server, RESOLVE_WITHIN).await {
            Ok(addresses) => self.addresses.store(Arc::new(addresses)),
            Err(error) => {
                let mut warning = lock(&self.warning);
                warning.log(|| tracing::warn!(server = self.server, %error, "the name cannot be resolved again"));
            }
        }
        self.is_resolving.store(false, Ordering::Relaxed);
    }
}

/// At least one address, or why there is none.
async fn resolve(network: &dyn Network, server: &str, within: Duration) -> io::Result<Vec<SocketAddr>> {
    let mut addresses = tokio::time::timeout(within, network.resolve(server)).await??;
    addresses.truncate(MAX_ADDRESSES);
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}
