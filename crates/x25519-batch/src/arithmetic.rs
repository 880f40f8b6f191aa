//! The two kinds of backends: one multiplication after another, and many in lanes.

use crate::batch::Scalars;
use crate::product::Product;
use crate::subgroup::PointClass;

/// A library for single multiplications. A value of this type proves that the CPU can run it.
pub(crate) trait Single: Copy {
    /// Asks the CPU.
    fn detect() -> Option<Self>;
    /// `x25519(scalar, point)`
    fn multiply(self, scalar: &[u8; 32], point: &[u8; 32]) -> Product;
    /// `x25519(scalar, 9)`
    fn multiply_base(self, scalar: &[u8; 32]) -> [u8; 32];
}

/// Multiplications side by side. A value of this type proves that the CPU can run them.
///
/// For another unit, NEON say, there are three things to write: a [`Vector`](crate::vector::Vector)
/// with its multiplier, this trait for it, and a variant of [`Backend`](crate::Backend).
pub(crate) trait Lanes: Copy {
    /// Multiplications side by side.
    const COUNT: usize;
    /// Below this number, single multiplications are faster than mostly empty lanes.
    const MIN_BATCH: usize;

    /// Asks the CPU.
    fn detect() -> Option<Self>;
    /// Multiplies each point by its scalar. All slices have the same length.
    fn multiply(self, scalars: Scalars<'_>, points: &[[u8; 32]], products: &mut [Product]);
    /// Classifies each point. Both slices have the same length.
    fn classify(self, points: &[[u8; 32]], classes: &mut [PointClass]);
}
