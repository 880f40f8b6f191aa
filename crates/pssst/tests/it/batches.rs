//! A batch gives what its packets give one by one, in their order, whatever it is mixed from and
//! whatever computes it. A failing case is printed shrunk, with its seed.

use core::cell::RefCell;
use core::fmt;
use std::collections::HashMap;

use aes::Aes128Enc;
use aes_gcm::KeyInit;
use aes_gcm::aes::cipher::BlockCipherEncrypt;
use proptest::collection::vec;
use proptest::prelude::*;
use pssst::rand_core::{Rng, TryCryptoRng, TryRng};
use pssst::{
    BATCH_LEN, Client, ClientCheck, ClientClaim, Error, KeyCheck, PendingReply, PublicKey, Refusal, ReplySealer,
    Request, SecretKey, Server, SharedSecret, Suite, SuiteSet, UnsealedRequest, XWingSecretKey,
};
use rand::rngs::ChaCha20Rng;
use sha2::{Digest, Sha256};

use crate::common::gf128::Element;
use crate::common::{
    ALL, Mode, Pair, SUITE_1, SUITES, aliases_of, backends, low_order_points, multiply, rng, server_secrets,
};

/// What may arrive.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Honest,
    Junk,
    Reply,
    ReservedFlag,
    UnknownSuite,
    ChangedTag,
    Truncated,
    WeakExchangeValue,
    ForgedProof,
    LowOrderClientKey,
    NoProof,
    Alias,
}

const KINDS: [Kind; 12] = [
    Kind::Honest,
    Kind::Junk,
    Kind::Reply,
    Kind::ReservedFlag,
    Kind::UnknownSuite,
    Kind::ChangedTag,
    Kind::Truncated,
    Kind::WeakExchangeValue,
    Kind::ForgedProof,
    Kind::LowOrderClientKey,
    Kind::NoProof,
    Kind::Alias,
];

/// A packet to make: its server key and its client, out of four each, and anything that its kind
/// leaves open.
#[derive(Clone, Debug)]
struct Plan {
    kind: Kind,
    modes: (Suite, Mode),
    server_key: usize,
    client: usize,
    which: usize,
    message: Vec<u8>,
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let kind = prop_oneof![2 => Just(Kind::Honest), 3 => prop::sample::select(KINDS.to_vec())];
    let modes = prop::sample::select(ALL.to_vec());
    (kind, modes, 0..4usize, 0..4usize, any::<usize>(), vec(any::<u8>(), 0..100)).prop_map(
        |(kind, modes, server_key, client, which, message)| Plan { kind, modes, server_key, client, which, message },
    )
}

fn secrets(rng: &mut ChaCha20Rng) -> [SecretKey; 4] {
    core::array::from_fn(|_| SecretKey::generate(rng).unwrap())
}

impl Plan {
    fn packet(&self, pair: &mut Pair, server_keys: &[XWingSecretKey; 4], identities: &[SecretKey; 4]) -> Vec<u8> {
        (pair.suite, pair.mode) = self.modes;
        pair.set_server(&server_keys[self.server_key]);
        pair.identity = identities[self.client].clone();
        let identity = pair.identity.public_key();
        let low_order = low_order_points();
        let mut changed_header = |bytes: [u8; 2], place: usize| {
            let mut packet = pair.seal(&self.message).0;
            packet[place..place + 2].copy_from_slice(&bytes);
            packet
        };
        match self.kind {
            Kind::Honest => pair.seal(&self.message).0,
            Kind::Junk => self.message.clone(),
            Kind::Reply => changed_header([0x80, 0], 0),
            Kind::ReservedFlag => changed_header([0, 1 << (self.which % 8)], 0),
            Kind::UnknownSuite => changed_header([0, 2], 2),
            Kind::ChangedTag => {
                let mut packet = pair.seal(&self.message).0;
                *packet.last_mut().unwrap() ^= 1;
                packet
            }
            Kind::Truncated => {
                let mut packet = pair.seal(&self.message).0;
                packet.truncate(self.which % packet.len());
                packet
            }
            Kind::WeakExchangeValue => {
                let mut packet = pair.seal(&self.message).0;
                packet[4..36].copy_from_slice(&low_order[self.which % low_order.len()]);
                packet
            }
            Kind::ForgedProof => {
                let ephemeral = SecretKey::generate(&mut pair.rng).unwrap();
                let x = *ephemeral.public_key().as_bytes();
                match pair.suite {
                    SUITE_1 => pair.seal_proof(x, *identity.as_bytes(), ephemeral.expose_bytes(), &self.message),
                    _ => pair.seal_claim(x, *identity.as_bytes(), [7; 32], &self.message),
                }
            }
            Kind::LowOrderClientKey => {
                let ephemeral = SecretKey::generate(&mut pair.rng).unwrap();
                let x = *ephemeral.public_key().as_bytes();
                let key = low_order[self.which % low_order.len()];
                match pair.suite {
                    SUITE_1 => pair.seal_proof(x, key, ephemeral.expose_bytes(), &self.message),
                    _ => pair.seal_claim(x, key, [0; 32], &self.message),
                }
            }
            Kind::NoProof => {
                let ephemeral = SecretKey::generate(&mut pair.rng).unwrap();
                let x = *ephemeral.public_key().as_bytes();
                if pair.suite == SUITE_1 {
                    let z = multiply(&pair.server_secret, &x);
                    let (key, plaintext) = (pair.server_secret.public_key().into(), &[7; 64][..self.which % 64]);
                    crate::common::seal_by_hand(SUITE_1, &key, x, z, Some(([0; 32], [0; 32])), plaintext)
                } else {
                    let mut packet = pair.seal_claim(x, *identity.as_bytes(), [7; 32], &self.message);
                    let claim = packet.len() - 16 - self.message.len() - 40;
                    packet[claim + self.which % 40] ^= 1;
                    packet
                }
            }
            Kind::Alias => pair.seal_as(aliases_of(&identity)[self.which % 8], &self.message),
        }
    }
}

/// All that can be seen of an outcome: message, client key, server key's place, suite, and a reply.
type Seen = Result<(Vec<u8>, Option<PublicKey>, usize, Suite, Vec<u8>), Refusal>;

fn see(outcome: Result<Request<'_>, Refusal>) -> Seen {
    outcome.map(|request| {
        let (client_key, index, suite) = (request.client_key().copied(), request.server_key_index(), request.suite());
        let message = request.message().to_vec();
        let reply = request.into_reply_sealer().seal_to_vec(&mut rng(0), b"answer").unwrap();
        (message, client_key, index, suite, reply)
    })
}

/// Outcomes, buffers afterwards, and the keys about which the caller was asked.
type Seens = (Vec<Seen>, Vec<Vec<u8>>, Vec<PublicKey>);

/// A client check that notes what it was asked. It computes secrets, or has a table of those of the
/// keys that it accepts.
struct Noting<'t, F> {
    check: F,
    /// By the server key's place and the client key.
    table: Option<&'t HashMap<(usize, PublicKey), [u8; 32]>>,
    asked: RefCell<Vec<PublicKey>>,
}

impl<F: Fn(&PublicKey) -> KeyCheck> ClientCheck for Noting<'_, F> {
    fn check(&self, claim: &ClientClaim<'_>) -> KeyCheck {
        self.asked.borrow_mut().push(*claim.key());
        (self.check)(claim.key())
    }

    fn look_up(&self, claim: &ClientClaim<'_>) -> SharedSecret {
        let Some(table) = self.table else { return SharedSecret::Compute };
        match table.get(&(claim.server_key_index(), *claim.key())) {
            Some(z2) => SharedSecret::Known((*z2).into()),
            None => SharedSecret::Unknown,
        }
    }
}

type Table<'t> = Option<&'t HashMap<(usize, PublicKey), [u8; 32]>>;

fn one_by_one(server: &Server, packets: &[Vec<u8>], table: Table<'_>, check: impl Fn(&PublicKey) -> KeyCheck) -> Seens {
    let mut packets = packets.to_vec();
    let check = Noting { check, table, asked: RefCell::new(Vec::new()) };
    let seen = packets.iter_mut().map(|packet| see(server.open_request_with(packet, &check))).collect();
    let mut asked = check.asked.into_inner();
    asked.sort();
    (seen, packets, asked)
}

fn batched(server: &Server, packets: &[Vec<u8>], table: Table<'_>, check: impl Fn(&PublicKey) -> KeyCheck) -> Seens {
    let (mut packets, mut seen) = (packets.to_vec(), Vec::new());
    let check = Noting { check, table, asked: RefCell::new(Vec::new()) };
    server.open_batch(packets.iter_mut().map(Vec::as_mut_slice), &check, |place, outcome| {
        assert_eq!(place, seen.len());
        seen.push(see(outcome));
    });
    let mut asked = check.asked.into_inner();
    asked.sort();
    (seen, packets, asked)
}

/// A server with so many of the keys, for each backend.
fn servers(pair: &Pair, keys: &[XWingSecretKey], suites: SuiteSet) -> impl Iterator<Item = Server> {
    backends().into_iter().map(move |x25519| {
        let keyring = crate::common::keyring(keys);
        pair.server_of(keyring).with_suites(suites).with_x25519(x25519)
    })
}

/// A generator that fails once, after so many draws.
struct Faltering {
    rng: ChaCha20Rng,
    draws_before: usize,
}

impl TryRng for Faltering {
    type Error = fmt::Error;

    fn try_next_u32(&mut self) -> Result<u32, fmt::Error> {
        Err(fmt::Error)
    }

    fn try_next_u64(&mut self) -> Result<u64, fmt::Error> {
        Err(fmt::Error)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), fmt::Error> {
        if self.draws_before == 0 {
            self.draws_before = usize::MAX;
            return Err(fmt::Error);
        }
        self.draws_before -= 1;
        self.rng.fill_bytes(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Faltering {}

/// Lengths of buffers, some of them too short.
fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![80..300usize, 1150..1300usize]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Some packets are for none of the keyring's keys, and one suite may be switched
    /// off.
    #[test]
    fn a_batch_gives_what_one_by_one_gives(
        seed: u64,
        plans in prop_oneof![vec(any_plan(), 0..20), vec(any_plan(), 60..150)],
        keys in 1..=3usize,
        suites in prop_oneof![
            3 => Just(SuiteSet::DATAGRAM),
            1 => prop::sample::select(SUITES.to_vec()).prop_map(|suite| SuiteSet::from_iter([suite])),
        ],
        salt: u8,
        with_table: bool,
    ) {
        let mut pair = Pair::new(seed, ALL[0]);
        let (server_keys, identities) = (server_secrets(&mut pair.rng), secrets(&mut pair.rng));
        let packets: Vec<_> = plans.iter().map(|plan| plan.packet(&mut pair, &server_keys, &identities)).collect();
        let check = |key: &PublicKey| match key.as_bytes()[0].wrapping_add(salt) % 4 {
            0 => KeyCheck::Accept,
            1 => KeyCheck::RejectUnknown,
            _ => KeyCheck::Validate,
        };
        // Some clients are enrolled, and the others are not in the table.
        let mut table = HashMap::new();
        for (place, server_key) in server_keys[..keys].iter().map(XWingSecretKey::x25519_part).enumerate() {
            for identity in identities.iter().map(SecretKey::public_key) {
                if check(&identity) != KeyCheck::RejectUnknown {
                    let z2 = multiply(&server_key, identity.as_bytes());
                    table.insert((place, identity), z2);
                    table.insert((keys + place, identity), z2);
                }
            }
        }
        let table = with_table.then_some(&table);
        for server in servers(&pair, &server_keys[..keys], suites) {
            prop_assert_eq!(batched(&server, &packets, table, check), one_by_one(&server, &packets, table, check));
        }
    }

    /// Clients of several servers, with and without an identity; now and then a buffer is too
    /// small, or the generator fails.
    #[test]
    fn a_sealed_batch_is_what_one_by_one_seals(
        seed: u64,
        requests in prop_oneof![
            vec((0..24usize, 0..100usize, sizes()), 0..20),
            vec((0..24usize, 0..100usize, sizes()), 60..150),
            // Of one client only.
            (0..24usize, vec((0..100usize, sizes()), 0..70)).prop_map(|(client, sizes)| {
                sizes.into_iter().map(|(message, buffer)| (client, message, buffer)).collect()
            }),
        ],
        draws_before in prop_oneof![Just(usize::MAX - 1), 0..150usize],
    ) {
        let mut pair = Pair::new(seed, ALL[0]);
        let server_keys: [_; 4] = server_secrets(&mut pair.rng);
        let rng = || Faltering { rng: rng(seed), draws_before };
        let message = [0x5a; 100];
        let server = servers(&pair, &server_keys[..2], SuiteSet::DATAGRAM).last().unwrap();

        for x25519 in backends() {
            let clients: Vec<_> = ALL
                .iter()
                .flat_map(|modes| [(modes, 0), (modes, 1)])
                .map(|(modes, server)| {
                    (pair.suite, pair.mode) = *modes;
                    pair.set_server(&server_keys[server]);
                    pair.client().with_x25519(x25519)
                })
                .collect();
            let buffers = || -> Vec<_> { requests.iter().map(|(_, _, len)| vec![0xaa; *len]).collect() };
            // The packet, and that what is pending opens the reply to it.
            let see = |outcome: Result<(&mut [u8], PendingReply), Error>| {
                outcome.map(|(packet, pending)| {
                    let sealer = server.open_request(&mut packet.to_vec()).unwrap().into_reply_sealer();
                    let reply = sealer.seal_to_vec(&mut crate::common::rng(0), b"answer").unwrap();
                    (packet.to_vec(), *pending.exchange_value(), pending.open_to_vec(&reply))
                })
            };

            let (mut buffers_one, mut rng_one, mut one_by_one) = (buffers(), rng(), Vec::new());
            for ((client, len, _), buffer) in requests.iter().zip(&mut buffers_one) {
                one_by_one.push(see(clients[*client].seal_request(&mut rng_one, &message[..*len], buffer)));
            }
            let (mut buffers_batch, mut rng_batch, mut batch) = (buffers(), rng(), Vec::new());
            let unsealed = requests.iter().zip(&mut buffers_batch).map(|((client, len, _), buffer)| UnsealedRequest {
                client: &clients[*client],
                message: &message[..*len],
                buffer,
            });
            Client::seal_batch(&mut rng_batch, unsealed, |place, outcome| {
                assert_eq!(place, batch.len());
                batch.push(see(outcome));
            });
            prop_assert_eq!(batch, one_by_one);
            prop_assert_eq!(buffers_batch, buffers_one);
            prop_assert_eq!(rng_batch.rng, rng_one.rng);
        }
    }
}

/// Not just alike, but right: each kind is refused for its cause, at its place, with every
/// backend.
#[test]
fn a_batch_tells_every_cause_at_its_place() {
    let mut pair = Pair::new(60, ALL[0]);
    let (server_keys, identities) = (server_secrets(&mut pair.rng), secrets(&mut pair.rng));
    let mut packets = Vec::new();
    let mut causes = Vec::new();
    for repeat in 0..8 {
        for kind in KINDS {
            for modes in ALL {
                let plan = Plan {
                    kind,
                    modes,
                    server_key: repeat % 2,
                    client: repeat % 4,
                    which: repeat,
                    message: vec![1; repeat],
                };
                packets.push(plan.packet(&mut pair, &server_keys, &identities));
                let is_suite_1 = modes.0 == SUITE_1;
                let front = if is_suite_1 { 52 } else { modes.0.request_overhead(modes.1.is_authenticated()) };
                causes.push(match kind {
                    Kind::Honest => None,
                    Kind::Reply => Some(Refusal::NotRequest),
                    Kind::ReservedFlag => Some(Refusal::ReservedFlags { bits: 1 << repeat }),
                    Kind::UnknownSuite => Some(Refusal::UnsupportedSuite { suite: 2 }),
                    Kind::Truncated if packets[packets.len() - 1].len() < front => Some(Refusal::Truncated),
                    Kind::ForgedProof | Kind::LowOrderClientKey if is_suite_1 => Some(Refusal::ClientAuthFailed),
                    Kind::NoProof if is_suite_1 => Some(Refusal::Truncated),
                    Kind::WeakExchangeValue | Kind::LowOrderClientKey => Some(Refusal::WeakKey),
                    Kind::ChangedTag | Kind::Truncated | Kind::ForgedProof | Kind::NoProof => {
                        Some(Refusal::DecryptFailed)
                    }
                    Kind::Junk => Some(Refusal::Truncated),
                    Kind::Alias => Some(Refusal::ClientKeyAlias),
                });
            }
        }
    }
    assert!(packets.len() > 2 * BATCH_LEN);
    for server in servers(&pair, &server_keys[..2], SuiteSet::DATAGRAM) {
        let (seen, buffers, asked) = batched(&server, &packets, None, |_| KeyCheck::Validate);
        assert_eq!(seen.iter().map(|seen| seen.as_ref().err().copied()).collect::<Vec<_>>(), causes);
        // Of every proof that was there, e is gone; and nobody was asked about a key that is
        // not proven.
        let proven = |seen: &Seen| matches!(seen, Ok((_, Some(_), ..)) | Err(Refusal::ClientKeyAlias));
        assert_eq!(asked.len(), seen.iter().filter(|seen| proven(seen)).count());
        for (seen, buffer) in seen.iter().zip(&buffers) {
            if buffer.get(2..4) == Some(&[0, 1]) && (proven(seen) || *seen == Err(Refusal::ClientAuthFailed)) {
                assert_eq!(buffer[68..100], [0; 32]);
            }
        }
        let (enrolled, _, _) = batched(&server, &packets, None, |_| KeyCheck::Accept);
        let (refused, _, _) = batched(&server, &packets, None, |_| KeyCheck::RejectUnknown);
        for ((seen, enrolled), refused) in seen.iter().zip(enrolled).zip(refused) {
            assert_eq!(enrolled.is_ok(), seen.is_ok() || *seen == Err(Refusal::ClientKeyAlias));
            assert_eq!(
                refused.err(),
                if proven(seen) { Some(Refusal::UnknownClient) } else { seen.as_ref().err().copied() }
            );
        }
    }
}

/// A packet of suite 1, with one block of message, that two servers open: AES-GCM does not commit
/// to its key, so anyone who knows both keys solves for the block of ciphertext to which both give
/// the same tag.
fn packet_for_two(ephemeral: &SecretKey, servers: [&PublicKey; 2]) -> Vec<u8> {
    let x = ephemeral.public_key();
    let header = [0, 0, 0, 1];
    let [one, other] = servers.map(|server| {
        let z = multiply(ephemeral, server.as_bytes());
        let d = Sha256::new().chain_update(x.as_bytes()).chain_update(z).finalize();
        let aes = Aes128Enc::new_from_slice(&d[..16]).unwrap();
        let encrypt = |block: [u8; 16]| {
            let mut block = block.into();
            aes.encrypt_block(&mut block);
            Element::of_block(&block)
        };
        let h = encrypt([0; 16]);
        let mask = encrypt([&d[16..24], b"RQST", &[0, 0, 0, 1]].concat().try_into().unwrap());
        // The tag is A·H³ + C·H² + L·H + mask: the factor of C, and the rest.
        let lengths = Element(((8 * 4) << 64) | (8 * 16));
        let rest = Element::of_block(&header).multiply(h.square()).plus(lengths).multiply(h).plus(mask);
        (h.square(), rest)
    });
    let ciphertext = one.1.plus(other.1).multiply(one.0.plus(other.0).invert());
    let tag = ciphertext.multiply(one.0).plus(one.1);
    [&header[..], x.as_bytes(), &ciphertext.0.to_be_bytes(), &tag.0.to_be_bytes()].concat()
}

/// Which key is tried first shows only where two would do.
#[test]
fn of_two_keys_that_open_a_packet_the_first_does() {
    let pair = Pair::new(62, ALL[0]);
    let mut rng = rng(62);
    let keys: [_; 4] = server_secrets(&mut rng);
    let publics = [0, 1].map(|key: usize| keys[key].x25519_part().public_key());
    let packets = [0; 3].map(|_| packet_for_two(&SecretKey::generate(&mut rng).unwrap(), publics.each_ref()));
    let check = |_: &PublicKey| KeyCheck::Validate;
    for order in [[0, 1], [1, 0]] {
        let in_order = order.map(|key| keys[key].clone());
        // Alone, each key opens it, to a message of its own.
        let [expected, by_the_other] =
            in_order.each_ref().map(|key| one_by_one(&Server::new(key.x25519_part()), &packets, None, check).0);
        for (message, other_message) in expected.iter().zip(&by_the_other) {
            assert_ne!(message.as_ref().unwrap().0, other_message.as_ref().unwrap().0);
        }
        for server in servers(&pair, &in_order, SuiteSet::DATAGRAM) {
            assert_eq!(one_by_one(&server, &packets, None, check).0, expected);
            assert_eq!(batched(&server, &packets, None, check).0, expected);
        }
    }
}

/// An iterator is asked for no more packets once it has ended, and nothing of it is lost between
/// two pieces.
#[test]
fn every_packet_of_every_length_of_batch_is_opened_once() {
    let mut pair = Pair::new(61, ALL[0]);
    let server = pair.server();
    let packets: Vec<_> = (0..=200u8).map(|n| pair.seal(&[n]).0).collect();
    for len in [0, 1, 2, 63, 64, 65, 66, 127, 128, 129, 192, 193, 200] {
        let mut packets = packets[..len].to_vec();
        let mut ended = false;
        let mut waiting = packets.iter_mut();
        let waiting = core::iter::from_fn(|| {
            assert!(!ended, "asked again");
            let packet = waiting.next().map(Vec::as_mut_slice);
            ended = packet.is_none();
            packet
        });
        let mut opened = 0;
        server.open_batch(waiting, &|_: &PublicKey| KeyCheck::Validate, |place, outcome| {
            assert_eq!((place, usize::from(outcome.unwrap().message()[0])), (opened, opened));
            opened += 1;
        });
        assert_eq!(opened, len);
    }
}

/// Fresh replies that were prepared together are those that are sealed one by one with the same
/// generator; the others are left as they are.
#[test]
fn prepared_replies_are_what_one_by_one_seals() {
    for x25519 in backends() {
        let mut pair = Pair::new(63, ALL[0]);
        let mut packets = Vec::new();
        for _ in 0..12 {
            for modes in ALL {
                (pair.suite, pair.mode) = modes;
                packets.push(pair.seal(b"poll").0);
            }
        }
        let server = pair.server().with_x25519(x25519);
        let sealers = || -> Vec<ReplySealer> {
            let mut packets = packets.clone();
            packets.iter_mut().map(|packet| server.open_request(packet).unwrap().into_reply_sealer()).collect()
        };
        let messages: Vec<_> = (0..packets.len()).map(|n| vec![7; n % 40]).collect();
        let seal = |sealers: Vec<ReplySealer>, rng: &mut ChaCha20Rng| -> Vec<_> {
            sealers.into_iter().zip(&messages).map(|(sealer, m)| sealer.seal_to_vec(rng, m).unwrap()).collect()
        };
        let one_by_one = seal(sealers(), &mut rng(64));
        let mut prepared = sealers();
        let mut rng = rng(64);
        let replies = prepared.iter_mut().zip(messages.iter().map(Vec::as_slice));
        ReplySealer::prepare_batch(&mut rng, replies).unwrap();
        assert_eq!(seal(prepared, &mut rng), one_by_one);
    }
}
