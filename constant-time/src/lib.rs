//! Faults on purpose, so that each check can show that it would see them.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi64, _mm256_loadu_si256, _mm256_maskstore_epi64, _mm256_mul_epu32, _mm256_set1_epi64x,
    _mm256_storeu_si256, _mm256_sub_epi64, _mm256_testz_si256,
};
use std::hint::black_box;

pub mod valgrind;

/// Ends where a byte of the secret differs from what is expected.
#[inline(never)]
pub fn leak_by_branch(secret: &[u8; 32]) -> bool {
    for byte in secret {
        // Not to be turned into something better by the compiler.
        if black_box(*byte) != 0x42 {
            return false;
        }
    }
    true
}

/// Looks a value up in a table.
#[inline(never)]
pub fn leak_by_address(secret: &[u8; 32], table: &[u8; 256]) -> u8 {
    table[usize::from(secret[0])]
}

/// Ends a loop in vector registers when all lanes are zero.
///
/// # Safety
/// As for every function with `target_feature`: the CPU has AVX2.
#[inline(never)]
#[target_feature(enable = "avx2")]
pub fn leak_from_lanes(secret: &[u8; 32]) -> u32 {
    let mut lanes = load(secret);
    let mut steps = 0;
    while _mm256_testz_si256(lanes, lanes) == 0 && steps < 1000 {
        lanes = _mm256_sub_epi64(_mm256_mul_epu32(lanes, lanes), _mm256_set1_epi64x(1));
        steps += 1;
    }
    steps
}

/// Stores lanes, and looks at what it stored.
///
/// # Safety
/// As for every function with `target_feature`: the CPU has AVX2.
#[inline(never)]
#[target_feature(enable = "avx2")]
pub fn leak_through_memory(secret: &[u8; 32]) -> bool {
    let lanes = load(secret);
    let mut words = [0_u64; 4];
    // SAFETY: writes the 32 bytes of `words`, however they are aligned.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), _mm256_add_epi64(lanes, lanes)) };
    // In memory, whatever the compiler would prefer.
    let words = black_box(words);
    if words[2] > 42 { black_box(true) } else { black_box(words[1] == 0) }
}

/// Stores the lanes that have their top bit set. The compiler makes this of a selection, if it is
/// allowed to.
///
/// # Safety
/// As for every function with `target_feature`: the CPU has AVX2.
#[inline(never)]
#[target_feature(enable = "avx2")]
pub fn leak_by_mask(secret: &[u8; 32], words: &mut [u64; 4]) {
    let lanes = load(secret);
    // SAFETY: writes no more than the 32 bytes of `words`, however they are aligned.
    unsafe { _mm256_maskstore_epi64(words.as_mut_ptr().cast(), lanes, lanes) };
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(secret: &[u8; 32]) -> __m256i {
    // SAFETY: reads the 32 bytes of `secret`, however they are aligned.
    unsafe { _mm256_loadu_si256(secret.as_ptr().cast()) }
}
