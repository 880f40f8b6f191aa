//! The client of the directory against servers that are good, bad, slow and away.

use std::time::Duration;

use jiff::Timestamp;
use pssst::{SecretKey, Suite};
use pssst_directory::{Clock, DirectoryClient, Error, KeySet};
use pssst_directory_server::Schedule;

use server::{Answer, Identity, TestServer};

mod downgrade;
mod enrollment;
mod rotation;
mod server;

const HOUR: Duration = Duration::from_hours(1);
const TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_bytes([seed; 32])
}

/// With one key, as of now.
fn document(seed: u8) -> KeySet {
    document_of(seed, Timestamp::now())
}

fn document_of(seed: u8, time: Timestamp) -> KeySet {
    let mut document = Schedule::new(secret(seed), time).document(time, HOUR, &[Suite::X25519Aes256GcmSiv]).unwrap();
    document.generation = 5;
    document
}

fn of_generation(generation: u64, mut document: KeySet) -> KeySet {
    document.generation = generation;
    document
}

async fn good_server() -> TestServer {
    TestServer::start(|_| Answer::ok(document(1).to_json())).await
}

#[tokio::test]
async fn a_directory_is_known_by_its_pin() {
    let server = good_server().await;
    let client = server.client();
    let document = client.fetch().await.unwrap();
    assert_eq!(client.server_key().unwrap(), secret(1).public_key());
    assert_eq!(client.document().unwrap(), document);
    let request = &server.seen()[0];
    assert!(request.head.starts_with("GET /.well-known/pssst/keys HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.header("if-none-match"), None);

    let other = server.untrusting().pin(Identity::new("127.0.0.1").pin()).build().unwrap();
    let error = other.fetch().await.unwrap_err();
    assert!(matches!(error, Error::Connection(_)), "{error}");
    assert_eq!(server.seen().len(), 1, "something was sent to a stranger");
    assert!(other.document().is_none());
}

#[tokio::test]
async fn a_directory_is_known_by_its_authority() {
    let server = good_server().await;
    let authority = &server.identity.authority;
    server.untrusting().ca_pem(authority.as_str()).build().unwrap().fetch().await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, Identity::new("a").authority + authority).unwrap();
    server.untrusting().ca_file(file.path()).build().unwrap().fetch().await.unwrap();
    let asked = server.seen().len();

    let stranger = server.untrusting().ca_pem(Identity::new("127.0.0.1").authority).build().unwrap();
    let error = stranger.fetch().await.unwrap_err();
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    // The system's authorities know nothing of it, if there are any.
    let outcome = match server.untrusting().build() {
        Ok(client) => client.fetch().await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(outcome, Err(Error::Connection(_) | Error::Trust(_))), "{outcome:?}");
    assert_eq!(server.seen().len(), asked, "something was sent to a stranger");
}

#[tokio::test]
async fn an_authority_vouches_for_a_name_and_a_time_but_a_pin_for_a_key() {
    let expired = Identity::with("127.0.0.1", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    for identity in [Identity::new("127.0.0.2"), expired] {
        let server = TestServer::start_as(identity, TLS13, |_| Answer::ok(document(1).to_json())).await;
        let by_authority = server.untrusting().ca_pem(server.identity.authority.as_str()).build().unwrap();
        let error = by_authority.fetch().await.unwrap_err();
        assert!(matches!(error, Error::Connection(_)), "{error}");
        server.client().fetch().await.unwrap();
    }
}

#[tokio::test]
async fn a_certificate_is_nothing_without_its_key() {
    let stolen = Identity::new("127.0.0.1").stolen();
    let server = TestServer::start_as(stolen, TLS13, |_| Answer::ok(document(1).to_json())).await;
    for builder in [server.builder(), server.untrusting().ca_pem(server.identity.authority.as_str())] {
        let error = builder.build().unwrap().fetch().await.unwrap_err();
        assert!(error.to_string().contains("BadSignature"), "{error}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn nothing_below_tls_1_3_is_spoken() {
    let identity = Identity::new("127.0.0.1");
    let versions = [&rustls::version::TLS12];
    let server = TestServer::start_as(identity, &versions, |_| Answer::ok(document(1).to_json())).await;
    for builder in [server.builder(), server.untrusting().ca_pem(server.identity.authority.as_str())] {
        let error = builder.build().unwrap().fetch().await.unwrap_err();
        assert!(matches!(error, Error::Connection(_)), "{error}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn answers_of_all_other_kinds_are_refused_and_change_nothing() {
    type Case = (&'static str, fn() -> Answer, fn(&Error) -> bool);
    let cases: [Case; 12] = [
        ("redirection", || Answer::new(302, "location: /good\r\n", ""), |error| matches!(error, Error::Status(302))),
        ("failure", || Answer::new(500, "", document(2).to_json()), |error| matches!(error, Error::Status(500))),
        ("304 that nobody asked for", || Answer::new(304, "", ""), |error| matches!(error, Error::Status(304))),
        ("empty", || Answer::ok(""), |error| matches!(error, Error::Syntax(_))),
        ("garbage", || Answer::ok([0xff; 3000]), |error| matches!(error, Error::Syntax(_))),
        ("long", || Answer::ok(" ".repeat(KeySet::MAX_LEN + 1)), |error| matches!(error, Error::TooLong { .. })),
        ("endless", Answer::endless, |error| matches!(error, Error::TooLong { .. })),
        ("nothing", Answer::none, |error| matches!(error, Error::Connection(_))),
        (
            "an older generation, however late it was issued",
            || Answer::ok(of_generation(4, document_of(2, Timestamp::now() + HOUR / 2)).to_json()),
            |error| matches!(error, Error::OldDocument { held: 5, sent: 4 }),
        ),
        (
            "other keys of the same generation",
            || Answer::ok(document(2).to_json()),
            |error| matches!(error, Error::ConflictingDocument { generation: 5 }),
        ),
        (
            "a directory whose clock is five years ahead",
            || Answer::ok(of_generation(6, document_of(2, Timestamp::now() + 5 * 366 * 24 * HOUR)).to_json()),
            |error| matches!(error, Error::ImplausibleDocument { .. }),
        ),
        (
            "keys that are over",
            || {
                let mut document = document(2);
                document.keys[0].not_before = document.issued - 2 * HOUR;
                document.keys[0].not_after = Some(document.issued - HOUR);
                Answer::ok(document.to_json())
            },
            |error| matches!(error, Error::NoCurrentKey),
        ),
    ];
    for (name, bad, is_expected) in cases {
        let is_good = std::sync::atomic::AtomicBool::new(true);
        let server = TestServer::start(move |request| {
            let first = is_good.swap(false, std::sync::atomic::Ordering::Relaxed);
            if first || request.head.starts_with("GET /good ") { Answer::ok(document(1).to_json()) } else { bad() }
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.json");
        let client = server.builder().cache(&path).build().unwrap();
        let held = client.fetch().await.unwrap();
        let error = client.fetch().await.unwrap_err();
        assert!(is_expected(&error), "{name}: {error:?}");
        assert_eq!(client.document().unwrap(), held, "{name}");
        assert_eq!(KeySet::parse(&std::fs::read(&path).unwrap()).unwrap(), *held, "{name}");
        assert_eq!(server.seen().len(), 2, "{name}");
    }
}

#[tokio::test]
async fn answers_that_take_too_long_are_given_up() {
    let server = TestServer::start(|_| Answer::slow()).await;
    let client = server.builder().timeout(Duration::from_secs(3)).build().unwrap();
    let outcome = tokio::time::timeout(pssst_test::PATIENCE, client.fetch()).await.unwrap();
    assert!(matches!(outcome, Err(Error::Connection(_))), "{outcome:?}");
}

#[tokio::test]
async fn the_clock_is_compared_with_that_of_the_directory() {
    let server = TestServer::start(|request| match request.header("if-none-match") {
        None => Answer::new(200, "date: Thu, 01 Jan 2026 00:00:00 GMT\r\netag: \"one\"\r\n", document(1).to_json()),
        Some(_) => Answer::new(500, "date: Thu, 01 Jan 2026 00:03:20 GMT\r\n", ""),
    })
    .await;
    let begun: Timestamp = "2026-01-01T00:03:00Z".parse().unwrap();
    let client = server.builder().clock(Clock::from_fn(move || begun)).build().unwrap();
    assert_eq!(client.status().clock_lead, None);
    client.fetch().await.unwrap();
    assert_eq!(client.status().clock_lead.map(|lead| lead.as_secs()), Some(180));
    // Whatever the answer.
    client.fetch().await.unwrap_err();
    assert_eq!(client.status().clock_lead.map(|lead| lead.as_secs()), Some(-20));
}

#[tokio::test]
async fn a_document_that_has_not_changed_is_not_sent_again() {
    let text = document(1).to_json();
    let server = TestServer::start(move |request| match request.header("if-none-match") {
        Some("\"one\"") => Answer::new(304, "etag: \"one\"\r\n", ""),
        _ => Answer::new(200, "etag: \"one\"\r\n", &text),
    })
    .await;
    let client = server.client();
    let mut documents = client.watch();
    let first = client.fetch().await.unwrap();
    assert!(documents.has_changed().unwrap());
    assert_eq!(documents.borrow_and_update().as_ref(), Some(&first));
    assert_eq!(client.fetch().await.unwrap(), first);
    assert!(!documents.has_changed().unwrap());
    let asked: Vec<_> = server.seen().iter().map(|seen| seen.header("if-none-match").map(str::to_owned)).collect();
    assert_eq!(asked, [None, Some("\"one\"".to_owned())]);
}

#[tokio::test]
async fn the_last_document_serves_on_after_a_restart_when_the_directory_is_away() {
    let server = good_server().await;
    let (url, pin) = (server.url(), server.identity.pin());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.json");
    let builder = || DirectoryClient::builder(&url).pin(pin).cache(&path);
    let held = builder().build().unwrap().fetch().await.unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o133, 0, "{mode:o}");
    }
    server.stop().await;

    let client = builder().build().unwrap();
    assert!(matches!(client.fetch().await, Err(Error::Connection(_))));
    assert_eq!(client.document().unwrap(), held);
    assert_eq!(client.watch().borrow().as_ref(), Some(&held));
    assert_eq!(client.server_key().unwrap(), secret(1).public_key());
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_does_no_harm() {
    let server = good_server().await;
    let client = server.builder().cache("/nowhere/at/all.json").build().unwrap();
    client.fetch().await.unwrap();
    assert_eq!(client.server_key().unwrap(), secret(1).public_key());
}
