//! Pre-shared keys by the program: issued at enrolment and by hand, and renewed.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use pssst_directory::IssuedPsk;
use pssst_test::{Process, wait_for};

use crate::fleet::process::{Fleet, start_directory};

const STORE: [&str; 2] = ["--store", "sqlite:clients.db"];

/// A pool with one enrolled device: `boiler.key`, `boiler.psk`.
struct Pool {
    fleet: Fleet,
    reach: [String; 4],
    token: String,
    server: Process,
    address: String,
    _directory: Process,
}

impl Pool {
    fn start() -> Self {
        let fleet = Fleet::new();
        fleet.stdout(&["keys", "init", "keys.json", "--refresh-interval", "1s"]);
        let (directory, url, pin) = start_directory(&fleet, &[]);
        let reach = ["--directory".into(), url, "--pin".into(), pin];
        let token = fleet.stdout(&[&["token", "create", "--name", "boiler-7"], &STORE[..]].concat());
        let serve = ["serve", "--listen", "127.0.0.1:0", "--keys", "keys.json", "--clients", STORE[1]];
        let mut server = fleet.start(&serve, 2);
        let address = server.value_of("listening on ");
        Self { fleet, reach, token, server, address, _directory: directory }
    }

    fn reach(&self) -> [&str; 4] {
        self.reach.each_ref().map(String::as_str)
    }

    fn enroll(&self, more: &[&str]) -> (bool, String) {
        let args = [&["enroll", "--identity", "boiler.key"], &self.reach()[..], more].concat();
        let output = self.fleet.output(&args, &self.token);
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    }

    fn is_served(&self, more: &[&str]) -> bool {
        let request = ["request", "--server", &self.address, "--timeout", "700ms", "--identity", "boiler.key"];
        self.fleet.output(&[&request, &self.reach()[..], more, &["hello"]].concat(), "").status.success()
    }

    /// Rotates keys and master, and returns the name of the new master.
    fn rotate(&self) -> String {
        let rotate = ["keys", "rotate", "keys.json", "--activation-delay", "2s", "--grace-period", "8s"];
        self.fleet.stdout(&rotate);
        let shown = self.fleet.stdout(&["keys", "show", "keys.json"]);
        let next = shown.lines().find_map(|line| line.strip_prefix("next     master ")).unwrap();
        next.split(' ').next().unwrap().to_owned()
    }

    fn psk(&self) -> String {
        fs::read_to_string(self.fleet.path("boiler.psk")).unwrap()
    }

    /// Returns the name of the master of the pre-shared key.
    fn master(&self) -> String {
        IssuedPsk::from_pem(&self.psk()).unwrap().master.to_string()
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.fleet.path(name)).unwrap().permissions().mode() & 0o777
    }
}

#[test]
fn a_device_keeps_its_pre_shared_key_and_renews_it() {
    let pool = Pool::start();
    let (fleet, renew) = (&pool.fleet, ["renew", "--identity", "boiler.key", "--psk", "boiler.psk"]);
    let renew = [&renew, &pool.reach()[..]].concat();
    // Another file is in the way: the device is enrolled, and learns how to get its key.
    fleet.write("boiler.psk", "something else");
    let (done, said) = pool.enroll(&[]);
    assert!(!done && said.contains("boiler-7 is enrolled, and its pre-shared key"), "{said}");
    assert!(said.contains("boiler.psk exists already") && said.contains("--psk-out"), "{said}");
    fs::remove_file(fleet.path("boiler.psk")).unwrap();
    let (done, said) = pool.enroll(&[]);
    assert!(done && said.contains("must use the pre-shared key in boiler.psk"), "{said}");
    let first = pool.psk();
    assert!(pool.mode("boiler.psk") == 0o600 && first.starts_with("-----BEGIN PSSST PSK-----\n"));
    assert!(pool.enroll(&[]).0 && pool.enroll(&["--psk-out", "other"]).0);
    assert_eq!((pool.psk(), fs::read_to_string(fleet.path("other")).unwrap()), (first.clone(), first.clone()));

    wait_for("the device is served", || pool.is_served(&["--psk", "boiler.psk"]));
    assert!(!pool.is_served(&[]), "it must use its pre-shared key");
    let listed = fleet.stdout(&[&["clients", "list"], &STORE[..]].concat());
    assert_eq!(listed.split_whitespace().nth(4), Some("psk"), "{listed}");

    let current = pool.master();
    assert_eq!(fleet.stdout(&renew), format!("master {current}\n"));
    assert_eq!(pool.psk(), first);
    let master = pool.rotate();
    wait_for("the new master", || fleet.stdout(&renew) == format!("master {master}\n"));
    assert!(pool.psk() != first && pool.master() == master);
    assert_eq!(pool.mode("boiler.psk"), 0o600);
    assert!(pool.is_served(&["--psk", "boiler.psk"]) && pool.is_served(&["--psk", "other"]));
    wait_for("the old master is over", || !pool.is_served(&["--psk", "other"]));
    assert!(pool.is_served(&["--psk", "boiler.psk"]));
    // Too late.
    let late = renew.iter().map(|arg| if *arg == "boiler.psk" { "other" } else { arg }).collect::<Vec<_>>();
    let said = fleet.refusal(&late);
    assert!(said.contains("invalid_request") && said.contains("`pssst clients psk`"), "{said}");
    pool.server.stop();
}

/// Sends a datagram, and returns whether its echo comes within a second.
fn is_answered(proxy: &str) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.send_to(b"hello", proxy).unwrap();
    matches!(socket.recv(&mut [0; 100]), Ok(5))
}

#[test]
fn a_proxy_renews_its_pre_shared_key() {
    let pool = Pool::start();
    assert!(pool.enroll(&[]).0);
    let first = pool.psk();
    let proxy = ["proxy", "--listen", "127.0.0.1:0", "--server", &pool.address, "--identity", "boiler.key"];
    let proxy = [&proxy[..], &["--psk", "boiler.psk"], &pool.reach()].concat();
    let mut proxy = pool.fleet.start(&proxy, 1);
    let listening = proxy.value_of("listening on ");
    wait_for("the client is served", || is_answered(&listening));
    for _ in 0..2 {
        let master = pool.rotate();
        wait_for("the file is replaced", || pool.master() == master);
        assert_eq!(pool.mode("boiler.psk"), 0o600);
        assert!(is_answered(&listening));
        let is_over = || pool.fleet.stdout(&["keys", "show", "keys.json"]).matches("master").count() == 1;
        wait_for("the old master is over", is_over);
        assert!(is_answered(&listening));
    }
    assert_ne!(pool.psk(), first);
    proxy.stop();
    pool.server.stop();
}

#[test]
fn an_operator_issues_a_pre_shared_key_by_hand() {
    let pool = Pool::start();
    let fleet = &pool.fleet;
    let key = fleet.stdout(&["keygen", "--out", "boiler.key"]);
    fleet.stdout(&[&["clients", "add", "boiler-7", key.trim()], &STORE[..]].concat());
    let clients = |args: &[&str]| fleet.output(&[&["clients"], args, &STORE[..]].concat(), "");
    let shows = |text: &str| String::from_utf8(clients(&["show", "boiler-7"]).stdout).unwrap().contains(text);
    wait_for("the client is served", || pool.is_served(&[]));
    assert!(shows("psk          not required\n"));

    let issued = clients(&["psk", "boiler-7", "--keys", "keys.json"]);
    let said = String::from_utf8(issued.stderr).unwrap();
    assert!(issued.status.success() && issued.stdout.is_empty(), "{said}");
    assert!(said.contains("boiler-7 must use the pre-shared key in boiler-7.psk"), "{said}");
    let psk = fs::read_to_string(fleet.path("boiler-7.psk")).unwrap();
    assert!(!said.contains(&psk[40..56]) && pool.mode("boiler-7.psk") == 0o600);
    assert!(shows("psk          required\n"));
    wait_for("the client must use it", || !pool.is_served(&[]));
    assert!(pool.is_served(&["--psk", "boiler-7.psk"]));

    // Nothing is overwritten, and nothing changes then.
    let again = clients(&["psk", "boiler-7", "--keys", "keys.json"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("boiler-7.psk exists already"));
    let issued = || fleet.stdout(&[&["audit", "list"], &STORE[..]].concat()).matches("psk_issued").count();
    assert_eq!(issued(), 1);
    assert!(clients(&["psk", "boiler-7", "--keys", "keys.json", "--out", "again.psk"]).status.success());
    assert_eq!(issued(), 2);
    let named = |duty| String::from_utf8(clients(&["list", "--requires-psk", duty]).stdout).unwrap();
    assert!(named("true").starts_with("boiler-7 ") && named("false").is_empty());
    let off = clients(&["psk", "boiler-7", "--off"]);
    assert!(off.status.success() && shows("psk          not required\n"));
    wait_for("the client is served without", || pool.is_served(&[]));
    for wrong in [&["psk", "boiler-7"][..], &["psk", "boiler-7", "--off", "--keys", "keys.json"]] {
        assert_eq!(clients(wrong).status.code(), Some(2), "{wrong:?}");
    }

    fleet.stdout(&["keys", "init", "bare.json", "--no-psk"]);
    let said = clients(&["psk", "boiler-7", "--keys", "bare.json", "--out", "x"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("has no master of pre-shared keys"));
    assert!(!fleet.path("x").exists() && shows("psk          not required\n"));
    pool.server.stop();
}

/// A device without its secret key, through two rotations: by the proxy, and by hand.
#[test]
fn a_device_without_its_secret_key_renews_what_it_shares() {
    let pool = Pool::start();
    let fleet = &pool.fleet;
    fleet.stdout(&[
        "keys",
        "rotate",
        "keys.json",
        "--only",
        "f003",
        "--activation-delay",
        "1s",
        "--grace-period",
        "8s",
    ]);
    assert!(pool.enroll(&[]).0);
    let client = fleet.stdout(&["pubkey", "boiler.key"]);
    // Of either secret key the same.
    let precompute = |out: &str, of: &[&str]| fleet.stdout(&[&["precompute", "--out", out], of].concat());
    precompute("device", &["--identity", "boiler.key", "--keys", "keys.json"]);
    assert_eq!(precompute("other", &["--client", client.trim(), "--keys", "keys.json"]), client);
    wait_for("the directory has the new schedule", || {
        fleet.stdout(&[&["keys", "fetch", "--json"], &pool.reach()[..]].concat()).contains("0xf003")
    });
    precompute("third", &[&["--identity", "boiler.key"], &pool.reach()[..]].concat());
    let read = |name: &str| fs::read_to_string(fleet.path(name)).unwrap();
    let first = read("device");
    assert!(first.starts_with("-----BEGIN PSSST PRECOMPUTED IDENTITY-----\n") && pool.mode("device") == 0o600);
    assert!(first == read("other") && first == read("third"));
    fs::remove_file(fleet.path("boiler.key")).unwrap();

    let proxy = ["proxy", "--listen", "127.0.0.1:0", "--server", &pool.address, "--identity", "device"];
    let proxy = [&proxy[..], &["--psk", "boiler.psk"], &pool.reach()].concat();
    let start = || {
        let mut proxy = fleet.start(&proxy, 1);
        let listening = proxy.value_of("listening on ");
        wait_for("the client is served", || is_answered(&listening));
        (proxy, listening)
    };
    let (mut running, mut listening) = start();
    let request = |more: &[&str]| {
        let request = ["request", "--server", &pool.address, "--timeout", "2s", "--psk", "boiler.psk", "hello"];
        fleet.output(&[&request, more, &pool.reach()[..]].concat(), "")
    };
    assert!(request(&["--identity", "device"]).status.success());
    let renew = [&["renew", "--identity", "device", "--psk", "boiler.psk"], &pool.reach()[..]].concat();
    for rotation in 0..2 {
        let before = read("device");
        let master = pool.rotate();
        if rotation == 1 {
            // The proxy is off while the keys change, and the device renews by hand.
            running.stop();
            wait_for("the device has the new master", || {
                fleet.stdout(&renew).starts_with(&format!("master {master}\n"))
            });
            (running, listening) = start();
        }
        wait_for("both files are replaced", || pool.master() == master && read("device") != before);
        assert_eq!((pool.mode("device"), pool.mode("boiler.psk")), (0o600, 0o600));
        let is_over = || fleet.stdout(&["keys", "show", "keys.json"]).matches("master").count() == 1;
        wait_for("the old keys are over", is_over);
        assert!(is_answered(&listening));
        assert!(request(&["--identity", "device"]).status.success());
    }
    // A device that was off for both.
    let late = request(&["--identity", "other"]);
    let said = String::from_utf8(late.stderr).unwrap();
    assert!(said.contains("no shared secret for the server's key") && said.contains("`pssst precompute`"), "{said}");
    let late = renew.iter().map(|arg| if *arg == "device" { "other" } else { arg }).collect::<Vec<_>>();
    let said = fleet.refusal(&late);
    assert!(said.contains("no shared secret for any key of the pool"), "{said}");
    running.stop();
    pool.server.stop();
}
