//! What several tests need: every backend of this machine by name, seeded randomness, and an
//! independent X25519.

use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};
use x25519_batch::{Backend, Product, X25519};

/// Every backend that this machine has, and a line for the log that says so.
pub(crate) fn backends() -> Vec<X25519> {
    let found: Vec<_> = Backend::ALL.into_iter().filter_map(X25519::with_backend).collect();
    for (x25519, backend) in found.iter().zip(Backend::ALL.iter().filter(|b| X25519::with_backend(**b).is_some())) {
        assert_eq!(x25519.batch_backend(), *backend);
    }
    println!("backends that run: {:?}", found.iter().map(|x25519| x25519.batch_backend()).collect::<Vec<_>>());
    found
}

/// A generator whose seed is printed with a failing test, so that the failure repeats.
pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    println!("seed {seed}");
    ChaCha20Rng::seed_from_u64(seed)
}

pub(crate) fn random(rng: &mut impl Rng) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}

pub(crate) fn randoms(rng: &mut impl Rng, count: usize) -> Vec<[u8; 32]> {
    (0..count).map(|_| random(rng)).collect()
}

pub(crate) fn bytes(hex: &str) -> [u8; 32] {
    base16ct::lower::decode_vec(hex).unwrap().try_into().unwrap()
}

/// The X25519 of another crate, one by one.
pub(crate) fn expected(scalars: &[[u8; 32]], points: &[[u8; 32]]) -> Vec<[u8; 32]> {
    scalars.iter().zip(points).map(|(scalar, point)| x25519_dalek::x25519(*scalar, *point)).collect()
}

pub(crate) fn multiply_pairs(x25519: X25519, scalars: &[[u8; 32]], points: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let mut products = vec![Product::default(); points.len()];
    x25519.multiply_pairs(scalars, points, &mut products).unwrap();
    checked(&products)
}

pub(crate) fn multiply_points(x25519: X25519, scalar: &[u8; 32], points: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let mut products = vec![Product::default(); points.len()];
    x25519.multiply_points(scalar, points, &mut products).unwrap();
    checked(&products)
}

/// Has each multiplication done in every place of full groups of lanes, and of the narrow ones that
/// take what is left over. No group is wider than 16, so that longer batches have 16 kinds of
/// places.
pub(crate) fn assert_in_every_lane(x25519: X25519, scalars: &[[u8; 32]], points: &[[u8; 32]], products: &[[u8; 32]]) {
    let (mut scalars, mut points, mut products) = (scalars.to_vec(), points.to_vec(), products.to_vec());
    for length in [4, 8, 16, 64] {
        for _ in 0..length.min(16) {
            for ((scalars, points), products) in
                scalars.chunks(length).zip(points.chunks(length)).zip(products.chunks(length))
            {
                assert_eq!(multiply_pairs(x25519, scalars, points), products, "{x25519:?}");
            }
            scalars.rotate_left(1);
            points.rotate_left(1);
            products.rotate_left(1);
        }
    }
}

/// The products' bytes. Their flags must agree with them.
fn checked(products: &[Product]) -> Vec<[u8; 32]> {
    let bytes = |product: &Product| {
        assert_eq!(bool::from(product.is_zero()), *product.as_bytes() == [0; 32]);
        *product.as_bytes()
    };
    products.iter().map(bytes).collect()
}
