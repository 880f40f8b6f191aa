//! Networks that do not carry the long packets of suite 0xf003.

use pssst::{Keyring, Padding, PskMaster, Suite, XWingSecretKey};

use super::*;
use crate::client::tests::fake::Sending;

const LONG: Suite = Suite::XWingAes256GcmSiv;
const SHORT: Suite = Suite::X25519Aes256GcmSiv;

fn identity() -> SecretKey {
    SecretKey::from_bytes([0x1d; 32])
}

fn master() -> PskMaster {
    PskMaster::from_bytes([0x44; 32])
}

fn long_secret() -> XWingSecretKey {
    XWingSecretKey::from_bytes([0x60; 32])
}

/// For a server with keys of both kinds.
fn long_builder() -> ClientBuilder {
    let psk = master().psk(&identity().public_key());
    Client::builder(long_secret().public_key()).identity(&identity()).psk(psk).timeout(seconds(60))
}

fn with_fallback() -> ClientBuilder {
    long_builder().fallback(server_secret().public_key())
}

/// Returns the suite of a packet, whether it proves the pre-shared key, and the reply to it.
fn serve(packet: &[u8]) -> (Suite, bool, Vec<u8>) {
    let keyring = Keyring::new(server_secret()).with_xwing_key(&long_secret()).unwrap();
    let server = Server::new(keyring).with_psk_masters([master()]).unwrap();
    let mut packet = packet.to_vec();
    let request = server.open_request(&mut packet).unwrap();
    assert_eq!(request.client_key(), Some(&identity().public_key()));
    let (suite, has_psk, message) = (request.suite(), request.has_psk(), request.message().to_vec());
    (suite, has_psk, request.into_reply_sealer().seal_to_vec(&mut pssst::SysRng, &message).unwrap())
}

/// Makes a request on a network that carries packets of at most so many bytes. Returns the
/// suites that it was sent under.
async fn request(net: &Fake, client: &Client, limit: usize) -> Vec<Suite> {
    let before = net.sent().len();
    let request = begin(client, "level?").await;
    for _ in 0..600 {
        let sent = net.sent();
        let last = sent.last().unwrap();
        if sent.len() > before && last.packet.len() <= limit {
            net.deliver(last.socket, serve(&last.packet).2);
            assert_eq!(request.await.unwrap().unwrap(), "level?");
            return sent[before..].iter().map(|sent| serve(&sent.packet).0).collect();
        }
        tokio::time::sleep(millis(100)).await;
    }
    panic!("no packet has at most {limit} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_narrow_network_is_noticed_and_tried_again() {
    let net = Fake::new(&[A]);
    let client = connect(&net, with_fallback()).await;
    assert_eq!((client.suite(), client.fallback()), (LONG, Some(server_secret().public_key())));
    for _ in 0..2 {
        assert_eq!(request(&net, &client, 1000).await, [LONG, LONG, SHORT]);
    }
    let short = net.sent().pop().unwrap();
    assert!(serve(&short.packet).1, "without the pre-shared key a quantum computer opens it");

    // Now it is known: a request costs one packet, and a message without a reply arrives.
    assert_eq!(request(&net, &client, 1000).await, [SHORT]);
    client.send("23.5 C").await.unwrap();
    assert_eq!(serve(&net.sent().last().unwrap().packet).0, SHORT);
    assert_eq!(client.stats().fallbacks, 4);

    tokio::time::sleep(seconds(601)).await;
    assert_eq!(request(&net, &client, 1000).await, [LONG, LONG, SHORT]);
    assert_eq!(request(&net, &client, 1000).await, [SHORT]);
    tokio::time::sleep(seconds(601)).await;
    assert_eq!(request(&net, &client, 1232).await, [LONG]);
    assert_eq!(request(&net, &client, 1232).await, [LONG]);
    assert_eq!(client.stats().fallbacks, 6);
}

#[tokio::test(start_paused = true)]
async fn lost_packets_alone_make_no_network_narrow() {
    let net = Fake::new(&[A]);
    let client = connect(&net, with_fallback()).await;
    for _ in 0..3 {
        assert_eq!(request(&net, &client, 1000).await, [LONG, LONG, SHORT]);
        assert_eq!(request(&net, &client, 1232).await, [LONG]);
    }
    assert_eq!(client.stats().fallbacks, 3);
}

#[tokio::test(start_paused = true)]
async fn what_the_system_does_not_send_is_sent_shorter_at_once() {
    let net = Fake::new(&[A]);
    net.state().sending.insert(A, Sending::TooLarge(1000));
    let client = connect(&net, with_fallback()).await;
    assert_eq!(request(&net, &client, 1000).await, [SHORT]);
    assert_eq!(request(&net, &client, 1000).await, [SHORT]);
    assert_eq!((net.times(), client.stats().fallbacks), (vec![0, 0], 2));

    let client = connect(&net, long_builder()).await;
    let before = net.now();
    assert!(matches!(client.send("23.5 C").await, Err(Error::PathTooNarrow { address: A, packet_len: 1232, .. })));
    assert!(matches!(client.request("level?").await, Err(Error::PathTooNarrow { .. })));
    assert_eq!((net.now(), client.stats().path_too_narrow), (before, 2));
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_the_client_counts_as_well() {
    let net = Fake::new(&[A]);
    let client = connect(&net, with_fallback().max_datagram(300)).await;
    assert_eq!(client.max_message_len(), 300 - 92);
    assert_eq!(request(&net, &client, 300).await, [SHORT]);
    assert!(matches!(client.request([0; 300]).await, Err(Error::TooLarge { limit: 208, .. })));
    assert_eq!(client.stats().fallbacks, 1);

    // Padded to the length of long packets, it would not get through either.
    let padded = with_fallback().padding(Padding::ToLength(1200)).max_datagram(300);
    assert_eq!(request(&net, &connect(&net, padded).await, 300).await, [SHORT]);

    let outcome = long_builder().max_datagram(300).connect_on(Arc::new(net), "server.example:1").await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::MaxDatagramTooSmall { needed: 1232, limit: 300 }), "{error}");
    assert!(error.to_string().contains("fallback"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn without_its_owners_word_no_client_falls_back() {
    let net = Fake::new(&[A]);
    let client = connect(&net, long_builder()).await;
    assert_eq!(timeout(client.request("level?").await).0, 5);
    assert!(net.sent().iter().all(|sent| serve(&sent.packet).0 == LONG));
    assert_eq!(client.stats().fallbacks, 0);

    // Nor without a pre-shared key.
    let without_psk = Client::builder(long_secret().public_key()).identity(&identity());
    let outcome =
        without_psk.fallback(server_secret().public_key()).connect_on(Arc::new(net), "server.example:1").await;
    assert!(matches!(outcome, Err(Error::Protocol(pssst::Error::UnsupportedOption))));
    assert!(client.set_credentials(identity()).is_ok());
    assert!(client.set_fallback(Some(server_secret().public_key())).is_err() && client.fallback().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_key_to_fall_back_to_is_replaced() {
    let net = Fake::new(&[A]);
    let other = SecretKey::from_bytes([0x5f; 32]);
    let client = connect(&net, long_builder().fallback(other.public_key()).max_datagram(300)).await;
    client.set_fallback(Some(server_secret().public_key())).unwrap();
    client.set_server_key(long_secret().public_key()).unwrap();
    assert_eq!(request(&net, &client, 300).await, [SHORT]);
    client.set_fallback(None).unwrap();
    assert!(matches!(client.request("level?").await, Err(Error::MaxDatagramTooSmall { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_reported_narrow_path_ends_the_request_by_name() {
    for (addresses, at) in [(&[A][..], 1000), (&[A, B], 0)] {
        let net = Fake::new(addresses);
        net.state().path_mtu = Some(1000);
        net.state().sending = addresses.iter().map(|address| (*address, Sending::Narrow(972))).collect();
        let client = connect(&net, long_builder()).await;
        let error = client.request("level?").await.unwrap_err();
        assert!(error.to_string().contains("packets of 1232 bytes") && error.to_string().contains("of 972"), "{error}");
        // One report may be forged.
        assert_eq!((net.now(), net.sent().len(), client.stats().path_too_narrow), (at, 2, 1));
    }
    // Another address may have another path.
    let net = Fake::new(&[A, B]);
    net.state().sending.insert(A, Sending::Narrow(972));
    let client = connect(&net, long_builder()).await;
    assert_eq!(request(&net, &client, 1232).await, [LONG, LONG]);
    assert_eq!((net.destinations(), net.now()), (vec![A, B], 0));
}

#[tokio::test(start_paused = true)]
async fn a_reported_narrow_path_gets_a_shorter_packet_at_once() {
    let net = Fake::new(&[A]);
    net.state().sending.insert(A, Sending::Narrow(972));
    let client = connect(&net, with_fallback()).await;
    for _ in 0..2 {
        assert_eq!(request(&net, &client, 972).await, [LONG, SHORT]);
    }
    assert_eq!(request(&net, &client, 972).await, [SHORT]);
    assert_eq!((net.now(), client.stats().fallbacks), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_forged_report_costs_no_reply() {
    for builder in [long_builder(), with_fallback()] {
        let net = Fake::new(&[A]);
        let client = connect(&net, builder).await;
        for count in 1..=3 {
            let request = begin(&client, "level?").await;
            let long = net.sent().pop().unwrap();
            net.report_too_large(0);
            settle().await;
            net.report_too_large(0);
            settle().await;
            net.deliver(0, serve(&long.packet).2);
            assert_eq!(request.await.unwrap().unwrap(), "level?");
            assert_eq!((net.now(), serve(&long.packet).0), (2 * count, LONG));
        }
        assert_eq!(client.stats().path_too_narrow, 0);
    }
    // One that came late does not count for the packet that is sent after it.
    let net = Fake::new(&[A]);
    let client = connect(&net, long_builder()).await;
    let request = begin(&client, "level?").await;
    net.report_too_large(0);
    settle().await;
    net.report_too_large(0);
    tokio::time::sleep(millis(1100)).await;
    net.deliver(0, serve(&net.sent().pop().unwrap().packet).2);
    assert_eq!((request.await.unwrap().unwrap(), net.sent().len()), ("level?".into(), 2));
}

#[tokio::test(start_paused = true)]
async fn a_report_about_longer_packets_than_its_own_does_not_matter_to_a_request() {
    let net = Fake::new(&[A, B]);
    net.state().path_mtu = Some(1260);
    let client = connect(&net, with_fallback()).await;
    let request = begin(&client, "level?").await;
    for _ in 0..3 {
        net.report_too_large(0);
        settle().await;
    }
    assert_eq!((net.sent().len(), client.stats().fallbacks), (1, 0));
    net.deliver(0, serve(&net.sent()[0].packet).2);
    assert_eq!(request.await.unwrap().unwrap(), "level?");
}
