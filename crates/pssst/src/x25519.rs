//! X25519 (RFC 7748, section 5), one multiplication at a time, from the fastest library that the machine can run.
//!
//! graviola is verified assembly and about twice as fast as the portable curve25519-dalek, but panics on CPUs that
//! lack an instruction it uses. So it is called only where it was compiled in *and* the CPU was asked first.

use curve25519_dalek::MontgomeryPoint;
use zeroize::Zeroizing;

/// The library that multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum X25519Backend {
    /// graviola: assembly for x86-64 and aarch64.
    Graviola,
    /// curve25519-dalek: portable.
    Dalek,
}

impl X25519Backend {
    /// The backend that this process uses on this machine.
    ///
    /// ```
    /// println!("X25519 by {:?}", pssst::X25519Backend::current());
    /// ```
    pub fn current() -> Self {
        if fast::is_supported() { Self::Graviola } else { Self::Dalek }
    }
}

/// `x25519(scalar, point)`, or nothing when the result is all zero: the point has low order. [R-10]
pub(crate) fn multiply(scalar: &[u8; 32], point: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    if fast::is_supported() { fast::multiply(scalar, point) } else { portable::multiply(scalar, point) }
}

/// `x25519(scalar, 9)`, which is never zero.
pub(crate) fn multiply_base(scalar: &[u8; 32]) -> [u8; 32] {
    if fast::is_supported() { fast::multiply_base(scalar) } else { portable::multiply_base(scalar) }
}

mod portable {
    use subtle::ConstantTimeEq;

    use super::{MontgomeryPoint, Zeroizing};

    pub(super) fn multiply(scalar: &[u8; 32], point: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        let product = Zeroizing::new(MontgomeryPoint(*point).mul_clamped(*scalar).to_bytes());
        (!bool::from(product.ct_eq(&[0; 32]))).then_some(product)
    }

    pub(super) fn multiply_base(scalar: &[u8; 32]) -> [u8; 32] {
        MontgomeryPoint::mul_base_clamped(*scalar).to_bytes()
    }
}

#[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
mod fast {
    use graviola::key_agreement::x25519::{PublicKey, StaticPrivateKey};

    use super::Zeroizing;

    /// What graviola asserts on entry, and `bmi2`, which its multiplications use. Each question is one cached load.
    pub(super) fn is_supported() -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            has!("adx")
                && has!("aes")
                && has!("avx")
                && has!("avx2")
                && has!("bmi1")
                && has!("bmi2")
                && has!("pclmulqdq")
        }
        #[cfg(target_arch = "aarch64")]
        {
            use std::arch::is_aarch64_feature_detected as has;
            has!("aes") && has!("neon") && has!("pmull") && has!("sha2")
        }
    }

    pub(super) fn multiply(scalar: &[u8; 32], point: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        // Its only error is the all-zero result.
        let product = StaticPrivateKey::from_array(scalar).diffie_hellman(&PublicKey::from_array(point)).ok()?;
        Some(Zeroizing::new(product.as_bytes()))
    }

    pub(super) fn multiply_base(scalar: &[u8; 32]) -> [u8; 32] {
        StaticPrivateKey::from_array(scalar).public_key().as_bytes()
    }
}

#[cfg(not(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
mod fast {
    pub(super) use super::portable::{multiply, multiply_base};

    pub(super) fn is_supported() -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::println;

    use super::*;

    fn bytes(hex: &str) -> [u8; 32] {
        let mut out = [0; 32];
        base16ct::mixed::decode(hex, &mut out).unwrap();
        out
    }

    /// Names the backend that ran, so that a log shows which one a machine has tested.
    fn for_each_backend(
        test: impl Fn(fn(&[u8; 32], &[u8; 32]) -> Option<Zeroizing<[u8; 32]>>, fn(&[u8; 32]) -> [u8; 32]),
    ) {
        println!("X25519 backend: Dalek");
        test(portable::multiply, portable::multiply_base);
        if fast::is_supported() {
            println!("X25519 backend: Graviola");
            test(fast::multiply, fast::multiply_base);
        }
    }

    /// Asks the kernel what the CPU has, so that a slip in our own question shows. `scripts/check-cpus` takes single
    /// features away.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn backend_is_the_assembly_wherever_the_cpu_allows() {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap();
        let has = |feature: &&str| flags.split_whitespace().any(|flag| flag == *feature);
        let capable = ["adx", "aes", "avx", "avx2", "bmi1", "bmi2", "pclmulqdq"].iter().all(has);
        let expected = if cfg!(feature = "std") && capable { X25519Backend::Graviola } else { X25519Backend::Dalek };
        assert_eq!(X25519Backend::current(), expected);
    }

    #[test]
    fn rfc_7748_section_5_2() {
        for_each_backend(|multiply, _| {
            let product = multiply(
                &bytes("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
                &bytes("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"),
            );
            assert_eq!(*product.unwrap(), bytes("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"));
            // The point has its top bit set, which is to be ignored.
            let product = multiply(
                &bytes("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"),
                &bytes("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"),
            );
            assert_eq!(*product.unwrap(), bytes("95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"));
        });
    }

    #[test]
    fn rfc_7748_section_6_1() {
        let alice = bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        let bob = bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
        let shared = bytes("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        for_each_backend(|multiply, multiply_base| {
            assert_eq!(
                multiply_base(&alice),
                bytes("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
            );
            assert_eq!(*multiply(&alice, &multiply_base(&bob)).unwrap(), shared);
            assert_eq!(*multiply(&bob, &multiply_base(&alice)).unwrap(), shared);
        });
    }

    #[test]
    fn backends_agree_on_unreduced_points_and_unclamped_scalars() {
        let mut scalar = [0xff; 32];
        let mut point = [0xfe; 32];
        for _ in 0..200 {
            assert_eq!(portable::multiply(&scalar, &point), multiply(&scalar, &point));
            assert_eq!(portable::multiply_base(&scalar), multiply_base(&scalar));
            let product = *multiply(&scalar, &point).unwrap();
            (scalar, point) = (product.map(|b| b ^ 0x5a), scalar);
        }
    }

    #[test]
    fn low_order_points_give_nothing() {
        // [R-10] The five points below p, and p and p + 1, which encode 0 and 1 again.
        let low_order = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ];
        for_each_backend(|multiply, _| {
            for point in low_order {
                assert_eq!(multiply(&[0x42; 32], &bytes(point)), None);
                let mut top_bit_set = bytes(point);
                top_bit_set[31] |= 0x80;
                assert_eq!(multiply(&[0x42; 32], &top_bit_set), None);
            }
        });
    }
}
