//! The paths of a client: the current one, and how others are opened. Nothing here waits.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use pssst_support::sync::lock;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::network::Network;
use super::path::Path;
use super::pending::Pending;
use super::stats::Counts;
use crate::error::copy_of;
use crate::udp::Resolver;

/// How long no path is tried after none could be opened.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Selects and opens the paths to a server.
pub(super) struct PathSelector {
    network: Arc<dyn Network>,
    resolver: Resolver,
    current: ArcSwap<Path>,
    opened: Mutex<Opened>,
    /// The runtime that the tasks of paths run on.
    runtime: Handle,
    pending: Arc<Pending>,
    counts: Arc<Counts>,
}

/// The paths that were opened.
#[derive(Default)]
struct Opened {
    count: u64,
    /// Paths in use, and some that are not.
    paths: Vec<Weak<Path>>,
    /// The time and cause of the last failure to open a path.
    failed: Option<(Instant, io::Error)>,
}

impl PathSelector {
    /// Resolves the server's name, within some time, and opens a path to the first address that the
    /// system has a route to.
    pub(super) async fn open(
        network: Arc<dyn Network>,
        server: &str,
        within: Duration,
        pending: Arc<Pending>,
        counts: Arc<Counts>,
    ) -> io::Result<Self> {
        let (looking, server) = (Arc::clone(&network), server.to_owned());
        let resolver = Resolver::with_lookup(move || {
            let (network, server) = (Arc::clone(&looking), server.clone());
            async move { network.resolve(&server).await }
        });
        let addresses = tokio::time::timeout(within, resolver.addresses()).await??;
        let (runtime, mut opened) = (Handle::current(), Opened::default());
        let open = |address| opened.open(&*network, &runtime, address, &pending, &counts);
        let path = first_success(addresses.into_iter(), open)?;
        Ok(Self {
            network,
            resolver,
            current: ArcSwap::new(path),
            opened: Mutex::new(opened),
            runtime,
            pending,
            counts,
        })
    }

    pub(super) fn current(&self) -> Arc<Path> {
        self.current.load_full()
    }

    /// Returns whether the server has but one address, as far as is known.
    pub(super) fn has_one_address(&self) -> bool {
        self.resolver.known().len() == 1
    }

    /// Returns a random number between 0 and 1.
    pub(super) fn fraction(&self) -> f64 {
        self.network.fraction()
    }

    /// Starts resolving the name again in the background.
    pub(super) fn resolve_again(&self) {
        let _entered = self.runtime.enter();
        self.resolver.refresh();
    }

    /// Returns a path from a fresh port, for a request that was on paths up to this number, and on
    /// this address last: a newer path that is open, or else one that is opened now. It leads to
    /// the next address, unless `keeps_address`. So one path serves all requests without a reply.
    pub(super) fn open_new(&self, newest: u64, from: SocketAddr, keeps_address: bool) -> io::Result<Arc<Path>> {
        let mut opened = self.opened();
        if let Some(path) = opened.newest_first().next().filter(|path| path.number > newest) {
            return Ok(path);
        }
        if let Some((at, error)) = &opened.failed
            && at.elapsed() < RETRY_AFTER
        {
            return Err(copy_of(error));
        }
        let in_turn = self.in_turn(from, keeps_address);
        let outcome = first_success(in_turn, |address| self.open_path(&mut opened, address));
        match &outcome {
            Ok(path) => self.current.store(Arc::clone(path)),
            Err(error) => opened.failed = Some((Instant::now(), copy_of(error))),
        }
        outcome
    }

    /// Returns a path to an address that was not tried: the current one, one that is open, or a new
    /// one. So one path to each address serves all requests that got such an error.
    pub(super) fn fail_over(&self, from: SocketAddr, tried: &[SocketAddr]) -> Option<Arc<Path>> {
        let current = self.current();
        if !tried.contains(&current.address) {
            return Some(current);
        }
        let mut opened = self.opened();
        let untried = self.in_turn(from, false).filter(|address| !tried.contains(address));
        let path = first_success(untried, |address| {
            let open = opened.newest_first().find(|path| path.address == address);
            open.map_or_else(|| self.open_path(&mut opened, address), Ok)
        });
        let path = path.ok()?;
        self.current.store(Arc::clone(&path));
        Some(path)
    }

    /// Returns the known addresses, from this one on or from the one after it.
    fn in_turn(&self, from: SocketAddr, keeps_address: bool) -> impl Iterator<Item = SocketAddr> + use<> {
        let mut addresses = self.resolver.known();
        if let Some(here) = addresses.iter().position(|address| *address == from) {
            addresses.rotate_left(here);
            if !keeps_address {
                addresses.rotate_left(1);
            }
        }
        addresses.into_iter()
    }

    fn open_path(&self, opened: &mut Opened, address: SocketAddr) -> io::Result<Arc<Path>> {
        let path = opened.open(&*self.network, &self.runtime, address, &self.pending, &self.counts)?;
        tracing::debug!(%address, number = path.number, "a new path");
        Ok(path)
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        lock(&self.opened)
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

    /// Returns the paths that are open.
    fn newest_first(&self) -> impl Iterator<Item = Arc<Path>> {
        self.paths.iter().rev().filter_map(Weak::upgrade)
    }
}

fn first_success(
    addresses: impl Iterator<Item = SocketAddr>,
    mut open: impl FnMut(SocketAddr) -> io::Result<Arc<Path>>,
) -> io::Result<Arc<Path>> {
    let mut last = io::Error::from(io::ErrorKind::NetworkUnreachable);
    for address in addresses {
        match open(address) {
            Ok(path) => return Ok(path),
            Err(error) => last = error,
        }
    }
    Err(last)
}
