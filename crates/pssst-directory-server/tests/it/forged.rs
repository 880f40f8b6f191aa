//! Requests that no honest client seals, made by the specification and without the crate.

use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes128GcmSiv, KeyInit};
use curve25519_dalek::MontgomeryPoint;
use curve25519_dalek::constants::EIGHT_TORSION;
use pssst::{PublicKey, SecretKey, SysRng};
use pssst_net::pssst;
use sha2::{Digest, Sha256};

/// An authenticated request of suite 0xf001 whose proof holds for these key bytes.
pub(crate) fn seal_as(server: &SecretKey, client_key: [u8; 32], message: &[u8]) -> Vec<u8> {
    let ephemeral = SecretKey::generate(&mut SysRng).unwrap();
    let exchange_value = multiply(&ephemeral, client_key);
    seal_proof(server, exchange_value, client_key, ephemeral.expose_bytes(), message)
}

/// Seals a request over any exchange value with any proof.
pub(crate) fn seal_proof(
    server: &SecretKey,
    exchange_value: [u8; 32],
    client_key: [u8; 32],
    ephemeral: &[u8; 32],
    message: &[u8],
) -> Vec<u8> {
    let header = [0x40, 0, 0xf0, 0x01];
    let digest = Sha256::new()
        .chain_update(header)
        .chain_update(server.public_key().as_bytes())
        .chain_update(exchange_value)
        .chain_update(multiply(server, exchange_value))
        .finalize();
    let nonce: [u8; 12] = [&digest[16..24], b"RQST"].concat().try_into().unwrap();
    let mut body = [&client_key[..], ephemeral, message].concat();
    let cipher = Aes128GcmSiv::new_from_slice(&digest[..16]).unwrap();
    let tag = cipher.encrypt_inout_detached(&nonce.into(), &header, body.as_mut_slice().into()).unwrap();
    [&header[..], &exchange_value, &body, &tag].concat()
}

/// Another form of the key that X25519 cannot tell from it.
pub(crate) fn alias_of(key: &PublicKey) -> [u8; 32] {
    let point = MontgomeryPoint(*key.as_bytes()).to_edwards(0).unwrap();
    (point + EIGHT_TORSION[1]).to_montgomery().to_bytes()
}

fn multiply(secret: &SecretKey, point: [u8; 32]) -> [u8; 32] {
    MontgomeryPoint(point).mul_clamped(*secret.expose_bytes()).to_bytes()
}
