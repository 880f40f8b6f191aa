//! One worker: its socket, its batch, its handler. It shares nothing that changes often with the
//! others.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use pssst::{BATCH_LEN, ClientCheck, ClientClaim, KeyCheck, Refusal, ReplySealer, SharedSecret, SysRng};
use tokio::time::Instant;

use super::config::{ActiveConfig, OnUndecrypted};
use super::context::{Failure, Finished, ReplyContext, Source};
use super::handlers::Handlers;
use super::shared::Shared;
use super::stats::{DatagramOutcome, WorkerCounts};
use super::{Reply, Request};
use crate::reply_cache::Entry;
use crate::runtime::{Heartbeat, LogThrottle};
use crate::time::nanos;
use crate::udp::{BatchSocket, ReceiveBatch, SendBatch};
use crate::wiping::on_wiped_stack;

#[cfg(test)]
mod tests;

/// Socket of a worker. The server's is a [`BatchSocket`]; tests have a
/// network of their own.
pub(crate) trait ServerSocket {
    async fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<()>;
    fn try_receive(&self, batch: &mut ReceiveBatch) -> io::Result<()>;
    async fn send<T>(&mut self, batch: &mut SendBatch<T>, each: impl FnMut(T, io::Result<()>));
}

impl ServerSocket for BatchSocket {
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

pub(crate) struct Worker<S> {
    socket: S,
    received: ReceiveBatch,
    heartbeat: Arc<Heartbeat>,
    processor: RequestProcessor,
}

/// A worker's state except its socket and receive buffers, which are borrowed separately.
struct RequestProcessor {
    shared: Arc<Shared>,
    counts: Arc<WorkerCounts>,
    handlers: Handlers,
    replies: SendBatch<Sealed>,
    fresh: Vec<FreshReply>,
    in_flight: usize,
    warnings: Warnings,
}

/// A packet that is ready to be sent.
struct Sealed {
    outcome: DatagramOutcome,
    peer: SocketAddr,
    received: Instant,
    len: usize,
}

/// A fresh reply, which is sealed together with others.
struct FreshReply {
    sealer: Box<ReplySealer>,
    reply: Reply,
    source: Source,
    received: Instant,
    len: usize,
}

/// Rate-limited warnings.
#[derive(Default)]
struct Warnings {
    receive: LogThrottle,
    send: LogThrottle,
    too_large: LogThrottle,
    conflict: LogThrottle,
    overload: LogThrottle,
}

impl<S: ServerSocket> Worker<S> {
    pub(crate) fn new(socket: S, shared: Arc<Shared>, counts: Arc<WorkerCounts>, heartbeat: Arc<Heartbeat>) -> Self {
        let received = ReceiveBatch::new(RECEIVE_LEN, shared.limits.datagram);
        let handlers = Handlers::new(shared.config.load_full());
        let warnings = Warnings::default();
        Self {
            socket,
            received,
            heartbeat,
            processor: RequestProcessor {
                shared,
                counts,
                handlers,
                replies: SendBatch::new(),
                fresh: Vec::new(),
                in_flight: 0,
                warnings,
            },
        }
    }

    /// Serves until the server is to stop, then finishes what it can.
    pub(crate) async fn run(mut self) {
        let shutdown = self.processor.shared.shutdown.clone();
        let mut failures = 0_u32;
        let mut idle = Heartbeat::timer();
        loop {
            self.heartbeat.beat();
            let received = tokio::select! {
                biased;
                () = shutdown.requested() => break,
                finished = self.processor.handlers.next_finished(), if self.processor.in_flight > 0 => {
                    on_wiped_stack(|| self.processor.finish(finished));
                    self.socket.try_receive(&mut self.received)
                }
                received = self.socket.receive(&mut self.received) => received,
                _ = idle.tick() => {
                    // So that the keys of an old configuration are wiped though nothing comes.
                    self.processor.configure();
                    continue;
                }
            };
            match received {
                Ok(()) => {
                    failures = 0;
                    self.processor.open(&mut self.received);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // An error of the network, such as an unreachable client, does not end the worker.
                Err(error) => {
                    self.processor.counts.receive_errors.add(1);
                    self.processor.warnings.receive.log(|| tracing::warn!(%error, "cannot receive"));
                    failures = failures.saturating_add(1);
                    if let Some(pause) = pause_after(failures) {
                        tokio::time::sleep(pause).await;
                    }
                }
            }
            self.answer().await;
            if self.processor.in_flight > 0 {
                // Timers and tasks of the handlers have their turn, however much there is to
                // receive.
                tokio::task::yield_now().await;
            }
        }
        self.drain().await;
    }

    /// Takes what handlers have finished, and sends all that is sealed.
    async fn answer(&mut self) {
        self.processor.collect();
        while !self.processor.replies.is_empty() {
            self.flush().await;
            self.processor.collect();
        }
    }

    async fn flush(&mut self) {
        let RequestProcessor { counts, replies, warnings, .. } = &mut self.processor;
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
                    counts.count(DatagramOutcome::SendFailed);
                    let Sealed { peer, len, .. } = sealed;
                    warnings.send.log(|| tracing::warn!(%peer, len, %error, "cannot send a reply"));
                }
            })
            .await;
        let sending = start.elapsed();
        for time in times.iter().take(sent) {
            counts.request_duration.record(nanos(*time + sending));
        }
        counts.sent_bytes.add(sent_bytes);
    }

    /// Reads what waits in the socket, unless another process continues with it, and finishes what
    /// was accepted, within the time that is given.
    async fn drain(&mut self) {
        let deadline = self.processor.shared.shutdown.deadline();
        // These include the packets that wait in the socket now. Packets of clients that keep
        // sending are left.
        let mut waiting = if self.processor.shared.is_inherited { 0 } else { self.processor.shared.max_waiting };
        while waiting > 0 && Instant::now() < deadline {
            match self.socket.try_receive(&mut self.received) {
                Ok(()) => self.processor.open(&mut self.received),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.processor.counts.receive_errors.add(1),
            }
            waiting = waiting.saturating_sub(self.received.len().max(1));
            self.answer().await;
        }
        while self.processor.in_flight > 0 {
            match tokio::time::timeout_at(deadline, self.processor.handlers.next_finished()).await {
                Ok(finished) => on_wiped_stack(|| self.processor.finish(finished)),
                Err(_) => self.processor.abandon(),
            }
            self.answer().await;
        }
    }
}

/// The caller's check. Its code may panic, and that must end no worker: then no request is
/// admitted.
struct Guarded<'a>(&'a (dyn ClientCheck + Send + Sync));

impl ClientCheck for Guarded<'_> {
    fn check(&self, claim: &ClientClaim<'_>) -> KeyCheck {
        catch_unwind(AssertUnwindSafe(|| self.0.check(claim))).unwrap_or(KeyCheck::RejectUnknown)
    }

    fn look_up(&self, claim: &ClientClaim<'_>) -> SharedSecret {
        catch_unwind(AssertUnwindSafe(|| self.0.look_up(claim))).unwrap_or(SharedSecret::Unknown)
    }

    fn allows_unknown_clients(&self) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.0.allows_unknown_clients())).unwrap_or(false)
    }
}

/// Shows the datagrams at these places, which are in order.
fn show(batch: &mut ReceiveBatch, places: &[usize], offer: &OnUndecrypted) {
    let mut places = places.iter().peekable();
    for (place, datagram) in batch.datagrams().enumerate() {
        if places.next_if_eq(&&place).is_some()
            && let Some(packet) = datagram.bytes
        {
            // The caller's code may panic, and that must end no worker.
            drop(catch_unwind(AssertUnwindSafe(|| offer(packet))));
        }
    }
}

/// Errors that are pending on a socket go away by being read, so the first few in a row cost
/// nothing.
fn pause_after(failures: u32) -> Option<Duration> {
    let more = failures.checked_sub(FREE_FAILURES)?;
    Some(Duration::from_millis(1 << more.min(10)).min(MAX_PAUSE))
}

impl RequestProcessor {
    /// Takes the newest configuration, and returns the one to serve under.
    fn configure(&mut self) -> Arc<ActiveConfig> {
        self.handlers.configure(&self.shared.config.load(), &self.counts)
    }

    /// Opens a batch and gives its requests to the handler. The stack keeps nothing of it.
    fn open(&mut self, batch: &mut ReceiveBatch) {
        let received = Instant::now();
        self.counts.received.add(batch.len() as u64);
        self.counts.batch_size.record(batch.len() as u64);
        let config = self.configure();

        let mut bytes = 0;
        let mut sources = Vec::with_capacity(batch.len());
        let mut packets = Vec::with_capacity(batch.len());
        for (place, datagram) in batch.datagrams().enumerate() {
            let Some(packet) = datagram.bytes else {
                self.refuse(datagram.peer, DatagramOutcome::RequestTooLarge);
                continue;
            };
            bytes += packet.len() as u64;
            if config.rate_limiter().is_some_and(|limit| !limit.admits(datagram.peer.ip(), received.into_std())) {
                self.refuse(datagram.peer, DatagramOutcome::RateLimited);
                continue;
            }
            sources.push(Source { peer: datagram.peer, local: datagram.local, len: packet.len(), place });
            packets.push(packet);
        }
        self.counts.received_bytes.add(bytes);

        let check = Guarded(config.client_check());
        let is_alone = packets.len() == 1;
        let mut undecrypted = Vec::new();
        let open = || {
            config.server().open_batch(packets, &check, |place, outcome| {
                let source = sources[place];
                match outcome {
                    Ok(request) => self.accept(&config, request, source, received),
                    Err(cause) => {
                        if cause == Refusal::DecryptFailed && config.undecrypted().is_some() {
                            undecrypted.push(source.place);
                        }
                        self.refuse(source.peer, DatagramOutcome::Refused(cause));
                    }
                }
            });
        };
        // For several packets it wipes the stack itself, below all that it calls.
        if is_alone {
            on_wiped_stack(open);
        } else {
            open();
        }
        if let Some(offer) = config.undecrypted().filter(|_| !undecrypted.is_empty()) {
            show(batch, &undecrypted, offer);
        }
    }

    fn refuse(&self, peer: SocketAddr, outcome: DatagramOutcome) {
        tracing::trace!(%peer, cause = outcome.name(), "refused");
        self.counts.count(outcome);
    }

    /// Has a request answered: from the reply cache, by the handler, or not at all.
    fn accept(&mut self, config: &ActiveConfig, request: pssst::Request<'_>, source: Source, received: Instant) {
        let (suite, has_psk) = (request.suite(), request.has_psk());
        let key_place = request.server_key_index();
        let (message, client_key, sealer) = request.into_parts();
        let is_authenticated = client_key.is_some();
        let max_reply = config.max_reply(source.len, is_authenticated);
        if is_authenticated { &self.counts.authenticated } else { &self.counts.anonymous }.add(1);
        if let Some(count) = self.counts.by_key.get(config.count_place(key_place)) {
            count.add(1);
        }
        if let (Some(limiter), Some(key)) = (config.client_rate_limiter(), &client_key)
            && !limiter.admits_client(key, received.into_std())
        {
            return self.refuse(source.peer, DatagramOutcome::ClientRateLimited);
        }

        let mut pending = None;
        if let Some(cache) = self.shared.reply_cache_for(suite) {
            match cache.lookup(sealer.exchange_value(), <[u8]>::to_vec) {
                Entry::New(entry) => pending = Some(entry),
                Entry::Repeated(reply) => return self.repeat(&reply, source, max_reply, received),
                Entry::InProgress => return self.counts.count(DatagramOutcome::InProgress),
            }
        }
        if self.in_flight >= self.shared.limits.in_flight {
            self.warnings.overload.log(|| {
                tracing::warn!(in_flight = self.in_flight, "too many requests in flight; dropping the newest");
            });
            return self.counts.count(DatagramOutcome::Overloaded);
        }

        let peer = SocketAddr::new(source.peer.ip().to_canonical(), source.peer.port());
        let request = Request {
            received: received.into_std(),
            server_key: config.key(key_place),
            suite,
            has_psk,
            exchange_value: *sealer.exchange_value(),
            ..Request::new(&*message, client_key, peer)
        };
        let context =
            ReplyContext { sealer: Box::new(sealer), source, received, handed: Instant::now(), max_reply, pending };
        self.in_flight += 1;
        if let Some(finished) = self.handlers.start(request, context) {
            self.finish(finished);
        }
    }

    /// Sends the bytes of an earlier reply once more.
    fn repeat(&mut self, reply: &[u8], source: Source, max_reply: usize, received: Instant) {
        if reply.len() > max_reply {
            return self.counts.count(DatagramOutcome::ReplyTooLarge);
        }
        let sealed = Sealed { outcome: DatagramOutcome::ReplyResent, peer: source.peer, received, len: reply.len() };
        self.replies.push(source.peer, source.local, reply.len(), sealed).copy_from_slice(reply);
    }

    /// Seals what a handler answered.
    fn finish(&mut self, finished: Finished) {
        self.in_flight -= 1;
        let ReplyContext { sealer, source, received, handed, max_reply, pending } = finished.context;
        self.counts.handler.record(nanos(handed.elapsed()));
        let reply = match finished.outcome {
            Ok(Some(reply)) => reply,
            Ok(None) => return self.counts.count(DatagramOutcome::NoReply),
            Err(Failure::TimedOut) => return self.counts.count(DatagramOutcome::HandlerTimedOut),
            Err(Failure::Overloaded) => return self.counts.count(DatagramOutcome::Overloaded),
            Err(Failure::Failed) => return self.counts.count(DatagramOutcome::HandlerFailed),
        };
        let len = sealer.packet_len(reply.message().len());
        if len > max_reply {
            self.warnings.too_large.log(|| {
                tracing::warn!(
                    len,
                    max_reply,
                    "a reply is too large for its request or for a datagram and is not sent: pad the request, or raise the \
                     amplification limit"
                );
            });
            return self.counts.count(DatagramOutcome::ReplyTooLarge);
        }
        if sealer.is_fresh() {
            return self.fresh.push(FreshReply { sealer, reply, source, received, len });
        }
        let sealed = Sealed { outcome: DatagramOutcome::Replied, peer: source.peer, received, len };
        let packet = self.replies.push(source.peer, source.local, len, sealed);
        match (sealer.seal_boxed(&mut SysRng, reply.message(), packet), pending) {
            (Ok(packet), Some(pending)) => {
                if !pending.finish(packet) {
                    self.replies.pop();
                    self.warnings.conflict.log(|| {
                        tracing::warn!(
                            "a handler gave another answer to a repeated request under suite 1; it is not sent: make the \
                             handler's answers depend on the message alone"
                        );
                    });
                    self.counts.count(DatagramOutcome::ConflictingReply);
                }
            }
            (Ok(_), None) => {}
            // It has all the room that it needs, so this is never reached.
            (Err(_), _) => {
                self.replies.pop();
                self.counts.count(DatagramOutcome::ReplyTooLarge);
            }
        }
    }

    /// Takes what handlers have finished by now, as much as is sent together.
    fn collect(&mut self) {
        let first = self.next_finished();
        if first.is_none() && self.fresh.is_empty() {
            return;
        }
        on_wiped_stack(|| {
            if let Some(first) = first {
                self.finish(first);
            }
            while let Some(finished) = self.next_finished() {
                self.finish(finished);
            }
            self.seal_fresh();
        });
    }

    /// Seals the fresh replies, whose multiplications are made together.
    fn seal_fresh(&mut self) {
        let replies = self.fresh.iter_mut().map(|fresh| (&mut *fresh.sealer, &fresh.reply.message()[..]));
        if let Err(error) = ReplySealer::prepare_batch(&mut SysRng, replies) {
            self.warnings.send.log(|| tracing::warn!(%error, "cannot seal fresh replies"));
        }
        for FreshReply { sealer, reply, source, received, len } in self.fresh.drain(..) {
            let sealed = Sealed { outcome: DatagramOutcome::Replied, peer: source.peer, received, len };
            let packet = self.replies.push(source.peer, source.local, len, sealed);
            if let Err(error) = sealer.seal_boxed(&mut SysRng, reply.message(), packet) {
                self.replies.pop();
                self.counts.count(DatagramOutcome::SendFailed);
                self.warnings.send.log(|| tracing::warn!(%error, "cannot seal a fresh reply"));
            }
        }
    }

    /// Returns what a handler has finished by now, if there is room for its reply.
    fn next_finished(&mut self) -> Option<Finished> {
        let has_room = self.in_flight > 0 && self.replies.len() + self.fresh.len() < BATCH_LEN;
        if has_room { self.handlers.next_finished().now_or_never() } else { None }
    }

    /// Gives up what handlers have not finished.
    fn abandon(&mut self) {
        for context in self.handlers.abandon() {
            drop(context);
            self.in_flight -= 1;
            self.counts.count(DatagramOutcome::Cancelled);
        }
    }
}
