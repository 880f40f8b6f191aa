//! Limits and the end of connections, without TLS. The directory's tests see the same with TLS.

use std::time::Duration;

use http_body_util::{BodyExt, Collected};
use pssst_http::hyper::{Request, Response, StatusCode};
use pssst_http::{Bytes, Full, HttpEvent, Listener, RequestBody, Server};
use pssst_test::PATIENCE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

async fn echo(request: Request<RequestBody>) -> Response<Full<Bytes>> {
    let body = request.into_body().collect().await;
    let status = if body.is_ok() { StatusCode::OK } else { StatusCode::PAYLOAD_TOO_LARGE };
    let body = Full::new(body.map_or_else(|_| Bytes::new(), Collected::to_bytes));
    Response::builder().status(status).body(body).unwrap()
}

async fn serve(configure: impl FnOnce(Listener) -> Listener) -> Server {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    configure(listener).serve(|_| echo)
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.local_addr()).await.unwrap()
}

async fn send(stream: &mut TcpStream, body: &str) {
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await.unwrap();
}

/// Everything until the other side closes, which it must.
async fn read_to_end(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A connection that is cut need not end in good order.
    drop(timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("it is not cut"));
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let becomes_so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, becomes_so).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn requests_are_answered_up_to_their_limit() {
    let server = serve(|listener| listener.max_body_len(100)).await;
    for (len, status) in [(0, "200"), (100, "200"), (101, "413")] {
        let mut stream = connect(&server).await;
        send(&mut stream, &"x".repeat(len)).await;
        let answer = read_to_end(stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{len}: {answer}");
    }
    let mut endless = connect(&server).await;
    endless.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    while endless.write_all(&[b'x'; 1024]).await.is_ok() {}
    assert!(!read_to_end(endless).await.contains("200"));
    assert_eq!(server.stats().count(HttpEvent::Connected), 4);
}

#[tokio::test]
async fn a_new_connection_takes_the_place_of_the_longest_idle() {
    let server = serve(|listener| listener.max_connections(2)).await;
    let first = connect(&server).await;
    until("it is open", || server.stats().connections() == 1).await;
    // Halfway through a request is in progress, and not idle.
    let mut busy = connect(&server).await;
    busy.write_all(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\no").await.unwrap();
    until("they are open", || server.stats().connections() == 2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _ in 0..20 {
        let mut newer = connect(&server).await;
        send(&mut newer, "hello").await;
        assert!(read_to_end(newer).await.ends_with("hello"));
    }
    assert_eq!(read_to_end(first).await, "");
    assert_eq!(server.stats().count(HttpEvent::Evicted), 1);
    busy.write_all(b"k").await.unwrap();
    assert!(read_to_end(busy).await.ends_with("ok"));
}

#[tokio::test]
async fn connections_wait_while_all_have_a_request_in_progress() {
    let server = serve(|listener| listener.max_connections(1)).await;
    let mut first = connect(&server).await;
    first.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\no").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut second = connect(&server).await;
    send(&mut second, "hello").await;
    let mut waiting = Box::pin(read_to_end(second));
    assert!(timeout(Duration::from_millis(200), &mut waiting).await.is_err());
    assert_eq!(server.stats().connections(), 1);
    first.write_all(b"k").await.unwrap();
    assert!(waiting.await.ends_with("hello"));
    // The first one had its answer, and was idle.
    assert!(read_to_end(first).await.ends_with("ok"));
}

/// Whatever is held open, from the same machine too.
#[tokio::test]
async fn probes_are_answered_under_attack() {
    let server = serve(Listener::for_probes).await;
    let mut held = Vec::new();
    for number in 0..300 {
        let mut slow = connect(&server).await;
        if number & 1 == 0 {
            slow.write_all(b"GET /livez HTT").await.unwrap();
        }
        held.push(slow);
        if number % 10 == 0 {
            let mut probe = connect(&server).await;
            // It would keep the connection, and may not.
            probe.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            assert!(read_to_end(probe).await.starts_with("HTTP/1.1 200"), "{number}");
        }
    }
    assert!(server.stats().connections() <= 64);
    until("the slow ones are cut", || server.stats().connections() == 0).await;
}

#[tokio::test]
async fn requests_that_are_slow_are_told_so() {
    let server = serve(|listener| listener).await;
    let mut halfway = connect(&server).await;
    halfway.write_all(b"G").await.unwrap();
    let mut slow = connect(&server).await;
    slow.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nx").await.unwrap();
    let (halfway, slow) = tokio::join!(read_to_end(halfway), read_to_end(slow));
    assert!(!halfway.contains("200"), "{halfway}");
    assert!(slow.starts_with("HTTP/1.1 408") && slow.contains("connection: close"), "{slow}");
    assert_eq!(server.stats().count(HttpEvent::RequestTimedOut), 1);
}

#[tokio::test]
async fn a_stop_lets_requests_in_flight_end_and_no_longer_than_told() {
    for within in [PATIENCE, Duration::from_millis(50)] {
        let server = serve(|listener| listener).await;
        let idle = connect(&server).await;
        let mut request = connect(&server).await;
        request
            .write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
            .await
            .unwrap();
        let mut begun = [0; 25];
        timeout(PATIENCE, request.read_exact(&mut begun)).await.unwrap().unwrap();
        assert!(begun.starts_with(b"HTTP/1.1 100"), "{begun:?}");
        let client = async {
            // Once the idle one is closed, the stop has begun.
            read_to_end(idle).await;
            if within == PATIENCE {
                request.write_all(b"ok").await.unwrap();
            }
            read_to_end(request).await
        };
        let (answer, ()) = tokio::join!(client, server.shutdown(within));
        assert_eq!(answer.ends_with("ok"), within == PATIENCE, "{answer}");
        assert_eq!(server.stats().connections(), 0);
        assert!(TcpStream::connect(server.local_addr()).await.is_err());
    }
}
