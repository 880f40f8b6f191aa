//! Results of multiplications.

use core::fmt;

use subtle::{Choice, ConstantTimeEq};
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// The result of an X25519: a u-coordinate of 32 bytes, usually a secret that two parties share.
///
/// Wiped when dropped, and not shown by `Debug`. A product that nothing was written to is all zero,
/// which is what a caller refuses anyway.
///
/// ```
/// use x25519_batch::{Product, X25519};
///
/// let product = X25519::new().multiply(&[7; 32], &[9; 32]);
/// assert!(!bool::from(product.is_zero()));
/// assert!(bool::from(Product::default().is_zero()));
/// assert_eq!(format!("{product:?}"), "Product(..)");
/// ```
#[derive(Clone, Default)]
pub struct Product(Zeroizing<[u8; 32]>);

impl Product {
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns the u-coordinate, below p, in little-endian bytes (RFC 7748, section 5).
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns whether all bytes are zero, as they are for a point of low order: then the other
    /// party's scalar had no effect, and everyone knows the product (RFC 7748, section 6.1). In
    /// constant time.
    pub fn is_zero(&self) -> Choice {
        self.as_bytes().ct_eq(&[0; 32])
    }
}

impl ZeroizeOnDrop for Product {}

impl ConstantTimeEq for Product {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.as_bytes().ct_eq(other.as_bytes())
    }
}

impl fmt::Debug for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Product(..)")
    }
}
