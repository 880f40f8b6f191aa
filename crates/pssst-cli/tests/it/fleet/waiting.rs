//! Signs of life at a terminal, and none where scripts read.

use std::net::{TcpListener, UdpSocket};

use crate::fleet::process::Fleet;
use crate::fleet::terminal::Terminal;

#[test]
fn people_who_wait_see_that_something_happens() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["server"]);
    // Both take what comes, and never answer.
    let (server, directory) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (server, directory) = (server.local_addr().unwrap(), (directory.local_addr().unwrap(), server, directory));
    let program = env!("CARGO_BIN_EXE_pssst");
    let request = format!("request --server {server} --server-key server.pub --timeout 3s hello");
    let fetch = format!("keys fetch --directory https://{} --pin sha256:{}", directory.0, "0".repeat(64));
    let mut terminal = Terminal::start(&fleet, &format!("{program} {request}; echo \"code $?\"; {program} {fetch}"));
    terminal.wait_until("no reply yet, sent again (", 1);
    terminal.wait_until("code 3", 1);
    terminal.wait_until("the directory has not answered yet", 1);
    drop(terminal);

    let output = fleet.output(&request.split(' ').collect::<Vec<_>>(), "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(3) && !said.contains("no reply yet"), "{said}");
}

/// A digest, not 2,432 digits, where a person looks; the key itself in a file.
#[test]
fn long_keys_are_shown_by_their_hash() {
    let fleet = Fleet::new();
    let program = env!("CARGO_BIN_EXE_pssst");
    let line = format!(
        "{program} keygen --suite f003 --out pq.key && {program} pubkey pq.key && {program} pubkey pq.key > pq.pub"
    );
    let seen = Terminal::start(&fleet, &line).end();
    assert_eq!(seen.matches("pssst-pq1").count(), 2, "{seen}");
    assert!(seen.lines().all(|line| line.len() < 200), "{seen}");
    assert!(std::fs::read_to_string(fleet.path("pq.pub")).unwrap().len() > 2432);
}
