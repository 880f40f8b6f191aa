//! Helpers that the batches of both ends share.

use x25519_batch::{LengthMismatch, Product, X25519};

/// The most requests in one batch, for [`Server::open_batch`](crate::Server::open_batch) and
/// [`Client::seal_batch`](crate::Client::seal_batch). Longer batches are cut into pieces of this
/// length.
pub const BATCH_LEN: usize = 64;

/// Bytes of stack to wipe after a piece: more than it takes above its multiplications, which wipe
/// their own. Frames that are not optimized are larger.
pub(crate) const STACK_WIPE_LEN: usize = if cfg!(debug_assertions) { 96 } else { 32 } * 1024;

/// The products of one batch of multiplications: at most [`BATCH_LEN`], each zero until it is
/// computed. Zero is refused as the product of a low-order point. Wiped when dropped.
pub(crate) struct Products([Product; BATCH_LEN]);

impl Products {
    pub(crate) fn new() -> Self {
        Self(core::array::from_fn(|_| Product::default()))
    }

    /// `x25519(scalar, points[i])`
    pub(crate) fn of_points(&mut self, x25519: X25519, scalar: &[u8; 32], points: &[[u8; 32]]) -> &[Product] {
        self.compute(points.len(), |products| x25519.multiply_points(scalar, points, products))
    }

    /// `x25519(scalars[i], points[i])`
    pub(crate) fn of_pairs(&mut self, x25519: X25519, scalars: &[[u8; 32]], points: &[[u8; 32]]) -> &[Product] {
        self.compute(points.len(), |products| x25519.multiply_pairs(scalars, points, products))
    }

    fn compute(
        &mut self,
        count: usize,
        multiply: impl FnOnce(&mut [Product]) -> Result<(), LengthMismatch>,
    ) -> &[Product] {
        let products = self.0.get_mut(..count).unwrap_or_default();
        let outcome = multiply(products);
        debug_assert_eq!(outcome, Ok(()), "a batch of {count}");
        products
    }
}
