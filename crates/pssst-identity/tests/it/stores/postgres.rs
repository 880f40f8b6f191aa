//! What only PostgreSQL can do.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use pssst_identity::jiff::Timestamp;
use pssst_identity::{
    AccessPolicy, ChangeReceiver, Error, IdentityStore, Revision, ServerReport, SqlStore, State, UnknownClients, Update,
};
use pssst_test::{PATIENCE, Postgres, until};
use sqlx::{AnyConnection, Connection, Executor};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::timeout;

use crate::stores::support::{Database, check, client, key};
use crate::stores::writers::many_writers_and_a_follower;

async fn two_servers(url: &str) -> (SqlStore, SqlStore) {
    (SqlStore::open(url).await.expect("it opens"), SqlStore::open(url).await.expect("it opens"))
}

/// Waits until a hint comes and this holds; hints may come for other reasons, too.
async fn hinted<F: Future<Output = bool>>(receiver: &mut ChangeReceiver, holds: impl Fn() -> F) {
    let wait = async {
        loop {
            assert!(receiver.changed().await, "the store is there");
            if holds().await {
                break;
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("a hint in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_two_servers_take_turns() {
    let database = Database::postgres().await;
    let (one, other) = two_servers(&database.url).await;
    many_writers_and_a_follower(vec![Arc::new(one), Arc::new(other)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_told_what_another_changes() {
    let database = Database::postgres().await;
    let (one, other) = two_servers(&database.url).await;
    let mut receiver = other.subscribe();
    one.add(client(1, "one")).await.expect("it is new");
    hinted(&mut receiver, || async { other.get(&key(1)).await.expect("get").is_some() }).await;
    one.update(&key(1), Update::state(State::Revoked)).await.expect("update");
    let is_revoked = || async { other.get(&key(1)).await.expect("get").is_some_and(|one| one.state == State::Revoked) };
    hinted(&mut receiver, is_revoked).await;
    one.remove(&key(1)).await.expect("remove");
    hinted(&mut receiver, || async { other.get(&key(1)).await.expect("get").is_none() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_find_the_database_again_after_a_restart() {
    let mut postgres = block_in_place(Postgres::start);
    let (one, other) = two_servers(&postgres.url()).await;
    one.add(client(1, "one")).await.expect("it is new");
    let mut receiver = other.subscribe();
    block_in_place(|| postgres.stop());
    // Refused in bounded time.
    let known = key(1);
    let (get, add) = tokio::join!(timeout(PATIENCE, other.get(&known)), timeout(PATIENCE, one.add(client(2, "two"))),);
    for error in [get.expect("an answer").map(drop), add.expect("an answer").map(drop)] {
        assert!(matches!(error, Err(Error::Database(_))), "{error:?}");
    }
    block_in_place(|| postgres.start_again());
    // A notification that was missed while nobody listened is made up for by one more.
    hinted(&mut receiver, || async { other.get(&key(1)).await.is_ok() }).await;
    one.add(client(2, "two")).await.expect("it is new");
    hinted(&mut receiver, || async { other.get(&key(2)).await.expect("get").is_some() }).await;
    receiver.clear();
    one.remove(&key(2)).await.expect("remove");
    hinted(&mut receiver, || async { other.get(&key(2)).await.expect("get").is_none() }).await;
    // Twice is not once: connections that were idle all the while are of no use, and noticed.
    block_in_place(|| postgres.restart());
    assert!(one.get(&key(1)).await.expect("get").is_some());
    let changes = other.changes(Revision(0), 10).await.expect("the feed");
    assert_eq!(changes.changes.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_servers_may_start_at_once() {
    let url = block_in_place(|| Postgres::shared().fresh_database());
    let mut opening = JoinSet::new();
    for number in 0..8 {
        let url = url.clone();
        opening.spawn(async move {
            let store = SqlStore::open(&url).await.expect("it opens");
            store.add(client(number, &format!("n{number}"))).await.expect("it is new");
            store.changes(Revision(0), 100).await.expect("the feed").store
        });
    }
    let names = opening.join_all().await;
    assert!(names.iter().all(|name| *name == names[0]), "one store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_waits_for_another_that_holds_the_lock() {
    let database = Database::postgres().await;
    let mut other = AnyConnection::connect(&database.url).await.expect("it connects");
    let mut lock = other.begin().await.expect("begin");
    lock.execute("UPDATE pssst_store SET revision = revision + 1").await.expect("the lock");
    let store = database.store.clone();
    let mut adding = tokio::spawn(async move { store.add(client(1, "one")).await });
    timeout(Duration::from_millis(300), &mut adding).await.expect_err("it waits");
    assert!(database.store.get(&key(1)).await.expect("reading does not wait").is_none());
    let before = database.store.changes(Revision(0), 10).await.expect("the feed").latest;
    lock.commit().await.expect("commit");
    adding.await.expect("the task").expect("it is new");
    let after = database.store.changes(Revision(0), 10).await.expect("the feed").latest;
    assert_eq!(after, Revision(before.0 + 2), "both have a revision of their own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_store_that_was_dropped() {
    const COUNT: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()";
    let database = Database::postgres().await;
    let clone = database.store.with_actor("clone");
    let mut receiver = clone.subscribe();
    let url = database.url.clone();
    // The listener's connection is there when it gives hints.
    assert_eq!(timeout(PATIENCE, receiver.changed()).await, Ok(true));
    drop(database);
    let count = || block_in_place(|| Postgres::sql(&url, COUNT)).parse::<u32>().expect("a number");
    assert!(count() > 1);
    clone.get(&key(1)).await.expect("the clone still works");
    drop(clone);
    until("all connections end", async || count() <= 1).await;
    assert!(!receiver.changed().await, "nobody is left to hint");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_error_shows_the_password() {
    let url = block_in_place(|| Postgres::shared().url());
    let with_password = |password: &str| url.replacen("hunter2-of-the-tests", password, 1);
    assert_ne!(with_password("x"), url);
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = closed.local_addr().expect("its address").port();
    drop(closed);
    let urls = [
        with_password("wrong-secret"),
        with_password("wrong-secret") + "_no_such_database",
        format!("postgres://u:wrong-secret@127.0.0.1:{port}/d"),
        "postgres://u:wrong-secret@127.0.0.1:port/d".into(),
        "postgres://u:wrong-secret@[::1/d".into(),
        "postgres://u:wrong-secret@127.0.0.1/d?sslmode=odd".into(),
        "postgres://u:wrong-secret@127.0.0.1/d?sslmode=verify-full&sslrootcert=/no/such/file".into(),
        "postgres://u:wrong%ffsecret@127.0.0.1/d".into(),
        "postgresql:u:wrong-secret@127.0.0.1/d".into(),
    ];
    for url in urls {
        let error = timeout(PATIENCE, SqlStore::open(&url)).await.expect("in bounded time").expect_err(&url);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }
    let store = SqlStore::open(&url).await.expect("it opens");
    assert!(!format!("{store:?}").contains("hunter2"));
}

/// A stolen server enrols nobody: beside reading, it only reports itself and refused clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_only_reads_suffices_for_servers() {
    let database = Database::postgres().await;
    let (_, name) = database.url.rsplit_once('/').expect("the name of a database");
    let role = format!("reader_of_{name}");
    let (scheme, rest) = database.url.split_once("://").expect("a URL");
    let (_, rest) = rest.split_once(':').expect("a user and a password");
    let url = format!("{scheme}://{role}:{rest}");
    let grant = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'hunter2-of-the-tests'; \
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}; \
         GRANT INSERT, UPDATE, DELETE ON pssst_refused, pssst_servers TO {role}"
    );
    block_in_place(|| Postgres::sql(&database.url, &grant));
    database.store.add(client(1, "one")).await.expect("it is new");
    let reader = SqlStore::open_existing(&url).await.expect("it opens");
    assert_eq!(reader.get(&key(1)).await.expect("get").expect("it is there").name, "one");
    let mut receiver = reader.subscribe();
    database.store.remove(&key(1)).await.expect("remove");
    hinted(&mut receiver, || async { reader.get(&key(1)).await.expect("get").is_none() }).await;
    assert!(matches!(reader.add(client(2, "two")).await, Err(Error::Database(_))));
    let policy = AccessPolicy::new(Arc::default(), UnknownClients::Refuse);
    check(&policy, &key(3));
    let report = policy.refused().report(Timestamp::now(), |_| None);
    reader.record_refused(&report.clients).await.expect("the role may do this");
    assert_eq!(database.store.refused(10).await.expect("they are read")[0].key, key(3));
    let server = ServerReport::new("gateway", "1", Timestamp::now()).expect("a name");
    reader.record_server(&server).await.expect("the role may do this");
    assert_eq!(database.store.servers().await.expect("they are read").len(), 1);
}

/// Anyone in between could enrol clients.
#[tokio::test]
async fn another_machine_needs_a_word_about_tls() {
    for url in ["postgres://pssst@db.invalid/d", "postgres://pssst@192.0.2.1/d", "postgresql://[2001:db8::1]/d"] {
        let refused = SqlStore::open(url).await;
        assert!(matches!(refused, Err(Error::UnprotectedDatabase(_))), "{url}: {refused:?}");
        // With it, it is not the word that is missing.
        let told = format!("{url}?sslmode=disable");
        let options = timeout(PATIENCE, SqlStore::open(&told)).await.expect("in bounded time");
        assert!(matches!(options, Err(Error::Database(_))), "{told}: {options:?}");
    }
}

/// Time passes at once here while nothing but a silent connection is waited for.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_database_that_says_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("postgres://u:p@{}/d", silent.local_addr().expect("its address"));
    let error = SqlStore::open(&url).await.expect_err("it says nothing");
    assert!(matches!(error, Error::Database(_)), "{error}");
}

/// As someone who pulls the cable: nothing comes any more, and nobody says so. Connections made
/// later are good again.
#[tokio::test]
async fn a_connection_that_died_in_silence_is_given_up() {
    let url = Postgres::shared().fresh_database();
    let server: u16 = url.rsplit([':', '/']).nth(1).and_then(|port| port.parse().ok()).expect("a port");
    let (cut, is_cut) = watch::channel(false);
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = proxy.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = proxy.accept().await {
            tokio::spawn(pass_on(client, server, is_cut.clone()));
        }
    });
    let store = SqlStore::open(&url.replace(&format!(":{server}/"), &format!(":{port}/"))).await.expect("it opens");
    store.add(client(1, "one")).await.expect("it is new");
    let mut receiver = store.subscribe();
    cut.send_replace(true);
    // Until it is mended, waiting takes no time.
    tokio::time::pause();
    for _ in 0..10 {
        assert!(matches!(store.get(&key(1)).await, Err(Error::Database(_))));
        assert!(matches!(store.remove(&key(1)).await, Err(Error::Database(_))));
    }
    tokio::time::resume();
    cut.send_replace(false);
    assert!(store.get(&key(1)).await.expect("get").is_some());
    store.add(client(2, "two")).await.expect("it is new");
    let direct = SqlStore::open(&url).await.expect("it opens");
    // The listener has found its way, too.
    receiver.clear();
    assert_eq!(timeout(PATIENCE, receiver.changed()).await, Ok(true), "a hint in time");
    direct.add(client(3, "three")).await.expect("it is new");
    hinted(&mut receiver, || async { store.get(&key(3)).await.expect("get").is_some() }).await;
}

async fn pass_on(mut client: TcpStream, server: u16, mut is_cut: watch::Receiver<bool>) {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await.expect("the server is there");
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        // Both ends stay open.
        () = async { is_cut.wait_for(|is_cut| *is_cut).await.map(drop).expect("the test is running") } => {
            std::future::pending::<()>().await;
        }
    }
}
