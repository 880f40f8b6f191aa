//! A pool of servers that follow one database: a real PostgreSQL, real servers, real packets on
//! loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pssst_identity::pssst::{Refusal, SecretKey, SysRng};
use pssst_identity::{AccessPolicy, Follower, IdentityStore, NewIdentity, SqlStore, State, UnknownClients, Update};
use pssst_net::{Client, DatagramOutcome, Error, Handler, Reply, Request, Retry, Server, ServerConfig, pssst};
use pssst_test::{PATIENCE, Postgres, until};

/// A server of the pool, with a connection of its own to the database.
struct Member {
    server: Server,
    policy: AccessPolicy,
    follower: Follower,
}

impl Member {
    async fn start(url: &str, secret: &SecretKey) -> Self {
        let store = SqlStore::open(url).await.unwrap();
        let follower = Follower::start(Arc::new(store)).await.unwrap();
        let policy = AccessPolicy::new(Arc::clone(follower.snapshot()), UnknownClients::Refuse);
        let echo = Handler::from_fn(|request: Request<&[u8]>| Some(Reply::copy_from(request.message())));
        let keys = pssst::Server::new(secret.clone()).authenticated_only();
        let config = ServerConfig::new(keys, echo).client_check(policy.clone());
        let server = Server::builder().workers(1).bind("127.0.0.1:0").unwrap().serve(config).unwrap();
        Self { server, policy, follower }
    }
}

async fn connect(server: SocketAddr, secret: &SecretKey, identity: &SecretKey) -> Client {
    Client::builder(secret.public_key())
        .identity(identity)
        .retry(Retry { initial_timeout: Duration::from_millis(200), max_retransmits: u32::MAX })
        .timeout(PATIENCE)
        .connect(server.to_string())
        .await
        .unwrap()
}

/// Whether the server answers this client at once.
async fn is_served(client: &Client) -> bool {
    match client.request_within(Duration::from_millis(500), "hello").await {
        Ok(_) => true,
        Err(Error::Timeout { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_server_of_the_pool_refuses_a_revoked_client() {
    let url = Postgres::shared().fresh_database();
    let operator = SqlStore::open(&url).await.unwrap().with_actor("test");
    let secret = SecretKey::generate(&mut SysRng).unwrap();
    let members = [Member::start(&url, &secret).await, Member::start(&url, &secret).await];
    let mut slowest = Duration::ZERO;
    for round in 0..10 {
        let identity = SecretKey::generate(&mut SysRng).unwrap();
        let key = identity.public_key();
        operator.add(NewIdentity::new(key, format!("client-{round}")).unwrap()).await.unwrap();
        let mut clients = Vec::new();
        for member in &members {
            let client = connect(member.server.local_addr(), &secret, &identity).await;
            until("an enrolled client is served", async || is_served(&client).await).await;
            clients.push(client);
        }
        operator.update(&key, Update::state(State::Revoked)).await.unwrap();
        for member in &members {
            let took = until("the revocation is known", async || {
                member.policy.snapshot().get(&key).unwrap().state == State::Revoked
            });
            slowest = slowest.max(took.await);
        }
        for client in &clients {
            assert!(!is_served(client).await);
        }
    }
    println!("10 revocations were known to both servers after {} ms at most", slowest.as_millis());
    for member in members {
        assert!(member.policy.stats().revoked >= 10);
        let stats = member.server.shutdown(PATIENCE).await;
        assert!(stats.count(DatagramOutcome::Refused(Refusal::ClientRefused)) >= 10);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_serve_on_while_the_database_is_away_and_catch_up_after() {
    // Its own, since it is stopped.
    let mut postgres = Postgres::start();
    let url = postgres.url();
    let operator = SqlStore::open(&url).await.unwrap();
    let secret = SecretKey::generate(&mut SysRng).unwrap();
    let identities: Vec<_> = (0..4).map(|_| SecretKey::generate(&mut SysRng).unwrap()).collect();
    for (number, identity) in identities.iter().enumerate() {
        operator.add(NewIdentity::new(identity.public_key(), format!("client-{number}")).unwrap()).await.unwrap();
    }
    let members = [Member::start(&url, &secret).await, Member::start(&url, &secret).await];

    // Two clients for each server, who never stop asking. None of their requests may fail.
    let (is_done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut load = Vec::new();
    for (member, pair) in members.iter().zip(identities.chunks(2)) {
        for identity in pair {
            let client = connect(member.server.local_addr(), &secret, identity).await;
            let (is_done, answered) = (Arc::clone(&is_done), Arc::clone(&answered));
            load.push(tokio::spawn(async move {
                while !is_done.load(Ordering::Relaxed) {
                    client.request("reading").await.unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }));
        }
    }
    let progress = async |by: u64| {
        let before = answered.load(Ordering::Relaxed);
        until("the load continues", async || answered.load(Ordering::Relaxed) >= before + by).await;
    };
    progress(200).await;

    postgres.stop();
    for member in &members {
        until("the outage of the database is reported", async || member.follower.status().error.is_some()).await;
    }
    progress(500).await;
    assert!(operator.get(&identities[0].public_key()).await.is_err(), "the database is away");

    postgres.start_again();
    until("the database is back", async || operator.get(&identities[0].public_key()).await.is_ok()).await;
    // Someone new, and someone who is gone: by a handle that lived through it as well.
    let late = SecretKey::generate(&mut SysRng).unwrap();
    until("it can be written", async || {
        operator.add(NewIdentity::new(late.public_key(), "late").unwrap()).await.is_ok()
            || operator.find_by_name("late").await.is_ok_and(|found| found.is_some())
    })
    .await;
    for member in &members {
        until("the new client is known", async || member.policy.snapshot().get(&late.public_key()).is_some()).await;
        assert!(member.follower.status().error.is_none());
        assert!(is_served(&connect(member.server.local_addr(), &secret, &late).await).await);
    }
    // Pushed again, not only asked for.
    operator.update(&late.public_key(), Update::state(State::Revoked)).await.unwrap();
    for member in &members {
        let known = async || member.policy.snapshot().get(&late.public_key()).unwrap().state == State::Revoked;
        until("the revocation is known", known).await;
    }
    progress(200).await;

    is_done.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    println!(
        "{} requests were answered, before, while and after the database was away",
        answered.load(Ordering::Relaxed)
    );
    for member in members {
        let stats = member.server.shutdown(PATIENCE).await;
        assert_eq!(
            (
                stats.count(DatagramOutcome::Refused(Refusal::ClientRefused)),
                stats.count(DatagramOutcome::Refused(Refusal::UnknownClient))
            ),
            (0, 0),
            "{stats:?}"
        );
        assert!(stats.count(DatagramOutcome::Replied) > 0);
    }
}

/// Anonymous requests end by their flags, and that is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_clients_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("clients.db").display());
    let secret = SecretKey::generate(&mut SysRng).unwrap();
    let member = Member::start(&url, &secret).await;
    let client = Client::builder(secret.public_key()).connect(member.server.local_addr().to_string()).await.unwrap();
    assert!(!is_served(&client).await);
    let stats = member.server.shutdown(PATIENCE).await;
    assert!(
        stats.count(DatagramOutcome::Refused(Refusal::AnonymousRefused)) > 0
            && stats.count(DatagramOutcome::Replied) == 0
    );
}
