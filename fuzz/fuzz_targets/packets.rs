//! A server with keys of every kind, clients that wait for replies of every kind, and the texts of
//! keys get arbitrary bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pssst::{PreSharedKey, PskMaster, PublicKey, Refusal, SecretKey, ServerKey, XWingPublicKey, XWingSecretKey};
use pssst_fuzz::{Check, PEERS};

fuzz_target!(|bytes: &[u8]| {
    let server = &PEERS.server;
    for check in [Check::PerRequest, Check::Precomputed] {
        let mut packet = bytes.to_vec();
        let cause = server.open_request_with(&mut packet, &check).expect_err("a forgery");
        // Batches have the outcomes of single packets.
        let mut packets = [bytes.to_vec(), bytes.to_vec()];
        server.open_batch(packets.iter_mut().map(Vec::as_mut_slice), &check, |_, outcome| {
            assert_eq!(outcome.err(), Some(cause));
        });
    }
    assert!(server.open_recorded_request(&mut bytes.to_vec()).is_err(), "a forgery");
    assert!(server.open_recorded_reply(&mut bytes.to_vec()).is_err(), "a forgery");
    for honest in &PEERS.honest {
        let mut reply = bytes.to_vec();
        let cause = honest.pending.open(&mut reply).expect_err("a forgery");
        assert!(cause == Refusal::DecryptFailed || reply == bytes, "a packet that was refused has changed");
    }
    read_keys(bytes);
});

/// Either outcome is right, but what is read as a key is written as the same key.
fn read_keys(bytes: &[u8]) {
    if let Ok(key) = ServerKey::from_slice(bytes) {
        assert_eq!(key.to_string().parse::<ServerKey>().expect("a key"), key);
        let _: Result<(), pssst::Error> = key.validate();
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = text.parse::<XWingPublicKey>() {
        assert_eq!(key.to_string().parse::<XWingPublicKey>().expect("a key"), key);
    }
    if let Ok(key) = PublicKey::from_text(text) {
        assert_eq!(PublicKey::from_text(&key.to_pem()).expect("a key"), key);
    }
    if let Ok(key) = SecretKey::from_text(text) {
        assert!(SecretKey::from_text(&key.expose_pem()).expect("a key") == key);
    }
    drop(XWingSecretKey::from_hex(text));
    drop(PskMaster::from_hex(text));
    drop(PreSharedKey::from_hex(text));
}
