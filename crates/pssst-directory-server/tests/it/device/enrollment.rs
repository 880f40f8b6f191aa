//! The client's half of an enrolment, against a directory that answers as a test wants.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use pssst::{SecretKey, Server, Suite, SysRng};
use pssst_directory::{EnrollmentRequest, EnrollmentResponse, Error, Problem, Refusal};
use pssst_identity::{IdentityStore, MemoryStore, NewIdentity, Token};

use crate::device::server::{Answer, Seen, TestServer};
use crate::device::{document, secret};

type Forge = Box<dyn Fn(&Seen) -> Vec<u8> + Send + Sync>;

fn token() -> Token {
    "PSSST-TOKEN-1QYQSZQGPQYQSZHZUT3W9CHZUT3W9CHZUT3W9CHZUT3W9CHZUT3W9CHZUT3W9CHZUV35TZH".parse().unwrap()
}

/// Returns the directory's reply when it has enrolled that client.
async fn response(client: &SecretKey) -> EnrollmentResponse {
    let store = MemoryStore::new();
    let identity = NewIdentity::new(client.public_key(), "boiler-7").unwrap().with_label("site", "north").unwrap();
    EnrollmentResponse::new(store.add(identity).await.unwrap())
}

/// Opens enrolments with the server key of that seed.
fn opener(seed: u8) -> Server {
    Server::new(secret(seed)).with_suites([Suite::X25519Aes256GcmSivEnrollment].into_iter().collect())
}

/// The reply to a request, sealed with the server key of that seed.
fn seal(request: &Seen, seed: u8, answer: &[u8]) -> Vec<u8> {
    let mut packet = request.body.clone();
    let server = opener(seed);
    let request = server.open_request(&mut packet).unwrap();
    request.into_reply_sealer().seal_to_vec(&mut SysRng, answer).unwrap()
}

/// Gives its keys, and answers enrolments like this. The number of the enrolment request goes with
/// it, from 0.
async fn server(answer: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> TestServer {
    let count = AtomicUsize::new(0);
    TestServer::start(move |request| {
        if request.head.starts_with("POST /v1/enroll HTTP/1.1\r\n") {
            answer(request, count.fetch_add(1, Ordering::Relaxed))
        } else {
            Answer::ok(document(1).to_json())
        }
    })
    .await
}

fn posted(server: &TestServer) -> Vec<Vec<u8>> {
    let posts = server.seen().into_iter().filter(|seen| seen.head.starts_with("POST "));
    posts.map(|seen| seen.body).collect()
}

#[tokio::test]
async fn a_device_is_enrolled_by_a_proof_of_its_key() {
    let identity = SecretKey::generate(&mut SysRng).unwrap();
    let expected = response(&identity).await;
    let (key, text) = (identity.public_key(), expected.to_json());
    let server = server(move |request, _| {
        assert_eq!(request.header("content-type"), Some("application/octet-stream"));
        let mut packet = request.body.clone();
        let server = opener(1);
        let opened = server.open_request(&mut packet).unwrap();
        assert_eq!(opened.client_key(), Some(&key));
        assert_eq!(opened.suite().number(), 0xf0e1);
        let message = EnrollmentRequest::parse(opened.message()).unwrap();
        assert_eq!((message.token.expose(), message.name.as_deref()), (token().expose(), Some("boiler-7")));
        Answer::ok(seal(request, 1, &text))
    })
    .await;
    assert_eq!(server.client().enroll(&token(), &identity, Some("boiler-7")).await.unwrap(), expected);
    assert_eq!(posted(&server).len(), 1);
}

#[tokio::test]
async fn refusals_are_told_apart_and_not_repeated() {
    for refusal in [
        Refusal::UnknownToken,
        Refusal::TokenExpired,
        Refusal::TokenWithdrawn,
        Refusal::TokenUsed,
        Refusal::NameTaken,
        Refusal::KeyTaken,
        Refusal::NameMismatch,
        Refusal::InvalidName,
        Refusal::InvalidRequest,
        Refusal::RateLimited,
    ] {
        let problem = serde_json::to_string(&Problem::new(refusal, "no\u{1b}")).unwrap();
        let server = server(move |_, _| Answer::new(refusal.status(), "", &problem)).await;
        match server.client().enroll(&token(), &secret(9), None).await {
            Err(Error::Refused { refusal: cause, message }) => assert_eq!((cause, message.as_str()), (refusal, "no")),
            outcome => panic!("{refusal}: {outcome:?}"),
        }
        assert_eq!(posted(&server).len(), 1, "{refusal}");
    }
    let server = server(|_, _| Answer::new(404, "", "<html>")).await;
    assert!(matches!(server.client().enroll(&token(), &secret(9), None).await, Err(Error::Status(404))));
}

#[tokio::test]
async fn the_very_same_request_is_sent_again_when_no_answer_comes() {
    let text = response(&secret(9)).await.to_json();
    let server = server(move |request, number| match number {
        0 => Answer::none(),
        1 => Answer::new(503, "", "<html>"),
        _ => Answer::ok(seal(request, 1, &text)),
    })
    .await;
    server.client().enroll(&token(), &secret(9), None).await.unwrap();
    let posted = posted(&server);
    assert_eq!(posted.len(), 3);
    assert!(posted.iter().all(|body| *body == posted[0]));
}

#[tokio::test]
async fn a_directory_that_never_answers_is_given_up() {
    let server = server(|_, _| Answer::none()).await;
    let outcome = server.client().enroll(&token(), &secret(9), None).await;
    assert!(matches!(outcome, Err(Error::Connection(_))), "{outcome:?}");
    assert_eq!(posted(&server).len(), 4);
}

#[tokio::test]
async fn answers_that_are_not_the_pools_are_refused() {
    let good = response(&secret(9)).await.to_json();
    let other = response(&secret(8)).await.to_json();
    let forgeries: HashMap<&str, Forge> = HashMap::from([
        (
            "plain",
            Box::new({
                let good = good.clone();
                move |_: &Seen| good.to_vec()
            }) as Forge,
        ),
        ("empty", Box::new(|_: &Seen| Vec::new())),
        ("the request itself", Box::new(|request: &Seen| request.body.clone())),
        (
            "changed",
            Box::new(move |request: &Seen| {
                let mut reply = seal(request, 1, &good);
                *reply.last_mut().unwrap() ^= 1;
                reply
            }),
        ),
        ("for another key", Box::new(move |request: &Seen| seal(request, 1, &other))),
        ("sealed garbage", Box::new(|request: &Seen| seal(request, 1, b"[]"))),
        ("long", Box::new(|_: &Seen| vec![0x80; 1 << 20])),
    ]);
    for (name, forge) in forgeries {
        let server = server(move |request, _| Answer::ok(forge(request))).await;
        let outcome = server.client().enroll(&token(), &secret(9), None).await;
        assert!(
            matches!(outcome, Err(Error::Protocol(_) | Error::Syntax(_) | Error::TooLong { .. })),
            "{name}: {outcome:?}"
        );
        assert_eq!(posted(&server).len(), 1, "{name}");
    }
}
