//! Helpers that the batches of both ends share.

use x25519_batch::{Backend, Product, X25519};

/// The most requests in one batch, for [`Server::open_batch`](crate::Server::open_batch) and
/// [`Client::seal_batch`](crate::Client::seal_batch). Longer batches are cut into pieces of this
/// length.
pub const BATCH_LEN: usize = 64;

/// Bytes of stack to wipe after a piece: more than it takes above its multiplications, which wipe
/// their own. Frames that are not optimized are larger.
pub(crate) const STACK_WIPE_LEN: usize = if cfg!(debug_assertions) { 128 } else { 64 } * 1024;

/// The products of one batch of multiplications: at most [`BATCH_LEN`], each zero until it is
/// computed. Zero is refused as the product of a low-order point. Wiped when dropped.
pub(crate) struct Products([Product; BATCH_LEN]);

impl Products {
    pub(crate) fn new() -> Self {
        Self(core::array::from_fn(|_| Product::default()))
    }

    /// `x25519(scalars[i], points[i])`
    pub(crate) fn of_pairs(&mut self, x25519: X25519, scalars: &[[u8; 32]], points: &[[u8; 32]]) -> &[Product] {
        #[cfg(test)]
        crate::work::add(|work| work.multiplications += points.len());
        let products = self.0.get_mut(..points.len()).unwrap_or_default();
        let outcome = x25519.multiply_pairs(scalars, points, products);
        debug_assert_eq!(outcome, Ok(()), "a batch of {}", points.len());
        products
    }
}

/// `x25519(scalar, point)`
pub(crate) fn of_pair(x25519: X25519, scalar: &[u8; 32], point: &[u8; 32]) -> Product {
    #[cfg(test)]
    crate::work::add(|work| work.multiplications += 1);
    x25519.multiply(scalar, point)
}

/// Number of multiples of the base point above which eight AVX-512 lanes are faster than single
/// multiplications, which have tables for it.
const MIN_BASE_POINTS: usize = 6;

/// The base point of Curve25519.
pub(crate) const BASE_POINT: [u8; 32] = {
    let mut point = [0; 32];
    point[0] = 9;
    point
};

/// `x25519(scalars[i], 9)`
pub(crate) fn of_base(x25519: X25519, scalars: &[[u8; 32]], public: &mut [[u8; 32]; BATCH_LEN]) {
    if x25519.batch_backend() != Backend::Ifma || scalars.len() < MIN_BASE_POINTS {
        for (public, scalar) in public.iter_mut().zip(scalars) {
            *public = x25519.multiply_base(scalar);
        }
        return;
    }
    let points = [BASE_POINT; BATCH_LEN];
    let mut products = Products::new();
    let products = products.of_pairs(x25519, scalars, points.get(..scalars.len()).unwrap_or_default());
    for (public, product) in public.iter_mut().zip(products) {
        *public = *product.as_bytes();
    }
}
