//! Nobody reads standard error, and its pipe is full.

use std::io::{PipeReader, Write};
use std::net::UdpSocket;
use std::process::Stdio;
use std::time::Duration;

use pssst_test::{Process, wait_for};

use crate::fleet::metrics::{METRICS, echo, http, samples};
use crate::fleet::process::Fleet;

/// Starts a service whose next line on standard error finds no room.
#[track_caller]
fn start(fleet: &Fleet, args: &[&str]) -> (Process, PipeReader) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    // The capacity of a pipe, see pipe(7).
    writer.write_all(&vec![b'\n'; 65536]).unwrap();
    let mut command = fleet.command(args);
    command.args(METRICS).stdin(Stdio::null()).stderr(writer);
    (Process::spawn_with_its_stderr(&mut command), reader)
}

#[test]
fn a_stalled_reader_of_the_log_stops_nothing() {
    let fleet = Fleet::new();
    let server_key = fleet.stdout(&["keygen", "--out", "server.key"]);
    let client_key = fleet.stdout(&["keygen", "--out", "client.key"]);
    let (server_key, client_key) = (server_key.trim(), client_key.trim());
    fleet.stdout(&["clients", "add", "boiler-7", client_key, "--store", "sqlite:clients.db"]);
    let listen = ["--listen", "127.0.0.1:0"];
    let clients = ["--clients", "sqlite:clients.db"];

    let serve = [&["serve", "--secret-key", "server.key", "--verbose"], &listen[..], &clients].concat();
    let (mut server, _stalled) = start(&fleet, &serve);
    let address = server.value_of("listening on ");
    let bench = ["bench", "--server", &address, "--server-key", server_key, "--identity", "client.key"];
    let load = ["--suite", "f002", "--duration", "2", "--requests-prepared", "1000", "--rate", "1000"];
    fleet.stdout(&[&bench[..], &load].concat());
    // More than the queue holds.
    wait_for("lost lines", || samples(&mut server)["pssst_log_lines_lost_total"] > 0.0);
    assert_eq!(http(&mut server, "GET", "/livez").0, 200);

    // A change of the clients still takes effect.
    fleet.stdout(&["clients", "suspend", "boiler-7", "--store", "sqlite:clients.db"]);
    let request = ["request", "--server", &address, "--server-key", server_key, "--identity", "client.key"];
    wait_for("the client is refused", || {
        !fleet.output(&[&request[..], &["--timeout", "1", "hello"]].concat(), "").status.success()
    });
    fleet.stdout(&["clients", "resume", "boiler-7", "--store", "sqlite:clients.db"]);

    let upstream = echo();
    let gateway = ["gateway", "--secret-key", "server.key", "--upstream", &upstream];
    let (mut gateway, _stalled) = start(&fleet, &[&gateway[..], &listen, &clients].concat());
    let pool = gateway.value_of("listening on ");
    let proxy = ["proxy", "--server", &pool, "--server-key", server_key, "--identity", "client.key"];
    let (mut proxy, _stalled) = start(&fleet, &[&proxy[..], &listen].concat());
    let program = UdpSocket::bind("127.0.0.1:0").unwrap();
    program.connect(proxy.value_of("listening on ")).unwrap();
    program.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    program.send(b"hello").unwrap();
    assert_eq!(program.recv(&mut [0; 100]).unwrap(), 5);

    for service in [server, gateway, proxy] {
        service.stop();
    }
}
