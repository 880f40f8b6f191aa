//! Elements of five limbs in radix 2^52, for the multiplier of AVX-512 IFMA.
//!
//! `f = f0 + 2^52 f1 + 2^104 f2 + 2^156 f3 + 2^208 f4`
//!
//! The multiplier takes two 52-bit limbs and adds either half of their product to a 64-bit column.
//! In radix 2^52 the high half belongs to the very next column, without any shift. What lies from
//! 2^260 on comes back times 608, since `2^260 = 32 * 2^255 = 32 * 19` modulo p.
//!
//! # Bounds
//!
//! Written in units of U = 2^52, so that a word holds 4096 U.
//!
//! | | limbs 0 to 3 | limb 4 |
//! |---|---|---|
//! | factor ([`Element`]) | < U | < T = 2^47 + 2^12 |
//! | product ([`Columns`]) | < 1868 U | < 10 U |
//! | sum of two products | < 3736 U | < 20 U |
//! | difference of two products, plus 2^11 p | < 3916 U | < 74 U |
//!
//! Limbs 0 to 3 must fit the multiplier's 52 bits exactly. Limb 4 need not reach them, and the
//! carry into it may leave it a little over its 47 bits: so one pass of carries is enough, and no
//! carry is ever left over.

use crate::field::Field;
use crate::vector::Multiply52;

const LIMB: u64 = (1 << 52) - 1;
/// The bits of limb 4 below 2^255.
const TOP_LIMB: u64 = (1 << 47) - 1;
/// Limb 4 of a factor is below this.
const TOP_BOUND: u64 = (1 << 47) + (1 << 12);
/// Products are below this, in limbs 0 to 3 and in limb 4.
const COLUMN_BOUNDS: [u64; 5] = [1868 << 52, 1868 << 52, 1868 << 52, 1868 << 52, 10 << 52];
/// 2^11 p, whose limbs are larger than those of any product: 2048 U - 19 * 2^11, and 64 U - 2^11
/// for limb 4.
const BIAS: [u64; 5] = [(LIMB - 18) << 11, LIMB << 11, LIMB << 11, LIMB << 11, TOP_LIMB << 11];

/// A factor: its limbs are carried.
#[derive(Clone, Copy)]
pub(crate) struct Element<V>([V; 5]);

/// A product: its limbs are sums of halves of products.
#[derive(Clone, Copy)]
pub(crate) struct Columns<V>([V; 5]);

impl<V: Multiply52> Field for Element<V> {
    type Word = V;
    type Product = Columns<V>;

    #[inline(always)]
    fn from_words(words: [V; 4]) -> Self {
        let [w0, w1, w2, w3] = words;
        let limb = V::splat(LIMB);
        Self([
            w0.and(limb),
            w0.shift_right::<52>().or(w1.shift_left::<12>()).and(limb),
            w1.shift_right::<40>().or(w2.shift_left::<24>()).and(limb),
            w2.shift_right::<28>().or(w3.shift_left::<36>()).and(limb),
            w3.shift_right::<16>().and(V::splat(TOP_LIMB)),
        ])
    }

    #[inline(always)]
    fn to_words(self) -> [V; 4] {
        let [f0, f1, f2, f3, f4] = self.0;
        let limb = V::splat(LIMB);
        // The value is below 2p. It is p or more if adding 19 reaches 2^255.
        let carry = f0.add(V::splat(19)).shift_right::<52>();
        let carry = f1.add(carry).shift_right::<52>();
        let carry = f2.add(carry).shift_right::<52>();
        let carry = f3.add(carry).shift_right::<52>();
        let reaches_p = f4.add(carry).shift_right::<47>();
        // Then subtract p: add 19, and drop 2^255.
        let f0 = f0.add_low(reaches_p, V::splat(19));
        let f1 = f1.add(f0.shift_right::<52>());
        let f2 = f2.add(f1.shift_right::<52>());
        let f3 = f3.add(f2.shift_right::<52>());
        let f4 = f4.add(f3.shift_right::<52>()).and(V::splat(TOP_LIMB));
        let (f0, f1, f2, f3) = (f0.and(limb), f1.and(limb), f2.and(limb), f3.and(limb));
        [
            f0.or(f1.shift_left::<52>()),
            f1.shift_right::<12>().or(f2.shift_left::<40>()),
            f2.shift_right::<24>().or(f3.shift_left::<28>()),
            f3.shift_right::<36>().or(f4.shift_left::<16>()),
        ]
    }

    /// Column i + j takes the low half of `fi * gj`, and column i + j + 1 the high half. Halves are
    /// below U, and high halves of products with limb 4 below T.
    #[inline(always)]
    fn multiply(self, other: Self) -> Columns<V> {
        let [f0, f1, f2, f3, f4] = self.0;
        let [g0, g1, g2, g3, g4] = other.0;
        let zero = V::splat(0);
        // Low halves < 4 U, high halves < 3 U + 2 T.
        let c5 = zero.add_low(f1, g4).add_low(f2, g3).add_low(f3, g2).add_low(f4, g1);
        let c5 = c5.add_high(f0, g4).add_high(f1, g3).add_high(f2, g2).add_high(f3, g1).add_high(f4, g0);
        // < 3 U and < 2 U + 2 T
        let c6 = zero.add_low(f2, g4).add_low(f3, g3).add_low(f4, g2);
        let c6 = c6.add_high(f1, g4).add_high(f2, g3).add_high(f3, g2).add_high(f4, g1);
        // < 2 U and < U + 2 T
        let c7 = zero.add_low(f3, g4).add_low(f4, g3);
        let c7 = c7.add_high(f2, g4).add_high(f3, g3).add_high(f4, g2);
        // < U and < 2 T
        let c8 = zero.add_low(f4, g4).add_high(f3, g4).add_high(f4, g3);
        // < T^2 / U < 2^43
        let c9 = zero.add_high(f4, g4);
        // < U
        let c0 = zero.add_low(f0, g0);
        // < 2 U and < U
        let c1 = zero.add_low(f0, g1).add_low(f1, g0).add_high(f0, g0);
        // < 3 U and < 2 U
        let c2 = zero.add_low(f0, g2).add_low(f1, g1).add_low(f2, g0).add_high(f0, g1).add_high(f1, g0);
        // < 4 U and < 3 U
        let c3 = zero.add_low(f0, g3).add_low(f1, g2).add_low(f2, g1).add_low(f3, g0);
        let c3 = c3.add_high(f0, g2).add_high(f1, g1).add_high(f2, g0);
        // < 5 U and < 4 U
        let c4 = zero.add_low(f0, g4).add_low(f1, g3).add_low(f2, g2).add_low(f3, g1).add_low(f4, g0);
        let c4 = c4.add_high(f0, g3).add_high(f1, g2).add_high(f2, g1).add_high(f3, g0);
        fold([c0, c1, c2, c3, c4], [c5, c6, c7, c8, c9])
    }

    /// As [`multiply`](Self::multiply), with the same bounds: what occurs twice there is added to
    /// itself here.
    #[inline(always)]
    fn square(self) -> Columns<V> {
        let [f0, f1, f2, f3, f4] = self.0;
        let zero = V::splat(0);
        let c5 = zero.add_low(f1, f4).add_low(f2, f3).add_high(f0, f4).add_high(f1, f3);
        let c5 = c5.add(c5).add_high(f2, f2);
        let c6 = zero.add_low(f2, f4).add_high(f1, f4).add_high(f2, f3);
        let c6 = c6.add(c6).add_low(f3, f3);
        let c7 = zero.add_low(f3, f4).add_high(f2, f4);
        let c7 = c7.add(c7).add_high(f3, f3);
        let c8 = zero.add_high(f3, f4);
        let c8 = c8.add(c8).add_low(f4, f4);
        let c9 = zero.add_high(f4, f4);
        let c0 = zero.add_low(f0, f0);
        let c1 = zero.add_low(f0, f1);
        let c1 = c1.add(c1).add_high(f0, f0);
        let c2 = zero.add_low(f0, f2).add_high(f0, f1);
        let c2 = c2.add(c2).add_low(f1, f1);
        let c3 = zero.add_low(f0, f3).add_low(f1, f2).add_high(f0, f2);
        let c3 = c3.add(c3).add_high(f1, f1);
        let c4 = zero.add_low(f0, f4).add_low(f1, f3).add_high(f0, f3).add_high(f1, f2);
        let c4 = c4.add(c4).add_low(f2, f2);
        fold([c0, c1, c2, c3, c4], [c5, c6, c7, c8, c9])
    }

    #[inline(always)]
    fn product(self) -> Columns<V> {
        Columns(self.0)
    }

    #[inline(always)]
    fn factor(product: Columns<V>) -> Self {
        carry(product.0)
    }

    #[inline(always)]
    fn sum(p: Columns<V>, q: Columns<V>) -> Self {
        let (p, q) = (p.0, q.0);
        carry([p[0].add(q[0]), p[1].add(q[1]), p[2].add(q[2]), p[3].add(q[3]), p[4].add(q[4])])
    }

    #[inline(always)]
    fn difference(p: Columns<V>, q: Columns<V>) -> Self {
        let (p, q) = (p.0, q.0);
        carry([
            p[0].add(V::splat(BIAS[0])).sub(q[0]),
            p[1].add(V::splat(BIAS[1])).sub(q[1]),
            p[2].add(V::splat(BIAS[2])).sub(q[2]),
            p[3].add(V::splat(BIAS[3])).sub(q[3]),
            p[4].add(V::splat(BIAS[4])).sub(q[4]),
        ])
    }

    /// Adds two halves to a column. The product leaves room for many.
    #[inline(always)]
    fn add_121666_times(self, p: Columns<V>) -> Self {
        let [f0, f1, f2, f3, f4] = self.0;
        let [c0, c1, c2, c3, c4] = p.0;
        let factor = V::splat(121_666);
        // < 2^13
        let c5 = V::splat(0).add_high(f4, factor);
        carry([
            c0.add_low(f0, factor).add_low(c5, V::splat(608)),
            c1.add_low(f1, factor).add_high(f0, factor),
            c2.add_low(f2, factor).add_high(f1, factor),
            c3.add_low(f3, factor).add_high(f2, factor),
            c4.add_low(f4, factor).add_high(f3, factor),
        ])
    }

    #[inline(always)]
    fn select(selector: V, clear: Self, set: Self) -> Self {
        let (clear, set) = (clear.0, set.0);
        Self([
            V::select(selector, clear[0], set[0]),
            V::select(selector, clear[1], set[1]),
            V::select(selector, clear[2], set[2]),
            V::select(selector, clear[3], set[3]),
            V::select(selector, clear[4], set[4]),
        ])
    }
}

/// Columns 5 to 9 come back to columns 0 to 4, times 608.
///
/// Column 5 is up to 7 U + 2 T and column 6 up to 5 U + 2 T. 608 times that would not leave room
/// for the sum of two products, so what is over a limb moves up first. Column 7 then is below 3 U +
/// 2 T + 6; 608 times that, with 2 T as 1/16 U, is below 1863 U, and column 2 has up to 5 U: below
/// 1868 U together. The other columns are smaller.
#[inline(always)]
fn fold<V: Multiply52>(low: [V; 5], high: [V; 5]) -> Columns<V> {
    let [c0, c1, c2, c3, c4] = low;
    let [c5, c6, c7, c8, c9] = high;
    let limb = V::splat(LIMB);
    let c6 = c6.add(c5.shift_right::<52>());
    let c7 = c7.add(c6.shift_right::<52>());
    let factor = V::splat(608);
    let columns = [
        c0.add(c5.and(limb).scale(factor)),
        c1.add(c6.and(limb).scale(factor)),
        c2.add(c7.scale(factor)),
        c3.add(c8.scale(factor)),
        c4.add(c9.scale(factor)),
    ];
    for (column, bound) in columns.into_iter().zip(COLUMN_BOUNDS) {
        debug_assert!(!column.any_reaches(bound));
    }
    Columns(columns)
}

/// Limbs 0 to 3 to 52 bits, limb 4 to 47 and a little.
///
/// What limb 4 has above 2^255 is folded into limb 0, times 19, *before* the carries run upward.
/// They end in limb 4, adding less than 2^12 to its 47 bits.
#[inline(always)]
fn carry<V: Multiply52>(columns: [V; 5]) -> Element<V> {
    let [c0, c1, c2, c3, c4] = columns;
    let limb = V::splat(LIMB);
    // Above 2^255 there are less than 74 * 32 times 2^255; 19 times that is added with room to
    // spare.
    let c0 = c0.add_low(c4.shift_right::<47>(), V::splat(19));
    let c1 = c1.add(c0.shift_right::<52>());
    let c2 = c2.add(c1.shift_right::<52>());
    let c3 = c3.add(c2.shift_right::<52>());
    let c4 = c4.and(V::splat(TOP_LIMB)).add(c3.shift_right::<52>());
    debug_assert!(!c4.any_reaches(TOP_BOUND));
    Element([c0.and(limb), c1.and(limb), c2.and(limb), c3.and(limb), c4])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST: [u64; 5] = [LIMB, LIMB, LIMB, LIMB, TOP_BOUND - 1];

    /// The largest limbs that any factor may have. In a single lane every overflow is an error.
    #[test]
    fn the_largest_factors_overflow_nothing() {
        let f = Element(LARGEST);
        for (f, g) in [(f, f), (f, Element([0; 5])), (Element([0; 5]), f)] {
            let products = [f.multiply(g), f.square(), f.product()];
            for p in products {
                for q in products {
                    for factor in [Element::sum(p, q), Element::difference(p, q), f.add_121666_times(p)] {
                        Element::factor(factor.square()).to_words();
                    }
                }
            }
        }
    }

    /// The largest columns that any product may have, whether or not multiplications yield them.
    #[test]
    fn the_largest_products_overflow_nothing() {
        let largest = Columns(COLUMN_BOUNDS.map(|bound| bound - 1));
        let smallest = Columns([0; 5]);
        for (p, q) in [(largest, largest), (largest, smallest), (smallest, largest), (smallest, smallest)] {
            for factor in [Element::sum(p, q), Element::difference(p, q), Element(LARGEST).add_121666_times(p)] {
                assert!(factor.0[..4].iter().all(|limb| *limb <= LIMB) && factor.0[4] < TOP_BOUND);
            }
        }
    }

    #[test]
    fn the_bias_is_a_multiple_of_p_and_larger_than_products() {
        for (bias, bound) in BIAS.into_iter().zip(COLUMN_BOUNDS) {
            assert!(bias >= bound);
        }
        let zero = Columns([0; 5]);
        assert_eq!(Element::difference(zero, zero).to_words(), [0_u64; 4]);
    }

    /// These checks see what they are to see.
    #[test]
    #[should_panic(expected = "more than 52 bits")]
    fn a_limb_too_large_is_noticed() {
        Element([LIMB + 1, 0, 0, 0, 0]).square();
    }
}
