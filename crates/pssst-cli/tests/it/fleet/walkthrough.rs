//! The steps of the documentation for a new user, and what follows.

use pssst_test::wait_for;

use crate::fleet::process::{Fleet, start_directory};

const STORE: &str = "sqlite:clients.db";

#[test]
fn a_device_enrols_is_served_and_is_revoked() {
    let fleet = Fleet::new();
    fleet.stdout(&["keys", "init", "keys.json"]);
    fleet.stdout(&["operator", "create", "alice", "--file", "operators.txt"]);
    let (mut directory, url, pin) = start_directory(&fleet, &["--operators", "operators.txt"]);
    assert!(directory.value_of("operators: ").starts_with("https://127.0.0.1:"));
    let reach = ["--directory", &url, "--pin", &pin];

    // The device has nothing but a token, and makes its own key.
    let token = fleet.stdout(&["token", "create", "--store", STORE, "--name", "boiler-7", "--label", "site=north"]);
    let enroll =
        |identity: &str, token: &str| fleet.output(&[&["enroll", "--identity", identity][..], &reach].concat(), token);
    let enrolled = enroll("boiler.key", &token);
    assert!(enrolled.status.success(), "{}", String::from_utf8_lossy(&enrolled.stderr));
    let key = fleet.stdout(&["pubkey", "boiler.key"]).trim().to_owned();
    assert_eq!(String::from_utf8(enrolled.stdout).unwrap(), format!("boiler-7 {key}\n"));
    let listed = fleet.stdout(&["clients", "list", "--store", STORE]);
    assert!(listed.contains("boiler-7") && listed.contains("enrolled") && listed.contains("site=north"), "{listed}");

    // Nobody else can use the token.
    let refused = enroll("thief.key", &token);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("token_used"));
    assert!(fleet.stdout(&["token", "list", "--store", STORE]).is_empty());
    assert!(fleet.stdout(&["token", "list", "--all", "--store", STORE]).contains(&format!("by {key}")));

    let serve = ["serve", "--listen", "127.0.0.1:0", "--keys", "keys.json", "--clients", STORE, "--verbose"];
    let mut server = fleet.start(&serve, 2);
    let address = server.value_of("listening on ");
    assert_eq!(server.value_of("public key "), fleet.stdout(&[&["keys", "fetch"][..], &reach].concat()).trim());

    // The device knows the address and its directory, and needs no key but its own.
    let request = |more: &[&str]| {
        let args =
            [&["request", "--server", &address, "--timeout", "0.7", "--suite", "f002"][..], &reach, more].concat();
        let output = fleet.output(&[&args[..], &["hello"]].concat(), "");
        (output.status.success() && output.stdout == b"hello", String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let device = ["--identity", "boiler.key", "--psk", "boiler.psk", "--key-cache", "keys-cache.json"];
    wait_for("the device is served", || request(&device).0);
    assert!(fleet.path("keys-cache.json").exists());
    assert!(!request(&["--identity", "boiler.key"]).0, "without the pre-shared key, which it must use");
    fleet.stdout(&["keygen", "--out", "stranger.key"]);
    assert!(!request(&["--identity", "stranger.key"]).0);
    assert!(!request(&[]).0, "anonymous clients are refused where clients are enrolled");

    fleet.stdout(&["clients", "suspend", "boiler-7", "--store", STORE]);
    wait_for("a suspended device is refused", || !request(&device).0);
    fleet.stdout(&["clients", "resume", "boiler-7", "--store", STORE]);
    wait_for("a resumed device is served", || request(&device).0);
    fleet.stdout(&["clients", "revoke", &key, "--store", STORE]);
    wait_for("a revoked device is refused", || !request(&device).0);
    assert!(fleet.refusal(&["clients", "resume", "boiler-7", "--store", STORE]).contains("revoked permanently"));

    let said = server.stop();
    assert!(said.contains(&format!("from client {key}, boiler-7")), "{said}");
    for cause in ["clients_unknown ", "clients_suspended ", "clients_revoked ", "anonymous_refused ", "client_refused "]
    {
        assert!(said.contains(cause), "{cause}: {said}");
    }
    let said = directory.stop();
    assert!(said.contains("enrolled 1"), "{said}");

    // The directory is away: `keys fetch` shows what a directory has, and never a cache.
    for cache in [&["--key-cache", "keys-cache.json"][..], &[]] {
        assert!(fleet.refusal(&[&["keys", "fetch"], cache, &reach].concat()).contains("cannot be reached"));
    }
}

#[test]
fn what_a_schedule_refuses_changes_nothing() {
    let fleet = Fleet::new();
    fleet.stdout(&["keys", "init", "keys.json", "--refresh-interval", "1h"]);
    let before = std::fs::read(fleet.path("keys.json")).unwrap();
    assert!(fleet.refusal(&["keys", "init", "keys.json"]).contains("never overwritten"));
    let too_short = fleet.refusal(&["keys", "rotate", "keys.json", "--activation-delay", "1m", "--grace-period", "1h"]);
    assert!(too_short.contains("clients would be lost"), "{too_short}");
    assert_eq!(std::fs::read(fleet.path("keys.json")).unwrap(), before);

    // A server whose only key becomes the first of a schedule keeps its clients.
    let key = fleet.stdout(&["keygen", "--out", "server.key"]);
    assert_eq!(fleet.stdout(&["keys", "init", "taken-over.json", "--secret-key", "server.key"]), key);
    let next = fleet.stdout(&["keys", "rotate", "taken-over.json"]);
    let shown = fleet.stdout(&["keys", "show", "taken-over.json"]);
    assert!(
        shown.contains(&format!("current  {}", key.trim())) && shown.contains(&format!("next     {}", next.trim()))
    );
    assert!(fleet.refusal(&["keys", "rotate", "taken-over.json"]).contains("not in force yet"));
}

#[test]
fn a_directory_that_is_not_the_pinned_one_is_not_believed() {
    let fleet = Fleet::new();
    fleet.stdout(&["keys", "init", "keys.json"]);
    let (_directory, url, pin) = start_directory(&fleet, &[]);
    let other = format!("sha256:{}", "0".repeat(64));
    assert_ne!(pin, other);
    for trust in [&["--pin", &other][..], &["--directory-ca", "directory.crt", "--key-cache", "c.json"], &[]] {
        // The certificate is for localhost, not for the address.
        let said = fleet.refusal(&[&["keys", "fetch", "--directory", &url][..], trust].concat());
        assert!(said.contains("cannot be reached") || said.contains("certificates cannot be checked"), "{said}");
    }
    let by_name = url.replace("127.0.0.1", "localhost");
    fleet.stdout(&["keys", "fetch", "--directory", &by_name, "--directory-ca", "directory.crt"]);
    let said = fleet.refusal_of_usage(&["keys", "fetch", "--directory", &url.replace("https", "http"), "--pin", &pin]);
    assert!(said.contains("expected a URL of https://"), "{said}");
}
