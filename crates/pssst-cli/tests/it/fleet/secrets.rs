//! Secrets that the program creates: where they go, and what becomes of those that get nowhere.

use std::fs::{File, metadata, read_to_string};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use pssst::PublicKey;
use serde_json::Value;

use crate::fleet::process::{Fleet, start_directory};

const STORE: [&str; 2] = ["--store", "sqlite:clients.db"];

/// Runs a command that must fail since its output finds no room.
fn on_a_full_disk(fleet: &Fleet, args: &[&str]) -> String {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = fleet.command(args).stdin(Stdio::null()).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Runs a command whose files cannot grow.
fn without_room_for_files(fleet: &Fleet, args: &[&str]) -> String {
    let command = fleet.command(args);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"]).arg(command.get_program()).args(args);
    let output = shell.current_dir(fleet.path("")).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_secret_goes_to_a_file_of_its_owner() {
    let fleet = Fleet::new();
    fleet.stdout(&[&["token", "create", "--out", "token"], &STORE[..]].concat());
    fleet.stdout(&["operator", "create", "alice", "--file", "operators", "--out", "alice"]);
    for (file, prefix) in [("token", "PSSST-TOKEN-1"), ("alice", "PSSST-OPERATOR-1")] {
        let mode = metadata(fleet.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
        let secret = read_to_string(fleet.path(file)).unwrap();
        assert!(secret.starts_with(prefix) && secret.ends_with('\n'), "{secret}");
    }
    // An existing file is not overwritten, and no credential is made.
    let said = fleet.refusal(&[&["token", "create", "--out", "token"], &STORE[..]].concat());
    assert!(said.contains("token exists already"), "{said}");
    let said = fleet.refusal(&["operator", "create", "bob", "--file", "operators", "--out", "alice"]);
    assert!(said.contains("alice exists already"), "{said}");
    assert_eq!(fleet.stdout(&["operator", "list", "--file", "operators"]), "alice\n");
    assert_eq!(fleet.stdout(&[&["token", "list"], &STORE[..]].concat()).lines().count(), 1);
    fleet.stdout(&["operator", "remove", "alice", "--file", "operators"]);
    assert_eq!(fleet.stdout(&["operator", "list", "--file", "operators"]), "");
    let said = fleet.refusal(&["operator", "remove", "alice", "--file", "operators"]);
    assert!(said.contains("no operator \"alice\""), "{said}");
}

#[test]
fn what_gets_nowhere_is_worth_nothing() {
    let fleet = Fleet::new();
    let said = on_a_full_disk(&fleet, &[&["token", "create"], &STORE[..]].concat());
    assert!(said.contains("is withdrawn: cannot write the output: No space left on device"), "{said}");
    let list = fleet.stdout(&[&["token", "list", "--all", "--json"], &STORE[..]].concat());
    let token: Value = serde_json::from_str(list.trim()).unwrap();
    assert!(token["withdrawn"].is_string() && token["used"].is_null(), "{token}");

    let said = on_a_full_disk(&fleet, &["operator", "create", "alice", "--file", "operators"]);
    assert!(said.contains("cannot write the output"), "{said}");
    assert_eq!(fleet.stdout(&["operator", "list", "--file", "operators"]), "");

    // Half a file would be in the way.
    let said = without_room_for_files(&fleet, &["keygen", "--out", "client.key"]);
    assert!(said.contains("cannot write client.key"), "{said}");
    let said = without_room_for_files(&fleet, &["operator", "create", "bob", "--file", "operators", "--out", "bob"]);
    assert!(said.contains("cannot write the output"), "{said}");
    assert!(!fleet.path("client.key").exists() && !fleet.path("bob").exists());
    assert_eq!(fleet.stdout(&["operator", "list", "--file", "operators"]), "");
}

/// For scripts.
#[test]
fn tokens_and_keys_are_shown_as_json() {
    let fleet = Fleet::new();
    let json = |args: &[&str]| -> Value { serde_json::from_str(&fleet.stdout(args)).unwrap() };
    let create = ["token", "create", "--json", "--name", "boiler-7", "--label", "site=north"];
    let token = json(&[&create[..], &STORE].concat());
    assert!(token["token"].as_str().unwrap().starts_with("PSSST-TOKEN-1"), "{token}");
    let listed = json(&[&["token", "list", "--json"], &STORE[..]].concat());
    assert_eq!((&listed["id"], &listed["expires"]), (&token["id"], &token["expires"]));
    assert_eq!((&listed["name"], &listed["labels"]["site"]), (&"boiler-7".into(), &"north".into()));
    let key: PublicKey = fleet.stdout(&["keys", "init", "keys.json"]).trim().parse().unwrap();
    let schedule = json(&["keys", "show", "keys.json", "--json"]);
    assert_eq!(
        (&schedule["keys"][0]["key"], &schedule["keys"][0]["state"]),
        (&format!("{key:x}").into(), &"current".into())
    );
    assert_eq!((&schedule["generation"], &schedule["refresh_interval"]), (&0.into(), &3600.into()));
}

/// What decides whom a service trusts must not be written by other users.
#[test]
fn files_that_everyone_can_change_are_refused() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["server", "client"]);
    fleet.stdout(&["keys", "init", "keys.json"]);
    fleet.stdout(&["clients", "add", "one", "client.pub", "--store", "file:clients"]);
    fleet.stdout(&["clients", "add", "one", "client.pub", "--store", "sqlite:clients.db"]);
    fleet.stdout(&["operator", "create", "alice", "--file", "operators", "--out", "alice"]);
    fleet.write("pssst.toml", "[serve]\nlisten = \"127.0.0.1:0\"\nsecret-key = \"server.key\"\n");
    let set_mode = |file: &str, mode| {
        std::fs::set_permissions(fleet.path(file), PermissionsExt::from_mode(mode)).unwrap();
    };
    let serve = ["serve", "--listen", "127.0.0.1:0", "--secret-key", "server.key"];
    let proxy = ["proxy", "--listen", "127.0.0.1:0", "--server", "127.0.0.1:9", "--server-key", "server.pub"];
    let directory = ["directory", "--keys", "keys.json", "--self-signed", "--store", "sqlite:clients.db"];
    for (file, args) in [
        ("pssst.toml", vec!["serve", "--config", "pssst.toml"]),
        ("clients", [&serve[..], &["--clients", "file:clients"]].concat()),
        ("clients.db", [&serve[..], &["--clients", "sqlite:clients.db"]].concat()),
        ("operators", [&directory[..], &["--operators", "operators"]].concat()),
        ("server.pub", proxy.to_vec()),
    ] {
        let mode = metadata(fleet.path(file)).unwrap().permissions().mode();
        set_mode(file, 0o666);
        let output = fleet.output(&args, "");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(matches!(output.status.code(), Some(1 | 2)), "{said}");
        assert!(said.contains(&format!("{file}: everyone can change it (mode 0666)")), "{said}");
        set_mode(file, mode);
    }
    // Anyone could put another file into the folder.
    set_mode("", 0o777);
    let output = fleet.output(&serve, "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("server.key: everyone can replace it in its folder (mode 0777)"), "{said}");
    assert!(fleet.start(&[&serve[..], &["--allow-unsafe-files"]].concat(), 2).stop().contains("received 0"));
}

/// Lists have the hash of a key of suite f003, and clients need the key.
#[test]
fn the_key_of_a_hash_can_be_had() {
    let fleet = Fleet::new();
    fleet.stdout(&["keys", "init", "keys.json", "--post-quantum"]);
    let shown = fleet.stdout(&["keys", "show", "keys.json"]);
    let hash = shown.split_whitespace().find(|word| word.starts_with("pssst-pq1")).unwrap();
    let key = fleet.stdout(&["keys", "show", "keys.json", "--public-key", hash]);
    assert_eq!(key.trim().len(), 2432);
    let said = fleet.refusal_of_usage(&["request", "--server", "127.0.0.1:9", "--server-key", hash, "hello"]);
    assert!(said.contains("is the hash of a key of suite f003") && said.contains("--public-key"), "{said}");
    let (_directory, url, pin) = start_directory(&fleet, &[]);
    let fetch = ["keys", "fetch", "--directory", &url, "--pin", &pin, "--out", "server.pub"];
    assert_eq!(fleet.stdout(&fetch).trim(), hash);
    let written = read_to_string(fleet.path("server.pub")).unwrap();
    assert_eq!(pssst::ServerKey::from_text(&written).unwrap().to_string(), key.trim());
}
