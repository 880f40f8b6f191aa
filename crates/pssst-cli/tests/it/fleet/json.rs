//! What commands print for scripts: objects with names in `snake_case`, times as RFC 3339 has them,
//! spans in seconds.

use serde_json::Value;

use crate::fleet::process::{Fleet, start_directory};

/// Runs a command with `--json`, and returns its objects.
#[track_caller]
fn lines(fleet: &Fleet, line: &str) -> Vec<Value> {
    let args: Vec<_> = line.split(' ').chain(["--json"]).collect();
    let output = fleet.stdout(&args);
    let lines: Vec<Value> = serde_json::Deserializer::from_str(&output).into_iter().map(Result::unwrap).collect();
    for object in &lines {
        check_names(line, object);
    }
    lines
}

#[track_caller]
fn object(fleet: &Fleet, line: &str) -> Value {
    let mut lines = lines(fleet, line);
    assert_eq!(lines.len(), 1, "{line}: {lines:?}");
    lines.remove(0)
}

fn check_names(command: &str, value: &Value) {
    if let Value::Object(fields) = value {
        for (name, value) in fields {
            let is_snake = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            assert!(is_snake, "{command}: {name}");
            // There the names are data.
            if !["labels", "key_requests"].contains(&name.as_str()) {
                check_names(command, value);
            }
        }
    }
}

#[track_caller]
fn has(object: &Value, names: &[&str]) {
    for name in names {
        assert!(object.get(name).is_some_and(|value| !value.is_null()), "{name} in {object}");
    }
}

#[test]
fn every_command_that_scripts_call_prints_objects() {
    let fleet = Fleet::new();
    let key = object(&fleet, "keygen --out server.key");
    has(&key, &["file", "public_key", "fingerprint"]);
    assert_eq!(object(&fleet, "pubkey server.key")["public_key"], key["public_key"]);
    has(&object(&fleet, "keygen --psk-master --out master"), &["file", "psk_master"]);
    has(&object(&fleet, "keygen --suite f003 --out pq.key"), &["public_key"]);
    fleet.write("server.pub", key["public_key"].as_str().unwrap());

    let first = object(&fleet, "keys init keys.json --secret-key server.key --secret-key pq.key --psk-master master");
    assert_eq!(first["keys"][0], key["public_key"]);
    assert!(first["keys"][1].as_str().unwrap().starts_with("pssst-pq1"), "{first}");
    let shown = object(&fleet, "keys show keys.json");
    assert_eq!((&shown["refresh_interval"], &shown["psk_masters"][0]["id"]), (&3600.into(), &first["psk_master"]));
    let (mut directory, url, pin) = start_directory(&fleet, &[]);
    let reach = format!("--directory {url} --pin {pin}");
    has(&object(&fleet, &format!("keys fetch {reach}")), &["keys"]);

    let token = object(&fleet, "token create --store sqlite:clients.db --name boiler-7");
    has(&token, &["id", "token", "expires"]);
    fleet.write_private("token", token["token"].as_str().unwrap());
    let enrolled = object(&fleet, &format!("enroll --identity boiler.key --token token {reach}"));
    assert_eq!((&enrolled["name"], &enrolled["psk_file"]), (&"boiler-7".into(), &"boiler.psk".into()));
    assert_eq!(enrolled["psk_master"], first["psk_master"]);
    let renewed = object(&fleet, &format!("renew --identity boiler.key --psk boiler.psk {reach}"));
    assert_eq!((&renewed["renewed"], &renewed["psk_master"]), (&false.into(), &first["psk_master"]));
    has(&object(&fleet, "precompute --identity boiler.key --server-key server.pub --out id"), &["file", "key"]);
    assert_eq!(lines(&fleet, "token list --all --store sqlite:clients.db").len(), 1);
    let second = object(&fleet, "token create --store sqlite:clients.db")["id"].as_str().unwrap().to_owned();
    let withdrawn = object(&fleet, &format!("token withdraw {second} --store sqlite:clients.db"));
    assert_eq!(withdrawn, serde_json::json!({ "id": second, "withdrawn": true }));
    drop(directory.value_of("pin "));
    directory.stop();

    let added = object(&fleet, "clients add meter-1 server.pub --store sqlite:clients.db");
    assert_eq!((&added["name"], &added["state"]), (&"meter-1".into(), &"enrolled".into()));
    assert!(added["created"].as_str().unwrap().ends_with('Z'), "{added}");
    let changed = lines(&fleet, "clients suspend meter-1 boiler-7 --store sqlite:clients.db");
    assert!(changed.len() == 2 && changed.iter().all(|client| client["state"] == "suspended"), "{changed:?}");
    assert_eq!(lines(&fleet, "clients list --store sqlite:clients.db").len(), 2);
    assert_eq!(object(&fleet, "clients show meter-1 --store sqlite:clients.db")["name"], "meter-1");
    let psk = object(&fleet, "clients psk meter-1 --keys keys.json --store sqlite:clients.db");
    assert_eq!((&psk["psk_file"], &psk["psk_master"]), (&"meter-1.psk".into(), &first["psk_master"]));
    fleet.write("clients.jsonl", &fleet.stdout(&["clients", "export", "--store", "sqlite:clients.db"]));
    assert_eq!(object(&fleet, "clients import clients.jsonl --store file:copy.txt")["added"], 2);
    assert_eq!(object(&fleet, "clients remove meter-1 --store sqlite:clients.db")["name"], "meter-1");

    has(&object(&fleet, "operator create alice --file operators.txt"), &["name", "token"]);
    fleet.stdout(&["operator", "create", "alice", "--file", "operators.txt"]);
    let alice = serde_json::json!({ "name": "alice", "tokens": 2 });
    assert_eq!(lines(&fleet, "operator list --file operators.txt"), [alice]);
    assert_eq!(object(&fleet, "operator remove alice --file operators.txt")["removed"], 2);

    assert!(lines(&fleet, "audit list --store sqlite:clients.db").len() > 5);
    let archive = object(&fleet, "audit archive --before 2999-01-01 --out audit.jsonl --store sqlite:clients.db");
    has(&archive, &["file", "first", "last", "entries"]);
    assert_eq!(object(&fleet, "audit verify audit.jsonl --store sqlite:clients.db")["unchanged"], true);

    let rotated = object(&fleet, "keys rotate keys.json");
    assert_eq!(rotated["keys"].as_array().unwrap().len(), 2);
    has(&object(&fleet, "keys retire keys.json f003"), &["kind", "ends_at", "is_new"]);
    has(&object(&fleet, "keys take-over keys.json --above 70"), &["generation"]);

    let serve = ["serve", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--secret-key", "server.key"];
    let mut server = fleet.start(&serve, 3);
    let (address, link) = (server.value_of("listening on "), server.value_of("link "));
    let metrics = server.value_of("metrics at http://").replace("/metrics", "");
    let reply = object(&fleet, &format!("request --server {address} --server-key server.pub hello"));
    assert_eq!((&reply["reply"], &reply["reply_hex"]), (&"hello".into(), &"68656c6c6f".into()));
    assert_eq!((&reply["suite"], reply["seconds"].as_f64().is_some()), (&0xf002.into(), true));
    assert_eq!(object(&fleet, &format!("link {link}"))["server"], address);
    for command in ["status", "top --interval 100ms"] {
        assert_eq!(object(&fleet, &format!("{command} {metrics}"))["service"], "serve");
    }
}

#[test]
fn everything_that_is_wrong_with_a_configuration_is_in_the_object() {
    let fleet = Fleet::new();
    fleet.write("bad.toml", "[gatway]\nlisten = 1\n\n[serve]\nworkers = 0\n");
    let output = fleet.output(&["config", "check", "bad.toml", "--json"], "");
    assert_eq!(output.status.code(), Some(2));
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    let faults = object["faults"].as_array().unwrap();
    assert_eq!((&object["right"], faults.len()), (&false.into(), 3), "{object}");
    assert!(faults[0]["message"].as_str().unwrap().starts_with("bad.toml:1: there is no table [gatway]"), "{object}");
    fleet.generate_keys(&["server"]);
    fleet.write("good.toml", "[serve]\nsecret-key = \"server.key\"\n");
    let object = self::object(&fleet, "config check good.toml");
    assert_eq!(object, serde_json::json!({ "file": "good.toml", "right": true, "services": ["serve"], "faults": [] }));
}

/// Two kinds of keys begin a schedule; two of one kind do not.
#[test]
fn a_schedule_begins_with_the_keys_that_a_server_has() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["one", "two"]);
    let said =
        fleet.refusal_of_usage(&["keys", "init", "k.json", "--secret-key", "one.key", "--secret-key", "two.key"]);
    assert!(said.contains("two.key is a second key of its kind") && !fleet.path("k.json").exists(), "{said}");
}

/// The master before the last one is given up, and its clients cannot renew.
#[test]
fn masters_that_a_theft_ends_are_named() {
    let fleet = Fleet::new();
    fleet.stdout(&["keys", "init", "keys.json", "--refresh-interval", "1s"]);
    let first = object(&fleet, "keys show keys.json")["psk_masters"][0]["id"].as_str().unwrap().to_owned();
    let rotate = |more: &[&str]| {
        let output = fleet.output(&[&["keys", "rotate", "keys.json"], more].concat(), "");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        said
    };
    let said = rotate(&["--activation-delay", "2s", "--grace-period", "1d"]);
    assert!(
        said.contains("clients use the new keys from 2") && said.contains("servers accept the old ones until"),
        "{said}"
    );
    pssst_test::wait_for("the new master is in force", || {
        object(&fleet, "keys show keys.json")["psk_masters"]
            .as_array()
            .unwrap()
            .iter()
            .any(|master| master["id"] != first.as_str() && master["state"] == "current")
    });
    let said = rotate(&["--compromised"]);
    assert!(said.contains(&format!("master {first} of pre-shared keys is gone")), "{said}");
}
