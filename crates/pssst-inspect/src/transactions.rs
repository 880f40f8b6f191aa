//! Which packets of a capture belong together.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use jiff::Timestamp;
use pssst::{EXCHANGE_VALUE_LEN, Suite, TRANSACTION_ID_LEN};
use serde::Serialize;

use crate::decryptor::{Contents, Decryptor, ReplyOpener, Requests};
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
    /// Another request has this suite and exchange value, or its first 8 bytes, which is all that a
    /// reply shows under every suite but suite 1: one of the two was changed on its way, or forged.
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
        /// Whether the server's key opened both; where it did not, one of them may be made up.
        genuine: bool,
    },
}

/// The requests of a capture and their replies, as far back as memory is allowed to go.
///
/// With a [`Decryptor`] it holds the secrets that open the replies to what it remembers; they are
/// wiped with it.
pub struct Transactions {
    known: HashMap<TransactionKey, Transaction>,
    /// Oldest first.
    order: VecDeque<TransactionKey>,
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
}

/// What links a reply to its request: the suite and the part of the exchange value that replies
/// repeat, with zeros after it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct TransactionKey {
    suite: Suite,
    exchange_value: [u8; EXCHANGE_VALUE_LEN],
}

/// Transactions that are remembered.
const MAX_TRANSACTIONS: usize = 1 << 16;
/// Requests, replies, and requests that a key opened: so many of each kind are remembered.
const MAX_PACKETS: usize = 8;

/// Facts about all packets with one key.
#[derive(Default)]
struct Transaction {
    requests: Vec<Seen>,
    replies: Vec<Seen>,
    openers: Vec<ReplyOpener>,
}

struct Seen {
    number: u64,
    time: Option<Timestamp>,
    client_port: u16,
    server_port: u16,
    /// Of all bytes, if they are all there.
    fingerprint: Option<u64>,
    is_opened: bool,
    /// Whether no key could tell: it may be genuine.
    is_unopened: bool,
    /// The fingerprint of the request that opened this reply, if it took one.
    opened_by: Option<u64>,
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

    /// Opens a packet as far as the keys allow, remembers it, and returns its contents and its
    /// relations to earlier ones. The result of the keys is recorded in its dissection.
    pub fn observe(
        &mut self,
        dissection: &mut Dissection,
        observation: &Observation<'_>,
        decryptor: Option<&Decryptor>,
    ) -> (Contents, Vec<Event>) {
        let packet = observation.packet;
        let (Some(kind), Some(key)) = (dissection.kind, TransactionKey::of(dissection)) else {
            return (decryptor.map(|decryptor| decryptor.open(packet, dissection)).unwrap_or_default(), Vec::new());
        };
        let fingerprint = dissection.is_complete().then(|| self.hasher.hash_one(packet));
        let (client_port, server_port) = match kind {
            Kind::Request => (observation.source_port, observation.destination_port),
            Kind::Reply => (observation.destination_port, observation.source_port),
        };
        let mut seen = Seen {
            number: observation.number,
            time: observation.time,
            client_port,
            server_port,
            fingerprint,
            is_opened: false,
            is_unopened: false,
            opened_by: None,
        };
        let transaction = self.transaction(key);
        let contents = decryptor.map(|decryptor| match kind {
            Kind::Request => {
                let (contents, opener) = decryptor.open_request(packet, dissection, fingerprint);
                if let Some(opener) = opener {
                    transaction.keep(opener);
                }
                contents
            }
            Kind::Reply => {
                let (contents, opened_by) = decryptor.open_reply(packet, dissection, transaction.requests());
                seen.opened_by = opened_by;
                contents
            }
        });
        let contents = contents.unwrap_or_default();
        (seen.is_opened, seen.is_unopened) = (contents.opened.is_some(), contents.unopened.is_some());
        let events = match kind {
            Kind::Request => transaction.request(seen),
            Kind::Reply => transaction.reply(seen, key.suite),
        };
        (contents, events)
    }

    fn transaction(&mut self, key: TransactionKey) -> &mut Transaction {
        if !self.known.contains_key(&key) {
            if self.order.len() >= MAX_TRANSACTIONS
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
            self.order.push_back(key);
        }
        self.known.entry(key).or_default()
    }
}

impl TransactionKey {
    /// Packets of unknown suites, and those without their exchange value, belong to none.
    fn of(dissection: &Dissection) -> Option<Self> {
        let (_, suite) = dissection.header()?;
        let len = if suite == Suite::X25519AesGcm128 { EXCHANGE_VALUE_LEN } else { TRANSACTION_ID_LEN };
        let shown = dissection.exchange_value.as_ref()?.get(..len)?;
        let mut exchange_value = [0; EXCHANGE_VALUE_LEN];
        exchange_value.get_mut(..len)?.copy_from_slice(shown);
        Some(Self { suite, exchange_value })
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

    /// Keeps what opens the replies to a request, once for all its copies. It is not in the place
    /// of another request, so forged ones cannot take it.
    fn keep(&mut self, opener: ReplyOpener) {
        let is_known = self.openers.iter().any(|known| known.fingerprint == opener.fingerprint);
        if !is_known && self.openers.len() < MAX_PACKETS {
            self.openers.push(opener);
        }
    }

    fn requests(&self) -> Requests<'_> {
        Requests { are_there: !self.requests.is_empty(), openers: &self.openers }
    }

    fn reply(&mut self, seen: Seen, suite: Suite) -> Vec<Event> {
        let is_request = |request: &&Seen| {
            (request.client_port, request.server_port) == (seen.client_port, seen.server_port)
                && (seen.opened_by.is_none() || request.fingerprint == seen.opened_by)
        };
        let mut events = vec![match self.requests.iter().find(is_request) {
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
                danger: suite == Suite::X25519AesGcm128,
                genuine: seen.is_opened && other.is_opened,
            });
        }
        remember(&mut self.replies, seen);
        events
    }

    /// Returns whether both may be the server's replies to one request. A transaction belongs to
    /// one server's key. With that key, a reply that does not open is not the server's, unless the
    /// key cannot tell, as with a fresh one.
    fn may_both_be_true(&self, one: &Seen, other: &Seen) -> bool {
        if let (Some(one), Some(other)) = (one.opened_by, other.opened_by)
            && one != other
        {
            return false;
        }
        let key_is_at_hand = self.requests.iter().chain([one, other]).any(|packet| packet.is_opened);
        [one, other].iter().all(|reply| reply.is_opened || reply.is_unopened || !key_is_at_hand)
    }
}

impl Seen {
    fn equals(&self, earlier: &Self) -> bool {
        self.fingerprint.is_some() && self.fingerprint == earlier.fingerprint
    }

    fn differs(&self, earlier: &Self) -> bool {
        self.fingerprint.zip(earlier.fingerprint).is_some_and(|(one, other)| one != other)
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
    use std::convert::Infallible;

    use pssst::rand_core::{TryCryptoRng, TryRng};
    use pssst::{Client, Keyring, Padding, Refusal, SecretKey, Server, SysRng};

    use super::*;
    use crate::decryptor::Unopened;
    use crate::dissection::Verdict;

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
    #[derive(Default)]
    struct Scene {
        transactions: Transactions,
        decryptor: Option<Decryptor>,
        number: u64,
    }

    impl Scene {
        fn with_keys(keys: impl Into<Keyring>) -> Self {
            Self { decryptor: Some(Decryptor::new(keys.into())), ..Self::default() }
        }

        fn look(&mut self, packet: &[u8], ports: (u16, u16)) -> (Contents, Vec<Event>) {
            self.number += 1;
            let observation = Observation {
                number: self.number,
                time: Timestamp::from_second(i64::try_from(self.number).unwrap()).ok(),
                source_port: ports.0,
                destination_port: ports.1,
                packet,
            };
            let mut dissection = Dissection::of(packet, packet.len());
            self.transactions.observe(&mut dissection, &observation, self.decryptor.as_ref())
        }

        fn observe(&mut self, packet: &[u8], ports: (u16, u16)) -> Vec<Event> {
            self.look(packet, ports).1
        }
    }

    /// A secret key, and an anonymous request of this suite to its owner.
    fn request(suite: Suite) -> (SecretKey, Vec<u8>) {
        let secret = SecretKey::generate(&mut SysRng).unwrap();
        let client = Client::new(secret.public_key()).unwrap().with_suite(suite).unwrap();
        let (request, _) = client.seal_request_to_vec(&mut SysRng, b"ask").unwrap();
        (secret, request)
    }

    fn reply_to(secret: &SecretKey, request: &[u8], message: &[u8]) -> Vec<u8> {
        let (server, mut request) = (Server::new(secret.clone()), request.to_vec());
        server.open_request(&mut request).unwrap().into_reply_sealer().seal_to_vec(&mut SysRng, message).unwrap()
    }

    fn with_last_bit_changed(packet: &[u8]) -> Vec<u8> {
        let mut packet = packet.to_vec();
        *packet.last_mut().unwrap() ^= 1;
        packet
    }

    struct Constant;

    impl TryRng for Constant {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(7)
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(7)
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            bytes.fill(7);
            Ok(())
        }
    }

    impl TryCryptoRng for Constant {}

    const TO_SERVER: (u16, u16) = (CLIENT, SERVER);
    const TO_CLIENT: (u16, u16) = (SERVER, CLIENT);

    #[test]
    fn replies_find_their_requests_by_exchange_value_and_ports() {
        for suite in [1, 0xf002, 0xf0e1] {
            let mut scene = Scene::default();
            let (one, two) = (packet(0, suite, 1, b"a"), packet(0, suite, 2, b"b"));
            assert_eq!(scene.observe(&one, TO_SERVER), []);
            assert_eq!(scene.observe(&two, TO_SERVER), []);
            let repeated = Event::RepeatedRequest { of: 1, after: Some(2.0) };
            assert_eq!(scene.observe(&one, TO_SERVER), [repeated]);
            let reply = packet(0x80, suite, 1, b"c");
            assert_eq!(scene.observe(&reply, TO_CLIENT), [Event::Reply { to: 1, after: Some(3.0) }]);
            assert_eq!(scene.observe(&packet(0x80, suite, 2, b"d"), (SERVER, 5)), [Event::NoRequest]);
            let again = [Event::Reply { to: 1, after: Some(5.0) }, Event::RepeatedReply { of: 4, after: Some(2.0) }];
            assert_eq!(scene.observe(&reply, TO_CLIENT), again);
            assert_eq!(scene.observe(&packet(0, suite, 1, b"x"), TO_SERVER), [Event::OtherRequest { than: 1 }]);
        }
    }

    #[test]
    fn suite_and_repeated_bytes_link_a_reply_to_its_request() {
        for suite in Suite::ALL.map(Suite::number) {
            let mut scene = Scene::default();
            scene.observe(&packet(0, suite, 1, &[0; 1200]), TO_SERVER);
            let (last, found) = (if suite == 1 { 35 } else { 11 }, Event::Reply { to: 1, after: Some(1.0) });
            let mut reply = packet(0x80, suite, 1, b"yes");
            assert_eq!(scene.observe(&reply, TO_CLIENT), [found]);
            reply[last + 1] ^= 1;
            assert!(matches!(scene.observe(&reply, TO_CLIENT)[..], [Event::Reply { to: 1, .. }, _]), "{suite:#06x}");
            reply[last] ^= 1;
            assert_eq!(scene.observe(&reply, TO_CLIENT), [Event::NoRequest], "{suite:#06x}");
            for other in Suite::ALL.map(Suite::number).into_iter().filter(|other| *other != suite) {
                assert_eq!(scene.observe(&packet(0x80, other, 1, b"yes"), TO_CLIENT), [Event::NoRequest]);
            }
        }
    }

    #[test]
    fn without_a_known_suite_and_all_parts_there_are_no_relations() {
        let mut scene = Scene::default();
        let short = packet(0x40, 1, 1, &[0; 63]);
        for packet in [packet(0, 0xf001, 1, b"a"), packet(0x80, 0xf001, 1, b"a"), short, vec![0, 0, 0, 1], Vec::new()] {
            for _ in 0..2 {
                assert_eq!(scene.observe(&packet, TO_SERVER), []);
            }
        }
        assert!(scene.transactions.known.is_empty());
    }

    /// Also when the second answer went to someone who replayed the request from elsewhere: the key
    /// and nonce are the same.
    #[test]
    fn different_replies_are_a_danger_under_suite_1_wherever_they_went() {
        for (suite, danger) in [(Suite::X25519AesGcm128, true), (Suite::X25519Aes256GcmSiv, false)] {
            for (has_key, first_is_true, second_is_true, found) in [
                (false, true, true, Some(false)),
                (false, true, false, Some(false)),
                (true, true, true, Some(true)),
                (true, true, false, None),
                (true, false, true, None),
            ] {
                let (secret, request) = request(suite);
                let [first, second] = [(first_is_true, b"yes"), (second_is_true, b"noo")].map(|(is_true, message)| {
                    let reply = reply_to(&secret, &request, message);
                    if is_true { reply } else { with_last_bit_changed(&reply) }
                });
                let mut scene = if has_key { Scene::with_keys(secret) } else { Scene::default() };
                scene.observe(&request, TO_SERVER);
                scene.observe(&first, TO_CLIENT);
                let events = scene.observe(&second, (SERVER, 666));
                let expected = found.map(|genuine| Event::DifferentReplies { than: 2, danger, genuine });
                assert_eq!(events[1..], expected.into_iter().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn two_different_replies_of_suite_1_are_found_without_their_request() {
        let (secret, request) = request(Suite::X25519AesGcm128);
        let mut scene = Scene::with_keys(secret.clone());
        scene.observe(&reply_to(&secret, &request, b"yes"), TO_CLIENT);
        let events = scene.observe(&reply_to(&secret, &request, b"no"), TO_CLIENT);
        assert_eq!(events, [Event::NoRequest, Event::DifferentReplies { than: 1, danger: true, genuine: true }]);
    }

    #[test]
    fn a_reply_opens_with_its_request_alone() {
        let (secret, request) = request(Suite::X25519Aes256GcmSiv);
        let reply = reply_to(&secret, &request, b"yes");

        let mut scene = Scene::with_keys(secret.clone());
        let (contents, events) = scene.look(&reply, TO_CLIENT);
        assert_eq!((contents.unopened, &events[..]), (Some(Unopened::RequestMissing), &[Event::NoRequest][..]));
        // One that was changed on its way opens nothing.
        scene.observe(&with_last_bit_changed(&request), TO_SERVER);
        assert_eq!(scene.look(&reply, TO_CLIENT).0.unopened, Some(Unopened::RequestUnopened));
        assert_eq!(scene.look(&request, TO_SERVER).0.opened.unwrap().message, b"ask");
        let (contents, events) = scene.look(&reply, TO_CLIENT);
        let opened = contents.opened.unwrap();
        assert_eq!((opened.message, opened.server_key), (b"yes".to_vec(), Some(secret.public_key().into())));
        // Linked to the request that it answers, not to the first one with its exchange value.
        assert_eq!(events[0], Event::Reply { to: 4, after: Some(1.0) });

        let other = SecretKey::generate(&mut SysRng).unwrap();
        let mut scene = Scene::with_keys(other);
        scene.observe(&request, TO_SERVER);
        assert_eq!(scene.look(&reply, TO_CLIENT).0.unopened, Some(Unopened::RequestUnopened));
    }

    #[test]
    fn copies_and_forgeries_do_not_keep_a_request_from_opening_its_replies() {
        let (secret, request) = request(Suite::X25519Aes256GcmSiv);
        let mut scene = Scene::with_keys(secret.clone());
        for index in 0..20 {
            let mut forged = request.clone();
            forged[20] ^= index;
            scene.observe(&forged, TO_SERVER);
            scene.observe(&request, TO_SERVER);
        }
        let transaction = scene.transactions.known.values().next().unwrap();
        assert_eq!((transaction.requests.len(), transaction.openers.len()), (MAX_PACKETS, 1));
        assert!(scene.look(&reply_to(&secret, &request, b"yes"), TO_CLIENT).0.opened.is_some());
    }

    #[test]
    fn requests_that_share_eight_bytes_have_their_own_replies() {
        // A generator that repeats itself makes two requests with the same exchange value.
        let secret = SecretKey::generate(&mut SysRng).unwrap();
        let [plain, padded] = [Padding::None, Padding::ToLength(100)].map(|padding| {
            let client = Client::new(secret.public_key()).unwrap().with_padding(padding).unwrap();
            client.seal_request_to_vec(&mut Constant, b"ask").unwrap().0
        });
        assert_eq!(plain[4..12], padded[4..12]);
        let mut scene = Scene::with_keys(secret.clone());
        scene.observe(&plain, TO_SERVER);
        scene.observe(&padded, TO_SERVER);
        for (number, request) in [(1, &plain), (2, &padded)] {
            let (contents, events) = scene.look(&reply_to(&secret, request, b"yes"), TO_CLIENT);
            assert_eq!(contents.opened.unwrap().message, b"yes");
            assert!(matches!(events[..], [Event::Reply { to, .. }] if to == number), "{events:?}");
        }
    }

    #[test]
    fn fresh_replies_stay_closed_and_may_both_be_true() {
        let secret = SecretKey::generate(&mut SysRng).unwrap();
        let client = Client::new(secret.public_key()).unwrap().with_fresh_replies().unwrap();
        let (request, _) = client.seal_request_to_vec(&mut SysRng, b"ask").unwrap();
        let mut scene = Scene::with_keys(secret.clone());
        let reply = reply_to(&secret, &request, b"yes");
        assert_eq!(scene.look(&reply, TO_CLIENT).0.unopened, Some(Unopened::FreshReply));
        assert!(scene.look(&request, TO_SERVER).0.opened.is_some());
        assert_eq!(scene.look(&reply, TO_CLIENT).0.unopened, Some(Unopened::FreshReply));
        let (contents, events) = scene.look(&reply_to(&secret, &request, b"no"), TO_CLIENT);
        assert!(contents.opened.is_none());
        assert_eq!(events[1], Event::DifferentReplies { than: 1, danger: false, genuine: false });
        // Without the flag it is a reply to another request.
        let mut plain = reply;
        plain[0] &= !0x08;
        let mut dissection = Dissection::of(&plain, plain.len());
        let observation =
            Observation { number: 9, time: None, source_port: SERVER, destination_port: CLIENT, packet: &plain };
        scene.transactions.observe(&mut dissection, &observation, scene.decryptor.as_ref());
        assert_eq!(dissection.client, Verdict::Refuses(Refusal::ReplyMismatch));
    }

    #[test]
    fn memory_is_bounded() {
        let mut scene = Scene::default();
        for value in 0..=u32::try_from(MAX_TRANSACTIONS).unwrap() {
            scene.observe(&packet(0, 1, value, b""), TO_SERVER);
        }
        for message in 0..20 {
            scene.observe(&packet(0x80, 1, 7, &[message]), TO_CLIENT);
        }
        assert_eq!(
            (scene.transactions.known.len(), scene.transactions.order.len()),
            (MAX_TRANSACTIONS, MAX_TRANSACTIONS)
        );
        assert_eq!(
            scene.transactions.known.values().map(|transaction| transaction.replies.len()).max(),
            Some(MAX_PACKETS)
        );
        // The oldest is forgotten, the second oldest is not.
        assert_eq!(scene.observe(&packet(0x80, 1, 1, b""), TO_CLIENT).len(), 1);
        assert_eq!(scene.observe(&packet(0x80, 1, 0, b""), TO_CLIENT), [Event::NoRequest]);
    }
}
