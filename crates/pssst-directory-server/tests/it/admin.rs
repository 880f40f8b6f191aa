//! Operators: who is let in, and what they can do, over TLS on loopback.

use base64::Engine;
use pssst::{ClientCheck, ClientClaim, PublicKey, SecretKey, Suite, SysRng};
use pssst_directory::DirectoryClient;
use pssst_directory_server::{Directory, DirectoryEvent, Error, Operators};
use pssst_identity::jiff::Timestamp;
use pssst_identity::{AccessPolicy, Action, IdentityStore, NewIdentity, ServerReport, State, UnknownClients, Update};
use pssst_link::Link;
use pssst_net::pssst;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use pssst_test::until;

use crate::common::{Fixture, HOUR, PATIENCE, tls};

fn key() -> PublicKey {
    SecretKey::generate(&mut SysRng).unwrap().public_key()
}

impl Fixture {
    /// As alice.
    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.admin(path)).bearer_auth(&*self.operator_token)
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.ask(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        body(response).await
    }

    async fn post(&self, path: &str, order: Option<Value>) -> (u16, Value) {
        let request = self.ask(Method::POST, path);
        let request = match order {
            Some(order) => request.header("content-type", "application/json").body(order.to_string()),
            None => request,
        };
        let response = request.send().await.unwrap();
        (response.status().as_u16(), body(response).await)
    }

    async fn add(&self, name: &str) -> PublicKey {
        let client = NewIdentity::new(key(), name).unwrap().with_label("site", "berlin").unwrap();
        self.store.add(client).await.unwrap().key
    }

    async fn page(&self, path: &str) -> String {
        let response = self.ask(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.text().await.unwrap()
    }

    async fn send_form(&self, path: &str, form: &str) -> Response {
        let request = self.ask(Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
        request.body(form.to_owned()).send().await.unwrap()
    }

    /// As a browser sends a file, and the fields of a form.
    async fn send_file(&self, path: &str, text: &str, sure: bool) -> Response {
        let sure = if sure { "--x\r\ncontent-disposition: form-data; name=\"sure\"\r\n\r\nyes\r\n" } else { "" };
        let body = format!(
            "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n{text}\r\n\
             --x\r\ncontent-disposition: form-data; name=\"clients\"\r\n\r\n\r\n{sure}--x--\r\n"
        );
        let request = self.ask(Method::POST, path).header("content-type", "multipart/form-data; boundary=x");
        request.body(body).send().await.unwrap()
    }
}

/// `null` for none.
async fn body(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null)
}

#[tokio::test]
async fn only_good_credentials_are_let_in() {
    let fixture = Fixture::new().await;
    fixture.store.record(entry()).await.unwrap();
    let before = fixture.last_entry().await.number;
    let token = &*fixture.operator_token;
    let base64 = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    let (_, other) = Operators::new_credential("alice").unwrap();
    let paths = ["/", "/v1/clients", "/style.css", "/v1/keys", "/nowhere"];

    // Without any: not worth an entry, since every browser comes so at first.
    for path in paths {
        let response = fixture.http.get(fixture.admin(path)).send().await.unwrap();
        assert_eq!(response.status(), 401, "{path}");
        let challenge = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
        assert!(challenge.starts_with(if path.starts_with("/v1/") { "Bearer " } else { "Basic " }), "{challenge}");
    }
    assert_eq!(fixture.last_entry().await.number, before);

    let wrong = [
        format!("Bearer {}", *other),
        "Bearer ".to_owned(),
        format!("Bearer {token}x"),
        format!("Token {token}"),
        token.to_owned(),
        format!("Basic {}", base64(format!("alice:{}", *other))),
        format!("Basic {}", base64(format!("bob:{token}"))),
        format!("Basic {}", base64("alice:".to_owned())),
        format!("Basic {token}"),
        "Basic !".to_owned(),
    ];
    for credential in &wrong {
        let request = fixture.http.get(fixture.admin("/v1/clients")).header("authorization", credential);
        assert_eq!(request.send().await.unwrap().status(), 401, "{credential}");
    }
    // They are counted: strangers cannot fill the log.
    assert_eq!(fixture.last_entry().await.number, before);
    assert_eq!(fixture.directory.stats().count(DirectoryEvent::OperatorRefused), wrong.len() as u64);

    for credential in [format!("Bearer {token}"), format!("basic {}", base64(format!("alice:{token}")))] {
        for path in ["/", "/v1/clients"] {
            let request = fixture.http.get(fixture.admin(path)).header("authorization", &credential);
            assert_eq!(request.send().await.unwrap().status(), 200);
        }
    }
    // Two at once are none.
    let request = fixture.ask(Method::GET, "/").header("authorization", &wrong[0]);
    assert_eq!(request.send().await.unwrap().status(), 401);
}

fn entry() -> pssst_identity::NewAuditEntry {
    pssst_identity::NewAuditEntry { action: Action::Changed, client_key: None, detail: "the first".to_owned() }
}

#[tokio::test]
async fn who_guesses_too_often_is_only_counted_and_holds_up_nobody() {
    let fixture = Fixture::new().await;
    fixture.store.record(entry()).await.unwrap();
    let before = fixture.last_entry().await.number;
    let mut limited = 0;
    for _ in 0..100 {
        let response = fixture.http.get(fixture.admin("/")).bearer_auth("x").send().await.unwrap();
        limited += u64::from(response.status() == 429);
    }
    assert!(limited >= 10, "{limited}");
    assert_eq!(fixture.last_entry().await.number, before);
    assert_eq!(fixture.directory.stats().count(DirectoryEvent::OperatorRateLimited), limited);
    fixture.get("/v1/clients").await;
    fixture.directory.shutdown(PATIENCE).await;
    let entry = fixture.last_entry().await;
    assert_eq!((entry.number, entry.entry.action), (before + 1, Action::OperatorRefused));
    assert_eq!(entry.entry.detail, format!("{} requests; the last from 127.0.0.1", 100 - limited));
}

#[tokio::test]
async fn an_operator_who_is_struck_out_is_out() {
    let fixture = Fixture::new().await;
    let (line, token) = Operators::new_credential("bob").unwrap();
    std::fs::write(fixture.file("operators"), line).unwrap();
    let is_out = async || fixture.ask(Method::GET, "/").send().await.unwrap().status() != 200;
    until("the operator is out", is_out).await;
    let bob = fixture.http.get(fixture.admin("/")).bearer_auth(&*token).send().await.unwrap();
    assert_eq!(bob.status(), 200);
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key.
    fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["alice".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

#[tokio::test]
async fn certificates_of_the_authority_are_credentials() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let fixture = Fixture::with(|builder, folder| {
        std::fs::write(folder.path().join("ca.pem"), authority.0.pem()).unwrap();
        builder.client_ca(folder.path().join("ca.pem"))
    })
    .await;
    let client = fixture.add("boiler-7").await;
    let http = |(certificate, key): &(String, String)| {
        crate::common::http(tls(&fixture.file("certificate.pem"), Some((certificate, key))))
    };
    let good = authority.sign(|_| ());
    let response = http(&good).post(fixture.admin(&format!("/v1/clients/{client}/suspend"))).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let actor = fixture.last_entry().await.actor;
    assert!(actor.starts_with("cert:sha256:") && actor.len() == 12 + 64, "{actor}");
    // A wrong token is wrong, whatever else there is.
    let response = http(&good).get(fixture.admin("/")).bearer_auth("x").send().await.unwrap();
    assert_eq!(response.status(), 401);

    let past = rcgen::date_time_ymd(2020, 1, 1);
    for bad in [
        stranger.sign(|_| ()),
        authority.sign(|params| params.not_after = past),
        authority.sign(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
    ] {
        assert!(http(&bad).get(fixture.admin("/")).send().await.is_err());
    }
    // Another authority takes the place of this one: its certificates are worth nothing from then
    // on, not even on connections that are open.
    let open = http(&good);
    assert_eq!(open.get(fixture.admin("/")).send().await.unwrap().status(), 200);
    std::fs::write(fixture.file("ca.pem"), stranger.0.pem()).unwrap();
    until("it is out", async || open.get(fixture.admin("/")).send().await.unwrap().status() == 401).await;
    assert!(http(&good).get(fixture.admin("/")).send().await.is_err());
    assert_eq!(http(&stranger.sign(|_| ())).get(fixture.admin("/")).send().await.unwrap().status(), 200);
    // Other text is refused and changes nothing.
    std::fs::write(fixture.file("ca.pem"), "none").unwrap();
    let is_refused = async || fixture.directory.files().iter().any(|(_, status)| status.error.is_some());
    until("the file is refused", is_refused).await;
    assert_eq!(http(&stranger.sign(|_| ())).get(fixture.admin("/")).send().await.unwrap().status(), 200);
    // Tokens are as good as before, and devices are asked for nothing.
    fixture.get("/v1/clients").await;
    assert_eq!(fixture.http.get(fixture.public("/v1/keys")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn without_operators_a_certificate_is_the_only_way() {
    let authority = Authority::new();
    let fixture = Fixture::new().await;
    let builder = || {
        let certificate = pssst_directory_server::ServerCertificate::self_signed_in_files(
            &fixture.file("certificate.pem"),
            &fixture.file("certificate.key"),
            [],
        );
        Directory::builder(fixture.store.clone(), fixture.schedule.clone(), certificate.unwrap())
    };
    let any = "127.0.0.1:0".parse().unwrap();
    assert!(matches!(builder().bind(any, Some(any)).await, Err(Error::NoOperators)));
    std::fs::write(fixture.file("ca.pem"), authority.0.pem()).unwrap();
    let directory = builder().client_ca(fixture.file("ca.pem")).bind(any, Some(any)).await.unwrap().serve();
    let url = format!("https://{}/", directory.admin_addr().unwrap());
    assert!(fixture.http.get(&url).bearer_auth(&*fixture.operator_token).send().await.is_err());
    let (certificate, key) = authority.sign(|_| ());
    let http = crate::common::http(tls(&fixture.file("certificate.pem"), Some((&certificate, &key))));
    assert_eq!(http.get(&url).send().await.unwrap().status(), 200);
    for bad in [fixture.file("nowhere"), fixture.file("operators")] {
        assert!(builder().client_ca(bad).bind(any, Some(any)).await.is_err());
    }
    assert!(matches!(builder().bind(directory.public_addr(), None).await, Err(Error::Listen(..))));
}

#[tokio::test]
async fn forms_of_other_pages_are_refused() {
    let fixture = Fixture::new().await;
    let client = fixture.add("boiler-7").await;
    let paths = [
        "/clients/KEY/suspend",
        "/v1/clients/KEY/suspend",
        "/clients/KEY/edit",
        "/clients/add",
        "/clients/import",
        "/v1/clients/import",
        "/v1/clients",
        "/tokens",
        "/keys/rotate",
        "/sign-out",
    ];
    for path in paths.map(|path| path.replace("KEY", &client.to_string())) {
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let response = fixture.ask(Method::POST, &path).header(name, value).send().await.unwrap();
            assert_eq!(response.status(), 403, "{name}: {value}");
        }
    }
    assert_eq!(fixture.store.get(&client).await.unwrap().unwrap().state, State::Enrolled);
    let path = format!("/v1/clients/{client}");
    let request = fixture.ask(Method::PATCH, &path).header("origin", "https://evil.example").body("{}");
    assert_eq!(request.send().await.unwrap().status(), 403);
    assert_eq!(fixture.directory.stats().count(DirectoryEvent::CrossOriginRefused), 4 * paths.len() as u64 + 1);
    let origin = fixture.admin("");
    let request = fixture.ask(Method::POST, &format!("/clients/{client}/suspend")).header("origin", origin);
    assert_eq!(request.header("sec-fetch-site", "same-origin").send().await.unwrap().status(), 303);
}

#[tokio::test]
async fn every_answer_says_what_browsers_may_do() {
    let fixture = Fixture::new().await;
    for path in ["/", "/tokens", "/keys", "/audit", "/nowhere", "/v1/clients", "/v1/nowhere", "/style.css"] {
        for request in [fixture.ask(Method::GET, path), fixture.http.get(fixture.admin(path))] {
            let headers = request.send().await.unwrap().headers().clone();
            assert_eq!(
                headers["content-security-policy"],
                "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
            );
            assert_eq!(headers["x-content-type-options"], "nosniff");
            assert_eq!(headers["cache-control"], "no-store");
            assert_eq!(headers["referrer-policy"], "same-origin");
        }
    }
}

#[tokio::test]
async fn clients_are_listed_searched_and_paged() {
    let fixture = Fixture::new().await;
    let mut keys = Vec::new();
    for number in 0..25 {
        keys.push(fixture.add(&format!("boiler-{number:02}")).await);
    }
    fixture.post(&format!("/v1/clients/{}/suspend", keys[3]), None).await;

    let (mut path, mut names) = ("/v1/clients?limit=10".to_owned(), Vec::new());
    for pages in 1.. {
        let page = fixture.get(&path).await;
        names.extend(page["clients"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else {
            assert_eq!(pages, 3);
            break;
        };
        path = format!("/v1/clients?limit=10&after={next}");
    }
    assert_eq!(names, (0..25).map(|number| format!("boiler-{number:02}")).collect::<Vec<_>>());
    let count =
        async |query: &str| fixture.get(&format!("/v1/clients?{query}")).await["clients"].as_array().unwrap().len();
    assert_eq!(count("search=BOILER-07").await, 1);
    assert_eq!(count("search=site%3Dberlin").await, 25);
    assert_eq!(count(&format!("search={}", keys[5])).await, 1);
    assert_eq!(count("search=%25").await, 0);
    assert_eq!(count("state=suspended").await, 1);
    assert_eq!(count("state=revoked").await, 0);
    assert_eq!(fixture.ask(Method::GET, "/v1/clients?state=x").send().await.unwrap().status(), 400);
    assert_eq!(fixture.ask(Method::GET, "/v1/clients?limit=x").send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn clients_are_changed_by_those_who_are_named() {
    let fixture = Fixture::new().await;
    let client = fixture.add("boiler-7").await;
    let path = format!("/v1/clients/{client}");
    let shown = fixture.get(&path).await;
    assert_eq!(shown["key"], client.to_string());
    assert_eq!((&shown["name"], &shown["state"]), (&json!("boiler-7"), &json!("enrolled")));
    assert_eq!((&shown["labels"], &shown["expires"]), (&json!({ "site": "berlin" }), &json!(null)));
    for (action, state, logged) in [
        ("suspend", "suspended", Action::Suspended),
        ("resume", "enrolled", Action::Resumed),
        ("revoke", "revoked", Action::Revoked),
    ] {
        let (status, changed) = fixture.post(&format!("{path}/{action}"), None).await;
        assert_eq!((status, &changed["state"]), (200, &json!(state)));
        let entry = fixture.last_entry().await;
        assert_eq!((entry.entry.action, &entry.actor[..], entry.entry.client_key), (logged, "alice", Some(client)));
    }
    let (status, problem) = fixture.post(&format!("{path}/resume"), None).await;
    assert_eq!((status, &problem["error"]), (409, &json!("revoked")));
    assert_eq!(fixture.post(&format!("{path}/remove"), None).await.0, 204);
    assert_eq!(fixture.last_entry().await.entry.action, Action::Removed);
    assert_eq!(fixture.post(&format!("{path}/suspend"), None).await.0, 404);
    for path in [&path[..], "/v1/clients/x", "/v1/nowhere"] {
        assert_eq!(fixture.ask(Method::GET, path).send().await.unwrap().status(), 404, "{path}");
    }
    assert_eq!(fixture.post(&format!("{path}/explode"), None).await.0, 404);
    assert_eq!(fixture.ask(Method::GET, &format!("{path}/suspend")).send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn tokens_are_made_shown_and_withdrawn() {
    let fixture = Fixture::new().await;
    let order = json!({ "name": "boiler-7", "labels": { "site": "oslo" }, "valid_for": 3600 });
    let (status, made) = fixture.post("/v1/tokens", Some(order)).await;
    assert_eq!(status, 201);
    let (id, text) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let enrolled =
        fixture.client().enroll(&text.parse().unwrap(), &SecretKey::from_bytes([7; 32]), None).await.unwrap();
    assert_eq!((&enrolled.name[..], &enrolled.labels["site"][..]), ("boiler-7", "oslo"));
    let listed = fixture.get("/v1/tokens").await;
    assert_eq!(listed["tokens"][0]["id"], id);
    assert_eq!((&listed["tokens"][0]["state"], &listed["tokens"][0]["created_by"]), (&json!("used"), &json!("alice")));
    assert_eq!(listed["tokens"][0]["used_for"], enrolled.key.to_string());
    assert!(!listed.to_string().contains(&text[text.len() - 64..]));
    assert_eq!(fixture.get("/v1/tokens?open=true").await["tokens"], json!([]));

    let (_, made) = fixture.post("/v1/tokens", Some(json!({ "valid_for": 60 }))).await;
    let withdraw = format!("/v1/tokens/{}/withdraw", made["id"].as_str().unwrap());
    assert_eq!(fixture.post(&withdraw, None).await.0, 204);
    assert_eq!(fixture.last_entry().await.entry.action, Action::TokenWithdrawn);
    assert_eq!(fixture.post(&withdraw, None).await.0, 404);
    assert_eq!(fixture.post("/v1/tokens/x/withdraw", None).await.0, 404);
    for wrong in [
        json!({}),
        json!({ "valid_for": 0 }),
        json!({ "valid_for": u64::MAX }),
        json!({ "valid_for": 60, "name": "a b" }),
        json!({ "valid_for": 60, "labels": { "": "x" } }),
        json!({ "valid_for": 60, "admin": true }),
        json!("x"),
    ] {
        let (status, problem) = fixture.post("/v1/tokens", Some(wrong.clone())).await;
        assert!(status == 422 || status == 400, "{wrong}: {status} {problem}");
        assert!(problem["error"].is_string() && problem["message"].is_string(), "{problem}");
    }
}

#[tokio::test]
async fn keys_are_shown_and_rotated() {
    let fixture = Fixture::with(|builder, _| builder.rotation(HOUR, 2 * HOUR)).await;
    let shown = fixture.get("/v1/keys").await;
    assert_eq!(shown["keys"][0]["key"], format!("{:x}", fixture.secret.public_key()));
    assert_eq!((&shown["keys"][0]["state"], &shown["refresh_interval"]), (&json!("current"), &json!(3600)));
    let too_short = json!({ "activation_delay": 1, "grace_period": 1 });
    assert_eq!(fixture.post("/v1/keys/rotate", Some(too_short)).await.0, 422);
    let (status, rotated) = fixture.post("/v1/keys/rotate", None).await;
    assert_eq!(status, 201);
    let entry = fixture.last_entry().await;
    assert_eq!((entry.entry.action, &entry.actor[..]), (Action::RotationStarted, "alice"));
    let key: PublicKey = rotated["key"].as_str().unwrap().parse().unwrap();
    assert!(entry.entry.detail.contains(&key.to_string()), "{entry:?}");
    let shown = fixture.get("/v1/keys").await;
    assert_eq!((&shown["keys"][1]["key"], &shown["keys"][1]["state"]), (&rotated["key"], &json!("next")));
    assert_eq!(shown["next_change"], shown["keys"][1]["not_before"]);
    assert!(!shown.to_string().contains(&*fixture.secret.expose_hex()));
    let (status, problem) = fixture.post("/v1/keys/rotate", Some(json!({}))).await;
    assert_eq!((status, &problem["error"]), (409, &json!("rotation_under_way")));
}

#[tokio::test]
async fn the_audit_log_is_read_backwards() {
    let fixture = Fixture::new().await;
    for number in 0..25 {
        fixture.add(&format!("boiler-{number:02}")).await;
    }
    let (mut path, mut numbers) = ("/v1/audit?limit=10".to_owned(), Vec::new());
    loop {
        let page = fixture.get(&path).await;
        numbers.extend(page["entries"].as_array().unwrap().iter().map(|entry| entry["number"].as_u64().unwrap()));
        let Some(next) = page["next"].as_u64() else { break };
        path = format!("/v1/audit?limit=10&before={next}");
    }
    assert_eq!(numbers.len(), 25);
    assert!(numbers.is_sorted_by(|later, earlier| later > earlier), "{numbers:?}");
}

#[tokio::test]
async fn pages_show_whatever_names_as_text() {
    let fixture = Fixture::new().await;
    let hostile = "<script>alert(1)</script>";
    let client = NewIdentity::new(key(), hostile).unwrap().with_label("\"><img/src>", "'\"<b>").unwrap();
    let client = fixture.store.add(client).await.unwrap().key;
    let token = crate::common::grant(Some(hostile));
    fixture.store.create_token(token).await.unwrap();
    let server = ServerReport::new(hostile, hostile, Timestamp::now()).unwrap();
    fixture.store.record_server(&server).await.unwrap();
    let new = format!("{{\"key\":\"{}\",\"name\":\"{hostile}\"}}", key());
    for text in [new, format!("{{\"{hostile}\":1}}")] {
        let page = fixture.send_file("/clients/import", &text, false).await.text().await.unwrap();
        assert!(page.contains("&#60;script&#62;") && !page.contains("<script"), "{page}");
    }
    let search = "/clients?search=%22%3E%3Cscript%3E&label=%22%3E%3Cscript%3E&state=";
    let (show, revoke) = (format!("/clients/{client}"), format!("/clients/{client}/revoke"));
    let (edit, audit) =
        (format!("{show}/edit"), "/audit?actor=%22%3E%3Cscript%3E&client=%3Cscript%3Ealert(1)%3C/script%3E");
    for path in ["/", "/clients", search, &show, &revoke, &edit, "/tokens", audit, "/keys"] {
        let page = fixture.page(path).await;
        for mark in ["<script", "<img", "<b>"] {
            assert!(!page.contains(mark), "{path} {mark}");
        }
    }
    assert!(fixture.page("/clients").await.contains("&#60;script&#62;"));
}

#[tokio::test]
async fn pages_change_what_they_say() {
    let fixture = Fixture::new().await;
    let client = fixture.add("boiler-7").await;
    let path = format!("/clients/{client}");
    assert!(fixture.page("/clients").await.contains("boiler-7"));
    assert!(fixture.page(&format!("{path}/revoke")).await.contains("Revoke boiler-7?"));
    assert_eq!(fixture.store.get(&client).await.unwrap().unwrap().state, State::Enrolled);
    let response = fixture.send_form(&format!("{path}/revoke"), "").await;
    assert_eq!(response.status(), 303);
    assert_eq!(response.headers()["location"], format!("{path}?done=revoke"));
    assert!(fixture.page(&format!("{path}?done=revoke")).await.contains("The client is revoked."));
    assert_eq!(fixture.last_entry().await.actor, "alice");
    // Nothing that cannot be done is offered.
    let page = fixture.page(&path).await;
    assert!(!page.contains("/suspend") && !page.contains("/resume") && page.contains("/remove"));
    let response = fixture.ask(Method::GET, &format!("{path}/revoke")).send().await.unwrap();
    assert_eq!(response.status(), 409);

    let response =
        fixture.send_form("/tokens", "name=pump-1&labels=site%3Doslo&valid_for=3600&client_expires=2100-01-01").await;
    assert_eq!(response.status(), 200);
    let page = response.text().await.unwrap();
    let token = page.split("id=\"token\">").nth(1).unwrap().split('<').next().unwrap();
    let enrolled =
        fixture.client().enroll(&token.parse().unwrap(), &SecretKey::from_bytes([7; 32]), None).await.unwrap();
    assert_eq!(
        (&enrolled.name[..], enrolled.expires.unwrap().to_string()),
        ("pump-1", "2100-01-01T00:00:00Z".to_owned())
    );
    assert!(!fixture.page("/tokens?all=true").await.contains(&token[token.len() - 64..]));
    let response = fixture.send_form("/tokens", "name=a+b&labels=&valid_for=3600&client_expires=").await;
    assert_eq!(response.status(), 422);
    assert!(response.text().await.unwrap().contains("value=\"a b\""));
    assert_eq!(fixture.send_form("/tokens", "name=x").await.status(), 422);

    assert_eq!(fixture.send_form("/keys/rotate", "activation_delay=1&grace_period=1").await.status(), 422);
    assert_eq!(fixture.send_form("/keys/rotate", "activation_delay=soon&grace_period=10h").await.status(), 422);
    assert_eq!(fixture.send_form("/keys/rotate", "activation_delay=60min&grace_period=10+h").await.status(), 303);
    // The next one is not offered until it can start, and everyone reads when that is.
    let page = fixture.page("/keys").await;
    assert!(
        page.contains("badge next") && !page.contains("/keys/rotate") && page.contains("can start in 59 min"),
        "{page}"
    );
    let page = fixture.page("/keys/rotate").await;
    assert!(page.contains("can start in 59 min") && !page.contains("<form class=\"card\""), "{page}");
    let (status, problem) = fixture.post("/v1/keys/rotate", None).await;
    let next = fixture.get("/v1/overview").await["next_rotation"].as_str().unwrap().to_owned();
    assert!(status == 409 && problem["message"].as_str().unwrap().contains(&next), "{problem} {next}");
    for path in ["/clients/x", "/nowhere", "/tokens/x/withdraw"] {
        assert_eq!(fixture.ask(Method::GET, path).send().await.unwrap().status(), 404, "{path}");
    }
}

#[tokio::test]
async fn clients_are_listed_by_whether_they_must_use_their_pre_shared_key() {
    let fixture = Fixture::new().await;
    let (with, without) = (fixture.add("with-it").await, fixture.add("without-it").await);
    fixture.store.update(&with, Update::requires_psk(true)).await.unwrap();
    for (is_required, key, name, other) in
        [(true, with, "with-it", "without-it"), (false, without, "without-it", "with-it")]
    {
        let listed = fixture.get(&format!("/v1/clients?requires_psk={is_required}")).await;
        let clients = listed["clients"].as_array().unwrap();
        assert_eq!((clients.len(), &clients[0]["key"]), (1, &json!(key.to_string())));
        assert_eq!(fixture.get(&format!("/v1/clients/{key}")).await["requires_psk"], json!(is_required));

        let filter = if is_required { "required" } else { "not_required" };
        let page = fixture.page(&format!("/clients?psk={filter}")).await;
        assert!(page.contains(&format!(">{name}<")) && !page.contains(&format!(">{other}<")), "{page}");
        assert!(page.contains(&format!("<option value=\"{filter}\" selected>")), "{page}");
        let shown = if is_required { "required" } else { "not required" };
        let page = fixture.page(&format!("/clients/{key}")).await;
        assert!(page.contains(&format!("<dt>Pre-shared key</dt><dd>{shown}</dd>")), "{page}");
    }
    assert_eq!(fixture.get("/v1/clients").await["clients"].as_array().unwrap().len(), 2);
    assert_eq!(fixture.ask(Method::GET, "/clients?psk=often").send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_refused_key_is_shown_and_enrolled() {
    let fixture = Fixture::new().await;
    let (stranger, time) = (key(), Timestamp::from_second(1_800_000_000).unwrap());
    let policy = AccessPolicy::new(std::sync::Arc::default(), UnknownClients::Refuse);
    policy.check(&ClientClaim::new(&stranger, Suite::X25519Aes256GcmSiv, 0, false));
    let report = policy.refused().report(Timestamp::now(), |_| None);
    fixture.store.record_refused(&report.clients).await.unwrap();

    let listed = fixture.get("/v1/refused").await;
    assert_eq!(listed["clients"][0]["key"], stranger.to_string());
    assert_eq!((&listed["clients"][0]["cause"], &listed["clients"][0]["requests"]), (&json!("unknown"), &json!(1)));
    let page = fixture.page("/refused").await;
    let link = format!("/clients/add?key={stranger}");
    for page in [page, fixture.page("/").await] {
        assert!(page.contains(&link) && page.contains("Enrol this key"), "{page}");
        assert!(page.contains(&stranger.fingerprint().to_string()), "{page}");
    }
    let page = fixture.page(&link).await;
    assert!(page.contains(&format!("value=\"{stranger}\"")) && page.contains(&stranger.fingerprint().to_string()));
    let add = async |key: &PublicKey, name: &str| {
        fixture.send_form("/clients/add", &format!("key={key}&name={name}&labels=site%3Doslo&expires=")).await
    };

    // A wrong name is refused on the form, and a weak key is never enrolled.
    fixture.add("boiler-7").await;
    let response = add(&stranger, "boiler-7").await;
    assert_eq!(response.status(), 409);
    assert!(response.text().await.unwrap().contains("another client has the name"));
    assert_eq!(add(&stranger, "").await.status(), 422);
    assert_eq!(add(&PublicKey::from_bytes([0; 32]), "weak").await.status(), 422);
    assert_eq!(fixture.send_form("/clients/add", "key=x&name=boiler-8").await.status(), 422);

    let response = add(&stranger, "boiler-8").await;
    assert_eq!(response.status(), 303, "it leads to the client");
    let client = fixture.store.get(&stranger).await.unwrap().unwrap();
    assert_eq!((client.name.as_str(), client.state), ("boiler-8", State::Enrolled));
    assert_eq!(client.labels["site"], "oslo");
    assert_eq!(fixture.last_entry().await.actor, "alice");
    assert_eq!(fixture.get("/v1/refused").await["clients"], json!([]));

    // The API does it, too.
    let order =
        json!({ "key": key().to_string(), "name": "boiler-9", "labels": { "site": "berlin" }, "expires": time });
    let (status, added) = fixture.post("/v1/clients", Some(order.clone())).await;
    assert_eq!((status, &added["name"], &added["state"]), (201, &json!("boiler-9"), &json!("enrolled")));
    assert_eq!(fixture.post("/v1/clients", Some(order)).await.0, 409);
}

#[tokio::test]
async fn the_overview_is_the_state_of_the_pool() {
    let fixture = Fixture::new().await;
    let keys = [fixture.add("one").await, fixture.add("two").await, fixture.add("three").await];
    fixture.store.update(&keys[1], Update::state(State::Suspended)).await.unwrap();
    let expired = Update { expires: Some(Some(Timestamp::UNIX_EPOCH)), ..Update::default() };
    fixture.store.update(&keys[2], expired).await.unwrap();
    let now = Timestamp::now();
    let [alive, silent, stopped] =
        ["alive:1", "silent:1", "stopped:1"].map(|name| ServerReport::new(name, "1.2.3", now - 2 * HOUR).unwrap());
    for report in [alive.at(now), silent, stopped.at(now), stopped.stopping()] {
        fixture.store.record_server(&report).await.unwrap();
    }
    fixture.token(None).await;

    let shown = fixture.get("/v1/overview").await;
    let clients = json!({ "all": 3, "enrolled": 1, "expired": 1, "suspended": 1, "revoked": 0 });
    assert_eq!((&shown["clients"], &shown["open_tokens"]), (&clients, &json!(1)));
    let servers: Vec<_> =
        shown["servers"].as_array().unwrap().iter().map(|it| (&it["name"], &it["is_alive"])).collect();
    assert_eq!(servers, [(&json!("alive:1"), &json!(true)), (&json!("silent:1"), &json!(false))]);
    assert_eq!((&shown["keys"][0]["state"], &shown["next_rotation"]), (&json!("current"), &json!(null)));
    assert_eq!(shown["audit"][0]["action"], "token_created");

    let page = fixture.page("/").await;
    for text in [
        ">1 enrolled<",
        ">1 expired<",
        ">1 suspended<",
        "1 alive",
        "silent, last report 2 h ago",
        &fixture.secret.public_key().fingerprint().to_string(),
        "No client was refused.",
        "token created",
        "Start a rotation",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("stopped:1") && !page.contains("revoked<"), "{page}");
    fixture.post("/v1/keys/rotate", Some(json!({ "activation_delay": 2520, "grace_period": 86400 }))).await;
    let page = fixture.page("/").await;
    assert!(page.contains("in force in 41 min") && !page.contains("Start a rotation"), "{page}");
}

/// The text of the element with this id.
fn text_of<'a>(page: &'a str, id: &str) -> Option<&'a str> {
    page.split(&format!("id=\"{id}\">")).nth(1)?.split('<').next()
}

#[tokio::test]
async fn a_token_is_handed_over_as_a_command_a_link_and_a_code() {
    let fixture = Fixture::new().await;
    let form = "name=pump-1&labels=&valid_for=3600&client_expires=";
    let response = fixture.send_form("/tokens", form).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    let page = response.text().await.unwrap();
    let link = text_of(&page, "link").unwrap().replace("&#38;", "&");
    let command = text_of(&page, "command").unwrap().replace("&#38;", "&").replace("&#39;", "'");
    assert_eq!(command, format!("printf %s '{link}' | pssst enroll --identity pump-1.key"));
    assert!(page.contains("<svg class=\"qr\"") && !page.contains("style="), "{page}");
    let link: Link = link.parse().unwrap();
    assert_eq!(link.token.as_ref().map(|token| token.as_str()), text_of(&page, "token"));
    let client = DirectoryClient::from_link(&link).unwrap().build().unwrap();
    let token = link.token.unwrap().parse().unwrap();
    assert_eq!(client.enroll(&token, &SecretKey::from_bytes([7; 32]), None).await.unwrap().name, "pump-1");

    let (_, made) = fixture.post("/v1/tokens", Some(json!({ "valid_for": 60 }))).await;
    let link: Link = made["link"].as_str().unwrap().parse().unwrap();
    assert_eq!(json!(link.token.unwrap().as_str()), made["token"]);

    // A directory that does not know where clients find it has no link.
    let any = "127.0.0.1:0".parse().unwrap();
    let certificate = pssst_directory_server::ServerCertificate::self_signed_in_files(
        &fixture.file("certificate.pem"),
        &fixture.file("certificate.key"),
        [],
    );
    let operators = Operators::open(fixture.file("operators")).unwrap();
    let directory = Directory::builder(fixture.store.clone(), fixture.schedule.clone(), certificate.unwrap())
        .operators(operators)
        .bind(any, Some(any))
        .await
        .unwrap()
        .serve();
    let url = format!("https://{}", directory.admin_addr().unwrap());
    let request = fixture.http.post(format!("{url}/tokens")).bearer_auth(&*fixture.operator_token);
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    let page = request.send().await.unwrap().text().await.unwrap();
    assert!(page.contains("--public-address") && !page.contains("<svg") && text_of(&page, "token").is_some(), "{page}");
    let pin = directory.pin().to_string();
    assert!(text_of(&page, "command").unwrap().contains(&format!("--directory https://DIRECTORY:8443 --pin {pin}")));
}

#[tokio::test]
async fn what_is_said_of_a_client_is_edited() {
    let fixture = Fixture::new().await;
    let (client, other) = (fixture.add("boiler-7").await, fixture.add("boiler-8").await);
    let path = format!("/clients/{client}/edit");
    let changed = async || fixture.store.get(&client).await.unwrap().unwrap().changed.to_string();
    let send = async |fields: &str| {
        let changed = changed().await.replace(':', "%3A");
        fixture.send_form(&path, &format!("changed={changed}&{fields}")).await
    };
    assert!(fixture.page(&path).await.contains("site=berlin\n</textarea>"));
    let response = send("name=boiler-9&labels=site%3Doslo%0D%0Afloor%3D2&expires=2100-01-01T18%3A30").await;
    assert_eq!(response.status(), 303);
    let edited = fixture.store.get(&client).await.unwrap().unwrap();
    assert_eq!((edited.name.as_str(), edited.labels.len(), edited.labels["floor"].as_str()), ("boiler-9", 2, "2"));
    assert_eq!(edited.expires.unwrap().to_string(), "2100-01-01T18:30:00Z");
    let entry = fixture.last_entry().await;
    assert_eq!(
        (entry.actor.as_str(), entry.entry.action, entry.entry.client_key),
        ("alice", Action::Changed, Some(client))
    );
    let expected = "boiler-7 -> boiler-9; expires 2100-01-01T18:30:00Z; labels floor=2 site=oslo";
    assert_eq!(entry.entry.detail, expected);
    let page = fixture.page(&format!("/clients/{client}")).await;
    assert!(page.contains("floor=2") && page.contains("/clients?label=floor%3D2") && page.contains("2100-01-01 18:30"));
    assert!(page.contains("boiler-7 -&#62; boiler-9; expires"), "its history: {page}");

    // Sent as it came, it changes nothing.
    let same = send("name=boiler-9&labels=site%3Doslo%0D%0Afloor%3D2&expires=2100-01-01T18%3A30").await;
    assert_eq!((same.status().as_u16(), fixture.last_entry().await.number), (303, entry.number));
    for (fields, status, expected) in [
        ("name=boiler-8&labels=&expires=", 409, "another client has the name"),
        ("name=a+b&labels=x%3Dy&expires=", 422, "x=y</textarea>"),
        ("name=boiler-9&labels=nonsense&expires=", 422, "as name=value"),
        ("name=boiler-9&labels=&expires=soon", 422, "Write the time as"),
    ] {
        let response = send(fields).await;
        assert_eq!(response.status(), status, "{fields}");
        let page = response.text().await.unwrap();
        assert!(page.contains(expected), "{fields}: {page}");
    }
    // What another operator has changed since is not overwritten.
    let old = changed().await.replace(':', "%3A");
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    fixture.store.update(&client, Update::state(State::Suspended)).await.unwrap();
    let response = fixture.send_form(&path, &format!("changed={old}&name=mine&labels=&expires=")).await;
    assert_eq!(response.status(), 409);
    assert!(response.text().await.unwrap().contains("Another operator changed this client"));
    assert_eq!(fixture.store.get(&client).await.unwrap().unwrap().name, "boiler-9");

    let send_edit = async |path: String, edit: Value| {
        let request = fixture.ask(Method::PATCH, &path).header("content-type", "application/json");
        let response = request.body(edit.to_string()).send().await.unwrap();
        (response.status().as_u16(), body(response).await)
    };
    let path = format!("/v1/clients/{client}");
    let (status, edited) = send_edit(path.clone(), json!({ "labels": { "site": "lisbon" } })).await;
    assert_eq!((status, &edited["labels"]), (200, &json!({ "site": "lisbon" })));
    assert_eq!((&edited["name"], &edited["expires"]), (&json!("boiler-9"), &json!("2100-01-01T18:30:00Z")));
    let (status, problem) = send_edit(path.clone(), json!({ "name": "x", "changed": "2020-01-01T00:00:00Z" })).await;
    assert_eq!((status, &problem["error"]), (409, &json!("outdated")));
    let (_, edited) = send_edit(path.clone(), json!({ "expires": null, "changed": edited["changed"] })).await;
    assert_eq!(edited["expires"], json!(null));
    for (path, edit, status) in [
        (path.clone(), json!({ "state": "revoked" }), 422),
        (path.clone(), json!({ "name": "boiler-8" }), 409),
        (path, json!({ "labels": { "": "x" } }), 422),
        (format!("/v1/clients/{}", key()), json!({}), 404),
    ] {
        assert_eq!(send_edit(path, edit.clone()).await.0, status, "{edit}");
    }
    assert_eq!(fixture.store.get(&other).await.unwrap().unwrap().name, "boiler-8");
    let labelled = async |label: &str| {
        fixture.get(&format!("/v1/clients?label={label}")).await["clients"].as_array().unwrap().len()
    };
    assert_eq!((labelled("site%3Dlisbon").await, labelled("site%3Dlis").await), (1, 0));
    let page = fixture.page("/clients?label=site%3Dlisbon").await;
    assert!(
        page.contains("boiler-9") && !page.contains("boiler-8") && page.contains("label site=lisbon</span>"),
        "{page}"
    );
}

#[tokio::test]
async fn the_audit_log_is_filtered() {
    let fixture = Fixture::new().await;
    let client = fixture.add("boiler-7").await;
    fixture.add("boiler-8").await;
    fixture.post(&format!("/v1/clients/{client}/suspend"), None).await;
    let today = Timestamp::now().strftime("%Y-%m-%d").to_string();
    for (filter, expected) in [
        (String::new(), 3),
        ("actor=alice".to_owned(), 1),
        ("action=added".to_owned(), 2),
        ("client=boiler-7".to_owned(), 2),
        (format!("client={client}&action=added"), 1),
        (format!("client={}", key()), 0),
        (format!("since={today}&until={today}"), 3),
        ("since=2100-01-01".to_owned(), 0),
        ("until=2020-01-01T00:00:00Z".to_owned(), 0),
        ("actor=&action=&client=&since=&until=".to_owned(), 3),
    ] {
        let entries = fixture.get(&format!("/v1/audit?{filter}")).await["entries"].as_array().unwrap().len();
        assert_eq!(entries, expected, "{filter}");
        let page = fixture.page(&format!("/audit?{filter}")).await;
        assert_eq!(page.matches("<th role=\"rowheader\"").count(), expected, "{filter}");
    }
    for bad in ["action=nothing", "client=nobody", "since=soon", "until=31.12.2030"] {
        let response = fixture.ask(Method::GET, &format!("/v1/audit?{bad}")).send().await.unwrap();
        assert_eq!(response.status(), 422, "{bad}");
        let response = fixture.ask(Method::GET, &format!("/audit?{bad}")).send().await.unwrap();
        assert_eq!(response.status(), 422, "{bad}");
        assert!(response.text().await.unwrap().contains("role=\"alert\""), "{bad}");
    }
    // The filter stays on the way to older entries.
    for number in 0..60 {
        fixture.add(&format!("valve-{number}")).await;
    }
    let page = fixture.page("/audit?action=added").await;
    let older = page.split("rel=\"next\" href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
    assert!(older.starts_with("/audit?action=added&before="), "{older}");
    assert_eq!(fixture.page(&older).await.matches("<th role=\"rowheader\"").count(), 12);
}

#[tokio::test]
async fn clients_are_exported_and_imported() {
    let fixture = Fixture::new().await;
    let keys = [fixture.add("one").await, fixture.add("two").await];
    fixture.store.update(&keys[1], Update::requires_psk(true)).await.unwrap();
    fixture.store.update(&keys[1], Update::state(State::Suspended)).await.unwrap();
    let response = fixture.ask(Method::GET, "/clients/export").send().await.unwrap();
    assert_eq!(response.headers()["content-disposition"], "attachment; filename=\"clients.jsonl\"");
    let exported = response.text().await.unwrap();
    assert_eq!(exported.lines().count(), 2);
    let some = fixture.ask(Method::GET, "/clients/export?state=suspended").send().await.unwrap().text().await.unwrap();
    assert!(some.lines().count() == 1 && some.contains("\"two\""), "{some}");

    // Nothing but a question, until it is answered.
    fixture.store.remove(&keys[1]).await.unwrap();
    let before = fixture.last_entry().await.number;
    let page = fixture.send_file("/clients/import", &exported, false).await.text().await.unwrap();
    assert!(page.contains("Import 1 client?") && page.contains("1 is enrolled already"), "{page}");
    let (status, answer) = import(&fixture, "?dry_run=true", &exported).await;
    assert_eq!((status, &answer["added"], &answer["known"]), (200, &json!(1), &json!(1)));
    assert_eq!((fixture.last_entry().await.number, fixture.clients().await.len()), (before, 1));
    let response = fixture.send_file("/clients/import", &exported, true).await;
    assert_eq!(
        (response.status().as_u16(), response.headers()["location"].to_str().unwrap()),
        (303, "/clients?done=import")
    );
    let two = fixture.store.get(&keys[1]).await.unwrap().unwrap();
    assert_eq!((two.name.as_str(), two.state, two.requires_psk), ("two", State::Suspended, true));
    let entry = fixture.last_entry().await;
    assert_eq!(
        (entry.actor.as_str(), entry.entry.action, entry.entry.client_key),
        ("alice", Action::Added, Some(keys[1]))
    );

    // All faults, each by its line, and nothing is changed.
    let line = |key: &PublicKey, name: &str| format!("{{\"key\":\"{key}\",\"name\":\"{name}\"}}\n");
    let (new, weak) = (key(), PublicKey::from_bytes([0; 32]));
    let text = [
        line(&new, "three"),
        "nonsense\n".to_owned(),
        line(&keys[0], "other"),
        line(&key(), "one"),
        line(&new, "four"),
        line(&weak, "weak"),
        line(&key(), "a b"),
    ];
    let text = text.concat();
    let (status, answer) = import(&fixture, "", &text).await;
    let faults: Vec<_> = answer["faults"].as_array().unwrap().iter().map(|it| it["line"].as_u64().unwrap()).collect();
    assert_eq!((status, faults), (422, vec![2, 3, 4, 5, 6, 7]));
    for sure in [false, true] {
        let response = fixture.send_file("/clients/import", &text, sure).await;
        assert_eq!(response.status(), 422);
        let page = response.text().await.unwrap();
        assert!(page.contains("6 lines have faults") && page.contains("line 1 has the same key"), "{page}");
    }
    assert_eq!(fixture.clients().await.len(), 2);

    // Bounded in number and length. Other forms stay short.
    let many: String = (0..=2000).map(|_| "x\n").collect();
    assert_eq!(fixture.send_file("/clients/import", &many, true).await.status(), 422);
    let long = " ".repeat(1024 * 1024 + 1);
    assert_eq!(import(&fixture, "", &long).await.0, 413);
    assert_eq!(fixture.send_file("/clients/import", &long, true).await.status(), 422);
    assert_eq!(fixture.send_file("/clients/import", &long.repeat(2), true).await.status(), 413);
    assert_eq!(fixture.send_form("/tokens", &format!("name={}", "x".repeat(20_000))).await.status(), 413);
    assert_eq!(fixture.send_file("/clients/import", "", true).await.status(), 422);

    // As many as that are added at once.
    let many: String = (0..2000).map(|number| line(&key(), &format!("valve-{number:04}"))).collect();
    let (status, answer) = import(&fixture, "", &many).await;
    assert_eq!((status, &answer["added"]), (200, &json!(2000)));
    let exported = fixture.ask(Method::GET, "/clients/export").send().await.unwrap().text().await.unwrap();
    assert_eq!(exported.lines().count(), 2002, "more than are read at once");
    assert!(fixture.page("/clients").await.contains("50 of 2,002 clients"));
}

async fn import(fixture: &Fixture, options: &str, text: &str) -> (u16, Value) {
    let request = fixture.ask(Method::POST, &format!("/v1/clients/import{options}"));
    let response = request.header("content-type", "application/jsonl").body(text.to_owned()).send().await.unwrap();
    (response.status().as_u16(), body(response).await)
}

#[tokio::test]
async fn an_operator_signs_out_by_a_refusal() {
    let authority = Authority::new();
    let fixture = Fixture::with(|builder, folder| {
        std::fs::write(folder.path().join("ca.pem"), authority.0.pem()).unwrap();
        builder.client_ca(folder.path().join("ca.pem"))
    })
    .await;
    let response = fixture.send_form("/sign-out", "").await;
    assert_eq!(response.status(), 401);
    assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic "));
    assert!(response.text().await.unwrap().contains("Signed out"));
    assert_eq!(fixture.directory.stats().count(DirectoryEvent::OperatorRefused), 0, "it is not a failed login");
    assert_eq!(fixture.ask(Method::GET, "/sign-out").send().await.unwrap().status(), 405);
    // A certificate cannot be taken back, and the page does not claim so.
    let (certificate, key) = authority.sign(|_| ());
    let http = crate::common::http(tls(&fixture.file("certificate.pem"), Some((&certificate, &key))));
    let response = http.post(fixture.admin("/sign-out")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.text().await.unwrap().contains("Not signed out"));
}
