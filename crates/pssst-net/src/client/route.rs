//! Which path a client's packets take, and when it takes another.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::network::Network;
use super::path::{Path, copy_of};
use super::pending::Pending;
use super::stats::Counts;
use crate::log::Seldom;

/// How long a name server may take before the addresses that are known have to do.
const RESOLVE_WITHIN: Duration = Duration::from_secs(1);
/// How long no path is tried after none could be opened.
const REST: Duration = Duration::from_secs(1);
/// Addresses of a name that are used at most.
const MAX_ADDRESSES: usize = 16;

/// The current path to a server, and the addresses for the next.
pub(super) struct Route {
    network: Arc<dyn Network>,
    server: String,
    /// Paths live there, whoever opens them.
    runtime: Handle,
    pending: Arc<Pending>,
    counts: Arc<Counts>,
    addresses: ArcSwap<Vec<SocketAddr>>,
    current: ArcSwap<Path>,
    opened: Mutex<Opened>,
    /// Locked by whoever renews the path; the others wait, and take what came of it.
    renewal: tokio::sync::Mutex<Renewal>,
}

#[derive(Default)]
struct Renewal {
    /// When no path could be opened, and why.
    failed: Option<(Instant, io::Error)>,
    warning: Seldom,
}

/// The paths that were opened.
#[derive(Default)]
struct Opened {
    count: u64,
    /// Those that are still in use, and some more.
    paths: Vec<Weak<Path>>,
}

impl Route {
    /// Resolves the server's name, within some time, and opens a path to the first address that the system has a route to.
    pub(super) async fn open(
        network: Arc<dyn Network>,
        server: &str,
        within: Duration,
        pending: Arc<Pending>,
        counts: Arc<Counts>,
    ) -> io::Result<Self> {
        let addresses = tokio::time::timeout(within, resolve(&*network, server)).await??;
        let (runtime, mut opened) = (Handle::current(), Opened::default());
        let open = |address| opened.open(&*network, &runtime, address, &pending, &counts);
        let path = first_success(addresses.iter().copied(), open)?;
        Ok(Self {
            network,
            server: server.to_owned(),
            runtime,
            pending,
            counts,
            addresses: ArcSwap::from_pointee(addresses),
            current: ArcSwap::new(path),
            opened: Mutex::new(opened),
            renewal: tokio::sync::Mutex::default(),
        })
    }

    pub(super) fn current(&self) -> Arc<Path> {
        self.current.load_full()
    }

    /// Whether the server has but one address, as far as is known.
    pub(super) fn has_one_address(&self) -> bool {
        self.addresses.load().len() == 1
    }

    /// A random number between 0 and 1.
    pub(super) fn fraction(&self) -> f64 {
        self.network.fraction()
    }

    /// A path that is newer than this one, on which the server is silent: the current one if it is, or else one from a fresh
    /// port, after the name was resolved again. It leads to the next address, unless `keeps_address`.
    pub(super) async fn renew(&self, path: &Path, keeps_address: bool) -> io::Result<Arc<Path>> {
        let mut renewal = self.renewal.lock().await;
        let current = self.current();
        if current.number > path.number {
            return Ok(current);
        }
        if let Some((at, error)) = &renewal.failed
            && at.elapsed() < REST
        {
            return Err(copy_of(error));
        }
        self.resolve_again(&mut renewal.warning).await;
        let outcome = first_success(self.in_turn(path.address, keeps_address), |address| self.open_path(address));
        match &outcome {
            Ok(path) => {
                tracing::debug!(address = %path.address, number = path.number, "a new path");
                self.current.store(Arc::clone(path));
            }
            Err(error) => renewal.failed = Some((Instant::now(), copy_of(error))),
        }
        outcome
    }

    /// A path to an address that was not tried, at once: one that is open, or a new one.
    pub(super) fn hop(&self, from: SocketAddr, tried: &[SocketAddr]) -> Option<Arc<Path>> {
        let untried = self.in_turn(from, false).filter(|address| !tried.contains(address));
        let path = first_success(untried, |address| {
            let live = self.opened().live(address);
            live.map_or_else(|| self.open_path(address), Ok)
        });
        let path = path.ok()?;
        self.current.store(Arc::clone(&path));
        Some(path)
    }

    /// The known addresses, from this one on or from the one after it.
    fn in_turn(&self, from: SocketAddr, keeps_address: bool) -> impl Iterator<Item = SocketAddr> {
        let mut addresses = Vec::clone(&self.addresses.load());
        if let Some(here) = addresses.iter().position(|address| *address == from) {
            addresses.rotate_left(here);
            if !keeps_address {
                addresses.rotate_left(1);
            }
        }
        addresses.into_iter()
    }

    fn open_path(&self, address: SocketAddr) -> io::Result<Arc<Path>> {
        self.opened().open(&*self.network, &self.runtime, address, &self.pending, &self.counts)
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn resolve_again(&self, warning: &mut Seldom) {
        let server = &self.server;
        match tokio::time::timeout(RESOLVE_WITHIN, resolve(&*self.network, server)).await {
            Ok(Ok(addresses)) => self.addresses.store(Arc::new(addresses)),
            Ok(Err(error)) => warning.say(|| tracing::warn!(server, %error, "the name cannot be resolved again")),
            Err(_) => warning.say(|| tracing::warn!(server, "the name servers are silent")),
        }
    }
}

impl Opened {
    fn open(
        &mut self,
        network: &dyn Network,
        runtime: &Handle,
        address: SocketAddr,
        pending: &Arc<Pending>,
        counts: &Arc<Counts>,
    ) -> io::Result<Arc<Path>> {
        let _entered = runtime.enter();
        let datagrams = network.connect(address)?;
        counts.paths_opened.add();
        self.count += 1;
        let path = Path::new(self.count, address, datagrams, Arc::clone(pending), Arc::clone(counts));
        let path = Arc::new(path);
        self.paths.retain(|path| path.strong_count() > 0);
        self.paths.push(Arc::downgrade(&path));
        Ok(path)
    }

    /// The newest path to this address that is still in use.
    fn live(&self, address: SocketAddr) -> Option<Arc<Path>> {
        self.paths.iter().rev().filter_map(Weak::upgrade).find(|path| path.address == address)
    }
}

/// At least one address, or why there is none.
async fn resolve(network: &dyn Network, server: &str) -> io::Result<Vec<SocketAddr>> {
    let mut addresses = network.resolve(server).await?;
    addresses.truncate(MAX_ADDRESSES);
    if addresses.is_empty() { Err(no_address()) } else { Ok(addresses) }
}

fn first_success(
    addresses: impl Iterator<Item = SocketAddr>,
    mut open: impl FnMut(SocketAddr) -> io::Result<Arc<Path>>,
) -> io::Result<Arc<Path>> {
    let mut last = no_address();
    for address in addresses {
        match open(address) {
            Ok(path) => return Ok(path),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the name has no address")
}
