//! One X25519 after another, by the library that is fastest on a machine.

use curve25519_dalek::MontgomeryPoint;

use crate::arithmetic::Single;
use crate::product::Product;

/// curve25519-dalek: portable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dalek;

impl Single for Dalek {
    fn detect() -> Option<Self> {
        Some(Self)
    }

    fn multiply(self, scalar: &[u8; 32], point: &[u8; 32]) -> Product {
        Product::from_bytes(MontgomeryPoint(*point).mul_clamped(*scalar).to_bytes())
    }

    fn multiply_base(self, scalar: &[u8; 32]) -> [u8; 32] {
        MontgomeryPoint::mul_base_clamped(*scalar).to_bytes()
    }
}

#[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
pub(crate) use assembly::Graviola;

#[cfg(not(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
pub(crate) use crate::unsupported::UnsupportedSingle as Graviola;

#[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
mod assembly {
    use graviola::key_agreement::x25519::{PublicKey, StaticPrivateKey};

    use super::{Product, Single};

    /// graviola: verified assembly. It panics on CPUs that lack an instruction it uses, so there is
    /// a value only where the CPU was asked first.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Graviola(());

    impl Single for Graviola {
        /// What graviola asserts on entry, and `bmi2`, which its multiplications use. Each question
        /// is one cached load.
        fn detect() -> Option<Self> {
            #[cfg(target_arch = "x86_64")]
            let supported = {
                use std::arch::is_x86_feature_detected as has;
                has!("adx")
                    && has!("aes")
                    && has!("avx")
                    && has!("avx2")
                    && has!("bmi1")
                    && has!("bmi2")
                    && has!("pclmulqdq")
            };
            #[cfg(target_arch = "aarch64")]
            let supported = {
                use std::arch::is_aarch64_feature_detected as has;
                has!("aes") && has!("neon") && has!("pmull") && has!("sha2")
            };
            supported.then_some(Self(()))
        }

        fn multiply(self, scalar: &[u8; 32], point: &[u8; 32]) -> Product {
            // Its only error is the all-zero product.
            let product = StaticPrivateKey::from_array(scalar).diffie_hellman(&PublicKey::from_array(point));
            product.map_or_else(|_| Product::default(), |product| Product::from_bytes(product.as_bytes()))
        }

        fn multiply_base(self, scalar: &[u8; 32]) -> [u8; 32] {
            StaticPrivateKey::from_array(scalar).public_key().as_bytes()
        }
    }
}
