//! AVX-512 with integer fused multiply-add: eight lanes, or twice eight.

#![allow(unsafe_code, reason = "vector instructions, which a CPU may not have")]

use core::arch::asm;
use core::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_and_si512, _mm512_loadu_si512, _mm512_madd52hi_epu64, _mm512_madd52lo_epu64,
    _mm512_mask_blend_epi64, _mm512_movepi64_mask, _mm512_mullo_epi64, _mm512_or_si512, _mm512_set1_epi64,
    _mm512_slli_epi64, _mm512_srli_epi64, _mm512_storeu_si512, _mm512_sub_epi64, _mm512_xor_si512,
};

use zeroize::zeroize_stack;

use crate::arithmetic::Lanes;
use crate::batch::{Scalars, multiply_batch};
use crate::product::Product;
use crate::radix52::Element;
use crate::subgroup::{PointClass, classify_batch};
use crate::vector::{Multiply52, Pair, Vector};

cpufeatures::new!(cpu, "avx512f", "avx512dq", "avx512ifma");

/// The proof that this CPU has the instructions: there is no other constructor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ifma(());

/// More than the stack that a batch takes.
const STACK_WIPE_LEN: usize = 32 * 1024;

impl Lanes for Ifma {
    const COUNT: usize = 16;
    const MIN_BATCH: usize = 2;

    fn detect() -> Option<Self> {
        cpu::get().then_some(Self(()))
    }

    fn multiply(self, scalars: Scalars<'_>, points: &[[u8; 32]], products: &mut [Product]) {
        // Up to eight left over take half the work of sixteen.
        let over = points.len() % 16;
        let wide = if over <= 8 { points.len() - over } else { points.len() };
        let (wide_points, narrow_points) = points.split_at(wide);
        let (wide_products, narrow_products) = products.split_at_mut(wide.min(products.len()));
        let (wide_scalars, narrow_scalars) = scalars.split_at(wide);
        // SAFETY: `self` is the proof that the CPU has the instructions.
        unsafe {
            if !wide_points.is_empty() {
                multiply_by_16(wide_scalars, wide_points, wide_products);
            }
            if !narrow_points.is_empty() {
                multiply_by_8(narrow_scalars, narrow_points, narrow_products);
            }
            wipe_registers();
        }
        zeroize_stack::<STACK_WIPE_LEN>();
    }

    fn classify(self, points: &[[u8; 32]], classes: &mut [PointClass]) {
        // SAFETY: `self` is the proof that the CPU has the instructions.
        unsafe {
            if points.len() > 8 {
                classify_by_16(points, classes);
            } else {
                classify_by_8(points, classes);
            }
        }
    }
}

#[inline(never)]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn multiply_by_16(scalars: Scalars<'_>, points: &[[u8; 32]], products: &mut [Product]) {
    multiply_batch::<Element<Pair<U64x8>>, 4>(scalars, points, products);
}

#[inline(never)]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn multiply_by_8(scalars: Scalars<'_>, points: &[[u8; 32]], products: &mut [Product]) {
    multiply_batch::<Element<U64x8>, 1>(scalars, points, products);
}

#[inline(never)]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn classify_by_16(points: &[[u8; 32]], classes: &mut [PointClass]) {
    classify_batch::<Element<Pair<U64x8>>>(points, classes);
}

#[inline(never)]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn classify_by_8(points: &[[u8; 32]], classes: &mut [PointClass]) {
    classify_batch::<Element<U64x8>>(points, classes);
}

/// The vector and mask registers. The compiler clears only those halves that older code might trip
/// over.
#[target_feature(enable = "avx512f")]
fn wipe_registers() {
    // SAFETY: clears registers, which are all declared as such, and does nothing else.
    unsafe {
        asm!(
            "vzeroall",
            "vpxord zmm16, zmm16, zmm16",
            "vpxord zmm17, zmm17, zmm17",
            "vpxord zmm18, zmm18, zmm18",
            "vpxord zmm19, zmm19, zmm19",
            "vpxord zmm20, zmm20, zmm20",
            "vpxord zmm21, zmm21, zmm21",
            "vpxord zmm22, zmm22, zmm22",
            "vpxord zmm23, zmm23, zmm23",
            "vpxord zmm24, zmm24, zmm24",
            "vpxord zmm25, zmm25, zmm25",
            "vpxord zmm26, zmm26, zmm26",
            "vpxord zmm27, zmm27, zmm27",
            "vpxord zmm28, zmm28, zmm28",
            "vpxord zmm29, zmm29, zmm29",
            "vpxord zmm30, zmm30, zmm30",
            "vpxord zmm31, zmm31, zmm31",
            "kxorw k0, k0, k0",
            "kxorw k1, k1, k1",
            "kxorw k2, k2, k2",
            "kxorw k3, k3, k3",
            "kxorw k4, k4, k4",
            "kxorw k5, k5, k5",
            "kxorw k6, k6, k6",
            "kxorw k7, k7, k7",
            out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _,
            out("zmm4") _, out("zmm5") _, out("zmm6") _, out("zmm7") _,
            out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
            out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _,
            out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
            out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _,
            out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm27") _,
            out("zmm28") _, out("zmm29") _, out("zmm30") _, out("zmm31") _,
            out("k0") _, out("k1") _, out("k2") _, out("k3") _,
            out("k4") _, out("k5") _, out("k6") _, out("k7") _,
            options(nomem, nostack, preserves_flags),
        );
    }
}

/// Eight words. Made in functions only that are compiled for the instructions, and called with the
/// proof that they exist.
#[derive(Clone, Copy)]
struct U64x8(__m512i);

impl Vector for U64x8 {
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(word: u64) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm512_set1_epi64(word.cast_signed()) })
    }

    #[inline(always)]
    fn load(words: &[u64]) -> Self {
        let mut lanes = [0; 8];
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = *word;
        }
        // SAFETY: see the type; reads the 64 bytes of `lanes`, however they are aligned.
        Self(unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, words: &mut [u64]) {
        let mut lanes = [0; 8];
        // SAFETY: see the type; writes the 64 bytes of `lanes`, however they are aligned.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), self.0) };
        for (word, lane) in words.iter_mut().zip(lanes) {
            *word = lane;
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm512_add_epi64(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm512_sub_epi64(self.0, other.0) })
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm512_and_si512(self.0, other.0) })
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm512_or_si512(self.0, other.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm512_xor_si512(self.0, other.0) })
    }

    #[inline(always)]
    fn shift_left<const BITS: u32>(self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm512_slli_epi64::<BITS>(self.0) })
    }

    #[inline(always)]
    fn shift_right<const BITS: u32>(self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm512_srli_epi64::<BITS>(self.0) })
    }

    #[inline(always)]
    fn select(selector: Self, clear: Self, set: Self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm512_mask_blend_epi64(_mm512_movepi64_mask(selector.0), clear.0, set.0) })
    }
}

impl Multiply52 for U64x8 {
    #[inline(always)]
    fn add_low(self, f: Self, g: Self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm512_madd52lo_epu64(self.0, f.0, g.0) })
    }

    #[inline(always)]
    fn add_high(self, f: Self, g: Self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm512_madd52hi_epu64(self.0, f.0, g.0) })
    }

    #[inline(always)]
    fn scale(self, other: Self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm512_mullo_epi64(self.0, other.0) })
    }
}
