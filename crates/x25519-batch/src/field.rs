//! The field GF(2^255 - 19), an element in each lane, whatever its limbs are.

use crate::vector::Vector;

/// An element in each lane, fit to be a factor.
///
/// The types follow what costs time. A [`Product`](Field::Product) is what multiplication leaves
/// behind; two of them are added or subtracted *before* anything is carried, and carried once on
/// the way to being a factor again.
pub(crate) trait Field: Copy {
    /// A word in each lane.
    type Word: Vector;
    /// Result of a multiplication.
    type Product: Copy;

    /// From 256 bits, lowest word first. The top bit is ignored, and values from p on are reduced
    /// modulo p (RFC 7748, section 5).
    fn from_words(words: [Self::Word; 4]) -> Self;
    /// Returns the one representation below p, lowest word first. Not for sums and differences.
    fn to_words(self) -> [Self::Word; 4];
    /// `self * other`, where `other` is not a difference. (One factor's limbs may be larger than
    /// the other's.)
    fn multiply(self, other: Self) -> Self::Product;
    /// `self * self`.
    fn square(self) -> Self::Product;
    /// `self` as a product; not for sums and differences.
    fn product(self) -> Self::Product;
    /// Returns a product as a factor.
    fn factor(product: Self::Product) -> Self;
    /// `p + q` as a factor.
    fn sum(p: Self::Product, q: Self::Product) -> Self;
    /// `p - q` as a factor.
    fn difference(p: Self::Product, q: Self::Product) -> Self;
    /// `p + 121666 * self` as a factor.
    fn add_121666_times(self, p: Self::Product) -> Self;
    /// `set` in the lanes where the selector's top bit is set, `clear` in the others.
    fn select(selector: Self::Word, clear: Self, set: Self) -> Self;
}

/// Returns a vector with this element in every lane, lowest word first.
#[inline(always)]
pub(crate) fn constant<F: Field>(words: [u64; 4]) -> F {
    F::from_words([
        F::Word::splat(words[0]),
        F::Word::splat(words[1]),
        F::Word::splat(words[2]),
        F::Word::splat(words[3]),
    ])
}

/// `f * g`, where `g` is not a difference.
#[inline(always)]
pub(crate) fn multiply<F: Field>(f: F, g: F) -> F {
    F::factor(f.multiply(g))
}

/// `1 / f`, or 0 for 0, as `f^(p - 2)`; p - 2 is `2^255 - 21`.
#[inline(always)]
pub(crate) fn invert<F: Field>(f: F) -> F {
    // f^11 = f^(2^3) f^3, and 2^255 - 21 = 2^5 (2^250 - 1) + 11
    power(f, &[(0, 3, 1), (10, 5, 11)])
}

/// `f^((p - 5) / 8)`, which square roots and residue symbols are made of; the exponent is
/// `2^252 - 3`.
#[inline(always)]
pub(crate) fn power_of_p_minus_5_over_8<F: Field>(f: F) -> F {
    // 2^252 - 3 = 2^2 (2^250 - 1) + 1
    power(f, &[(10, 2, 0)])
}

/// A step to a power: an earlier power, squared this many times, times another. Number 0 is f
/// itself, and each step makes the next number.
type Step = (usize, u32, usize);

/// To exponents of 2, 3, 5, 10, 20, 40, 50, 100, 200 and 250 ones in binary.
const ONES_250: [Step; 10] = [
    (0, 1, 0),
    (1, 1, 0),
    (2, 2, 1),
    (3, 5, 3),
    (4, 10, 4),
    (5, 20, 5),
    (6, 10, 4),
    (7, 50, 7),
    (8, 100, 8),
    (9, 50, 7),
];

/// Returns the power that the last step makes, number 10 after those of [`ONES_250`].
///
/// The steps are data and the arithmetic is there once, since a batch usually finds the processor's
/// caches busy with something else.
#[inline(always)]
fn power<F: Field>(f: F, last: &[Step]) -> F {
    let mut powers = [f; 1 + ONES_250.len() + 2];
    let mut power = f;
    let mut made = 0;
    for steps in [&ONES_250, last] {
        for (from, squarings, by) in steps {
            power = powers[*from];
            for _ in 0..*squarings {
                power = F::factor(power.square());
            }
            power = multiply(power, powers[*by]);
            made += 1;
            powers[made] = power;
        }
    }
    power
}

/// The selector of the lanes where `words` differ from a constant.
#[inline(always)]
pub(crate) fn differ<V: Vector>(words: [V; 4], constant: [u64; 4]) -> V {
    let difference = words[0].xor(V::splat(constant[0])).or(words[1].xor(V::splat(constant[1])));
    difference.or(words[2].xor(V::splat(constant[2]))).or(words[3].xor(V::splat(constant[3]))).nonzero()
}

/// Each arithmetic in a single lane, where nothing overflows unseen, against fiat-crypto's, which
/// is proven.
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{fiat, radix25, radix52};

    const P: [u64; 4] = [0xffff_ffff_ffff_ffed, u64::MAX, u64::MAX, 0x7fff_ffff_ffff_ffff];

    /// What every operation makes of two elements, also of sums and differences.
    fn results<F: Field<Word = u64>>(f: [u64; 4], g: [u64; 4], selector: u64) -> std::vec::Vec<[u64; 4]> {
        let (f, g) = (F::from_words(f), F::from_words(g));
        let (fg, ff) = (f.multiply(g), f.square());
        let (sum, difference) = (F::sum(fg, ff), F::difference(fg, ff));
        [
            f,
            F::factor(f.product()),
            F::factor(fg),
            F::factor(ff),
            multiply(sum, f),
            multiply(difference, f),
            multiply(difference, sum),
            F::factor(sum.square()),
            F::factor(difference.square()),
            multiply(f.add_121666_times(ff), g),
            multiply(difference.add_121666_times(ff), g),
            multiply(F::sum(f.product(), g.product()), constant([1, 0, 0, 0])),
            F::select(selector, f, g),
            multiply(F::select(selector, difference, sum), f),
            invert(f),
            power_of_p_minus_5_over_8(g),
        ]
        .into_iter()
        .map(F::to_words)
        .collect()
    }

    fn assert_agreement(f: [u64; 4], g: [u64; 4], selector: u64) {
        let proven = results::<fiat::Element>(f, g, selector);
        assert_eq!(results::<radix52::Element<u64>>(f, g, selector), proven, "{f:x?} {g:x?}");
        assert_eq!(results::<radix25::Element<u64>>(f, g, selector), proven, "{f:x?} {g:x?}");
    }

    #[test]
    fn edges() {
        let mut edges = std::vec![[0; 4], [1, 0, 0, 0], [u64::MAX; 4], P];
        for offset in [1, 2, 18] {
            edges.push([P[0] - offset, P[1], P[2], P[3]]);
            edges.push([P[0] + offset, P[1], P[2], P[3]]);
        }
        for bit in 0..256 {
            let mut power = [0; 4];
            power[bit / 64] = 1 << (bit % 64);
            edges.push(power);
            edges.push(core::array::from_fn(|word| power[word].wrapping_sub(u64::from(word <= bit / 64 && bit >= 64))));
        }
        for (place, f) in edges.iter().enumerate() {
            assert_agreement(*f, *f, 0);
            assert_agreement(*f, edges[(place * 7 + 3) % edges.len()], u64::MAX);
        }
    }

    proptest! {
        #[test]
        fn any(f: [u64; 4], g: [u64; 4], selector: u64) {
            assert_agreement(f, g, selector);
        }
    }

    #[test]
    fn inverses() {
        assert_eq!(invert(constant::<fiat::Element>([0; 4])).to_words(), [0; 4]);
        let f = constant::<fiat::Element>([3, 1, 4, 1]);
        assert_eq!(multiply(invert(f), f).to_words(), [1, 0, 0, 0]);
    }

    #[test]
    fn differences_select() {
        assert_eq!(differ([1_u64, 2, 3, 4], [1, 2, 3, 4]) >> 63, 0);
        for place in 0..4 {
            for bit in [1, 1 << 40, 1 << 63] {
                let mut words = [1_u64, 2, 3, 4];
                words[place] ^= bit;
                assert_eq!(differ(words, [1, 2, 3, 4]) >> 63, 1);
            }
        }
    }
}
