//! Secrets of transactions in the memory of the processes that had part in them: there are none.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::UdpSocket;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use pssst::{Client, SecretKey, Server, Suite, SysRng};
use pssst_test::Process;
use sha2::{Digest, Sha256};
use x25519_dalek::x25519;

use crate::fleet::process::Fleet;

const TRANSACTIONS: usize = 300;
/// Some of them at a time, so that they are sealed and opened in batches.
const THREADS: usize = 10;
/// Bytes read at once.
const BLOCK: u64 = 1 << 20;

/// Half of a secret is as bad as all of it.
const HALF: usize = 16;

type Secret = [u8; 32];

/// Returns how many of these are in the memory of a process, anywhere, or half of them.
fn found(process: &Process, secrets: &[Secret]) -> usize {
    let halves: Vec<&[u8]> = secrets.iter().flat_map(|secret| secret.chunks(HALF)).collect();
    let mut by_prefix = vec![Vec::new(); 1 << 16];
    for (index, half) in halves.iter().enumerate() {
        by_prefix[usize::from(u16::from_le_bytes([half[0], half[1]]))].push(index);
    }
    let pid = process.id();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut block = vec![0; usize::try_from(BLOCK).unwrap() + HALF];
    let mut found = BTreeSet::new();
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|access| access.starts_with("rw"))) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        for at in (start..end).step_by(usize::try_from(BLOCK).unwrap()) {
            let len = usize::try_from(end - at).unwrap().min(block.len());
            // Some regions, such as guard pages, cannot be read.
            if memory.read_exact_at(&mut block[..len], at).is_err() {
                continue;
            }
            for window in block[..len].windows(HALF) {
                let same = &by_prefix[usize::from(u16::from_le_bytes([window[0], window[1]]))];
                found.extend(same.iter().filter(|&&index| window == halves[index]).map(|index| index / 2));
            }
        }
    }
    found.len()
}

/// Returns the secrets of a transaction, D and Z of the specification: the owner of the server's
/// key can compute them from the request.
fn secrets(server: &SecretKey, packet: &[u8]) -> [Secret; 2] {
    let (header, exchange_value) = packet[..36].split_at(4);
    let z = x25519(hex(&server.expose_hex()), exchange_value.try_into().unwrap());
    if header[2..] == [0, 1] {
        return [Sha256::new().chain_update(exchange_value).chain_update(z).finalize().into(), z];
    }
    // K1, which is D of an anonymous request, and what D of another is made of.
    let key_hash = Sha256::digest(server.public_key().as_bytes());
    let hash = Sha256::new().chain_update(b"PSSSTv2\x01").chain_update(header).chain_update(key_hash);
    [hash.chain_update(exchange_value).chain_update(z).finalize().into(), z]
}

fn hex(digits: &str) -> Secret {
    let mut bytes = [0; 32];
    base16ct::lower::decode(digits, &mut bytes).unwrap();
    bytes
}

#[track_caller]
fn assert_wiped(name: &str, process: &Process, secrets: &[Secret], kept: Secret) {
    thread::sleep(Duration::from_secs(1));
    // The scan finds what is there.
    assert_eq!(found(process, &[kept]), 1, "{name}");
    let found = found(process, secrets);
    println!("{name}: {found} of {} secrets found", secrets.len());
    assert_eq!(found, 0, "{name}: secrets of {} that are still in memory", secrets.len());
}

fn connected(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket
}

/// Sends requests of all kinds, some at a time, and returns the secrets of all transactions.
fn ask(address: &str, secret: &SecretKey, identity: &SecretKey, suites: &[Suite]) -> Vec<Secret> {
    let transaction = |number: usize| {
        let socket = connected(address);
        let client = Client::new(secret.public_key()).unwrap().with_suite(suites[number / 2 % suites.len()]).unwrap();
        let client = if number.is_multiple_of(2) { client } else { client.with_identity(identity).unwrap() };
        let (packet, pending) = client.seal_request_to_vec(&mut SysRng, &[7; 100]).unwrap();
        socket.send(&packet).unwrap();
        let mut reply = [0; 300];
        let len = socket.recv(&mut reply).unwrap();
        assert_eq!(pending.open_to_vec(&reply[..len]).unwrap(), [7; 100]);
        secrets(secret, &packet)
    };
    let ask_some = || (0..TRANSACTIONS / THREADS).flat_map(&transaction).collect::<Vec<_>>();
    thread::scope(|scope| {
        let asking: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask_some)).collect();
        asking.into_iter().flat_map(|asking| asking.join().unwrap()).collect()
    })
}

/// Serves the requests of a proxy, and returns the secrets of all transactions.
fn answer(socket: &UdpSocket, secret: &SecretKey) -> Vec<Secret> {
    let server = Server::new(secret.clone());
    let transaction = |_| {
        let mut packet = [0; 2000];
        let (len, peer) = socket.recv_from(&mut packet).unwrap();
        let secrets = secrets(secret, &packet);
        let (message, _, sealer) = server.open_request(&mut packet[..len]).unwrap().into_parts();
        let reply = sealer.seal_to_vec(&mut SysRng, message).unwrap();
        socket.send_to(&reply, peer).unwrap();
        secrets
    };
    (0..TRANSACTIONS).flat_map(transaction).collect()
}

#[test]
fn no_transaction_leaves_its_secret_in_memory() {
    let fleet = Fleet::new();
    let [secret, identity] = ["server", "client"].map(|name| {
        fleet.stdout(&["keygen", "--format", "hex", "--out", &format!("{name}.key")]);
        SecretKey::from_hex(std::fs::read_to_string(fleet.path(&format!("{name}.key"))).unwrap().trim()).unwrap()
    });
    let kept = hex(&secret.expose_hex());
    fleet.write("server.pub", &secret.public_key().to_string());

    let common = ["--listen", "127.0.0.1:0", "--allow-core-dumps", "--secret-key", "server.key"];
    let mut server = fleet.start(&[&["serve"][..], &common].concat(), 2);
    let secrets = ask(
        &server.value_of("listening on "),
        &secret,
        &identity,
        &[Suite::X25519AesGcm128, Suite::X25519Aes256GcmSiv],
    );
    assert_wiped("server", &server, &secrets, kept);

    let upstream = crate::fleet::metrics::echo();
    let gateway = ["gateway", "--anonymous", "allow", "--upstream", &upstream];
    let mut gateway = fleet.start(&[&gateway[..], &common].concat(), 2);
    let secrets = ask(&gateway.value_of("listening on "), &secret, &identity, &[Suite::X25519Aes256GcmSiv]);
    assert_wiped("gateway", &gateway, &secrets, kept);

    for suite in ["1", "f002"] {
        let pool = UdpSocket::bind("127.0.0.1:0").unwrap();
        pool.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let address = pool.local_addr().unwrap().to_string();
        let proxy = ["proxy", "--listen", "127.0.0.1:0", "--server", &address, "--server-key", "server.pub"];
        let more = ["--identity", "client.key", "--suite", suite, "--allow-core-dumps"];
        let mut proxy = fleet.start(&[&proxy[..], &more].concat(), 1);
        let listening = proxy.value_of("listening on ");
        let program = || {
            let socket = connected(&listening);
            for _ in 0..TRANSACTIONS / THREADS {
                socket.send(&[7; 100]).unwrap();
                assert_eq!(socket.recv(&mut [0; 200]).unwrap(), 100);
            }
        };
        let secrets = thread::scope(|scope| {
            (0..THREADS).for_each(|_| drop(scope.spawn(program)));
            scope.spawn(|| answer(&pool, &secret)).join().unwrap()
        });
        assert_wiped("proxy", &proxy, &secrets, hex(&identity.expose_hex()));
    }
}
