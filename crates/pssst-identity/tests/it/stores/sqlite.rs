//! What only SQLite can do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pssst_identity::{Error, Follower, IdentityStore, Revision, SqlStore, State, Update};
use sqlx::{AnyConnection, Connection, Executor};
use tokio::task::JoinSet;

use crate::stores::support::{Database, client, key};
use crate::stores::writers::many_writers_and_a_follower;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_two_handles_take_turns() {
    let database = Database::sqlite().await;
    let other = SqlStore::open(&database.url).await.expect("it opens");
    many_writers_and_a_follower(vec![Arc::new(database.store.clone()), Arc::new(other)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_open_a_new_file_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite:{}/new.db", directory.path().display());
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
    let store = SqlStore::open(&url).await.expect("it opens");
    assert_eq!(store.changes(Revision(0), 100).await.expect("the feed").changes.len(), 8);
}

#[tokio::test]
async fn the_files_are_for_their_owner_only_and_in_wal_mode() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("clients.db");
    let store = SqlStore::open(&format!("sqlite://{}", path.display())).await.expect("it opens");
    store.add(client(1, "one")).await.expect("it is new");
    for entry in fs::read_dir(directory.path()).expect("the directory") {
        let entry = entry.expect("a file");
        assert_eq!(entry.metadata().expect("metadata").permissions().mode() & 0o777, 0o600, "{entry:?}");
    }
    assert!(directory.path().join("clients.db-wal").exists());
    // A mode that someone chose stays.
    drop(store);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
    let store = SqlStore::open(&format!("sqlite:{}", path.display())).await.expect("it opens");
    assert!(store.get(&key(1)).await.expect("get").is_some(), "it is still there");
    assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o640);
}

#[tokio::test]
async fn a_writer_waits_for_another_process() {
    let database = Database::sqlite().await;
    let directory = database.directory.as_ref().expect("a directory");
    let link = directory.path().join("other.db");
    std::os::unix::fs::symlink(database.url.trim_start_matches("sqlite:"), &link).expect("a link");
    let mut other = AnyConnection::connect(&format!("sqlite:{}", link.display())).await.expect("it opens");
    other.execute("BEGIN IMMEDIATE").await.expect("the lock");
    let store = database.store.clone();
    let mut adding = tokio::spawn(async move { store.add(client(1, "one")).await });
    tokio::time::timeout(Duration::from_millis(200), &mut adding).await.expect_err("it waits");
    assert!(database.store.get(&key(1)).await.expect("reading does not wait").is_none());
    let reader = SqlStore::open_existing(&database.url).await.expect("opening to read does not wait");
    assert!(reader.get(&key(1)).await.expect("reading does not wait").is_none());
    other.execute("COMMIT").await.expect("commit");
    adding.await.expect("the task").expect("it is new");
}

#[tokio::test]
async fn other_places_are_refused() {
    for url in
        ["sqlite::memory:", "sqlite:", "sqlite://", "sqlite://:memory:", "mysql://u:hunter2@h/d", "clients.db", ""]
    {
        let error = SqlStore::open(url).await.expect_err(url);
        assert!(matches!(error, Error::Syntax(_)), "{url}: {error}");
        assert!(!error.to_string().contains("hunter2"));
    }
    let directory = tempfile::tempdir().expect("a directory");
    let missing = format!("sqlite:{}/no/such/directory.db", directory.path().display());
    assert!(matches!(SqlStore::open(&missing).await, Err(Error::Database(_))));
    let path = directory.path().join("text");
    fs::write(&path, "This is not a database, however long it may be.\n".repeat(100)).expect("a file");
    let error = SqlStore::open(&format!("sqlite:{}", path.display())).await.expect_err("no database");
    assert!(matches!(error, Error::Database(_)), "{error}");
}

/// A follower of the file that was there before would serve clients that the new one revokes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_takes_the_place_of_another_is_followed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("clients.db");
    let url = format!("sqlite:{}", path.display());
    let store = SqlStore::open(&url).await.expect("it opens");
    store.add(client(1, "one")).await.expect("it is new");
    let backup = directory.path().join("backup.db");
    let mut connection = AnyConnection::connect(&url).await.expect("it connects");
    let statement = format!("VACUUM INTO '{}'", backup.display());
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.expect("a backup");
    connection.close().await.expect("it closes");

    let follower = Follower::start(Arc::new(store.clone())).await.expect("it starts");
    for name in ["clients.db-wal", "clients.db-shm"] {
        fs::remove_file(directory.path().join(name)).expect("it is there");
    }
    fs::rename(&backup, &path).expect("it is restored");
    let other = SqlStore::open(&url).await.expect("it opens");
    other.update(&key(1), Update::state(State::Revoked)).await.expect("it is revoked");
    let deadline = Instant::now() + Duration::from_secs(20);
    while follower.snapshot().get(&key(1)).expect("it is known").state != State::Revoked {
        assert!(Instant::now() < deadline, "the file from before is still followed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Writers reach the new file too.
    store.add(client(2, "two")).await.expect("it is new");
    assert!(other.get(&key(2)).await.expect("get").is_some());

    fs::remove_file(&path).expect("it is there");
    let error = store.changes(Revision(0), 1).await.expect_err("the file is missing");
    assert!(matches!(error, Error::Missing(_)), "{error}");
    assert!(!path.exists(), "reading creates nothing");
}

#[tokio::test]
async fn opening_an_existing_store_creates_no_file() {
    let directory = tempfile::tempdir().expect("a directory");
    for scheme in ["file", "sqlite"] {
        let path = directory.path().join(scheme);
        let location = format!("{scheme}:{}", path.display());
        let missing = pssst_identity::open_existing(&location, "test").await.err();
        assert!(matches!(missing, Some(Error::Missing(at)) if at == path));
        assert!(!path.exists());
        pssst_identity::open(&location, "test").await.expect("it opens");
        pssst_identity::open_existing(&location, "test").await.expect("it opens");
    }
}
