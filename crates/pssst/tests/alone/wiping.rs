//! Secrets are gone from memory when they are dropped. Linux shows a process its own memory as a
//! file, so this is seen without any unsafe code: each secret is found where it lives, and no part
//! of it is found there afterwards.

use std::collections::HashSet;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;

use pssst::{Client, KeyCheck, Keyring, PublicKey, SecretKey, Server, UnsealedRequest};
use sha2::{Digest, Sha256};

use crate::common::{ALL, Mode, Pair, SUITE_1, backends, multiply};

/// How much of a secret counts as a trace of it.
const TRACE: usize = 8;

fn memory(address: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    read(address, &mut bytes);
    bytes
}

fn read(address: usize, bytes: &mut [u8]) {
    File::open("/proc/self/mem").unwrap().read_exact_at(bytes, address as u64).unwrap();
}

fn traces(memory: &[u8], secret: &[u8; 32]) -> usize {
    secret.windows(TRACE).filter(|trace| memory.windows(TRACE).any(|window| window == *trace)).count()
}

#[track_caller]
fn assert_wiped<T>(value: T, secret: &[u8; 32]) {
    let boxed = Box::new(value);
    let (address, len) = (&raw const *boxed as usize, size_of::<T>());
    let mut found = memory(address, len);
    assert_eq!(traces(&found, secret), 32 - TRACE + 1, "the secret was not where it was looked for");
    drop(boxed);
    // Nothing is allocated in between: that might take the place.
    read(address, &mut found);
    assert_eq!(traces(&found, secret), 0, "a part of the secret outlived its owner");
}

/// These tests are able to see what they look for.
#[test]
#[should_panic(expected = "outlived its owner")]
fn what_is_not_wiped_is_noticed() {
    let secret = *SecretKey::generate(&mut crate::common::rng(49)).unwrap().expose_bytes();
    assert_wiped(secret, &secret);
}

#[test]
fn secret_keys_are_wiped() {
    let pair = Pair::new(50, ALL[0]);
    let (first, second) = (pair.server_secret, pair.identity);
    assert_wiped(pair.xwing_secret.clone(), pair.xwing_secret.expose_bytes());
    let keyring = || Keyring::new(first.clone()).with_key(second.clone()).unwrap();
    for secret in [&first, &second] {
        assert_wiped(secret.clone(), secret.expose_bytes());
        assert_wiped(keyring(), secret.expose_bytes());
        assert_wiped(Server::new(keyring()), secret.expose_bytes());
    }
}

#[test]
fn a_clients_inner_value_and_secret_key_are_wiped() {
    let pair = Pair::new(51, (SUITE_1, Mode::Authenticated));
    let inner_value = multiply(&pair.identity, pair.server_secret.public_key().as_bytes());
    assert_wiped(pair.client(), &inner_value);
    assert_wiped(pair.client(), pair.identity.expose_bytes());
}

#[test]
fn transaction_secrets_are_wiped_at_both_ends() {
    for (suite, mode) in ALL {
        let mut pair = Pair::new(52, (suite, mode));
        let (mut packet, pending) = pair.seal(b"message");
        let d = pair.transaction_secret(&packet);
        let server = pair.server();
        let sealer = server.open_request(&mut packet).unwrap().into_reply_sealer();
        assert_wiped(pending, &d);
        assert_wiped(sealer, &d);
    }
}

/// Returns the bytes that a call has left on the stack below its caller.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "the stack is what this is about")]
fn stack_after(call: impl FnOnce()) -> Vec<u8> {
    const DEPTH: usize = 128 * 1024;
    let marker = black_box([0_u8; DEPTH]).len();
    call();
    memory(&raw const marker as usize - DEPTH, DEPTH)
}

/// Of all that batches compute with, at both ends and on every backend: the secrets of keys and
/// transactions, ephemeral secrets, shared and inner values.
#[test]
fn batches_leave_no_secret_on_the_stack() {
    const COUNT: usize = 40;
    for (suite, mode) in ALL {
        for x25519 in backends() {
            let mut pair = Pair::new(53, (suite, mode));
            let (server, client) = (pair.server().with_x25519(x25519), pair.client().with_x25519(x25519));
            let server_key = pair.server_key();
            let mut buffers = vec![[0; 1300]; COUNT];
            let mut packets = Vec::with_capacity(COUNT);
            let client_stack = stack_after(|| {
                let requests =
                    buffers.iter_mut().map(|buffer| UnsealedRequest { client: &client, message: b"message", buffer });
                Client::seal_batch(&mut pair.rng, requests, |_, outcome| packets.push(outcome.unwrap().0));
            });

            // The generator once more, from its start: server key, identity, then what e is hedged
            // with, and e.
            let mut again = crate::common::rng(53);
            let mut secrets: Vec<[u8; 32]> =
                (0..2 + COUNT).map(|_| *SecretKey::generate(&mut again).unwrap().expose_bytes()).collect();
            let c = if mode.is_authenticated() { *pair.identity.expose_bytes() } else { [0; 32] };
            let p: [u8; 32] = Sha256::digest(server_key.as_bytes()).into();
            let message_hash: [u8; 32] = Sha256::digest(b"message").into();
            for place in 2..2 + COUNT {
                let random = secrets[place];
                secrets.push(crate::common::hash(5, &[&random, &c, &p, &message_hash]));
            }
            secrets.push(multiply(&pair.identity, pair.server_secret.public_key().as_bytes()));
            secrets.push(*pair.master.psk(&pair.identity.public_key()).expose_bytes());
            for packet in &packets {
                secrets.push(pair.transaction_secret(packet));
                secrets.push(multiply(&pair.server_secret, packet[4..36].first_chunk().unwrap()));
            }
            let server_stack = stack_after(|| {
                server.open_batch(packets, &|_: &PublicKey| KeyCheck::Validate, |_, outcome| {
                    assert_eq!(outcome.unwrap().message(), b"message");
                });
            });
            // Without lanes a client seals one by one, which moves the last request's secrets
            // without wiping the stack.
            let in_lanes = x25519.batch_backend() != x25519.single_backend();
            for (end, stack) in
                in_lanes.then_some(("client", client_stack)).into_iter().chain([("server", server_stack)])
            {
                let on_stack: HashSet<_> = stack.windows(TRACE).collect();
                let found = secrets.iter().filter(|secret| secret.windows(TRACE).any(|trace| on_stack.contains(trace)));
                assert_eq!(found.count(), 0, "{end}, {suite:?}, {mode:?}, {x25519:?}");
            }
        }
    }
}
