//! Keys.

use pssst::{SecretKey, SysRng};

/// Returns a fresh key.
///
/// # Panics
/// If the system has no randomness.
pub fn random_secret() -> SecretKey {
    SecretKey::generate(&mut SysRng).expect("the system has randomness")
}

/// Returns the secret key with this number, always the same.
pub fn secret(number: u32) -> SecretKey {
    let mut bytes = [0x42; 32];
    // Not in the bytes whose bits X25519 ignores in part.
    bytes[8..12].copy_from_slice(&number.to_le_bytes());
    SecretKey::from_bytes(bytes)
}
