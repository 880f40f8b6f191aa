//! `pssst bench` against small servers on loopback.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Output, Stdio};

use pssst::{SecretKey, Server};
use serde_json::Value;
use tempfile::TempDir;

const SECRET: [u8; 32] = [7; 32];

/// Behaviour of a server: the packets that it sends for one.
type Behaviour = fn(&Server, &mut [u8]) -> Vec<Vec<u8>>;

fn echo(server: &Server, packet: &mut [u8]) -> Vec<Vec<u8>> {
    let Ok(request) = server.open_request(packet) else { return Vec::new() };
    let (message, _, sealer) = request.into_parts();
    vec![sealer.seal_to_vec(&mut pssst::SysRng, message).unwrap()]
}

/// Serves for as long as the tests run.
fn serve(address: &str, behaviour: Behaviour) -> SocketAddr {
    let socket = UdpSocket::bind(address).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let server = Server::new(SecretKey::from_bytes(SECRET));
        let mut buffer = vec![0; 65_535];
        loop {
            let Ok((len, peer)) = socket.recv_from(&mut buffer) else { continue };
            for packet in behaviour(&server, &mut buffer[..len]) {
                // A peer that has left is not waited for.
                let _sent = socket.send_to(&packet, peer);
            }
        }
    });
    address
}

fn bench(server: SocketAddr, options: &[&str]) -> Output {
    let key = SecretKey::from_bytes(SECRET).public_key().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pssst"));
    command.args(["bench", "--server", &server.to_string(), "--server-key", &key]);
    // A debug build seals slowly, and machines that run tests are busy.
    let defaults = [("--requests-prepared", "256"), ("--duration", "0.4"), ("--warmup", "0.05"), ("--timeout", "20")];
    for (option, value) in defaults.into_iter().filter(|(option, _)| !options.contains(option)) {
        command.args([option, value]);
    }
    command.args(options).stdin(Stdio::null()).output().unwrap()
}

/// The counts of a measurement that succeeds.
#[track_caller]
fn measure(server: SocketAddr, options: &[&str]) -> Value {
    let output = bench(server, &[&["--json"], options].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = |name| number(&report, name);
    assert!(count("replies") > 0.0 && count("replies_per_second") > 0.0, "{report}");
    assert!(count("requests").to_bits() == (count("replies") + count("lost")).to_bits(), "{report}");
    report
}

#[track_caller]
fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(&format!("/{pointer}")).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} in {report}"))
}

#[track_caller]
fn assert_counts(report: &Value, expected: &[(&str, u32)]) {
    for (name, count) in expected {
        assert_eq!(number(report, name).to_bits(), f64::from(*count).to_bits(), "{name} in {report}");
    }
}

/// A key file for `--identity`.
fn identity() -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("client.key").to_str().unwrap().to_owned();
    let keygen = Command::new(env!("CARGO_BIN_EXE_pssst")).args(["keygen", "--out", &file]).output().unwrap();
    assert!(keygen.status.success());
    (folder, file)
}

#[test]
fn a_closed_loop_loses_nothing_and_measures_over_ipv4_and_ipv6() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let report = measure(serve(address, echo), &["--concurrency", "4"]);
        let zero = ["lost", "refused", "duplicates", "unmatched_replies", "junk", "unsent", "network_errors"]
            .map(|name| (name, 0));
        assert_counts(&report, &zero);
        assert_counts(&report, &[("concurrency", 4), ("sockets", 4), ("size", 32), ("suite", 0xf002)]);
        let latency = ["p50", "p90", "p99", "p999", "max"].map(|name| number(&report, &format!("latency_us/{name}")));
        assert!(latency[0] > 0.0 && latency.is_sorted(), "{report}");
    }
}

#[test]
fn every_size_and_suite_is_answered() {
    let server = serve("127.0.0.1:0", echo);
    for options in [
        ["--size", "0", "--suite", "1"],
        ["--size", "1", "--suite", "f002"],
        ["--size", "1400", "--suite", "f002"],
        ["--size", "65455", "--suite", "1"],
    ] {
        let report = measure(server, &[&options[..], &["--concurrency", "2"]].concat());
        assert_counts(&report, &[("lost", 0), ("refused", 0), ("unmatched_replies", 0)]);
    }
}

#[test]
fn an_open_loop_keeps_its_rate_whatever_comes_back() {
    /// Answers about one request of four.
    fn some(server: &Server, packet: &mut [u8]) -> Vec<Vec<u8>> {
        let answers = echo(server, packet);
        if packet[10].is_multiple_of(4) { answers } else { Vec::new() }
    }
    let report = measure(serve("127.0.0.1:0", echo), &["--rate", "250"]);
    assert_counts(&report, &[("lost", 0), ("requests", 100), ("unsent", 0)]);
    assert!(number(&report, "send_lag_us/max") > 0.0, "{report}");

    let options = ["--rate", "1000", "--concurrency", "8", "--timeout", "0.3", "--duration", "1"];
    let report = measure(serve("127.0.0.1:0", some), &options);
    assert!(number(&report, "lost") > 0.0 && number(&report, "unsent") > 0.0, "{report}");
    let sum = number(&report, "requests") + number(&report, "unsent");
    assert!(sum.to_bits() == 1000.0_f64.to_bits(), "{report}");
}

#[test]
fn authenticated_requests_are_mixed_in() {
    /// Answers authenticated requests only.
    fn selective(server: &Server, packet: &mut [u8]) -> Vec<Vec<u8>> {
        let is_authenticated = pssst::Header::parse(packet).unwrap().has_client_auth();
        if is_authenticated { echo(server, packet) } else { Vec::new() }
    }
    let (_folder, file) = identity();
    let server = serve("127.0.0.1:0", selective);
    let report = measure(server, &["--identity", &file, "--concurrency", "4"]);
    assert_counts(&report, &[("lost", 0), ("refused", 0)]);

    let options = ["--identity", &file, "--authenticated-share", "0.5", "--rate", "500", "--timeout", "5"];
    let report = measure(server, &options);
    let share = number(&report, "replies") / number(&report, "requests");
    assert!((0.4..=0.6).contains(&share), "{report}");
}

#[test]
fn junk_comes_besides_the_requests_and_is_never_answered() {
    /// Complains about what has the requests' header and length, and cannot be opened.
    fn complain(server: &Server, packet: &mut [u8]) -> Vec<Vec<u8>> {
        let looks_right = packet.len() == 52 + 100 && packet[..4] == [0, 0, 0xf0, 2];
        match server.open_request(packet) {
            Err(pssst::Refusal::DecryptFailed) if looks_right => vec![b"junk".to_vec()],
            Err(_) => Vec::new(),
            Ok(request) => vec![request.into_reply_sealer().seal_to_vec(&mut pssst::SysRng, b"").unwrap()],
        }
    }
    let report = measure(serve("127.0.0.1:0", echo), &["--junk", "0.75", "--rate", "200"]);
    assert_counts(&report, &[("lost", 0), ("requests", 80), ("unmatched_replies", 0)]);
    assert!((200.0..=260.0).contains(&number(&report, "junk")), "{report}");

    let report = measure(serve("127.0.0.1:0", complain), &["--junk", "0.5", "--concurrency", "2", "--size", "100"]);
    let (junk, unmatched_replies) = (number(&report, "junk"), number(&report, "unmatched_replies"));
    // Some fall on either side of the window's edges.
    assert!(junk > 0.0 && (unmatched_replies - junk).abs() < 20.0, "{report}");
}

#[test]
fn forged_repeated_and_stray_packets_are_told_apart_and_change_nothing() {
    /// A forged reply, a packet of another transaction, the true reply, and that again.
    fn noisy(server: &Server, packet: &mut [u8]) -> Vec<Vec<u8>> {
        let reply = echo(server, packet).remove(0);
        let (mut forged, mut foreign) = (reply.clone(), reply.clone());
        forged[20] ^= 1;
        foreign[4] ^= 1;
        vec![forged, foreign, reply.clone(), reply]
    }
    let report = measure(serve("127.0.0.1:0", noisy), &["--rate", "100"]);
    assert_counts(&report, &[("requests", 40), ("lost", 0)]);
    for name in ["refused", "unmatched_replies", "duplicates"] {
        // A packet more or less at the window's edge.
        assert!((30.0..=50.0).contains(&number(&report, name)), "{name} in {report}");
    }
}

#[test]
fn without_a_reply_it_fails() {
    fn wrong(server: &Server, packet: &mut [u8]) -> Vec<Vec<u8>> {
        let mut reply = echo(server, packet).remove(0);
        reply[20] ^= 1;
        vec![reply]
    }
    let servers: [(Behaviour, &[&str], &str); 2] = [
        (|_, _| Vec::new(), &["--json"], "0 refused as replies, 0 unmatched replies"),
        (wrong, &[], "4 refused as replies, 0 unmatched replies"),
    ];
    for (behaviour, mode, counts) in servers {
        let options = ["--timeout", "1", "--warmup", "0", "--concurrency", "4"];
        let output = bench(serve("127.0.0.1:0", behaviour), &[&options, mode].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), &b""[..]), "{stderr}");
        assert!(stderr.contains(&format!("requests of suite 0xf002 (4 requests, {counts}")), "{stderr}");
        assert!(stderr.contains("a server does not answer what it refuses"), "{stderr}");
    }
}

/// `localhost` is `::1` first on many machines, where the server may not listen.
#[test]
fn every_address_of_a_name_is_tried() {
    let server = serve("127.0.0.1:0", echo);
    let name = format!("localhost:{}", server.port());
    let report = measure(server, &["--rate", "100"]);
    assert_counts(&report, &[("lost", 0)]);
    let key = SecretKey::from_bytes(SECRET).public_key().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pssst"));
    command.args(["bench", "--server", &name, "--server-key", &key, "--requests-prepared", "64", "--duration", "0.2"]);
    let output = command.args(["--timeout", "10s"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn people_get_a_text_and_a_picture() {
    let folder = TempDir::new().unwrap();
    let plot = folder.path().join("latency.svg");
    let options = ["--concurrency", "3", "--plot", plot.to_str().unwrap()];
    let output = bench(serve("127.0.0.1:0", echo), &options);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for word in
        ["3 requests in flight, 0.4 s, 32-byte messages, anonymous", "replies", "a second", "p99.9", "generator"]
    {
        assert!(text.contains(word), "{word} in {text}");
    }
    let svg = fs::read_to_string(plot).unwrap();
    assert_well_formed(&svg);
    for word in ["<svg xmlns=", "Latency by percentile", "32-byte messages", "p50 ", "p99.9 ", "max ", "99 %", "µs"] {
        assert!(svg.contains(word), "{word} in {svg}");
    }
    assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
}

/// Every element is closed in its turn, and every attribute is quoted.
fn assert_well_formed(document: &str) {
    let body = document.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").expect("an XML declaration");
    let mut open = Vec::new();
    for tag in body.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("a tag that ends");
        assert!(!text.contains(['&', '>']), "{text}");
        assert!(tag.matches('"').count().is_multiple_of(2), "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap());
        }
    }
    assert!(open.is_empty(), "{open:?} in {document}");
}

/// Returns whether a process handles a signal, and does not just end.
#[cfg(target_os = "linux")]
fn catches(process: u32, signal: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << (signal - 1)) != 0
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_measured_until_a_signal_is_not_thrown_away() {
    use std::sync::atomic::{AtomicU64, Ordering};

    static ANSWERED: AtomicU64 = AtomicU64::new(0);
    let server = serve("127.0.0.1:0", |server, packet| {
        ANSWERED.fetch_add(1, Ordering::Relaxed);
        echo(server, packet)
    });
    let key = SecretKey::from_bytes(SECRET).public_key().to_string();
    let start = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pssst"));
        command.args(["bench", "--server", &server.to_string(), "--server-key", &key, "--warmup", "0"]).args(options);
        pssst_test::Process::spawn(&mut command)
    };
    let loads: [&[&str]; 3] = [
        &["--requests-prepared", "64", "--duration", "1h", "--json"],
        &["--rate", "2000", "--duration", "1h", "--requests-prepared", "64", "--json"],
        &["--rate", "0.5", "--duration", "1h", "--requests-prepared", "64", "--json"],
    ];
    for (options, signal) in loads.into_iter().zip(["INT", "TERM", "INT"]) {
        let before = ANSWERED.load(Ordering::Relaxed);
        let mut bench = start(options);
        pssst_test::wait_for("requests are answered", || ANSWERED.load(Ordering::Relaxed) > before);
        bench.signal(signal);
        let line = bench.next_line();
        let (status, said) = bench.wait();
        assert_eq!(status.code(), Some(0), "{said}");
        let report: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(report["partial"], true, "{report}");
        assert!(number(&report, "duration") < 3000.0 && number(&report, "replies") > 0.0, "{report}");
        assert_eq!(number(&report, "lost").to_bits(), 0_f64.to_bits(), "{report}");
    }

    // Not one request is sealed yet.
    let mut bench = start(&["--requests-prepared", "4000000"]);
    pssst_test::wait_for("it handles the signal", || catches(bench.id(), 15));
    bench.signal("TERM");
    let (status, said) = bench.wait();
    assert!(status.code() == Some(1) && said.contains("stopped before anything was measured"), "{status}: {said}");
}
