//! The addresses of a name, resolved periodically.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pssst_support::host_port;
use pssst_support::sync::lock;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::error::copy_of;
use crate::runtime::LogThrottle;

/// How long addresses are used before the name is resolved again.
const LIFETIME: Duration = Duration::from_secs(30);
/// Least time from the end of a lookup to the beginning of the next one.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Time that name servers have, once addresses are known.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
/// Addresses of a name that are used at most.
const MAX_ADDRESSES: usize = 16;

/// The addresses of a host and port. Clones share them, across runtimes.
///
/// One lookup runs at a time for all requests, because each of the system's lookups would block a
/// thread while name servers are slow. Requests use the known addresses, and wait only for the
/// first lookup. After a failure the next address is used.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    lookup: Lookup,
    known: watch::Sender<Known>,
    warning: Mutex<LogThrottle>,
}

type Lookup = Box<dyn Fn() -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> + Send + Sync>;

#[derive(Default)]
struct Known {
    /// The preferred one first. Empty until the first lookup succeeds.
    addresses: Vec<SocketAddr>,
    /// The error of the last lookup.
    error: Option<io::Error>,
    is_looking: bool,
    /// The time of the next lookup; at once without one.
    due: Option<Instant>,
    /// The end of the last lookup.
    looked: Option<Instant>,
}

/// Asks the system for the addresses of `HOST:PORT`.
pub(crate) async fn lookup(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host(host_port::target(name)?).await?.collect())
}

impl Resolver {
    /// Resolves `HOST:PORT` by the system. An IPv6 address is in brackets and may have a zone:
    /// `[fe80::7%eth0]:45678`.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self::with_lookup(move || {
            let name = name.clone();
            async move { lookup(&name).await }
        })
    }

    /// Resolves a name by other means.
    pub fn with_lookup<F>(lookup: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        let lookup: Lookup = Box::new(move || Box::pin(lookup()));
        Self { shared: Arc::new(Shared { lookup, known: watch::Sender::default(), warning: Mutex::default() }) }
    }

    /// Returns the preferred address, after the first lookup.
    ///
    /// # Errors
    /// If no address is known.
    ///
    /// # Panics
    /// If called outside a tokio runtime.
    pub async fn address(&self) -> io::Result<SocketAddr> {
        let not_found = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        self.addresses().await?.first().copied().ok_or_else(not_found)
    }

    /// Returns all addresses, the preferred one first and at least one, after the first lookup.
    ///
    /// # Errors
    /// If no address is known.
    ///
    /// # Panics
    /// If called outside a tokio runtime.
    pub async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.start_lookup(|due| due.is_none_or(|due| due <= Instant::now()));
        let mut changes = self.shared.known.subscribe();
        let known = changes.wait_for(|known| !known.addresses.is_empty() || !known.is_looking).await;
        let known = known.map_err(|_| io::ErrorKind::NotFound)?;
        match &known.error {
            Some(error) if known.addresses.is_empty() => Err(copy_of(error)),
            _ => Ok(known.addresses.clone()),
        }
    }

    /// Returns the addresses as far as they are known.
    pub fn known(&self) -> Vec<SocketAddr> {
        self.shared.known.borrow().addresses.clone()
    }

    /// Starts another lookup, unless one runs. If it fails, the known addresses stay.
    ///
    /// # Panics
    /// If called outside a tokio runtime.
    pub fn refresh(&self) {
        self.start_lookup(|_| true);
    }

    /// Marks an address as suspect until the guard is cleared; by default the preferred one.
    pub fn suspect(&self, address: Option<SocketAddr>) -> FailureGuard {
        let address = address.or_else(|| self.shared.known.borrow().addresses.first().copied());
        FailureGuard { resolver: self.clone(), address }
    }

    /// Prefers the next address to one that failed, and has others looked for.
    fn avoid(&self, address: SocketAddr) {
        self.shared.known.send_if_modified(|known| {
            // Others that failed with it have rotated already.
            if known.addresses.first() == Some(&address) {
                known.addresses.rotate_left(1);
            }
            known.due = known.looked.map(|looked| looked + MIN_INTERVAL);
            false
        });
    }

    fn start_lookup(&self, is_due: impl Fn(Option<Instant>) -> bool) {
        let is_first = self.known().is_empty();
        let is_mine = self.shared.known.send_if_modified(|known| {
            let starts = !known.is_looking && is_due(known.due);
            known.is_looking |= starts;
            starts
        });
        if is_mine {
            // Apart from the request, which may be cancelled earlier.
            let running = RunningLookup { resolver: self.clone(), outcome: Err(io::ErrorKind::Interrupted.into()) };
            tokio::spawn(running.run(is_first));
        }
    }
}

/// Marks an address as suspect while it is tried. If the guard is dropped, for instance with a
/// request that timed out, the address is avoided: a dead machine sends no error.
#[must_use]
pub struct FailureGuard {
    resolver: Resolver,
    address: Option<SocketAddr>,
}

impl FailureGuard {
    /// Reports that the address works.
    pub fn clear(mut self) {
        self.address = None;
    }
}

impl Drop for FailureGuard {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            self.resolver.avoid(address);
        }
    }
}

/// A lookup. One that is dropped, with its runtime for instance, has found nothing.
struct RunningLookup {
    resolver: Resolver,
    outcome: io::Result<Vec<SocketAddr>>,
}

impl RunningLookup {
    async fn run(mut self, is_first: bool) {
        let lookup = (self.resolver.shared.lookup)();
        let found = if is_first {
            lookup.await
        } else {
            timeout(LOOKUP_LIMIT, lookup).await.unwrap_or_else(|error| Err(error.into()))
        };
        let not_found = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        self.outcome = found.and_then(|found| if found.is_empty() { Err(not_found()) } else { Ok(found) });
        if let Err(error) = &self.outcome {
            if is_first {
                tracing::debug!(%error, "a name cannot be resolved");
            } else {
                lock(&self.resolver.shared.warning).log(|| tracing::warn!(%error, "a name can no longer be resolved"));
            }
        }
    }
}

impl Drop for RunningLookup {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Ok(Vec::new()));
        self.resolver.shared.known.send_modify(|known| {
            let now = Instant::now();
            known.is_looking = false;
            known.looked = Some(now);
            known.due = Some(now + if outcome.is_err() { MIN_INTERVAL } else { LIFETIME });
            match outcome {
                Ok(mut found) => {
                    found.truncate(MAX_ADDRESSES);
                    // The address in use stays preferred, if it is still there.
                    if let Some(first) = known.addresses.first()
                        && let Some(place) = found.iter().position(|address| address == first)
                    {
                        found.rotate_left(place);
                    }
                    known.addresses = found;
                }
                // Old addresses are better than none.
                Err(error) => known.error = Some(error),
            }
        });
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("known", &self.known()).finish_non_exhaustive()
    }
}

impl fmt::Debug for FailureGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailureGuard").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn address(last: u8) -> SocketAddr {
        ([127, 0, 0, last], 9).into()
    }

    /// Lookups end with these in turn, each after a second, and then with none.
    fn target(ends: Vec<io::Result<Vec<SocketAddr>>>) -> (Resolver, Arc<AtomicUsize>) {
        let (ends, count) = (Mutex::new(ends.into_iter()), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&count);
        let target = Resolver::with_lookup(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let end = ends.lock().unwrap().next().unwrap_or_else(|| Ok(Vec::new()));
            async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                end
            }
        });
        (target, count)
    }

    fn failure() -> io::Result<Vec<SocketAddr>> {
        Err(io::ErrorKind::NotFound.into())
    }

    #[tokio::test(start_paused = true)]
    async fn one_lookup_serves_all_and_those_who_gave_up_do_not_end_it() {
        let (target, lookups) = target(vec![Ok(vec![address(1)])]);
        let gave_up = timeout(Duration::from_millis(500), target.address()).await;
        assert!(gave_up.is_err());
        let all = futures_util::future::join_all((0..100).map(|_| target.address())).await;
        assert!(all.into_iter().all(|found| found.unwrap() == address(1)));
        assert_eq!(lookups.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn it_looks_again_beside_the_requests_and_keeps_what_it_knows_when_that_fails() {
        let (target, lookups) = target(vec![Ok(vec![address(1)]), failure(), Ok(vec![address(2)])]);
        assert_eq!(target.address().await.unwrap(), address(1));
        tokio::time::advance(Duration::from_millis(29_999)).await;
        target.address().await.unwrap();
        assert_eq!(lookups.load(Ordering::Relaxed), 1);
        for (after, then, so_far) in [(Duration::from_millis(1), 1, 2), (MIN_INTERVAL, 2, 3), (MIN_INTERVAL, 2, 3)] {
            tokio::time::sleep(after).await;
            let start = Instant::now();
            target.address().await.unwrap();
            assert_eq!(start.elapsed(), Duration::ZERO);
            tokio::time::sleep(Duration::from_millis(1001)).await;
            assert_eq!((target.address().await.unwrap(), lookups.load(Ordering::Relaxed)), (address(then), so_far));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_without_addresses_is_not_asked_for_all_the_time() {
        let (target, lookups) = target(vec![failure(), Ok(Vec::new()), Ok(vec![address(1)])]);
        for _ in 0..10 {
            assert!(target.address().await.is_err());
        }
        assert_eq!(lookups.load(Ordering::Relaxed), 1);
        tokio::time::sleep(MIN_INTERVAL).await;
        assert!(target.address().await.is_err());
        tokio::time::sleep(MIN_INTERVAL).await;
        assert_eq!((target.address().await.unwrap(), lookups.load(Ordering::Relaxed)), (address(1), 3));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_of_no_use_is_left_and_others_are_looked_for() {
        let all = vec![address(1), address(2), address(3)];
        let (target, lookups) = target(vec![Ok(all.clone()), Ok(all), Ok(vec![address(4)])]);
        assert_eq!(target.address().await.unwrap(), address(1));
        for _ in 0..5 {
            target.avoid(address(1));
        }
        assert_eq!((target.address().await.unwrap(), lookups.load(Ordering::Relaxed)), (address(2), 1));
        // Found again, the one that is in use stays so.
        tokio::time::sleep(MIN_INTERVAL).await;
        target.address().await.unwrap();
        tokio::time::sleep(2 * MIN_INTERVAL).await;
        assert_eq!((target.address().await.unwrap(), lookups.load(Ordering::Relaxed)), (address(2), 2));
        target.avoid(address(2));
        assert_eq!(target.address().await.unwrap(), address(3));
        tokio::time::sleep(2 * MIN_INTERVAL).await;
        assert_eq!((target.address().await.unwrap(), lookups.load(Ordering::Relaxed)), (address(4), 3));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_suspected_and_not_cleared_is_avoided() {
        let (target, _) = target(vec![Ok(vec![address(1), address(2)])]);
        // Nothing is known yet, and so nothing suspected.
        drop(target.suspect(None));
        for (suspected, is_cleared, then) in
            [(Some(address(1)), true, 1), (None, true, 1), (Some(address(2)), false, 1), (None, false, 2)]
        {
            target.address().await.unwrap();
            let suspicion = target.suspect(suspected);
            if is_cleared {
                suspicion.clear();
            } else {
                drop(suspicion);
            }
            assert_eq!(target.address().await.unwrap(), address(then), "{suspected:?}, {is_cleared}");
        }
    }

    #[tokio::test]
    async fn names_and_addresses_of_both_families_are_found() {
        for name in ["localhost:7", "127.0.0.1:7", "[::1]:7"] {
            let found = Resolver::new(name).address().await.unwrap();
            assert!(found.ip().is_loopback() && found.port() == 7, "{name}: {found}");
        }
        assert!(Resolver::new("nobody.invalid:9").address().await.is_err());
    }
}
