//! Devices and the directory, over TLS on loopback.

use std::time::Duration;

use pssst::{Client, PublicKey, SecretKey, Suite, SysRng, key_text};
use pssst_directory::{EnrollmentRequest, EnrollmentResponse, Error, KeySet, PURPOSE, Problem, Refusal, jiff};
use pssst_directory_server::{DirectoryEvent, Rotated};
use pssst_identity::{Action, IdentityStore, State, Token, TokenGrant, Update};
use pssst_net::{RateLimit, pssst};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::json;

use pssst_test::until;

use crate::common::{Fixture, HOUR, PATIENCE, grant};
use crate::forged;

const SUITE: Suite = Suite::X25519Aes256GcmSivEnrollment;

fn device() -> SecretKey {
    SecretKey::generate(&mut SysRng).unwrap()
}

/// Returns the message of an honest device.
fn message(token: &Token, name: Option<&str>) -> Vec<u8> {
    EnrollmentRequest { token: token.clone(), name: name.map(str::to_owned) }.to_json().to_vec()
}

/// Sealed as an honest device does.
fn seal(server: PublicKey, device: &SecretKey, message: &[u8]) -> (Vec<u8>, pssst::PendingReply) {
    let client = Client::new(server).unwrap().with_suite(SUITE).unwrap().with_identity(device).unwrap();
    client.seal_request_to_vec(&mut SysRng, message).unwrap()
}

impl Fixture {
    async fn send_enrollment(&self, body: impl Into<Vec<u8>>) -> reqwest::Response {
        self.http.post(self.public("/v1/enroll")).body(body.into()).send().await.unwrap()
    }

    /// Posts it, and makes sure that it is refused for this cause, that nothing is stored, and that
    /// the audit log says so if the token is known. Without one, all refusals are alike, and
    /// counted.
    async fn refuses(&self, body: impl Into<Vec<u8>>, refusal: Refusal, token: Option<&Token>) {
        let before = self.clients().await;
        let tokens_before = self.store.tokens(false, 1000).await.unwrap();
        let number = self.last_entry().await.number;
        let refused = self.directory.stats().refused(refusal);
        let response = self.send_enrollment(body).await;
        let status = response.status().as_u16();
        let problem = Problem::parse(&response.bytes().await.unwrap()).unwrap();
        let is_stray = matches!(refusal, Refusal::InvalidRequest | Refusal::UnknownToken);
        let shown = if is_stray { Refusal::InvalidRequest } else { refusal };
        assert_eq!(problem.error, shown, "{}", problem.message);
        assert!(status == shown.status() || status == 413, "{status}");

        assert_eq!(self.clients().await, before);
        assert_eq!(self.store.tokens(false, 1000).await.unwrap(), tokens_before);
        assert_eq!(self.directory.stats().refused(refusal), refused + 1);
        let entry = self.last_entry().await;
        if is_stray {
            const ALIKE: &str = "the request is not an enrolment with a valid token, sealed for this pool";
            assert_eq!((&*problem.message, entry.number), (ALIKE, number));
            return;
        }
        assert!(entry.number > number);
        assert_eq!((entry.entry.action, &entry.actor[..]), (Action::EnrollmentRefused, "device"));
        assert!(entry.entry.detail.starts_with(refusal.name()), "{}", entry.entry.detail);
        assert!(entry.entry.detail.contains("127.0.0.1"), "{}", entry.entry.detail);
        if let Some(token) = token {
            let secret = token.expose();
            let secret = secret.rsplit('-').next().unwrap();
            assert!(!format!("{:?}{}", entry, problem.message).contains(secret));
        }
    }
}

#[tokio::test]
async fn a_device_enrols_and_may_ask_again() {
    let fixture = Fixture::new().await;
    let (token, device) = (fixture.token(None).await, device());
    let enrolled = fixture.client().enroll(&token, &device, Some("boiler-7")).await.unwrap();
    assert_eq!((enrolled.key, &enrolled.name[..]), (device.public_key(), "boiler-7"));
    assert_eq!(enrolled.labels["site"], "berlin");
    let identity = fixture.store.get(&device.public_key()).await.unwrap().unwrap();
    assert_eq!((identity.state, &identity.name[..]), (State::Enrolled, "boiler-7"));
    assert_eq!(fixture.token_info(&token).await.used.unwrap().1, device.public_key());
    let entry = fixture.last_entry().await;
    assert_eq!((entry.entry.action, entry.entry.client_key), (Action::Enrolled, Some(device.public_key())));
    assert_eq!(entry.actor, "device");

    // The answer was lost, say.
    assert_eq!(fixture.client().enroll(&token, &device, Some("boiler-7")).await.unwrap(), enrolled);
    assert_eq!(fixture.clients().await, [identity]);
    assert_eq!(fixture.last_entry().await, entry);
    assert_eq!(fixture.directory.stats().count(DirectoryEvent::Enrolled), 2);
}

#[tokio::test]
async fn tokens_that_are_not_good_are_refused() {
    let fixture = Fixture::new().await;
    let server = fixture.secret.public_key();
    let (first, other) = (device(), device());

    let used = fixture.token(None).await;
    fixture.client().enroll(&used, &first, Some("boiler-7")).await.unwrap();
    let (body, _) = seal(server, &other, &message(&used, Some("boiler-8")));
    fixture.refuses(body, Refusal::TokenUsed, Some(&used)).await;

    let expired = TokenGrant { expires: jiff::Timestamp::now() - Duration::from_millis(1), ..grant(None) };
    let expired = fixture.store.create_token(expired).await.unwrap();
    let (body, _) = seal(server, &other, &message(&expired, Some("boiler-8")));
    fixture.refuses(body, Refusal::TokenExpired, Some(&expired)).await;

    let withdrawn = fixture.token(None).await;
    assert!(fixture.store.withdraw_token(withdrawn.id()).await.unwrap());
    let (body, _) = seal(server, &other, &message(&withdrawn, Some("boiler-8")));
    fixture.refuses(body, Refusal::TokenWithdrawn, Some(&withdrawn)).await;

    let unused = fixture.token(None).await;
    let mut known = [0; 40];
    key_text::decode(&unused.expose(), "pssst-token-", &mut known).unwrap();
    for (id, secret) in [(&known[..8], [0; 32]), (&[0x11; 8], [0x22; 32])] {
        let bytes = [id, &secret].concat();
        let wrong: Token = key_text::encode_secret("pssst-token-", &bytes).parse().unwrap();
        let (body, _) = seal(server, &other, &message(&wrong, Some("boiler-8")));
        fixture.refuses(body, Refusal::UnknownToken, Some(&wrong)).await;
    }
    assert_eq!(fixture.token_info(&unused).await.used, None);
}

#[tokio::test]
async fn names_and_keys_that_do_not_fit_are_refused() {
    let fixture = Fixture::new().await;
    let server = fixture.secret.public_key();
    let first = device();
    fixture.client().enroll(&fixture.token(None).await, &first, Some("boiler-7")).await.unwrap();

    let token = fixture.token(None).await;
    let second = device();
    for (device, name, refusal) in [
        (&second, Some("boiler-7"), Refusal::NameTaken),
        (&first, Some("boiler-8"), Refusal::KeyTaken),
        (&second, Some("boiler 8"), Refusal::InvalidName),
        (&second, Some(""), Refusal::InvalidName),
        (&second, None, Refusal::NameMismatch),
    ] {
        let (body, _) = seal(server, device, &message(&token, name));
        fixture.refuses(body, refusal, Some(&token)).await;
    }
    let named = fixture.token(Some("boiler-9")).await;
    let (body, _) = seal(server, &second, &message(&named, Some("boiler-8")));
    fixture.refuses(body, Refusal::NameMismatch, Some(&named)).await;
    let enrolled = fixture.client().enroll(&named, &second, None).await.unwrap();
    assert_eq!(enrolled.name, "boiler-9");
}

#[tokio::test]
async fn proofs_that_prove_nothing_are_refused() {
    let fixture = Fixture::new().await;
    let server = fixture.secret.public_key();
    let (token, device) = (fixture.token(None).await, device());
    let message = message(&token, Some("boiler-7"));

    // For a key of another pool.
    let (body, _) = seal(SecretKey::generate(&mut SysRng).unwrap().public_key(), &device, &message);
    fixture.refuses(body, Refusal::InvalidRequest, Some(&token)).await;
    // Without any proof.
    let client = Client::new(server).unwrap().with_suite(SUITE).unwrap();
    let (body, _) = client.seal_request_to_vec(&mut SysRng, &message).unwrap();
    fixture.refuses(body, Refusal::InvalidRequest, Some(&token)).await;
    // Of suites that datagrams have.
    for suite in [Suite::X25519AesGcm128, Suite::X25519Aes256GcmSiv] {
        let client = Client::new(server).unwrap().with_suite(suite).unwrap().with_identity(&device).unwrap();
        let (body, _) = client.seal_request_to_vec(&mut SysRng, &message).unwrap();
        fixture.refuses(body, Refusal::InvalidRequest, Some(&token)).await;
    }
    // Of someone else's key.
    let mine = forged::seal_as(&fixture.secret, *device.public_key().as_bytes(), &message);
    let another = *SecretKey::generate(&mut SysRng).unwrap().public_key().as_bytes();
    let body = forged::seal_claim(&fixture.secret, another, [1; 32], &message);
    fixture.refuses(body, Refusal::InvalidRequest, Some(&token)).await;
    // Of another form of one's own key, of keys of low order, and of one that is not canonical.
    let mut top_bit_set = *device.public_key().as_bytes();
    top_bit_set[31] |= 0x80;
    let mut one = [0; 32];
    one[0] = 1;
    for key in [forged::alias_of(&device.public_key()), top_bit_set, [0; 32], one] {
        let body = forged::seal_as(&fixture.secret, key, &message);
        fixture.refuses(body, Refusal::InvalidRequest, Some(&token)).await;
    }
    // A request made by hand with one's own key is good: so the key was the cause each time.
    assert_eq!(fixture.send_enrollment(mine).await.status(), 200);
}

#[tokio::test]
async fn a_replayed_proof_enrols_nobody() {
    let fixture = Fixture::new().await;
    let (token, device) = (fixture.token(None).await, device());
    let (body, pending) = seal(fixture.secret.public_key(), &device, &message(&token, Some("boiler-7")));
    for _ in 0..2 {
        let response = fixture.send_enrollment(body.clone()).await;
        assert_eq!(response.status(), 200);
        let reply = pending.open_to_vec(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(EnrollmentResponse::parse(&reply).unwrap().key, device.public_key());
    }
    let key = device.public_key();
    for state in [State::Suspended, State::Revoked] {
        fixture.store.update(&key, Update::state(state)).await.unwrap();
        fixture.refuses(body.clone(), Refusal::TokenUsed, Some(&token)).await;
    }
    fixture.store.remove(&key).await.unwrap();
    fixture.refuses(body, Refusal::TokenUsed, Some(&token)).await;
}

#[tokio::test]
async fn whatever_is_no_enrolment_is_refused() {
    let fixture = Fixture::new().await;
    let server = fixture.secret.public_key();
    let (token, device) = (fixture.token(None).await, device());
    let text = token.expose();
    let sealed = |message: &[u8]| seal(server, &device, message).0;

    for message in [
        // A request for something else, which a device sends to a server of the pool.
        b"23.5 C".to_vec(),
        json!({ "purpose": "pssst-enroll-v2", "token": *text, "name": "boiler-7" }).to_string().into_bytes(),
        json!({ "token": *text, "name": "boiler-7" }).to_string().into_bytes(),
        json!({ "purpose": PURPOSE, "token": "x", "name": "boiler-7" }).to_string().into_bytes(),
        json!({ "purpose": PURPOSE, "token": *text, "name": 7 }).to_string().into_bytes(),
        json!({ "purpose": PURPOSE, "token": *text, "name": "x".repeat(3000) }).to_string().into_bytes(),
        b"[".repeat(2000),
        Vec::new(),
    ] {
        fixture.refuses(sealed(&message), Refusal::InvalidRequest, Some(&token)).await;
    }
    let good = sealed(&message(&token, Some("boiler-7")));
    for body in [Vec::new(), good[..51].to_vec(), good[..good.len() - 1].to_vec(), vec![0; 8 * 1024]] {
        fixture.refuses(body, Refusal::InvalidRequest, None).await;
    }
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for turn in 0..100 {
        let mut body = good.clone();
        if turn % 2 == 0 {
            let place = rng.random_range(0..body.len());
            body[place] ^= 1 << rng.random_range(0..8);
        } else {
            body.resize(rng.random_range(0..600), 0);
            rng.fill_bytes(&mut body);
        }
        fixture.refuses(body, Refusal::InvalidRequest, Some(&token)).await;
    }
    fixture.refuses(vec![0x55; 8 * 1024 + 1], Refusal::InvalidRequest, None).await;
    // It is not read to its end, so the connection may break before the answer is read.
    let refused = fixture.directory.stats().refused(Refusal::InvalidRequest);
    match fixture.http.post(fixture.public("/v1/enroll")).body(vec![0x55; 10_000_000]).send().await {
        Ok(response) => assert_eq!(response.status(), 413),
        Err(error) => assert!(error.is_request() || error.is_body(), "{error:?}"),
    }
    assert_eq!(fixture.directory.stats().refused(Refusal::InvalidRequest), refused + 1);
    assert!(fixture.clients().await.is_empty());
    // Nothing of that has used it up.
    assert_eq!(fixture.send_enrollment(good).await.status(), 200);
}

#[tokio::test]
async fn other_paths_and_methods_are_none() {
    let fixture = Fixture::new().await;
    for path in ["/", "/v1/clients", "/v1/tokens", "/style.css", "/v1/keys/rotate"] {
        assert_eq!(fixture.http.get(fixture.public(path)).send().await.unwrap().status(), 404, "{path}");
    }
    assert_eq!(fixture.http.get(fixture.public("/v1/enroll")).send().await.unwrap().status(), 405);
    assert_eq!(fixture.http.post(fixture.public("/v1/keys")).send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn who_sends_too_much_is_only_counted() {
    let limit = RateLimit::new(1).with_burst(3);
    let fixture = Fixture::with(|builder, _| builder.enrollment_limits(limit, limit)).await;
    fixture.token(None).await;
    let number = fixture.last_entry().await.number;
    let mut limited = 0;
    for _ in 0..50 {
        let response = fixture.send_enrollment("junk").await;
        if response.status() == 429 {
            limited += 1;
            assert!(response.headers().contains_key("retry-after"));
            assert_eq!(Problem::parse(&response.bytes().await.unwrap()).unwrap().error, Refusal::RateLimited);
        }
    }
    assert!(limited >= 10, "{limited}");
    assert_eq!(fixture.directory.stats().refused(Refusal::RateLimited), limited);
    // A row for all of them, within a minute or when the directory ends.
    assert_eq!(fixture.last_entry().await.number, number);
    // Keys are for everyone all the same.
    assert_eq!(fixture.http.get(fixture.public("/v1/keys")).send().await.unwrap().status(), 200);
    fixture.directory.shutdown(PATIENCE).await;
    let entry = fixture.last_entry().await;
    assert_eq!((entry.number, entry.entry.action), (number + 1, Action::EnrollmentRefused));
    let expected = format!("{} requests without a known token; the last from 127.0.0.1", 50 - limited);
    assert_eq!((entry.entry.detail, entry.entry.client_key), (expected, None));
}

#[tokio::test]
async fn keys_are_published_for_caches() {
    let fixture = Fixture::with(|builder, _| builder.refresh_interval(HOUR / 2)).await;
    let mut etags = Vec::new();
    for path in ["/v1/keys", "/.well-known/pssst/keys"] {
        let response = fixture.http.get(fixture.public(path)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let headers = response.headers().clone();
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let max_age = headers["cache-control"].to_str().unwrap().strip_prefix("public, max-age=").unwrap();
        assert!((1500..=1800).contains(&max_age.parse::<u64>().unwrap()), "{max_age}");
        let document = KeySet::parse(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(document.current_key(document.issued).unwrap(), fixture.secret.public_key());
        assert_eq!(document.refresh_at.duration_since(document.issued).as_secs(), 1800);
        assert_eq!(document.suites, [Suite::X25519Aes256GcmSiv, Suite::X25519AesGcm128]);
        etags.push(headers["etag"].clone());
    }
    let get = |etag| fixture.http.get(fixture.public("/v1/keys")).header("if-none-match", etag).send();
    // A rotation, or the next sixteenth of the interval, changes it.
    if etags[0] == etags[1] {
        let response = get(etags[0].to_str().unwrap().to_owned()).await.unwrap();
        if response.status() == 304 {
            assert_eq!(response.headers()["etag"], etags[0]);
            assert!(response.headers().contains_key("cache-control"));
            assert!(response.bytes().await.unwrap().is_empty());
            assert_eq!(fixture.directory.stats().count(DirectoryEvent::KeysUnchanged), 1);
        }
    }
    fixture.schedule.rotate(Rotated::All, HOUR, HOUR).unwrap();
    let response = get(etags[1].to_str().unwrap().to_owned()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(KeySet::parse(&response.bytes().await.unwrap()).unwrap().keys.len(), 2);
}

/// With the next key before it is current, with the one before as long as it is accepted: once the
/// directory has seen the file.
#[tokio::test]
async fn devices_enrol_across_a_rotation() {
    let fixture = Fixture::new().await;
    let next = fixture.schedule.rotate(Rotated::All, HOUR, HOUR).unwrap().keys[0].x25519_part();
    for (server, name) in [(fixture.secret.public_key(), "boiler-1"), (next, "boiler-2")] {
        let (token, device) = (fixture.token(None).await, device());
        let body = seal(server, &device, &message(&token, Some(name))).0;
        // It looks each second.
        until("the device is enrolled", async || fixture.send_enrollment(body.clone()).await.status() == 200).await;
    }
    assert_eq!(fixture.clients().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_devices_enrol_at_once() {
    const DEVICES: usize = 1000;
    // Two sockets for each, here and there.
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(16_384).max(soft), hard).unwrap();
    }
    let fixture = Fixture::new().await;
    let server = fixture.secret.public_key();
    let mut bodies = Vec::new();
    for number in 0..DEVICES {
        let device = device();
        let (body, pending) =
            seal(server, &device, &message(&fixture.token(None).await, Some(&format!("n{number:04}"))));
        bodies.push((device.public_key(), body, pending));
    }
    let start = std::sync::Arc::new(tokio::sync::Barrier::new(DEVICES));
    let tasks: Vec<_> = bodies
        .into_iter()
        .map(|(key, body, pending)| {
            let (request, start) = (fixture.http.post(fixture.public("/v1/enroll")).body(body), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                let send = async || request.try_clone().unwrap().send().await.unwrap();
                let mut response = send().await;
                // On a busy machine the database may not get to all of them in time: devices retry.
                while response.status() == 503 {
                    response = send().await;
                }
                assert_eq!(response.status(), 200);
                let reply = pending.open_to_vec(&response.bytes().await.unwrap()).unwrap();
                assert_eq!(EnrollmentResponse::parse(&reply).unwrap().key, key);
                key
            })
        })
        .collect();
    let mut keys = Vec::new();
    for task in tasks {
        keys.push(tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap());
    }
    let mut stored: Vec<_> = fixture.clients().await.iter().map(|client| client.key).collect();
    keys.sort();
    stored.sort();
    assert_eq!(keys, stored);
    assert!(fixture.store.tokens(true, 1000).await.unwrap().is_empty());
    let log = fixture.store.audit_log(None, 3 * DEVICES).await.unwrap();
    assert_eq!(log.iter().filter(|entry| entry.entry.action == Action::Enrolled).count(), DEVICES);
    let stats = fixture.directory.shutdown(PATIENCE).await;
    assert_eq!(stats.count(DirectoryEvent::Enrolled), DEVICES as u64);
}

#[tokio::test]
async fn a_client_that_trusts_another_certificate_is_told_so() {
    let (fixture, other) = (Fixture::new().await, Fixture::new().await);
    let client = pssst_directory::DirectoryClient::builder(fixture.public("")).pin(other.directory.pin());
    assert!(matches!(client.build().unwrap().fetch().await, Err(Error::Connection(_))));
}
