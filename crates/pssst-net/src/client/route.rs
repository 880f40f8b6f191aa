//! Which path a client's packets take, and when it takes another.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::network::Network;
use super::path::Path;
use super::pending::Pending;
use super::stats::Counts;

/// How long a name server may take before the addresses that are known have to do.
const RESOLVE_WITHIN: Duration = Duration::from_secs(1);

/// The current path to a server, and the addresses for the next.
pub(super) struct Route {
    network: Arc<dyn Network>,
    server: String,
    pending: Arc<Pending>,
    counts: Arc<Counts>,
    current: ArcSwap<Path>,
    /// Locked by whoever opens the next path; the others wait for it, and take it too.
    addresses: Mutex<Vec<SocketAddr>>,
}

impl Route {
    /// Resolves the server's name and opens a path to the first address that the system has a route to.
    pub(super) async fn open(
        network: Arc<dyn Network>,
        server: &str,
        pending: Arc<Pending>,
        counts: Arc<Counts>,
    ) -> io::Result<Self> {
        let addresses = network.resolve(server).await?;
        let open = |address| open_path(&*network, 0, address, &pending, &counts);
        let path = first_success(addresses.iter().copied(), open)?;
        Ok(Self {
            network,
            server: server.to_owned(),
            pending,
            counts,
            current: ArcSwap::from_pointee(path),
            addresses: Mutex::new(addresses),
        })
    }

    pub(super) fn current(&self) -> Arc<Path> {
        self.current.load_full()
    }

    /// A random number between 0 and 1.
    pub(super) fn fraction(&self) -> f64 {
        self.network.fraction()
    }

    /// The addresses of the server, as they are known.
    pub(super) async fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.lock().await.clone()
    }

    /// A path that is newer than this one: the current one if it is, or else one that is opened to the next address, from a
    /// fresh port. The name is resolved again first if `is_silent`.
    pub(super) async fn leave(&self, path: &Path, is_silent: bool) -> io::Result<Arc<Path>> {
        let mut addresses = self.addresses.lock().await;
        let current = self.current();
        if current.number > path.number {
            return Ok(current);
        }
        if is_silent {
            self.resolve_again(&mut addresses).await;
        }
        let here = addresses.iter().position(|address| *address == current.address);
        let next = here.map_or(0, |here| here + 1);
        let in_turn = addresses.iter().copied().cycle().skip(next).take(addresses.len());
        let number = current.number + 1;
        let open = |address| open_path(&*self.network, number, address, &self.pending, &self.counts);
        let path = Arc::new(first_success(in_turn, open)?);
        tracing::debug!(address = %path.address, number, "a new path");
        self.current.store(Arc::clone(&path));
        Ok(path)
    }

    async fn resolve_again(&self, addresses: &mut Vec<SocketAddr>) {
        match tokio::time::timeout(RESOLVE_WITHIN, self.network.resolve(&self.server)).await {
            Ok(Ok(resolved)) if !resolved.is_empty() => *addresses = resolved,
            Ok(Ok(_)) => tracing::warn!(server = self.server, "the name has no address any more"),
            Ok(Err(error)) => tracing::warn!(server = self.server, %error, "the name cannot be resolved again"),
            Err(_) => tracing::warn!(server = self.server, "the name servers are silent"),
        }
    }
}

fn open_path(
    network: &dyn Network,
    number: u64,
    address: SocketAddr,
    pending: &Arc<Pending>,
    counts: &Arc<Counts>,
) -> io::Result<Path> {
    let datagrams = network.connect(address)?;
    counts.paths_opened.add();
    Ok(Path::new(number, address, datagrams, Arc::clone(pending), Arc::clone(counts)))
}

fn first_success(
    addresses: impl Iterator<Item = SocketAddr>,
    open: impl Fn(SocketAddr) -> io::Result<Path>,
) -> io::Result<Path> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match open(address) {
            Ok(path) => return Ok(path),
            Err(error) => last = error,
        }
    }
    Err(last)
}
