//! Requests that are sealed before the clock starts, and sent in turn.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use pssst::{BATCH_LEN, Client, Error, PendingReply, SysRng, TRANSACTION_ID_LEN, UnsealedRequest};

use crate::clock::Nanos;

/// The senders of prepared requests, and the length of their messages.
#[derive(Debug)]
pub struct Workload {
    /// Seals anonymous requests.
    pub anonymous: Client,
    /// Seals authenticated requests, if there are any.
    pub authenticated: Option<Client>,
    /// Between 0 and 1.
    pub authenticated_share: f64,
    /// Bytes.
    pub message_len: usize,
}

/// Prepared requests of one connection. Each is free or in flight. They are used in turn,
/// the one that was freed last comes last.
pub struct Pool {
    packets: Vec<u8>,
    /// Bytes from one packet to the next.
    stride: usize,
    entries: Vec<Entry>,
    places: HashMap<[u8; TRANSACTION_ID_LEN], usize, BuildHasherDefault<FirstBytes>>,
    free: VecDeque<usize>,
    /// Places and times of sending, the oldest first. Some of these flights have ended.
    sent: VecDeque<(usize, Nanos)>,
    in_flight: usize,
}

struct Entry {
    len: usize,
    pending: PendingReply,
    flight: Option<Flight>,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    /// From when its latency counts.
    start: Nanos,
    sent: Nanos,
}

/// Kind of a packet that came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The reply to a request whose latency counts from `start`.
    Reply { start: Nanos },
    /// It claims to be the reply to a request in flight, and does not open. The request stays in
    /// flight.
    Refused,
    /// It claims to be the reply to a request that is not in flight: answered already, or given up.
    Repeated,
    /// It belongs to no request of this pool.
    Stray,
}

impl Pool {
    /// Seals the requests with these numbers.
    ///
    /// # Errors
    /// The errors of [`Client::seal_batch`].
    pub fn seal(workload: &Workload, numbers: Range<usize>) -> Result<Self, Error> {
        Self::seal_while(workload, numbers, |_| true).map(|(pool, _)| pool)
    }

    /// Seals the requests with these numbers as long as `goes_on`, which gets the number of the
    /// next one, returns true. Returns whether it always did.
    pub(crate) fn seal_while(
        workload: &Workload,
        numbers: Range<usize>,
        mut goes_on: impl FnMut(usize) -> bool,
    ) -> Result<(Self, bool), Error> {
        let stride = workload.authenticated.as_ref().unwrap_or(&workload.anonymous).packet_len(workload.message_len)?;
        let mut packets = vec![0; stride * numbers.len()];
        let mut entries = Vec::with_capacity(numbers.len());
        let (mut failure, mut is_whole) = (None, true);

        let firsts = numbers.clone().step_by(BATCH_LEN);
        for (first, buffers) in firsts.zip(packets.chunks_mut(stride * BATCH_LEN)) {
            if !goes_on(first) {
                is_whole = false;
                break;
            }
            let messages: Vec<_> = (first..).take(BATCH_LEN).map(|number| workload.message(number)).collect();
            let requests =
                (first..).zip(&messages).zip(buffers.chunks_exact_mut(stride)).map(|((number, message), buffer)| {
                    UnsealedRequest { client: workload.client(number), message, buffer }
                });
            Client::seal_batch(&mut SysRng, requests, |_, outcome| match outcome {
                Ok((packet, pending)) => entries.push(Entry { len: packet.len(), pending, flight: None }),
                Err(error) => failure = Some(error),
            });
        }
        if let Some(error) = failure {
            return Err(error);
        }
        let places =
            entries.iter().enumerate().map(|(place, entry)| (*entry.pending.transaction_id(), place)).collect();
        let free = (0..entries.len()).collect();
        Ok((Self { packets, stride, entries, places, free, sent: VecDeque::new(), in_flight: 0 }, is_whole))
    }

    /// Requests that are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Takes the next free request into flight. Its latency counts from `start`. `None` when all
    /// are in flight.
    pub(crate) fn send(&mut self, start: Nanos, now: Nanos) -> Option<&[u8]> {
        let place = self.free.pop_front()?;
        let entry = self.entries.get_mut(place)?;
        entry.flight = Some(Flight { start, sent: now });
        if self.sent.len() >= 2 * self.entries.len() {
            // One that is lost has all that were sent after it wait with it.
            self.sent.retain(|(place, sent)| is_in_flight(&self.entries, *place, *sent));
        }
        self.sent.push_back((place, now));
        self.in_flight += 1;
        let entry = self.entries.get(place)?;
        self.packets.get(place * self.stride..)?.get(..entry.len)
    }

    /// Tells what a packet is, and ends the flight of the request that it answers.
    pub(crate) fn answer(&mut self, packet: &mut [u8]) -> Answer {
        let place = pssst::transaction_id(packet).ok().and_then(|id| self.places.get(id));
        let Some((&place, entry)) = place.and_then(|place| Some((place, self.entries.get_mut(*place)?))) else {
            return Answer::Stray;
        };
        let Some(flight) = entry.flight else {
            return Answer::Repeated;
        };
        if entry.pending.open(packet).is_err() {
            return Answer::Refused;
        }
        entry.flight = None;
        self.free.push_back(place);
        self.in_flight -= 1;
        Answer::Reply { start: flight.start }
    }

    /// When the oldest request that is in flight was sent.
    pub(crate) fn oldest(&mut self) -> Option<Nanos> {
        while let Some(&(place, sent)) = self.sent.front() {
            if is_in_flight(&self.entries, place, sent) {
                return Some(sent);
            }
            self.sent.pop_front();
        }
        None
    }

    /// Gives up the oldest request if it was sent by then, and returns the start of its latency.
    pub(crate) fn give_up(&mut self, sent_by: Nanos) -> Option<Nanos> {
        self.oldest().filter(|sent| *sent <= sent_by)?;
        let (place, _) = self.sent.pop_front()?;
        let flight = self.entries.get_mut(place)?.flight.take()?;
        self.free.push_back(place);
        self.in_flight -= 1;
        Some(flight.start)
    }
}

/// Returns whether a request is still in the flight that began then.
fn is_in_flight(entries: &[Entry], place: usize, sent: Nanos) -> bool {
    entries.get(place).and_then(|entry| entry.flight).is_some_and(|flight| flight.sent == sent)
}

impl Workload {
    /// Authenticated requests are spread evenly among the others.
    fn client(&self, number: usize) -> &Client {
        match &self.authenticated {
            Some(client) if is_marked(number, self.authenticated_share) => client,
            _ => &self.anonymous,
        }
    }

    /// Returns the request's number, as far as it fits, and filler.
    fn message(&self, number: usize) -> Vec<u8> {
        number.to_le_bytes().into_iter().chain(std::iter::repeat(b'.')).take(self.message_len).collect()
    }
}

/// Marks a share of all numbers, evenly.
#[expect(clippy::cast_precision_loss, reason = "far fewer numbers than a float tells apart")]
fn is_marked(number: usize, share: f64) -> bool {
    ((number + 1) as f64 * share).floor() > (number as f64 * share).floor()
}

/// Hashes an exchange value to its first bytes, which are as good as random. Nobody else chooses
/// these values.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use pssst::{Header, SecretKey, Server};

    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    fn pool(message_len: usize, authenticated_share: f64, numbers: Range<usize>) -> Pool {
        let client = || Client::new(SecretKey::from_bytes(SECRET).public_key()).unwrap();
        let authenticated = client().with_identity(&SecretKey::from_bytes([9; 32])).unwrap();
        let authenticated = (authenticated_share > 0.0).then_some(authenticated);
        Pool::seal(&Workload { anonymous: client(), authenticated, authenticated_share, message_len }, numbers).unwrap()
    }

    fn reply(request: &[u8]) -> Vec<u8> {
        let mut request = request.to_vec();
        let server = Server::new(SecretKey::from_bytes(SECRET));
        let (message, _, sealer) = server.open_request(&mut request).unwrap().into_parts();
        sealer.seal_to_vec(&mut SysRng, message).unwrap()
    }

    #[test]
    fn requests_are_different_and_of_the_asked_mix_and_length() {
        for (message_len, share, authenticated) in [(32, 0.0, 0), (0, 1.0, 150), (5, 0.5, 75), (1000, 0.1, 15)] {
            let mut pool = pool(message_len, share, 0..150);
            let server = Server::new(SecretKey::from_bytes(SECRET));
            let (mut marked, mut messages) = (0, std::collections::BTreeSet::new());
            while let Some(packet) = pool.send(0, 0) {
                marked += usize::from(Header::parse(packet).unwrap().has_client_auth());
                let mut packet = packet.to_vec();
                messages.insert(server.open_request(&mut packet).unwrap().message().to_vec());
            }
            assert_eq!((marked, pool.in_flight()), (authenticated, 150));
            assert_eq!(messages.len(), if message_len == 0 { 1 } else { 150 });
            assert!(messages.iter().all(|message| message.len() == message_len));
        }
    }

    #[test]
    fn the_request_that_was_freed_last_comes_last() {
        let mut pool = pool(8, 0.0, 0..3);
        let packets: Vec<_> = (0..3).map(|_| pool.send(0, 0).unwrap().to_vec()).collect();
        assert!(pool.send(0, 0).is_none());
        for place in [1, 0, 2] {
            assert_eq!(pool.answer(&mut reply(&packets[place])), Answer::Reply { start: 0 });
        }
        for place in [1, 0, 2] {
            assert_eq!(pool.send(0, 0).unwrap(), packets[place]);
        }
    }

    #[test]
    fn only_the_true_reply_ends_a_flight_and_only_once() {
        let mut pool = pool(8, 0.0, 0..2);
        let request = pool.send(5, 6).unwrap().to_vec();
        let true_reply = reply(&request);
        let mut forged = true_reply.clone();
        *forged.last_mut().unwrap() ^= 1;
        let mut foreign = true_reply.clone();
        foreign[4] ^= 1;

        assert_eq!(pool.answer(&mut forged), Answer::Refused);
        assert_eq!(pool.answer(&mut request.clone()), Answer::Refused);
        assert_eq!(pool.answer(&mut foreign), Answer::Stray);
        assert_eq!(pool.answer(&mut []), Answer::Stray);
        assert_eq!(pool.in_flight(), 1);
        assert_eq!(pool.answer(&mut true_reply.clone()), Answer::Reply { start: 5 });
        assert_eq!(pool.answer(&mut true_reply.clone()), Answer::Repeated);
        assert_eq!(pool.in_flight(), 0);
    }

    #[test]
    fn the_oldest_are_given_up_and_their_late_replies_are_told_apart() {
        let mut pool = pool(8, 0.0, 0..3);
        let packets: Vec<_> = [10, 20, 30].map(|sent| pool.send(sent - 1, sent).unwrap().to_vec()).into();
        assert_eq!(pool.answer(&mut reply(&packets[0])), Answer::Reply { start: 9 });
        assert_eq!((pool.oldest(), pool.give_up(19)), (Some(20), None));
        assert_eq!((pool.give_up(20), pool.give_up(20), pool.oldest()), (Some(19), None, Some(30)));
        assert_eq!(pool.answer(&mut reply(&packets[1])), Answer::Repeated);

        // The first one is sent again; its first flight, which ended, does not end the second.
        assert_eq!(pool.send(40, 40).unwrap(), packets[0]);
        assert_eq!((pool.give_up(35), pool.give_up(35), pool.oldest()), (Some(29), None, Some(40)));
        assert_eq!(pool.in_flight(), 1);
    }
    #[test]
    fn one_lost_request_does_not_pile_up_the_others() {
        let mut pool = pool(8, 0.0, 0..3);
        assert!(pool.send(0, 0).is_some());
        for now in 1..1000 {
            let request = pool.send(now, now).unwrap().to_vec();
            assert_eq!(pool.answer(&mut reply(&request)), Answer::Reply { start: now });
            assert!(pool.sent.len() <= 6, "{}", pool.sent.len());
        }
        assert_eq!((pool.in_flight(), pool.oldest(), pool.give_up(0), pool.oldest()), (1, Some(0), Some(0), None));
    }
}
