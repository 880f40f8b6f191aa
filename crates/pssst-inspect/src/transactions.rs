//! Which packets of a capture belong together.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use jiff::Timestamp;
use pssst::{EXCHANGE_VALUE_LEN, Suite};
use serde::Serialize;

use crate::dissection::{Dissection, Kind};

/// How a packet relates to one before it, whose number in the capture is given. Times are in
/// seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "readers match every case")]
pub enum Event {
    /// A request with the same bytes: sent again, or replayed.
    RepeatedRequest {
        /// The number of the frame that had it first.
        of: u64,
        /// Seconds since then.
        after: Option<f64>,
    },
    /// Another request has this exchange value: one of the two was changed on its way, or forged.
    OtherRequest {
        /// The number of the other frame.
        than: u64,
    },
    /// A reply, and how long the client waited since it first asked.
    Reply {
        /// The number of the request's frame.
        to: u64,
        /// Seconds since then.
        after: Option<f64>,
    },
    /// A reply to a request that is not in the capture, or is too far back.
    NoRequest,
    /// A reply with the same bytes.
    RepeatedReply {
        /// The number of the frame that had it first.
        of: u64,
        /// Seconds since then.
        after: Option<f64>,
    },
    /// Two different replies to one request.
    DifferentReplies {
        /// The number of the other frame.
        than: u64,
        /// Under suite 1: anyone who saw both can forge a third.
        danger: bool,
        /// Whether both were opened with the server's key; without it, one of them may be made up.
        genuine: bool,
    },
}

/// The requests of a capture and their replies, as far back as memory is allowed to go.
pub struct Transactions {
    known: HashMap<[u8; EXCHANGE_VALUE_LEN], Transaction>,
    /// Oldest first.
    order: VecDeque<[u8; EXCHANGE_VALUE_LEN]>,
    /// Its keys are secret, so that an attacker cannot make two packets collide.
    hasher: RandomState,
}

/// A packet of a capture, as far as it matters here.
pub struct Observation<'p> {
    /// The number of its frame.
    pub number: u64,
    /// When it was captured.
    pub time: Option<Timestamp>,
    /// The port that sent it.
    pub source_port: u16,
    /// The port that it was sent to.
    pub destination_port: u16,
    /// Its bytes.
    pub packet: &'p [u8],
    /// Whether a server's secret key opened it.
    pub is_opened: bool,
}

/// Transactions that are remembered.
const MAX_TRANSACTIONS: usize = 1 << 16;
/// Requests, and replies, that are remembered of each.
const MAX_PACKETS: usize = 8;

/// Facts about all packets with one exchange value.
#[derive(Default)]
struct Transaction {
    requests: Vec<Seen>,
    replies: Vec<Seen>,
}

struct Seen {
    number: u64,
    time: Option<Timestamp>,
    client_port: u16,
    server_port: u16,
    suite: Option<u16>,
    /// Of all bytes, if they are all there.
    fingerprint: Option<u64>,
    is_opened: bool,
}

impl Default for Transactions {
    fn default() -> Self {
        Self::new()
    }
}

impl Transactions {
    /// Returns transactions without any packet.
    pub fn new() -> Self {
        Self { known: HashMap::new(), order: VecDeque::new(), hasher: RandomState::new() }
    }

    /// Remembers a packet, and returns its relations to earlier ones.
    pub fn observe(&mut self, dissection: &Dissection, observation: &Observation<'_>) -> Vec<Event> {
        let (Some(kind), Some(exchange_value)) = (dissection.kind, dissection.exchange_value) else {
            return Vec::new();
        };
        let fingerprint = dissection.is_complete().then(|| self.hasher.hash_one(observation.packet));
        let (client_port, server_port) = match kind {
            Kind::Request => (observation.source_port, observation.destination_port),
            Kind::Reply => (observation.destination_port, observation.source_port),
        };
        let seen = Seen {
            number: observation.number,
            time: observation.time,
            client_port,
            server_port,
            suite: dissection.suite,
            fingerprint,
            is_opened: observation.is_opened,
        };
        let transaction = self.transaction(exchange_value);
        match kind {
            Kind::Request => transaction.request(seen),
            Kind::Reply => transaction.reply(seen),
        }
    }

    fn transaction(&mut self, exchange_value: [u8; EXCHANGE_VALUE_LEN]) -> &mut Transaction {
        if !self.known.contains_key(&exchange_value) {
            if self.order.len() >= MAX_TRANSACTIONS
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
            self.order.push_back(exchange_value);
        }
        self.known.entry(exchange_value).or_default()
    }
}

impl Transaction {
    fn request(&mut self, seen: Seen) -> Vec<Event> {
        let event = if let Some(first) = self.requests.iter().find(|earlier| seen.equals(earlier)) {
            Some(Event::RepeatedRequest { of: first.number, after: seen.after(first) })
        } else {
            let other = self.requests.iter().find(|earlier| seen.differs(earlier));
            other.map(|other| Event::OtherRequest { than: other.number })
        };
        remember(&mut self.requests, seen);
        event.into_iter().collect()
    }

    fn reply(&mut self, seen: Seen) -> Vec<Event> {
        let ports =
            |request: &&Seen| (request.client_port, request.server_port) == (seen.client_port, seen.server_port);
        let mut events = vec![match self.requests.iter().find(ports) {
            Some(request) => Event::Reply { to: request.number, after: seen.after(request) },
            None => Event::NoRequest,
        }];
        // A repetition has no new information.
        if let Some(first) = self.replies.iter().find(|earlier| seen.equals(earlier)) {
            events.push(Event::RepeatedReply { of: first.number, after: seen.after(first) });
        } else if let Some(other) =
            self.replies.iter().find(|earlier| seen.differs(earlier) && self.may_both_be_true(earlier, &seen))
        {
            events.push(Event::DifferentReplies {
                than: other.number,
                danger: seen.suite == Some(Suite::X25519AesGcm128.number()),
                genuine: other.is_opened,
            });
        }
        remember(&mut self.replies, seen);
        events
    }

    /// Returns an exchange value belongs to one server's key. With that key, a reply that does not
    /// open is not the server's.
    fn may_both_be_true(&self, one: &Seen, other: &Seen) -> bool {
        let key_is_at_hand = self.requests.iter().chain([one, other]).any(|packet| packet.is_opened);
        (one.is_opened && other.is_opened) || !key_is_at_hand
    }
}

impl Seen {
    fn equals(&self, earlier: &Self) -> bool {
        self.fingerprint.is_some() && self.fingerprint == earlier.fingerprint
    }

    /// Replies under different suites are sealed with different keys or ciphers, and say nothing
    /// about each other.
    fn differs(&self, earlier: &Self) -> bool {
        self.suite == earlier.suite
            && self.fingerprint.zip(earlier.fingerprint).is_some_and(|(one, other)| one != other)
    }

    fn after(&self, earlier: &Self) -> Option<f64> {
        Some(self.time?.duration_since(earlier.time?).as_secs_f64())
    }
}

fn remember(packets: &mut Vec<Seen>, seen: Seen) {
    if packets.len() < MAX_PACKETS {
        packets.push(seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: u16 = 40000;
    const SERVER: u16 = 45678;

    fn packet(flags: u8, suite: u16, value: u32, message: &[u8]) -> Vec<u8> {
        let mut packet = vec![flags, 0];
        packet.extend(suite.to_be_bytes());
        packet.extend([value.to_be_bytes(); 8].concat());
        packet.extend(message);
        packet.extend([message.first().copied().unwrap_or(0); 16]);
        packet
    }

    /// A capture whose clock advances by a second with each packet.
    struct Scene(Transactions, u64);

    impl Scene {
        fn observe(&mut self, packet: &[u8], ports: (u16, u16), is_opened: bool) -> Vec<Event> {
            self.1 += 1;
            let observation = Observation {
                number: self.1,
                time: Timestamp::from_second(i64::try_from(self.1).unwrap()).ok(),
                source_port: ports.0,
                destination_port: ports.1,
                packet,
                is_opened,
            };
            self.0.observe(&Dissection::of(packet, packet.len()), &observation)
        }
    }

    fn scene() -> Scene {
        Scene(Transactions::new(), 0)
    }

    #[test]
    fn replies_find_their_requests_by_exchange_value_and_ports() {
        let mut scene = scene();
        let (one, two) = (packet(0, 1, 1, b"a"), packet(0, 1, 2, b"b"));
        assert_eq!(scene.observe(&one, (CLIENT, SERVER), false), []);
        assert_eq!(scene.observe(&two, (CLIENT, SERVER), false), []);
        let repeated = Event::RepeatedRequest { of: 1, after: Some(2.0) };
        assert_eq!(scene.observe(&one, (CLIENT, SERVER), false), [repeated]);
        let reply = packet(0x80, 1, 1, b"c");
        assert_eq!(scene.observe(&reply, (SERVER, CLIENT), false), [Event::Reply { to: 1, after: Some(3.0) }]);
        assert_eq!(scene.observe(&packet(0x80, 1, 2, b"d"), (SERVER, 5), false), [Event::NoRequest]);
        let again = [Event::Reply { to: 1, after: Some(5.0) }, Event::RepeatedReply { of: 4, after: Some(2.0) }];
        assert_eq!(scene.observe(&reply, (SERVER, CLIENT), false), again);
        assert_eq!(scene.observe(&packet(0, 1, 1, b"x"), (CLIENT, SERVER), false), [Event::OtherRequest { than: 1 }]);
    }

    /// Also when the second answer went to someone who replayed the request from elsewhere: the key
    /// and nonce are the same.
    #[test]
    fn different_replies_are_a_danger_under_suite_1_wherever_they_went() {
        for (suite, danger) in [(1, true), (0xf001, false)] {
            for (asked, first, second, found) in [
                (false, false, false, Some(false)),
                (true, true, true, Some(true)),
                (false, true, true, Some(true)),
                (true, true, false, None),
                (true, false, true, None),
                (false, true, false, None),
                (true, false, false, None),
            ] {
                let mut scene = scene();
                scene.observe(&packet(0, suite, 1, b"a"), (CLIENT, SERVER), asked);
                scene.observe(&packet(0x80, suite, 1, b"yes"), (SERVER, CLIENT), first);
                let events = scene.observe(&packet(0x80, suite, 1, b"no"), (SERVER, 666), second);
                let expected = found.map(|genuine| Event::DifferentReplies { than: 2, danger, genuine });
                assert_eq!(events[1..], expected.into_iter().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn memory_is_bounded() {
        let (mut scene, ports) = (scene(), (CLIENT, SERVER));
        for value in 0..=u32::try_from(MAX_TRANSACTIONS).unwrap() {
            scene.observe(&packet(0, 1, value, b""), ports, false);
        }
        for message in 0..20 {
            scene.observe(&packet(0x80, 1, 7, &[message]), (SERVER, CLIENT), false);
        }
        assert_eq!((scene.0.known.len(), scene.0.order.len()), (MAX_TRANSACTIONS, MAX_TRANSACTIONS));
        assert_eq!(scene.0.known.values().map(|transaction| transaction.replies.len()).max(), Some(MAX_PACKETS));
        // The oldest is forgotten, the second oldest is not.
        assert_eq!(scene.observe(&packet(0x80, 1, 1, b""), (SERVER, CLIENT), false).len(), 1);
        assert_eq!(scene.observe(&packet(0x80, 1, 0, b""), (SERVER, CLIENT), false), [Event::NoRequest]);
    }
}
