//! Requests that no honest client seals, made by the specification and without the crate.

use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit};
use curve25519_dalek::MontgomeryPoint;
use curve25519_dalek::constants::EIGHT_TORSION;
use pssst::{PublicKey, SecretKey, SysRng};
use pssst_net::pssst;
use sha2::{Digest, Sha256};

/// An authenticated request of suite 0xf0e1 that these key bytes pass for the client of.
pub(crate) fn seal_as(server: &SecretKey, client_key: [u8; 32], message: &[u8]) -> Vec<u8> {
    seal_claim(server, client_key, multiply(server, client_key), message)
}

/// Seals a request of any client key under any Z2.
pub(crate) fn seal_claim(server: &SecretKey, client_key: [u8; 32], z2: [u8; 32], message: &[u8]) -> Vec<u8> {
    let ephemeral = SecretKey::generate(&mut SysRng).unwrap();
    let (header, x) = ([0x40, 0, 0xf0, 0xe1], *ephemeral.public_key().as_bytes());
    let key_hash: [u8; 32] = Sha256::digest(server.public_key().as_bytes()).into();
    let k1 = hash(1, &[&header, &key_hash, &x, &multiply(server, x)]);
    let mask = hash(2, &[&k1]);
    let masked: Vec<u8> = client_key.iter().zip(mask).map(|(key, mask)| key ^ mask).collect();
    let check = &hash(3, &[&k1, &client_key])[..8];
    let d = hash(4, &[&k1, &client_key, &z2, &[0; 32]]);
    let mut body = message.to_vec();
    let cipher = Aes256GcmSiv::new(&d.into());
    let tag = cipher.encrypt_inout_detached(b"PSSST client".into(), &header, body.as_mut_slice().into()).unwrap();
    [&header[..], &x, &masked, check, &body, &tag].concat()
}

/// Another form of the key that X25519 cannot tell from it.
pub(crate) fn alias_of(key: &PublicKey) -> [u8; 32] {
    let point = MontgomeryPoint(*key.as_bytes()).to_edwards(0).unwrap();
    (point + EIGHT_TORSION[1]).to_montgomery().to_bytes()
}

fn multiply(secret: &SecretKey, point: [u8; 32]) -> [u8; 32] {
    MontgomeryPoint(point).mul_clamped(*secret.expose_bytes()).to_bytes()
}

fn hash(n: u8, parts: &[&[u8]]) -> [u8; 32] {
    let hash = Sha256::new().chain_update(b"PSSSTv2").chain_update([n]);
    parts.iter().fold(hash, Digest::chain_update).finalize().into()
}
