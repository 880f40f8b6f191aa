//! A worker whose socket fails as no real one can be made to.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::pending;
use std::net::IpAddr;
use std::rc::Rc;

use pssst::{Client, SecretKey, SysRng};

use super::*;
use crate::log_capture::{Capture, assert_absent};
use crate::{Handler, Reply, Server, ServerConfig, Stats};

/// What happens when the worker receives, one thing after another; then nothing ever.
type Script = VecDeque<io::Result<Vec<Vec<u8>>>>;

#[derive(Clone, Default)]
struct Scripted {
    script: Rc<RefCell<Script>>,
    /// Every how many datagrams one is refused, if any.
    refuses: Option<usize>,
    sent: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl Scripted {
    fn next(&self, batch: &mut ReceiveBatch) -> Option<io::Result<()>> {
        batch.clear();
        Some(self.script.borrow_mut().pop_front()?.map(|packets| {
            for packet in &packets {
                batch.put(PEER, packet);
            }
        }))
    }
}

const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

impl ServerSocket for Scripted {
    async fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<()> {
        match self.next(batch) {
            Some(outcome) => outcome,
            None => pending().await,
        }
    }

    fn try_receive(&self, batch: &mut ReceiveBatch) -> io::Result<()> {
        self.next(batch).unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
    }

    async fn send<T>(&mut self, batch: &mut SendBatch<T>, mut each: impl FnMut(T, io::Result<()>)) {
        let mut sent = self.sent.borrow_mut();
        let mut number = 0;
        batch.drain(|to, packet, context| {
            assert_eq!(to, PEER);
            number += 1;
            if self.refuses.is_some_and(|every| number % every == 0) {
                each(context, Err(too_large()));
            } else {
                sent.push(packet.to_vec());
                each(context, Ok(()));
            }
        });
    }
}

fn request() -> Vec<u8> {
    let client = Client::new(SecretKey::from_bytes([7; 32]).public_key()).unwrap();
    client.seal_request_to_vec(&mut SysRng, b"hello").unwrap().0
}

/// As the system says that a datagram is longer than the MTU of its interface.
fn too_large() -> io::Error {
    io::Error::from_raw_os_error(if cfg!(target_os = "linux") { 90 } else { 40 })
}

/// Runs a worker through the script for an hour of virtual time, and then lets it stop.
async fn run(socket: Scripted, handler: Handler) -> Stats {
    let shared = Arc::new(Server::builder().shared(ServerConfig::new(SecretKey::from_bytes([7; 32]), handler), false));
    let counts = Arc::new(WorkerCounts::new());
    let worker = Worker::new(socket, Arc::clone(&shared), Arc::clone(&counts), Arc::new(Heartbeat::new()));
    let stop = async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        shared.shutdown.request(Duration::from_secs(1));
    };
    tokio::join!(worker.run(), stop);
    counts.snapshot()
}

fn echo() -> Handler {
    Handler::from_fn(|request: Request<&[u8]>| Some(Reply::copy_from(request.message())))
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_network_end_no_worker() {
    let script: Script = [io::ErrorKind::ConnectionRefused, io::ErrorKind::PermissionDenied, io::ErrorKind::Other]
        .into_iter()
        .cycle()
        .take(1000)
        .map(|kind| Err(kind.into()))
        .chain([Ok(vec![request()]), Err(io::ErrorKind::NotConnected.into()), Ok(vec![request()])])
        .collect();
    let socket = Scripted { script: Rc::new(RefCell::new(script)), ..Scripted::default() };
    let stats = run(socket.clone(), echo()).await;
    assert_eq!((stats.receive_errors, stats.count(DatagramOutcome::Replied)), (1001, 2));
    assert_eq!(socket.sent.borrow().len(), 2);
}

#[test]
fn the_first_errors_cost_no_time_and_none_costs_much() {
    assert_eq!((1..8).find_map(pause_after), None);
    assert_eq!(pause_after(8), Some(Duration::from_millis(1)));
    assert!((8..2000).map(pause_after).all(|pause| pause.is_some_and(|pause| pause <= MAX_PAUSE)));
}

#[tokio::test(start_paused = true)]
async fn replies_that_the_system_refuses_are_counted_and_logged_and_the_others_sent() {
    let (capture, _guard) = Capture::start();
    let script = [Ok((0..10).map(|_| request()).collect())].into();
    let socket = Scripted { script: Rc::new(RefCell::new(script)), refuses: Some(3), ..Scripted::default() };
    let stats = run(socket.clone(), echo()).await;
    assert_eq!((stats.count(DatagramOutcome::Replied), stats.count(DatagramOutcome::SendFailed)), (7, 3));
    assert_eq!((socket.sent.borrow().len(), stats.in_flight(), stats.request_nanos.count()), (7, 0, 7));
    let said = capture.text();
    for part in ["cannot send a reply", "127.0.0.1:9", "33", &too_large().to_string()] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// More than are sent together.
#[tokio::test(start_paused = true)]
async fn handlers_that_finish_all_at_once_are_all_answered() {
    let script = (0..5).map(|_| Ok((0..64).map(|_| request()).collect())).collect();
    let socket = Scripted { script: Rc::new(RefCell::new(script)), ..Scripted::default() };
    let handler = Handler::from_service(tower::service_fn(async |request: Request| {
        tokio::time::sleep_until(Instant::now() + Duration::from_secs(60)).await;
        Ok::<_, io::Error>(Some(Reply::from(request.into_message())))
    }));
    let stats = run(socket.clone(), handler).await;
    assert_eq!((stats.count(DatagramOutcome::Replied), socket.sent.borrow().len()), (320, 320));
    // A minute each, in virtual time.
    let minutes: u64 = 320 * 60_000_000_000;
    assert_eq!((stats.handler_nanos.count(), stats.handler_nanos.sum()), (320, minutes));
}

/// Logs contain only the parts of a request that are visible on the network, at any level.
#[tokio::test(start_paused = true)]
async fn logs_hold_no_messages_and_no_secrets() {
    let (capture, _guard) = Capture::start();
    let mut junk = request();
    junk[50] ^= 1;
    let script = [Ok(vec![request(), junk, request()]), Err(io::ErrorKind::Other.into())].into();
    let socket = Scripted { script: Rc::new(RefCell::new(script)), refuses: Some(2), ..Scripted::default() };
    let handler = Handler::from_service(tower::service_fn(async |request: Request| match request.message().len() {
        5 => Ok(Some(Reply::from("the secret answer"))),
        _ => Err(io::Error::other("no")),
    }));
    run(socket, handler).await;
    let said = capture.text();
    assert!(said.contains("refused") && said.contains("cannot send a reply"), "{said}");
    assert_absent(&said, &[b"hello", b"the secret answer", &[7; 32]]);
}

/// Returns an idle worker on a server with this configuration, with its heartbeat.
fn idle(config: ServerConfig) -> (Worker<Scripted>, Arc<Shared>, Arc<Heartbeat>) {
    let (shared, heartbeat) = (Arc::new(Server::builder().shared(config, false)), Arc::new(Heartbeat::new()));
    let counts = Arc::new(WorkerCounts::new());
    let worker = Worker::new(Scripted::default(), Arc::clone(&shared), counts, Arc::clone(&heartbeat));
    (worker, shared, heartbeat)
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_beats_every_second() {
    let (worker, shared, heartbeat) = idle(ServerConfig::new(SecretKey::from_bytes([7; 32]), echo()));
    let watch = async {
        for _ in 0..1000 {
            tokio::time::sleep(Duration::from_millis(370)).await;
            assert!(heartbeat.age() <= Duration::from_millis(1001), "{:?}", heartbeat.age());
        }
        shared.shutdown.request(Duration::ZERO);
    };
    tokio::join!(worker.run(), watch);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(heartbeat.age() >= Duration::from_secs(60));
}

/// So that the keys of an old configuration are wiped.
#[tokio::test(start_paused = true)]
async fn an_idle_worker_releases_a_replaced_configuration() {
    let config = ServerConfig::new(SecretKey::from_bytes([7; 32]), echo());
    let held = Arc::new(());
    let released = Arc::downgrade(&held);
    let old = config.clone().client_check(move |_: &pssst::PublicKey| {
        drop(Arc::clone(&held));
        KeyCheck::Accept
    });
    let (worker, shared, _) = idle(old);
    let replace = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        shared.config.store(Arc::new(ActiveConfig::new(config, None)));
        assert!(released.upgrade().is_some());
        tokio::time::sleep(Duration::from_millis(1001)).await;
        assert!(released.upgrade().is_none());
        shared.shutdown.request(Duration::ZERO);
    };
    tokio::join!(worker.run(), replace);
}
