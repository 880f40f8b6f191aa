//! Classes of u-coordinates beside another crate's.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::{EdwardsPoint, MontgomeryPoint, Scalar};
use rand::Rng;
use x25519_batch::{PointClass, X25519};

use crate::common::{backends, bytes, random, randoms, rng};

fn classify(x25519: X25519, points: &[[u8; 32]]) -> Vec<PointClass> {
    // The old values must not matter.
    let mut classes = vec![PointClass::PrimeOrder; points.len()];
    if points.len().is_multiple_of(2) {
        classes.fill(PointClass::LowOrder);
    }
    x25519.classify_points(points, &mut classes).unwrap();
    classes
}

/// By multiplication with the group's order.
fn expected(point: &[u8; 32]) -> PointClass {
    let minus_one = bytes("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
    let mut reduced = *point;
    reduced[31] &= 0x7f;
    match MontgomeryPoint(*point).to_edwards(0) {
        Some(edwards) if edwards.is_small_order() => PointClass::LowOrder,
        Some(edwards) if edwards.is_torsion_free() && edwards.to_montgomery().to_bytes() == *point => {
            PointClass::PrimeOrder
        }
        // No Edwards curve has it: of order 4, on the twist.
        None if reduced == minus_one => PointClass::LowOrder,
        _ => PointClass::Alias,
    }
}

fn key(rng: &mut impl Rng) -> EdwardsPoint {
    ED25519_BASEPOINT_POINT * Scalar::from_bytes_mod_order(random(rng))
}

/// Each of the points in every lane of every width.
fn assert_classes(points: &[[u8; 32]], wanted: &[PointClass]) {
    let (mut points, mut wanted) = (points.to_vec(), wanted.to_vec());
    for x25519 in backends() {
        for length in [1, 4, 8, 16] {
            for _ in 0..length {
                for (points, wanted) in points.chunks(length).zip(wanted.chunks(length)) {
                    assert_eq!(classify(x25519, points), wanted, "{x25519:?}");
                }
                points.rotate_left(1);
                wanted.rotate_left(1);
            }
        }
    }
}

#[test]
fn keys_and_their_aliases_by_torsion() {
    let mut rng = rng(81);
    let mut points = Vec::new();
    let mut wanted = Vec::new();
    for _ in 0..24 {
        let key = key(&mut rng);
        for (place, torsion) in EIGHT_TORSION.iter().enumerate() {
            points.push((key + torsion).to_montgomery().to_bytes());
            wanted.push(if place == 0 { PointClass::PrimeOrder } else { PointClass::Alias });
        }
    }
    for (point, wanted) in points.iter().zip(&wanted) {
        assert_eq!(expected(point), *wanted);
    }
    assert_classes(&points, &wanted);
}

#[test]
fn low_order_in_every_encoding() {
    let mut points: Vec<_> = EIGHT_TORSION.iter().map(|point| point.to_montgomery().to_bytes()).collect();
    for more in [
        // p - 1, p and p + 1
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        points.push(bytes(more));
    }
    for place in 0..points.len() {
        let mut with_top_bit = points[place];
        with_top_bit[31] |= 0x80;
        points.push(with_top_bit);
    }
    for point in &points {
        assert_eq!(x25519_dalek::x25519([0x42; 32], *point), [0; 32]);
    }
    assert_classes(&points, &vec![PointClass::LowOrder; points.len()]);
}

/// The top bit set, and u + p. Only the nineteen smallest u have the latter, and some of them are
/// keys.
#[test]
fn other_encodings() {
    let mut points = Vec::new();
    for u in 0..19 {
        let mut canonical = [0; 32];
        canonical[0] = u;
        let mut above_p = [0xff; 32];
        (above_p[0], above_p[31]) = (0xed + u, 0x7f);
        points.extend([canonical, above_p]);
    }
    for point in randoms(&mut rng(82), 200) {
        let mut clear = point;
        clear[31] &= 0x7f;
        let mut set = point;
        set[31] |= 0x80;
        points.extend([clear, set]);
    }
    let wanted: Vec<_> = points.iter().map(expected).collect();
    // An eighth of the curve's half of all u, and the base point, 9, among the small.
    assert!(wanted.iter().filter(|class| **class == PointClass::PrimeOrder).count() > 5);
    assert_classes(&points, &wanted);
}

#[test]
fn random_points() {
    let mut rng = rng(83);
    let points = randoms(&mut rng, 4000);
    let wanted: Vec<_> = points.iter().map(expected).collect();
    for x25519 in backends() {
        assert_eq!(classify(x25519, &points), wanted);
    }
}

#[test]
fn every_length() {
    let mut rng = rng(84);
    let points: Vec<_> =
        (0..40).map(|place| (key(&mut rng) + EIGHT_TORSION[place % 3]).to_montgomery().to_bytes()).collect();
    let wanted: Vec<_> = points.iter().map(expected).collect();
    for x25519 in backends() {
        for length in 0..=points.len() {
            assert_eq!(classify(x25519, &points[..length]), wanted[..length]);
        }
    }
}
