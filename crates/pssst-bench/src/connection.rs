//! The generator: connections that take turns on one thread, each a socket with requests of its
//! own.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use pssst::{BATCH_LEN, HEADER_LEN};
use pssst_net::udp::{BatchSocket, ReceiveBatch, SendBatch};

use crate::clock::{Clock, Nanos, Timer};
use crate::counters::Counters;
use crate::pool::Answer;
use crate::request_source::RequestSource;
use crate::schedule::Schedule;

/// How long a connection waits at most, in nanoseconds, until it sees whether the end has come
/// forward.
const LONGEST_WAIT: Nanos = 100_000_000;

/// A socket, its share of the requests, and when they leave.
pub(crate) struct Connection {
    pub(crate) server: SocketAddr,
    pub(crate) socket: BatchSocket,
    pub(crate) source: RequestSource,
    /// Requests that may be in flight.
    pub(crate) concurrency: usize,
    /// When requests leave; `None` for as soon as fewer than `concurrency` are in flight.
    pub(crate) schedule: Option<Schedule>,
    pub(crate) junk: Junk,
    pub(crate) clock: Clock,
    pub(crate) timer: Timer,
    /// After this long a request is lost, or not sent any more.
    pub(crate) timeout: Nanos,
    /// When no more requests leave. It may come forward.
    pub(crate) end: Rc<Cell<Nanos>>,
    pub(crate) incoming: ReceiveBatch,
    pub(crate) outgoing: SendBatch<()>,
}

impl Connection {
    /// Sends until the end, and returns when the last reply is there or has been given up.
    pub(crate) async fn run(mut self, counters: &RefCell<Counters>) {
        loop {
            // One look at the clock for a batch each way.
            let now = self.clock.now();
            self.source.renew();
            if let Some(schedule) = &mut self.schedule {
                schedule.end_at(self.end.get());
            }
            self.give_up_lost(now, &mut counters.borrow_mut());
            self.fill(now, &mut counters.borrow_mut());
            if !self.outgoing.is_empty() {
                let note = |(), outcome: std::io::Result<()>| {
                    if let Err(error) = outcome {
                        counters.borrow_mut().network_failed(error);
                    }
                };
                self.socket.send(&mut self.outgoing, note).await;
            }
            let Some(wake) = self.next_event(now) else { return };
            let wake = wake.min(now + LONGEST_WAIT);

            // The other connections come first, and the system gets to say which sockets have
            // received anything.
            tokio::task::yield_now().await;
            let received = tokio::select! {
                biased;
                received = self.socket.receive(&mut self.incoming) => Some(received),
                () = self.timer.wait(wake) => None,
            };
            match received {
                Some(Ok(())) => self.take_replies(&mut counters.borrow_mut()),
                Some(Err(error)) => counters.borrow_mut().network_failed(error),
                None => {}
            }
        }
    }

    fn give_up_lost(&mut self, now: Nanos, counters: &mut Counters) {
        let Some(sent_by) = now.checked_sub(self.timeout) else { return };
        while let Some(start) = self.source.give_up(sent_by) {
            counters.lost(start);
        }
    }

    /// Puts what is to leave now into a batch.
    fn fill(&mut self, now: Nanos, counters: &mut Counters) {
        while self.outgoing.len() < BATCH_LEN {
            if let Some((header, body)) = self.junk.next() {
                let packet = self.outgoing.push(self.server, None, header.len() + body.len(), ());
                let (start, rest) = packet.split_at_mut(header.len());
                start.copy_from_slice(&header);
                rest.copy_from_slice(body);
                counters.junk(now);
                continue;
            }
            let has_room = self.source.in_flight() < self.concurrency;
            let start = match &mut self.schedule {
                Some(schedule) => schedule.take(now),
                None => (has_room && now < self.end.get()).then_some(now),
            };
            let Some(start) = start else { break };
            let is_in_time = now - start <= self.timeout;
            match (has_room && is_in_time).then(|| self.source.send(start, now)).flatten() {
                Some(packet) => {
                    self.outgoing.push(self.server, None, packet.len(), ()).copy_from_slice(packet);
                    self.junk.accompany(packet);
                    counters.sent(start, now);
                }
                None => counters.unsent(start),
            }
        }
    }

    /// When there is something to do even if nothing is received; `None` when all is done.
    fn next_event(&mut self, now: Nanos) -> Option<Nanos> {
        let lost = self.source.oldest().map(|sent| sent.saturating_add(self.timeout));
        let send = match &self.schedule {
            Some(schedule) => schedule.next(),
            None if now >= self.end.get() => None,
            None if self.source.in_flight() < self.concurrency => Some(now),
            None => Some(self.end.get()),
        };
        lost.into_iter().chain(send).chain(self.junk.is_owed().then_some(now)).min()
    }

    fn take_replies(&mut self, counters: &mut Counters) {
        let now = self.clock.now();
        for received in self.incoming.datagrams() {
            let answer = match received.bytes {
                Some(packet) if received.peer == self.server => self.source.answer(packet),
                _ => Answer::Stray,
            };
            counters.answered(&answer, now);
        }
    }
}

/// Packets that look like requests, and are noise.
#[derive(Debug)]
pub(crate) struct Junk {
    /// Any piece of it is a packet without its header: a piece has an exchange value that no other
    /// has.
    noise: Rc<[u8]>,
    next: usize,
    per_request: f64,
    owed: f64,
    /// The header and the length of the request that it accompanies.
    header: [u8; HEADER_LEN],
    body_len: usize,
}

impl Junk {
    /// Packets from this noise on, `per_request` for each request.
    pub(crate) fn new(noise: Rc<[u8]>, next: usize, per_request: f64) -> Self {
        Self { noise, next, per_request, owed: 0.0, header: [0; HEADER_LEN], body_len: 0 }
    }

    /// A request was sent, so more junk is owed, which will look like it.
    fn accompany(&mut self, request: &[u8]) {
        self.owed += self.per_request;
        if let Some((header, body)) = request.split_first_chunk() {
            self.header = *header;
            self.body_len = body.len();
        }
    }

    fn is_owed(&self) -> bool {
        self.owed >= 1.0
    }

    /// Returns the header and the rest of the next packet that is owed.
    fn next(&mut self) -> Option<([u8; HEADER_LEN], &[u8])> {
        if !self.is_owed() {
            return None;
        }
        self.owed -= 1.0;
        if self.next + self.body_len > self.noise.len() {
            self.next = 0;
        }
        let body = self.noise.get(self.next..self.next + self.body_len)?;
        self.next += 1;
        Some((self.header, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junk_keeps_its_share_and_looks_like_the_requests() {
        let noise: Rc<[u8]> = (0..=255).collect();
        let mut junk = Junk::new(noise, 150, 1.5);
        let mut bodies = Vec::new();
        for request in 0..100_u8 {
            junk.accompany(&[&[0, 0, 0, request][..], &[0; 100]].concat());
            while let Some((header, body)) = junk.next() {
                assert_eq!((header[3], body.len()), (request, 100));
                bodies.push(body.to_vec());
            }
        }
        assert_eq!(bodies.len(), 150);
        bodies.sort_unstable();
        bodies.dedup();
        assert_eq!(bodies.len(), 150);
    }

    #[test]
    fn without_a_share_there_is_no_junk() {
        let mut junk = Junk::new(Rc::new([]), 0, 0.0);
        junk.accompany(&[0; 60]);
        assert!(junk.next().is_none());
    }
}
