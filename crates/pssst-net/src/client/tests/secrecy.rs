//! Secrets that must not be printed or logged.

use tracing::Level;

use super::*;
use crate::client::tests::fake::Resolution;
use crate::log_capture::{Capture, assert_absent};

const IDENTITY: [u8; 32] = *b"an identity of thirty-two bytes.";
const REQUEST: &[u8] = b"how high is the water?";
const REPLY: &[u8] = b"two metres and five centimetres";

#[tokio::test(start_paused = true)]
async fn debug_shows_keys_that_are_public_and_no_others() {
    let identity = SecretKey::from_bytes(IDENTITY);
    let net = Fake::new(&[A]);
    let builder = builder().identity(&identity);
    let client = connect(&net, builder.clone()).await;
    let request = begin(&client, REQUEST).await;
    let blocking = crate::blocking::Client::builder(server_secret().public_key()).identity(&identity);
    for text in [format!("{builder:?}"), format!("{client:?}"), format!("{client:#?}"), format!("{blocking:?}")] {
        assert_absent(&text, &[&IDENTITY, REQUEST]);
        assert!(text.contains(&identity.public_key().to_string()), "{text}");
        assert!(text.contains(&server_secret().public_key().to_string()), "{text}");
    }
    assert!(format!("{client:?}").contains("in_flight: 1"));
    let error = request_error(&client).await;
    assert_absent(&format!("{error} {error:?}"), &[&IDENTITY, REQUEST]);
    request.abort();
}

async fn request_error(client: &Client) -> Error {
    client.request_within(seconds(1), REQUEST).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn nothing_secret_is_logged() {
    let (capture, _guard) = Capture::start();
    let net = Fake::new(&[A, B]);
    let client = connect(&net, builder().identity(&SecretKey::from_bytes(IDENTITY))).await;
    net.state().resolutions = [Resolution::Fails].into();

    let request = begin(&client, REQUEST).await;
    let sent = net.sent().pop().unwrap().packet;
    let reply = answer(&server_secret(), &sent, Some(REPLY));
    net.report(0, std::io::ErrorKind::ConnectionRefused);
    let mut forged = reply.clone();
    forged[50] ^= 1;
    net.deliver(0, forged);
    tokio::time::sleep(seconds(20)).await;
    net.deliver(0, reply);
    assert_eq!(request.await.unwrap().unwrap(), REPLY);
    timeout(client.request(REQUEST).await);

    assert!(capture.of(Level::DEBUG) > 10);
    let secret = server_secret();
    assert_absent(&capture.text(), &[&IDENTITY, REQUEST, REPLY, &sent[4..36], &secret.expose_bytes()[..]]);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_does_not_resolve_is_warned_of_once_a_minute_at_most() {
    let (capture, _guard) = Capture::start();
    let (net, client) = start(&[A]).await;
    net.state().resolutions = [Resolution::Fails, Resolution::Hangs, Resolution::To(vec![])].into();
    timeout(client.request("level?").await);
    assert_eq!((net.state().resolved, capture.of(Level::WARN)), (4, 1));
}
