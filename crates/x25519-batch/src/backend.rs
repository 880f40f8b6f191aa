//! The backends, and which of them a machine has.

use crate::batch::Scalars;
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
pub(crate) use crate::missing::{MissingLanes as Avx2, MissingLanes as Ifma};
use crate::product::Product;
use crate::subgroup::PointClass;
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) use crate::{avx2::Avx2, ifma::Ifma};

/// What computes: an arithmetic, and the instructions it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// curve25519-dalek, one multiplication after another: on every target.
    Dalek,
    /// graviola's verified assembly, one multiplication after another: with the feature `std`, on x86-64 with ADX, AES,
    /// AVX2, BMI and PCLMULQDQ, and on aarch64 with AES, NEON, PMULL and SHA-2.
    Graviola,
    /// Four lanes of AVX2.
    Avx2,
    /// Sixteen lanes of AVX-512 IFMA, or eight for what is left over.
    Ifma,
}

impl Backend {
    /// Every backend, the slowest first.
    pub const ALL: [Self; 4] = [Self::Dalek, Self::Graviola, Self::Avx2, Self::Ifma];
}

/// A library that multiplies one by one. A value of it is the proof that this machine can run it.
pub(crate) trait Single: Copy {
    /// Asks the CPU.
    fn detect() -> Option<Self>;
    /// `x25519(scalar, point)`
    fn multiply(self, scalar: &[u8; 32], point: &[u8; 32]) -> Product;
    /// `x25519(scalar, 9)`
    fn multiply_base(self, scalar: &[u8; 32]) -> [u8; 32];
}

/// Multiplications side by side. A value of it is the proof that this machine can run them.
///
/// For another unit, NEON say, there are three things to write: a [`Vector`](crate::vector::Vector) with its multiplier,
/// this trait for it, and a variant of [`Backend`].
pub(crate) trait Lanes: Copy {
    /// Multiplications side by side.
    const COUNT: usize;
    /// Fewer than these are done better one by one than in lanes most of which are empty.
    const FEWEST: usize;

    /// Asks the CPU.
    fn detect() -> Option<Self>;
    /// Multiplies each point by its scalar. All slices have the same length.
    fn multiply(self, scalars: Scalars<'_>, points: &[[u8; 32]], products: &mut [Product]);
    /// Classifies each point. Both slices have the same length.
    fn classify(self, points: &[[u8; 32]], classes: &mut [PointClass]);
}

/// The backend for batches.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SelectedLanes {
    None,
    Avx2(Avx2),
    Ifma(Ifma),
}

impl SelectedLanes {
    /// How many of so many multiplications belong into lanes; the others are left over for one by one.
    pub(crate) const fn share(self, count: usize) -> usize {
        const fn share<L: Lanes>(count: usize) -> usize {
            let over = count % L::COUNT;
            if over < L::FEWEST { count - over } else { count }
        }
        match self {
            Self::None => 0,
            Self::Avx2(_) => share::<Avx2>(count),
            Self::Ifma(_) => share::<Ifma>(count),
        }
    }

    pub(crate) fn multiply(self, scalars: Scalars<'_>, points: &[[u8; 32]], products: &mut [Product]) {
        match self {
            Self::None => {}
            Self::Avx2(lanes) => lanes.multiply(scalars, points, products),
            Self::Ifma(lanes) => lanes.multiply(scalars, points, products),
        }
    }

    pub(crate) fn classify(self, points: &[[u8; 32]], classes: &mut [PointClass]) {
        match self {
            Self::None => {}
            Self::Avx2(lanes) => lanes.classify(points, classes),
            Self::Ifma(lanes) => lanes.classify(points, classes),
        }
    }
}
