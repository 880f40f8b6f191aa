//! The field GF(2^255 - 19), an element in each lane, whatever its limbs are.

use crate::vector::Vector;

/// An element in each lane, fit to be a factor.
///
/// The types follow what costs time. A [`Product`](Field::Product) is what multiplication leaves behind; two of them are
/// added or subtracted *before* anything is carried, and carried once on the way to being a factor again.
pub(crate) trait Field: Copy {
    /// A word in each lane.
    type Word: Vector;
    /// What a multiplication yields.
    type Product: Copy;

    /// From 256 bits, lowest word first. The top bit does not count, and values from p on stand for themselves less p
    /// (RFC 7748, section 5).
    fn from_words(words: [Self::Word; 4]) -> Self;
    /// The one representation below p, lowest word first. Not for sums and differences.
    fn to_words(self) -> [Self::Word; 4];
    /// `self * other`, where `other` is not a difference. (One factor's limbs may be larger than the other's.)
    fn multiply(self, other: Self) -> Self::Product;
    /// `self * self`.
    fn square(self) -> Self::Product;
    /// `self` as a product; not for sums and differences.
    fn product(self) -> Self::Product;
    /// A product as a factor.
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

/// The same element in every lane, lowest word first.
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

/// `f^(2^times)`
#[inline(always)]
fn square_times<F: Field>(mut f: F, times: u32) -> F {
    for _ in 0..times {
        f = F::factor(f.square());
    }
    f
}

/// `1 / f`, or 0 for 0, as `f^(p - 2)`; p - 2 is `2^255 - 21`.
#[inline(always)]
pub(crate) fn invert<F: Field>(f: F) -> F {
    let (power_of_250_ones, power_of_11) = common_powers(f);
    multiply(square_times(power_of_250_ones, 5), power_of_11)
}

/// `f^((p - 5) / 8)`, which square roots and residue symbols are made of; the exponent is `2^252 - 3`.
#[inline(always)]
pub(crate) fn power_of_p_minus_5_over_8<F: Field>(f: F) -> F {
    let (power_of_250_ones, _) = common_powers(f);
    multiply(square_times(power_of_250_ones, 2), f)
}

/// `f^(2^250 - 1)` and `f^11`.
#[inline(always)]
fn common_powers<F: Field>(f: F) -> (F, F) {
    let f2 = F::factor(f.square());
    let f9 = multiply(square_times(f2, 2), f);
    let f11 = multiply(f9, f2);
    // The names tell how many ones the exponent has in binary.
    let ones_5 = multiply(square_times(f11, 1), f9);
    let ones_10 = multiply(square_times(ones_5, 5), ones_5);
    let ones_20 = multiply(square_times(ones_10, 10), ones_10);
    let ones_40 = multiply(square_times(ones_20, 20), ones_20);
    let ones_50 = multiply(square_times(ones_40, 10), ones_10);
    let ones_100 = multiply(square_times(ones_50, 50), ones_50);
    let ones_200 = multiply(square_times(ones_100, 100), ones_100);
    (multiply(square_times(ones_200, 50), ones_50), f11)
}

/// The selector of the lanes where `words` differ from a constant.
#[inline(always)]
pub(crate) fn differ<V: Vector>(words: [V; 4], constant: [u64; 4]) -> V {
    let difference = words[0].xor(V::splat(constant[0])).or(words[1].xor(V::splat(constant[1])));
    difference.or(words[2].xor(V::splat(constant[2]))).or(words[3].xor(V::splat(constant[3]))).nonzero()
}

/// Each arithmetic in a single lane, where nothing overflows unseen, against fiat-crypto's, which is proven.
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
