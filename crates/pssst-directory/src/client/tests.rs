use jiff::Timestamp;
use pssst::{SecretKey, Suite};
use tokio::time::{Instant, sleep};

use super::*;
use crate::{KeyState, PublishedKey};

const MINUTE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_hours(366 * 24);

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_bytes([seed; 32])
}

fn begun() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// Returns a clock that goes with tokio's time.
fn clock_from(begun: Timestamp) -> Clock {
    let start = Instant::now();
    Clock::from_fn(move || begun + start.elapsed())
}

/// Issued at the beginning; the second key takes over after 30 minutes.
fn document() -> KeySet {
    let next = begun() + 30 * MINUTE;
    let end = next + 120 * MINUTE;
    let keys = vec![
        PublishedKey::new(
            secret(1).public_key(),
            &[Suite::X25519Aes256GcmSiv, Suite::X25519AesGcm128],
            KeyState::Current,
            begun(),
            Some(end),
        ),
        PublishedKey::new(
            secret(2).public_key(),
            &[Suite::X25519Aes256GcmSiv, Suite::X25519AesGcm128],
            KeyState::Next,
            next,
            None,
        ),
    ];
    KeySet::new(7, begun(), begun() + 60 * MINUTE, &[Suite::X25519Aes256GcmSiv], keys)
}

fn builder() -> DirectoryClientBuilder {
    DirectoryClient::builder("https://localhost:1").ca_pem(rcgen::generate_simple_self_signed([]).unwrap().cert.pem())
}

#[tokio::test(start_paused = true)]
async fn a_client_changes_keys_at_the_right_time_without_any_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, document().to_json()).unwrap();
    let directory = builder().cache(&path).clock(clock_from(begun() + 10 * MINUTE + MINUTE / 2)).build().unwrap();
    assert_eq!(directory.watch().borrow().as_deref(), Some(&document()));
    let client = pssst_net::Client::builder(secret(9).public_key()).connect("127.0.0.1:9").await.unwrap();
    let refresh_task = tokio::spawn({
        let client = client.clone();
        async move { directory.apply(&client).await }
    });
    sleep(Duration::from_millis(1)).await;
    assert_eq!(client.server_key(), secret(1).public_key());
    sleep(Duration::from_millis(19 * 60_000 + 30_000 - 5)).await;
    assert_eq!(client.server_key(), secret(1).public_key());
    sleep(Duration::from_millis(10)).await;
    assert_eq!(client.server_key(), secret(2).public_key());
    refresh_task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_new_document_is_used_at_once() {
    let directory = builder().clock(clock_from(begun())).build().unwrap();
    assert!(matches!(directory.server_key(), Err(Error::NoCurrentKey)));
    let client = pssst_net::Client::builder(secret(9).public_key()).connect("127.0.0.1:9").await.unwrap();
    let refresh_task = tokio::spawn({
        let (directory, client) = (directory.clone(), client.clone());
        async move { directory.apply(&client).await }
    });
    sleep(MINUTE).await;
    assert_eq!(client.server_key(), secret(9).public_key());
    directory.store(document(), None).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(client.server_key(), secret(1).public_key());
    refresh_task.abort();
}

#[tokio::test(start_paused = true)]
async fn clocks_that_are_wrong_are_not_used() {
    let (first, second) = (secret(1).public_key(), secret(2).public_key());
    for (clock, is_wrong) in [
        (Timestamp::UNIX_EPOCH, true),
        (begun() - Duration::from_millis(1), true),
        (begun(), false),
        (begun() + 60 * MINUTE, false),
        (begun() + 61 * MINUTE, true),
        (begun() + 50 * YEAR, true),
    ] {
        let directory = builder().clock(clock_from(clock)).build().unwrap();
        directory.store(document(), None).await;
        assert_eq!(matches!(directory.current().unwrap().clock, TrustedClock::Since { .. }), is_wrong, "{clock}");
        if is_wrong {
            assert_eq!(directory.server_key().unwrap(), first, "{clock}");
            sleep(29 * MINUTE).await;
            assert_eq!(directory.server_key().unwrap(), first, "{clock}");
            sleep(2 * MINUTE).await;
            assert_eq!(directory.server_key().unwrap(), second, "{clock}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_right_changes_nothing() {
    let offset = Arc::new(Mutex::new(Duration::ZERO));
    let clock = {
        let offset = Arc::clone(&offset);
        let from_1970 = clock_from(Timestamp::UNIX_EPOCH);
        Clock::from_fn(move || from_1970.now() + *offset.lock().unwrap())
    };
    let directory = builder().clock(clock).build().unwrap();
    directory.store(document(), None).await;
    sleep(MINUTE).await;
    *offset.lock().unwrap() = Duration::try_from(begun().as_duration()).unwrap();
    assert_eq!(directory.server_key().unwrap(), secret(1).public_key());
    assert_eq!(directory.until_switch(), 29 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn stored_documents_that_are_old_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let held = |clock| builder().cache(&path).clock(clock_from(clock)).build().unwrap();
    assert!(held(begun()).document().is_none());
    std::fs::write(&path, document().to_json()).unwrap();
    assert_eq!(held(begun() + 3 * YEAR).server_key().unwrap(), secret(2).public_key());
    assert_eq!(held(Timestamp::UNIX_EPOCH).server_key().unwrap(), secret(1).public_key());
}

#[test]
fn a_stored_document_that_cannot_be_used_is_not_the_same_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let error = || {
        let error = builder().cache(&path).build().unwrap_err();
        assert!(matches!(&error, Error::Cache { path: named, .. } if *named == path), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        error.to_string()
    };
    for bad in [&b""[..], &document().to_json().as_bytes()[..200], b"\xff", b"null"] {
        std::fs::write(&path, bad).unwrap();
        error();
    }
    std::fs::write(&path, vec![b' '; KeySet::MAX_LEN + 1]).unwrap();
    assert!(error().ends_with(": longer than 65536 bytes"));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(error().ends_with(": not a regular file"));
    std::fs::remove_dir(&path).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&path, &path).unwrap();
        error();
        std::fs::remove_file(&path).unwrap();
    }
    assert!(builder().cache(&path).build().unwrap().document().is_none());
}

#[tokio::test]
async fn a_client_that_replaces_another_one_keeps_the_later_document() {
    let of_generation = |generation| KeySet { generation, ..document() };
    let held = async |generation| {
        let client = builder().build().unwrap();
        client.store(of_generation(generation), Some("tag".into())).await;
        client
    };
    let generation = |client: &DirectoryClient| client.document().map(|document| document.generation);
    let (first, second) = (builder().build().unwrap(), held(7).await);
    let mut documents = first.watch();
    second.take_document_of(&first);
    assert_eq!(generation(&second), Some(7));
    first.take_document_of(&second);
    assert_eq!(generation(&first), Some(7));
    assert_eq!(documents.borrow_and_update().as_deref(), Some(&of_generation(7)));
    assert_eq!(first.current().unwrap().etag, None);
    first.take_document_of(&held(6).await);
    assert_eq!(generation(&first), Some(7));
    let older = first.check_order(&first.document().unwrap(), &of_generation(6));
    assert!(matches!(older, Err(Error::OldDocument { held: 7, sent: 6 })), "{older:?}");

    let elsewhere = DirectoryClient::builder("https://localhost:2").pin(pin()).build().unwrap();
    elsewhere.take_document_of(&first);
    assert_eq!(generation(&elsewhere), None);
}

#[test]
fn unusable_settings_are_refused() {
    for url in [
        "http://localhost",
        "localhost",
        "https://",
        "https://a.example/b",
        "https://a.example/?b",
        "https://a.example/#b",
        "https://a@a.example",
        "",
    ] {
        let outcome = DirectoryClient::builder(url).pin(pin()).build();
        assert!(matches!(outcome, Err(Error::Syntax(_))), "{url}");
    }
    let builder = || DirectoryClient::builder("https://a.example:8443/");
    assert!(builder().pin(pin()).build().is_ok());
    assert!(matches!(builder().ca_pem("").build(), Err(Error::Trust(_))));
    assert!(matches!(builder().ca_pem(secret(1).expose_pem().as_bytes()).build(), Err(Error::Trust(_))));
    let broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    assert!(matches!(builder().ca_pem(broken).build(), Err(Error::Trust(_))));
    assert!(matches!(builder().ca_file("/nowhere/ca.pem").build(), Err(Error::File(_))));
}

fn pin() -> Pin {
    format!("sha256:{}", "00".repeat(32)).parse().unwrap()
}
