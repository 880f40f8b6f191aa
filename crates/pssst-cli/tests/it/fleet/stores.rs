//! `pssst clients` with each kind of store that it can reach.

use pssst_identity::SqlStore;
use pssst_test::{Postgres, wait_for};

use crate::fleet::process::Fleet;

fn lives_through_everything(fleet: &Fleet, store: &str) {
    let store = ["--store", store];
    let clients = |args: &[&str]| fleet.stdout(&[&["clients"][..], args, &store].concat());
    let refused = |args: &[&str]| fleet.refusal(&[&["clients"][..], args, &store].concat());
    let keys: Vec<_> = (0..3)
        .map(|number| fleet.stdout(&["keygen", "--out", &format!("{}-{number}.key", store[1].len())]).trim().to_owned())
        .collect();

    assert_eq!(
        clients(&["add", "alpha", &keys[0], "--label", "site=north", "--expires", "2030-01-31"]),
        format!("alpha {}\n", keys[0])
    );
    clients(&["add", "beta", &keys[1]]);
    assert!(refused(&["add", "gamma", &keys[0]]).contains("enrolled already"));
    assert!(refused(&["add", "alpha", &keys[2]]).contains("has the name"));
    // A name that is a key would name another client.
    for name in ["two words", &keys[0], &keys[2].to_uppercase()] {
        assert!(refused(&["add", name, &keys[2]]).contains("is not a name"), "{name}");
    }
    assert!(refused(&["add", "weak", &"0".repeat(64)]).contains("cannot be enrolled"));

    let shown = clients(&["show", "alpha"]);
    for line in ["state        enrolled", "expires      2030-01-31T00:00:00Z", "label        site=north"] {
        assert!(shown.contains(line), "{shown}");
    }
    assert_eq!(clients(&["list", "--search", "SITE=n"]).lines().count(), 1);
    assert_eq!(clients(&["list", "--limit", "1"]).lines().count(), 1);
    clients(&["suspend", "alpha", &keys[1]]);
    assert_eq!(clients(&["list", "--state", "suspended"]).lines().count(), 2);
    clients(&["resume", "alpha"]);
    clients(&["revoke", "beta"]);
    assert!(refused(&["resume", "beta"]).contains("permanently"));
    assert!(refused(&["show", "delta"]).contains("no client"));

    // Out, away, and in again.
    let exported = clients(&["export"]);
    assert_eq!(exported.lines().count(), 2);
    assert!(exported.contains("\"state\":\"revoked\""));
    clients(&["remove", "alpha", "beta"]);
    assert_eq!(clients(&["list"]), "");
    let import =
        |more: &[&str], text: &str| fleet.output(&[&["clients", "import", "-"][..], more, &store].concat(), text);
    let said = import(&[], &exported);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let unchanged = |text: &str| {
        let client = |line: &str| {
            let mut client: serde_json::Value = serde_json::from_str(line).unwrap();
            client.as_object_mut().unwrap().remove("changed");
            client
        };
        text.lines().map(client).collect::<Vec<_>>()
    };
    assert_eq!(unchanged(&clients(&["export"])), unchanged(&exported));

    let again = import(&[], &exported);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("enrolled already"));
    let new = format!("{exported}\n{{\"key\":\"{}\",\"name\":\"gamma\",\"requires_psk\":true}}\n", keys[2]);
    assert!(String::from_utf8_lossy(&import(&["--skip-known"], &new).stderr).contains("1 clients added"));
    let exported = clients(&["export"]);
    assert!(
        exported.lines().any(|line| line.contains("gamma") && line.contains("\"requires_psk\":true")),
        "{exported}"
    );
    for (bad, expected) in [
        ("{}", "line 1"),
        ("nonsense", "line 1"),
        (&format!("{{\"key\":\"{}\",\"name\":\"\"}}", keys[0]), "is not a name"),
        // It would be enrolled.
        (&format!("{{\"key\":\"{}\",\"name\":\"x\",\"status\":\"revoked\"}}", keys[0]), "unknown field `status`"),
    ] {
        let refused = import(&[], bad);
        assert_eq!(refused.status.code(), Some(1));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(clients(&["list"]).lines().count(), 3);
}

#[test]
fn a_file() {
    let fleet = Fleet::new();
    lives_through_everything(&fleet, "file:clients.txt");
    assert!(fleet.refusal_of_usage(&["token", "create", "--store", "file:clients.txt"]).contains("no tokens"));
}

#[test]
fn sqlite() {
    lives_through_everything(&Fleet::new(), "sqlite:clients.db");
}

#[test]
fn postgresql() {
    lives_through_everything(&Fleet::new(), &Postgres::shared().fresh_database());
}

#[test]
fn locations_that_are_none() {
    let fleet = Fleet::new();
    for location in ["clients.db", "mysql://localhost/x", "sqlite:/nowhere/clients.db", "file:/nowhere/clients.txt"] {
        fleet.refusal(&["clients", "add", "alpha", &"9".repeat(64), "--store", location]);
    }
    // Nobody gets to see the password.
    let said = fleet.refusal(&["clients", "list", "--store", "postgres://pssst:hunter2@127.0.0.1:1/pssst"]);
    assert!(!said.contains("hunter2"), "{said}");
}

/// Servers report themselves to the database that they follow, and say when they stop.
#[test]
fn operators_see_the_servers_that_follow_a_store() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["server"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let servers = |store: &str| {
        let location = format!("sqlite:{}", fleet.path(store).display());
        runtime.block_on(async { SqlStore::open(&location).await.unwrap().servers().await.unwrap() })
    };
    let configure = |store: &str| {
        assert_eq!(servers(store), []);
        fleet.write("pssst.toml", &format!("[serve]\nsecret-key = \"server.key\"\nclients = \"sqlite:{store}\"\n"));
    };
    configure("one.db");
    let mut server = fleet.start(&["serve", "--listen", "127.0.0.1:0", "--config", "pssst.toml"], 2);
    let address = server.value_of("listening on ");
    wait_for("the server's report", || servers("one.db").len() == 1);
    assert!(servers("one.db")[0].name.ends_with(&address), "{:?} {address}", servers("one.db"));
    // It follows another store from now on.
    configure("two.db");
    server.signal("HUP");
    wait_for("the server's report", || servers("two.db").len() == 1);
    assert_eq!(servers("one.db"), []);
    server.stop();
    assert_eq!(servers("two.db"), []);
}

fn audit<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["audit"][..], args, &["--store", "sqlite:clients.db"]].concat()
}

#[test]
fn old_entries_of_the_audit_log_are_archived_and_verified() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["one", "two"]);
    for name in ["one", "two"] {
        fleet.stdout(&["clients", "add", name, &format!("{name}.pub"), "--store", "sqlite:clients.db"]);
    }
    assert_eq!(fleet.stdout(&audit(&["list"])).lines().count(), 2);
    let archive = |file| fleet.output(&audit(&["archive", "--before", "2030-01-01", "--out", file]), "");
    let said = archive("first.log");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(String::from_utf8_lossy(&said.stderr).contains("entries 1 to 2 (2) are in first.log"));
    assert!(archive("second.log").status.success());
    // Nothing is lost by a name that is taken, and an archive of nothing is none.
    assert!(fleet.refusal(&audit(&["archive", "--before", "2030-01-01", "--out", "first.log"])).contains("first.log"));
    fleet.stdout(&audit(&["archive", "--before", "2020-01-01", "--out", "none.log"]));
    assert!(!fleet.path("none.log").exists());
    fleet.stdout(&audit(&["verify", "first.log", "second.log"]));
    assert!(fleet.refusal(&audit(&["verify", "first.log"])).contains("1 of 2 archives"));
    assert!(fleet.refusal(&audit(&["verify", "second.log"])).contains("second.log: not what was archived"));
    let forged = std::fs::read_to_string(fleet.path("first.log")).unwrap().replace("\"two\"", "\"too\"");
    fleet.write("first.log", &forged);
    assert!(fleet.refusal(&audit(&["verify", "first.log", "second.log"])).contains("first.log: not what was archived"));
}

/// A volume may be mounted without the right to write, and a backup is only read.
#[test]
fn a_database_that_may_only_be_read_is_read() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["one", "two"]);
    let store = ["--store", "sqlite:clients.db"];
    fleet.stdout(&[&["clients", "add", "one", "one.pub"], &store[..]].concat());
    let set_mode = |name: &str, mode| {
        std::fs::set_permissions(fleet.path(name), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    let program = fleet.path("pssst");
    std::fs::copy(fleet.command(&[]).get_program(), &program).unwrap();
    set_mode("clients.db", 0o444);
    set_mode("", 0o555);
    // Root may write everywhere.
    let is_root = nix::unistd::Uid::current().is_root();
    let list = || {
        let mut command =
            if is_root { std::process::Command::new("setpriv") } else { std::process::Command::new(&program) };
        if is_root {
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program);
        }
        let output = command.args(["clients", "list"]).args(store).current_dir(fleet.path("")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(list().starts_with("one "), "{}", list());
    set_mode("", 0o755);
    set_mode("clients.db", 0o644);
    fleet.stdout(&[&["clients", "add", "two", "two.pub"], &store[..]].concat());
    set_mode("clients.db", 0o444);
    set_mode("", 0o555);
    assert_eq!(list().lines().count(), 2);
    set_mode("", 0o755);
}
