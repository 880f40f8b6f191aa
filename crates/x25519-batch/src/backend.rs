//! The backends, and the choice among those that a machine has.

use crate::arithmetic::Lanes;
use crate::batch::Scalars;
use crate::product::Product;
use crate::subgroup::PointClass;
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
use crate::unsupported::{UnsupportedLanes as Avx2, UnsupportedLanes as Ifma};
#[cfg(all(target_arch = "x86_64", not(miri)))]
use crate::x86_64::{avx2::Avx2, ifma::Ifma};

/// What computes: an arithmetic, and the instructions it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// curve25519-dalek, one multiplication after another: on every target.
    Dalek,
    /// graviola's verified assembly, one multiplication after another: with the feature `std`, on
    /// x86-64 with ADX, AES, AVX2, BMI and PCLMULQDQ, and on aarch64 with AES, NEON, PMULL and
    /// SHA-2.
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

/// The lanes that multiply batches, if this machine has any.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BatchBackend {
    None,
    Avx2(Avx2),
    Ifma(Ifma),
}

impl BatchBackend {
    /// Returns the widest lanes of this machine. CPU features are detected once per process.
    pub(crate) fn detect() -> Self {
        Ifma::detect().map(Self::Ifma).or_else(|| Avx2::detect().map(Self::Avx2)).unwrap_or(Self::None)
    }

    /// Returns the lanes of this backend, if it has any and this machine can run them.
    pub(crate) fn with_lanes(backend: Backend) -> Option<Self> {
        match backend {
            Backend::Dalek | Backend::Graviola => Some(Self::None),
            Backend::Avx2 => Avx2::detect().map(Self::Avx2),
            Backend::Ifma => Ifma::detect().map(Self::Ifma),
        }
    }

    /// Returns how many of `count` multiplications go into lanes; the others are computed singly.
    pub(crate) const fn share(self, count: usize) -> usize {
        const fn share<L: Lanes>(count: usize) -> usize {
            let over = count % L::COUNT;
            if over < L::MIN_BATCH { count - over } else { count }
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
