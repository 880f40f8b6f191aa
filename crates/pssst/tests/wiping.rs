//! Secrets are gone from memory when they are dropped. Linux shows a process its own memory as a file, so this is seen
//! without any unsafe code: each secret is found where it lives, and no part of it is found there afterwards.
#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;

use common::{ALL, Mode, Pair};
use curve25519_dalek::MontgomeryPoint;
use pssst::{Client, Keyring, SecretKey, Server, Suite};
use sha2::{Digest, Sha256};

/// How much of a secret counts as a trace of it.
const TRACE: usize = 8;

fn memory(address: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    File::open("/proc/self/mem").unwrap().read_exact_at(&mut bytes, address as u64).unwrap();
    bytes
}

fn traces(memory: &[u8], secret: &[u8; 32]) -> usize {
    secret.windows(TRACE).filter(|trace| memory.windows(TRACE).any(|window| window == *trace)).count()
}

#[track_caller]
fn assert_wiped<T>(value: T, secret: &[u8; 32]) {
    let boxed = Box::new(value);
    let (address, len) = (&raw const *boxed as usize, size_of::<T>());
    assert_eq!(traces(&memory(address, len), secret), 32 - TRACE + 1, "the secret was not where it was looked for");
    drop(boxed);
    assert_eq!(traces(&memory(address, len), secret), 0, "a part of the secret outlived its owner");
}

fn multiply(secret: &SecretKey, point: &[u8; 32]) -> [u8; 32] {
    MontgomeryPoint(*point).mul_clamped(*secret.expose_bytes()).to_bytes()
}

/// These tests are able to see what they look for.
#[test]
#[should_panic(expected = "outlived its owner")]
fn what_is_not_wiped_is_noticed() {
    let secret = *SecretKey::generate(&mut common::rng(49)).unwrap().expose_bytes();
    assert_wiped(secret, &secret);
}

#[test]
fn secret_keys_are_wiped() {
    let pair = Pair::new(50, ALL[0]);
    let (first, second) = (pair.server_secret, pair.identity);
    let keyring = || Keyring::new(first.clone()).with_key(second.clone()).unwrap();
    for secret in [&first, &second] {
        assert_wiped(secret.clone(), secret.expose_bytes());
        assert_wiped(keyring(), secret.expose_bytes());
        assert_wiped(Server::new(keyring()), secret.expose_bytes());
    }
}

#[test]
fn a_clients_inner_value_is_wiped_and_its_secret_key_is_not_kept() {
    let pair = Pair::new(51, (Suite::X25519AesGcm128, Mode::Authenticated));
    let inner_value = multiply(&pair.identity, pair.server_secret.public_key().as_bytes());
    assert_wiped(pair.client(), &inner_value);

    let client: Box<Client> = Box::new(pair.client());
    let held = memory(&raw const *client as usize, size_of::<Client>());
    assert_eq!(traces(&held, pair.identity.expose_bytes()), 0);
}

#[test]
fn transaction_secrets_are_wiped_at_both_ends() {
    for (suite, mode) in ALL {
        let mut pair = Pair::new(52, (suite, mode));
        let (mut packet, pending) = pair.seal(b"message");
        let exchange_value = *pending.exchange_value();
        let mut hash = Sha256::new();
        if suite == Suite::X25519Aes128GcmSiv {
            hash.update(&packet[..4]);
            hash.update(pair.server_secret.public_key().as_bytes());
        }
        hash.update(exchange_value);
        let d = hash.chain_update(multiply(&pair.server_secret, &exchange_value)).finalize().into();

        let server = pair.server();
        let sealer = server.open_request(&mut packet).unwrap().into_reply_sealer();
        assert_wiped(pending, &d);
        assert_wiped(sealer, &d);
    }
}
