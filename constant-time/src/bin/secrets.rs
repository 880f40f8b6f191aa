//! Multiplies with scalars, and points, that valgrind takes for uninitialised memory. It then
//! reports every conditional jump and every address that depends on one of them.
//!
//! ```sh
//! valgrind --error-exitcode=1 target/release/secrets avx2
//! ```
//!
//! The argument is a backend, or the name of something leaky: then valgrind must report an error.

use std::hint::black_box;
use std::process::ExitCode;

use x25519_batch::{Backend, PointClass, Product, X25519};
use x25519_batch_constant_time::valgrind::{conceal, disclose, is_concealed, is_running};
use x25519_batch_constant_time::{leak_by_address, leak_by_branch, leak_by_mask, leak_from_lanes, leak_through_memory};

/// Full groups of lanes, every kind of rest, and more than share an inversion.
const COUNTS: [usize; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 64, 69];

fn main() -> ExitCode {
    if !is_running() {
        eprintln!("this says something under valgrind only");
        return ExitCode::from(2);
    }
    let argument = std::env::args().nth(1).unwrap_or_default();
    match argument.as_str() {
        "dalek" => multiply(Backend::Dalek),
        "graviola" => multiply(Backend::Graviola),
        "avx2" => multiply(Backend::Avx2),
        "ifma" => multiply(Backend::Ifma),
        leak => leak_as(leak),
    }
}

/// What valgrind must notice, and `scripts/check-ladder` in the machine code.
fn leak_as(leak: &str) -> ExitCode {
    let has_avx2 = is_x86_feature_detected!("avx2");
    let mut secret = [0x41; 32];
    conceal(&mut secret);
    match leak {
        "leak-branch" => {
            black_box(leak_by_branch(&secret));
        }
        "leak-address" => {
            black_box(leak_by_address(&secret, &[7; 256]));
        }
        // SAFETY: the CPU was asked.
        "leak-lanes" if has_avx2 => unsafe {
            black_box(leak_from_lanes(&secret));
        },
        // SAFETY: as above.
        "leak-memory" if has_avx2 => unsafe {
            black_box(leak_through_memory(&secret));
        },
        // SAFETY: as above.
        "leak-mask" if has_avx2 => unsafe {
            leak_by_mask(&secret, black_box(&mut [0; 4]));
        },
        _ => {
            eprintln!(
                "usage: secrets dalek|graviola|avx2|ifma|leak-branch|leak-address|leak-lanes|leak-memory|leak-mask"
            );
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn multiply(backend: Backend) -> ExitCode {
    let Some(x25519) = X25519::with_backend(backend) else {
        // Valgrind shows programs a CPU of its own.
        println!("{backend:?} is not here");
        return ExitCode::from(3);
    };
    assert_eq!(x25519.batch_backend(), backend);
    println!("multiplying by {:?}, and one by one by {:?}", x25519.batch_backend(), x25519.single_backend());

    for count in COUNTS {
        // Points come from the network, but a client's inner value x25519(c, S) is a secret point.
        let mut scalars: Vec<[u8; 32]> = (0..count).map(|place| filled(place, 0x5a)).collect();
        let mut points: Vec<[u8; 32]> = (0..count).map(|place| filled(place, 0xc3)).collect();
        // In one lane a point of low order: a product of zero is a secret too, until the caller
        // tests for it.
        points[count / 2] = [0; 32];
        for bytes in scalars.iter_mut().chain(&mut points) {
            conceal(bytes);
        }
        let mut products = vec![Product::default(); count];
        x25519.multiply_pairs(&scalars, &points, &mut products).unwrap();
        check(&products);
        x25519.multiply_points(&scalars[0], &points, &mut products).unwrap();
        check(&products);
        let product = x25519.multiply(&scalars[0], &points[count / 2]);
        check(&[product]);
        let mut public = x25519.multiply_base(&scalars[0]);
        assert!(is_concealed(&public), "valgrind lost sight of the scalar");
        disclose(&mut public);
        black_box(public);
        classify(x25519, &points);
    }
    ExitCode::SUCCESS
}

/// A client's key is inside the ciphertext: until it is classified, nobody else knows it.
fn classify(x25519: X25519, points: &[[u8; 32]]) {
    let mut classes = vec![PointClass::Alias; points.len()];
    x25519.classify_points(points, &mut classes).unwrap();
    assert!(classes.iter().all(is_concealed), "valgrind lost sight of the points");
    disclose(&mut classes);
    let low_order = classes.iter().filter(|class| **class == PointClass::LowOrder).count();
    assert_eq!(low_order, 1, "one point has low order");
}

/// Valgrind saw all the way from the secrets to the products; and just one point has low order.
fn check(products: &[Product]) {
    assert!(products.iter().all(|product| is_concealed(product.as_bytes())), "valgrind lost sight of the secrets");
    assert_eq!(zeros(products), 1, "one point has low order");
}

fn filled(place: usize, byte: u8) -> [u8; 32] {
    let mut bytes = [byte; 32];
    bytes[0] ^= u8::try_from(place).unwrap();
    bytes
}

/// How many products are zero: asked in constant time, and only the answers are disclosed.
fn zeros(products: &[Product]) -> usize {
    products
        .iter()
        .filter(|product| {
            let mut is_zero = [product.is_zero().unwrap_u8()];
            disclose(&mut is_zero);
            is_zero[0] == 1
        })
        .count()
}
