//! What must hold for any message, any packet and any garbage. A failing case is printed shrunk,
//! with its seed.

use curve25519_dalek::MontgomeryPoint;
use curve25519_dalek::constants::EIGHT_TORSION;
use proptest::collection::vec;
use proptest::prelude::*;
use pssst::{PublicKey, Refusal, SecretKey, Suite};

use crate::common::{ALL, F002, F003, Mode, Pair, SUITE_1, keyring, server_secrets};

/// Bytes of the largest UDP payload over IPv4.
const MAX_DATAGRAM: usize = 65_507;

fn any_modes() -> impl Strategy<Value = (Suite, Mode)> {
    (0..ALL.len()).prop_map(|place| ALL[place])
}

/// Mostly the sizes of real packets, now and then one of any size that a datagram can have.
fn any_garbage() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => vec(any::<u8>(), 0..200), 1 => vec(any::<u8>(), 0..=MAX_DATAGRAM)]
}

/// Garbage behind a header that lets it pass the first checks.
fn garbage_with_header() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop::sample::select(vec![0x0000u16, 0x4000, 0x7800, 0x8000, 0xc000, 0xd800, 0x0001]);
    let suite = prop::sample::select(vec![0x0001u16, 0xf002, 0xf003, 0xf0e1, 0x0000]);
    (flags, suite, any_garbage())
        .prop_map(|(flags, suite, rest)| [&flags.to_be_bytes()[..], &suite.to_be_bytes(), &rest].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    ///
    #[test]
    fn any_message_of_any_size_makes_the_round_trip(
        seed: u64,
        modes in any_modes(),
        message in prop_oneof![4 => vec(any::<u8>(), 0..300), 1 => vec(any::<u8>(), 0..MAX_DATAGRAM - 1205)],
        answer in prop_oneof![4 => vec(any::<u8>(), 0..300), 1 => vec(any::<u8>(), 0..MAX_DATAGRAM - 52)],
    ) {
        let mut pair = Pair::new(seed, modes);
        let (mut packet, pending) = pair.seal(&message);
        let server = pair.server();
        let request = server.open_request(&mut packet).unwrap();
        prop_assert_eq!(request.message(), &message);
        prop_assert_eq!(request.client_key().copied(), pair.client_key());
        prop_assert_eq!(request.server_key_index(), usize::from(modes.0 == F003));
        let reply = request.into_reply_sealer().seal_to_vec(&mut pair.rng, &answer).unwrap();
        prop_assert_eq!(pending.open_to_vec(&reply).unwrap(), answer);
    }

    /// And what was refused is left as it was, for another key to try.
    #[test]
    fn any_flipped_bit_of_any_packet_is_refused(
        seed: u64,
        modes in any_modes(),
        message in vec(any::<u8>(), 0..1200),
        place: prop::sample::Index,
    ) {
        let mut pair = Pair::new(seed, modes);
        let (packet, pending) = pair.seal(&message);
        let reply = pair.answer(&packet, &message);

        let flip = |packet: &[u8]| {
            let mut packet = packet.to_vec();
            let bit = place.index(packet.len() * 8);
            packet[bit / 8] ^= 1 << (bit % 8);
            packet
        };
        let mut changed = flip(&packet);
        prop_assert!(pair.server().open_request(&mut changed).is_err());
        prop_assert_eq!(changed, flip(&packet));
        let mut changed = flip(&reply);
        prop_assert!(pending.open(&mut changed).is_err());
        prop_assert_eq!(changed, flip(&reply));
        prop_assert_eq!(pending.open_to_vec(&reply).unwrap(), message);
    }

    ///
    #[test]
    fn any_truncation_and_any_extension_is_refused(
        seed: u64,
        modes in any_modes(),
        message in vec(any::<u8>(), 0..300),
        extra in vec(any::<u8>(), 1..300),
        cut: prop::sample::Index,
    ) {
        let mut pair = Pair::new(seed, modes);
        let (packet, pending) = pair.seal(&message);
        let reply = pair.answer(&packet, &message);
        for whole in [&packet, &reply] {
            for mut changed in [whole[..cut.index(whole.len())].to_vec(), [&whole[..], &extra].concat()] {
                let shortest = match (modes, whole == &packet) {
                    ((SUITE_1, _), _) => 52,
                    ((suite, mode), true) => suite.request_overhead(mode.is_authenticated()),
                    ((suite, mode), false) => suite.reply_overhead(mode.is_fresh()),
                };
                let expected =
                    if changed.len() < shortest { Refusal::Truncated } else { Refusal::DecryptFailed };
                let outcome = if whole == &packet {
                    pair.server().open_request(&mut changed).err()
                } else {
                    pending.open(&mut changed).err()
                };
                prop_assert_eq!(outcome, Some(expected));
            }
        }
    }

    ///
    #[test]
    fn any_garbage_gives_an_error_at_both_ends(
        seed: u64,
        modes in any_modes(),
        garbage in prop_oneof![any_garbage(), garbage_with_header()],
    ) {
        let mut pair = Pair::new(seed, modes);
        let [second] = server_secrets(&mut pair.rng);
        let server = pair.server_of(keyring(&[pair.xwing_secret.clone(), second]));
        let (_, pending) = pair.seal(b"");
        prop_assert!(server.open_request(&mut garbage.clone()).is_err());
        prop_assert!(pending.open(&mut garbage.clone()).is_err());
        // Also as the reply that it pretends to be.
        let mut garbage = garbage;
        if let Some(front) = garbage.get_mut(4..36) {
            front.copy_from_slice(pending.exchange_value());
            prop_assert!(pending.open(&mut garbage).is_err());
        }
    }

    /// A sender that holds to the key agreement can put any plaintext in its
    /// packet.
    #[test]
    fn any_plaintext_of_an_authenticated_request_gives_an_outcome(
        seed: u64,
        plaintext in vec(any::<u8>(), 0..200),
        client_key in prop::option::of(any::<[u8; 32]>()),
    ) {
        let mut pair = Pair::new(seed, (SUITE_1, Mode::Anonymous));
        let ephemeral = SecretKey::generate(&mut pair.rng).unwrap();
        let x = *ephemeral.public_key().as_bytes();
        let z = crate::common::multiply(&pair.server_secret, &x);
        let mut plaintext = plaintext;
        if let (Some(key), Some(place)) = (client_key, plaintext.get_mut(..32)) {
            place.copy_from_slice(&key);
        }
        let client = Some(([0; 32], [0; 32]));
        let mut packet =
            crate::common::seal_by_hand(SUITE_1, &pair.server_secret.public_key().into(), x, z, client, &plaintext);
        let expected = if plaintext.len() < 64 { Refusal::Truncated } else { Refusal::ClientAuthFailed };
        prop_assert_eq!(pair.server().open_request(&mut packet).err(), Some(expected));
    }

    /// A sender that holds to the key agreement, and knows the server's secret too,
    /// can name any client and put any plaintext in its packet.
    #[test]
    fn any_claim_and_any_padding_gives_an_outcome(
        seed: u64,
        client_key: [u8; 32],
        z2: [u8; 32],
        plaintext in vec(any::<u8>(), 0..200),
    ) {
        let mut pair = Pair::new(seed, (F002, Mode::Authenticated));
        let x = *SecretKey::generate(&mut pair.rng).unwrap().public_key().as_bytes();
        let mut packet = pair.seal_claim(x, client_key, z2, &plaintext);
        prop_assert_eq!(pair.server().open_request(&mut packet).err(), Some(Refusal::DecryptFailed));
        let z2 = crate::common::multiply(&pair.server_secret, &client_key);
        let mut packet = pair.seal_claim(x, client_key, z2, &plaintext);
        let expected = PublicKey::from_bytes(client_key).validate().err();
        prop_assert_eq!(pair.server().open_request(&mut packet).err(), expected);
    }

    ///
    #[test]
    fn a_reply_opens_under_its_own_request_only(seed: u64, modes in any_modes(), message in vec(any::<u8>(), 0..64)) {
        let mut pair = Pair::new(seed, modes);
        let (first, first_pending) = pair.seal(&message);
        let (second, second_pending) = pair.seal(&message);
        let (first, second) = (pair.answer(&first, &message), pair.answer(&second, &message));
        prop_assert_eq!(second_pending.open_to_vec(&first), Err(Refusal::ReplyMismatch));
        prop_assert_eq!(first_pending.open_to_vec(&second), Err(Refusal::ReplyMismatch));
        prop_assert_eq!(first_pending.open_to_vec(&first).unwrap(), &message[..]);
        prop_assert_eq!(second_pending.open_to_vec(&second).unwrap(), &message[..]);
    }

    /// What validation says of any key and of what is near it, another library's arithmetic
    /// says too.
    #[test]
    fn a_key_is_valid_when_it_is_canonical_and_multiplied_by_the_order_is_zero(
        key in prop_oneof![any::<[u8; 32]>(), any::<[u8; 32]>().prop_map(|key| {
            *SecretKey::from_bytes(key).public_key().as_bytes()
        })],
        alias in 0..9usize,
    ) {
        let mut key = PublicKey::from_bytes(key);
        if let Some(point) = MontgomeryPoint(*key.as_bytes()).to_edwards(0) && alias < 8 {
            key = PublicKey::from_bytes((point + EIGHT_TORSION[alias]).to_montgomery().to_bytes());
        }
        let expected = match MontgomeryPoint(*key.as_bytes()).to_edwards(0) {
            Some(point) if point.is_small_order() => Err(Refusal::WeakKey),
            Some(point) if point.is_torsion_free() && point.to_montgomery().to_bytes() == *key.as_bytes() => Ok(()),
            _ => Err(Refusal::ClientKeyAlias),
        };
        prop_assert_eq!(key.validate(), expected);
    }

    ///
    #[test]
    fn any_text_read_as_a_key_gives_an_outcome(text in ".{0,200}", hex in "[0-9a-fA-F]{60,68}") {
        prop_assert!(SecretKey::from_text(&text).is_err());
        prop_assert!(PublicKey::from_text(&text).is_err());
        prop_assert_eq!(SecretKey::from_text(&hex).is_ok(), hex.len() == 64);
        prop_assert_eq!(PublicKey::from_text(&hex).is_ok(), hex.len() == 64);
    }
}

/// Every length that a datagram can have, and every header that passes the cheap
/// checks.
#[test]
fn zeros_of_every_length_give_an_error() {
    let pair = Pair::new(20, ALL[0]);
    let server = pair.server();
    let mut buffer = vec![0; MAX_DATAGRAM];
    for len in 0..=MAX_DATAGRAM {
        let packet = &mut buffer[..len];
        packet.iter_mut().take(4).zip([0x40, 0, 0, 1]).for_each(|(byte, value)| *byte = value);
        let expected = if len < 52 { Refusal::Truncated } else { Refusal::WeakKey };
        assert_eq!(server.open_request(packet).err(), Some(expected), "{len} bytes");
    }
}
