//! Keys: their text forms, what is shown of them, and what is not.

use pssst::rand_core::{TryCryptoRng, TryRng};
use pssst::{Client, Error, PskMaster, PublicKey, Refusal, SecretKey, Server, SysRng};
use sha2::{Digest, Sha256};

use crate::common::aliases_of;
use zeroize::ZeroizeOnDrop;

/// Made by `openssl genpkey -algorithm X25519`, and read back by `openssl pkey -text`.
const SECRET_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VuBCIEIFh8i6r8RHQFQ8qkfV8fXF/r/i7Ri/kyjXiODcWmL8pD\n\
    -----END PRIVATE KEY-----\n";
const SECRET_HEX: &str = "587c8baafc44740543caa47d5f1f5c5febfe2ed18bf9328d788e0dc5a62fca43";
const PUBLIC_PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VuAyEA+Zy1SIhU/Q5JPcGWNRcYBSQNrOKSEsDgI3Tq/zcjqX4=\n\
    -----END PUBLIC KEY-----\n";
const PUBLIC_HEX: &str = "f99cb5488854fd0e493dc19635171805240dace29212c0e02374eaff3723a97e";

/// Version 2 of PKCS#8 (RFC 5958) of that secret key, which names the public key too.
const SECRET_PEM_WITH_PUBLIC: &str = "-----BEGIN PRIVATE KEY-----\n\
    MFECAQEwBQYDK2VuBCIEIFh8i6r8RHQFQ8qkfV8fXF/r/i7Ri/kyjXiODcWmL8pD\n\
    gSEA+Zy1SIhU/Q5JPcGWNRcYBSQNrOKSEsDgI3Tq/zcjqX4=\n\
    -----END PRIVATE KEY-----\n";
const ED25519_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEILZ7TZDqLMHWEDcBDiTiUg3oj8bZhiern7dT73HoQklx\n\
    -----END PRIVATE KEY-----\n";

#[test]
fn secret_keys_read_and_write_what_openssl_does() {
    let key = SecretKey::from_pem(SECRET_PEM).unwrap();
    assert_ne!(key, SecretKey::from_bytes([0; 32]));
    assert_eq!(key.expose_pem().as_str(), SECRET_PEM);
    assert_eq!(key.expose_hex().as_str(), SECRET_HEX);
    assert_eq!(format!("{:x}", key.public_key()), PUBLIC_HEX);
    for text in
        [SECRET_PEM, SECRET_HEX, SECRET_PEM_WITH_PUBLIC, &SECRET_HEX.to_uppercase(), &format!(" {SECRET_HEX}\r\n")]
    {
        assert_eq!(SecretKey::from_text(text), Ok(key.clone()), "{text}");
    }
    assert_eq!(SecretKey::from_text(&key.expose_bech32()), Ok(key.clone()));
    // What OpenSSL takes, too: other line ends and lengths, white space, text before and after.
    let body = "MC4CAQAwBQYDK2VuBCIEIFh8i6r8RHQFQ8qkfV8fXF/r/i7Ri/kyjXiODcWmL8pD";
    for text in [
        SECRET_PEM.replace('\n', "\r\n"),
        SECRET_PEM.replace('\n', " \n"),
        SECRET_PEM.replace(body, &format!("{}\n{}\n", &body[..20], &body[20..])),
        SECRET_PEM_WITH_PUBLIC.replace("8pD\n", "8pD"),
        format!("\n\n{SECRET_PEM}\n"),
        format!("X25519 Private-Key:\npriv:\n    58:7c\n{SECRET_PEM}X25519 Private-Key:\npriv:\n    58:7c\n"),
    ] {
        assert_eq!(SecretKey::from_text(&text).as_ref(), Ok(&key), "{text}");
    }
}

#[test]
fn public_keys_read_and_write_what_openssl_does() {
    let key = PublicKey::from_pem(PUBLIC_PEM).unwrap();
    assert_eq!(key.to_pem(), PUBLIC_PEM);
    assert_eq!(format!("{key:x}"), PUBLIC_HEX);
    let text = key.to_string();
    for text in [
        PUBLIC_PEM,
        PUBLIC_HEX,
        &PUBLIC_HEX.to_uppercase(),
        &format!("\t{PUBLIC_HEX}\n"),
        &format!(" {text}\n"),
        &text.to_uppercase(),
    ] {
        assert_eq!(PublicKey::from_text(text), Ok(key), "{text}");
    }
}

#[test]
fn what_is_not_the_key_asked_for_is_refused() {
    let another_public = SECRET_PEM_WITH_PUBLIC.replace("+Zy1", "+Jy1");
    let long_hex = format!("{SECRET_HEX}00");
    for text in [
        "",
        "not a key",
        PUBLIC_PEM,
        ED25519_PEM,
        &another_public,
        &SECRET_PEM.replace("PRIVATE", "ENCRYPTED PRIVATE"),
        &SECRET_PEM.replace("BCIE", "BCIF"),
        &SECRET_PEM[..SECRET_PEM.len() / 2],
        &SECRET_HEX[1..],
        &long_hex,
        &SECRET_HEX.replace('5', "g"),
    ] {
        assert_eq!(SecretKey::from_text(text), Err(Error::InvalidKey), "{text}");
    }
    for text in
        ["", SECRET_PEM, &PUBLIC_PEM.replace("PUBLIC", "PRIVATE"), &PUBLIC_PEM.replace("MCow", "MCox"), &long_hex]
    {
        assert_eq!(PublicKey::from_text(text), Err(Error::InvalidKey), "{text}");
    }
}

///
#[test]
fn debug_shows_no_secret() {
    let secret = SecretKey::from_hex(SECRET_HEX).unwrap();
    let client = Client::new(secret.public_key()).unwrap().with_identity(&secret).unwrap();
    let master = PskMaster::from_bytes([0x5a; 32]);
    let server = Server::new(secret.clone()).with_psk_masters([master]).unwrap();
    let (mut packet, pending) = client.seal_request_to_vec(&mut SysRng, b"secret message").unwrap();
    let request = server.open_request(&mut packet).unwrap();

    let key = secret.public_key();
    assert_eq!(format!("{secret:?}"), "SecretKey(..)");
    assert_eq!(
        format!("{server:?}"),
        format!(
            "Server {{ keyring: [PublicKey({})], suites: {:?}, is_authenticated_only: false, \
             fresh_replies: Allow, reply_padding: AsRequest, psk_masters: [Some(PskMaster(..)), None], x25519: {:?} }}",
            key,
            pssst::SuiteSet::DATAGRAM,
            pssst::X25519::new()
        )
    );
    assert_eq!(
        format!("{client:?}"),
        format!(
            "Client {{ suite: X25519Aes256GcmSiv, server_key: {key:?}, \
             client_key: Some({key:?}), has_psk: false, padding: None, \
             wants_fresh_replies: false, .. }}"
        )
    );
    assert_eq!(
        format!("{request:?}"),
        format!(
            "Request {{ message_len: 14, client_key: Some({key:?}), has_psk: false, \
             suite: X25519Aes256GcmSiv, server_key_index: 0, .. }}"
        )
    );
    assert_eq!(format!("{pending:?}"), "PendingReply { suite: X25519Aes256GcmSiv, client_auth: true, .. }");
    assert_eq!(format!("{:?}", request.into_reply_sealer()), "ReplySealer { suite: X25519Aes256GcmSiv, .. }");
}

/// The types say so; the test `wiping` looks.
#[test]
fn secrets_are_wiped_on_drop() {
    const fn wiped<T: ZeroizeOnDrop>() {}
    wiped::<SecretKey>();
    wiped::<PskMaster>();
    wiped::<pssst::PreSharedKey>();
    wiped::<pssst::PendingReply>();
    wiped::<pssst::ReplySealer>();
}

#[test]
fn generated_keys_differ_and_validate() {
    let keys: std::collections::HashSet<_> = (0..100)
        .map(|_| {
            let key = SecretKey::generate(&mut SysRng).unwrap().public_key();
            key.validate().unwrap();
            key
        })
        .collect();
    assert_eq!(keys.len(), 100);
}

#[test]
fn a_failing_generator_is_an_error() {
    struct Broken;
    impl TryRng for Broken {
        type Error = core::fmt::Error;
        fn try_next_u32(&mut self) -> Result<u32, core::fmt::Error> {
            Err(core::fmt::Error)
        }
        fn try_next_u64(&mut self) -> Result<u64, core::fmt::Error> {
            Err(core::fmt::Error)
        }
        fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), core::fmt::Error> {
            Err(core::fmt::Error)
        }
    }
    impl TryCryptoRng for Broken {}

    assert_eq!(SecretKey::generate(&mut Broken).err(), Some(Error::RandomnessUnavailable));
    let client = Client::new(PUBLIC_HEX.parse::<PublicKey>().unwrap()).unwrap();
    assert_eq!(client.seal_request_to_vec(&mut Broken, b"").err(), Some(Error::RandomnessUnavailable));
}

/// Under suite 1 the packet for an alias of a server's key opens at that server.
#[test]
fn a_client_refuses_an_alias_of_a_server_key() {
    let secret = SecretKey::generate(&mut SysRng).unwrap();
    for alias in aliases_of(&secret.public_key()) {
        assert_eq!(Client::new(PublicKey::from_bytes(alias)).err(), Some(Error::InvalidKey));
    }
    assert_eq!(Client::new(PublicKey::from_bytes([0; 32])).err(), Some(Error::Refused(Refusal::WeakKey)));
}

/// A generator that repeats itself, as that of a cloned machine does.
struct Stuck;

impl TryRng for Stuck {
    type Error = core::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0x1111_1111)
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0x1111_1111_1111_1111)
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(0x11);
        Ok(())
    }
}

impl TryCryptoRng for Stuck {}

/// The packet of a generator that repeats itself differs with the message, the client and the
/// server, and its proof does not show what the generator gave.
#[test]
fn the_ephemeral_secret_is_hedged() {
    let server = SecretKey::from_bytes([1; 32]);
    let (one, other) = (SecretKey::from_bytes([2; 32]), SecretKey::from_bytes([3; 32]));
    let client = |server: &SecretKey| Client::new(server.public_key()).unwrap();
    let mut seen = std::collections::HashSet::new();
    for client in [
        client(&server),
        client(&other),
        client(&server).with_identity(&one).unwrap(),
        client(&server).with_identity(&other).unwrap(),
    ] {
        for message in [&b""[..], b"a", b"b"] {
            let (packet, _) = client.seal_request_to_vec(&mut Stuck, message).unwrap();
            assert!(seen.insert(packet[4..36].to_vec()), "the exchange value is repeated");
            let (again, _) = client.seal_request_to_vec(&mut Stuck, message).unwrap();
            assert_eq!(packet, again);

            let secret: &[u8; 32] = if client.overhead() == 52 { &[0; 32] } else { one.expose_bytes() };
            let mut input = b"PSSSTv2\x05".to_vec();
            input.extend([0x11; 32]);
            input.extend(secret);
            input.extend(Sha256::digest(server.public_key().as_bytes()));
            input.extend(Sha256::digest(message));
            let expected = SecretKey::from_bytes(Sha256::digest(&input).into());
            let mut buffer = vec![0; client.overhead() + message.len()];
            let (given, _) = client.seal_request_with_ephemeral(&expected, message, &mut buffer).unwrap();
            let keys_are_those = format!("{client:?}").contains(&server.public_key().to_string())
                && !format!("{client:?}").contains(&other.public_key().to_string());
            assert_eq!(*given == packet[..], keys_are_those, "{client:?}");
        }
    }
}
