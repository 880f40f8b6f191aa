//! Connections that are slow, too many, or open when something ends or changes.

use std::sync::Arc;
use std::time::Duration;

use pssst_directory_server::{DirectoryEvent, ServerCertificate};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use pssst_test::until;

use crate::common::{Fixture, PATIENCE, tls};

impl Fixture {
    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.directory.public_addr()).await.unwrap()
    }

    async fn tls(&self) -> TlsStream<TcpStream> {
        let connector = TlsConnector::from(Arc::new(tls(&self.file("certificate.pem"), None)));
        let name = ServerName::try_from("127.0.0.1").unwrap();
        connector.connect(name, self.tcp().await).await.unwrap()
    }

    async fn keys_status(&self) -> u16 {
        self.http.get(self.public("/v1/keys")).send().await.unwrap().status().as_u16()
    }
}

/// Everything until the other side closes, which it must.
async fn read_to_end(mut stream: impl tokio::io::AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    // A connection that is cut need not end in good order.
    drop(timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("it is not cut"));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn slow_clients_are_cut_and_hold_up_nobody() {
    let fixture = Fixture::new().await;
    let mut silent = fixture.tcp().await;
    silent.write_all(&[0x16]).await.unwrap();
    let mut halfway = fixture.tls().await;
    halfway.write_all(b"G").await.unwrap();
    let mut idle = fixture.tls().await;
    idle.write_all(b"GET /v1/keys HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut slow = fixture.tls().await;
    slow.write_all(b"POST /v1/enroll HTTP/1.1\r\nhost: x\r\ncontent-length: 400\r\n\r\nx").await.unwrap();
    let mut endless = fixture.tls().await;
    endless.write_all(b"GET /v1/keys HTTP/1.1\r\nhost: x\r\nx: ").await.unwrap();
    let junk = async {
        while endless.write_all(&[b'x'; 1024]).await.is_ok() {}
        read_to_end(endless).await
    };
    let others = async {
        for _ in 0..100 {
            assert_eq!(fixture.keys_status().await, 200);
        }
    };
    let (silent, halfway, idle, slow, junk, ()) = tokio::join!(
        read_to_end(silent),
        read_to_end(halfway),
        read_to_end(idle),
        read_to_end(slow),
        timeout(PATIENCE, junk),
        others
    );
    assert!(!silent.contains("HTTP"), "{silent}");
    assert!(!halfway.contains("200"), "{halfway}");
    assert!(idle.starts_with("HTTP/1.1 200"), "{idle}");
    assert!(slow.starts_with("HTTP/1.1 408"), "{slow}");
    assert!(!junk.unwrap().contains("200"));
    let stats = fixture.directory.stats();
    assert_eq!(stats.count(DirectoryEvent::HandshakeTimedOut), 1);
    assert_eq!(stats.count(DirectoryEvent::RequestTimedOut), 1);
    assert!(fixture.clients().await.is_empty());
}

/// Bare connections, and those that have shaken hands and then do nothing.
#[tokio::test]
async fn idle_connections_give_way_to_devices_and_never_to_operators() {
    let fixture = Fixture::with(|builder, _| builder.max_connections(2)).await;
    let held = (fixture.tcp().await, fixture.tls().await, fixture.tls().await);
    let kept = fixture.http.get(fixture.admin("/")).send().await.unwrap();
    assert_eq!(fixture.keys_status().await, 200);
    assert!(fixture.directory.stats().count(DirectoryEvent::ConnectionEvicted) >= 1);
    assert!(fixture.directory.stats().connections() <= 3);
    // Operators have a listener of their own.
    let again = fixture.http.get(fixture.admin("/")).send().await.unwrap();
    assert_eq!([kept.status().as_u16(), again.status().as_u16()], [401, 401]);
    drop(held);
}

#[tokio::test]
async fn whoever_speaks_no_tls_is_counted() {
    let fixture = Fixture::new().await;
    let mut plain = fixture.tcp().await;
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(!read_to_end(plain).await.contains("HTTP"));
    assert_eq!(fixture.directory.stats().count(DirectoryEvent::HandshakeFailed), 1);
    assert_eq!(fixture.keys_status().await, 200);
}

#[tokio::test]
async fn a_certificate_is_replaced_while_serving() {
    let fixture = Fixture::new().await;
    let (old_pin, mut connection) = (fixture.directory.pin(), fixture.tls().await);
    let other = tempfile::tempdir().unwrap();
    let files = ["certificate.pem", "certificate.key"];
    let [certificate, key] = files.map(|name| other.path().join(name));
    let new = ServerCertificate::self_signed_in_files(&certificate, &key, ["127.0.0.1".to_owned()]).unwrap();
    // One after the other, as most who replace them do; in between they do not go together.
    std::fs::copy(&certificate, fixture.file(files[0])).unwrap();
    for _ in 0..20 {
        fixture.client().fetch().await.unwrap();
    }
    std::fs::copy(&key, fixture.file(files[1])).unwrap();
    until("the certificate is replaced", async || fixture.directory.pin() != old_pin).await;
    assert_eq!(fixture.directory.pin(), new.pin());
    fixture.client().fetch().await.unwrap();
    let old = pssst_directory::DirectoryClient::builder(fixture.public("")).pin(old_pin).build().unwrap();
    assert!(old.fetch().await.is_err());
    // Connections live on.
    connection.write_all(b"GET /v1/keys HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(read_to_end(connection).await.starts_with("HTTP/1.1 200"));
}

/// One that the server has begun to work on: it wants the body.
async fn begin_request(fixture: &Fixture) -> TlsStream<TcpStream> {
    const GO_ON: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut request = fixture.tls().await;
    let head = b"POST /v1/enroll HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";
    request.write_all(head).await.unwrap();
    let mut answer = [0; GO_ON.len()];
    timeout(PATIENCE, request.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, GO_ON);
    request
}

#[tokio::test]
async fn a_shutdown_lets_requests_end() {
    let fixture = Fixture::new().await;
    let mut request = begin_request(&fixture).await;
    let idle = fixture.tls().await;
    let address = fixture.directory.public_addr();
    let served = async {
        // Once the idle one is closed, the shutdown has begun.
        read_to_end(idle).await;
        request.write_all(b"junk").await.unwrap();
        read_to_end(request).await
    };
    let (stats, answer) = tokio::join!(fixture.directory.shutdown(PATIENCE), served);
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(stats.connections(), 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_shutdown_does_not_wait_longer_than_it_is_told() {
    let fixture = Fixture::new().await;
    let request = begin_request(&fixture).await;
    let shutdown = fixture.directory.shutdown(Duration::from_millis(1));
    timeout(PATIENCE, shutdown).await.unwrap();
    read_to_end(request).await;
}
