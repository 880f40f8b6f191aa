//! A directory that gives up post-quantum keys, and clients that do not follow it there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use pssst::{Suite, XWingSecretKey};
use pssst_directory::{Clock, DirectoryClient, Error, KeySet};
use pssst_directory_server::{NewSecrets, OptionalKind, Schedule};

use crate::device::server::{Answer, TestServer};
use crate::device::{HOUR, of_generation, secret};

const LONG: Suite = Suite::XWingAes256GcmSiv;
const SHORT: Suite = Suite::X25519Aes256GcmSiv;

/// A directory, and a clock that a test sets.
struct Scene {
    start: Timestamp,
    minutes: Arc<AtomicU64>,
    document: Arc<Mutex<KeySet>>,
    server: TestServer,
}

impl Scene {
    async fn new(document: KeySet) -> Self {
        let start = document.issued;
        let document = Arc::new(Mutex::new(document));
        let shown = Arc::clone(&document);
        let server = TestServer::start(move |_| Answer::ok(shown.lock().unwrap().to_json())).await;
        Self { start, minutes: Arc::default(), document, server }
    }

    fn client(&self, allows_downgrade: bool) -> DirectoryClient {
        let (start, minutes) = (self.start, Arc::clone(&self.minutes));
        let clock = Clock::from_fn(move || start + Duration::from_mins(minutes.load(Ordering::Relaxed)));
        let builder = self.server.builder().clock(clock);
        if allows_downgrade { builder.allow_downgrade() } else { builder }.build().unwrap()
    }

    fn serve(&self, document: KeySet) {
        *self.document.lock().unwrap() = document;
    }
}

/// With keys for both suites; those of the longer one may be retired within an hour.
fn schedule(start: Timestamp, is_retired: bool) -> Schedule {
    let mut schedule = Schedule::new(secret(1), start - 3 * HOUR);
    let new = NewSecrets { xwing_key: Some(XWingSecretKey::from_bytes([9; 32])), ..NewSecrets::default() };
    schedule.rotate(new, start - 3 * HOUR, Duration::ZERO, 2 * HOUR).unwrap();
    if is_retired {
        schedule.retire(OptionalKind::XWingKeys, start, HOUR).unwrap();
    }
    schedule
}

#[tokio::test]
async fn a_key_that_ends_takes_no_client_to_another_suite() {
    let start = Timestamp::now();
    let document = schedule(start, true).document(start, 2 * HOUR, &[LONG, SHORT]).unwrap();
    let scene = Scene::new(document).await;
    let (strict, lenient) = (scene.client(false), scene.client(true));
    for client in [&strict, &lenient] {
        client.fetch().await.unwrap();
        assert_eq!(client.current_key().unwrap().suite, LONG);
    }
    scene.minutes.store(61, Ordering::Relaxed);
    assert!(matches!(strict.current_key(), Err(Error::Downgrade)));
    assert_eq!(lenient.current_key().unwrap().suite, SHORT);

    // A client that never took the suite loses nothing.
    let short = scene.server.builder().suites([SHORT]).build().unwrap();
    short.fetch().await.unwrap();
    assert_eq!(short.current_key().unwrap().suite, SHORT);
}

#[tokio::test]
async fn a_document_takes_no_client_to_another_suite() {
    let start = Timestamp::now();
    let of = |is_retired, suites: &[Suite]| schedule(start, is_retired).document(start, HOUR, suites).unwrap();
    let first = of(false, &[LONG, SHORT]);
    let only_short = Schedule::new(secret(1), start - 3 * HOUR).document(start, HOUR, &[SHORT]).unwrap();
    for (place, worse) in [only_short, of(false, &[SHORT, LONG]), of(false, &[SHORT])].into_iter().enumerate() {
        let scene = Scene::new(first.clone()).await;
        let (strict, lenient) = (scene.client(false), scene.client(true));
        strict.fetch().await.unwrap();
        lenient.fetch().await.unwrap();
        scene.serve(of_generation(first.generation + 1, worse));
        assert!(matches!(strict.fetch().await, Err(Error::Downgrade)), "{place}");
        assert_eq!(strict.current_key().unwrap().suite, LONG, "{place}");
        lenient.fetch().await.unwrap();
        assert_eq!(lenient.current_key().unwrap().suite, SHORT, "{place}");
    }
}
