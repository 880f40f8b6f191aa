//! A server, a client that waits for a reply, and the texts of keys get arbitrary bytes.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pssst::{Client, PendingReply, PublicKey, SecretKey, Server, SysRng};

static PEERS: LazyLock<(Server, PendingReply)> = LazyLock::new(|| {
    let secret = SecretKey::from_bytes([7; 32]);
    let client = Client::new(secret.public_key()).expect("a valid key");
    let (_, pending) = client.seal_request_to_vec(&mut SysRng, b"ping").expect("randomness");
    (Server::new(secret), pending)
});

fuzz_target!(|bytes: &[u8]| {
    let (server, pending) = &*PEERS;
    assert!(server.open_request(&mut bytes.to_vec()).is_err(), "a forgery");
    assert!(server.open_recorded_reply(&mut bytes.to_vec()).is_err(), "a forgery");
    assert!(pending.open(&mut bytes.to_vec()).is_err(), "a forgery");
    if let Ok(text) = std::str::from_utf8(bytes) {
        // Either outcome is right.
        drop(PublicKey::from_text(text));
        drop(SecretKey::from_text(text));
    }
});
