//! The server's rules beyond the vectors: keyring, suites, client keys and their aliases, buffers.

use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::thread::ScopedJoinHandle;

use curve25519_dalek::MontgomeryPoint;
use pssst::{
    Client, ClientCheck, ClientClaim, Error, FreshReplies, KeyCheck, Keyring, Product, PublicKey, Refusal, SecretKey,
    Server, SharedSecret, Suite, SuiteSet, XWingSecretKey,
};

use crate::common::{
    ALL, F002, F003, Mode, Pair, SUITE_1, SUITES, aliases_of, keyring, low_order_points, multiply, rng, seal_by_hand,
    server_secrets,
};

fn secrets<const N: usize>(seed: u64) -> [SecretKey; N] {
    let mut rng = rng(seed);
    core::array::from_fn(|_| SecretKey::generate(&mut rng).unwrap())
}

/// The seven neighbours at low-order distance and the other encoding all pass the proof;
/// none is reported.
#[test]
fn no_alias_of_a_client_key_is_an_identity() {
    for suite in SUITES {
        let mut pair = Pair::new(30, (suite, Mode::Authenticated));
        let key = pair.identity.public_key();
        let server = pair.server();
        assert_eq!(server.open_request(&mut pair.seal_as(*key.as_bytes(), b"hello")).unwrap().client_key(), Some(&key));

        for alias in aliases_of(&key) {
            assert_ne!(alias, *key.as_bytes());
            assert_eq!(multiply(&pair.server_secret, &alias), multiply(&pair.server_secret, key.as_bytes()));
            let mut packet = pair.seal_as(alias, b"hello");
            assert_eq!(server.open_request(&mut packet).err(), Some(Refusal::ClientKeyAlias));
            assert_eq!(PublicKey::from_bytes(alias).validate(), Err(Refusal::ClientKeyAlias));
        }
    }
}

/// Unreduced encodings, u + p: only nineteen field elements have one.
#[test]
fn unreduced_client_keys_are_aliases() {
    let mut unreduced = 0;
    for above_p in 2..19u8 {
        let mut small = [0; 32];
        small[0] = above_p;
        let mut large = [0xff; 32];
        (large[0], large[31]) = (0xed + above_p, 0x7f);
        // The points among them that are keys at all.
        if PublicKey::from_bytes(small).validate().is_ok() {
            unreduced += 1;
            assert_eq!(PublicKey::from_bytes(large).validate(), Err(Refusal::ClientKeyAlias), "p + {above_p}");
            let mut pair = Pair::new(31, (SUITE_1, Mode::Authenticated));
            let mut packet = pair.seal_as(large, b"hello");
            assert_eq!(pair.server().open_request(&mut packet).err(), Some(Refusal::ClientKeyAlias));
        }
    }
    // The base point, 9, is one of them.
    assert!(unreduced > 0);
    assert!(PublicKey::from_bytes(MontgomeryPoint::mul_base_clamped([1; 32]).to_bytes()).validate().is_ok());
}

///
#[test]
fn low_order_client_keys_are_refused() {
    for key in low_order_points() {
        assert_eq!(PublicKey::from_bytes(key).validate(), Err(Refusal::WeakKey));
        // x25519(e, C) is zero for every e, and a zero X opens nothing anyway; so the proof is put
        // over a true X.
        let mut pair = Pair::new(32, (SUITE_1, Mode::Authenticated));
        let ephemeral = SecretKey::generate(&mut pair.rng).unwrap();
        let x = *ephemeral.public_key().as_bytes();
        let mut packet = pair.seal_proof(x, key, ephemeral.expose_bytes(), b"");
        assert_eq!(pair.server().open_request(&mut packet).err(), Some(Refusal::ClientAuthFailed));
        // Under the others everyone knows Z2.
        pair.suite = F002;
        let packet = pair.seal_claim(x, key, [0; 32], b"");
        assert_eq!(pair.server().open_request(&mut packet.clone()).err(), Some(Refusal::WeakKey));
    }
}

/// A key that only the curve's twist has is nobody's.
#[test]
fn twist_points_are_not_keys() {
    let mut on_twist = 0;
    for byte in 2..40 {
        let mut key = [0; 32];
        key[0] = byte;
        if MontgomeryPoint(key).to_edwards(0).is_none() {
            on_twist += 1;
            assert_eq!(PublicKey::from_bytes(key).validate(), Err(Refusal::ClientKeyAlias));
        }
    }
    assert!(on_twist > 0);
}

/// The caller's list decides about exactly the bytes on it; the check runs for the others
/// only if it says so.
#[test]
fn enrolled_keys_skip_the_check() {
    let mut pair = Pair::new(33, (SUITE_1, Mode::Authenticated));
    let key = pair.identity.public_key();
    let alias = aliases_of(&key)[0];
    let server = pair.server();

    let enrolled_only = |asked: &PublicKey| {
        if *asked == key { KeyCheck::Accept } else { KeyCheck::RejectUnknown }
    };
    let mut packet = pair.seal_as(*key.as_bytes(), b"hello");
    assert_eq!(server.open_request_with(&mut packet, &enrolled_only).unwrap().client_key(), Some(&key));
    let mut packet = pair.seal_as(alias, b"hello");
    assert_eq!(server.open_request_with(&mut packet, &enrolled_only).err(), Some(Refusal::UnknownClient));

    // That no check runs for an enrolled key shows only where the caller enrolled what it should
    // not have.
    let mut packet = pair.seal_as(alias, b"hello");
    let request = server.open_request_with(&mut packet, &|_: &PublicKey| KeyCheck::Accept).unwrap();
    assert_eq!(request.client_key(), Some(&PublicKey::from_bytes(alias)));

    // The caller is asked once, about a proven key, and not at all without one.
    let asked = Cell::new(0);
    let count = |_: &PublicKey| {
        asked.set(asked.get() + 1);
        KeyCheck::Validate
    };
    let (mut packet, _) = pair.seal(b"");
    server.open_request_with(&mut packet, &count).unwrap();
    assert_eq!(asked.get(), 1);
    let stranger = secrets::<1>(34)[0].public_key();
    let ephemeral = SecretKey::generate(&mut pair.rng).unwrap();
    let x = *ephemeral.public_key().as_bytes();
    let mut packet = pair.seal_proof(x, *stranger.as_bytes(), ephemeral.expose_bytes(), b"");
    assert_eq!(server.open_request_with(&mut packet, &count).err(), Some(Refusal::ClientAuthFailed));
    pair.mode = Mode::Anonymous;
    let (mut packet, _) = pair.seal(b"");
    server.open_request_with(&mut packet, &count).unwrap();
    assert_eq!(asked.get(), 1);
}

/// By itself and in a batch.
#[test]
fn clients_on_the_list_can_be_denied() {
    let mut pair = Pair::new(43, (SUITE_1, Mode::Authenticated));
    let server = pair.server();
    let mut packets: Vec<_> = (0..3).map(|_| pair.seal(b"hello").0).collect();
    let denied = server.open_request_with(&mut packets[0], &|_: &PublicKey| KeyCheck::RejectInactive).err();
    assert_eq!(denied, Some(Refusal::ClientRefused));
    server.open_batch(
        packets[1..].iter_mut().map(Vec::as_mut_slice),
        &|_: &PublicKey| KeyCheck::RejectInactive,
        |_, outcome| assert_eq!(outcome.err(), Some(Refusal::ClientRefused)),
    );
}

/// By itself and in a batch. What is wrong with the header is said first; what is wrong with
/// the rest costs a multiplication to find out, and so is not looked for.
#[test]
fn anonymous_requests_can_be_refused() {
    for suite in SUITES {
        let mut pair = Pair::new(44, (suite, Mode::Authenticated));
        let (mut authenticated, _) = pair.seal(b"hello");
        pair.mode = Mode::Anonymous;
        let anonymous = pair.seal(b"hello").0;
        let mut weak = anonymous.clone();
        weak[4..36].fill(0);
        let mut reply = anonymous.clone();
        reply[0] |= 0x80;
        let server = pair.server().authenticated_only();

        let mut cases = [
            (anonymous, Refusal::AnonymousRefused),
            (weak, Refusal::AnonymousRefused),
            (vec![0, 0, 0, 2].into_iter().chain([7; 48]).collect(), Refusal::UnsupportedSuite { suite: 2 }),
            (reply, Refusal::NotRequest),
        ];
        for (packet, cause) in &mut cases {
            assert_eq!(server.open_request(packet).err(), Some(*cause));
        }
        let expected = cases.each_ref().map(|(_, cause)| *cause);
        server.open_batch(
            cases.iter_mut().map(|(packet, _)| packet.as_mut_slice()),
            &|_: &PublicKey| KeyCheck::Validate,
            |place, outcome| assert_eq!(outcome.err(), Some(expected[place])),
        );
        assert_eq!(server.open_request(&mut authenticated).unwrap().message(), b"hello");
    }
}

/// The client's ephemeral secret, which would open its packets, does not stay in the buffer.
#[test]
fn the_proofs_secret_is_wiped_from_the_buffer() {
    let mut pair = Pair::new(35, (SUITE_1, Mode::Authenticated));
    let (mut packet, _) = pair.seal(b"message");
    pair.server().open_request(&mut packet).unwrap();
    assert_eq!(packet[36..68], *pair.identity.public_key().as_bytes());
    assert_eq!(packet[68..100], [0; 32]);
    assert_eq!(&packet[100..107], b"message");
}

///
#[test]
fn keys_are_tried_in_order_and_the_one_that_opened_is_told() {
    for (suite, mode) in ALL {
        let mut pair = Pair::new(36, (suite, mode));
        let keys: [XWingSecretKey; 4] = server_secrets(&mut rng(37));
        let keyring = keyring(&keys);
        let publics: Vec<_> = keyring.public_keys().copied().collect();
        assert_eq!(publics, keys.each_ref().map(|key| key.x25519_part().public_key()));
        let first = if suite == F003 { 4 } else { 0 };
        let server_keys: Vec<_> = keyring.server_keys().collect();
        assert_eq!(server_keys.len(), Keyring::MAX_KEYS);
        let server = pair.server_of(keyring);

        for (place, key) in keys.iter().enumerate() {
            pair.set_server(key);
            assert_eq!(server_keys[first + place], pair.server_key());
            let (mut packet, pending) = pair.seal(b"for one of them");
            let request = server.open_request(&mut packet).unwrap();
            assert_eq!((request.server_key_index(), request.message()), (first + place, &b"for one of them"[..]));
            assert_eq!(request.client_key().copied(), pair.client_key());
            let reply = request.into_reply_sealer().seal_to_vec(&mut pair.rng, b"answer").unwrap();
            assert_eq!(pending.open_to_vec(&reply).unwrap(), b"answer");
        }

        // A packet that some key opened is not tried further, however bad its proof.
        if mode == Mode::Authenticated {
            pair.set_server(&keys[2]);
            let alias = aliases_of(&pair.identity.public_key())[3];
            let mut packet = pair.seal_as(alias, b"hello");
            assert_eq!(server.open_request(&mut packet).err(), Some(Refusal::ClientKeyAlias));
        }
        pair.set_server(&server_secrets::<1>(&mut rng(38))[0]);
        assert_eq!(server.open_request(&mut pair.seal(b"").0).err(), Some(Refusal::DecryptFailed));
    }
}

#[test]
fn a_keyring_is_bounded_and_holds_no_key_twice() {
    let keys: [SecretKey; 5] = secrets(39);
    let mut keyring = Keyring::new(keys[0].clone());
    for key in &keys[..4] {
        keyring = keyring.with_key(key.clone()).unwrap();
        keyring = keyring.with_key(key.clone()).unwrap();
    }
    assert_eq!(keyring.public_keys().count(), Keyring::CAPACITY);
    assert_eq!(keyring.with_key(keys[4].clone()).err(), Some(Error::KeyringFull));
}

/// Requests stream in from two threads while a third swaps the whole server a hundred
/// times. Every request is answered, though the server may be another when it comes in, and yet
/// another when its reply is sealed.
#[test]
fn the_keyring_is_replaced_whole_while_requests_stream_in() {
    let keys: [SecretKey; 8] = secrets(40);
    let server_with = |place: usize| {
        let [current, previous] = [place, place + 7].map(|place| keys[place % 8].clone());
        Arc::new(Server::new(Keyring::new(current).with_key(previous).unwrap()))
    };
    let serving = RwLock::new(server_with(0));
    let now = || Arc::clone(&serving.read().unwrap());
    let answered = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let (swaps, in_flight_swaps) = (AtomicUsize::new(0), AtomicUsize::new(0));

    std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for (thread, answered) in answered.iter().enumerate() {
            let (now, swaps, in_flight_swaps) = (&now, &swaps, &in_flight_swaps);
            workers.push(scope.spawn(move || {
                let mut rng = rng(41 + thread as u64);
                while swaps.load(Ordering::SeqCst) < 100 {
                    let before = swaps.load(Ordering::SeqCst);
                    let client = Client::new(*now().keyring().public_keys().next().unwrap()).unwrap();
                    let (mut packet, pending) = client.seal_request_to_vec(&mut rng, b"in flight").unwrap();
                    std::thread::yield_now();
                    let sealer = now().open_request(&mut packet).unwrap().into_reply_sealer();
                    std::thread::yield_now();
                    let reply = sealer.seal_to_vec(&mut rng, b"answered").unwrap();
                    assert_eq!(pending.open_to_vec(&reply).unwrap(), b"answered");
                    in_flight_swaps.fetch_add(swaps.load(Ordering::SeqCst) - before, Ordering::SeqCst);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            }));
        }
        for place in 1..=100 {
            *serving.write().unwrap() = server_with(place);
            // The keyring knows one previous key, so a request may meet one swap: wait until both
            // threads are past it.
            let seen = answered.each_ref().map(|answered| answered.load(Ordering::SeqCst));
            swaps.store(place, Ordering::SeqCst);
            while answered.iter().zip(seen).any(|(answered, seen)| answered.load(Ordering::SeqCst) == seen) {
                // A thread that ended early failed: let the other end too, and the test fail.
                if workers.iter().any(ScopedJoinHandle::is_finished) {
                    return swaps.store(100, Ordering::SeqCst);
                }
                std::thread::yield_now();
            }
        }
    });
    assert!(in_flight_swaps.into_inner() > 0, "no request met a swap");
}

///
#[test]
fn a_server_accepts_the_suites_it_was_given() {
    for (accepted, refused) in [(SUITE_1, F002), (F002, F003), (F003, SUITE_1)] {
        let mut pair = Pair::new(43, (accepted, Mode::Anonymous));
        let server = pair.server().with_suites(SuiteSet::from_iter([accepted]));
        assert!(server.suites().iter().eq([accepted]));
        assert!(server.open_request(&mut pair.seal(b"").0).is_ok());
        pair.suite = refused;
        let expected = Refusal::UnsupportedSuite { suite: refused.number() };
        assert_eq!(server.open_request(&mut pair.seal(b"").0).err(), Some(expected));
        assert!(pair.server().open_request(&mut pair.seal(b"").0).is_ok());
    }
    let numbers = Suite::ALL.map(Suite::number);
    assert_eq!(numbers, [0x0001, 0xf002, 0xf003, 0xf0e1]);
    for number in (0..=u16::MAX).filter(|number| !numbers.contains(number)) {
        assert_eq!(Suite::from_number(number), Err(Refusal::UnsupportedSuite { suite: number }));
    }
    for suite in Suite::ALL {
        assert_eq!(Suite::from_number(suite.number()), Ok(suite));
        assert_eq!(SuiteSet::DATAGRAM.contains(suite), suite != Suite::X25519Aes256GcmSivEnrollment);
        assert!(SuiteSet::from_iter([suite, suite]).contains(suite), "named twice is in, not out");
        assert!(!SuiteSet::DATAGRAM.without(suite).contains(suite));
    }
}

/// A suite that the server has no key for is one that it does not accept.
#[test]
fn a_suite_without_a_key_is_not_accepted() {
    let server = Server::new(secrets::<1>(49)[0].clone()).with_suites(Suite::ALL.into_iter().collect());
    assert!(!server.suites().contains(Suite::XWingAes256GcmSiv));
    let mut packet = vec![0, 0, 0xf0, 0x03];
    packet.resize(1140, 7);
    assert_eq!(server.open_request(&mut packet).err(), Some(Refusal::UnsupportedSuite { suite: 0xf003 }));
}

///
#[test]
fn low_order_server_keys_make_no_client() {
    for key in low_order_points() {
        assert_eq!(Client::new(PublicKey::from_bytes(key)).err(), Some(Refusal::WeakKey.into()));
    }
}

/// Another encoding of an exchange value opens like any other, and derives other keys.
#[test]
fn exchange_values_in_other_encodings_are_opened_as_received() {
    for suite in SUITES {
        let mut pair = Pair::new(44, (suite, Mode::Anonymous));
        let server_key = pair.server_key();
        let s = pair.server_secret.public_key();
        let ephemeral = SecretKey::generate(&mut pair.rng).unwrap();
        let mut x = *ephemeral.public_key().as_bytes();
        let z = multiply(&ephemeral, s.as_bytes());
        let canonical = seal_by_hand(suite, &server_key, x, z, None, b"same X, same Z");
        x[31] |= 0x80;
        let mut packet = seal_by_hand(suite, &server_key, x, z, None, b"same X, same Z");
        assert_ne!(packet[36..], canonical[36..]);

        let server = pair.server();
        let request = server.open_request(&mut packet).unwrap();
        assert_eq!((request.message(), request.exchange_value()), (&b"same X, same Z"[..], &x));

        // 9 + p, the base point unreduced, whose Z is the server's public key.
        let mut x = [0xff; 32];
        (x[0], x[31]) = (0xed + 9, 0x7f);
        let z = *s.as_bytes();
        let mut packet = seal_by_hand(suite, &server_key, x, z, None, b"unreduced");
        assert_eq!(server.open_request(&mut packet).unwrap().message(), b"unreduced");
    }
}

/// No suite, mode or server shares a transaction's key with another; under suite 1 they can.
#[test]
fn suite_f002_binds_header_and_server_key() {
    let pair = Pair::new(45, (F002, Mode::Anonymous));
    let other_server = secrets::<1>(46)[0].public_key().into();
    let ephemeral = &secrets::<1>(47)[0];
    let x = *ephemeral.public_key().as_bytes();
    let z = multiply(ephemeral, pair.server_secret.public_key().as_bytes());

    let mut packet = seal_by_hand(F002, &other_server, x, z, None, b"");
    assert_eq!(pair.server().open_request(&mut packet).err(), Some(Refusal::DecryptFailed));
    let mut packet = seal_by_hand(SUITE_1, &other_server, x, z, None, b"");
    assert!(pair.server().open_request(&mut packet).is_ok());
}

/// A reply needs a buffer of its size; no more of it is written, and a refusal writes
/// nothing.
#[test]
fn replies_are_written_once_into_the_callers_buffer() {
    for modes in ALL {
        let mut pair = Pair::new(48, modes);
        let server = pair.server();
        let (packet, pending) = pair.seal(b"ask");
        let sealer = || server.open_request(&mut packet.clone()).unwrap().into_reply_sealer();
        let rng = || rng(50);
        let expected = sealer().seal_to_vec(&mut rng(), b"answer").unwrap();
        let len = expected.len();
        assert_eq!(sealer().packet_len(6), len);

        let mut buffer = vec![0xaa; len + 42];
        assert_eq!(sealer().seal(&mut rng(), b"answer", &mut buffer).unwrap(), &expected);
        assert_eq!(buffer[len..], [0xaa; 42]);

        let mut buffer = vec![0xaa; len];
        let sealer_in_place = sealer();
        buffer[sealer_in_place.message_offset()..][..6].copy_from_slice(b"answer");
        assert_eq!(sealer_in_place.seal_in_place(&mut rng(), 6, &mut buffer).unwrap(), &expected);
        assert_eq!(pending.open(&mut buffer).unwrap(), b"answer");

        let mut small = vec![0xaa; len - 1];
        let too_small = Err(Error::BufferTooSmall { needed: len });
        assert_eq!(sealer().seal(&mut rng(), b"answer", &mut small), too_small);
        assert_eq!(small, vec![0xaa; len - 1]);
        assert_eq!(sealer().seal_in_place(&mut rng(), 6, &mut small), too_small);

        let client = pair.client();
        let needed = client.packet_len(3).unwrap();
        let mut small = vec![0xaa; needed - 1];
        let refused = client.seal_request(&mut pair.rng, b"ask", &mut small).err();
        assert_eq!(refused, Some(Error::BufferTooSmall { needed }));
        assert_eq!(small, vec![0xaa; needed - 1]);
    }
}

/// A device that holds Z2 instead of c is served as the one that holds c.
#[test]
fn clients_that_hold_a_precomputed_secret_are_served() {
    for (seed, (suite, mode)) in (700..).zip(ALL) {
        if !mode.is_authenticated() {
            continue;
        }
        let mut pair = Pair::new(seed, (suite, mode));
        let client_key = pair.identity.public_key();
        let z2 = multiply(&pair.identity, pair.server_key().x25519_part().as_bytes());
        let client = Client::new(pair.server_key()).unwrap().with_suite(suite).unwrap();
        let mut client = client.as_precomputed(client_key, &z2).unwrap();
        if mode.has_psk() {
            client = client.with_psk(pair.master.psk(&client_key)).unwrap();
        }
        let (mut packet, pending) = client.seal_request_to_vec(&mut pair.rng, b"level?").unwrap();
        let server = pair.server().with_fresh_replies(FreshReplies::Allow);
        let request = server.open_request(&mut packet).unwrap();
        assert_eq!((request.client_key(), request.message()), (Some(&client_key), &b"level?"[..]));
        let mut reply = request.into_reply_sealer().seal_to_vec(&mut pair.rng, b"23 m").unwrap();
        assert_eq!(pending.open(&mut reply).unwrap(), b"23 m");
    }
    let pair = Pair::new(710, ALL[0]);
    let weak = Client::from_precomputed(pair.server_secret.public_key(), pair.identity.public_key(), &[0; 32]);
    assert!(matches!(weak, Err(Error::Refused(Refusal::WeakKey))), "{weak:?}");
}

/// Both kinds of keys, and clients in and around whole batches.
#[test]
fn a_keyring_computes_what_clients_share_with_each_key() {
    let mut rng = rng(70);
    let server_secrets = server_secrets::<2>(&mut rng);
    let keyring = keyring(&server_secrets);
    let scalars = server_secrets.each_ref().map(XWingSecretKey::x25519_part);
    let clients: Vec<_> =
        (0..200).map(|_| SecretKey::generate(&mut rng).unwrap().public_key()).chain([[0; 32].into()]).collect();
    for len in [0, 1, 63, 64, 65, 201] {
        for index in 0..4 {
            let mut shared: Vec<_> = (0..len).map(|_| Product::default()).collect();
            keyring.clone().shared_secrets(index, &clients[..len], &mut shared).unwrap();
            for (client, shared) in clients.iter().zip(shared) {
                assert_eq!(*shared.as_bytes(), multiply(&scalars[index % 2], client.as_bytes()));
            }
        }
    }
    let mut shared = [Product::default()];
    for (index, clients) in [(4, &clients[..1]), (0, &clients[..2]), (0, &[])] {
        assert_eq!(keyring.shared_secrets(index, clients, &mut shared), Err(Error::OutOfRange));
    }
    assert!(bool::from(shared[0].is_zero()));
}

/// A table's check, which counts how often it is asked.
struct Tabled {
    z2: Option<[u8; 32]>,
    verdict: KeyCheck,
    asked: Cell<usize>,
}

impl ClientCheck for Tabled {
    fn check(&self, _: &ClientClaim<'_>) -> KeyCheck {
        self.asked.set(self.asked.get() + 1);
        self.verdict
    }

    fn look_up(&self, _: &ClientClaim<'_>) -> SharedSecret {
        self.z2.map_or(SharedSecret::Unknown, |z2| SharedSecret::Known(z2.into()))
    }
}

/// What remembers is asked about those who proved their key, and decides.
#[test]
fn a_table_gives_the_secret_and_the_check_decides_after_decryption() {
    for (suite, mode) in ALL.into_iter().filter(|(suite, mode)| *suite != SUITE_1 && mode.is_authenticated()) {
        let mut pair = Pair::new(71, (suite, mode));
        let z2 = multiply(&pair.server_secret, pair.identity.public_key().as_bytes());
        let (packet, _) = pair.seal(b"hello");
        let mut broken = packet.clone();
        *broken.last_mut().unwrap() ^= 1;
        let open = |z2, verdict, packet: &[u8]| {
            let check = Tabled { z2, verdict, asked: Cell::new(0) };
            let outcome = pair.server().open_request_with(&mut packet.to_vec(), &check).map(drop);
            (outcome, check.asked.get())
        };
        assert_eq!(open(Some(z2), KeyCheck::Accept, &packet), (Ok(()), 1));
        assert_eq!(open(Some(z2), KeyCheck::Validate, &packet), (Ok(()), 1));
        assert_eq!(open(Some(z2), KeyCheck::RejectInactive, &packet), (Err(Refusal::ClientRefused), 1));
        assert_eq!(open(Some(z2), KeyCheck::RejectUnknown, &packet), (Err(Refusal::UnknownClient), 1));
        assert_eq!(open(Some(z2), KeyCheck::Accept, &broken), (Err(Refusal::DecryptFailed), 0));
        assert_eq!(open(Some([1; 32]), KeyCheck::Accept, &packet), (Err(Refusal::DecryptFailed), 0));
        assert_eq!(open(None, KeyCheck::Accept, &packet), (Err(Refusal::DecryptFailed), 0));
    }
}
