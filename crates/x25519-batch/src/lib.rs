//! Many X25519 at once.
//!
//! X25519 ([RFC 7748](https://www.rfc-editor.org/rfc/rfc7748)) multiplies a point of Curve25519 by
//! a secret scalar. Libraries take some 20 to 50 microseconds for one multiplication. A server that
//! has several to do at the same time does them side by side: with AVX-512 IFMA each then takes a
//! fifth to a seventh of the time, and with AVX2 two thirds.
//!
//! ```
//! use x25519_batch::{Product, X25519};
//!
//! # fn main() -> Result<(), x25519_batch::LengthMismatch> {
//! let x25519 = X25519::new();
//! println!("{:?}, and one by one {:?}", x25519.batch_backend(), x25519.single_backend());
//!
//! // One scalar with many points: a server, and what its clients sent.
//! let server_secret = [0x5a; 32];
//! let client_keys: Vec<_> = (1..=20).map(|secret| x25519.multiply_base(&[secret; 32])).collect();
//! let mut shared = vec![Product::default(); client_keys.len()];
//! x25519.multiply_points(&server_secret, &client_keys, &mut shared)?;
//!
//! // Many scalars with many points. All clients have the same server here.
//! let client_secrets: Vec<_> = (1..=20).map(|secret| [secret; 32]).collect();
//! let server_key = x25519.multiply_base(&server_secret);
//! let mut theirs = vec![Product::default(); client_secrets.len()];
//! x25519.multiply_pairs(&client_secrets, &[server_key; 20], &mut theirs)?;
//!
//! for (ours, theirs) in shared.iter().zip(&theirs) {
//!     assert_eq!(ours.as_bytes(), theirs.as_bytes());
//!     assert!(!bool::from(ours.is_zero()));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Backends
//!
//! [`X25519::new`] detects the CPU's features and selects the fastest backend: [`Backend`] lists
//! them. Whatever computes, the products are the same, byte for byte; [`X25519::with_backend`] is
//! for tests and comparisons. Single multiplications, and batches that are too small for the lanes,
//! are computed by the fastest library for single ones.
//!
//! Nothing depends on the standard library or allocates. The feature `std`, on by default, adds
//! graviola, the faster of two libraries for single multiplications, and tables for multiples of
//! the base point.
//!
//! # Secrets
//!
//! No branch and no address depends on a scalar, a point or anything made of them, in builds of
//! `opt-level` 2 or 3. (graviola's result reveals whether a product is zero.) [`Product`]s are
//! wiped when dropped; the lanes' registers and stack are wiped before a batch returns. Scalars
//! stay the caller's.
//!
//! # Validating keys
//!
//! X25519 accepts any 32 bytes as a point, and maps several points to the same product. If you use
//! public keys as names, and not just as points, call [`X25519::classify_points`] first.
//!
//! # What it is not
//!
//! * **Not a key exchange protocol**: it multiplies. Hash a product together with both public keys
//!   before you use it as a key.
//! * **Not faster for one**: a single multiplication is another library's.
//! * **Not for other curves**, and not for signatures.
//!
//! `docs/x25519-batch.md` in the repository explains the lanes and how constant time is checked.

#![no_std]
#![cfg_attr(
    not(all(target_arch = "x86_64", not(miri))),
    allow(dead_code, reason = "arithmetic for vector units, which this target does not have")
)]

#[cfg(any(feature = "std", test))]
extern crate std;

mod arithmetic;
mod backend;
mod batch;
mod fiat;
mod field;
mod ladder;
mod product;
mod radix25;
mod radix52;
mod single;
mod subgroup;

mod unsupported;
mod vector;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod x86_64;

use core::{fmt, slice};

use arithmetic::Single;
pub use backend::Backend;
use backend::BatchBackend;
use batch::Scalars;
pub use product::Product;
use single::{Dalek, Graviola};
pub use subgroup::PointClass;

/// X25519 on this machine: a handle of a few bytes, which remembers what the CPU can do.
///
/// Scalars are any 32 bytes, and clamped here. Points are u-coordinates of 32 little-endian bytes
/// whose top bit is ignored; every value is valid (RFC 7748, section 5).
#[derive(Clone, Copy, Debug)]
pub struct X25519 {
    graviola: Option<Graviola>,
    lanes: BatchBackend,
}

/// Slices of different lengths were given for one batch. Nothing was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthMismatch;

impl X25519 {
    /// Returns the best that this machine has. CPU features are detected once per process; making a
    /// handle then takes nanoseconds.
    pub fn new() -> Self {
        Self { graviola: Graviola::detect(), lanes: BatchBackend::detect() }
    }

    /// This backend, if the machine has it. With one that works in lanes, single multiplications go
    /// to the best library.
    ///
    /// ```
    /// use x25519_batch::{Backend, X25519};
    ///
    /// for backend in Backend::ALL {
    ///     if let Some(x25519) = X25519::with_backend(backend) {
    ///         assert_eq!(x25519.batch_backend(), backend);
    ///     }
    /// }
    /// assert!(X25519::with_backend(Backend::Dalek).is_some());
    /// ```
    pub fn with_backend(backend: Backend) -> Option<Self> {
        let graviola = match backend {
            Backend::Dalek => None,
            Backend::Graviola => Some(Graviola::detect()?),
            Backend::Avx2 | Backend::Ifma => Graviola::detect(),
        };
        Some(Self { graviola, lanes: BatchBackend::with_lanes(backend)? })
    }

    /// What multiplies batches.
    pub const fn batch_backend(self) -> Backend {
        match self.lanes {
            BatchBackend::None => self.single_backend(),
            BatchBackend::Avx2(_) => Backend::Avx2,
            BatchBackend::Ifma(_) => Backend::Ifma,
        }
    }

    /// Returns the library for single multiplications.
    pub const fn single_backend(self) -> Backend {
        if self.graviola.is_some() { Backend::Graviola } else { Backend::Dalek }
    }

    /// `x25519(scalar, point)`: one multiplication.
    ///
    /// ```
    /// // RFC 7748, section 6.1
    /// # let bytes = |hex: &str| <[u8; 32]>::try_from(base16ct::lower::decode_vec(hex).unwrap()).unwrap();
    /// let alice = bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    /// let bob = bytes("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    /// let product = x25519_batch::X25519::new().multiply(&alice, &bob);
    /// assert_eq!(*product.as_bytes(), bytes("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"));
    /// ```
    pub fn multiply(self, scalar: &[u8; 32], point: &[u8; 32]) -> Product {
        match self.graviola {
            Some(graviola) => graviola.multiply(scalar, point),
            None => Dalek.multiply(scalar, point),
        }
    }

    /// `x25519(scalar, 9)`: the public key of a secret one. Never zero.
    pub fn multiply_base(self, scalar: &[u8; 32]) -> [u8; 32] {
        match self.graviola {
            Some(graviola) => graviola.multiply_base(scalar),
            None => Dalek.multiply_base(scalar),
        }
    }

    /// Multiplies many points by one scalar: `products[i] = x25519(scalar, points[i])`.
    ///
    /// Any number of points will do. The best use of AVX-512 is made of multiples of 64.
    ///
    /// # Errors
    /// [`LengthMismatch`] unless there are as many products as points.
    pub fn multiply_points(
        self,
        scalar: &[u8; 32],
        points: &[[u8; 32]],
        products: &mut [Product],
    ) -> Result<(), LengthMismatch> {
        self.multiply_all(Scalars::One(scalar), points, products)
    }

    /// Multiplies many points, each by its own scalar:
    /// `products[i] = x25519(scalars[i], points[i])`.
    ///
    /// # Errors
    /// [`LengthMismatch`] unless there are as many scalars, points and products.
    pub fn multiply_pairs(
        self,
        scalars: &[[u8; 32]],
        points: &[[u8; 32]],
        products: &mut [Product],
    ) -> Result<(), LengthMismatch> {
        if scalars.len() != points.len() {
            return Err(LengthMismatch);
        }
        self.multiply_all(Scalars::Each(scalars), points, products)
    }

    fn multiply_all(
        self,
        scalars: Scalars<'_>,
        points: &[[u8; 32]],
        products: &mut [Product],
    ) -> Result<(), LengthMismatch> {
        if points.len() != products.len() {
            return Err(LengthMismatch);
        }
        let share = self.lanes.share(points.len());
        let (scalars, other_scalars) = scalars.split_at(share);
        let (points, other_points) = points.split_at(share);
        let (products, other_products) = products.split_at_mut(share);
        if share > 0 {
            self.lanes.multiply(scalars, points, products);
        }
        for ((scalar, point), product) in other_scalars.iter().zip(other_points).zip(other_products) {
            *product = self.multiply(scalar, point);
        }
        Ok(())
    }

    /// Tells whether a point is a public key in its one true form.
    ///
    /// Costs two thirds of a multiplication.
    pub fn classify(self, point: &[u8; 32]) -> PointClass {
        let mut class = [PointClass::Alias];
        subgroup::classify_batch::<fiat::Element>(slice::from_ref(point), &mut class);
        class[0]
    }

    /// Tells of each point whether it is a public key in its one true form: `classes[i]` is what
    /// `points[i]` is.
    ///
    /// Costs about a third of multiplying them.
    ///
    /// ```
    /// use x25519_batch::{PointClass, X25519};
    ///
    /// let x25519 = X25519::new();
    /// let key = x25519.multiply_base(&[42; 32]);
    /// let mut other_encoding = key;
    /// other_encoding[31] |= 0x80;
    /// // Both are the same point to X25519.
    /// assert_eq!(x25519.multiply(&[7; 32], &key).as_bytes(), x25519.multiply(&[7; 32], &other_encoding).as_bytes());
    ///
    /// let mut classes = [PointClass::Alias; 3];
    /// x25519.classify_points(&[key, other_encoding, [0; 32]], &mut classes)?;
    /// assert_eq!(classes, [PointClass::PrimeOrder, PointClass::Alias, PointClass::LowOrder]);
    /// # Ok::<(), x25519_batch::LengthMismatch>(())
    /// ```
    ///
    /// # Errors
    /// [`LengthMismatch`] unless there are as many classes as points.
    pub fn classify_points(self, points: &[[u8; 32]], classes: &mut [PointClass]) -> Result<(), LengthMismatch> {
        if points.len() != classes.len() {
            return Err(LengthMismatch);
        }
        let share = self.lanes.share(points.len());
        let (points, other_points) = points.split_at(share);
        let (classes, other_classes) = classes.split_at_mut(share);
        if share > 0 {
            self.lanes.classify(points, classes);
        }
        for (point, class) in other_points.iter().zip(other_classes) {
            *class = self.classify(point);
        }
        Ok(())
    }
}

impl Default for X25519 {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for LengthMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("slices of different lengths for one batch")
    }
}

impl core::error::Error for LengthMismatch {}
