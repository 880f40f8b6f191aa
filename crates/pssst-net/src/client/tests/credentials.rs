//! A client's credentials, and their replacement.

use pssst::{Client as ProtocolClient, PskMaster, ServerKey, Suite};

use super::*;
use crate::Credentials;

fn identity() -> SecretKey {
    SecretKey::from_bytes([0x1d; 32])
}

fn other_secret() -> SecretKey {
    SecretKey::from_bytes([0x5f; 32])
}

fn master() -> PskMaster {
    PskMaster::from_bytes([0x44; 32])
}

fn hash(secret: &SecretKey) -> [u8; 32] {
    ServerKey::from(secret.public_key()).hash()
}

/// Without c, for these keys of the server.
fn precomputed<'a>(secrets: impl IntoIterator<Item = &'a SecretKey>) -> Credentials {
    secrets.into_iter().fold(Credentials::precomputed(identity().public_key()), |credentials, secret| {
        let z2 = identity().shared_secret(&secret.public_key()).unwrap();
        credentials.with_shared_secret(hash(secret), z2.as_bytes())
    })
}

/// Returns the key and whether it used a pre-shared key that opened the packet.
fn opened(secret: &SecretKey, packet: &[u8]) -> (PublicKey, bool) {
    let server = Server::new(secret.clone()).with_psk_masters([master()]).unwrap();
    let mut packet = packet.to_vec();
    let request = server.open_request(&mut packet).unwrap();
    (*request.client_key().unwrap(), request.has_psk())
}

#[tokio::test(start_paused = true)]
async fn credentials_are_replaced_while_requests_are_under_way() {
    let net = Fake::new(&[A]);
    let client = connect(&net, builder().credentials(precomputed([&server_secret()]))).await;
    let client_key = identity().public_key();
    assert_eq!(client.client_key(), Some(client_key));
    let first = begin(&client, "level?").await;

    let psk = master().psk(&client_key);
    client.set_credentials(Credentials::new(identity()).with_psk(psk)).unwrap();
    let second = begin(&client, "rain?").await;
    let sent: Vec<_> = net.sent().into_iter().map(|sent| sent.packet).collect();
    assert_eq!([&sent[0], &sent[1]].map(|it| opened(&server_secret(), it)), [(client_key, false), (client_key, true)]);

    // The first one stays as it was sealed.
    net.deliver(0, echo(&sent[0]));
    assert_eq!(first.await.unwrap().unwrap(), "level?");
    let server = Server::new(server_secret()).with_psk_masters([master()]).unwrap();
    let mut packet = sent[1].clone();
    let request = server.open_request(&mut packet).unwrap();
    net.deliver(0, request.into_reply_sealer().seal_to_vec(&mut pssst::SysRng, b"none").unwrap());
    assert_eq!(second.await.unwrap().unwrap(), "none");
}

#[tokio::test(start_paused = true)]
async fn a_key_without_a_shared_secret_is_refused_with_its_name() {
    let net = Fake::new(&[A]);
    let both = [server_secret(), other_secret()];
    let client = connect(&net, builder().credentials(precomputed([&both[0]]))).await;
    let new_key = both[1].public_key();
    let error = client.set_server_key(new_key).unwrap_err();
    assert!(error.to_string().contains(&new_key.to_string()), "{error}");
    assert_eq!(client.server_key(), both[0].public_key());
    assert!(matches!(client.set_credentials(precomputed([&both[1]])), Err(Error::NoSharedSecret(_))));

    client.set_credentials(precomputed(&both)).unwrap();
    client.set_server_key(new_key).unwrap();
    drop(begin(&client, "level?").await);
    assert_eq!(opened(&both[1], &net.sent()[0].packet), (identity().public_key(), false));

    let outcome = builder().credentials(precomputed([&both[1]])).connect_on(Arc::new(net), "server.example:1").await;
    assert!(matches!(outcome, Err(Error::NoSharedSecret(key)) if *key == both[0].public_key()));
}

#[tokio::test(start_paused = true)]
async fn pre_shared_keys_belong_to_an_identity_and_to_the_second_suites() {
    let net = Fake::new(&[A]);
    let psk = || master().psk(&identity().public_key());
    let outcome = builder().psk(psk()).connect_on(Arc::new(net.clone()), "server.example:1").await;
    assert!(matches!(outcome, Err(Error::Protocol(pssst::Error::UnsupportedOption))));

    let client = connect(&net, builder().psk(psk()).identity(&identity())).await;
    drop(begin(&client, "level?").await);
    assert!(opened(&server_secret(), &net.sent()[0].packet).1);

    let client = connect(&net, builder().suite(Suite::X25519AesGcm128).identity(&identity())).await;
    let outcome = client.set_credentials(Credentials::new(identity()).with_psk(psk()));
    assert!(matches!(outcome, Err(Error::Protocol(pssst::Error::UnsupportedOption))));
}

#[test]
fn an_identity_without_its_key_is_the_same_identity() {
    let server_key = ServerKey::from(server_secret().public_key());
    let client = || ProtocolClient::new(server_key.clone()).unwrap();
    for credentials in [Credentials::new(identity()), precomputed([&server_secret()])] {
        let client = credentials.identify(client(), &server_key).unwrap();
        let (packet, _) = client.seal_request_to_vec(&mut pssst::SysRng, b"").unwrap();
        assert_eq!(opened(&server_secret(), &packet), (identity().public_key(), false));
    }
}
