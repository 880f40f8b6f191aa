//! What only the file can do.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pssst_identity::jiff::Timestamp;
use pssst_identity::pssst::{PublicKey, Refusal};
use pssst_identity::{Error, FileStore, IdentityStore, ListQuery, NewIdentity, Revision, State, Update};
use tempfile::TempDir;

use crate::stores::support::{client, feed, key};
use crate::stores::writers::many_writers_and_a_follower;

fn directory_and_path() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("clients");
    (directory, path)
}

async fn opened(path: &Path) -> Arc<dyn IdentityStore> {
    Arc::new(FileStore::open(path).await.expect("it opens"))
}

type Check = fn(&Error) -> bool;

/// As editors do.
fn save(path: &Path, text: impl AsRef<[u8]>) {
    let new = path.with_extension("edited");
    fs::write(&new, text).expect("it is written");
    fs::rename(new, path).expect("it is renamed");
}

async fn names(store: &Arc<dyn IdentityStore>) -> Vec<String> {
    let page = store.list(&ListQuery::default()).await.expect("a page");
    page.identities.into_iter().map(|identity| identity.name).collect()
}

#[tokio::test]
async fn a_missing_file_is_made_for_its_owner() {
    let (_directory, path) = directory_and_path();
    let store = opened(&path).await;
    assert!(names(&store).await.is_empty());
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert!(matches!(FileStore::open(path.join("x")).await, Err(Error::File(_))));
}

#[tokio::test]
async fn edits_by_hand_are_seen() {
    let (_directory, path) = directory_and_path();
    save(&path, format!("{} one\n", key(1)));
    let store = opened(&path).await;
    let one = store.get(&key(1)).await.expect("get").expect("it is there");
    let modified =
        Timestamp::try_from(fs::metadata(&path).expect("metadata").modified().expect("a time")).expect("a time");
    assert_eq!((one.created.as_millisecond(), one.changed), (modified.as_millisecond(), one.created));
    let mut after = store.changes(Revision(0), 10).await.expect("the feed").latest;
    let mut told = async || {
        let changes = feed(&store, after, 10).await;
        after = changes.last().map_or(after, |change| change.revision);
        changes.into_iter().map(|change| (change.key, change.status.map(|status| status.state))).collect::<Vec<_>>()
    };
    assert_eq!(told().await, []);
    // One more; what is as it was is not told again, however the line is written.
    save(&path, format!("# new:\n{} two state=suspended\n\n\t{}   one\n", key(2), key(1)));
    assert_eq!(told().await, [(key(2), Some(State::Suspended))]);
    assert_eq!(store.get(&key(1)).await.expect("get"), Some(one));
    // In place, of the same length, and perhaps within the same tick of the clock.
    fs::write(&path, format!("# new:\n{} two state=suspended\n\n\t{}   eno\n", key(2), key(1))).expect("it is written");
    assert_eq!(told().await, [(key(1), Some(State::Enrolled))]);
    assert_eq!(names(&store).await, ["eno", "two"]);
    save(&path, format!("{} eno\n", key(1)));
    assert_eq!(told().await, [(key(2), None)]);
    // Names may be exchanged.
    save(&path, format!("{} a\n{} b", key(1), key(2)));
    save(&path, format!("{} b\n{} a", key(1), key(2)));
    assert_eq!(store.find_by_name("a").await.expect("find").map(|identity| identity.key), Some(key(2)));
}

#[tokio::test]
async fn what_people_wrote_stays() {
    let (_directory, path) = directory_and_path();
    let [one, two, three] = [1, 2, 3].map(|number| key(number).to_string());
    let upper = two.to_uppercase();
    let text =
        format!("# Clients.\r\n\n  {one}\tone label:a=\"b c\"\r\n# {one} is fine.\n{upper} two\n\n{three} three");
    save(&path, &text);
    let store = opened(&path).await;
    store.update(&key(2), Update::state(State::Suspended)).await.expect("update");
    store.add(client(4, "four").with_label("room", "pump \"room\"").expect("a label")).await.expect("it is new");
    let edited = fs::read_to_string(&path).expect("the file");
    let lines: Vec<_> = edited.split_inclusive('\n').collect();
    let expected_start = format!("# Clients.\r\n\n  {one}\tone label:a=\"b c\"\r\n# {one} is fine.\n");
    assert!(edited.starts_with(&expected_start), "{edited}");
    assert!(lines[4].starts_with(&format!("{two} two state=suspended created=")), "{edited}");
    assert_eq!((lines[5], lines[6]), ("\n", &*format!("{three} three\n")));
    assert!(lines[7].starts_with(&format!("{} four created=", key(4))), "{edited}");
    assert!(lines[7].ends_with("Z label:room=\"pump \\\"room\\\"\"\n"), "{edited}");
    store.remove(&key(2)).await.expect("remove");
    let removed = fs::read_to_string(&path).expect("the file");
    assert_eq!(removed, edited.replace(lines[4], ""));
    // Another reader gets the same.
    let (mine, other) = (store.get(&key(4)).await.expect("get"), opened(&path).await.get(&key(4)).await.expect("get"));
    assert!(mine.is_some() && mine == other);
}

#[tokio::test]
async fn a_bad_file_changes_nothing() {
    let (_directory, path) = directory_and_path();
    let good = format!("{} one\n{} two\n", key(1), key(2));
    save(&path, &good);
    let store = opened(&path).await;
    let before = store.changes(Revision(0), 10).await.expect("the feed");
    let mut alias = *key(3).as_bytes();
    alias[31] |= 0x80;
    let alias = PublicKey::from_bytes(alias);
    let is_line_3 = |error: &Error, check: Check| matches!(error, Error::Line { line: 3, cause } if check(cause));
    let cases: [(Vec<u8>, Check); 9] = [
        (format!("{alias} three").into(), |cause| matches!(cause, Error::Key(Refusal::ClientKeyAlias))),
        (format!("{} three", "0".repeat(64)).into(), |cause| matches!(cause, Error::Key(Refusal::WeakKey))),
        (format!("{} three", key(1)).into(), |cause| matches!(cause, Error::KeyTaken(_))),
        (format!("{} one", key(3)).into(), |cause| matches!(cause, Error::NameTaken(_))),
        (format!("{} three colour=red", key(3)).into(), |cause| matches!(cause, Error::Syntax(_))),
        (format!("{}", key(3)).into(), |cause| matches!(cause, Error::Syntax(_))),
        (b"0123 three".into(), |cause| matches!(cause, Error::Syntax(_))),
        (b"# \xff\xfe".into(), |cause| matches!(cause, Error::Syntax(_))),
        (vec![0; 100], |cause| matches!(cause, Error::Syntax(_))),
    ];
    for (bad_line, check) in cases {
        let bad = [format!("{} one state=revoked\n# {}\n", key(1), key(2)).as_bytes(), &bad_line, b"\n"].concat();
        save(&path, &bad);
        for _ in 0..2 {
            let error = store.changes(Revision(0), 10).await.expect_err("it is bad");
            assert!(is_line_3(&error, check), "{error}");
        }
        assert_eq!(names(&store).await, ["one", "two"], "the last good content is in force");
        assert_eq!(store.get(&key(1)).await.expect("get").map(|one| one.state), Some(State::Enrolled));
        let error = store.add(client(4, "four")).await.expect_err("nothing is written into a bad file");
        assert!(is_line_3(&error, check), "{error}");
        assert_eq!(fs::read(&path).expect("the file"), bad);
        assert!(is_line_3(&FileStore::open(&path).await.expect_err("it is bad"), check));
    }
    fs::remove_file(&path).expect("it is there");
    assert!(matches!(store.changes(Revision(0), 10).await, Err(Error::File(_))));
    assert_eq!(names(&store).await, ["one", "two"]);
    fs::create_dir(&path).expect("a directory");
    assert!(matches!(store.changes(Revision(0), 10).await, Err(Error::File(_))));
    fs::remove_dir(&path).expect("it is empty");
    File::create(&path).and_then(|file| file.set_len((64 << 20) + 1)).expect("a long file");
    assert!(matches!(store.changes(Revision(0), 10).await, Err(Error::File(_))));
    assert!(matches!(store.remove(&key(1)).await, Err(Error::File(_))));
    save(&path, &good);
    assert_eq!(store.changes(Revision(0), 10).await.expect("it is good again"), before);
}

#[tokio::test]
async fn an_emptied_file_changes_nothing() {
    let (_directory, path) = directory_and_path();
    let store = opened(&path).await;
    store.add(client(1, "one")).await.expect("it is new");
    fs::write(&path, "").expect("it is emptied");
    assert!(matches!(store.changes(Revision(0), 10).await, Err(Error::File(_))));
    assert!(matches!(store.add(client(2, "two")).await, Err(Error::File(_))));
    assert_eq!(names(&store).await, ["one"]);
    fs::write(&path, "# Nobody.\n").expect("a comment");
    assert!(names(&store).await.is_empty());
    // Nor does the store itself leave an empty file.
    store.add(client(2, "two")).await.expect("it is new");
    save(&path, format!("{} two\n", key(2)));
    store.remove(&key(2)).await.expect("remove");
    assert!(fs::read_to_string(&path).expect("the file").starts_with("# "));
    assert!(names(&opened(&path).await).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_two_handles_take_turns() {
    let (_directory, path) = directory_and_path();
    many_writers_and_a_follower(vec![opened(&path).await, opened(&path).await]).await;
}

#[tokio::test]
async fn a_link_stays_a_link_and_a_mode_a_mode() {
    let (directory, path) = directory_and_path();
    let target = directory.path().join("target");
    fs::write(&target, "# Mine.\n").expect("it is written");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).expect("chmod");
    let before = fs::metadata(&target).expect("metadata");
    std::os::unix::fs::symlink(&target, &path).expect("a link");
    let store = opened(&path).await;
    store.add(client(1, "one")).await.expect("it is new");
    assert!(fs::symlink_metadata(&path).expect("metadata").is_symlink());
    let after = fs::metadata(&target).expect("metadata");
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    assert_ne!(after.ino(), before.ino(), "replaced, not written into");
}

#[tokio::test]
async fn a_failure_to_write_changes_nothing() {
    let (_directory, path) = directory_and_path();
    let store = opened(&path).await;
    store.add(client(1, "one")).await.expect("it is new");
    let good = fs::read_to_string(&path).expect("the file");
    // With one client more it would be too long.
    let comment = "x".repeat((64 << 20) - good.len() - 10);
    save(&path, format!("{good}# {comment}\n"));
    assert!(matches!(store.add(client(2, "two")).await, Err(Error::File(_))));
    assert_eq!(names(&store).await, ["one"]);
    let told = feed(&store, Revision(0), 10).await;
    assert!(told.iter().all(|change| change.status.is_some() == (change.key == key(1))), "{told:?}");
    save(&path, good);
    store.add(client(2, "two")).await.expect("it is new");
    assert_eq!(names(&opened(&path).await).await, ["one", "two"]);
}

#[tokio::test]
async fn a_store_is_opened_by_its_location() {
    let (directory, path) = directory_and_path();
    let file = format!("file:{}", path.display());
    let sqlite = format!("sqlite:{}", directory.path().join("clients.db").display());
    for location in ["memory:", &file, &sqlite] {
        let store = pssst_identity::open(location, "alice").await.expect(location);
        store.add(NewIdentity::new(key(1), "one").expect("a name")).await.expect("it is new");
    }
    let log =
        pssst_identity::SqlStore::open(&sqlite).await.expect("it opens").audit_log(None, 10).await.expect("the log");
    assert_eq!(log[0].actor, "alice");
    for location in
        ["", "memory", "memory:x", "file:", "clients", "http://x", "mysql://u:hunter2@h/d", "postgres:u:hunter2"]
    {
        let Err(error) = pssst_identity::open(location, "alice").await else { panic!("{location}") };
        assert!(matches!(error, Error::Syntax(_)) && !error.to_string().contains("hunter2"), "{error}");
    }
}
