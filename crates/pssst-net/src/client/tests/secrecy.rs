//! What is printed and logged.

use std::fmt::{self, Write as _};
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

use super::*;
use crate::client::tests::fake::Resolution;

/// Takes every event of every level, as text.
#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<(Level, String)>>>);

impl Capture {
    fn of(&self, level: Level) -> usize {
        self.0.lock().unwrap().iter().filter(|(of, _)| *of == level).count()
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let mut text = Text(String::new());
        span.record(&mut text);
        self.0.lock().unwrap().push((*span.metadata().level(), text.0));
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push((*event.metadata().level(), text.0));
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Bytes in every form in which they may be printed.
fn forms(bytes: &[u8]) -> Vec<String> {
    let hex: String = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let list = format!("{bytes:?}");
    let list = list.trim_matches(['[', ']']).to_owned();
    vec![hex.to_uppercase(), hex, list, String::from_utf8_lossy(bytes).into_owned()]
}

fn assert_absent(text: &str, secrets: &[&[u8]]) {
    for form in secrets.iter().flat_map(|secret| forms(secret)) {
        assert!(!text.contains(&form), "{form:?} is in {text}");
    }
}

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
    assert!(format!("{client:?}").contains("pending: 1"));
    let error = request_error(&client).await;
    assert_absent(&format!("{error} {error:?}"), &[&IDENTITY, REQUEST]);
    request.abort();
}

async fn request_error(client: &Client) -> Error {
    client.request_within(seconds(1), REQUEST).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn nothing_secret_is_logged() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
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
    let logged = capture.0.lock().unwrap().clone();
    for (_, text) in logged {
        assert_absent(&text, &[&IDENTITY, REQUEST, REPLY, &sent[4..36], &server_secret().expose_bytes()[..]]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_does_not_resolve_is_warned_of_once_a_minute_at_most() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let (net, client) = start(&[A]).await;
    net.state().resolutions = [Resolution::Fails, Resolution::Hangs, Resolution::To(vec![])].into();
    timeout(client.request("level?").await);
    assert_eq!((net.state().resolved, capture.of(Level::WARN)), (4, 1));
}
