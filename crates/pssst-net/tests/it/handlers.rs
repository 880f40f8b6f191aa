//! Handlers of every kind, and how they fail.

use std::future::{Future, ready};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use pssst_net::pssst::{PublicKey, Refusal, SecretKey, Suite};
use pssst_net::{DatagramOutcome, Handler, Reply, Request, Server, Stats};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

use crate::common::*;

const V4: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn serve(handler: Handler) -> Server {
    builder().bind((V4, 0)).unwrap().serve(config(handler)).unwrap()
}

/// Sends these messages at once, waits until all have ended, and returns what came back, sorted.
fn exchange(server: &Server, messages: &[&[u8]]) -> (Vec<Vec<u8>>, Stats) {
    let socket = socket(V4);
    let pending: Vec<_> = messages
        .iter()
        .map(|message| {
            let (packet, pending) = sealed(&client(Suite::X25519Aes256GcmSiv), message);
            socket.send_to(&packet, server.local_addr()).unwrap();
            pending
        })
        .collect();
    let sent = messages.len() as u64;
    let stats = wait_for(server, |stats| stats.received >= sent && stats.in_flight() == 0);
    let mut replies: Vec<_> = (0..stats.count(DatagramOutcome::Replied))
        .map(|_| {
            let (reply, _) = receive(&socket);
            pending.iter().find_map(|pending| pending.open_to_vec(&reply).ok()).unwrap()
        })
        .collect();
    replies.sort();
    (replies, stats)
}

/// Answers with the message, or fails as the message says.
async fn as_told(request: Request) -> Result<Option<Reply>, BoxError> {
    match request.message() {
        b"error" => Err("as told".into()),
        b"panic" => panic!("as told"),
        b"silence" => Ok(None),
        b"slow" => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Ok(None)
        }
        _ => {
            // Others have their turn.
            tokio::task::yield_now().await;
            Ok(Some(Reply::from(request.into_message())))
        }
    }
}

#[test]
fn each_failure_costs_its_own_request_only() {
    let server =
        serve(Handler::from_service(ServiceBuilder::new().timeout(Duration::from_millis(300)).service_fn(as_told)));
    let messages: [&[u8]; 8] = [b"a", b"error", b"b", b"panic", b"c", b"silence", b"slow", b"d"];
    let (replies, stats) = exchange(&server, &messages);
    assert_eq!(replies, [b"a", b"b", b"c", b"d"]);
    let expected = [
        (DatagramOutcome::Replied, 4),
        (DatagramOutcome::NoReply, 1),
        (DatagramOutcome::HandlerTimedOut, 1),
        (DatagramOutcome::HandlerFailed, 2),
    ];
    assert_eq!(nonzero(&stats), expected);
}

#[test]
fn a_stack_of_layers_works_as_elsewhere() {
    let handler = Handler::per_worker(|| {
        ServiceBuilder::new()
            .map_request(|request: Request| {
                let message = [b"<", request.message()].concat();
                Request::new(message, request.client_key().copied(), request.peer())
            })
            .map_response(|reply: Option<Reply>| reply.map(|reply| Reply::from([&reply.message()[..], b">"].concat())))
            .rate_limit(1000, Duration::from_secs(1))
            .concurrency_limit(2)
            .timeout(Duration::from_secs(10))
            .service_fn(as_told)
    });
    let (replies, _) = exchange(&serve(handler), &[b"a", b"b", b"c", b"d", b"e"]);
    assert_eq!(replies, [b"<a>", b"<b>", b"<c>", b"<d>", b"<e>"]);
}

#[test]
fn a_limit_on_concurrency_makes_requests_wait_and_never_more_run() {
    let (running, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let service = {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        tower::service_fn(move |request: Request| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
                running.fetch_sub(1, Ordering::Relaxed);
                Ok::<_, BoxError>(Some(Reply::from(request.into_message())))
            }
        })
    };
    let server = serve(Handler::from_service(ServiceBuilder::new().concurrency_limit(3).service(service)));
    let messages: Vec<[u8; 1]> = (0..20).map(|number| [number]).collect();
    let messages: Vec<&[u8]> = messages.iter().map(<[u8; 1]>::as_slice).collect();
    assert_eq!(exchange(&server, &messages).0.len(), 20);
    assert_eq!(most.load(Ordering::Relaxed), 3);
}

#[test]
fn load_that_is_shed_counts_as_overload() {
    let service = ServiceBuilder::new().load_shed().concurrency_limit(1).service_fn(async |request: Request| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok::<_, BoxError>(Some(Reply::from(request.into_message())))
    });
    let server = serve(Handler::from_service(service));
    let (replies, stats) = exchange(&server, &[b"a", b"b", b"c"]);
    // On a slow machine the second may come after the first.
    assert!(!replies.is_empty() && replies.len() < 3, "{replies:?}");
    assert_eq!(stats.count(DatagramOutcome::Overloaded), 3 - stats.count(DatagramOutcome::Replied));
}

/// Buffers run tasks of their own.
#[test]
fn services_may_spawn_tasks() {
    let handler = Handler::per_worker(|| {
        tower::buffer::Buffer::new(
            tower::service_fn(|request: Request| {
                Box::pin(async move { Ok::<_, BoxError>(Some(Reply::from(request.into_message()))) })
                    as Pin<Box<dyn Future<Output = _> + Send>>
            }),
            10,
        )
    });
    assert_eq!(exchange(&serve(handler), &[b"a", b"b"]).0, [b"a", b"b"]);
    let boxed = tower::service_fn(|request: Request| ready(Ok(Some(Reply::from(request.into_message())))));
    let boxed: tower::util::BoxCloneService<Request, Option<Reply>, BoxError> = boxed.boxed_clone();
    assert_eq!(exchange(&serve(Handler::from_service(boxed)), &[b"a", b"b"]).0, [b"a", b"b"]);
}

#[test]
fn a_handler_that_cannot_be_made_replaces_none() {
    let server = serve(echo());
    // The whole configuration is not taken, neither its handler nor its keys.
    let broken = config(Handler::per_worker(|| -> Broken { panic!("as told") }));
    server.set_config(broken.keys(SecretKey::from_bytes([8; 32])));
    for _ in 0..3 {
        let (reply, _) = ask(&socket(V4), server.local_addr(), &anonymous(), b"still there?");
        assert_eq!(reply, b"still there?");
    }
    assert_eq!(server.stats().config_errors, 1);
    server.set_config(config(Handler::from_fn(|_| Some(Reply::from("here again")))));
    assert_eq!(ask(&socket(V4), server.local_addr(), &anonymous(), b"").0, b"here again");
    let failed =
        builder().bind((V4, 0)).unwrap().serve(config(Handler::per_worker(|| -> Broken { panic!("as told") })));
    assert!(failed.is_err());
}

#[test]
fn a_list_of_clients_that_fails_lets_nobody_in() {
    let server =
        builder().bind((V4, 0)).unwrap().serve(config(echo()).client_check(|_: &PublicKey| panic!("as told"))).unwrap();
    let socket = socket(V4);
    socket.send_to(&sealed(&authenticated(), b"").0, server.local_addr()).unwrap();
    wait_for(&server, |stats| stats.count(DatagramOutcome::Refused(Refusal::UnknownClient)) == 1);
    ask(&socket, server.local_addr(), &anonymous(), b"");
}

/// Fails in whatever way before it has a future.
#[derive(Clone)]
struct Broken(&'static str);

impl Service<Request> for Broken {
    type Response = Option<Reply>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Option<Reply>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self.0 {
            "not ready" => Poll::Ready(Err("as told".into())),
            "panic when asked" => panic!("as told"),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, _: Request) -> Self::Future {
        panic!("as told")
    }
}

#[test]
fn broken_services_do_not_end_the_server() {
    for how in ["not ready", "panic when asked", "panic when called"] {
        let server = serve(Handler::from_service(Broken(how)));
        let (_, stats) = exchange(&server, &[b"a", b"b", b"c"]);
        assert_eq!(nonzero(&stats), [(DatagramOutcome::HandlerFailed, 3)], "{how}");
        server.set_config(config(echo()));
        let (reply, _) = ask(&socket(V4), server.local_addr(), &anonymous(), b"still there?");
        assert_eq!(reply, b"still there?");
    }
}

/// For what must happen once: a request that is repeated shows the same exchange value, any other
/// shows another.
#[test]
fn a_handler_sees_the_exchange_value() {
    let server =
        serve(Handler::from_fn(|request: Request<&[u8]>| Some(Reply::from(request.exchange_value().to_vec()))));
    let (socket, client) = (socket(V4), client(Suite::X25519Aes256GcmSiv));
    let requests = [sealed(&client, b"once"), sealed(&client, b"once")];
    for (packet, pending) in [&requests[0], &requests[1], &requests[0]] {
        socket.send_to(packet, server.local_addr()).unwrap();
        assert_eq!(pending.open_to_vec(&receive(&socket).0).unwrap(), packet[4..36]);
    }
    assert_ne!(requests[0].0[4..36], requests[1].0[4..36]);
}

#[test]
fn a_handler_that_blocks_its_worker_is_noticed() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let server = serve(Handler::from_fn(move |_| {
        let _released = released.lock().unwrap().recv();
        None
    }));
    let until = |is_so: fn(Duration) -> bool| {
        for _ in 0..3000 {
            if is_so(server.worker_stall()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{:?}", server.worker_stall());
    };
    until(|stall| stall < Duration::from_secs(1));
    socket(V4).send_to(&sealed(&client(Suite::X25519Aes256GcmSiv), b"wait").0, server.local_addr()).unwrap();
    until(|stall| stall > Duration::from_millis(1500));
    drop(release);
    until(|stall| stall < Duration::from_secs(1));
}

#[test]
fn an_onlooker_sees_every_request_and_one_that_panics_costs_its_own() {
    let seen = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&seen);
    let handler = Handler::from_service(tower::service_fn(as_told)).inspect(move |request| {
        count.fetch_add(1, Ordering::Relaxed);
        assert_ne!(request.message(), b"look away");
    });
    let server = serve(handler);
    let (replies, stats) = exchange(&server, &[b"hello", b"look away", b"silence", b"error"]);
    assert_eq!(replies, [b"hello"]);
    assert_eq!((stats.count(DatagramOutcome::HandlerFailed), stats.count(DatagramOutcome::NoReply)), (2, 1));
    assert_eq!(seen.load(Ordering::Relaxed), 4);
}
