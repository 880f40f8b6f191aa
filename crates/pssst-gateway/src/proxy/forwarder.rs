//! Forwards the datagrams that arrive at one address, and sends the replies.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use pssst_net::runtime::{Heartbeat, Shutdown};
use pssst_net::udp::{BatchSocket, MAX_DATAGRAM, ReceiveBatch, SendBatch};
use pssst_net::{Client, Error};
use tracing::Instrument;

use super::stats::{Counters, Drop, add};
use crate::failure_log::FailureLog;

/// Datagrams that are received, or replies that are sent, at once.
const BATCH_LEN: usize = 32;
/// Pause after an error, so that a persistent one does not keep the processor busy.
const PAUSE: Duration = Duration::from_millis(10);

/// State that all forwarders of a proxy share.
pub(super) struct Shared {
    pub(super) client: ArcSwap<Client>,
    pub(super) counters: Counters,
    pub(super) log: FailureLog,
    pub(super) settings: Settings,
    pub(super) shutdown: Shutdown,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) max_in_flight: usize,
    pub(super) is_one_way: bool,
    pub(super) allows_other_hosts: bool,
}

/// Receives datagrams at one address.
pub(super) struct Forwarder {
    socket: BatchSocket,
    received: ReceiveBatch,
    replies: SendBatch<()>,
    shared: Arc<Shared>,
    heartbeat: Arc<Heartbeat>,
    in_flight: FuturesUnordered<Pin<Box<dyn Future<Output = Forwarded>>>>,
}

/// The end of a request.
struct Forwarded {
    peer: SocketAddr,
    local: Option<IpAddr>,
    start: Instant,
    outcome: Result<Option<Bytes>, Error>,
}

impl Forwarder {
    pub(super) fn new(socket: UdpSocket, shared: Arc<Shared>, heartbeat: Arc<Heartbeat>) -> io::Result<Self> {
        Ok(Self {
            socket: BatchSocket::new(socket)?,
            received: ReceiveBatch::new(BATCH_LEN, MAX_DATAGRAM),
            replies: SendBatch::new(),
            shared,
            heartbeat,
            in_flight: FuturesUnordered::new(),
        })
    }

    /// Forwards datagrams until the proxy is shut down, then finishes what it can.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut idle = Heartbeat::timer();
        loop {
            self.heartbeat.beat();
            tokio::select! {
                biased;
                () = shared.shutdown.requested() => break,
                Some(forwarded) = self.in_flight.next(), if !self.in_flight.is_empty() => self.finish(forwarded),
                received = self.socket.receive(&mut self.received) => if received.is_ok() {
                    self.take();
                } else {
                    add(&shared.counters.receive_errors);
                    tokio::time::sleep(PAUSE).await;
                },
                _ = idle.tick() => continue,
            }
            self.answer().await;
            // Timers and the client's own tasks have their turn.
            tokio::task::yield_now().await;
        }
        let deadline = shared.shutdown.deadline();
        while !self.in_flight.is_empty() {
            match tokio::time::timeout_at(deadline, self.in_flight.next()).await {
                Ok(Some(forwarded)) => self.finish(forwarded),
                _ => break,
            }
            self.answer().await;
        }
        (0..self.in_flight.len()).for_each(|_| shared.counters.dropped(Drop::Cancelled));
    }

    /// Begins to forward the datagrams that were received.
    fn take(&mut self) {
        let Shared { counters, settings, client, .. } = &*self.shared;
        let client = client.load_full();
        for datagram in self.received.datagrams() {
            add(&counters.received);
            let Some(message) = datagram.bytes.filter(|message| message.len() <= client.max_message_len()) else {
                counters.dropped(Drop::RequestTooLarge);
                continue;
            };
            if !settings.allows_other_hosts && !datagram.peer.ip().to_canonical().is_loopback() {
                counters.dropped(Drop::NotLoopback);
                continue;
            }
            if self.in_flight.len() >= settings.max_in_flight {
                counters.dropped(Drop::Overloaded);
                continue;
            }
            let (message, client) = (Bytes::copy_from_slice(message), Arc::clone(&client));
            let (peer, local, is_one_way) = (datagram.peer, datagram.local, settings.is_one_way);
            let span =
                tracing::debug_span!("request", otel.kind = "client", is_one_way, outcome = tracing::field::Empty);
            let start = Instant::now();
            let forwarding = async move {
                let outcome = forward(&client, message, is_one_way).await;
                tracing::Span::current().record("outcome", if outcome.is_ok() { "carried" } else { "failed" });
                Forwarded { peer, local, start, outcome }
            };
            self.in_flight.push(Box::pin(forwarding.instrument(span)));
        }
    }

    fn finish(&mut self, forwarded: Forwarded) {
        let counters = &self.shared.counters;
        match forwarded.outcome {
            Ok(Some(reply)) => {
                self.shared.log.succeeded();
                counters.replied_after(forwarded.start.elapsed());
                self.replies.push(forwarded.peer, forwarded.local, reply.len(), ()).copy_from_slice(&reply);
            }
            Ok(None) => add(&counters.one_way),
            Err(error @ Error::Timeout { .. }) => {
                let suite = self.shared.client.load().suite().number();
                self.shared.log.failed(&format_args!("{error}; the requests were of suite {suite:#06x}"));
                counters.dropped(Drop::TimedOut);
            }
            Err(Error::TooLarge { .. }) => counters.dropped(Drop::RequestTooLarge),
            Err(error) => {
                self.shared.log.failed(&error);
                counters.dropped(Drop::Failed);
            }
        }
    }

    /// Sends all replies that have arrived.
    async fn answer(&mut self) {
        while self.replies.len() < BATCH_LEN {
            let Some(Some(forwarded)) = self.in_flight.next().now_or_never() else { break };
            self.finish(forwarded);
        }
        if self.replies.is_empty() {
            return;
        }
        let counters = &self.shared.counters;
        let each = |(), outcome: io::Result<()>| match outcome {
            Ok(()) => add(&counters.replies),
            Err(_) => counters.dropped(Drop::SendFailed),
        };
        self.socket.send(&mut self.replies, each).await;
    }
}

async fn forward(client: &Client, message: Bytes, is_one_way: bool) -> Result<Option<Bytes>, Error> {
    if is_one_way { client.send(message).await.map(|()| None) } else { client.request(message).await.map(Some) }
}
