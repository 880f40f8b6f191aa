//! AVX2: four lanes.

#![allow(unsafe_code, reason = "vector instructions, which a CPU may not have")]

use core::arch::asm;
use core::arch::x86_64::{
    __m256i, _mm_cvtsi32_si128, _mm256_add_epi64, _mm256_and_si256, _mm256_blendv_pd, _mm256_castpd_si256,
    _mm256_castsi256_pd, _mm256_loadu_si256, _mm256_or_si256, _mm256_set1_epi64x, _mm256_sll_epi64, _mm256_srl_epi64,
    _mm256_storeu_si256, _mm256_sub_epi64, _mm256_xor_si256, _mm256_zeroall,
};

use zeroize::zeroize_stack;

use crate::arithmetic::Lanes;
use crate::batch::{Scalars, multiply_batch};
use crate::product::Product;
use crate::radix25::Element;
use crate::subgroup::{PointClass, classify_batch};
use crate::vector::{Multiply32, Vector};

cpufeatures::new!(cpu, "avx2");

/// The proof that this CPU has the instructions: there is no other constructor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

/// More than the stack that a batch takes.
const STACK_WIPE_LEN: usize = 32 * 1024;

impl Lanes for Avx2 {
    const COUNT: usize = 4;
    const MIN_BATCH: usize = 3;

    fn detect() -> Option<Self> {
        cpu::get().then_some(Self(()))
    }

    fn multiply(self, scalars: Scalars<'_>, points: &[[u8; 32]], products: &mut [Product]) {
        // SAFETY: `self` is the proof that the CPU has the instructions.
        unsafe {
            multiply_by_4(scalars, points, products);
            _mm256_zeroall();
        }
        zeroize_stack::<STACK_WIPE_LEN>();
    }

    fn classify(self, points: &[[u8; 32]], classes: &mut [PointClass]) {
        // SAFETY: `self` is the proof that the CPU has the instructions.
        unsafe { classify_by_4(points, classes) };
    }
}

#[inline(never)]
#[target_feature(enable = "avx2")]
fn multiply_by_4(scalars: Scalars<'_>, points: &[[u8; 32]], products: &mut [Product]) {
    multiply_batch::<Element<U64x4>, 16>(scalars, points, products);
}

#[inline(never)]
#[target_feature(enable = "avx2")]
fn classify_by_4(points: &[[u8; 32]], classes: &mut [PointClass]) {
    classify_batch::<Element<U64x4>>(points, classes);
}

/// Four words. Made in functions only that are compiled for the instructions, and called with the
/// proof that they exist.
#[derive(Clone, Copy)]
struct U64x4(__m256i);

impl Vector for U64x4 {
    const LANES: usize = 4;

    #[inline(always)]
    fn splat(word: u64) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm256_set1_epi64x(word.cast_signed()) })
    }

    #[inline(always)]
    fn load(words: &[u64]) -> Self {
        let mut lanes = [0u64; 4];
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = *word;
        }
        // SAFETY: see the type; reads the 32 bytes of `lanes`, however they are aligned.
        Self(unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, words: &mut [u64]) {
        let mut lanes = [0u64; 4];
        // SAFETY: see the type; writes the 32 bytes of `lanes`, however they are aligned.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), self.0) };
        for (word, lane) in words.iter_mut().zip(lanes) {
            *word = lane;
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm256_add_epi64(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm256_sub_epi64(self.0, other.0) })
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm256_and_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm256_or_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm256_xor_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn shift_left<const BITS: u32>(self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm256_sll_epi64(self.0, _mm_cvtsi32_si128(BITS.cast_signed())) })
    }

    #[inline(always)]
    fn shift_right<const BITS: u32>(self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { _mm256_srl_epi64(self.0, _mm_cvtsi32_si128(BITS.cast_signed())) })
    }

    #[inline(always)]
    fn select(selector: Self, clear: Self, set: Self) -> Self {
        // SAFETY: see the type.
        Self(unsafe {
            _mm256_castpd_si256(_mm256_blendv_pd(
                _mm256_castsi256_pd(clear.0),
                _mm256_castsi256_pd(set.0),
                _mm256_castsi256_pd(selector.0),
            ))
        })
    }
}

impl Multiply32 for U64x4 {
    #[inline(always)]
    fn multiply(self, other: Self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { multiply_low_halves(self.0, other.0) })
    }
}

/// `vpmuludq`, and nothing else: the intrinsic is an ordinary multiplication to the compiler, which
/// then takes factors of two and nineteen out of sums and turns them into shifts. That made the
/// ladder two thirds slower.
#[inline]
#[target_feature(enable = "avx2")]
fn multiply_low_halves(f: __m256i, g: __m256i) -> __m256i {
    let product: __m256i;
    // SAFETY: reads and writes the registers that it declares.
    unsafe {
        asm!(
            "vpmuludq {product}, {f}, {g}",
            product = lateout(ymm_reg) product,
            f = in(ymm_reg) f,
            g = in(ymm_reg) g,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    product
}
