//! Pre-shared keys and shared secrets: issued at enrolment, renewed, and refused.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pssst::{Client as Sealer, PreSharedKey, PskMaster, SecretKey, ServerKey, Suite, SuiteSet, SysRng, XWingSecretKey};
use pssst_directory::{
    DirectoryClient, EnrollmentRequest, Error, IssuedPsk, MasterId, Problem, Refusal, RenewalRequest, Renewed, jiff,
};
use pssst_directory_server::{DirectoryEvent, RenewalRefusal, Rotated, Schedule};
use pssst_identity::{AccessPolicy, Action, Follower, IdentityStore, NewIdentity, State, UnknownClients, Update};
use pssst_net::{
    Client, Credentials, DatagramOutcome, Handler, RateLimit, Reply, Request, Server, ServerConfig, Stats, pssst,
};
use pssst_test::until;
use tokio::task::JoinHandle;

use crate::common::{Fixture, HOUR, PATIENCE};

const SUITE: Suite = Suite::X25519Aes256GcmSivEnrollment;
const SECOND: Duration = Duration::from_secs(1);

fn device() -> SecretKey {
    SecretKey::generate(&mut SysRng).unwrap()
}

fn master() -> PskMaster {
    PskMaster::generate(&mut SysRng).unwrap()
}

/// A directory of a pool with a master.
async fn with_master(refresh_interval: Duration) -> Fixture {
    let schedule =
        |schedule: Schedule, now| schedule.with_psk_master(master(), now).with_refresh_interval(refresh_interval);
    Fixture::scheduled(schedule, |builder, _| builder).await
}

/// Credentials of a device that must not hold its secret key, given to it when it is made.
fn precomputed(identity: &SecretKey, server_keys: impl IntoIterator<Item = ServerKey>) -> Credentials {
    let bare = Credentials::precomputed(identity.public_key());
    server_keys.into_iter().fold(bare, |credentials, key| {
        let z2 = identity.shared_secret(&key.x25519_part()).unwrap();
        credentials.with_shared_secret(key.hash(), z2.as_bytes())
    })
}

impl Fixture {
    async fn enroll(&self, identity: &SecretKey, name: &str) -> Option<IssuedPsk> {
        let token = self.token(Some(name)).await;
        self.client().enroll(&token, identity, None).await.unwrap().psk
    }

    fn current_psk(&self, identity: &SecretKey) -> PreSharedKey {
        let (schedule, now) = (self.schedule.load(), self.schedule.now());
        schedule.current_psk_master(now).unwrap().psk(&identity.public_key())
    }

    fn master_id(&self) -> [u8; 8] {
        self.schedule.load().current_psk_master(self.schedule.now()).unwrap().id()
    }

    async fn send(&self, path: &str, body: Vec<u8>) -> reqwest::Response {
        self.http.post(self.public(path)).body(body).send().await.unwrap()
    }

    /// Posts a renewal, and makes sure that it is refused for this cause, that it looks like every
    /// other refusal, and that nothing changes.
    async fn refuses_renewal(&self, body: Vec<u8>, cause: RenewalRefusal) {
        const ALIKE: &str = "the request is not a renewal of a client that is served, with all that it has to prove, sealed for this pool";
        let (clients, entry) = (self.clients().await, self.last_entry().await);
        let counted = self.directory.stats().renewals_refused(cause);
        let response = self.send("/v1/renew", body).await;
        let status = response.status().as_u16();
        let problem = Problem::parse(&response.bytes().await.unwrap()).unwrap();
        assert_eq!((problem.error, problem.message.as_str()), (Refusal::InvalidRequest, ALIKE), "{cause}");
        assert!(status == 400 || status == 413, "{cause}: {status}");
        assert_eq!(self.directory.stats().renewals_refused(cause), counted + 1, "{cause}");
        assert_eq!((self.clients().await, self.last_entry().await), (clients, entry), "{cause}");
    }
}

/// Sealed as an honest client does.
fn seal(fixture: &Fixture, identity: &SecretKey, message: &[u8]) -> (Vec<u8>, pssst::PendingReply) {
    let client = Sealer::new(fixture.secret.public_key()).unwrap().with_suite(SUITE).unwrap();
    client.with_identity(identity).unwrap().seal_request_to_vec(&mut SysRng, message).unwrap()
}

fn renewal(psk: Option<PreSharedKey>) -> Vec<u8> {
    RenewalRequest { psk, wants_shared_secrets: false }.to_json().to_vec()
}

#[tokio::test]
async fn enrolment_gives_a_pre_shared_key_in_a_pool_with_a_master() {
    let fixture = with_master(HOUR).await;
    let (token, device) = (fixture.token(Some("boiler-7")).await, device());
    let enrolled = fixture.client().enroll(&token, &device, None).await.unwrap();
    let issued = enrolled.psk.clone().unwrap();
    assert_eq!(issued, IssuedPsk { psk: fixture.current_psk(&device), master: fixture.master_id().into() });
    assert!(fixture.store.get(&device.public_key()).await.unwrap().unwrap().requires_psk);
    // The answer was lost, say.
    assert_eq!(fixture.client().enroll(&token, &device, None).await.unwrap(), enrolled);

    let without = Fixture::new().await;
    assert_eq!(without.enroll(&device, "boiler-7").await, None);
    assert!(!without.store.get(&device.public_key()).await.unwrap().unwrap().requires_psk);
}

#[tokio::test]
async fn a_renewal_gives_what_the_client_needs_and_may_be_repeated() {
    let schedule = |schedule: Schedule, now| {
        let xwing = XWingSecretKey::generate(&mut SysRng).unwrap();
        schedule.with_psk_master(master(), now).with_xwing_key(xwing, now)
    };
    let fixture = Fixture::scheduled(schedule, |builder, _| builder).await;
    let (device, by_hand) = (device(), device());
    let issued = fixture.enroll(&device, "boiler-7").await.unwrap();
    fixture.store.add(NewIdentity::new(by_hand.public_key(), "by-hand").unwrap()).await.unwrap();
    fixture.schedule.rotate(Rotated::All, HOUR, 2 * HOUR).unwrap();

    let directory = fixture.client();
    let credentials = Credentials::new(device.clone()).with_psk(issued.psk.clone());
    let renewed = directory.renew(&credentials).await.unwrap();
    assert_eq!(renewed, Renewed { key: device.public_key(), psk: Some(issued.clone()), shared_secrets: Vec::new() });
    assert_eq!(directory.renew(&credentials).await.unwrap(), renewed);

    // Those of the next rotation too, of both kinds.
    let keys: Vec<_> = directory.document().unwrap().keys.iter().map(|key| key.key.clone()).collect();
    assert_eq!(keys.len(), 4);
    let first = precomputed(&device, [fixture.secret.public_key().into()]).with_psk(issued.psk.clone());
    let renewed = directory.renew(&first).await.unwrap();
    assert_eq!((renewed.psk.as_ref(), renewed.shared_secrets.len()), (Some(&issued), 4));
    for key in &keys {
        let secret = renewed.shared_secrets.iter().find(|secret| secret.server_key_hash == key.hash()).unwrap();
        let z2 = device.shared_secret(&key.x25519_part()).unwrap();
        assert_eq!(secret.expose_bytes(), z2.as_bytes());
    }

    // One that need not use a pre-shared key gets none, whatever it presents.
    let renewed = directory.renew(&Credentials::new(by_hand.clone())).await.unwrap();
    assert_eq!(renewed, Renewed { key: by_hand.public_key(), psk: None, shared_secrets: Vec::new() });
    let (body, _) = seal(&fixture, &by_hand, &renewal(Some(fixture.current_psk(&device))));
    assert_eq!(fixture.send("/v1/renew", body).await.status().as_u16(), 200);
    assert_eq!(fixture.directory.stats().count(DirectoryEvent::Renewed), 5);
}

/// Once, however often the client asks for it.
#[tokio::test]
async fn a_key_that_is_issued_by_renewal_is_in_the_audit_log() {
    let fixture = with_master(SECOND).await;
    let device = device();
    let old = fixture.enroll(&device, "boiler-7").await.unwrap();
    let directory = fixture.client();
    let credentials = Credentials::new(device.clone()).with_psk(old.psk.clone());
    let before = fixture.last_entry().await;
    directory.renew(&credentials).await.unwrap();
    assert_eq!(fixture.last_entry().await, before, "nothing is new");

    fixture.schedule.rotate(Rotated::PskMasters, Duration::ZERO, HOUR).unwrap();
    for _ in 0..2 {
        assert_ne!(directory.renew(&credentials).await.unwrap().psk.unwrap(), old);
    }
    let entry = fixture.last_entry().await;
    assert_eq!((entry.number, entry.actor.as_str()), (before.number + 1, "device"));
    assert_eq!((entry.entry.action, entry.entry.client_key), (Action::PskIssued, Some(device.public_key())));
    let master = MasterId::from(fixture.master_id());
    assert_eq!(entry.entry.detail, format!("boiler-7, master {master}"));
}

/// A replay gets an answer that only the honest client opens, and that says the same.
#[tokio::test]
async fn a_replayed_renewal_does_no_harm() {
    let fixture = with_master(HOUR).await;
    let device = device();
    let issued = fixture.enroll(&device, "boiler-7").await.unwrap();
    let (body, pending) = seal(&fixture, &device, &renewal(Some(issued.psk.clone())));
    let before = (fixture.clients().await, fixture.last_entry().await);
    for _ in 0..2 {
        let mut reply = fixture.send("/v1/renew", body.clone()).await.bytes().await.unwrap().to_vec();
        let hex = issued.psk.expose_hex();
        assert!(!reply.windows(64).any(|window| window == hex.as_bytes()));
        assert_eq!(Renewed::parse(pending.open(&mut reply).unwrap()).unwrap().psk, Some(issued.clone()));
    }
    assert_eq!((fixture.clients().await, fixture.last_entry().await), before);

    fixture.store.update(&device.public_key(), Update::state(State::Suspended)).await.unwrap();
    fixture.refuses_renewal(body, RenewalRefusal::Suspended).await;
}

#[tokio::test]
async fn clients_that_must_not_renew_are_refused_and_learn_nothing() {
    let fixture = with_master(HOUR).await;
    let [device, other, stranger, expired] = [(); 4].map(|()| device());
    let psk = fixture.enroll(&device, "boiler-7").await.unwrap().psk;
    let others = fixture.enroll(&other, "boiler-8").await.unwrap().psk;
    let new = NewIdentity::new(expired.public_key(), "expired").unwrap();
    fixture.store.add(new.with_expiry(Some(jiff::Timestamp::now() - SECOND))).await.unwrap();
    let update = async |state| drop(fixture.store.update(&device.public_key(), Update::state(state)).await.unwrap());
    let good = || renewal(Some(psk.clone()));
    let seal = |identity: &SecretKey, message: &[u8]| seal(&fixture, identity, message).0;

    fixture.refuses_renewal(seal(&stranger, &good()), RenewalRefusal::UnknownClient).await;
    fixture.refuses_renewal(seal(&expired, &good()), RenewalRefusal::Expired).await;
    // Someone who has c alone.
    fixture.refuses_renewal(seal(&device, &renewal(None)), RenewalRefusal::MissingPsk).await;
    for wrong in [others, PreSharedKey::from_bytes([0; 32]), master().psk(&device.public_key())] {
        fixture.refuses_renewal(seal(&device, &renewal(Some(wrong))), RenewalRefusal::WrongPsk).await;
    }

    // Whatever is not a renewal.
    let token = fixture.token(None).await;
    let enrollment = EnrollmentRequest { token, name: Some("boiler-9".into()) }.to_json();
    for message in [&enrollment[..], b"", b"{}", &good()[1..]] {
        fixture.refuses_renewal(seal(&device, message), RenewalRefusal::InvalidRequest).await;
    }
    let sealer = |suite| Sealer::new(fixture.secret.public_key()).unwrap().with_suite(suite).unwrap();
    let (anonymous, _) = sealer(SUITE).seal_request_to_vec(&mut SysRng, &good()).unwrap();
    let on_udp = sealer(Suite::X25519Aes256GcmSiv).with_identity(&device).unwrap();
    let (on_udp, _) = on_udp.seal_request_to_vec(&mut SysRng, &good()).unwrap();
    let foreign = Sealer::new(stranger.public_key()).unwrap().with_suite(SUITE).unwrap();
    let (foreign, _) = foreign.with_identity(&device).unwrap().seal_request_to_vec(&mut SysRng, &good()).unwrap();
    let mut changed = seal(&device, &good());
    *changed.last_mut().unwrap() ^= 1;
    for body in [anonymous, on_udp, foreign, changed, Vec::new(), vec![0; 100], vec![0; 1 << 20]] {
        fixture.refuses_renewal(body, RenewalRefusal::InvalidRequest).await;
    }
    // And the other way round: a renewal is not an enrolment.
    let response = fixture.send("/v1/enroll", seal(&device, &good())).await;
    assert_eq!(response.status().as_u16(), 400);

    update(State::Suspended).await;
    fixture.refuses_renewal(seal(&device, &good()), RenewalRefusal::Suspended).await;
    update(State::Revoked).await;
    fixture.refuses_renewal(seal(&device, &good()), RenewalRefusal::Revoked).await;
    assert_eq!(fixture.directory.stats().count(DirectoryEvent::Renewed), 0);

    // The audit log has a sum, with the last key that was proved.
    fixture.directory.shutdown(SECOND).await;
    let log = fixture.store.audit_log(None, 10).await.unwrap();
    let entry = log.iter().find(|entry| entry.entry.action == Action::RenewalRefused).unwrap();
    assert_eq!(entry.entry.client_key, Some(device.public_key()));
    assert!(entry.entry.detail.starts_with("19 requests; the last from 127.0.0.1"), "{}", entry.entry.detail);
}

#[tokio::test]
async fn renewals_have_a_limit_of_their_own() {
    let once = RateLimit::new(1).with_burst(1);
    let fixture = Fixture::with(|builder, _| builder.renewal_limits(once, once)).await;
    let answers: Vec<_> = [fixture.send("/v1/renew", Vec::new()).await, fixture.send("/v1/renew", Vec::new()).await]
        .map(|answer| answer.status().as_u16())
        .into();
    assert_eq!(answers, [400, 429]);
    assert_eq!(fixture.directory.stats().renewals_refused(RenewalRefusal::RateLimited), 1);
    assert_eq!(fixture.send("/v1/enroll", Vec::new()).await.status().as_u16(), 400);
}

#[tokio::test]
async fn a_client_does_not_let_go_of_its_pre_shared_key_by_itself() {
    let fixture = with_master(HOUR).await;
    let device = device();
    let psk = fixture.enroll(&device, "boiler-7").await.unwrap().psk;
    let credentials = Credentials::new(device.clone()).with_psk(psk);
    fixture.store.update(&device.public_key(), Update::requires_psk(false)).await.unwrap();
    assert!(matches!(fixture.client().renew(&credentials).await, Err(Error::PskDowngrade)));

    let builder = DirectoryClient::builder(fixture.public("")).pin(fixture.directory.pin());
    let renewed = builder.allow_downgrade().build().unwrap().renew(&credentials).await.unwrap();
    assert_eq!(renewed.apply_to(credentials).psk(), None);
}

/// A server of the pool, which follows schedule and clients.
struct Pool {
    server: Arc<Server>,
    _follower: Follower,
    keeper: JoinHandle<()>,
}

impl Pool {
    async fn start(fixture: &Fixture) -> Self {
        let follower = Follower::start(Arc::new(fixture.store.clone())).await.unwrap();
        let policy = AccessPolicy::new(Arc::clone(follower.snapshot()), UnknownClients::Refuse);
        let echo = Handler::from_fn(|request: Request<&[u8]>| Some(Reply::copy_from(request.message())));
        let keys = fixture.schedule.server(SuiteSet::DATAGRAM).unwrap();
        let config = ServerConfig::new(keys, echo).client_check(policy);
        let server = Arc::new(Server::builder().workers(1).bind("127.0.0.1:0").unwrap().serve(config).unwrap());
        let (schedule, kept) = (Arc::clone(&fixture.schedule), Arc::clone(&server));
        let keeper = tokio::spawn(async move { match schedule.keep_server(&kept, SuiteSet::DATAGRAM).await {} });
        Self { server, _follower: follower, keeper }
    }

    async fn connect(&self, directory: &DirectoryClient, credentials: &Credentials) -> Client {
        directory.fetch().await.unwrap();
        let current = directory.current_key().unwrap();
        let client = Client::builder(current.key).suite(current.suite).credentials(credentials.clone());
        client.connect(self.server.local_addr().to_string()).await.unwrap()
    }

    async fn stop(self) -> Stats {
        self.keeper.abort();
        drop(self.keeper.await);
        Arc::into_inner(self.server).unwrap().shutdown(PATIENCE).await
    }
}

/// A device that sends requests all the time, and keeps its secrets current.
struct Device {
    name: &'static str,
    identity: SecretKey,
    client: Client,
    stored: Arc<Mutex<Vec<Renewed>>>,
    keeper: JoinHandle<()>,
    load: JoinHandle<u64>,
}

impl Device {
    async fn start(
        fixture: &Fixture,
        pool: &Pool,
        name: &'static str,
        identity: SecretKey,
        credentials: Credentials,
    ) -> Self {
        let directory = fixture.client();
        let client = pool.connect(&directory, &credentials).await;
        let stored = Arc::<Mutex<Vec<_>>>::default();
        let master = credentials.psk().map(|_| fixture.master_id().into());
        let keeper = tokio::spawn({
            let (client, stored, failures) = (client.clone(), Arc::clone(&stored), AtomicU32::new(0));
            async move {
                let store = async |renewed: Renewed| {
                    // The disk is full at first.
                    if failures.fetch_add(1, Ordering::Relaxed) == 0 {
                        return Err("no space left");
                    }
                    stored.lock().unwrap().push(renewed);
                    Ok(())
                };
                match directory.keep_renewed(&client, credentials, master, store).await {}
            }
        });
        let load = tokio::spawn({
            let client = client.clone();
            async move {
                for number in 0_u64.. {
                    let message = number.to_be_bytes();
                    match client.request_within(PATIENCE, message).await {
                        Ok(reply) => assert_eq!(reply, message[..]),
                        Err(pssst_net::Error::Closed) => return number,
                        Err(error) => panic!("{name}, request {number}: {error}"),
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                unreachable!()
            }
        });
        Self { name, identity, client, stored, keeper, load }
    }

    fn last_psk(&self) -> Option<IssuedPsk> {
        self.stored.lock().unwrap().last().and_then(|renewed| renewed.psk.clone())
    }

    fn has_secret_for(&self, key: &ServerKey) -> bool {
        let stored = self.stored.lock().unwrap();
        let mut secrets = stored.iter().flat_map(|renewed| &renewed.shared_secrets);
        secrets.any(|secret| secret.server_key_hash == key.hash())
    }

    async fn stop(self) -> usize {
        self.client.close();
        let requests = tokio::time::timeout(PATIENCE, self.load).await.unwrap().unwrap();
        assert!(requests > 20, "{}: {requests}", self.name);
        self.keeper.abort();
        drop(self.keeper.await);
        self.stored.lock().unwrap().len()
    }
}

/// Masters and keys rotate twice. Clients with and without pre-shared key, with and without their
/// secret key, are served throughout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_rotations_lose_no_client() {
    let fixture = with_master(SECOND).await;
    let pool = Pool::start(&fixture).await;
    let server_key = || [ServerKey::from(fixture.secret.public_key())];
    let mut devices = Vec::new();
    for name in ["secret-with-psk", "precomputed-with-psk", "secret", "precomputed"] {
        let identity = device();
        let psk = if name.ends_with("with-psk") {
            fixture.enroll(&identity, name).await.map(|issued| issued.psk)
        } else {
            fixture.store.add(NewIdentity::new(identity.public_key(), name).unwrap()).await.unwrap();
            None
        };
        let credentials = if name.starts_with("secret") {
            Credentials::new(identity.clone())
        } else {
            precomputed(&identity, server_key())
        };
        let credentials = psk.into_iter().fold(credentials, Credentials::with_psk);
        // The server has heard of the client.
        let probe = pool.connect(&fixture.client(), &credentials).await;
        until("the client is served", async || probe.request_within(SECOND, "ping").await.is_ok()).await;
        devices.push(Device::start(&fixture, &pool, name, identity, credentials).await);
    }
    let before = pool.server.stats();

    let first_psk = fixture.current_psk(&devices[0].identity);
    for _ in 0..2 {
        let generated = fixture.schedule.rotate(Rotated::All, 3 * SECOND, 4 * SECOND).unwrap();
        let (key, master) = (&generated.keys[0], generated.psk_master.unwrap());
        for device in &devices {
            if device.name.starts_with("precomputed") {
                until("the shared secret is there", async || device.has_secret_for(key)).await;
            }
            until("the client changes keys", async || device.client.server_key() == *key).await;
            if device.name.ends_with("psk") {
                let is_new = async || device.last_psk().is_some_and(|issued| issued.master == master.into());
                until("the pre-shared key is renewed", is_new).await;
                assert_eq!(device.last_psk().unwrap().psk, fixture.current_psk(&device.identity));
            }
        }
        until("the old ones are over", async || {
            let (schedule, now) = (fixture.schedule.load(), fixture.schedule.now());
            schedule.psk_masters(now).count() == 1 && pool.server.server_keys() == [key.clone()]
        })
        .await;
    }

    let identity = devices[0].identity.clone();
    let mut renewals = Vec::new();
    for device in devices {
        renewals.push(device.stop().await);
    }
    println!("renewed {renewals:?} times");
    assert!(renewals[0] >= 2 && renewals[1] >= 2 && renewals[2] == 0 && renewals[3] >= 2, "{renewals:?}");
    let stats = pool.server.stats();
    let refused: Vec<_> = stats
        .outcomes()
        .zip(before.outcomes())
        .filter(|((outcome, after), (_, before))| after > before && *outcome != DatagramOutcome::Replied)
        .collect();
    assert!(refused.is_empty(), "{refused:?}");

    // A client that kept the first pre-shared key is not served any more, and cannot renew it.
    let late = Credentials::new(identity).with_psk(first_psk);
    let client = pool.connect(&fixture.client(), &late).await;
    assert!(client.request_within(SECOND, "ping").await.is_err());
    let outcome = fixture.client().renew(&late).await;
    assert!(matches!(outcome, Err(Error::Refused { refusal: Refusal::InvalidRequest, .. })), "{outcome:?}");
    assert_eq!(fixture.directory.stats().renewals_refused(RenewalRefusal::WrongPsk), 1);
    drop((client, pool.stop().await));
}

/// All keys are replaced at once. The old master stays for a while: who holds c renews; the thief,
/// who has the old keys and the old master, holds none of the new keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_theft_clients_renew_with_the_old_pre_shared_key() {
    let fixture = with_master(SECOND).await;
    let pool = Pool::start(&fixture).await;
    let [kept, precomputed_identity] = [device(), device()];
    let issued = fixture.enroll(&kept, "boiler-7").await.unwrap();
    let other = fixture.enroll(&precomputed_identity, "boiler-8").await.unwrap();
    let old_key = ServerKey::from(fixture.secret.public_key());
    let without_c = precomputed(&precomputed_identity, [old_key.clone()]).with_psk(other.psk);

    let credentials = Credentials::new(kept.clone()).with_psk(issued.psk.clone());
    let directory = fixture.client();
    let client = pool.connect(&directory, &credentials).await;
    until("the client is served", async || client.request_within(SECOND, "ping").await.is_ok()).await;

    let generated = fixture.schedule.replace_compromised(HOUR).unwrap();
    let stored = Arc::<Mutex<Option<IssuedPsk>>>::default();
    let keeper = tokio::spawn({
        let (client, stored, master) = (client.clone(), Arc::clone(&stored), issued.master);
        async move {
            let store = async |renewed: Renewed| {
                *stored.lock().unwrap() = renewed.psk;
                Ok::<_, std::convert::Infallible>(())
            };
            match directory.keep_renewed(&client, credentials, Some(master), store).await {}
        }
    });
    let master = generated.psk_master.map(Into::into);
    let is_new = async || stored.lock().unwrap().as_ref().is_some_and(|stored| Some(stored.master) == master);
    until("the pre-shared key is renewed", is_new).await;
    assert_eq!(client.server_key(), generated.keys[0]);
    until("the client is served again", async || client.request_within(SECOND, "ping").await.is_ok()).await;
    keeper.abort();

    let outcome = fixture.client().renew(&without_c).await;
    assert!(matches!(outcome, Err(Error::NoSharedSecret)), "{outcome:?}");
    drop((keeper.await, client, pool.stop().await));
}
