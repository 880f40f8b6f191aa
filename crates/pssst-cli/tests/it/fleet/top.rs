//! `pssst status` and `pssst top` against real services, whose load is known.

use std::io::Write;

use pssst_test::{Process, wait_for};
use serde_json::Value;

use crate::fleet::metrics::{METRICS, echo};
use crate::fleet::process::{Fleet, gateway};
use crate::fleet::terminal::Terminal;

/// Returns the address of a service's metrics.
fn metrics(service: &mut Process) -> String {
    service.value_of("metrics at http://").strip_suffix("/metrics").unwrap().to_owned()
}

fn status(fleet: &Fleet, address: &str) -> Value {
    serde_json::from_str(&fleet.stdout(&["status", address, "--json"])).unwrap()
}

#[track_caller]
fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} in {report}"))
}

/// Sends 100 requests, and returns how many the load generator counts.
fn load(fleet: &Fleet, server: &str) -> f64 {
    let bench = ["bench", "--server", server, "--server-key", "server.pub", "--requests-prepared", "64"];
    let limits = ["--rate", "250", "--duration", "0.4", "--warmup", "0", "--timeout", "20", "--json"];
    let report: Value = serde_json::from_str(&fleet.stdout(&[&bench[..], &limits].concat())).unwrap();
    assert_eq!(report["lost"], 0, "{report}");
    number(&report, "/requests")
}

const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--secret-key", "server.key"];

#[test]
fn the_figures_of_every_service_are_those_of_the_load() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["server"]);
    let mut serve = fleet.start(&[&SERVE[..], &METRICS].concat(), 3);
    let upstream = echo();
    let mut gateway = fleet.start(&gateway(&upstream, &[&["--anonymous", "allow"][..], &METRICS].concat()), 3);
    for (service, name) in [(&mut serve, "serve"), (&mut gateway, "gateway")] {
        let (server, address) = (service.value_of("listening on "), metrics(service));
        let requests = load(&fleet, &server);
        let report = status(&fleet, &format!("http://{address}/metrics"));
        assert_eq!((&report["service"], &report["ready"], &report["live"]), (&name.into(), &true.into(), &true.into()));
        for counter in ["/traffic/requests_anonymous", "/traffic/replies", "/key_requests/0"] {
            assert_eq!(number(&report, &format!("{counter}/total")).to_bits(), requests.to_bits(), "{report}");
        }
        assert_eq!(number(&report, "/latency/request/count").to_bits(), requests.to_bits(), "{report}");
        assert!(number(&report, "/latency/request/p50_seconds") <= number(&report, "/latency/request/p99_seconds"));
        if name == "gateway" {
            assert_eq!(number(&report, "/upstream/answered/total").to_bits(), requests.to_bits(), "{report}");
        }
        let text = fleet.stdout(&["status", &address]);
        assert!(text.starts_with(&format!("pssst {name} {}", env!("CARGO_PKG_VERSION"))), "{text}");
        assert!(text.contains("refusals: none") && text.contains("keys: 1, changed "), "{text}");
    }

    let server = gateway.value_of("listening on ");
    let proxy = ["proxy", "--listen", "127.0.0.1:0", "--server", &server, "--server-key", "server.pub"];
    let mut proxy = fleet.start(&[&proxy[..], &METRICS].concat(), 2);
    let program = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    program.connect(proxy.value_of("listening on ")).unwrap();
    program.set_read_timeout(Some(pssst_test::PATIENCE)).unwrap();
    for _ in 0..7 {
        program.send(b"hello").unwrap();
        assert_eq!(program.recv(&mut [0; 100]).unwrap(), 5);
    }
    let report = status(&fleet, &metrics(&mut proxy));
    for counter in ["/traffic/datagrams_received", "/traffic/replies", "/pool/requests", "/pool/replies"] {
        assert_eq!(report.pointer(&format!("{counter}/total")), Some(&7.into()), "{report}");
    }
    for service in [&mut serve, &mut gateway, &mut proxy] {
        let frame = fleet.stdout(&["top", &metrics(service), "--once", "--interval", "200ms"]);
        assert!(frame.contains(": ready\n") && frame.contains("per second"), "{frame}");
    }
}

#[test]
fn refused_packets_are_shown_by_cause() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["server"]);
    let mut serve = fleet.start(&[&SERVE[..], &METRICS].concat(), 3);
    let program = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..5 {
        program.send_to(b"?", serve.value_of("listening on ")).unwrap();
    }
    let address = metrics(&mut serve);
    wait_for("five refusals", || status(&fleet, &address).pointer("/refusals/truncated/total") == Some(&5.into()));
}

#[test]
fn the_address_is_found_in_the_configuration() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["server"]);
    let mut serve = fleet.start(&[&SERVE[..], &METRICS].concat(), 3);
    let address = metrics(&mut serve);
    fleet.write("one.toml", &format!("[serve]\nmetrics = \"{address}\"\n[proxy]\nlisten = \"127.0.0.1:1\"\n"));
    fleet.stdout(&["status", "--config", "one.toml"]);
    fleet.write("two.toml", &format!("[serve]\nmetrics = \"{address}\"\n[proxy]\nmetrics = \"127.0.0.1:9\"\n"));
    let refusal = fleet.refusal_of_usage(&["status", "--config", "two.toml"]);
    assert!(refusal.contains("127.0.0.1:9 (proxy)"), "{refusal}");
    fleet.write("off.toml", "[serve]\nlisten = \"127.0.0.1:0\"\n");
    let refusal = fleet.refusal_of_usage(&["status", "--config", "off.toml"]);
    assert!(refusal.contains("off.toml has no service with metrics") && refusal.contains("metrics = "), "{refusal}");
    let mut from_environment = fleet.command(&["status", "--json"]);
    let output = pssst_test::output(from_environment.env("PSSST_METRICS", &address), "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_not_a_service_is_refused() {
    let fleet = Fleet::new();
    let serves = |answer: &'static [u8]| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let _read = std::io::Read::read(&mut connection, &mut [0; 4096]).unwrap();
                drop(connection.write_all(answer));
            }
        });
        address
    };
    let long = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &vec![b'#'; 2 << 20]].concat();
    for (answer, expected) in [
        (&b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..], "answers 404 Not Found"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "line 1: it does not begin with a metric's name"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\na 1\n# EOF\n", "there is no pssst_build_info"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na 1", "end of file before message length reached"),
        (long.leak(), "answers with more than 1048576 bytes"),
        (b"SSH-2.0-server\r\n", "gives no answer of HTTP"),
    ] {
        let refusal = fleet.refusal(&["status", &serves(answer)]);
        assert!(refusal.contains(expected), "{refusal}");
    }
}

/// Starts the live view.
fn top(fleet: &Fleet, address: &str, setup: &str) -> Terminal {
    let top = format!("{} top {address} --interval 100ms", env!("CARGO_BIN_EXE_pssst"));
    Terminal::start(fleet, &format!("{setup} stty rows 24 cols 80; stty -g; {top}; echo \"code $?\"; stty -g"))
}

#[test]
fn the_live_view_draws_ends_on_q_and_restores_the_terminal() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["server"]);
    let mut serve = fleet.start(&[&SERVE[..], &METRICS].concat(), 3);
    let address = metrics(&mut serve);
    let mut view = top(&fleet, &address, "");
    view.wait_until("q quit", 1);
    // It goes away, and that is said.
    serve.kill();
    view.wait_until("no answer for", 1);
    view.type_in("q");
    view.wait_until("code 0", 1);
    let seen = view.end();
    assert!(seen.contains("\x1b[?1049h") && seen.contains("\x1b[?1049l"), "{seen}");
    assert!(seen.contains("\x1b[?25h"), "the cursor is shown again: {seen}");
    assert!(seen.contains(RED), "{seen}");
    let modes: Vec<_> = [seen.lines().next(), seen.lines().last()].into_iter().flatten().collect();
    assert!(modes[0].contains(':') && modes[0] == modes[1], "{modes:?}");
}

/// As crossterm writes it, with what else the text has.
const RED: &str = "38;5;1";

#[test]
fn the_live_view_has_no_colours_if_they_are_switched_off_and_follows_the_size() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["server"]);
    let mut serve = fleet.start(&[&SERVE[..], &METRICS].concat(), 3);
    let address = metrics(&mut serve);
    // Each other size has everything drawn again, and not only what has changed.
    let resize = "t=$(tty); n=10; export NO_COLOR=1; (until [ -e stop ]; do n=$((21 - n)); \
                  stty -F \"$t\" rows $n cols 60; sleep 0.2; done) &";
    let mut view = top(&fleet, &address, resize);
    view.wait_until("q quit", 3);
    serve.kill();
    // Where there are colours, this is red.
    view.wait_until("no answer for", 1);
    fleet.write("stop", "");
    view.type_in("q");
    view.wait_until("code 0", 1);
    let seen = view.end();
    assert!(!seen.contains(RED), "{seen}");
}
