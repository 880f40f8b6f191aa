//! What services show of themselves over HTTP, and how they log.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use pssst_test::{Process, wait_for};

use crate::fleet::process::{Fleet, gateway, start_directory};

/// Returns a service's response: the status, the head and the body.
pub(crate) fn http(service: &mut Process, method: &str, path: &str) -> (u16, String, String) {
    let url = service.value_of("metrics at http://");
    let address = url.strip_suffix("/metrics").unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(connection, "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), body.into())
}

/// The samples of /metrics, by their names with their labels.
pub(crate) fn samples(service: &mut Process) -> BTreeMap<String, f64> {
    let (status, head, page) = http(service, "GET", "/metrics");
    assert!(status == 200 && head.contains("application/openmetrics-text"), "{head}");
    assert!(page.ends_with("# EOF\n"));
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// The names of families with their labels, without values, each once.
fn names(samples: &BTreeMap<String, f64>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for sample in samples.keys() {
        let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
        let labels: Vec<_> =
            labels.trim_end_matches('}').split(',').filter_map(|label| label.split('=').next()).collect();
        names.push(format!("{name} {}", labels.join(" ")).trim().into());
    }
    names.sort();
    names.dedup();
    names
}

const PROCESS: [&str; 6] = [
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
];
const PROGRAM: [&str; 9] = [
    "pssst_build_info service version backend",
    "pssst_config_reload_refused",
    "pssst_config_reload_timestamp_seconds",
    "pssst_config_reloads_total result",
    "pssst_file_age_seconds file",
    "pssst_file_failures_total file",
    "pssst_file_refused file",
    "pssst_log_lines_lost_total",
    "pssst_ready",
];
const SERVER: [&str; 25] = [
    "pssst_keyring_keys",
    "pssst_keyring_reload_timestamp_seconds",
    "pssst_server_batch_size_bucket le",
    "pssst_server_batch_size_count",
    "pssst_server_batch_size_sum",
    "pssst_server_config_errors_total",
    "pssst_server_datagrams_received_total",
    "pssst_server_drops_total cause",
    "pssst_server_handler_duration_seconds_bucket le",
    "pssst_server_handler_duration_seconds_count",
    "pssst_server_handler_duration_seconds_sum",
    "pssst_server_in_flight",
    "pssst_server_kernel_drops_total",
    "pssst_server_key_requests_total key",
    "pssst_server_no_reply_total",
    "pssst_server_receive_errors_total",
    "pssst_server_received_bytes_total",
    "pssst_server_replies_total repeated",
    "pssst_server_request_duration_seconds_bucket le",
    "pssst_server_request_duration_seconds_count",
    "pssst_server_request_duration_seconds_sum",
    "pssst_server_requests_total auth",
    "pssst_server_sent_bytes_total",
    "pssst_server_worker_stall_seconds",
    "pssst_server_workers",
];
const IDENTITY: [&str; 7] = [
    "pssst_identity_clients",
    "pssst_identity_refused_unsaved_total",
    "pssst_identity_refusals_total cause",
    "pssst_identity_revision",
    "pssst_identity_snapshot_age_seconds",
    "pssst_server_client_secrets",
    "pssst_server_client_secrets_bytes",
];
const GATEWAY: [&str; 6] = [
    "pssst_gateway_circuit_open",
    "pssst_gateway_in_flight",
    "pssst_gateway_requests_total outcome",
    "pssst_gateway_upstream_duration_seconds_bucket le",
    "pssst_gateway_upstream_duration_seconds_count",
    "pssst_gateway_upstream_duration_seconds_sum",
];
const PROXY: [&str; 19] = [
    "pssst_client_attempts_total",
    "pssst_client_fallbacks_total",
    "pssst_client_one_way_total",
    "pssst_client_path_too_narrow_total",
    "pssst_client_refused_replies_total cause",
    "pssst_client_replies_total",
    "pssst_client_requests_total",
    "pssst_client_retransmits_total",
    "pssst_client_send_errors_total",
    "pssst_client_timeouts_total",
    "pssst_client_unmatched_replies_total",
    "pssst_proxy_datagrams_received_total",
    "pssst_proxy_drops_total cause",
    "pssst_proxy_in_flight",
    "pssst_proxy_replies_total",
    "pssst_proxy_request_duration_seconds_bucket le",
    "pssst_proxy_request_duration_seconds_count",
    "pssst_proxy_request_duration_seconds_sum",
    "pssst_proxy_worker_stall_seconds",
];
const DIRECTORY: [&str; 4] = [
    "pssst_directory_certificate_expiry_timestamp_seconds",
    "pssst_directory_events_total event",
    "pssst_directory_refusals_total cause",
    "pssst_directory_renewal_refusals_total cause",
];

#[track_caller]
fn assert_names(samples: &BTreeMap<String, f64>, groups: &[&[&str]]) {
    let mut expected: Vec<_> = groups.iter().flat_map(|group| group.iter()).map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(names(samples), expected);
}

/// An echo over plain UDP, which ends with the test.
pub(crate) fn echo() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, peer)) = socket.recv_from(&mut buffer) {
            drop(socket.send_to(&buffer[..len], peer));
        }
    });
    format!("udp://{address}")
}

pub(crate) const METRICS: [&str; 2] = ["--metrics", "127.0.0.1:0"];

#[test]
fn every_service_shows_the_metrics_that_are_documented_and_no_others() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["server", "client"]);
    let client = fleet.stdout(&["pubkey", "client.key"]);
    fleet.stdout(&["clients", "add", "boiler-7", client.trim(), "--store", "sqlite:clients.db"]);
    fleet.stdout(&["keys", "init", "keys.json"]);

    let serve = ["serve", "--listen", "127.0.0.1:0", "--secret-key", "server.key"];
    let mut plain = fleet.start(&[&serve[..], &METRICS].concat(), 3);
    assert_names(&samples(&mut plain), &[&PROCESS, &PROGRAM, &SERVER]);

    let upstream = echo();
    let clients = ["--clients", "sqlite:clients.db"];
    let mut gateway = fleet.start(&gateway(&upstream, &[&clients[..], &METRICS].concat()), 4);
    let address = gateway.value_of("listening on ");
    let proxy = [
        "proxy",
        "--listen",
        "127.0.0.1:0",
        "--server",
        &address,
        "--server-key",
        "server.pub",
        "--identity",
        "client.key",
    ];
    let mut proxy = fleet.start(&[&proxy[..], &METRICS].concat(), 2);
    let program = UdpSocket::bind("127.0.0.1:0").unwrap();
    program.connect(proxy.value_of("listening on ")).unwrap();
    program.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    for number in 0..10_u8 {
        program.send(&[number; 100]).unwrap();
        let mut answer = [0; 200];
        assert_eq!(program.recv(&mut answer).unwrap(), 100);
    }
    // Junk, and a stranger.
    program.send(&[0; 1300]).unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[0; 60], &address).unwrap();
    let stranger =
        ["request", "--server", &address, "--server-key", "server.pub", "--identity", "server.key", "--suite", "f002"];
    assert_eq!(fleet.output(&[&stranger[..], &["--timeout", "0.3", "hello"]].concat(), "").status.code(), Some(3));

    // The operator sees which client it was, in the log and in the store.
    let key = fleet.stdout(&["pubkey", "server.key"]);
    let key = key.trim();
    gateway.wait_for_stderr("refused a client", 1);
    gateway.wait_for_stderr(key, 1);
    let refused = || fleet.stdout(&["clients", "refused", "--json", "--store", "sqlite:clients.db"]);
    wait_for("the store has the refused client", || refused().contains(key));
    assert!(refused().contains("\"cause\":\"unknown\"") && refused().contains("\"name\":null"), "{}", refused());

    wait_for("the table is in use", || samples(&mut gateway)["pssst_server_client_secrets"] > 0.0);
    let shown = samples(&mut gateway);
    assert!(shown["pssst_server_client_secrets_bytes"] >= 32.0, "{shown:?}");
    assert_names(&shown, &[&PROCESS, &PROGRAM, &SERVER, &IDENTITY, &GATEWAY]);
    for (name, value) in [
        ("pssst_server_datagrams_received_total", 12.0),
        ("pssst_server_requests_total{auth=\"authenticated\"}", 10.0),
        ("pssst_server_replies_total{repeated=\"false\"}", 10.0),
        ("pssst_server_drops_total{cause=\"unsupported_suite\"}", 1.0),
        ("pssst_server_drops_total{cause=\"decrypt_failed\"}", 1.0),
        ("pssst_server_key_requests_total{key=\"0\"}", 10.0),
        ("pssst_server_handler_duration_seconds_count", 10.0),
        ("pssst_server_request_duration_seconds_count", 10.0),
        ("pssst_server_request_duration_seconds_bucket{le=\"+Inf\"}", 10.0),
        ("pssst_server_in_flight", 0.0),
        ("pssst_keyring_keys", 1.0),
        ("pssst_identity_clients", 1.0),
        ("pssst_identity_refusals_total{cause=\"unknown\"}", 1.0),
        ("pssst_identity_refusals_total{cause=\"psk_required\"}", 0.0),
        ("pssst_server_client_secrets", 1.0),
        ("pssst_gateway_requests_total{outcome=\"answered\"}", 10.0),
        ("pssst_gateway_upstream_duration_seconds_count", 10.0),
        ("pssst_gateway_circuit_open", 0.0),
    ] {
        assert_eq!(shown.get(name), Some(&value), "{name}: {shown:?}");
    }
    assert!(shown["process_resident_memory_bytes"] > 1e6 && shown["process_open_fds"] > 3.0, "{shown:?}");
    assert!(
        shown["pssst_gateway_upstream_duration_seconds_sum"] < 30.0
            && shown["pssst_identity_snapshot_age_seconds"] < 30.0
    );

    let shown = samples(&mut proxy);
    assert_names(&shown, &[&PROCESS, &PROGRAM, &PROXY]);
    for (name, value) in [
        ("pssst_proxy_datagrams_received_total", 11.0),
        ("pssst_proxy_replies_total", 10.0),
        ("pssst_proxy_request_duration_seconds_count", 10.0),
        ("pssst_proxy_drops_total{cause=\"request_too_large\"}", 1.0),
        ("pssst_client_replies_total", 10.0),
    ] {
        assert_eq!(shown.get(name), Some(&value), "{name}: {shown:?}");
    }
    let (mut directory, ..) = start_directory(&fleet, &[]);
    directory.stop();
    (directory, ..) = start_directory(&fleet, &METRICS);
    assert_names(&samples(&mut directory), &[&PROCESS, &PROGRAM, &DIRECTORY]);

    // Metrics do not name clients.
    for service in [&mut gateway, &mut proxy] {
        let (_, _, page) = http(service, "GET", "/metrics");
        assert!(!page.contains(client.trim()) && !page.contains("boiler") && !page.contains("127.0.0.1"), "{page}");
    }
}

#[test]
fn health_says_what_is_the_matter() {
    let fleet = Fleet::new();
    fleet.stdout(&["keygen", "--out", "server.key"]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--secret-key", "server.key", "--drain", "3600"];
    let mut server = fleet.start(&[&serve[..], &METRICS].concat(), 3);
    for path in ["/livez", "/readyz"] {
        let (status, head, body) = http(&mut server, "GET", path);
        assert_eq!((status, body.as_str()), (200, "ok\n"), "{head}");
        let (status, head, body) = http(&mut server, "HEAD", path);
        assert!(status == 200 && body.is_empty() && head.contains("content-length: 3"), "{head}");
    }
    for (method, path, expected) in
        [("GET", "/", 404), ("GET", "/metrics/", 404), ("POST", "/metrics", 405), ("DELETE", "/livez", 405)]
    {
        assert_eq!(http(&mut server, method, path).0, expected, "{method} {path}");
    }
    assert_eq!(samples(&mut server)["pssst_ready"].to_bits(), 1.0_f64.to_bits());
    server.signal("TERM");
    wait_for("it is not ready", || http(&mut server, "GET", "/readyz").0 == 503);
    assert_eq!(samples(&mut server)["pssst_ready"].to_bits(), 0.0_f64.to_bits());
    assert_eq!(http(&mut server, "GET", "/readyz").2, "it is about to stop\n");
    // It is alive for all that.
    assert_eq!(http(&mut server, "GET", "/livez").0, 200);
    server.stop();
}

#[test]
fn reloads_are_counted() {
    let fleet = Fleet::new();
    fleet.stdout(&["keygen", "--out", "server.key"]);
    fleet.write(
        "pssst.toml",
        "[serve]\nsecret-key = \"server.key\"\nlisten = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"",
    );
    let mut server = fleet.start(&["serve", "--config", "pssst.toml"], 3);
    server.signal("HUP");
    wait_for("a reload", || samples(&mut server)["pssst_config_reloads_total{result=\"done\"}"] > 0.0);
    fleet.write("pssst.toml", "[serve]\nnonsense = 1");
    server.signal("HUP");
    wait_for("a refusal", || samples(&mut server)["pssst_config_reload_refused"] > 0.0);
    let shown = samples(&mut server);
    assert_eq!(shown["pssst_config_reloads_total{result=\"refused\"}"].to_bits(), 1.0_f64.to_bits());
    server.stop();
}

/// Someone who looks at the log learns at once what does not answer, and why.
#[test]
fn the_first_failure_is_logged_with_address_and_cause() {
    let fleet = Fleet::new();
    fleet.write("server.pub", &fleet.stdout(&["keygen", "--out", "server.key"]));
    fleet.stdout(&["keygen", "--out", "client.key"]);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let upstream = format!("http://{closed}/readings");
    let mut gateway = fleet.start(&gateway(&upstream, &["--anonymous", "allow"]), 2);
    let address = gateway.value_of("listening on ");
    let proxy = ["proxy", "--listen", "127.0.0.1:0", "--server", &address, "--server-key", "server.pub"];
    let mut proxy = fleet.start(&[&proxy[..], &["--identity", "client.key", "--timeout", "2"]].concat(), 1);
    let program = UdpSocket::bind("127.0.0.1:0").unwrap();
    program.connect(proxy.value_of("listening on ")).unwrap();
    for _ in 0..5 {
        program.send(b"21.5").unwrap();
    }
    gateway.wait_for_stderr("no answer from the upstream", 1);
    proxy.wait_for_stderr("no answer from the server", 1);
    let logged = gateway.stop();
    assert!(logged.contains(&upstream) && logged.contains("Connection refused"), "{logged}");
    assert_eq!(logged.matches("no answer from the upstream").count(), 1, "{logged}");
    let logged = proxy.stop();
    assert!(logged.contains(&address) && logged.contains("packets sent"), "{logged}");
    assert_eq!(logged.matches("no answer from the server").count(), 1, "{logged}");
}

/// Counters continue when an upstream or a client is replaced.
#[test]
fn counters_go_on_over_reloads() {
    let fleet = Fleet::new();
    fleet.write("server.pub", &fleet.stdout(&["keygen", "--out", "server.key"]));
    let upstream = echo();
    fleet.write("clients", "");
    let policy = ["--clients", "file:clients", "--unknown-clients", "allow", "--anonymous", "refuse"];
    let mut gateway = fleet.start(&gateway(&upstream, &[&policy[..], &METRICS].concat()), 4);
    let keys_changed = samples(&mut gateway)["pssst_keyring_reload_timestamp_seconds"];
    let address = gateway.value_of("listening on ");
    fleet.stdout(&["keygen", "--out", "client.key"]);
    let proxy = ["proxy", "--listen", "127.0.0.1:0", "--server", &address, "--server-key", "server.pub"];
    let mut proxy = fleet.start(&[&proxy[..], &["--identity", "client.key"], &METRICS].concat(), 2);
    let program = UdpSocket::bind("127.0.0.1:0").unwrap();
    program.connect(proxy.value_of("listening on ")).unwrap();
    program.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    for turn in 1..=3_u8 {
        program.send(&[turn; 100]).unwrap();
        assert_eq!(program.recv(&mut [0; 200]).unwrap(), 100);
        let shown = [samples(&mut gateway), samples(&mut proxy)];
        for (service, name) in [
            (0, "pssst_gateway_requests_total{outcome=\"answered\"}"),
            (0, "pssst_server_handler_duration_seconds_count"),
            (0, "pssst_identity_refusals_total{cause=\"unknown\"}"),
            (1, "pssst_client_replies_total"),
        ] {
            assert_eq!(shown[service].get(name), Some(&f64::from(turn)), "{name}");
        }
        for service in [&mut gateway, &mut proxy] {
            let reloads = "pssst_config_reloads_total{result=\"done\"}";
            service.signal("HUP");
            wait_for("a reload", || samples(service)[reloads] >= f64::from(turn));
        }
    }
    // The keys are what they were, also when the time is another.
    wait_for("the next second", || UNIX_EPOCH.elapsed().unwrap().as_secs_f64() > keys_changed + 1.0);
    gateway.signal("HUP");
    wait_for("a reload", || samples(&mut gateway)["pssst_config_reloads_total{result=\"done\"}"] >= 4.0);
    assert_eq!(samples(&mut gateway).get("pssst_keyring_reload_timestamp_seconds"), Some(&keys_changed));
    for service in [gateway, proxy] {
        let said = service.stop();
        assert!(said.contains("received 3, replied 3"), "{said}");
    }
}

#[test]
fn whatever_comes_to_the_port_of_metrics_it_serves_on() {
    let fleet = Fleet::new();
    fleet.stdout(&["keygen", "--out", "server.key"]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--secret-key", "server.key"];
    let mut server = fleet.start(&[&serve[..], &METRICS].concat(), 3);
    let url = server.value_of("metrics at http://");
    let address = url.strip_suffix("/metrics").unwrap();
    // More connections than are held, which say nothing or nonsense, or too much.
    let silent: Vec<_> = (0..40).map(|_| TcpStream::connect(address).unwrap()).collect();
    for nonsense in [&b"\0\0\0\0"[..], b"GET", b"GET / HTTP/1.1\r\nHost", &vec![b'a'; 100_000], b"\x16\x03\x01\x02\0"] {
        let mut connection = TcpStream::connect(address).unwrap();
        drop(connection.write_all(nonsense));
    }
    assert_eq!(http(&mut server, "GET", "/livez").0, 200);
    drop(silent);
    server.stop();
}

/// The journal has a clock of its own.
#[test]
fn lines_for_the_journal_have_no_time() {
    let fleet = Fleet::new();
    fleet.write("journal", "");
    let journal = fleet.path("journal");
    let file = std::fs::metadata(&journal).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pssst"));
    let key = fleet.path("server.key");
    fleet.stdout(&["keygen", "--out", "server.key"]);
    command.args(["serve", "--listen", "127.0.0.1:0", "--secret-key", key.to_str().unwrap(), "--log-level", "info"]);
    command.env("JOURNAL_STREAM", format!("{}:{}", file.dev(), file.ino()));
    command.stdout(Stdio::null()).stderr(std::fs::File::options().append(true).open(&journal).unwrap());
    let mut server = command.spawn().unwrap();
    let text = || std::fs::read_to_string(&journal).unwrap();
    wait_for("a line", || text().contains("serving") && text().ends_with('\n'));
    server.kill().unwrap();
    server.wait().unwrap();
    let text = text();
    let mut lines = text.lines().map(str::trim_start);
    assert!(lines.all(|line| line.starts_with("WARN ") || line.starts_with("INFO serving")), "{text}");
}

#[test]
fn logs_are_lines_of_text_or_json() {
    let fleet = Fleet::new();
    fleet.stdout(&["keygen", "--out", "server.key"]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--secret-key", "server.key"];
    let log = |environment: &[(&str, &str)], more: &[&str]| {
        fleet.start_in(environment, &[&serve[..], more].concat(), 2).stop()
    };
    let text = log(&[], &[]);
    assert!(text.contains("Z  INFO serving address=127.0.0.1:") && text.contains("received 0"), "{text}");
    // The parent process may have been a service of systemd's.
    let text = log(&[("JOURNAL_STREAM", "8:1")], &[]);
    assert!(text.contains("Z  INFO serving"), "{text}");
    assert_eq!(log(&[], &["--log-level", "error"]), "received 0\n");

    let json = log(&[], &["--log-format", "json"]);
    let lines: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let warning = lines.first().unwrap();
    assert_eq!(warning["level"], "WARN");
    assert!(warning["message"].as_str().unwrap().starts_with("all clients are served"), "{json}");
    let lines = &lines[1..];
    assert_eq!(lines.first().unwrap()["message"], "serving");
    assert_eq!(lines.last().unwrap()["message"], "received 0");
    assert!(lines.iter().all(|line| line["level"] == "INFO" && line["timestamp"].is_string()), "{json}");
}

#[test]
fn each_file_that_a_service_follows_has_its_metrics() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["client"]);
    fleet.stdout(&["keys", "init", "keys.json"]);
    fleet.stdout(&["operator", "create", "alice", "--file", "operators"]);
    let key = fleet.stdout(&["pubkey", "client.key"]);
    fleet.stdout(&["clients", "add", "boiler-7", key.trim(), "--store", "file:clients"]);
    let psk = ["clients", "psk", "boiler-7", "--keys", "keys.json", "--out", "client.psk", "--store", "file:clients"];
    fleet.stdout(&psk);
    let (mut directory, url, pin) = start_directory(&fleet, &[&METRICS[..], &["--operators", "operators"]].concat());
    let serve = ["serve", "--listen", "127.0.0.1:0", "--keys", "keys.json", "--clients", "file:clients"];
    let mut server = fleet.start(&[&serve[..], &METRICS].concat(), 3);
    let reach = ["--server", "127.0.0.1:9", "--directory", &url, "--pin", &pin];
    let proxy = ["proxy", "--listen", "127.0.0.1:0", "--identity", "client.key", "--psk", "client.psk"];
    let mut proxy = fleet.start(&[&proxy[..], &reach, &METRICS].concat(), 2);
    for (service, files) in [
        (&mut directory, &["keys.json", "directory.crt", "directory.key", "operators"][..]),
        (&mut server, &["keys.json", "clients"]),
        (&mut proxy, &["client.key", "client.psk"]),
    ] {
        let samples = samples(service);
        for file in files {
            assert!(samples[&format!("pssst_file_age_seconds{{file=\"{file}\"}}")] < 60.0, "{file}: {samples:?}");
            for metric in ["refused", "failures_total"] {
                let name = format!("pssst_file_{metric}{{file=\"{file}\"}}");
                assert!(samples[&name].abs() < f64::EPSILON, "{name}: {samples:?}");
            }
        }
    }

    let good = std::fs::read_to_string(fleet.path("clients")).unwrap();
    let mut sample = |metric: &str| samples(&mut server)[&format!("pssst_file_{metric}{{file=\"clients\"}}")];
    fleet.write_private("clients", "nothing of the kind");
    wait_for("the file is refused", || sample("refused") > 0.0);
    assert!(sample("failures_total") > 0.0);
    fleet.write_private("clients", &good);
    wait_for("the file is good", || sample("refused").abs() < f64::EPSILON);
    assert!(sample("failures_total") > 0.0);
}

/// Metrics and health tell of a file that cannot be used, and of a directory that does not answer.
#[test]
fn what_a_service_follows_shows_in_metrics_and_health() {
    let fleet = Fleet::new();
    fleet.stdout(&["keys", "init", "keys.json", "--refresh-interval", "2s"]);
    let (mut directory, url, pin) = start_directory(&fleet, &METRICS);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--keys", "keys.json"];
    let mut server = fleet.start(&[&serve[..], &METRICS].concat(), 3);
    let address = server.value_of("listening on ");
    let proxy = ["proxy", "--listen", "127.0.0.1:0", "--server", &address, "--directory", &url, "--pin", &pin];
    let mut proxy = fleet.start(&[&proxy[..], &METRICS].concat(), 2);
    let is_ready = |service: &mut Process| http(service, "GET", "/readyz").0 == 200;

    let set_mode = |mode| std::fs::set_permissions(fleet.path("keys.json"), Permissions::from_mode(mode)).unwrap();
    set_mode(0o644);
    for service in [&mut directory, &mut server] {
        wait_for("the file is refused", || samples(service)["pssst_file_refused{file=\"keys.json\"}"] > 0.0);
        wait_for("the service is not ready", || !is_ready(service));
        let (status, _, reasons) = http(service, "GET", "/readyz");
        assert!(status == 503 && reasons.contains("keys.json"), "{reasons}");
        assert!(samples(service)["pssst_file_age_seconds{file=\"keys.json\"}"] >= 2.0);
        service.wait_for_stderr("keys.json", 1);
    }
    set_mode(0o600);
    for service in [&mut directory, &mut server] {
        wait_for("the service is ready", || is_ready(service));
        let samples = samples(service);
        assert!(samples["pssst_file_refused{file=\"keys.json\"}"] == 0.0, "{samples:?}");
        assert!(samples["pssst_file_failures_total{file=\"keys.json\"}"] > 0.0, "{samples:?}");
    }

    let cache = ["nowhere/cache", "--timeout", "30"];
    let request = ["request", "--server", &address, "--directory", &url, "--pin", &pin, "hello", "--key-cache"];
    let output = fleet.output(&[&request[..], &cache].concat(), "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("the keys are not cached: nowhere/cache: "), "{said}");

    assert!(is_ready(&mut proxy) && samples(&mut proxy)["pssst_client_keys_overdue"] == 0.0);
    directory.stop();
    wait_for("the proxy is not ready", || !is_ready(&mut proxy));
    let samples = samples(&mut proxy);
    assert!(samples["pssst_client_keys_overdue"] > 0.0 && samples["pssst_client_keys_failures_total"] > 0.0);
}
