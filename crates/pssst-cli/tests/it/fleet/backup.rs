//! Backup and restore of a fleet, as docs/operations.md has it.

use pssst_test::{Postgres, Process, wait_for};

use crate::fleet::process::Fleet;

/// The files of a directory, but for the database.
const FILES: [&str; 4] = ["keys.json", "directory.crt", "directory.key", "operators"];

/// Where the clients are, and how they are saved and restored.
struct Store {
    location: String,
    save: Box<dyn Fn(&Fleet)>,
    restore: Box<dyn Fn(&Fleet)>,
}

fn sqlite() -> Store {
    // The directory is stopped: then the file is complete.
    let save = |fleet: &Fleet| {
        std::fs::copy(fleet.path("clients.db"), fleet.path("saved.db")).unwrap();
    };
    let restore = |fleet: &Fleet| {
        // A new file in the place of the old one, not over it.
        std::fs::copy(fleet.path("saved.db"), fleet.path("new.db")).unwrap();
        for rest in ["clients.db-wal", "clients.db-shm"] {
            drop(std::fs::remove_file(fleet.path(rest)));
        }
        std::fs::rename(fleet.path("new.db"), fleet.path("clients.db")).unwrap();
    };
    Store { location: "sqlite:clients.db".to_owned(), save: Box::new(save), restore: Box::new(restore) }
}

fn postgres() -> Store {
    let location = Postgres::shared().fresh_database();
    let (saved, restored) = (location.clone(), location.clone());
    Store {
        location,
        save: Box::new(move |fleet| fleet.write("saved.sql", &Postgres::dump(&saved))),
        restore: Box::new(move |fleet| {
            let dump = std::fs::read_to_string(fleet.path("saved.sql")).unwrap();
            Postgres::shared().restore(&restored, &dump);
        }),
    }
}

fn start_directory(fleet: &Fleet, store: &str) -> (Process, String, String) {
    let listen = ["directory", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--keys", "keys.json"];
    let certificate = ["--self-signed", "--certificate", "directory.crt", "--certificate-key", "directory.key"];
    let rest = ["--store", store, "--operators", "operators"];
    let mut directory = fleet.start(&[&listen[..], &certificate, &rest].concat(), 0);
    let (url, pin) = (directory.value_of("clients: "), directory.value_of("pin "));
    (directory, url, pin)
}

fn lives_through_a_restore(store: &Store) {
    let fleet = Fleet::new();
    let at = ["--store", &store.location];
    let clients = |args: &[&str]| fleet.stdout(&[&["clients"][..], args, &at].concat());
    fleet.generate_keys(&["one", "two", "late"]);
    fleet.stdout(&["keys", "init", "keys.json"]);
    fleet.stdout(&["operator", "create", "alice", "--file", "operators", "--out", "alice"]);
    for name in ["one", "two"] {
        clients(&["add", name, &format!("{name}.pub")]);
    }
    let (directory, _, pin) = start_directory(&fleet, &store.location);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--keys", "keys.json", "--clients", &store.location];
    let mut server = fleet.start(&serve, 2);
    let address = server.value_of("listening on ");

    // The backup.
    directory.stop();
    (store.save)(&fleet);
    std::fs::create_dir(fleet.path("saved")).unwrap();
    for file in FILES {
        std::fs::copy(fleet.path(file), fleet.path("saved").join(file)).unwrap();
    }
    let (directory, url, _) = start_directory(&fleet, &store.location);

    // The fleet is used.
    let new = fleet.stdout(&["keys", "rotate", "keys.json", "--compromised"]);
    // Until then a client would cache the old key for an hour.
    let fetch = ["keys", "fetch", "--directory", &url, "--pin", &pin];
    wait_for("the directory has the new key", || fleet.stdout(&fetch) == new);
    clients(&["revoke", "two"]);
    clients(&["add", "late", "late.pub"]);
    let is_served = |url: &str, identity: &str| {
        let request = ["request", "--server", &address, "--directory", url, "--pin", &pin, "--key-cache", "cache"];
        fleet
            .output(&[&request[..], &["--identity", identity, "--timeout", "1", "hello"]].concat(), "")
            .status
            .success()
    };
    wait_for("the late client is served", || is_served(&url, "late.key"));
    wait_for("the revoked client is refused", || !is_served(&url, "two.key"));

    // The directory's machine is lost, and comes back as it was saved.
    directory.stop();
    (store.restore)(&fleet);
    for file in FILES {
        let restored = fleet.path(&format!("{file}.new"));
        std::fs::copy(fleet.path("saved").join(file), &restored).unwrap();
        std::fs::rename(restored, fleet.path(file)).unwrap();
    }
    // Seconds since 1970 are above any generation that a client can have.
    let seconds = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().to_string();
    fleet.stdout(&["keys", "take-over", "keys.json", "--above", &seconds]);
    let (directory, url, restored_pin) = start_directory(&fleet, &store.location);
    assert_eq!(restored_pin, pin, "clients need no other pin");

    // What came later than the backup has to be done again.
    std::fs::remove_file(fleet.path("cache")).unwrap();
    wait_for("a client of the backup is served", || is_served(&url, "one.key"));
    wait_for("the late client is unknown", || !is_served(&url, "late.key"));
    wait_for("the client that was revoked later is enrolled", || is_served(&url, "two.key"));
    assert!(clients(&["list"]).contains("two ") && !clients(&["list"]).contains("late"));
    clients(&["revoke", "two"]);
    wait_for("it is revoked again", || !is_served(&url, "two.key"));
    assert_eq!(fleet.stdout(&["operator", "list", "--file", "operators"]), "alice\n");
    directory.stop();
    server.stop();
}

#[test]
fn a_fleet_with_sqlite_is_restored_from_a_backup() {
    lives_through_a_restore(&sqlite());
}

#[test]
fn a_fleet_with_postgresql_is_restored_from_a_backup() {
    lives_through_a_restore(&postgres());
}
