//! After a batch nothing of it is on the stack: neither the scalars, nor what the ladder makes of
//! them, nor products. Linux shows a process its own memory as a file, so this is seen without any
//! unsafe code.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;

use x25519_batch::{Backend, Product, X25519};

use crate::common::{backends, randoms, rng};

/// Bytes of the stack that a batch may have used, and more.
const DEPTH: usize = 48 * 1024;

/// The memory below the caller's frame, where the functions that it called had theirs.
#[inline(never)]
fn stack_below(into: &mut [u8]) {
    let here = black_box(0_u8);
    let address = &raw const here as usize - DEPTH;
    File::open("/proc/self/mem").unwrap().read_exact_at(into, address as u64).unwrap();
}

/// How many words of the secrets, as the lanes hold them, are in memory.
fn traces(memory: &[u8], secrets: &[[u8; 32]]) -> usize {
    let words: Vec<&[u8]> = secrets.iter().flat_map(|secret| secret.chunks(8)).collect();
    memory.windows(8).filter(|window| words.contains(window)).count()
}

/// The scalars, clamped and not; the words of their ladder's turns; and the products, less their
/// top bit.
fn secrets(scalars: &[[u8; 32]], products: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let mut secrets = [scalars, products].concat();
    for scalar in scalars {
        let mut clamped = *scalar;
        clamped[0] &= 0xf8;
        clamped[31] = clamped[31] & 0x7f | 0x40;
        secrets.push(clamped);
        let mut turns = clamped;
        for bit in 0..255 {
            let next = clamped[(bit + 1) / 8] >> ((bit + 1) % 8) & 1;
            turns[bit / 8] ^= next << (bit % 8);
        }
        secrets.push(turns);
    }
    secrets
}

#[inline(never)]
fn run(x25519: X25519, scalars: &[[u8; 32]], points: &[[u8; 32]], products: &mut [Product]) {
    x25519.multiply_pairs(scalars, points, products).unwrap();
}

#[test]
fn the_stack_keeps_nothing_of_a_batch() {
    for x25519 in backends() {
        // What single multiplications leave is up to their libraries.
        if !matches!(x25519.batch_backend(), Backend::Avx2 | Backend::Ifma) {
            continue;
        }
        for count in [4, 8, 16, 64] {
            let mut rng = rng(91);
            let (scalars, points) = (randoms(&mut rng, count), randoms(&mut rng, count));
            // All of this is on the heap.
            let mut products = vec![Product::default(); count];
            let mut memory = vec![0; DEPTH];
            run(x25519, &scalars, &points, &mut products);
            stack_below(&mut memory);
            let bytes: Vec<_> = products.iter().map(|product| *product.as_bytes()).collect();
            assert_eq!(traces(&memory, &secrets(&scalars, &bytes)), 0, "{:?}, {count}", x25519.batch_backend());
        }
    }
}

/// The test above is able to see what it looks for.
#[test]
fn what_is_left_on_the_stack_is_seen() {
    #[inline(never)]
    fn leave(secret: &[u8; 32]) {
        let copies = black_box([*secret; 64]);
        black_box(&copies);
    }
    let secret = randoms(&mut rng(92), 1);
    let mut memory = vec![0; DEPTH];
    leave(&secret[0]);
    stack_below(&mut memory);
    assert!(traces(&memory, &secret) > 0);
}
