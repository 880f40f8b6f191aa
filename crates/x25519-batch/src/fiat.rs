//! The field in one lane, by fiat-crypto: arithmetic that was generated together with its proof.

use fiat_crypto::curve25519_64::{
    fiat_25519_add, fiat_25519_carry, fiat_25519_carry_mul, fiat_25519_carry_scmul_121666, fiat_25519_carry_square,
    fiat_25519_from_bytes, fiat_25519_loose_field_element, fiat_25519_relax, fiat_25519_sub,
    fiat_25519_tight_field_element, fiat_25519_to_bytes,
};

use crate::field::Field;
use crate::vector::Vector;

/// fiat-crypto's two kinds of elements are those of [`Field`]: what it calls loose is a factor, and
/// tight is a product.
#[derive(Clone, Copy)]
pub(crate) struct Element(fiat_25519_loose_field_element);

impl Field for Element {
    type Word = u64;
    type Product = fiat_25519_tight_field_element;

    fn from_words(words: [u64; 4]) -> Self {
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        bytes[31] &= 0x7f;
        let mut product = zero();
        fiat_25519_from_bytes(&mut product, &bytes);
        Self::factor(product)
    }

    fn to_words(self) -> [u64; 4] {
        let mut bytes = [0; 32];
        fiat_25519_to_bytes(&mut bytes, &self.product());
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        words
    }

    fn multiply(self, other: Self) -> Self::Product {
        let mut product = zero();
        fiat_25519_carry_mul(&mut product, &self.0, &other.0);
        product
    }

    fn square(self) -> Self::Product {
        let mut product = zero();
        fiat_25519_carry_square(&mut product, &self.0);
        product
    }

    fn product(self) -> Self::Product {
        let mut product = zero();
        fiat_25519_carry(&mut product, &self.0);
        product
    }

    fn factor(product: Self::Product) -> Self {
        let mut factor = fiat_25519_loose_field_element([0; 5]);
        fiat_25519_relax(&mut factor, &product);
        Self(factor)
    }

    fn sum(p: Self::Product, q: Self::Product) -> Self {
        let mut factor = fiat_25519_loose_field_element([0; 5]);
        fiat_25519_add(&mut factor, &p, &q);
        Self(factor)
    }

    fn difference(p: Self::Product, q: Self::Product) -> Self {
        let mut factor = fiat_25519_loose_field_element([0; 5]);
        fiat_25519_sub(&mut factor, &p, &q);
        Self(factor)
    }

    fn add_121666_times(self, p: Self::Product) -> Self {
        let mut product = zero();
        fiat_25519_carry_scmul_121666(&mut product, &self.0);
        Self::sum(product, p)
    }

    fn select(selector: u64, clear: Self, set: Self) -> Self {
        // Not by fiat-crypto's own selection: the compiler makes a branch of it
        // (mit-plv/fiat-crypto#748).
        let mut limbs = clear.0.0;
        for (limb, set) in limbs.iter_mut().zip(set.0.0) {
            *limb = Vector::select(selector, *limb, set);
        }
        Self(fiat_25519_loose_field_element(limbs))
    }
}

const fn zero() -> fiat_25519_tight_field_element {
    fiat_25519_tight_field_element([0; 5])
}
