//! The server with one packet, or a few.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pssst_net::pssst::{
    self, Client, KeyCheck, Keyring, Padding, PskMaster, PublicKey, Refusal, SecretKey, ServerKey, Suite, SuiteSet,
    XWingSecretKey,
};
use pssst_net::{DatagramOutcome, Handler, RateLimit, Reply, Request, Server, ServerBuilder};

use crate::common::*;

const V4: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Of an anonymous request and a reply under suite 1, in bytes.
const OVERHEAD: usize = 52;

#[test]
fn requests_of_every_kind_are_answered() {
    let server = builder().bind((V4, 0)).unwrap().serve(config(echo())).unwrap();
    let socket = socket(V4);
    for suite in SUITES {
        for client in [client(suite), client(suite).with_identity(&identity()).unwrap()] {
            for len in [0, 1, 32, 1000, 2048 - 116] {
                let message = vec![b'm'; len];
                let (reply, from) = ask(&socket, server.local_addr(), &client, &message);
                assert_eq!((reply, from), (message, server.local_addr()));
            }
        }
    }
    let stats = server.shutdown_blocking(PATIENCE);
    assert_eq!((stats.anonymous_requests, stats.authenticated_requests), (10, 10));
    assert_eq!(nonzero(&stats), [(DatagramOutcome::Replied, 20)]);
    assert_eq!((stats.in_flight(), stats.kernel_drops), (0, Some(0)));
    assert_eq!((stats.batch_size.sum(), stats.request_nanos.count()), (20, 20));
    assert!(stats.received_bytes > stats.sent_bytes && stats.requests_by_key == [20, 0, 0, 0, 0, 0, 0, 0]);
}

/// Suites 0xf002 and 0xf003 with everything that they can: pre-shared keys, padding and fresh
/// replies, which are sealed together.
#[test]
fn every_option_works_over_sockets() {
    let xwing = XWingSecretKey::from_bytes([5; 32]);
    let master = PskMaster::from_bytes([6; 32]);
    let keyring = Keyring::new(server_secret()).with_xwing_key(&xwing).unwrap();
    let keys = pssst::Server::new(keyring).with_psk_masters([master.clone()]).unwrap();
    let server = builder().bind((V4, 0)).unwrap().serve(config(echo()).keys(keys)).unwrap();
    let psk = master.psk(&identity().public_key());
    let mut clients = Vec::new();
    for key in [ServerKey::from(server_secret().public_key()), xwing.public_key().into()] {
        let client = || Client::new(key.clone()).unwrap().with_padding(Padding::None).unwrap();
        let authenticated = || client().with_identity(&identity()).unwrap();
        clients.push(client());
        clients.push(client().with_fresh_replies().unwrap());
        clients.push(client().with_padding(Padding::ToLength(1400)).unwrap());
        clients.push(authenticated().with_psk(psk.clone()).unwrap());
        let all = authenticated().with_psk(psk.clone()).unwrap().with_padding(Padding::ToLength(1400)).unwrap();
        clients.push(all.with_fresh_replies().unwrap());
    }
    let socket = socket(V4);
    // All at once, so that they are worked on together.
    let mut pending = Vec::new();
    for round in 0..4 {
        for client in &clients {
            let message = [round; 5];
            let (packet, reply) = sealed(client, &message);
            socket.send_to(&packet, server.local_addr()).unwrap();
            pending.push((reply, message, client.padding() != Padding::None));
        }
    }
    for _ in 0..pending.len() {
        let (mut reply, _) = receive(&socket);
        let id = *pssst::transaction_id(&reply).unwrap();
        let (pending, message, is_padded) =
            pending.iter().find(|(pending, ..)| *pending.transaction_id() == id).unwrap();
        assert_eq!(reply.len() == 1400, *is_padded);
        assert_eq!(pending.open(&mut reply).unwrap(), message);
    }
    let stats = wait_for(&server, |stats| stats.in_flight() == 0);
    assert_eq!(stats.requests_by_key, [20, 0, 0, 0, 20, 0, 0, 0]);
    assert_eq!(nonzero(&stats), [(DatagramOutcome::Replied, 40)]);
}

#[test]
fn handlers_learn_who_asked_and_how() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let seen = Arc::clone(&seen);
        Handler::from_fn(move |request: Request<&[u8]>| {
            seen.lock().unwrap().push(request.to_owned());
            Some(Reply::default())
        })
    };
    let old = SecretKey::from_bytes([8; 32]);
    let keyring = Keyring::new(server_secret()).with_key(old.clone()).unwrap();
    let server = Server::builder().bind("[::]:0").unwrap().serve(config(handler).keys(keyring)).unwrap();
    let socket = socket(V4);
    let address = (V4, server.local_addr().port()).into();
    ask(&socket, address, &authenticated(), b"hello");
    ask(&socket, address, &Client::new(old.public_key()).unwrap(), b"");

    let seen = seen.lock().unwrap();
    assert_eq!(seen[0].message(), b"hello");
    assert_eq!(seen[0].client_key(), Some(&identity().public_key()));
    assert_eq!(seen[0].server_key(), Some(&server_secret().public_key().into()));
    assert_eq!((seen[0].suite(), seen[1].suite()), (Suite::X25519AesGcm128, Suite::X25519Aes256GcmSiv));
    assert_eq!((seen[1].client_key(), seen[1].server_key()), (None, Some(&old.public_key().into())));
    // Not the mapped address that the socket sees.
    assert!(seen.iter().all(|request| request.peer() == socket.local_addr().unwrap()));
    assert!(seen[0].received() <= seen[1].received());
    assert_eq!(server.stats().requests_by_key, [1, 1, 0, 0, 0, 0, 0, 0]);
    let shown = format!("{:?}{:?}{server:?}", seen[0], Reply::from("secret answer"));
    assert!(!shown.contains("hello") && !shown.contains("104, 101") && !shown.contains("secret answer"), "{shown}");
}

/// Every address of 127.0.0.0/8 is one of this machine's.
#[test]
#[cfg(target_os = "linux")]
fn replies_leave_from_the_address_that_was_asked() {
    let addresses: Vec<Ipv4Addr> = (1..9).map(|last| Ipv4Addr::new(127, 0, 0, last)).collect();
    for listen in ["0.0.0.0:0", "[::]:0"] {
        // A handler that waits, so that the requests to all addresses are answered in one batch as
        // well.
        let handler = Handler::from_service(tower::service_fn(async |request: Request| {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok::<_, std::io::Error>(Some(Reply::from(request.into_message())))
        }));
        let server = builder().bind(listen).unwrap().serve(config(handler)).unwrap();
        let port = server.local_addr().port();
        let client = anonymous();
        let mut asked: Vec<(UdpSocket, SocketAddr)> =
            addresses.iter().map(|address| (socket(V4), (*address, port).into())).collect();
        if listen.starts_with('[') {
            asked.push((socket(Ipv6Addr::LOCALHOST), (Ipv6Addr::LOCALHOST, port).into()));
        }
        let pending: Vec<_> = asked
            .iter()
            .map(|(socket, address)| {
                let (packet, pending) = sealed(&client, address.to_string().as_bytes());
                socket.send_to(&packet, address).unwrap();
                pending
            })
            .collect();
        for ((socket, address), pending) in asked.iter().zip(pending) {
            let (mut reply, from) = receive(socket);
            assert_eq!(from, *address);
            assert_eq!(pending.open(&mut reply).unwrap(), address.to_string().as_bytes());
        }
    }
}

#[test]
fn a_port_that_is_served_already_is_refused() {
    for workers in [1, 2] {
        let server = builder().workers(workers).bind((V4, 0)).unwrap().serve(config(echo())).unwrap();
        let error = builder().workers(2).bind(server.local_addr()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains("another process"), "{error}");
    }
    assert!(builder().bind_sockets(Vec::new()).is_err());
}

/// Requests of one kind or another, and how each must end.
#[test]
fn every_packet_ends_in_exactly_one_way() {
    let handler = Handler::from_fn(|request: Request<&[u8]>| match request.message() {
        b"panic" => panic!("as asked"),
        b"silence" => None,
        b"flood" => Some(Reply::from(vec![0; 3 * (OVERHEAD + 5) - OVERHEAD + 1])),
        b"three" => Some(Reply::from(vec![0; 3 * (OVERHEAD + 5) - OVERHEAD])),
        message => Some(Reply::from(message.to_vec())),
    });
    let suspended_secret = SecretKey::from_bytes([2; 32]);
    let suspended = suspended_secret.public_key();
    let suites = SuiteSet::from_iter([Suite::X25519AesGcm128]);
    let keys = pssst::Server::new(server_secret()).with_suites(suites);
    let config = config(handler).keys(keys).client_check(move |key: &PublicKey| match *key {
        key if key == identity().public_key() => KeyCheck::Accept,
        key if key == suspended => KeyCheck::RejectInactive,
        _ => KeyCheck::RejectUnknown,
    });
    let server = builder().max_datagram(500).bind((V4, 0)).unwrap().serve(config).unwrap();
    let request = |message: &[u8]| sealed(&anonymous(), message).0;
    let with = |change: fn(&mut Vec<u8>)| {
        let mut packet = sealed(&authenticated(), b"hello").0;
        change(&mut packet);
        packet
    };
    let suspended = anonymous().with_identity(&suspended_secret).unwrap();
    let stranger = anonymous().with_identity(&SecretKey::from_bytes([1; 32])).unwrap();
    let repeated = request(b"again");
    let cases = [
        (vec![], DatagramOutcome::Refused(Refusal::Truncated)),
        (vec![0; 51], DatagramOutcome::Refused(Refusal::Truncated)),
        (with(|packet| packet[0] |= 0x80), DatagramOutcome::Refused(Refusal::NotRequest)),
        (with(|packet| packet[1] = 1), DatagramOutcome::Refused(Refusal::ReservedFlags { bits: 0 })),
        (
            sealed(&client(Suite::X25519Aes256GcmSiv), b"").0,
            DatagramOutcome::Refused(Refusal::UnsupportedSuite { suite: 0 }),
        ),
        (with(|packet| packet[4..36].fill(0)), DatagramOutcome::Refused(Refusal::WeakKey)),
        (with(|packet| packet[40] ^= 1), DatagramOutcome::Refused(Refusal::DecryptFailed)),
        (sealed(&stranger, b"hello").0, DatagramOutcome::Refused(Refusal::UnknownClient)),
        (sealed(&suspended, b"hello").0, DatagramOutcome::Refused(Refusal::ClientRefused)),
        (vec![0; 501], DatagramOutcome::RequestTooLarge),
        (vec![0; 65_507], DatagramOutcome::RequestTooLarge),
        (request(b"panic"), DatagramOutcome::HandlerFailed),
        (request(b"silence"), DatagramOutcome::NoReply),
        (request(b"flood"), DatagramOutcome::ReplyTooLarge),
        (request(b"three"), DatagramOutcome::Replied),
        (request(b"hello"), DatagramOutcome::Replied),
        (sealed(&authenticated(), b"hello").0, DatagramOutcome::Replied),
        (repeated.clone(), DatagramOutcome::Replied),
        (repeated, DatagramOutcome::ReplyResent),
        (request(&[0; 500 - OVERHEAD]), DatagramOutcome::Replied),
    ];
    let socket = socket(V4);
    for (packet, _) in &cases {
        socket.send_to(packet, server.local_addr()).unwrap();
    }
    let sent = cases.len() as u64;
    let stats = wait_for(&server, |stats| stats.received == sent && stats.in_flight() == 0);
    for (outcome, count) in stats.outcomes() {
        let expected = cases.iter().filter(|(_, expected)| *expected == outcome).count() as u64;
        assert_eq!(count, expected, "{}", outcome.name());
    }
    // Refused packets got no reply.
    for _ in 0..6 {
        receive(&socket);
    }
    expect_silence(&socket);
    assert_eq!(server.shutdown_blocking(PATIENCE).outcomes().map(|(_, count)| count).sum::<u64>(), sent);
}

/// Counts its calls, and never answers twice in the same way.
fn counting() -> (Handler, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&calls);
    let handler = Handler::from_fn(move |request: Request<&[u8]>| {
        let number = counter.fetch_add(1, Ordering::Relaxed);
        // Fails the first time that it is asked to.
        assert!(number > 0 || request.message() != b"fail");
        Some(Reply::from(number.to_string()))
    });
    (handler, calls)
}

///
#[test]
fn a_repeated_request_gets_the_same_bytes_wherever_it_comes_from() {
    let (handler, calls) = counting();
    let server = builder().workers(4).bind((V4, 0)).unwrap().serve(config(handler)).unwrap();
    let (packet, pending) = sealed(&authenticated(), b"hello");
    let mut replies = HashSet::new();
    // From as many ports as it takes to come to every worker, surely.
    for _ in 0..64 {
        let socket = socket(V4);
        socket.send_to(&packet, server.local_addr()).unwrap();
        replies.insert(receive(&socket).0);
    }
    assert_eq!((replies.len(), calls.load(Ordering::Relaxed)), (1, 1));
    assert_eq!(pending.open_to_vec(replies.iter().next().unwrap()).unwrap(), b"0");
    assert!(server.worker_stats().iter().all(|worker| worker.received > 0));
    let stats = wait_for(&server, |stats| stats.in_flight() == 0);
    assert_eq!(nonzero(&stats), [(DatagramOutcome::Replied, 1), (DatagramOutcome::ReplyResent, 63)]);
}

#[test]
fn the_reply_cache_is_for_suite_1() {
    let repeats = |suite, cache: Option<usize>| {
        let (handler, calls) = counting();
        let builder = cache.into_iter().fold(builder(), ServerBuilder::reply_cache);
        let server = builder.bind((V4, 0)).unwrap().serve(config(handler)).unwrap();
        let (packet, _) = sealed(&client(suite), b"hello");
        let socket = socket(V4);
        for _ in 0..2 {
            socket.send_to(&packet, server.local_addr()).unwrap();
            receive(&socket);
        }
        calls.load(Ordering::Relaxed)
    };
    let [suite_1, ours] = SUITES;
    assert_eq!((repeats(suite_1, None), repeats(ours, None)), (1, 2));
    assert_eq!((repeats(suite_1, Some(0)), repeats(ours, Some(1 << 20))), (2, 2));
}

///
#[test]
fn another_answer_to_a_forgotten_request_is_not_sent() {
    let (handler, calls) = counting();
    // Room for a few hundred replies.
    let server = builder().reply_cache(100_000).bind((V4, 0)).unwrap().serve(config(handler)).unwrap();
    let (packet, _) = sealed(&anonymous(), b"hello");
    let socket = socket(V4);
    socket.send_to(&packet, server.local_addr()).unwrap();
    receive(&socket);
    for _ in 0..500 {
        let (other, _) = sealed(&anonymous(), b"flood");
        socket.send_to(&other, server.local_addr()).unwrap();
        receive(&socket);
    }
    socket.send_to(&packet, server.local_addr()).unwrap();
    let stats = wait_for(&server, |stats| stats.count(DatagramOutcome::ConflictingReply) == 1);
    expect_silence(&socket);
    assert_eq!((calls.load(Ordering::Relaxed), stats.count(DatagramOutcome::Replied)), (502, 501));
}

#[test]
fn each_client_has_a_rate_limit_of_its_own() {
    let limit = RateLimit::new(1).with_burst(3);
    let server = builder().bind((V4, 0)).unwrap().serve(config(echo()).client_rate_limit(limit)).unwrap();
    let socket = socket(V4);
    // Not even one client's address matters, and anonymous ones have no limit here.
    for (client, served) in [(authenticated(), 3), (anonymous(), 10)] {
        for number in 0..10 {
            socket.send_to(&sealed(&client, b"hello").0, server.local_addr()).unwrap();
            if number < served {
                receive(&socket);
            }
        }
    }
    let stats = wait_for(&server, |stats| stats.in_flight() == 0 && stats.received == 20);
    assert_eq!(nonzero(&stats), [(DatagramOutcome::Replied, 13), (DatagramOutcome::ClientRateLimited, 7)]);
}

#[test]
fn a_request_whose_handler_failed_is_handled_anew() {
    let (handler, calls) = counting();
    let server = builder().bind((V4, 0)).unwrap().serve(config(handler)).unwrap();
    let (packet, pending) = sealed(&anonymous(), b"fail");
    let socket = socket(V4);
    socket.send_to(&packet, server.local_addr()).unwrap();
    wait_for(&server, |stats| stats.count(DatagramOutcome::HandlerFailed) == 1);
    socket.send_to(&packet, server.local_addr()).unwrap();
    assert_eq!(pending.open(&mut receive(&socket).0).unwrap(), b"1");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn while_a_request_is_answered_its_copies_are_dropped() {
    let (handler, release) = held();
    let server = builder().bind((V4, 0)).unwrap().serve(config(handler)).unwrap();
    let (packet, pending) = sealed(&anonymous(), b"hello");
    let socket = socket(V4);
    for _ in 0..3 {
        socket.send_to(&packet, server.local_addr()).unwrap();
    }
    let stats = wait_for(&server, |stats| stats.received == 3 && stats.count(DatagramOutcome::InProgress) == 2);
    assert_eq!(stats.in_flight(), 1);
    release.send(true).unwrap();
    assert_eq!(pending.open(&mut receive(&socket).0).unwrap(), b"hello");
    expect_silence(&socket);
}

#[test]
fn replies_are_no_larger_than_their_requests_allow() {
    let large = || config(Handler::from_fn(|_| Some(Reply::from(vec![1; 1000]))));
    let answers = |server: &Server| {
        [anonymous(), authenticated()].map(|client| {
            let before = server.stats();
            let socket = socket(V4);
            socket.send_to(&sealed(&client, b"hello").0, server.local_addr()).unwrap();
            let stats = wait_for(server, |stats| stats.in_flight() == 0 && stats.requests() > before.requests());
            if stats.count(DatagramOutcome::ReplyTooLarge) > before.count(DatagramOutcome::ReplyTooLarge) {
                expect_silence(&socket);
                return false;
            }
            receive(&socket).0.len() == 1000 + OVERHEAD
        })
    };
    // One request at a time, so that the figures are about it.
    for (config, expected) in [
        (large(), [false, false]),
        (large().max_authenticated_amplification(None), [false, true]),
        (large().max_amplification(20), [true, false]),
        (large().max_amplification(None).max_authenticated_amplification(9), [true, true]),
        (large().max_amplification(None).max_authenticated_amplification(8), [true, false]),
    ] {
        let server = builder().bind((V4, 0)).unwrap().serve(config).unwrap();
        assert_eq!(answers(&server), expected);
    }
    let server = builder().bind((V4, 0)).unwrap().serve(large()).unwrap();
    for (anonymous, authenticated) in [(Some(20), None), (Some(3), None), (None, Some(8)), (Some(0), Some(0))] {
        server.set_config(server.config().max_amplification(anonymous).max_authenticated_amplification(authenticated));
        let expected = [anonymous.is_none_or(|times| times > 18), authenticated.is_none_or(|times| times > 8)];
        assert_eq!(answers(&server), expected, "{anonymous:?} {authenticated:?}");
    }
}

#[test]
fn a_prefix_that_asks_too_much_is_dropped_before_any_work() {
    // Nothing is earned back while the test runs.
    let limit = RateLimit::new(1).with_burst(5);
    let server = builder().bind("0.0.0.0:0").unwrap().serve(config(echo()).rate_limit(limit)).unwrap();
    let address = (V4, server.local_addr().port()).into();
    let start = std::time::Instant::now();
    for last in [1, 2] {
        let socket = socket(Ipv4Addr::new(127, 0, 0, last));
        for _ in 0..10 {
            socket
                .send_to(&sealed(&anonymous(), b"").0, SocketAddr::new(V4.into(), server.local_addr().port()))
                .unwrap();
        }
    }
    let stats = wait_for(&server, |stats| stats.received == 20 && stats.in_flight() == 0);
    let earned = start.elapsed().as_secs() + 1;
    assert!((5..=5 + earned).contains(&stats.count(DatagramOutcome::Replied)), "{:?}", nonzero(&stats));
    assert_eq!(stats.count(DatagramOutcome::Replied) + stats.count(DatagramOutcome::RateLimited), 20);
    // Another prefix has its own.
    ask(&socket(Ipv4Addr::new(127, 0, 1, 1)), address, &anonymous(), b"");
}

#[test]
fn a_rate_limit_is_replaced_while_the_server_runs() {
    // Nobody earns 50 back while the test runs.
    let limit = RateLimit::new(1).with_burst(50);
    let server = builder().bind((V4, 0)).unwrap().serve(config(echo())).unwrap();
    let socket = socket(V4);
    let replied = |requests: u64| {
        let before = server.stats();
        for _ in 0..requests {
            socket.send_to(&sealed(&anonymous(), b"").0, server.local_addr()).unwrap();
        }
        let stats = wait_for(&server, |stats| stats.received == before.received + requests && stats.in_flight() == 0);
        stats.count(DatagramOutcome::Replied) - before.count(DatagramOutcome::Replied)
    };
    assert_eq!(replied(50), 50);
    server.set_config(server.config().rate_limit(RateLimit::new(0)));
    assert_eq!(replied(50), 0);
    server.set_config(server.config().rate_limit(limit));
    assert_eq!(replied(50), 50);
    // The limit keeps its buckets.
    server.set_config(server.config().rate_limit(limit));
    assert!(replied(50) < 50);
    server.set_config(server.config().rate_limit(None));
    assert_eq!(replied(50), 50);
}

#[test]
fn a_dropped_server_is_gone() {
    let server = builder().workers(2).bind((V4, 0)).unwrap().serve(config(echo())).unwrap();
    let address = server.local_addr();
    drop(server);
    pssst_test::wait_for_value("the port is free", || builder().bind(address).map(drop));
}

#[test]
fn small_socket_buffers_are_noticed() {
    let bound = builder().socket_buffer(1 << 16).bind((V4, 0)).unwrap();
    assert_eq!(bound.buffer_shortfall(), None);
    let bound = builder().socket_buffer(1 << 30).bind((V4, 0)).unwrap();
    let shortfall = bound.buffer_shortfall().unwrap();
    assert!(shortfall.wanted == 1 << 30 && shortfall.to_string().contains("net.core.rmem_max=1073741824"));
}
