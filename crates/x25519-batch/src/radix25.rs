//! Elements of ten limbs in radix 2^25.5, for the 32-bit multiplier of AVX2.
//!
//! An element is two polynomials of five limbs in y = 2^51, one for the even limbs and one for the
//! odd:
//!
//! `f = E(y) + 2^26 O(y)`, limbs of 26 bits in E and of 25 bits in O
//!
//! Modulo p, `y^5 = 2^255 = 19` and `2^26 * 2^26 = 2y`. So a product is three products of
//! polynomials, by Karatsuba's formula, and each of them fits the sixteen registers:
//!
//! `f f' = (E E' + 2y O O') + 2^26 ((E + O)(E' + O') - E E' - O O')`
//!
//! # Bounds
//!
//! | | limb of E | limb of O |
//! |---|---|---|
//! | product | < 2^26 | < 2^25 + 2^17 |
//! | sum of two products | < 2 * 2^26 | < 2 * 2^25 + 2^18 |
//! | difference of two products, plus 2p | < 3 * 2^26 | < 3 * 2^25 + 2^17 |
//!
//! The first factor of a multiplication may be any of these; the second is not a difference, so
//! that nineteen times a limb of its E + O, less than `19 * (3 * 2^26 + 2^18)`, stays within 32
//! bits.

use crate::field::Field;
use crate::vector::Multiply32;

const EVEN: u64 = (1 << 26) - 1;
const ODD: u64 = (1 << 25) - 1;
/// The odd limbs of products are below this.
const ODD_BOUND: u64 = (1 << 25) + (1 << 17);
/// The limbs of 2p.
const BIAS_0: u64 = 2 * (EVEN - 18);
const BIAS_EVEN: u64 = 2 * EVEN;
const BIAS_ODD: u64 = 2 * ODD;

/// An element. Its limbs are carried by each multiplication, and sums and differences are left as
/// they are.
#[derive(Clone, Copy)]
pub(crate) struct Element<V> {
    even: [V; 5],
    odd: [V; 5],
}

impl<V: Multiply32> Field for Element<V> {
    type Word = V;
    type Product = Self;

    #[inline(always)]
    fn from_words(words: [V; 4]) -> Self {
        let [w0, w1, w2, w3] = words;
        let even = V::splat(EVEN);
        let odd = V::splat(ODD);
        Self {
            even: [
                w0.and(even),
                w0.shift_right::<51>().or(w1.shift_left::<13>()).and(even),
                w1.shift_right::<38>(),
                w2.shift_right::<25>().and(even),
                w3.shift_right::<12>().and(even),
            ],
            odd: [
                w0.shift_right::<26>().and(odd),
                w1.shift_right::<13>().and(odd),
                w2.and(odd),
                w2.shift_right::<51>().or(w3.shift_left::<13>()).and(odd),
                w3.shift_right::<38>().and(odd),
            ],
        }
    }

    #[inline(always)]
    fn to_words(self) -> [V; 4] {
        // A product is below 2p. It is p or more if adding 19 reaches 2^255.
        let mut carry = V::splat(19);
        for (even, odd) in self.even.into_iter().zip(self.odd) {
            carry = even.add(carry).shift_right::<26>();
            carry = odd.add(carry).shift_right::<25>();
        }
        // Then subtract p: add 19, and drop 2^255.
        carry = carry.multiply(V::splat(19));
        let (mut even, mut odd) = (self.even, self.odd);
        for (even, odd) in even.iter_mut().zip(&mut odd) {
            *even = even.add(carry);
            *odd = odd.add(even.shift_right::<26>());
            *even = even.and(V::splat(EVEN));
            carry = odd.shift_right::<25>();
            *odd = odd.and(V::splat(ODD));
        }
        [
            even[0].or(odd[0].shift_left::<26>()).or(even[1].shift_left::<51>()),
            even[1].shift_right::<13>().or(odd[1].shift_left::<13>()).or(even[2].shift_left::<38>()),
            odd[2].or(even[3].shift_left::<25>()).or(odd[3].shift_left::<51>()),
            odd[3].shift_right::<13>().or(even[4].shift_left::<12>()).or(odd[4].shift_left::<38>()),
        ]
    }

    #[inline(always)]
    fn multiply(self, other: Self) -> Self {
        let nineteen = V::splat(19);
        let even = multiply_polynomials(self.even, other.even, nineteen);
        let odd = multiply_polynomials(self.odd, other.odd, nineteen);
        let both = multiply_polynomials(add(self.even, self.odd), add(other.even, other.odd), nineteen);
        let mixed = [
            both[0].sub(even[0]).sub(odd[0]),
            both[1].sub(even[1]).sub(odd[1]),
            both[2].sub(even[2]).sub(odd[2]),
            both[3].sub(even[3]).sub(odd[3]),
            both[4].sub(even[4]).sub(odd[4]),
        ];
        combine(even, mixed, odd)
    }

    /// `f^2 = (E^2 + 2y O^2) + 2^26 * 2 E O`: fewer products than by Karatsuba's formula.
    #[inline(always)]
    fn square(self) -> Self {
        let nineteen = V::splat(19);
        let even = square_polynomial(self.even, nineteen);
        let mixed = multiply_polynomials(self.even, add(self.odd, self.odd), nineteen);
        let odd = square_polynomial(self.odd, nineteen);
        combine(even, mixed, odd)
    }

    #[inline(always)]
    fn product(self) -> Self {
        self
    }

    #[inline(always)]
    fn factor(product: Self) -> Self {
        product
    }

    #[inline(always)]
    fn sum(p: Self, q: Self) -> Self {
        Self { even: add(p.even, q.even), odd: add(p.odd, q.odd) }
    }

    #[inline(always)]
    fn difference(p: Self, q: Self) -> Self {
        let [mut even, mut odd] = [p.even, p.odd];
        for ((p, q), bias) in even.iter_mut().zip(q.even).zip([BIAS_0, BIAS_EVEN, BIAS_EVEN, BIAS_EVEN, BIAS_EVEN]) {
            *p = p.add(V::splat(bias)).sub(q);
        }
        for (p, q) in odd.iter_mut().zip(q.odd) {
            *p = p.add(V::splat(BIAS_ODD)).sub(q);
        }
        Self { even, odd }
    }

    /// 17 bits times 28: far from 64.
    #[inline(always)]
    fn add_121666_times(self, p: Self) -> Self {
        let factor = V::splat(121_666);
        let [mut even, mut odd] = [p.even, p.odd];
        for (p, f) in even.iter_mut().zip(self.even) {
            *p = p.add(f.multiply(factor));
        }
        for (p, f) in odd.iter_mut().zip(self.odd) {
            *p = p.add(f.multiply(factor));
        }
        carry(even, odd)
    }

    #[inline(always)]
    fn select(selector: V, clear: Self, set: Self) -> Self {
        let [mut even, mut odd] = [clear.even, clear.odd];
        for (clear, set) in even.iter_mut().zip(set.even) {
            *clear = V::select(selector, *clear, set);
        }
        for (clear, set) in odd.iter_mut().zip(set.odd) {
            *clear = V::select(selector, *clear, set);
        }
        Self { even, odd }
    }
}

#[inline(always)]
fn add<V: Multiply32>(f: [V; 5], g: [V; 5]) -> [V; 5] {
    [f[0].add(g[0]), f[1].add(g[1]), f[2].add(g[2]), f[3].add(g[3]), f[4].add(g[4])]
}

/// `f g` modulo `y^5 - 19`. A coefficient is at most one product and four products times nineteen,
/// 77 times the largest: for E + O less than `77 * 4.5 * 2^26 * 3 * 2^26`, which is 2^62.1.
#[inline(always)]
fn multiply_polynomials<V: Multiply32>(f: [V; 5], g: [V; 5], nineteen: V) -> [V; 5] {
    let [f0, f1, f2, f3, f4] = f;
    let [g0, g1, g2, g3, g4] = g;
    let g1_19 = g1.multiply(nineteen);
    let g2_19 = g2.multiply(nineteen);
    let g3_19 = g3.multiply(nineteen);
    let g4_19 = g4.multiply(nineteen);
    for factor in [f0, f1, f2, f3, f4, g0, g1_19, g2_19, g3_19, g4_19] {
        debug_assert!(!factor.any_reaches(1 << 32));
    }
    // By rows, each with one limb of f in a register, and the five sums.
    let row = [f0.multiply(g0), f0.multiply(g1), f0.multiply(g2), f0.multiply(g3), f0.multiply(g4)];
    let row = add(row, [f1.multiply(g4_19), f1.multiply(g0), f1.multiply(g1), f1.multiply(g2), f1.multiply(g3)]);
    let row = add(row, [f2.multiply(g3_19), f2.multiply(g4_19), f2.multiply(g0), f2.multiply(g1), f2.multiply(g2)]);
    let row = add(row, [f3.multiply(g2_19), f3.multiply(g3_19), f3.multiply(g4_19), f3.multiply(g0), f3.multiply(g1)]);
    add(row, [f4.multiply(g1_19), f4.multiply(g2_19), f4.multiply(g3_19), f4.multiply(g4_19), f4.multiply(g0)])
}

/// `f^2` modulo `y^5 - 19`. The limbs of f are below `3 * 2^26`, and so nineteen times that is
/// within 32 bits.
#[inline(always)]
fn square_polynomial<V: Multiply32>(f: [V; 5], nineteen: V) -> [V; 5] {
    let [f0, f1, f2, f3, f4] = f;
    let f0_2 = f0.add(f0);
    let f1_2 = f1.add(f1);
    let f2_2 = f2.add(f2);
    let f3_2 = f3.add(f3);
    let f3_19 = f3.multiply(nineteen);
    let f4_19 = f4.multiply(nineteen);
    for factor in [f0_2, f1_2, f2_2, f3_2, f3_19, f4_19] {
        debug_assert!(!factor.any_reaches(1 << 32));
    }
    [
        f0.multiply(f0).add(f1_2.multiply(f4_19)).add(f2_2.multiply(f3_19)),
        f0_2.multiply(f1).add(f2_2.multiply(f4_19)).add(f3.multiply(f3_19)),
        f0_2.multiply(f2).add(f1.multiply(f1)).add(f3_2.multiply(f4_19)),
        f0_2.multiply(f3).add(f1_2.multiply(f2)).add(f4.multiply(f4_19)),
        f0_2.multiply(f4).add(f1_2.multiply(f3)).add(f2.multiply(f2)),
    ]
}

/// `even + 2^26 mixed + 2y odd`, carried. The largest sum is that of a difference's square, limb 0:
/// `77 * 9 * 2^52` and 38 times `5 * 9 * 2^50`, together 2^62.2.
#[inline(always)]
fn combine<V: Multiply32>(even: [V; 5], mixed: [V; 5], odd: [V; 5]) -> Element<V> {
    let odd = add(odd, odd);
    // 19 = 16 + 2 + 1; the column is too large for the multiplier.
    let wrapped = odd[4].add(odd[4].shift_left::<1>()).add(odd[4].shift_left::<4>());
    carry(add(even, [wrapped, odd[0], odd[1], odd[2], odd[3]]), mixed)
}

/// Limbs below 2^63 to 26 and 25 bits, in two chains side by side, from limb 0 and from limb 4.
///
/// When the first chain has come to limb 4, that limb passes its carry on once more, and 9 to 0,
/// and 0 to 1. The last two carries are small: at most `2^39 / 2^26` into limb 5, and
/// `19 * 2^39 / 2^26 < 2^17` into limb 1.
#[inline(always)]
fn carry<V: Multiply32>(even: [V; 5], odd: [V; 5]) -> Element<V> {
    let [h0, h2, h4, h6, h8] = even;
    let [h1, h3, h5, h7, h9] = odd;
    for limb in [h0, h1, h2, h3, h4, h5, h6, h7, h8, h9] {
        debug_assert!(!limb.any_reaches(1 << 63));
    }
    let (even, odd) = (V::splat(EVEN), V::splat(ODD));
    let (h1, h0) = (h1.add(h0.shift_right::<26>()), h0.and(even));
    let (h5, h4) = (h5.add(h4.shift_right::<26>()), h4.and(even));
    let (h2, h1) = (h2.add(h1.shift_right::<25>()), h1.and(odd));
    let (h6, h5) = (h6.add(h5.shift_right::<25>()), h5.and(odd));
    let (h3, h2) = (h3.add(h2.shift_right::<26>()), h2.and(even));
    let (h7, h6) = (h7.add(h6.shift_right::<26>()), h6.and(even));
    let (h4, h3) = (h4.add(h3.shift_right::<25>()), h3.and(odd));
    let (h8, h7) = (h8.add(h7.shift_right::<25>()), h7.and(odd));
    let (h5, h4) = (h5.add(h4.shift_right::<26>()), h4.and(even));
    let (h9, h8) = (h9.add(h8.shift_right::<26>()), h8.and(even));
    let (over, h9) = (h9.shift_right::<25>(), h9.and(odd));
    // 19 = 16 + 2 + 1, as above.
    let h0 = h0.add(over).add(over.shift_left::<1>()).add(over.shift_left::<4>());
    let (h1, h0) = (h1.add(h0.shift_right::<26>()), h0.and(even));
    debug_assert!(!h1.any_reaches(ODD_BOUND) && !h5.any_reaches(ODD_BOUND));
    Element { even: [h0, h2, h4, h6, h8], odd: [h1, h3, h5, h7, h9] }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST: Element<u64> = Element { even: [EVEN; 5], odd: [ODD_BOUND - 1; 5] };
    const ZERO: Element<u64> = Element { even: [0; 5], odd: [0; 5] };

    /// The largest limbs that a product, a sum and a difference may have. In a single lane every
    /// overflow is an error.
    #[test]
    fn the_largest_factors_overflow_nothing() {
        let sum = Element::sum(LARGEST, LARGEST);
        let difference = Element::difference(LARGEST, ZERO);
        for f in [LARGEST, sum, difference] {
            f.square().to_words();
            f.add_121666_times(LARGEST).to_words();
            for g in [LARGEST, sum] {
                f.multiply(g).to_words();
            }
        }
    }

    #[test]
    fn the_largest_sums_are_carried() {
        let carried = carry([(1 << 63) - 1; 5], [(1_u64 << 63) - 1; 5]);
        assert!(carried.even.iter().all(|limb| *limb <= EVEN) && carried.odd.iter().all(|limb| *limb < ODD_BOUND));
    }

    #[test]
    fn the_bias_is_a_multiple_of_p_and_larger_than_products() {
        assert!(Element::difference(ZERO, LARGEST).even.iter().all(|limb| *limb < 1 << 32));
        assert_eq!(Element::difference(ZERO, ZERO).multiply(LARGEST).to_words(), [0; 4]);
    }

    /// These checks see what they are to see.
    #[test]
    #[should_panic(expected = "any_reaches(1 << 32)")]
    fn a_difference_as_second_factor_is_noticed() {
        let difference = Element::difference(LARGEST, ZERO);
        difference.multiply(difference);
    }
}
