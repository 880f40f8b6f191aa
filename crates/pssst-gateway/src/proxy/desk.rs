//! Where a proxy's datagrams come in at one address, and replies go out.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use pssst_net::udp::{BatchSocket, MAX_DATAGRAM, ReceiveBatch, SendBatch};
use pssst_net::{Client, Error, Turns};
use tokio::time::MissedTickBehavior;
use tracing::Instrument;

use super::Shared;
use super::counts::{Drop, add};

/// Datagrams that are received, or replies that are sent, at once.
const BATCH_LEN: usize = 32;
/// How long to wait after an error, lest one that stays keeps the processor busy.
const PAUSE: Duration = Duration::from_millis(10);
/// How often a desk turns that has nothing to do.
const IDLE_TURN: Duration = Duration::from_secs(1);

pub(super) struct Desk {
    socket: BatchSocket,
    received: ReceiveBatch,
    replies: SendBatch<()>,
    shared: Arc<Shared>,
    turns: Arc<Turns>,
    carried: FuturesUnordered<Pin<Box<dyn Future<Output = Carried>>>>,
}

/// A datagram that is through.
struct Carried {
    peer: SocketAddr,
    local: Option<IpAddr>,
    outcome: Result<Option<Bytes>, Error>,
}

impl Desk {
    pub(super) fn new(socket: UdpSocket, shared: Arc<Shared>, turns: Arc<Turns>) -> io::Result<Self> {
        Ok(Self {
            socket: BatchSocket::new(socket)?,
            received: ReceiveBatch::new(BATCH_LEN, MAX_DATAGRAM),
            replies: SendBatch::new(),
            shared,
            turns,
            carried: FuturesUnordered::new(),
        })
    }

    /// Carries datagrams until the proxy is to stop, then finishes what it can.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut idle = tokio::time::interval(IDLE_TURN);
        idle.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.turns.turn();
            tokio::select! {
                biased;
                () = shared.stop.requested.cancelled() => break,
                Some(carried) = self.carried.next(), if !self.carried.is_empty() => self.finish(carried),
                received = self.socket.receive(&mut self.received) => if received.is_ok() {
                    self.take();
                } else {
                    add(&shared.counts.receive_errors);
                    tokio::time::sleep(PAUSE).await;
                },
                _ = idle.tick() => continue,
            }
            self.answer().await;
            // Timers and the client's own tasks have their turn.
            tokio::task::yield_now().await;
        }
        let deadline = shared.stop.deadline();
        while !self.carried.is_empty() {
            match tokio::time::timeout_at(deadline, self.carried.next()).await {
                Ok(Some(carried)) => self.finish(carried),
                _ => break,
            }
            self.answer().await;
        }
        (0..self.carried.len()).for_each(|_| shared.counts.dropped(Drop::Abandoned));
    }

    /// Sends what was received on its way.
    fn take(&mut self) {
        let Shared { counts, terms, client, .. } = &*self.shared;
        let client = client.load_full();
        for datagram in self.received.datagrams() {
            add(&counts.received);
            let Some(message) = datagram.bytes.filter(|message| message.len() <= client.max_message_len()) else {
                counts.dropped(Drop::TooLong);
                continue;
            };
            if !terms.allows_other_hosts && !datagram.peer.ip().to_canonical().is_loopback() {
                counts.dropped(Drop::NotLoopback);
                continue;
            }
            if self.carried.len() >= terms.max_in_flight {
                counts.dropped(Drop::Overloaded);
                continue;
            }
            let (message, client) = (Bytes::copy_from_slice(message), Arc::clone(&client));
            let (peer, local, is_one_way) = (datagram.peer, datagram.local, terms.is_one_way);
            let span =
                tracing::debug_span!("request", otel.kind = "client", is_one_way, outcome = tracing::field::Empty);
            let carry = async move {
                let outcome = carry(&client, message, is_one_way).await;
                tracing::Span::current().record("outcome", if outcome.is_ok() { "carried" } else { "failed" });
                Carried { peer, local, outcome }
            };
            self.carried.push(Box::pin(carry.instrument(span)));
        }
    }

    fn finish(&mut self, carried: Carried) {
        let counts = &self.shared.counts;
        match carried.outcome {
            Ok(Some(reply)) => {
                self.replies.push(carried.peer, carried.local, reply.len(), ()).copy_from_slice(&reply);
            }
            Ok(None) => add(&counts.one_way),
            Err(Error::Timeout { .. }) => counts.dropped(Drop::TimedOut),
            Err(Error::TooLarge { .. }) => counts.dropped(Drop::TooLong),
            Err(error) => {
                tracing::debug!(%error, "a datagram could not be carried");
                counts.dropped(Drop::Failed);
            }
        }
    }

    /// Hands out all replies that have come.
    async fn answer(&mut self) {
        while self.replies.len() < BATCH_LEN {
            let Some(Some(carried)) = self.carried.next().now_or_never() else { break };
            self.finish(carried);
        }
        if self.replies.is_empty() {
            return;
        }
        let counts = &self.shared.counts;
        let each = |(), outcome: io::Result<()>| match outcome {
            Ok(()) => add(&counts.replies),
            Err(_) => counts.dropped(Drop::SendFailed),
        };
        self.socket.send(&mut self.replies, each).await;
    }
}

async fn carry(client: &Client, message: Bytes, is_one_way: bool) -> Result<Option<Bytes>, Error> {
    if is_one_way { client.send(message).await.map(|()| None) } else { client.request(message).await.map(Some) }
}
