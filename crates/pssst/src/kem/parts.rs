//! Parts that the backends have in common: lengths, and how clones share a key.

/// Length of an encoded encapsulation key.
pub(crate) const ENCAPSULATION_KEY_LEN: usize = 1184;

/// Length of a ciphertext.
pub(crate) const CIPHERTEXT_LEN: usize = 1088;

/// Length of the seed that FIPS 203 calls `d ‖ z`.
pub(super) const SEED_LEN: usize = 64;

/// Length of a shared secret, and of the randomness that one is made from.
pub(super) const SECRET_LEN: usize = 32;

/// A reference to an expanded key, which is some kilobytes long: clones share one.
#[cfg(feature = "std")]
pub(super) type Shared<T> = alloc::sync::Arc<T>;

/// An expanded key. There is no allocator, so clones are copies.
#[cfg(not(feature = "std"))]
pub(super) type Shared<T> = T;

/// Makes a key ready for clones.
pub(super) fn share<T>(key: T) -> Shared<T> {
    #[cfg(feature = "std")]
    let key = Shared::new(key);
    key
}
