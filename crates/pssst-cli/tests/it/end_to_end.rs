//! The program as its users run it: real key files, real processes, real packets on loopback. On
//! Unix, whose file modes and signals they look at.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pssst::{Client, PublicKey, SecretKey, Server, SysRng};
use pssst_net::{Retry, blocking};
use pssst_test::{PATIENCE, Process};
use tempfile::TempDir;

fn pssst(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pssst"));
    command.args(args);
    command
}

#[track_caller]
fn output(args: &[&str]) -> Output {
    pssst(args).stdin(Stdio::null()).output().unwrap()
}

/// Standard output of a command that succeeds.
#[track_caller]
fn stdout(args: &[&str]) -> Vec<u8> {
    let output = output(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Standard error of a command that ends with this code, and prints nothing else.
#[track_caller]
fn refusal(code: i32, args: &[&str]) -> String {
    let output = output(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(code), &b""[..]), "{args:?}: {stderr}");
    stderr
}

/// A folder with a server's key, a client's key, and their public keys.
struct Keys {
    folder: TempDir,
    server_key: String,
    client_key: String,
}

impl Keys {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let [server_key, client_key] = ["server.key", "client.key"].map(|name| {
            let file = folder.path().join(name);
            String::from_utf8(stdout(&["keygen", "--out", file.to_str().unwrap()])).unwrap().trim().to_owned()
        });
        Self { folder, server_key, client_key }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

/// A running `pssst serve --verbose`.
struct RunningServer {
    process: Process,
    address: SocketAddr,
}

impl RunningServer {
    fn start(args: &[&str]) -> Self {
        let mut command = pssst(&["serve", "--verbose", "--listen", "127.0.0.1:0"]);
        Self::of(Process::spawn(command.args(args)))
    }

    fn of(mut process: Process) -> Self {
        let address = process.value_of("listening on ").parse().unwrap();
        Self { process, address }
    }

    fn next_line(&mut self) -> String {
        self.process.next_line().unwrap()
    }

    fn address(&self) -> String {
        self.address.to_string()
    }

    /// Stops it, and returns what it said on standard error.
    fn stop(self) -> String {
        self.process.stop()
    }
}

/// A system call that waits may be interrupted, for instance when the machine is suspended.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> (usize, SocketAddr) {
    loop {
        match socket.recv_from(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            received => return received.unwrap(),
        }
    }
}

/// The number after a word in what a server says at its end.
fn count(said: &str, word: &str) -> usize {
    let (_, number) = said.rsplit_once(word).expect(said);
    number.split(',').next().unwrap().trim().parse().unwrap()
}

fn mode(path: &str) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn keygen_makes_a_file_for_its_owner_and_prints_the_public_key() {
    let keys = Keys::new();
    let file = keys.path("server.key");
    assert_eq!(mode(&file), 0o600);
    let secret = SecretKey::from_pem(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(secret.public_key().to_string(), keys.server_key);
    assert_eq!(stdout(&["pubkey", &file]), format!("{}\n", keys.server_key).as_bytes());
    let pem = String::from_utf8(stdout(&["pubkey", "--pem", &file])).unwrap();
    assert_eq!(PublicKey::from_pem(&pem).unwrap(), secret.public_key());

    let hex_file = keys.path("hex.key");
    let printed = String::from_utf8(stdout(&["keygen", "--format", "hex", "--out", &hex_file])).unwrap();
    let hex = fs::read_to_string(&hex_file).unwrap();
    assert_eq!((hex.len(), mode(&hex_file)), (65, 0o600));
    assert_eq!(printed.trim(), format!("{:x}", SecretKey::from_hex(&hex).unwrap().public_key()));
}

#[test]
fn keygen_never_overwrites() {
    let keys = Keys::new();
    let file = keys.path("server.key");
    let before = fs::read(&file).unwrap();
    let stderr = refusal(1, &["keygen", "--out", &file]);
    assert!(stderr.contains("exists already") && stderr.contains("nothing is overwritten"), "{stderr}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn keygen_and_pubkey_are_filters() {
    let made = output(&["keygen", "--out", "-"]);
    let mut child = pssst(&["pubkey", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&made.stdout).unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, made.stderr);
}

#[test]
fn secret_files_that_others_can_read_are_refused() {
    let keys = Keys::new();
    let file = keys.path("client.key");
    for exposed in [0o640, 0o604, 0o660, 0o644, 0o601] {
        set_mode(&file, exposed);
        // To a service that is wrong configuration.
        for (code, args) in [
            (1, &["pubkey", &file][..]),
            (2, &["serve", "--listen", "127.0.0.1:0", "--secret-key", &file]),
            (1, &["request", "--server", "127.0.0.1:9", "--server-key", &keys.server_key, "--identity", &file, "x"]),
        ] {
            let stderr = refusal(code, args);
            assert!(stderr.contains(&format!("mode {exposed:04o}")), "{stderr}");
            assert!(stderr.contains(&format!("chmod 600 {file}")) && stderr.contains("exposed"), "{stderr}");
        }
    }
    assert_eq!(stdout(&["pubkey", "--allow-exposed-keys", &file]), format!("{}\n", keys.client_key).as_bytes());
    set_mode(&file, 0o400);
    assert_eq!(stdout(&["pubkey", &file]), format!("{}\n", keys.client_key).as_bytes());
}

#[test]
fn files_that_hold_no_key_are_refused() {
    let keys = Keys::new();
    let file = keys.path("bad.key");
    for (content, expected) in [
        (&b"hello"[..], "has no key"),
        (b"", "is empty"),
        (&[0xff; 100], "not a text file"),
        (&vec![b'a'; 100_000], "too long for a key"),
        (&stdout(&["pubkey", "--pem", &keys.path("server.key")]), "holds an X25519 public key"),
    ] {
        fs::write(&file, content).unwrap();
        // A file that has no key of ours may be for all to read, and nobody is to change that.
        for mode in [0o600, 0o644] {
            set_mode(&file, mode);
            let stderr = refusal(1, &["pubkey", &file]);
            assert!(stderr.contains(expected) && !stderr.contains("chmod"), "{stderr}");
        }
    }
}

#[test]
fn requests_of_every_kind_are_answered() {
    let keys = Keys::new();
    let mut serving = RunningServer::start(&["--secret-key", &keys.path("server.key"), "--max-datagram", "65507"]);
    assert_eq!(serving.next_line(), format!("public key {}", keys.server_key));
    let server = serving.address();
    let base = ["request", "--max-datagram", "65507", "--server", &server, "--server-key", &keys.server_key];
    let identity = keys.path("client.key");
    let message_file = keys.path("message.bin");
    let binary: Vec<u8> = (0..=255).cycle().take(20_000).collect();
    fs::write(&message_file, &binary).unwrap();

    for suite in ["1", "f002"] {
        for identity in [&[][..], &["--identity", &identity]] {
            let args = [&base[..], identity, &["--suite", suite]].concat();
            assert_eq!(stdout(&[&args[..], &["hello"]].concat()), b"hello");
            assert_eq!(stdout(&[&args[..], &[""]].concat()), b"");
            assert_eq!(stdout(&[&args[..], &["--file", &message_file]].concat()), binary);
            assert_eq!(stdout(&[&args[..], &["--no-reply", "one way"]].concat()), b"");
            let mut child = pssst(&args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(b"from\0standard input\n").unwrap();
            assert_eq!(child.wait_with_output().unwrap().stdout, b"from\0standard input\n");
        }
    }
    // The largest messages that a datagram holds, and one byte more.
    for (identity, largest) in [(&[][..], 65_507 - 52), (&["--identity", &identity], 65_507 - 92)] {
        fs::write(&message_file, vec![b'x'; largest]).unwrap();
        let args = [&base[..], identity, &["--file", &message_file]].concat();
        assert_eq!(stdout(&args).len(), largest);
        fs::write(&message_file, vec![b'x'; largest + 1]).unwrap();
        assert!(refusal(2, &args).contains(&format!("longer than {largest} bytes")));
        // By default, what passes any network whole.
        let args = [&args[..1], &args[3..]].concat();
        let default = largest + 1232 - 65_507;
        let stderr = refusal(2, &args);
        assert!(stderr.contains(&format!("longer than {default} bytes")) && stderr.contains("--max-datagram"));
    }
    // The server's key from a file, as `pssst pubkey --pem` writes it.
    let public_file = keys.path("server.pub");
    fs::write(&public_file, stdout(&["pubkey", "--pem", &keys.path("server.key")])).unwrap();
    assert_eq!(stdout(&["request", "--server", &server, "--server-key", &public_file, "hi"]), b"hi");

    let said = serving.stop();
    // 2 suites x 2 identities x 5 messages, 2 largest, 1 by key file; a few more if the machine was
    // slow.
    let requests = count(&said, "received ");
    assert!(requests >= 23, "{said}");
    let repeated = if said.contains(", repeated ") { count(&said, ", repeated ") } else { 0 };
    assert_eq!(count(&said, ", replied ") + repeated, requests, "{said}");
    let authenticated = said.matches(&format!("from client {}", keys.client_key)).count();
    assert!(authenticated >= 11);
    assert_eq!(said.matches("from an anonymous client").count(), requests - authenticated);
}

///
#[test]
fn the_server_survives_and_counts_what_it_refuses() {
    let keys = Keys::new();
    let serving = RunningServer::start(&["--secret-key", &keys.path("server.key"), "--suite", "1"]);
    let attacker = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for packet in [
        &[][..],
        &[0; 5],
        &[0; 51],
        &[0; 52],
        &[0x80; 60],
        &[0x3f; 60],
        &[&[0, 0, 0, 1][..], &[0; 60]].concat(),
        &[&[0, 0, 0, 1][..], &[9; 60]].concat(),
        &[&[0, 0, 0xf0, 1][..], &[9; 60]].concat(),
        &vec![0xff; 65_507],
    ] {
        attacker.send_to(packet, serving.address).unwrap();
    }
    // It still serves; and a refused packet is never answered.
    let server = serving.address();
    assert_eq!(
        stdout(&["request", "--suite", "1", "--server", &server, "--server-key", &keys.server_key, "still there?"]),
        b"still there?"
    );
    attacker.set_nonblocking(true).unwrap();
    assert_eq!(attacker.recv(&mut [0; 100]).unwrap_err().kind(), ErrorKind::WouldBlock);

    let stderr = refusal(
        3,
        &[
            "request",
            "--suite",
            "1",
            "--server",
            &server,
            "--server-key",
            &keys.client_key,
            "--timeout",
            "0.3",
            "wrong key",
        ],
    );
    assert!(stderr.contains("no reply") && stderr.contains("1 packet sent, 0 refused"), "{stderr}");

    let said = serving.stop();
    let expected = "received 12, replied 1, truncated 3, not_request 1, reserved_flags 1, unsupported_suite 2, weak_key 1, \
                    decrypt_failed 2, request_too_large 1\n";
    assert!(said.ends_with(expected), "{said}");
    // Each has its line, but the one that was answered, which has one of the handler's.
    assert_eq!((said.matches("TRACE refused").count(), said.matches("a message of 12 bytes").count()), (11, 1));
}

#[test]
fn a_server_with_two_keys_serves_the_clients_of_both() {
    let keys = Keys::new();
    let old = keys.path("client.key");
    let mut serving = RunningServer::start(&["--secret-key", &keys.path("server.key"), "--secret-key", &old]);
    assert_eq!(serving.next_line(), format!("public key {}", keys.server_key));
    assert_eq!(serving.next_line(), format!("public key {}", keys.client_key));
    let server = serving.address();
    for key in [&keys.server_key, &keys.client_key] {
        assert_eq!(stdout(&["request", "--server", &server, "--server-key", key, "hello"]), b"hello");
    }
    let said = serving.stop();
    for key in [&keys.server_key, &keys.client_key] {
        assert!(said.contains(&format!("server key {key}")), "{said}");
    }

    let five: Vec<_> = (0..5)
        .map(|n| {
            let file = keys.path(&format!("{n}.key"));
            stdout(&["keygen", "--out", &file]);
            file
        })
        .collect();
    let args: Vec<&str> = five.iter().flat_map(|file| ["--secret-key", file]).collect();
    assert!(refusal(2, &[&["serve"][..], &args].concat()).contains("more than 4 secret keys"));
}

#[test]
fn a_port_that_is_served_already_is_refused() {
    let keys = Keys::new();
    let key = keys.path("server.key");
    let serving = RunningServer::start(&["--secret-key", &key]);
    let stderr = refusal(1, &["serve", "--listen", &serving.address(), "--secret-key", &key]);
    assert!(stderr.contains("cannot serve 127.0.0.1:") && stderr.contains("another process"), "{stderr}");
}

/// As a service manager starts it, with the socket as file 3.
fn serve_passed(socket: &UdpSocket, keys: &Keys) -> RunningServer {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_pssst"),
        ])
        .args(["serve", "--verbose", "--workers", "2", "--secret-key", &keys.path("server.key")])
        .stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())));
    RunningServer::of(Process::spawn(&mut command))
}

#[test]
fn a_passed_socket_is_served_and_what_waits_in_it_is_the_next_servers() {
    let keys = Keys::new();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let serving = serve_passed(&socket, &keys);
    assert_eq!(serving.address, socket.local_addr().unwrap());
    let server = serving.address();
    let key = keys.server_key.clone();
    assert_eq!(stdout(&["request", "--server", &server, "--server-key", &key, "hello"]), b"hello");
    assert_eq!(count(&serving.stop(), ", replied "), 1);

    // Nobody serves, and nothing is sent a second time.
    let client = Client::new(key.parse::<PublicKey>().unwrap()).unwrap();
    let (packet, pending) = client.seal_request_to_vec(&mut SysRng, b"anybody?").unwrap();
    let asking = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    asking.set_read_timeout(Some(PATIENCE)).unwrap();
    asking.send_to(&packet, &server).unwrap();
    let serving = serve_passed(&socket, &keys);
    let mut buffer = [0; 2048];
    let (len, _) = receive(&asking, &mut buffer);
    assert_eq!(pending.open(&mut buffer[..len]).unwrap(), b"anybody?");
    assert_eq!(count(&serving.stop(), ", replied "), 1);

    let file = tempfile::tempfile().unwrap();
    let output = Command::new("sh")
        .args(["-c", "exec 3<&0; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_pssst")])
        .args(["serve", "--secret-key", &keys.path("server.key")])
        .stdin(file)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && stderr.contains("pass UDP sockets only"), "{stderr}");
}

/// No request fails over it, though what the server had received, and what came meanwhile, is lost.
#[test]
fn a_server_is_killed_and_started_again_under_load() {
    let keys = Keys::new();
    let start = |listen: &str| {
        let mut command = pssst(&["serve", "--verbose", "--listen", listen, "--secret-key", &keys.path("server.key")]);
        RunningServer::of(Process::spawn(&mut command))
    };
    let mut serving = start("127.0.0.1:0");
    let address = serving.address();
    let client = blocking::Client::builder(keys.server_key.parse::<PublicKey>().unwrap())
        .timeout(Duration::from_secs(30))
        .retry(Retry { initial_timeout: Duration::from_millis(50), max_retransmits: 20 })
        .connect(&address)
        .unwrap();
    let stop = AtomicBool::new(false);
    let answered: u32 = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..8)
            .map(|asker: u32| {
                let (client, stop) = (&client, &stop);
                scope.spawn(move || {
                    let mut number = 0_u32;
                    while !stop.load(Ordering::Relaxed) {
                        let message = [asker, number].map(u32::to_be_bytes).concat();
                        assert_eq!(client.request(&message).unwrap(), message);
                        number += 1;
                    }
                    number
                })
            })
            .collect();
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(200));
            serving.process.kill();
            std::thread::sleep(Duration::from_millis(100));
            serving = start(&address);
        }
        std::thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::Relaxed);
        askers.into_iter().map(|asker| asker.join().unwrap()).sum()
    });
    let stats = client.stats();
    assert!(answered > 100 && stats.timeouts == 0 && stats.retransmits > 0, "{answered} answered, {stats:?}");
}

#[test]
fn a_server_keeps_its_limits() {
    let keys = Keys::new();
    let options = ["--workers", "1", "--rate-limit", "1", "--max-datagram", "100", "--reply-cache", "0"];
    let serving = RunningServer::start(&[&["--secret-key", &keys.path("server.key")], &options[..]].concat());
    let server = serving.address();
    let request = |message: &str| {
        output(&["request", "--server", &server, "--server-key", &keys.server_key, "--timeout", "0.3", message])
    };
    // Too long, so it does not count against the rate.
    assert_eq!(request(&"x".repeat(49)).status.code(), Some(3));
    assert_eq!(request(&"x".repeat(48)).status.code(), Some(0));
    assert_eq!(request("too soon").status.code(), Some(3));
    let said = serving.stop();
    assert!(said.ends_with("received 3, replied 1, request_too_large 1, rate_limit 1\n"), "{said}");
}

/// A server whose network loses the first packets, and forges replies before the true one.
#[test]
fn requests_are_sent_again_with_the_same_bytes_and_outlive_forged_replies() {
    let secret = SecretKey::from_bytes([7; 32]);
    let key = secret.public_key().to_string();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let client = std::thread::spawn(move || output(&["request", "--server", &address, "--server-key", &key, "hello"]));

    let mut attempts = Vec::new();
    let mut peer = None;
    for _ in 0..3 {
        let mut buffer = [0; 2048];
        let (len, from) = receive(&socket, &mut buffer);
        attempts.push(buffer[..len].to_vec());
        peer = Some(from);
    }
    assert!(attempts.iter().all(|attempt| *attempt == attempts[0]), "the client sealed its request anew");

    let server = Server::new(secret);
    let mut packet = attempts[2].clone();
    let request = server.open_request(&mut packet).unwrap();
    assert_eq!(request.message(), b"hello");
    let reply = request.into_reply_sealer().seal_to_vec(&mut SysRng, b"the true reply").unwrap();
    let mut forged = reply.clone();
    *forged.last_mut().unwrap() ^= 1;
    for packet in [&b"junk"[..], &forged, &attempts[0], &reply] {
        socket.send_to(packet, peer.unwrap()).unwrap();
    }
    let output = client.join().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"the true reply"[..]));
}

#[test]
fn forged_replies_are_counted_when_no_true_one_comes() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let key = SecretKey::from_bytes([7; 32]).public_key().to_string();
    let client = std::thread::spawn(move || {
        refusal(3, &["request", "--server", &address, "--server-key", &key, "--timeout", "0.4", "hello"])
    });
    let mut buffer = [0; 2048];
    let (len, peer) = receive(&socket, &mut buffer);
    for _ in 0..3 {
        socket.send_to(&buffer[..len], peer).unwrap();
    }
    let stderr = client.join().unwrap();
    assert!(stderr.contains("(1 packet sent, 3 refused as the reply)"), "{stderr}");
}

/// `localhost` is `::1` first on many machines, where nobody listens: the next address is tried.
#[test]
fn every_address_of_a_name_is_tried() {
    let keys = Keys::new();
    let serving = RunningServer::start(&["--secret-key", &keys.path("server.key")]);
    let server = format!("localhost:{}", serving.address.port());
    assert_eq!(stdout(&["request", "--server", &server, "--server-key", &keys.server_key, "hello"]), b"hello");
}

/// Two programs that speak the pairing convention, joined by pipes both ways.
fn pair(first: &mut Command, second: &mut Command, tamper: fn(String) -> String) -> [ExitStatus; 2] {
    fn forward(from: ChildStdout, mut to: ChildStdin, tamper: fn(String) -> String) -> Vec<String> {
        let mut seen = Vec::new();
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let line = tamper(line);
            if writeln!(to, "{line}").is_err() {
                break;
            }
            seen.push(line);
        }
        seen
    }
    let start = |command: &mut Command| {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let pipes = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        (child, pipes)
    };
    let (mut first, (first_in, first_out)) = start(first);
    let (mut second, (second_in, second_out)) = start(second);
    std::thread::scope(|scope| {
        scope.spawn(move || forward(first_out, second_in, tamper));
        scope.spawn(move || forward(second_out, first_in, |line| line));
    });
    [first.wait().unwrap(), second.wait().unwrap()]
}

#[test]
fn compat_agrees_with_itself_in_both_suites() {
    for suite in ["1", "f002"] {
        let ours = || pssst(&["compat", "--suite", suite]);
        for status in pair(&mut ours(), &mut ours(), |line| line) {
            assert_eq!(status.code(), Some(0));
        }
    }
}

#[test]
fn compat_fails_on_any_mismatch() {
    /// Changes the last digit of the lines with one tag.
    macro_rules! tampering {
        ($($tag:literal),*) => {
            [$(|mut line: String| {
                if line.starts_with(concat!($tag, ":")) {
                    let digit = line.pop().unwrap();
                    line.push(if digit == '0' { '1' } else { '0' });
                }
                line
            }),*]
        };
    }
    let tamperings: [fn(String) -> String; 7] =
        tampering!("SERVER_KEY", "CLIENT_KEY", "PLAINTEXT", "REQUEST", "REQUEST_AUTH", "REPLY", "REPLY_AUTH");
    for (place, tamper) in tamperings.into_iter().enumerate() {
        let [first, second] = pair(&mut pssst(&["compat"]), &mut pssst(&["compat"]), tamper);
        assert!(first.code() == Some(1) || second.code() == Some(1), "tampering {place}: {first}, {second}");
    }
    for line in ["NONSENSE:00", "REPLY:00", "REQUEST_AUTH:00", "SERVER_KEY:00", "PLAINTEXT:xyz"] {
        let mut child =
            pssst(&["compat"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{line}").unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{line}");
    }
}

#[test]
fn compat_prints_its_keys_first_and_ends_when_told() {
    let mut child = pssst(&["compat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"DONE:\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().map(|line| line.split_once(':').unwrap()).collect();
    assert_eq!(
        lines.iter().map(|(tag, hex)| (*tag, hex.len())).collect::<Vec<_>>(),
        [("SERVER_KEY", 64), ("CLIENT_KEY", 64), ("PLAINTEXT", 128)]
    );
}

/// A reader that closes the output early is not a failure.
#[test]
fn a_closed_pipe_is_success() {
    let mut child = pssst(&["demo"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

/// The reader of the log may end; the server stays, and so do exit codes.
#[test]
fn a_closed_standard_error_ends_nothing() {
    let keys = Keys::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command =
        pssst(&["serve", "--verbose", "--listen", "127.0.0.1:0", "--secret-key", &keys.path("server.key")]);
    let serving = RunningServer::of(Process::spawn_with_its_stderr(command.stderr(writer)));
    let server = serving.address();
    for _ in 0..3 {
        assert_eq!(stdout(&["request", "--server", &server, "--server-key", &keys.server_key, "hello"]), b"hello");
    }
    serving.stop();

    let mut child = pssst(&["pubkey", "no-such.key"]).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

/// Nothing that the program is given or makes as a secret is ever printed by it, unless
/// `keygen --out -` asks for it.
#[test]
fn secrets_are_not_printed() {
    let keys = Keys::new();
    let secret = fs::read_to_string(PathBuf::from(keys.path("server.key"))).unwrap();
    let secret = SecretKey::from_text(&secret).unwrap();
    let (hex, pem) = (secret.expose_hex(), secret.expose_pem());
    let pem = pem.lines().nth(1).unwrap();
    let serving = RunningServer::start(&["--secret-key", &keys.path("server.key")]);
    let server = serving.address();
    let mut shown = stdout(&["request", "--server", &server, "--server-key", &keys.server_key, "hello"]);
    shown.extend(stdout(&["pubkey", &keys.path("server.key")]));
    shown.extend(serving.stop().into_bytes());
    let shown = String::from_utf8(shown).unwrap();
    assert!(!shown.contains(&**hex) && !shown.contains(pem) && !Path::new(&**hex).exists());
}
