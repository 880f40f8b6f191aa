//! Links in place of addresses, keys and directories.

use pssst_test::wait_for;

use crate::fleet::process::{Fleet, start_directory};

/// Every part of a device's way from the link to the reply.
#[test]
fn one_link_is_enough_for_a_fixed_key() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["server"]);
    let mut server = fleet.start(&["serve", "--listen", "127.0.0.1:0", "--secret-key", "server.key"], 2);
    let link = server.value_of("link ");
    assert_eq!(fleet.stdout(&["request", "--server", &link, "hello"]), "hello");
    fleet.write("pssst.toml", &format!("[proxy]\nserver = \"{link}\"\n"));
    fleet.stdout(&["config", "check", "pssst.toml"]);

    // One character, the end, and what the link says already.
    let other = link.replacen("pssst1", "pssst1q", 1);
    let cut = &link[..link.len() - 9];
    let key = fleet.stdout(&["pubkey", "server.key"]);
    for (args, cause) in [
        (&["request", "--server", &other, "hello"][..], "checksum does not fit"),
        (&["request", "--server", cut, "hello"], "the end of the link is missing"),
        (&["request", "--server", &link, "--server-key", key.trim(), "hello"], "the link says what --server-key says"),
        (&["request", "--server", &link, "--directory", "https://a", "hello"], "the link says what --directory says"),
        (&["request", "--server", &link, "--key-cache", "a", "hello"], "--key-cache is for the keys of a directory"),
        (&["keys", "fetch", "--directory", &link], "the link has no directory"),
        (&["token", "create", "--store", "sqlite:a.db", "--link", &link], "the link has no directory"),
    ] {
        let said = fleet.refusal_of_usage(args);
        assert!(said.contains(cause), "{args:?}: {said}");
    }
    // Nobody can be told a wildcard address, and no suite of the link's key is served.
    fleet.stdout(&["keygen", "--suite", "f003", "--out", "long.key"]);
    for more in [["--listen", "[::]:0", "--suite", "f002"], ["--listen", "127.0.0.1:0", "--suite", "f003"]] {
        let serve = ["serve", "--secret-key", "server.key", "--secret-key", "long.key"];
        let server = fleet.start(&[&serve[..], &more].concat(), 3);
        assert!(!server.stop().contains("link "), "{more:?}");
    }
}

#[test]
fn a_link_with_a_token_enrols_and_stays_good_over_a_rotation() {
    let fleet = Fleet::new();
    fleet.stdout(&["keys", "init", "keys.json", "--refresh-interval", "1s"]);
    // A token makes the store.
    fleet.stdout(&["token", "create", "--store", "sqlite:clients.db", "--out", "first"]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--keys", "keys.json"];
    let mut server =
        fleet.start(&[&serve[..], &["--clients", "sqlite:clients.db", "--metrics", "127.0.0.1:0"]].concat(), 3);
    let address = server.value_of("listening on ");
    let (mut directory, ..) = start_directory(&fleet, &["--server", &address]);
    let link = directory.value_of("link ");
    assert!(link.contains(&address), "{link}");

    let create = ["token", "create", "--store", "sqlite:clients.db", "--name", "boiler", "--link", &link];
    fleet.stdout(&[&create[..], &["--out", "token"]].concat());
    let enrolled = fleet.stdout(&["enroll", "--token", "token", "--identity", "boiler.key"]);
    assert!(enrolled.starts_with("boiler pssst1"), "{enrolled}");
    let request = ["request", "--server", &link, "--identity", "boiler.key", "--psk", "boiler.psk", "hello"];
    wait_for("the device is served", || fleet.output(&request, "").status.success());
    fleet.stdout(&["keys", "rotate", "keys.json", "--activation-delay", "1s", "--grace-period", "2s"]);
    wait_for("the first key is over", || fleet.stdout(&["keys", "show", "keys.json"]).matches("next").count() == 0);
    wait_for("the device is served", || fleet.output(&request, "").status.success());
}
