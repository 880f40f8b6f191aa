//! Silent faults, and what `pssst doctor` says about each. `scripts/check-doctor` has those that
//! need networks of their own.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};

use pssst_test::{Process, wait_for};
use serde_json::Value;

use crate::fleet::process::{Fleet, start_directory};

const STORE: &str = "sqlite:clients.db";

/// Returns the exit code and the report.
#[track_caller]
fn doctor(fleet: &Fleet, args: &[&str]) -> (i32, Value) {
    let args = [&["doctor", "--json", "--timeout", "700ms"], args].concat();
    let output = fleet.output(&args, "");
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{args:?}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), report)
}

/// Returns the causes that were found.
fn causes(report: &Value) -> Vec<&str> {
    report["conclusions"].as_array().unwrap().iter().map(|one| one["cause"].as_str().unwrap()).collect()
}

fn possible(report: &Value) -> BTreeSet<&str> {
    let all = report["conclusions"].as_array().unwrap().iter().filter_map(|one| one["possible"].as_array());
    all.flatten().map(|one| one["cause"].as_str().unwrap()).collect()
}

/// Keys of a server and three clients: `server`, `boiler`, `meter`, `stranger`.
fn fleet() -> Fleet {
    let fleet = Fleet::new();
    fleet.generate_keys(&["server", "boiler", "meter", "stranger"]);
    for name in ["boiler", "meter"] {
        fleet.stdout(&["clients", "add", name, &format!("{name}.pub"), "--store", STORE]);
    }
    fleet.stdout(&["clients", "revoke", "meter", "--store", STORE]);
    fleet
}

fn serve(fleet: &Fleet, more: &[&str]) -> (Process, String) {
    let serve = ["serve", "--listen", "127.0.0.1:0", "--secret-key", "server.key"];
    let mut server = fleet.start(&[&serve, more].concat(), 0);
    let address = server.value_of("listening on ");
    (server, address)
}

#[test]
fn a_client_learns_why_nothing_comes_back() {
    let fleet = fleet();
    let (_open, open) = serve(&fleet, &["--clients", STORE, "--anonymous", "allow", "--suite", "f002"]);
    let (_closed, closed) = serve(&fleet, &["--clients", STORE]);
    let (_fresh, fresh) = serve(&fleet, &["--fresh-replies", "require"]);
    let is = |server: &str, more: &[&str], code: i32, expected: &[&str]| {
        let args = [&["--server", server, "--server-key", "server.pub"], more].concat();
        let (found, report) = doctor(&fleet, &args);
        assert_eq!((found, &causes(&report)[..]), (code, expected), "{args:?}: {report:#}");
        report
    };
    is(&open, &[], 0, &["well"]);
    is(&open, &["--identity", "boiler.key"], 0, &["well"]);
    is(&closed, &["--identity", "boiler.key"], 0, &["well"]);
    is(&open, &["--suite", "1"], 1, &["suite_not_accepted"]);
    for refused in ["stranger.key", "meter.key"] {
        let report = is(&open, &["--identity", refused], 1, &["client_not_accepted"]);
        assert_eq!(possible(&report), ["client_refused", "psk_required", "unknown_client"].into());
    }
    is(&fresh, &[], 1, &["fresh_replies"]);
    is(&fresh, &["--fresh-replies"], 0, &["well"]);
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    is(&free, &[], 1, &["port_closed"]);
    let report = is(&closed, &["--identity", "stranger.key"], 3, &["silence"]);
    let left = possible(&report);
    assert!(["unknown_client", "client_refused", "wrong_key"].iter().all(|cause| left.contains(cause)), "{report:#}");
    // The machine is up: it reported a closed port.
    assert!(!left.contains("host_down") && !left.contains("anonymous_refused"), "{report:#}");
    let (code, report) = doctor(&fleet, &["--server", &closed, "--server-key", "boiler.pub"]);
    assert!(code == 3 && possible(&report).is_superset(&["wrong_key", "anonymous_refused"].into()), "{report:#}");
    // Files are examined, too, and the rest is examined all the same.
    fleet.write("exposed.key", &fs::read_to_string(fleet.path("boiler.key")).unwrap());
    is(&open, &["--identity", "exposed.key"], 1, &["key_file", "well"]);
}

#[test]
fn a_client_learns_about_its_directory() {
    let fleet = Fleet::new();
    fleet.stdout(&["keys", "init", "keys.json", "--refresh-interval", "1h"]);
    let (directory, url, pin) = start_directory(&fleet, &[]);
    let server = fleet.start(&["serve", "--listen", "127.0.0.1:0", "--keys", "keys.json"], 0);
    let (mut server, other) = (server, format!("sha256:{}", "00".repeat(32)));
    let address = server.value_of("listening on ");
    let is = |pin: &str, more: &[&str], code: i32, expected: &[&str]| {
        let args = [&["--server", &address, "--directory", &url, "--pin", pin], more].concat();
        let (found, report) = doctor(&fleet, &args);
        assert_eq!((found, &causes(&report)[..]), (code, expected), "{report:#}");
    };
    is(&pin, &[], 0, &["well"]);
    is(&other, &[], 1, &["directory_not_trusted"]);
    // A proxy has such a client.
    let options = format!("server = {address:?}\ndirectory = {url:?}\npin = {pin:?}\nlisten = \"127.0.0.1:0\"\n");
    fleet.write("pssst.toml", &format!("[proxy]\n{options}"));
    let (code, report) = doctor(&fleet, &["--config", "pssst.toml"]);
    assert_eq!((code, causes(&report)[0]), (0, "well"), "{report:#}");
    assert!(report.to_string().contains("answers this client"), "{report:#}");
    // With keys from before, the server is asked all the same.
    let request =
        ["request", "--server", &address, "--directory", &url, "--pin", &pin, "--key-cache", "cache.json", "hello"];
    assert_eq!(fleet.stdout(&request), "hello");
    let before = fs::read(fleet.path("cache.json")).unwrap();
    directory.stop();
    is(&pin, &[], 1, &["directory_unreachable"]);
    is(&pin, &["--key-cache", "cache.json"], 1, &["directory_unreachable", "well"]);
    assert_eq!(fs::read(fleet.path("cache.json")).unwrap(), before);
}

#[test]
fn a_client_learns_about_its_pre_shared_key() {
    let fleet = fleet();
    for master in ["master", "other"] {
        fleet.stdout(&["keygen", "--psk-master", "--out", master]);
        let out = format!("{master}.psk");
        fleet.stdout(&["clients", "psk", "boiler", "--psk-master", master, "--out", &out, "--store", STORE]);
    }
    let (_server, address) = serve(&fleet, &["--clients", STORE, "--anonymous", "allow", "--psk-master", "master"]);
    let ask = |more: &[&str]| {
        let args = ["--server", &address, "--server-key", "server.pub", "--identity", "boiler.key"];
        doctor(&fleet, &[&args, more].concat())
    };
    let (code, report) = ask(&["--psk", "master.psk"]);
    assert_eq!((code, causes(&report)), (0, vec!["well"]), "{report:#}");
    let (code, report) = ask(&[]);
    assert_eq!((code, causes(&report)), (1, vec!["client_not_accepted"]), "{report:#}");
    assert!(possible(&report).contains("psk_required"), "{report:#}");
    let (_, report) = ask(&["--psk", "other.psk"]);
    assert_eq!(causes(&report), ["client_not_accepted"], "{report:#}");
    assert!(possible(&report).contains("psk_not_accepted"), "{report:#}");
    // Once the client need not use one, the difference tells.
    fleet.stdout(&["clients", "psk", "boiler", "--off", "--store", STORE]);
    wait_for("the client is served without", || ask(&[]).0 == 0);
    let (code, report) = ask(&["--psk", "other.psk"]);
    assert_eq!((code, causes(&report)), (1, vec!["psk_not_accepted"]), "{report:#}");
}

#[test]
fn an_operator_learns_what_a_configuration_lacks() {
    let fleet = fleet();
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken_at = taken.local_addr().unwrap();
    let configure = |listen: &str, more: &str| {
        let text =
            format!("[gateway]\nlisten = {listen:?}\nsecret-key = \"server.key\"\nclients = \"{STORE}\"\n{more}\n");
        fleet.write("pssst.toml", &text);
    };
    let to = |address: std::net::SocketAddr| format!("upstream = \"http://{address}/readings\"");
    let is = |code: i32, expected: &[&str]| {
        let (found, report) = doctor(&fleet, &["--config", "pssst.toml"]);
        // Limits of the machine are none of this test's.
        let found_causes = causes(&report);
        let found_causes =
            found_causes.iter().filter(|cause| !["socket_buffers", "open_files", "disk_space", "well"].contains(cause));
        assert_eq!((found, found_causes.copied().collect::<Vec<_>>()), (code, expected.to_vec()), "{report:#}");
        report
    };
    configure("127.0.0.1:0", &to(upstream.local_addr().unwrap()));
    is(0, &[]);
    configure(&taken_at.to_string(), &to(upstream.local_addr().unwrap()));
    let report = is(1, &["port_taken"]);
    let own = format!("(process {})", std::process::id());
    assert!(report["conclusions"][0]["text"].as_str().unwrap().contains(&own), "{report:#}");
    let dead = upstream.local_addr().unwrap();
    drop(upstream);
    configure("127.0.0.1:0", &to(dead));
    let report = is(1, &["upstream_unreachable"]);
    assert!(report["conclusions"][0]["text"].as_str().unwrap().contains("refused"), "{report:#}");
    fleet.stdout(&["clients", "revoke", "boiler", "--store", STORE]);
    is(1, &["upstream_unreachable", "store_empty"]);
    configure("127.0.0.1:0", &format!("{}\nsuites = \"f002\"", to(dead)));
    // The rest is examined all the same.
    is(2, &["configuration", "upstream_unreachable", "store_empty"]);
    configure("127.0.0.1:0", &format!("{}\nallow-exposed-keys = 1", to(dead)));
    // The rest is examined all the same.
    is(2, &["configuration", "upstream_unreachable", "store_empty"]);

    let said = fleet.refusal_of_usage(&["doctor", "--config", "pssst.toml", "--server", "localhost:1"]);
    assert!(said.contains("cannot be used with"), "{said}");
    fleet.refusal_of_usage(&["doctor"]);
}

#[test]
fn a_running_service_and_its_directory_are_examined() {
    let fleet = fleet();
    fleet.stdout(&["keys", "init", "keys.json"]);
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = upstream.local_addr().unwrap();
    drop(upstream);
    let gateway = ["gateway", "--listen", "127.0.0.1:0", "--secret-key", "server.key", "--clients", STORE];
    let upstream = format!("http://{dead}/hooks/T0pS3cret");
    let more = ["--anonymous", "allow", "--metrics", "127.0.0.1:0", "--upstream", &upstream];
    let mut gateway = fleet.start(&[&gateway[..], &more].concat(), 0);
    let address = gateway.value_of("listening on ");
    let metrics = gateway.value_of("metrics at http://").replace("/metrics", "");
    let request = ["request", "--server", &address, "--server-key", "server.pub", "--timeout", "400ms", "hello"];
    assert_eq!(fleet.output(&request, "").status.code(), Some(3));
    assert_eq!(fleet.output(&[&request[..], &["--suite", "1"]].concat(), "").status.code(), Some(3));

    // Another directory's certificate and operators, and a password that is in the location.
    let (directory, ..) = start_directory(&fleet, &[]);
    drop(directory);
    let operator = fleet.stdout(&["operator", "create", "alice", "--file", "operators.txt"]);
    let token = fleet.stdout(&["token", "create", "--store", STORE]);
    let psk_master = fleet.stdout(&["keygen", "--psk-master", "--out", "psk-master"]);
    assert!(!psk_master.contains("BEGIN"));
    let password = "Correct-Horse@Battery";
    fleet.write(
        "pssst.toml",
        &format!(
            "# The old token was {}.\n[gateway]\nlisten = {address:?}\nmetrics = {metrics:?}\nsecret-key = \"server.key\"\n\
             psk-master = \"psk-master\"\nclients = \"postgres://pssst:{password}@127.0.0.1:1/pssst?sslmode=disable\"\n\
             anonymous = \"allow\"\nupstream = {upstream:?}\nauthorization = \"Bearer {}\"\n[directory]\nlisten = \"127.0.0.1:0\"\n\
             admin-listen = \"127.0.0.1:0\"\nkeys = \"keys.json\"\nstore = \"{STORE}\"\ncertificate = \"directory.crt\"\n\
             certificate-key = \"directory.key\"\nself-signed = true\noperators = \"operators.txt\"\n",
            token.trim(),
            operator.trim(),
        ),
    );
    let args = ["--config", "pssst.toml", "--bundle", "report.tar"];
    let (code, report) = doctor(&fleet, &args);
    let found = causes(&report);
    for cause in ["configuration", "upstream_unreachable", "store_unreachable", "refusals"] {
        assert!(found.contains(&cause), "{cause}: {report:#}");
    }
    assert_eq!(code, 2, "{report:#}");
    let text = report.to_string();
    for part in ["unreachable 1", "unsupported_suite", "runs: gateway", "a key is in force", "its pin is sha256:"] {
        assert!(text.contains(part), "{part}: {report:#}");
    }
    assert!(fleet.refusal(&[&["doctor"], &args[..]].concat()).contains("report.tar exists already"));

    let mut bundle = tar::Archive::new(fs::File::open(fleet.path("report.tar")).unwrap());
    let mut files = Vec::new();
    for entry in bundle.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.push((entry.path().unwrap().display().to_string(), text));
    }
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["report.json", "report.txt", "version.txt", "configuration.txt", "metrics-gateway.txt"];
    assert_eq!(names, expected.map(|name| format!("pssst-doctor/{name}")));
    let all: String = files.into_iter().map(|(_, text)| text).collect();
    assert!(
        all.contains("pssst_build_info") && all.contains("upstream_unreachable") && all.contains("[gateway] upstream")
    );
    let mut secrets: Vec<String> = [token, operator, password.into(), "Battery".into(), "T0pS3cret".into()].into();
    for file in ["server.key", "boiler.key", "keys.json", "psk-master", "directory.key"] {
        let text = fs::read_to_string(fleet.path(file)).unwrap();
        let is_long = |line: &&str| line.len() > 20 && !line.starts_with("-----");
        secrets.extend(text.split(['\n', '"']).filter(is_long).map(str::to_owned));
    }
    assert!(secrets.len() > 9);
    for secret in secrets {
        assert!(!all.contains(secret.trim()), "{secret}: {all}");
    }
}
