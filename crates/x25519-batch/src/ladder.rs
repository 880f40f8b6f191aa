//! The Montgomery ladder of RFC 7748, section 5, with a scalar and a point in each lane.

use crate::field::{Field, constant};
use crate::vector::Vector;

/// A u-coordinate as the fraction `x / z`.
#[derive(Clone, Copy)]
struct Point<F: Field> {
    x: F::Product,
    z: F::Product,
}

/// `x25519(scalar, u)` in each lane as the fraction `(x, z)`; z is zero where the result is.
///
/// The ladder keeps two points that differ by u. A step doubles one of them and adds them to each
/// other, and which one is doubled is the scalar's only influence:
///
/// * Of a clamped scalar, bit 254 is set: the ladder starts with u and its double. Bits 0 to 2 are
///   clear: the last three steps need no sum.
/// * Usual ladders swap the two points back and forth. Here the double and the sum keep their
///   names, and the double is taken of the same point as in the step before if the scalar's bits
///   are the same, and of the other if they differ. The sum does not care: swapped points give it
///   `DA - CB` with the other sign, and it is squared.
///
/// [eprint 2017/212](https://eprint.iacr.org/2017/212) explains Montgomery curves and their ladder
/// at leisure.
#[inline(always)]
pub(crate) fn ladder<F: Field>(scalar: [F::Word; 4], u: F) -> (F, F) {
    let turns = turns(clamp(scalar));
    let mut sum = Point::<F> { x: u.product(), z: constant::<F>([1, 0, 0, 0]).product() };
    let mut double = doubled(F::sum(sum.x, sum.z), F::difference(sum.x, sum.z));
    // The turn of the bit at hand, from 253 down, is the word's top bit.
    let mut turn = turns[3].shift_left::<2>();
    for (word, steps) in [(3, 62), (2, 64), (1, 64), (0, 61)] {
        if word < 3 {
            turn = turns[word];
        }
        for _ in 0..steps {
            // The letters of RFC 7748.
            let a = F::sum(double.x, double.z);
            let b = F::difference(double.x, double.z);
            let c = F::sum(sum.x, sum.z);
            let d = F::difference(sum.x, sum.z);
            let da = d.multiply(a);
            let cb = b.multiply(c);
            double = doubled(F::select(turn, a, c), F::select(turn, b, d));
            sum = Point { x: F::sum(da, cb).square(), z: u.multiply(F::factor(F::difference(da, cb).square())) };
            turn = turn.shift_left::<1>();
        }
    }
    // Bits 2 to 0. The first of them chooses once more; with all three clear there is no further
    // swap.
    let mut x = F::select(turn, F::factor(double.x), F::factor(sum.x));
    let mut z = F::select(turn, F::factor(double.z), F::factor(sum.z));
    for _ in 0..3 {
        let point = doubled(F::sum(x.product(), z.product()), F::difference(x.product(), z.product()));
        x = F::factor(point.x);
        z = F::factor(point.z);
    }
    (x, z)
}

/// Returns the double of a point `x / z`, from `x + z` and `x - z`.
#[inline(always)]
fn doubled<F: Field>(sum: F, difference: F) -> Point<F> {
    let aa = sum.square();
    let bb = difference.square();
    let e = F::difference(aa, bb);
    // RFC 7748 has AA + 121665 E, which is the same.
    Point { x: F::factor(aa).multiply(F::factor(bb)), z: e.multiply(e.add_121666_times(bb)) }
}

/// RFC 7748, section 5: a multiple of the cofactor, of fixed length.
#[inline(always)]
fn clamp<V: Vector>(scalar: [V; 4]) -> [V; 4] {
    let [w0, w1, w2, w3] = scalar;
    [w0.and(V::splat(!0b111)), w1, w2, w3.and(V::splat(u64::MAX >> 2)).or(V::splat(1 << 62))]
}

/// Bit i is set if the scalar's bits i and i + 1 differ.
#[inline(always)]
fn turns<V: Vector>(scalar: [V; 4]) -> [V; 4] {
    let [w0, w1, w2, w3] = scalar;
    [
        w0.xor(w0.shift_right::<1>().or(w1.shift_left::<63>())),
        w1.xor(w1.shift_right::<1>().or(w2.shift_left::<63>())),
        w2.xor(w2.shift_right::<1>().or(w3.shift_left::<63>())),
        w3.xor(w3.shift_right::<1>()),
    ]
}

/// In a single lane, where nothing overflows unseen.
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::words;
    use crate::field::{invert, multiply};
    use crate::{fiat, radix25, radix52};

    fn x25519<F: Field<Word = u64>>(scalar: &[u8; 32], point: &[u8; 32]) -> [u64; 4] {
        let (x, z) = ladder::<F>(words(scalar), F::from_words(words(point)));
        multiply(x, invert(z)).to_words()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_arithmetic(scalar: [u8; 32], point: [u8; 32]) {
            let expected = words(&x25519_dalek::x25519(scalar, point));
            prop_assert_eq!(x25519::<fiat::Element>(&scalar, &point), expected);
            prop_assert_eq!(x25519::<radix52::Element<u64>>(&scalar, &point), expected);
            prop_assert_eq!(x25519::<radix25::Element<u64>>(&scalar, &point), expected);
        }
    }
}
