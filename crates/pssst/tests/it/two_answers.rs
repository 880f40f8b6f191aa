//! The flaw of suite 1, carried out: a request is delivered twice, the handler's answers differ,
//! and an attacker who saw both replies forges a third. The same attack is then shown failing
//! against the other suites.
//!
//! The attacker uses nothing but the two reply packets and, where a test says so, what it knows of
//! their messages.

use pssst::{Refusal, Suite};

use crate::common::gf128::Element;
use crate::common::{ALL, Mode, Pair, SUITE_1};

/// A reply to a message of one block, cut up.
struct Reply<'a> {
    front: &'a [u8],
    ciphertext: &'a [u8],
    tag: &'a [u8],
}

impl<'a> Reply<'a> {
    fn of(packet: &'a [u8]) -> Self {
        let front = match packet {
            [_, _, 0, 1, ..] => 36,
            [flags, ..] if flags & 0x08 != 0 => 44,
            _ => 12,
        };
        let (front, sealed) = packet.split_at(front);
        let (ciphertext, tag) = sealed.split_at(sealed.len() - 16);
        Self { front, ciphertext, tag }
    }
}

fn difference(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

/// Two replies to one request give the square of GCM's authentication key H: with one block of
/// ciphertext C the tag is `A·H³ + C·H² + L·H + mask`, and of two replies all but C is the same.
fn square_of_authentication_key(one: &Reply<'_>, other: &Reply<'_>) -> Element {
    let tags = Element::of_block(&difference(one.tag, other.tag));
    let ciphertexts = Element::of_block(&difference(one.ciphertext, other.ciphertext));
    tags.multiply(ciphertexts.invert())
}

/// A third reply, whose message differs from the first one's by `change`.
fn forge(one: &Reply<'_>, other: &Reply<'_>, change: &[u8]) -> Vec<u8> {
    let h_squared = square_of_authentication_key(one, other);
    let ciphertext = difference(one.ciphertext, change);
    let tag = Element::of_block(one.tag).plus(Element::of_block(change).multiply(h_squared));
    [one.front, &ciphertext, &tag.0.to_be_bytes()].concat()
}

const TRUE_ANSWER: &[u8; 16] = b"lock 7: shut 419";
const LATER_ANSWER: &[u8; 16] = b"lock 7: shut 420";
const FORGED_ANSWER: &[u8; 16] = b"lock 7: open 421";

/// A handler answers one request twice, with a counter in the answer.
fn two_answers(suite: Suite, mode: Mode) -> (pssst::PendingReply, Vec<u8>, Vec<u8>) {
    let mut pair = Pair::new(12, (suite, mode));
    let (packet, pending) = pair.seal(b"lock 7?");
    let (one, other) = (pair.answer(&packet, TRUE_ANSWER), pair.answer(&packet, LATER_ANSWER));
    (pending, one, other)
}

#[test]
fn the_field_is_gcms() {
    // NIST's GCM test case 2, by McGrew and Viega: H, and the products on the way to its GHASH.
    let h = Element(0x66e9_4bd4_ef8a_2c3b_884c_fa59_ca34_2b2e);
    let c = Element(0x0388_dace_60b6_a392_f328_c2b9_71b2_fe78);
    let x1 = Element(0x5e2e_c746_9170_6288_2c85_b068_5353_deb7);
    assert_eq!(c.multiply(h), x1);
    assert_eq!(x1.plus(Element(128)).multiply(h), Element(0xf38c_bb1a_d692_23dc_c345_7ae5_b6b0_f885));
    assert_eq!(h.multiply(h.invert()), Element::ONE);
}

/// What goes wrong when it is broken.
#[test]
fn suite_1_falls_to_two_different_answers() {
    for mode in [Mode::Anonymous, Mode::Authenticated] {
        let (pending, one, other) = two_answers(SUITE_1, mode);
        let (one, other) = (Reply::of(&one), Reply::of(&other));

        // Without any key, the ciphertexts show how the messages differ...
        assert_eq!(difference(one.ciphertext, other.ciphertext), difference(TRUE_ANSWER, LATER_ANSWER));

        // ...and the tags give away what is needed to change a message at will. Knowing one, the
        // attacker writes another.
        let mut forged = forge(&one, &other, &difference(TRUE_ANSWER, FORGED_ANSWER));
        assert_eq!(pending.open(&mut forged).unwrap(), FORGED_ANSWER);

        // Without knowing either, it still flips bits of its choice.
        let mut change = [0; 16];
        change[..4].fill(0x20);
        assert_eq!(pending.open(&mut forge(&one, &other, &change)).unwrap(), b"LOCK 7: shut 419");
    }
}

/// Kept, there is nothing to work with.
#[test]
fn suite_1_holds_when_the_answers_are_equal() {
    let mut pair = Pair::new(13, (SUITE_1, Mode::Authenticated));
    let (packet, pending) = pair.seal(b"lock 7?");
    let (one, other) = (pair.answer(&packet, TRUE_ANSWER), pair.answer(&packet, TRUE_ANSWER));
    assert_eq!(one, other);
    let mut forged = forge(&Reply::of(&one), &Reply::of(&other), &difference(TRUE_ANSWER, FORGED_ANSWER));
    assert_eq!(pending.open(&mut forged), Err(Refusal::DecryptFailed));
}

///
#[test]
fn the_other_suites_withstand_two_different_answers() {
    for (suite, mode) in ALL.into_iter().filter(|(suite, mode)| *suite != SUITE_1 && *mode != Mode::Full) {
        let (pending, one, other) = two_answers(suite, mode);
        let (one_reply, other_reply) = (Reply::of(&one), Reply::of(&other));

        // Both answers are true ones, and they share no run of bytes that would show how they
        // differ.
        assert_eq!(pending.open_to_vec(&one).unwrap(), TRUE_ANSWER);
        assert_eq!(pending.open_to_vec(&other).unwrap(), LATER_ANSWER);
        let shown = difference(one_reply.ciphertext, other_reply.ciphertext);
        let hidden = difference(TRUE_ANSWER, LATER_ANSWER);
        assert!(shown.iter().zip(&hidden).filter(|(shown, hidden)| shown == hidden).count() < 4);

        // The forgery that worked is refused, and so is one answer with the other's tag.
        let change = difference(TRUE_ANSWER, FORGED_ANSWER);
        assert_eq!(pending.open(&mut forge(&one_reply, &other_reply, &change)), Err(Refusal::DecryptFailed));
        let mut swapped = [one_reply.front, one_reply.ciphertext, other_reply.tag].concat();
        assert_eq!(pending.open(&mut swapped), Err(Refusal::DecryptFailed));

        // Equal answers stay equal: that much, and no more, an observer learns.
        let mut pair = Pair::new(14, (suite, mode));
        let (packet, _) = pair.seal(b"lock 7?");
        let [one, other] = [(); 2].map(|()| pair.answer(&packet, TRUE_ANSWER));
        assert_eq!(one == other, !mode.is_fresh(), "fresh replies do not show even that");
    }
}
