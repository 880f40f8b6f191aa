//! A way to a server: a socket to one of its addresses, and the task that receives from it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::network::ClientSocket;
use super::pending::Pending;
use super::stats::Counts;
use super::transaction::PathView;
use crate::runtime::LogThrottle;
use crate::udp;

/// Errors in a row after which receiving pauses.
const FREE_ERRORS: u32 = 8;
/// Errors that are read in a row before they are reported.
const MAX_ERRORS_AT_ONCE: u32 = 64;
const PAUSE: Duration = Duration::from_millis(10);
/// Bytes that any datagram fits into.
const BUFFER_LEN: usize = 65_535;

/// An open path. Closed when the client and the last request that sent on it have dropped it.
pub(super) struct Path {
    /// Paths of a client are numbered as they are opened.
    pub(super) number: u64,
    pub(super) address: SocketAddr,
    /// The IP address that it sends from.
    pub(super) local_ip: Option<IpAddr>,
    link: Arc<Link>,
    receiving: AbortHandle,
}

/// What sending and receiving share.
struct Link {
    datagrams: Box<dyn ClientSocket>,
    /// Valid replies received on this path.
    valid_replies: AtomicU64,
    is_suspect: AtomicBool,
    /// The last error that the network reported.
    network_errors: watch::Sender<Option<io::Error>>,
}

impl Path {
    pub(super) fn new(
        number: u64,
        address: SocketAddr,
        datagrams: Box<dyn ClientSocket>,
        pending: Arc<Pending>,
        counts: Arc<Counts>,
    ) -> Self {
        let local_ip = datagrams.local_ip();
        let link = Arc::new(Link {
            datagrams,
            valid_replies: AtomicU64::new(0),
            is_suspect: AtomicBool::new(false),
            network_errors: watch::Sender::new(None),
        });
        let receiving = tokio::spawn(receive(Arc::clone(&link), address, pending, counts)).abort_handle();
        Self { number, address, local_ip, link, receiving }
    }

    /// Returns its number and address.
    pub(super) fn view(&self) -> PathView {
        PathView { number: self.number, address: self.address }
    }

    /// Returns how many valid replies came this way so far.
    pub(super) fn valid_replies(&self) -> u64 {
        self.link.valid_replies.load(Ordering::Relaxed)
    }

    /// Marks the path suspect, so that the next request takes another; the next valid reply clears
    /// it.
    pub(super) fn mark_suspect(&self) {
        self.link.is_suspect.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.link.is_suspect.load(Ordering::Relaxed)
    }

    /// Returns the MTU of the path, if the system knows it.
    pub(super) fn mtu(&self) -> Option<usize> {
        self.link.datagrams.path_mtu()
    }

    /// Returns whether packets of this length pass the path, as far as the system knows; false if
    /// it does not.
    pub(super) fn carries(&self, packet_len: usize) -> bool {
        self.mtu().is_some_and(|mtu| packet_len + udp::headers_len(self.address) <= mtu)
    }

    /// Returns the errors that the network reports from here on.
    pub(super) fn network_errors(&self) -> watch::Receiver<Option<io::Error>> {
        self.link.network_errors.subscribe()
    }

    pub(super) async fn send(&self, packet: &[u8], counts: &Counts) -> io::Result<()> {
        let mut outcome = self.link.datagrams.send(packet).await;
        if let Err(error) = outcome {
            // Reading a pending error of an earlier packet clears it.
            counts.send_errors.add();
            // The system's own refusal of a long packet looks like a report about an earlier one.
            if !udp::is_too_large(&error) {
                self.link.network_errors.send_replace(Some(error));
            }
            outcome = self.link.datagrams.send(packet).await;
        }
        match &outcome {
            Ok(()) => counts.datagrams_sent.add(),
            Err(_) => counts.send_errors.add(),
        }
        outcome
    }
}

impl Link {
    fn deliver(&self, packet: &mut [u8], pending: &Pending, counts: &Counts) {
        if pending.deliver(packet, counts) {
            self.valid_replies.fetch_add(1, Ordering::Relaxed);
            self.is_suspect.store(false, Ordering::Relaxed);
        }
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.receiving.abort();
    }
}

/// Receives until the path is closed. Errors do not end it: they may be wrong or forged.
async fn receive(link: Arc<Link>, address: SocketAddr, pending: Arc<Pending>, counts: Arc<Counts>) {
    let mut buffer = vec![0; BUFFER_LEN];
    let mut errors = 0;
    let mut too_long = LogThrottle::default();
    loop {
        match link.datagrams.recv(&mut buffer).await {
            Ok(len) => {
                errors = 0;
                link.deliver(buffer.get_mut(..len).unwrap_or_default(), &pending, &counts);
            }
            Err(mut error) => {
                counts.receive_errors.add();
                // Replies come before errors, so that a flood of errors delays none.
                let mut has_read_all = false;
                for _ in 0..MAX_ERRORS_AT_ONCE {
                    match link.datagrams.recv(&mut buffer).now_or_never() {
                        None => {
                            has_read_all = true;
                            break;
                        }
                        Some(Ok(len)) => link.deliver(buffer.get_mut(..len).unwrap_or_default(), &pending, &counts),
                        Some(Err(next)) => {
                            counts.receive_errors.add();
                            error = next;
                        }
                    }
                }
                tracing::debug!(%address, %error, "the network reports");
                if udp::is_too_large(&error) {
                    // The only trace of a one-way message that is lost so.
                    too_long.log(|| {
                        let path_mtu = link.datagrams.path_mtu();
                        tracing::warn!(%address, path_mtu, "the network reports that packets are too long for the path");
                    });
                }
                link.network_errors.send_replace(Some(error));
                errors += 1;
                if errors > FREE_ERRORS || !has_read_all {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}
