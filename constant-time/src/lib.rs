//! What is wrong on purpose, so that each check can show that it would see it.

use std::hint::black_box;

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
pub fn leak_from_lanes(secret: &[u64; 4]) -> u32 {
    use std::arch::x86_64::{
        _mm256_loadu_si256, _mm256_mul_epu32, _mm256_set_epi64x, _mm256_sub_epi64, _mm256_testz_si256,
    };
    // SAFETY: reads the 32 bytes of `secret`, however they are aligned.
    let mut lanes = unsafe { _mm256_loadu_si256(secret.as_ptr().cast()) };
    let mut steps = 0;
    while _mm256_testz_si256(lanes, lanes) == 0 && steps < 1000 {
        lanes = _mm256_sub_epi64(_mm256_mul_epu32(lanes, lanes), _mm256_set_epi64x(1, 1, 1, 1));
        steps += 1;
    }
    steps
}
