//! The addresses behind an upstream's name, looked up now and then.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long addresses are used without looking for others.
const LIFETIME: Duration = Duration::from_secs(30);
/// How long after a lookup the next one begins at the earliest.
const PAUSE: Duration = Duration::from_secs(1);
/// Addresses of a name that are used at most.
const MAX_ADDRESSES: usize = 16;

/// A host and a port, for all workers.
///
/// There is one lookup at a time, however many requests there are and however long it takes: the
/// system's own would each hold a thread while name servers are slow. Requests go on with what is
/// known, and wait for nothing but the first lookup.
pub(crate) struct UpstreamAddresses {
    look_up: LookUp,
    known: watch::Sender<Known>,
}

type LookUp = Box<dyn Fn() -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> + Send + Sync>;

#[derive(Default)]
struct Known {
    /// The preferred one first. Empty until something is known.
    addresses: Vec<SocketAddr>,
    is_looking: bool,
    /// When to look again; at once, if there is no such time.
    due: Option<Instant>,
    /// The last lookup's end.
    looked: Option<Instant>,
}

impl UpstreamAddresses {
    /// For `HOST:PORT`.
    pub(crate) fn new(name: String) -> Arc<Self> {
        Self::with(Box::new(move || {
            let name = name.clone();
            Box::pin(async move { Ok(tokio::net::lookup_host(name).await?.collect()) })
        }))
    }

    fn with(look_up: LookUp) -> Arc<Self> {
        Arc::new(Self { look_up, known: watch::Sender::default() })
    }

    /// Where to send to.
    pub(crate) async fn address(self: &Arc<Self>) -> io::Result<SocketAddr> {
        self.known(|known| known.addresses.first().copied()).await
    }

    async fn known<T>(self: &Arc<Self>, of: impl Fn(&Known) -> Option<T>) -> io::Result<T> {
        self.look_if_due();
        let mut changes = self.known.subscribe();
        let known = changes.wait_for(|known| !known.addresses.is_empty() || !known.is_looking).await;
        let found = known.ok().and_then(|known| of(&known));
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
    }

    /// Suspects an address of being of no use until that is cleared; the one that is preferred at
    /// present, if none is given.
    pub(crate) fn suspect(self: &Arc<Self>, address: Option<SocketAddr>) -> FailureGuard {
        let address = address.or_else(|| self.known.borrow().addresses.first().copied());
        FailureGuard { target: Arc::clone(self), address }
    }

    /// This address is of no use: the next one is preferred, and others are looked for.
    fn avoid(&self, address: SocketAddr) {
        self.known.send_if_modified(|known| {
            // Others that failed with it have said so already.
            if known.addresses.first() == Some(&address) {
                known.addresses.rotate_left(1);
            }
            known.due = known.looked.map(|looked| looked + PAUSE);
            false
        });
    }

    fn look_if_due(self: &Arc<Self>) {
        let now = Instant::now();
        let is_mine = self.known.send_if_modified(|known| {
            let is_due = !known.is_looking && known.due.is_none_or(|due| due <= now);
            known.is_looking |= is_due;
            is_due
        });
        if is_mine {
            // Apart from the request, which may be given up earlier.
            tokio::spawn(Lookup { target: Arc::clone(self), found: Vec::new() }.run());
        }
    }
}

/// What is held against an address while it is tried. If it is dropped, with a request whose time
/// is up for instance, the address is avoided: a machine that is gone says nothing.
pub(crate) struct FailureGuard {
    target: Arc<UpstreamAddresses>,
    address: Option<SocketAddr>,
}

impl FailureGuard {
    /// The address has shown that it is of use.
    pub(crate) fn clear(mut self) {
        self.address = None;
    }
}

impl Drop for FailureGuard {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            self.target.avoid(address);
        }
    }
}

/// A lookup. One that is dropped, with its worker for instance, has found nothing.
struct Lookup {
    target: Arc<UpstreamAddresses>,
    found: Vec<SocketAddr>,
}

impl Lookup {
    async fn run(mut self) {
        match (self.target.look_up)().await {
            Ok(found) => self.found = found,
            Err(error) => tracing::debug!(%error, "the upstream's name cannot be looked up"),
        }
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        let mut found = std::mem::take(&mut self.found);
        found.truncate(MAX_ADDRESSES);
        self.target.known.send_modify(|known| {
            let now = Instant::now();
            known.is_looking = false;
            known.looked = Some(now);
            known.due = Some(now + if found.is_empty() { PAUSE } else { LIFETIME });
            // The one that is in use stays so, if it is still there. What was known is better than
            // nothing.
            if let Some(first) = known.addresses.first()
                && let Some(place) = found.iter().position(|address| address == first)
            {
                found.rotate_left(place);
            }
            if !found.is_empty() {
                known.addresses = found;
            }
        });
    }
}

/// A target as a resolver for HTTP, which asks for the host of its URL and nothing else.
pub(crate) struct HttpResolver(pub(crate) Arc<UpstreamAddresses>);

impl Resolve for HttpResolver {
    fn resolve(&self, _: Name) -> Resolving {
        let target = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses =
                target.known(|known| Some(known.addresses.clone()).filter(|found| !found.is_empty())).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

impl fmt::Debug for UpstreamAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamAddresses").field("addresses", &self.known.borrow().addresses).finish_non_exhaustive()
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

    impl UpstreamAddresses {
        /// A name that has these addresses.
        pub(crate) fn of(addresses: Vec<SocketAddr>) -> Arc<Self> {
            Self::with(Box::new(move || {
                let addresses = addresses.clone();
                Box::pin(async { Ok(addresses) })
            }))
        }
    }

    /// Lookups end with these in turn, each after a second, and then with none.
    fn target(ends: Vec<io::Result<Vec<SocketAddr>>>) -> (Arc<UpstreamAddresses>, Arc<AtomicUsize>) {
        let (ends, count) = (Mutex::new(ends.into_iter()), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&count);
        let target = UpstreamAddresses::with(Box::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let end = ends.lock().unwrap().next().unwrap_or_else(|| Ok(Vec::new()));
            Box::pin(async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                end
            })
        }));
        (target, count)
    }

    fn failure() -> io::Result<Vec<SocketAddr>> {
        Err(io::ErrorKind::NotFound.into())
    }

    #[tokio::test(start_paused = true)]
    async fn one_lookup_serves_all_and_those_who_gave_up_do_not_end_it() {
        let (target, lookups) = target(vec![Ok(vec![address(1)])]);
        let gave_up = tokio::time::timeout(Duration::from_millis(500), target.address()).await;
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
        for (after, then, so_far) in [(Duration::from_millis(1), 1, 2), (PAUSE, 2, 3), (PAUSE, 2, 3)] {
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
        tokio::time::sleep(PAUSE).await;
        assert!(target.address().await.is_err());
        tokio::time::sleep(PAUSE).await;
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
        tokio::time::sleep(PAUSE).await;
        target.address().await.unwrap();
        tokio::time::sleep(2 * PAUSE).await;
        assert_eq!((target.address().await.unwrap(), lookups.load(Ordering::Relaxed)), (address(2), 2));
        target.avoid(address(2));
        assert_eq!(target.address().await.unwrap(), address(3));
        tokio::time::sleep(2 * PAUSE).await;
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
            let found = UpstreamAddresses::new(name.into()).address().await.unwrap();
            assert!(found.ip().is_loopback() && found.port() == 7, "{name}: {found}");
        }
        assert!(UpstreamAddresses::new("nobody.invalid:9".into()).address().await.is_err());
    }
}
