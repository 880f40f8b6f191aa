//! Operators: who is let in, and what they can do, over TLS on loopback.

use base64::Engine;
use pssst::{ClientCheck, ClientClaim, PublicKey, SecretKey, Suite, SysRng};
use pssst_directory_server::{Directory, DirectoryEvent, Error, Operators};
use pssst_identity::jiff::Timestamp;
use pssst_identity::{AccessPolicy, Action, IdentityStore, NewIdentity, State, UnknownClients, Update};
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

    async fn send_form(&self, path: &str, form: &'static str) -> Response {
        let request = self.ask(Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
        request.body(form).send().await.unwrap()
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
    for path in [format!("/clients/{client}/suspend"), format!("/v1/clients/{client}/suspend")] {
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
    assert_eq!(fixture.directory.stats().count(DirectoryEvent::CrossOriginRefused), 8);
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
    let search = "/?search=%22%3E%3Cscript%3E&state=";
    let (show, revoke) = (format!("/clients/{client}"), format!("/clients/{client}/revoke"));
    for path in ["/", search, &show, &revoke, "/tokens", "/audit", "/keys"] {
        let page = fixture.page(path).await;
        for mark in ["<script", "<img", "<b>"] {
            assert!(!page.contains(mark), "{path} {mark}");
        }
    }
    assert!(fixture.page("/").await.contains("&#60;script&#62;"));
}

#[tokio::test]
async fn pages_change_what_they_say() {
    let fixture = Fixture::new().await;
    let client = fixture.add("boiler-7").await;
    let path = format!("/clients/{client}");
    assert!(fixture.page("/").await.contains("boiler-7"));
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
    assert_eq!(fixture.send_form("/keys/rotate", "activation_delay=60&grace_period=600").await.status(), 303);
    assert!(fixture.page("/keys").await.contains("badge next"));
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
        let page = fixture.page(&format!("/?psk={filter}")).await;
        assert!(page.contains(&format!(">{name}<")) && !page.contains(&format!(">{other}<")), "{page}");
        assert!(page.contains(&format!("<option value=\"{filter}\" selected>")), "{page}");
        let shown = if is_required { "required" } else { "not required" };
        let page = fixture.page(&format!("/clients/{key}")).await;
        assert!(page.contains(&format!("<dt>Pre-shared key</dt><dd>{shown}</dd>")), "{page}");
    }
    assert_eq!(fixture.get("/v1/clients").await["clients"].as_array().unwrap().len(), 2);
    assert_eq!(fixture.ask(Method::GET, "/?psk=often").send().await.unwrap().status(), 400);
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
    let form = format!("/refused/{stranger}/enrol");
    assert!(page.contains(&form) && page.contains("Enrol this key"), "{page}");
    assert!(fixture.page(&form).await.contains(&stranger.to_string()));

    // A wrong name is refused on the form, and a weak key is never enrolled.
    fixture.add("boiler-7").await;
    let response = fixture.send_form(&form, "name=boiler-7").await;
    assert_eq!(response.status(), 409);
    assert!(response.text().await.unwrap().contains("another client has the name"));
    assert_eq!(fixture.send_form(&form, "name=").await.status(), 422);
    let weak = format!("/refused/{}/enrol", PublicKey::from_bytes([0; 32]));
    assert_eq!(fixture.send_form(&weak, "name=weak").await.status(), 422);

    let response = fixture.send_form(&form, "name=boiler-8").await;
    assert_eq!(response.status(), 303, "it leads to the client");
    let client = fixture.store.get(&stranger).await.unwrap().unwrap();
    assert_eq!((client.name.as_str(), client.state), ("boiler-8", State::Enrolled));
    assert_eq!(fixture.last_entry().await.actor, "alice");
    assert_eq!(fixture.get("/v1/refused").await["clients"], json!([]));

    // The API does it, too.
    let order =
        json!({ "key": key().to_string(), "name": "boiler-9", "labels": { "site": "berlin" }, "expires": time });
    let (status, added) = fixture.post("/v1/clients", Some(order.clone())).await;
    assert_eq!((status, &added["name"], &added["state"]), (201, &json!("boiler-9"), &json!("enrolled")));
    assert_eq!(fixture.post("/v1/clients", Some(order)).await.0, 409);
}
