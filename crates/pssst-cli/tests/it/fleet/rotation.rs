//! Keys change under load, and nobody notices.

use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use pssst::{PskMaster, PublicKey, SecretKey};
use pssst_directory::IssuedPsk;
use pssst_test::wait_for;
use serde_json::Value;

use crate::fleet::process::{Fleet, start_directory};

/// Two servers and a directory follow one schedule, which is rotated three times. `pssst bench`
/// keeps the first server busy and follows the directory meanwhile. `PSSST_ROTATION_SECONDS` is how
/// long, at least 24, and `PSSST_ROTATION_RATE` how many requests a second.
#[test]
#[ignore = "long: a step of `cargo xtask ci full`"]
fn no_transaction_fails_while_keys_rotate() {
    let seconds = std::env::var("PSSST_ROTATION_SECONDS").ok().map_or(24, |text| text.parse::<u32>().unwrap().max(24));
    let rate = std::env::var("PSSST_ROTATION_RATE").unwrap_or_else(|_| "250".into());
    let fleet = Fleet::new();
    let first_key = fleet.stdout(&["keys", "init", "keys.json", "--refresh-interval", "1s"]);
    fleet.stdout(&["keygen", "--out", "client.key"]);
    let (_directory, url, pin) = start_directory(&fleet, &[]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--keys", "keys.json", "--workers", "1"];
    let mut servers = [fleet.start(&serve, 2), fleet.start(&serve, 2)];
    let [address, other_address] = servers.each_mut().map(|server| server.value_of("listening on "));

    let span = seconds.to_string();
    let bench = [
        "bench",
        "--server",
        &address,
        "--directory",
        &url,
        "--pin",
        &pin,
        "--identity",
        "client.key",
        "--authenticated-share",
        "0.5",
        "--duration",
        &span,
        "--requests-prepared",
        "2000",
        "--rate",
        &rate,
        "--suite",
        "f002",
        "--timeout",
        "5",
        "--json",
    ];
    let report = thread::scope(|scope| {
        let load = scope.spawn(|| fleet.output(&bench, ""));
        // The load begins, and each key is in force for a while.
        for _ in 0..3 {
            thread::sleep(Duration::from_secs((seconds / 5).into()));
            fleet.stdout(&["keys", "rotate", "keys.json", "--activation-delay", "2500ms", "--grace-period", "2500ms"]);
            // The other server, by a client that has just come, before and after the change.
            for pause in [0, 2700] {
                thread::sleep(Duration::from_millis(pause));
                let request = ["request", "--server", &other_address, "--directory", &url, "--pin", &pin, "hello"];
                assert_eq!(fleet.stdout(&request), "hello");
            }
        }
        load.join().unwrap()
    });
    let said = String::from_utf8_lossy(&report.stderr);
    assert!(report.status.success(), "{said}");
    assert_eq!(said.matches("the server's key has changed").count(), 3, "{said}");

    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    println!("{seconds} s, three rotations: {report}");
    let count = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("no {name} in {report}"));
    assert!(count("requests") > 1000.0, "{report}");
    for failures in ["lost", "refused", "unsent"] {
        assert!(count(failures).abs() < f64::EPSILON, "{failures}: {report}");
    }
    let last_key = fleet.stdout(&["keys", "fetch", "--directory", &url, "--pin", &pin]);
    assert_ne!(first_key, last_key);
    for server in servers {
        let said = server.stop();
        assert!(!said.contains("decrypt_failed"), "{said}");
    }
}

/// Sends a datagram, and returns whether its echo comes within a second.
fn is_answered(proxy: &str) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.send_to(b"hello", proxy).unwrap();
    matches!(socket.recv(&mut [0; 100]), Ok(5))
}

/// A proxy has the key of its start in memory: it must come back to the directory by itself.
#[test]
fn a_proxy_follows_its_directory_through_a_rotation() {
    let fleet = Fleet::new();
    fleet.stdout(&["keys", "init", "keys.json", "--refresh-interval", "1s"]);
    let (_directory, url, pin) = start_directory(&fleet, &[]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--keys", "keys.json", "--workers", "1"];
    let mut server = fleet.start(&serve, 2);
    let address = server.value_of("listening on ");
    let proxy = ["proxy", "--listen", "127.0.0.1:0", "--server", &address, "--directory", &url, "--pin", &pin];
    let mut proxy = fleet.start(&proxy, 1);
    let listening = proxy.value_of("listening on ");
    wait_for("the first key", || is_answered(&listening));

    let new = fleet.stdout(&["keys", "rotate", "keys.json", "--activation-delay", "1s", "--grace-period", "1s"]);
    let current = format!("current  {}", new.trim());
    wait_for("the old key has expired", || {
        let keys = fleet.stdout(&["keys", "show", "keys.json"]);
        keys.contains(&current) && !keys.contains("previous")
    });
    wait_for("the new key", || is_answered(&listening));
    proxy.stop();
    server.stop();
}

/// It remembers which keys it had over a reload, also without a cache.
#[test]
fn a_proxy_takes_no_older_keys_after_a_reload() {
    let fleet = Fleet::new();
    fleet.stdout(&["keys", "init", "keys.json"]);
    std::fs::copy(fleet.path("keys.json"), fleet.path("backup.json")).unwrap();
    let new = fleet.stdout(&["keys", "rotate", "keys.json", "--compromised"]).trim().to_owned();
    std::fs::copy(fleet.path("keys.json"), fleet.path("served.json")).unwrap();
    let (_directory, url, pin) = start_directory(&fleet, &[]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--keys", "served.json", "--workers", "1"];
    let mut server = fleet.start(&serve, 2);
    let address = server.value_of("listening on ");
    let proxy = ["proxy", "--listen", "127.0.0.1:0", "--server", &address, "--directory", &url, "--pin", &pin];
    let mut proxy = fleet.start(&proxy, 1);
    let listening = proxy.value_of("listening on ");
    wait_for("the proxy serves", || is_answered(&listening));

    std::fs::copy(fleet.path("backup.json"), fleet.path("keys.json")).unwrap();
    let fetch = ["keys", "fetch", "--directory", &url, "--pin", &pin];
    wait_for("the directory has the backup", || fleet.stdout(&fetch).trim() != new);
    for reload in 1..=2 {
        proxy.signal("HUP");
        proxy.wait_for_stderr("reloaded the configuration", reload);
        assert!(is_answered(&listening));
    }
    let said = proxy.stop();
    let refused = "the keys from before stay in use: the directory sent keys of generation 0, older than the stored";
    assert_eq!(said.matches(refused).count(), 2, "{said}");
    server.stop();
}

/// The server's key was stolen: it is of no use from the moment that the server has the new
/// schedule, and a cache that is still fresh does not bring it back.
#[test]
fn a_stolen_key_ends_everywhere_at_once() {
    let fleet = Fleet::new();
    let stolen = fleet.stdout(&["keys", "init", "keys.json"]).trim().to_owned();
    std::fs::copy(fleet.path("keys.json"), fleet.path("backup.json")).unwrap();
    let (_directory, url, pin) = start_directory(&fleet, &[]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--keys", "keys.json", "--workers", "1"];
    let mut server = fleet.start(&serve, 2);
    let address = server.value_of("listening on ");
    let cached = ["--directory", &url, "--pin", &pin, "--key-cache", "cache.json"];
    let fetch = || fleet.stdout(&[&["keys", "fetch"][..], &cached].concat()).trim().to_owned();
    let request = |key: &[&str]| {
        let args = ["request", "--server", &address, "--timeout", "500ms", "--suite", "f002"];
        fleet.output(&[&args[..], key, &["hello"]].concat(), "").status.success()
    };
    assert_eq!(fetch(), stolen);
    wait_for("the first key", || request(&cached));
    assert!(fleet.path("cache.json").exists());

    let new = fleet.stdout(&["keys", "rotate", "keys.json", "--compromised"]).trim().to_owned();
    wait_for("the directory has the new key", || fetch() == new);
    wait_for("the server refuses the stolen key", || !request(&["--server-key", &stolen]));
    assert!(request(&["--server-key", &new]));
    assert!(fleet.stdout(&["keys", "show", "keys.json"]).contains("generation: 1\n"));

    // A backup from before brings the stolen key back to nobody who has seen the new one.
    std::fs::remove_file(fleet.path("cache.json")).unwrap();
    assert!(request(&cached));
    std::fs::copy(fleet.path("backup.json"), fleet.path("keys.json")).unwrap();
    wait_for("the directory has the backup", || fetch() == stolen);
    let digits = format!("{:x}", new.parse::<PublicKey>().unwrap());
    let has_new = || std::fs::read_to_string(fleet.path("cache.json")).unwrap().contains(&digits);
    assert!(has_new());
    // Unless its operator says so.
    assert_eq!(fleet.stdout(&["keys", "take-over", "keys.json", "--above", "1"]), "generation 2\n");
    assert!(fleet.refusal(&["keys", "take-over", "keys.json", "--above", "1"]).contains("higher generation"));
    server.stop();
}

/// A machine may start before its network, and be told to stop before it has one.
#[test]
fn a_proxy_that_waits_for_its_network_ends_when_it_is_told() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["server"]);
    let proxy =
        ["proxy", "--listen", "127.0.0.1:0", "--server", "no-such-host.invalid:1", "--server-key", "server.pub"];
    let mut proxy = fleet.start(&[&proxy[..], &["--wait-for-network", "1h"]].concat(), 0);
    proxy.wait_for_stderr("cannot start yet; trying again", 1);
    proxy.wait_for_stderr("cannot find no-such-host.invalid:1", 1);
    proxy.signal("TERM");
    let (status, said) = proxy.wait();
    assert!(status.success(), "{said}");
}

/// The server has no table of clients, and its keys stay as they are.
#[test]
fn masters_alone_come_and_go() {
    let fleet = Fleet::new();
    let server_key = fleet.stdout(&["keys", "init", "keys.json", "--refresh-interval", "1s", "--no-psk"]);
    fleet.stdout(&["keygen", "--format", "hex", "--out", "client.key"]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--keys", "keys.json", "--reload-interval", "1s"];
    let mut server = fleet.start(&serve, 2);
    let address = server.value_of("listening on ");
    let request = ["request", "--server", &address, "--server-key", server_key.trim(), "--identity", "client.key"];
    let answers = |more: &[&str]| {
        let request = [&request[..], more, &["--timeout", "0.7", "hello"]].concat();
        fleet.output(&request, "").status.success()
    };

    fleet.stdout(&["keys", "rotate", "keys.json", "--only", "psk", "--activation-delay", "1s", "--grace-period", "1s"]);
    let schedule = std::fs::read_to_string(fleet.path("keys.json")).unwrap();
    let schedule: Value = serde_json::from_str(&schedule).unwrap();
    let master = schedule["psk_masters"][0]["secret"].as_str().unwrap();
    let master = PskMaster::from_bech32(master).unwrap();
    let identity = std::fs::read_to_string(fleet.path("client.key")).unwrap();
    let identity = SecretKey::from_hex(identity.trim()).unwrap().public_key();
    let psk = IssuedPsk { psk: master.psk(&identity), master: master.id().into() };
    fleet.write_private("client.psk", &psk.expose_pem());

    wait_for("the master is there", || answers(&["--psk", "client.psk"]));
    let retire = ["keys", "retire", "keys.json", "psk", "--grace-period"];
    let said = fleet.stdout(&[&retire[..], &["1s"]].concat());
    assert!(said.starts_with("the masters of pre-shared keys end at "), "{said}");
    let again = fleet.stdout(&[&retire[..], &["1d"]].concat());
    assert_eq!(again, said.replace("keys end", "keys were given up before, and end"));
    wait_for("the master is gone", || !answers(&["--psk", "client.psk"]));
    assert!(answers(&[]));
}
