//! Whether a u-coordinate is a public key in its one true form.
//!
//! The curve `v^2 = u^3 + A u^2 + u` has 8ℓ points over the field, ℓ prime, in one cyclic group.
//! Public keys are in the subgroup of order ℓ, which is that of the points that are eight times
//! another. Multiplying by ℓ would decide it, at the cost of a whole ladder. It is cheaper to go
//! the other way and halve:
//!
//! * P is twice some Q if and only if u is a square. (On the curve, that is; and then
//!   `N = u^2 + A u + 1` is one too.)
//! * Let `a^2 = u`, `r^2 = N` and `t^2 = 2u + A + 2r`. If `t^2` is not a square, it becomes one
//!   with the other root of N: the product of both is `A^2 - 4`, a non-square. Then Q is the point
//!   `(w, t w)` with `w = u + r + a t`.
//! * Q is four times some point if and only if its Tate pairing with a point of order 4 is a fourth
//!   power. With `T = (1, τ)`, `τ^2 = A + 2`, the function of that pairing is `(v - τ u)^2 / u`, at
//!   Q `w (t - τ)^2`: its only zero, of order 4, is T, and its only pole the neutral point. The
//!   field has four fourth roots of one, since 4 divides p - 1.
//! * P is eight times a point if and only if Q, or Q plus the point of order 2, is four times one;
//!   and since the latter is itself four times a point of order 8, both are or none is. So it does
//!   not matter which signs the roots have.
//!
//! So three square roots and one residue symbol of fourth order decide, at some 250 squarings each:
//! a third of a ladder. Halving is from Pornin, [eprint
//! 2022/1164](https://eprint.iacr.org/2022/1164), and the pairing from Koshelev, [eprint
//! 2022/037](https://eprint.iacr.org/2022/037).

use crate::batch::load;
use crate::field::{Field, constant, differ, multiply, power_of_p_minus_5_over_8};
use crate::vector::{MAX_LANES, Vector};

/// Class of a 32-byte u-coordinate.
///
/// Public keys are public: classification takes the same time for each, but the caller's use of the
/// answer may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PointClass {
    /// The canonical encoding of a point of prime order, as every key made from a scalar is.
    PrimeOrder,
    /// In whatever encoding, a point of order 1, 2, 4 or 8, of the curve or of its twist: every
    /// clamped scalar takes it to zero.
    LowOrder,
    /// Anything else: another encoding, a point with a part of low order, or a u-coordinate of the
    /// twist only. X25519 may treat it just as some point of prime order.
    Alias,
}

const P: [u64; 4] = [0xffff_ffff_ffff_ffed, u64::MAX, u64::MAX, 0x7fff_ffff_ffff_ffff];
const ONE: [u64; 4] = [1, 0, 0, 0];
const MINUS_ONE: [u64; 4] = [P[0] - 1, P[1], P[2], P[3]];
/// A square root of -1.
const I: [u64; 4] = [0xc4ee_1b27_4a0e_a0b0, 0x2f43_1806_ad2f_e478, 0x2b4d_0099_3dfb_d7a7, 0x2b83_2480_4fc1_df0b];
/// p less that root.
const MINUS_I: [u64; 4] = [0x3b11_e4d8_b5f1_5f3d, 0xd0bc_e7f9_52d0_1b87, 0xd4b2_ff66_c204_2858, 0x547c_db7f_b03e_20f4];
/// A
const A: [u64; 4] = [486_662, 0, 0, 0];
/// τ, a square root of A + 2.
const TAU: [u64; 4] = [0xe9a2_48ef_9c88_4415, 0x635a_11c7_284a_9363, 0xc21f_a77a_d7f4_a6ef, 0x6be4_f497_f9a9_c2af];
/// A square root of `(A^2 - 4) / i`.
const ROOT_OVER_I: [u64; 4] =
    [0xa8b7_1277_b3ba_5222, 0x9dd7_1ed4_b851_ca75, 0xbe25_d969_202c_a68f, 0x219f_c5bc_27ac_f1ee];
/// A square root of `(A^2 - 4) / -i`.
const ROOT_OVER_MINUS_I: [u64; 4] =
    [0x00bc_8bef_a14b_6386, 0x67c6_a19e_c5a6_86cc, 0xe7cc_1e9c_cf03_a648, 0x797f_018b_3b0e_ebf0];
/// The u-coordinates of low order: 0 of order 2, 1 and, on the twist, -1 of order 4, and two of
/// order 8.
const LOW_ORDER: [[u64; 4]; 5] = [
    [0; 4],
    ONE,
    MINUS_ONE,
    [0xaeb8_413b_7c7a_ebe0, 0x6ac4_9ff1_fae3_5616, 0xfdb1_329c_eb8d_09da, 0x00b8_495f_1605_6286],
    [0x248c_50a3_bc95_9c5f, 0x5bef_839c_55b1_d0b1, 0x868e_1c58_c45c_4404, 0x5711_9fd0_dd4e_22d8],
];

/// Classifies all points, a vector at a time.
#[inline(always)]
pub(crate) fn classify_batch<F: Field>(points: &[[u8; 32]], classes: &mut [PointClass]) {
    for (points, classes) in points.chunks(F::Word::LANES).zip(classes.chunks_mut(F::Word::LANES)) {
        let bits = load::<F::Word>(points);
        let u = F::from_words(bits);
        let canonical = u.to_words();
        let mut low_order = F::Word::splat(u64::MAX);
        for point in LOW_ORDER {
            low_order = low_order.and(differ(canonical, point));
        }
        let unequal = [
            canonical[0].xor(bits[0]),
            canonical[1].xor(bits[1]),
            canonical[2].xor(bits[2]),
            canonical[3].xor(bits[3]),
        ];
        let alias = differ(unequal, [0; 4]).or(outside_of_subgroup(u));
        let (mut not_low, mut not_prime) = ([0; MAX_LANES], [0; MAX_LANES]);
        low_order.store(&mut not_low);
        alias.store(&mut not_prime);
        for ((class, not_low), not_prime) in classes.iter_mut().zip(not_low).zip(not_prime) {
            *class = match (not_low >> 63, not_prime >> 63) {
                (0, _) => PointClass::LowOrder,
                (_, 0) => PointClass::PrimeOrder,
                _ => PointClass::Alias,
            };
        }
    }
}

/// Returns the selector of the lanes whose u-coordinate is not of a point of order ℓ. Says anything
/// of those of low order.
#[inline(always)]
fn outside_of_subgroup<F: Field>(u: F) -> F::Word {
    let one = constant::<F>(ONE);
    let a_constant = constant::<F>(A).product();
    let n = F::sum(u.multiply(F::sum(u.product(), a_constant)), one.product());
    let (a, u_is_no_square) = square_root(u);
    let (r, n_is_no_square) = square_root(n);

    // t is a root of g = 2 (u + r) + A, or of (A^2 - 4) / g if only that is a square, and then r
    // has the other sign. With e = g^((p - 5) / 8), e^2 g is 1 or -1 for squares, and i or -i for
    // others.
    let plus_r = F::sum(u.product(), r.product());
    let minus_r = F::difference(u.product(), r.product());
    let g = F::sum(plus_r.multiply(constant([2, 0, 0, 0])), a_constant);
    let e = power_of_p_minus_5_over_8(g);
    let symbol_of_g = symbol(e, g);
    let is_not_1 = differ(symbol_of_g, ONE);
    let is_not_i = differ(symbol_of_g, I);
    let is_not_minus_i = differ(symbol_of_g, MINUS_I);
    let t_over_e = F::select(is_not_1, g, multiply(constant(I), g));
    let t_over_e = F::select(is_not_i, constant(ROOT_OVER_I), t_over_e);
    let t_over_e = F::select(is_not_minus_i, constant(ROOT_OVER_MINUS_I), t_over_e);
    let t = multiply(e, t_over_e);
    let u_and_r = F::select(is_not_i.and(is_not_minus_i), minus_r, plus_r);
    let w = F::sum(u_and_r.multiply(one), a.multiply(t));

    let line = F::difference(t.product(), constant::<F>(TAU).product());
    let pairing = multiply(F::factor(line.square()), w);
    let symbol_of_pairing = symbol(power_of_p_minus_5_over_8(pairing), pairing);
    u_is_no_square.or(n_is_no_square).or(differ(symbol_of_pairing, ONE))
}

/// Returns a square root, and the selector of the lanes that have none.
///
/// As p is 5 modulo 8, `f^((p - 1) / 4)` is 1 or -1 for squares, and with `e = f^((p - 5) / 8)`
/// either `e f` or `i e f` is a root.
#[inline(always)]
fn square_root<F: Field>(f: F) -> (F, F::Word) {
    let e = power_of_p_minus_5_over_8(f);
    let symbol = symbol(e, f);
    let is_not_1 = differ(symbol, ONE);
    let is_not_minus_1 = differ(symbol, MINUS_ONE);
    let factor = F::select(is_not_1, constant(ONE), constant(I));
    (multiply(multiply(e, f), factor), is_not_1.and(is_not_minus_1))
}

/// Returns the residue symbol of fourth order, `f^((p - 1) / 4)`, from `e = f^((p - 5) / 8)`: 1 for
/// fourth powers.
#[inline(always)]
fn symbol<F: Field>(e: F, f: F) -> [F::Word; 4] {
    multiply(F::factor(e.square()), f).to_words()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fiat::Element;

    fn element(words: [u64; 4]) -> Element {
        constant(words)
    }

    fn square(words: [u64; 4]) -> [u64; 4] {
        Element::factor(element(words).square()).to_words()
    }

    /// Each constant by the equation that defines it.
    #[test]
    fn constants() {
        assert_eq!(square(I), MINUS_ONE);
        let zero = element([0; 4]).product();
        let minus_i = multiply(Element::difference(zero, element(I).product()), element(ONE));
        assert_eq!(minus_i.to_words(), MINUS_I);
        assert_eq!(square(TAU), [486_664, 0, 0, 0]);
        let a_squared_less_4 = [486_662 * 486_662 - 4, 0, 0, 0];
        assert_eq!(multiply(element(square(ROOT_OVER_I)), element(I)).to_words(), a_squared_less_4);
        assert_eq!(multiply(element(square(ROOT_OVER_MINUS_I)), element(MINUS_I)).to_words(), a_squared_less_4);
        assert_eq!(element(P).to_words(), [0; 4]);
        // The non-squares that the argument rests on.
        for non_square in [I, a_squared_less_4] {
            assert_eq!(square_root(element(non_square)).1 >> 63, 1);
        }
    }

    #[test]
    fn square_roots() {
        for f in 1..50 {
            let square_of_f = square([f, 0, 0, 0]);
            let (root, none) = square_root(element(square_of_f));
            assert_eq!(none >> 63, 0);
            assert_eq!(square(root.to_words()), square_of_f);
            // Twice a square is none, since 2 is none.
            let (_, none) = square_root(multiply(element(square_of_f), element([2, 0, 0, 0])));
            assert_eq!(none >> 63, 1);
        }
    }
}
