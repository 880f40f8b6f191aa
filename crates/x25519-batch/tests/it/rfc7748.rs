//! The vectors of RFC 7748, on every backend and in every lane.

use crate::common::{backends, bytes, multiply_pairs, multiply_points};

/// A group of lanes of every width, and one left over.
const COUNT: usize = 16 + 8 + 4 + 1;

/// Section 5.2.
#[test]
fn two_multiplications() {
    for x25519 in backends() {
        for (scalar, point, product) in [
            (
                "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
                "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
            ),
            // The point has its top bit set, which is to be ignored.
            (
                "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
                "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
            ),
        ] {
            let (scalar, point, product) = (bytes(scalar), bytes(point), bytes(product));
            assert_eq!(*x25519.multiply(&scalar, &point).as_bytes(), product);
            assert_eq!(multiply_points(x25519, &scalar, &[point; COUNT]), [product; COUNT]);
            assert_eq!(multiply_pairs(x25519, &[scalar; COUNT], &[point; COUNT]), [product; COUNT]);
        }
    }
}

/// Section 5.2: the product becomes the scalar, and the scalar the point. (The RFC continues to a
/// million.)
#[test]
fn iterated_a_thousand_times() {
    for x25519 in backends() {
        let (mut scalars, mut points) = ([bytes(NINE); COUNT], [bytes(NINE); COUNT]);
        for iteration in 1..=1000 {
            let products = multiply_pairs(x25519, &scalars, &points);
            points = scalars;
            scalars.copy_from_slice(&products);
            if iteration == 1 {
                assert_eq!(scalars, [bytes("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"); COUNT]);
            }
        }
        assert_eq!(scalars, [bytes("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"); COUNT]);
    }
}

const NINE: &str = "0900000000000000000000000000000000000000000000000000000000000000";

/// Section 6.1.
#[test]
fn diffie_hellman() {
    let alice = bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    let bob = bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    let shared = bytes("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    for x25519 in backends() {
        let alices = x25519.multiply_base(&alice);
        assert_eq!(alices, bytes("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"));
        let bobs = x25519.multiply_base(&bob);
        assert_eq!(bobs, bytes("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"));
        assert_eq!(multiply_pairs(x25519, &[alice, bob], &[bytes(NINE); 2]), [alices, bobs]);
        assert_eq!(multiply_pairs(x25519, &[alice, bob], &[bobs, alices]), [shared; 2]);
    }
}
