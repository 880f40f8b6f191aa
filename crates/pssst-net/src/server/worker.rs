//! One worker: its socket, its batch, its handler. It shares nothing that changes often with the others.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use pssst::{BATCH_LEN, KeyCheck, OVERHEAD, PublicKey, ReplySealer};
use tokio::time::{Instant, MissedTickBehavior};

use super::handler::{Failure, Finished, Handle};
use super::shared::{Serving, Shared};
use super::stats::{Outcome, WorkerCounts};
use super::{Handler, Request};
use crate::log::Seldom;
use crate::memo::{Claim, Entry};
use crate::time::nanos;
use crate::udp::{BatchSocket, ReceiveBatch, SendBatch};

#[cfg(test)]
mod tests;

/// What a worker receives from and sends to. The server's is a [`BatchSocket`]; tests have a network of their own.
pub(crate) trait Datagrams {
    async fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<()>;
    fn try_receive(&self, batch: &mut ReceiveBatch) -> io::Result<()>;
    async fn send<T>(&mut self, batch: &mut SendBatch<T>, each: impl FnMut(T, io::Result<()>));
}

impl Datagrams for BatchSocket {
    async fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<()> {
        Self::receive(self, batch).await
    }

    fn try_receive(&self, batch: &mut ReceiveBatch) -> io::Result<()> {
        Self::try_receive(self, batch)
    }

    async fn send<T>(&mut self, batch: &mut SendBatch<T>, each: impl FnMut(T, io::Result<()>)) {
        Self::send(self, batch, each).await;
    }
}

/// Datagrams received at once at most: what is worked on together.
const RECEIVE_LEN: usize = BATCH_LEN;
/// Errors in a row after which there is a pause.
const FREE_FAILURES: u32 = 8;
/// The longest such pause.
const MAX_PAUSE: Duration = Duration::from_millis(100);
/// How often a worker turns that has nothing to do.
const IDLE_TURN: Duration = Duration::from_secs(1);

pub(crate) struct Worker<S> {
    socket: S,
    received: ReceiveBatch,
    desk: Desk,
}

/// Where requests are answered: all of a worker but what it receives from and into.
struct Desk {
    shared: Arc<Shared>,
    counts: Arc<WorkerCounts>,
    handlers: Handlers,
    replies: SendBatch<Sealed>,
    in_flight: usize,
    troubles: Troubles,
}

/// Where a packet came from.
#[derive(Clone, Copy, Debug)]
struct Source {
    peer: SocketAddr,
    local: Option<IpAddr>,
    len: usize,
}

/// What is needed to answer a request that a handler has.
pub(super) struct Ticket {
    sealer: ReplySealer,
    source: Source,
    received: Instant,
    /// When the handler was given it.
    handed: Instant,
    /// Bytes of the longest reply packet.
    max_reply: usize,
    claim: Option<Claim>,
}

/// A packet that is ready to be sent.
struct Sealed {
    outcome: Outcome,
    received: Instant,
    len: usize,
}

/// What is worth a line in a log, now and then.
#[derive(Default)]
struct Troubles {
    receive: Seldom,
    send: Seldom,
    too_large: Seldom,
    overload: Seldom,
}

impl<S: Datagrams> Worker<S> {
    pub(crate) fn new(socket: S, shared: Arc<Shared>, counts: Arc<WorkerCounts>) -> Self {
        let received = ReceiveBatch::new(RECEIVE_LEN, shared.limits.datagram);
        let handlers = Handlers::new(&shared.handler.load());
        let troubles = Troubles::default();
        Self {
            socket,
            received,
            desk: Desk { shared, counts, handlers, replies: SendBatch::new(), in_flight: 0, troubles },
        }
    }

    /// Serves until the server is to stop, then finishes what it can.
    pub(crate) async fn run(mut self) {
        let stop = self.desk.shared.stop.clone();
        let mut failures = 0_u32;
        let mut idle = tokio::time::interval(IDLE_TURN);
        idle.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.desk.counts.turns.turn();
            let received = tokio::select! {
                biased;
                () = stop.requested() => break,
                finished = self.desk.handlers.next_finished(), if self.desk.in_flight > 0 => {
                    self.desk.finish(finished);
                    self.socket.try_receive(&mut self.received)
                }
                received = self.socket.receive(&mut self.received) => received,
                _ = idle.tick() => continue,
            };
            match received {
                Ok(()) => {
                    failures = 0;
                    self.desk.open(&mut self.received);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Whatever the network complains of, a client that is gone for instance, is no reason to end.
                Err(error) => {
                    self.desk.counts.receive_errors.add(1);
                    self.desk.troubles.receive.say(|| tracing::warn!(%error, "cannot receive; going on"));
                    failures = failures.saturating_add(1);
                    if let Some(pause) = pause_after(failures) {
                        tokio::time::sleep(pause).await;
                    }
                }
            }
            self.answer().await;
            if self.desk.in_flight > 0 {
                // Timers and tasks of the handlers have their turn, however much there is to receive.
                tokio::task::yield_now().await;
            }
        }
        self.wind_up().await;
    }

    /// Takes what handlers have finished, and sends all that is sealed.
    async fn answer(&mut self) {
        self.desk.collect();
        while !self.desk.replies.is_empty() {
            self.flush().await;
            self.desk.collect();
        }
    }

    async fn flush(&mut self) {
        let Desk { counts, replies, troubles, .. } = &mut self.desk;
        let mut sent_bytes = 0;
        let mut times = [Duration::ZERO; 2 * BATCH_LEN];
        let mut sent = 0;
        let start = Instant::now();
        self.socket
            .send(replies, |sealed, outcome| match outcome {
                Ok(()) => {
                    counts.count(sealed.outcome);
                    sent_bytes += sealed.len as u64;
                    if let Some(time) = times.get_mut(sent) {
                        *time = start - sealed.received;
                        sent += 1;
                    }
                }
                Err(error) => {
                    counts.count(Outcome::SendFailed);
                    troubles.send.say(|| tracing::warn!(%error, "cannot send a reply; going on"));
                }
            })
            .await;
        let sending = start.elapsed();
        for time in times.iter().take(sent) {
            counts.turnaround.record(nanos(*time + sending));
        }
        counts.sent_bytes.add(sent_bytes);
    }

    /// Reads what waits in the socket, unless another process goes on with it, and finishes what was accepted, within the
    /// time that is given.
    async fn wind_up(&mut self) {
        let deadline = self.desk.shared.stop.deadline();
        // What waits in the socket now is among these. Clients that go on and on are left.
        let mut waiting = if self.desk.shared.is_inherited { 0 } else { self.desk.shared.max_waiting };
        while waiting > 0 && Instant::now() < deadline {
            match self.socket.try_receive(&mut self.received) {
                Ok(()) => self.desk.open(&mut self.received),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.desk.counts.receive_errors.add(1),
            }
            waiting = waiting.saturating_sub(self.received.len().max(1));
            self.answer().await;
        }
        while self.desk.in_flight > 0 {
            match tokio::time::timeout_at(deadline, self.desk.handlers.next_finished()).await {
                Ok(finished) => self.desk.finish(finished),
                Err(_) => self.desk.abandon(),
            }
            self.answer().await;
        }
    }
}

/// Errors that are pending on a socket go away by being read, so the first few in a row cost nothing.
fn pause_after(failures: u32) -> Option<Duration> {
    let more = failures.checked_sub(FREE_FAILURES)?;
    Some(Duration::from_millis(1 << more.min(10)).min(MAX_PAUSE))
}

impl Desk {
    /// Opens a batch and gives its requests to the handler.
    fn open(&mut self, batch: &mut ReceiveBatch) {
        let received = Instant::now();
        self.counts.received.add(batch.len() as u64);
        self.counts.batch_size.record(batch.len() as u64);
        let shared = Arc::clone(&self.shared);
        self.handlers.use_newest(&shared.handler.load());
        let serving = shared.serving.load();

        let mut bytes = 0;
        let mut sources = Vec::with_capacity(batch.len());
        let mut packets = Vec::with_capacity(batch.len());
        for datagram in batch.datagrams() {
            let Some(packet) = datagram.bytes else {
                self.refuse(datagram.peer, Outcome::TooLong);
                continue;
            };
            bytes += packet.len() as u64;
            if serving.rate_limiter.as_ref().is_some_and(|limit| !limit.admits(datagram.peer.ip(), received.into_std()))
            {
                self.refuse(datagram.peer, Outcome::RateLimited);
                continue;
            }
            sources.push(Source { peer: datagram.peer, local: datagram.local, len: packet.len() });
            packets.push(packet);
        }
        self.counts.received_bytes.add(bytes);

        // The caller's code may panic, and that must end no worker: then nobody is let in.
        let check = |key: &PublicKey| {
            catch_unwind(AssertUnwindSafe(|| (serving.check)(key))).unwrap_or(KeyCheck::RejectUnknown)
        };
        serving.server.open_batch(packets, check, |place, outcome| {
            let source = sources[place];
            match outcome {
                Ok(request) => self.accept(&serving, request, source, received),
                Err(cause) => self.refuse(source.peer, Outcome::Refused(cause)),
            }
        });
    }

    fn refuse(&self, peer: SocketAddr, outcome: Outcome) {
        tracing::trace!(%peer, cause = outcome.name(), "refused");
        self.counts.count(outcome);
    }

    /// Has a request answered: from the memo, by the handler, or not at all.
    fn accept(&mut self, serving: &Serving, request: pssst::Request<'_>, source: Source, received: Instant) {
        let suite = request.suite();
        let key_place = request.server_key_index();
        let (message, client_key, sealer) = request.into_parts();
        let is_authenticated = client_key.is_some();
        let max_reply = serving.amplification.max_reply(source.len, is_authenticated);
        if is_authenticated { &self.counts.authenticated } else { &self.counts.anonymous }.add(1);
        self.counts.by_key[key_place].add(1);

        let mut claim = None;
        if let Some(memo) = self.shared.memo_for(suite) {
            match memo.enter(sealer.exchange_value(), <[u8]>::to_vec) {
                Entry::New(new) => claim = Some(new),
                Entry::Repeated(reply) => return self.repeat(&reply, source, max_reply, received),
                Entry::InProgress => return self.counts.count(Outcome::InProgress),
            }
        }
        if self.in_flight >= self.shared.limits.in_flight {
            self.troubles.overload.say(|| {
                tracing::warn!(in_flight = self.in_flight, "as many requests in flight as may be; dropping the newest");
            });
            return self.counts.count(Outcome::Overloaded);
        }

        let request = Request {
            message: Bytes::copy_from_slice(message),
            client_key,
            peer: SocketAddr::new(source.peer.ip().to_canonical(), source.peer.port()),
            received: received.into_std(),
            server_key: serving.key(key_place),
            suite,
            exchange_value: *sealer.exchange_value(),
        };
        let ticket = Ticket { sealer, source, received, handed: Instant::now(), max_reply, claim };
        self.in_flight += 1;
        if let Some(finished) = self.handlers.current.start(request, ticket) {
            self.finish(finished);
        }
    }

    /// Sends the bytes of an earlier reply once more.
    fn repeat(&mut self, reply: &[u8], source: Source, max_reply: usize, received: Instant) {
        if reply.len() > max_reply {
            return self.counts.count(Outcome::ReplyTooLarge);
        }
        let sealed = Sealed { outcome: Outcome::Repeated, received, len: reply.len() };
        self.replies.push(source.peer, source.local, reply.len(), sealed).copy_from_slice(reply);
    }

    /// Seals what a handler answered.
    fn finish(&mut self, finished: Finished) {
        self.in_flight -= 1;
        let Ticket { sealer, source, received, handed, max_reply, claim } = finished.ticket;
        self.counts.handler.record(nanos(handed.elapsed()));
        let reply = match finished.outcome {
            Ok(Some(reply)) => reply,
            Ok(None) => return self.counts.count(Outcome::Unanswered),
            Err(Failure::TimedOut) => return self.counts.count(Outcome::HandlerTimedOut),
            Err(Failure::Overloaded) => return self.counts.count(Outcome::Overloaded),
            Err(Failure::Failed) => return self.counts.count(Outcome::HandlerFailed),
        };
        let len = reply.message().len().saturating_add(OVERHEAD);
        if len > max_reply {
            self.troubles.too_large.say(|| {
                tracing::warn!(
                    len,
                    max_reply,
                    "a reply is too large beside its request, or for a datagram, and is not sent: pad the request, or \
                     raise the limit on amplification"
                );
            });
            return self.counts.count(Outcome::ReplyTooLarge);
        }
        let sealed = Sealed { outcome: Outcome::Replied, received, len };
        let packet = self.replies.push(source.peer, source.local, len, sealed);
        match (sealer.seal(reply.message(), packet), claim) {
            (Ok(packet), Some(claim)) => claim.finish(packet),
            (Ok(_), None) => {}
            // It has all the room that it needs, so this is never reached.
            (Err(_), _) => {
                self.replies.pop();
                self.counts.count(Outcome::ReplyTooLarge);
            }
        }
    }

    /// Takes what handlers have finished by now, as much as is sent together.
    fn collect(&mut self) {
        while self.in_flight > 0 && self.replies.len() < BATCH_LEN {
            let Some(finished) = self.handlers.next_finished().now_or_never() else { break };
            self.finish(finished);
        }
    }

    /// Gives up what handlers have not finished.
    fn abandon(&mut self) {
        for ticket in self.handlers.abandon() {
            drop(ticket);
            self.in_flight -= 1;
            self.counts.count(Outcome::Abandoned);
        }
    }
}

/// The handler that takes requests, and those that were replaced and still have some.
struct Handlers {
    newest: Handler,
    current: Box<dyn Handle>,
    replaced: Vec<Box<dyn Handle>>,
}

impl Handlers {
    fn new(handler: &Handler) -> Self {
        Self { newest: handler.clone(), current: handler.make(), replaced: Vec::new() }
    }

    fn use_newest(&mut self, newest: &Handler) {
        if !self.newest.is(newest) {
            self.newest = newest.clone();
            // The caller's code may panic. What works then goes on.
            if let Ok(made) = catch_unwind(AssertUnwindSafe(|| newest.make())) {
                self.replaced.push(mem::replace(&mut self.current, made));
            } else {
                tracing::error!("the new handler panicked as it was made; the old one stays");
            }
        }
        self.replaced.retain(|handler| handler.in_flight() > 0);
    }

    async fn next_finished(&mut self) -> Finished {
        poll_fn(|cx| self.poll_finished(cx)).await
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<Finished> {
        let mut all = std::iter::once(&mut self.current).chain(&mut self.replaced);
        all.find_map(|handler| match handler.poll_finished(cx) {
            Poll::Ready(finished) => Some(Poll::Ready(finished)),
            Poll::Pending => None,
        })
        .unwrap_or(Poll::Pending)
    }

    fn abandon(&mut self) -> Vec<Ticket> {
        let all = std::iter::once(&mut self.current).chain(&mut self.replaced);
        all.flat_map(|handler| handler.abandon()).collect()
    }
}
