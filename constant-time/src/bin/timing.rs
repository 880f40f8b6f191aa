//! Whether times tell classes of secrets apart: dudect ([eprint
//! 2016/1123](https://eprint.iacr.org/2016/1123)), for every backend of this machine.
//!
//! ```sh
//! cargo run --release --bin timing              # MEASUREMENTS=100000 of each
//! cargo run --release --bin timing -- Ifma      # only what has this in its name
//! ```
//!
//! For each comparison it prints the largest t-statistic over all data and over the data below many
//! thresholds. Values above 5, in run after run and growing with the number of measurements, would
//! mean that time depends on the secrets. The comparison `leak` is wrong on purpose, and shows what
//! that looks like.

use std::cell::RefCell;

use dudect_bencher::ctbench::{BenchMetadata, BenchName, BenchOpts, run_benches_console};
use dudect_bencher::{BenchRng, Class, CtRunner};
use rand::Rng;
use x25519_batch::{Backend, Product, X25519};
use x25519_batch_constant_time::leak_by_branch;

/// Class of tests that compares fixed scalars with random ones.
const SCALARS: u8 = 0;
/// Scalars with a single bit set, or with about half of them.
const BITS: u8 = 1;
/// Points of low order, or any others.
const POINTS: u8 = 2;

/// A u-coordinate of order 8, with which the ladder works on ordinary numbers until its last steps.
const ORDER_8: [u8; 32] = [
    0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, //
    0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
];

fn main() {
    let filter = std::env::args().nth(1);
    let here: Vec<_> = Backend::ALL.into_iter().filter(|backend| X25519::with_backend(*backend).is_some()).collect();
    println!("backends that run: {here:?}");
    let mut benches = vec![BenchMetadata { name: BenchName("leak"), seed: None, benchfn: leak }];
    macro_rules! compare {
        ($($place:literal $count:literal $name:literal;)*) => { $(
            if X25519::with_backend(Backend::ALL[$place]).is_some() {
                benches.push(BenchMetadata {
                    name: BenchName(concat!($name, ", fixed or random scalars")),
                    seed: None,
                    benchfn: multiply::<$place, $count, SCALARS>,
                });
                benches.push(BenchMetadata {
                    name: BenchName(concat!($name, ", sparse or dense scalars")),
                    seed: None,
                    benchfn: multiply::<$place, $count, BITS>,
                });
                benches.push(BenchMetadata {
                    name: BenchName(concat!($name, ", low-order or random points")),
                    seed: None,
                    benchfn: multiply::<$place, $count, POINTS>,
                });
            }
        )* };
    }
    compare! {
        0 1 "Dalek";
        1 1 "Graviola";
        2 4 "Avx2, 4 lanes";
        3 8 "Ifma, 8 lanes";
        3 16 "Ifma, 16 lanes";
    }
    run_benches_console(BenchOpts { filter, ..BenchOpts::default() }, benches).expect("standard output can be written");
}

fn measurements() -> usize {
    std::env::var("MEASUREMENTS").map_or(100_000, |count| count.parse().expect("MEASUREMENTS is a number"))
}

fn leak(runner: &mut CtRunner, rng: &mut BenchRng) {
    for _ in 0..measurements() {
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        let class = class_of(secret[0]);
        if matches!(class, Class::Left) {
            secret = [0x42; 32];
        }
        runner.run_one(class, || (0..50).filter(|_| leak_by_branch(std::hint::black_box(&secret))).count());
    }
}

/// Times batches of so many on one backend. What differs between the classes is drawn before the
/// clock starts, and both classes go through the same memory.
fn multiply<const PLACE: usize, const COUNT: usize, const COMPARED: u8>(runner: &mut CtRunner, rng: &mut BenchRng) {
    let x25519 = X25519::with_backend(Backend::ALL[PLACE]).expect("listed only if it is here");
    let mut draw = || {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    let fixed: [[u8; 32]; COUNT] = std::array::from_fn(|_| draw());
    let products = RefCell::new(vec![Product::default(); COUNT]);
    for _ in 0..measurements() {
        let mut scalars: [[u8; 32]; COUNT] = std::array::from_fn(|_| draw());
        let mut points: [[u8; 32]; COUNT] = std::array::from_fn(|_| draw());
        let class = class_of(draw()[0]);
        let (changed, left) = match COMPARED {
            SCALARS => (&mut scalars, fixed),
            BITS => {
                let single = scalars.map(|scalar| {
                    let mut single = [0; 32];
                    single[usize::from(scalar[0] % 32)] = 1 << (scalar[1] % 8);
                    single
                });
                (&mut scalars, single)
            }
            _ => (&mut points, [ORDER_8; COUNT]),
        };
        // Without a branch, which would show in the times.
        let mask = if matches!(class, Class::Left) { 0xff } else { 0 };
        for (byte, left) in changed.as_flattened_mut().iter_mut().zip(left.as_flattened()) {
            *byte = (*byte & !mask) | (left & mask);
        }
        runner.run_one(class, || {
            x25519.multiply_pairs(&scalars, &points, &mut products.borrow_mut()).expect("all have one length");
        });
    }
}

fn class_of(byte: u8) -> Class {
    if byte.is_multiple_of(2) { Class::Left } else { Class::Right }
}
