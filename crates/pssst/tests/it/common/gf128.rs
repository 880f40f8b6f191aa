//! The arithmetic of GCM's authentication, with which tests play an attacker.

/// An element of GF(2^128) as GCM has it (NIST SP 800-38D, section 6.3): the leftmost bit is the
/// constant term.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Element(pub(crate) u128);

impl Element {
    pub(crate) const ONE: Self = Self(1 << 127);

    pub(crate) fn of_block(block: &[u8]) -> Self {
        let mut padded = [0; 16];
        padded[..block.len()].copy_from_slice(block);
        Self(u128::from_be_bytes(padded))
    }

    pub(crate) fn multiply(self, other: Self) -> Self {
        let (mut product, mut power) = (0, self.0);
        for bit in (0..128).rev() {
            if other.0 >> bit & 1 == 1 {
                product ^= power;
            }
            let carry = power & 1;
            power >>= 1;
            if carry == 1 {
                power ^= 0xe1 << 120;
            }
        }
        Self(product)
    }

    pub(crate) fn square(self) -> Self {
        self.multiply(self)
    }

    /// `self^(2^128 - 2)`
    pub(crate) fn invert(self) -> Self {
        let (mut inverse, mut power) = (Self::ONE, self.square());
        for _ in 1..128 {
            inverse = inverse.multiply(power);
            power = power.square();
        }
        inverse
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }
}
