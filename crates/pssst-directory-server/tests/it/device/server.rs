//! A server of HTTP/1.1 over TLS that says whatever a test wants.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pssst_directory::{DirectoryClient, DirectoryClientBuilder, KeySet, Pin};
use pssst_test::PATIENCE;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        headers.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Bytes of a response, and how the connection ends.
pub(crate) struct Answer {
    bytes: Vec<u8>,
    then: Then,
}

enum Then {
    Close,
    /// A byte now and then, for ever.
    Trickle,
    /// Nothing, for ever.
    Wait,
}

impl Answer {
    pub(crate) fn new(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let head =
            format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n", body.len());
        Self { bytes: [head.as_bytes(), body].concat(), then: Then::Close }
    }

    pub(crate) fn ok(body: impl AsRef<[u8]>) -> Self {
        Self::new(200, "", body)
    }

    /// Nothing at all.
    pub(crate) fn none() -> Self {
        Self { bytes: Vec::new(), then: Then::Close }
    }

    /// A body that takes for ever.
    pub(crate) fn slow() -> Self {
        Self { bytes: b"HTTP/1.1 200 x\r\ncontent-length: 4000\r\n\r\n{".to_vec(), then: Then::Trickle }
    }

    /// A body without an end, whose length is not announced.
    pub(crate) fn endless() -> Self {
        let head = b"HTTP/1.1 200 x\r\nconnection: close\r\n\r\n";
        Self { bytes: [&head[..], &vec![b' '; KeySet::MAX_LEN], b"{"].concat(), then: Then::Wait }
    }
}

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) identity: Identity,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl TestServer {
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_as(Identity::new("127.0.0.1"), &[&rustls::version::TLS13], answer).await
    }

    pub(crate) async fn start_as(
        identity: Identity,
        versions: &[&'static SupportedProtocolVersion],
        answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified_key())));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, answer) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::new(answer));
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (acceptor, seen, answer) = (acceptor.clone(), Arc::clone(&seen), Arc::clone(&answer));
                    tokio::spawn(async move {
                        // Clients that do not trust it go away.
                        let Ok(mut stream) = acceptor.accept(stream).await else { return };
                        if let Some(request) = read(&mut stream).await {
                            seen.lock().unwrap().push(request.clone());
                            drop(write(&mut stream, (*answer)(&request)).await);
                        }
                    });
                }
            }
        });
        Self { address, identity, seen, task }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn untrusting(&self) -> DirectoryClientBuilder {
        DirectoryClient::builder(self.url()).timeout(PATIENCE)
    }

    /// A client that knows its pin.
    pub(crate) fn builder(&self) -> DirectoryClientBuilder {
        self.untrusting().pin(self.identity.pin())
    }

    pub(crate) fn client(&self) -> DirectoryClient {
        self.builder().build().unwrap()
    }

    /// Nobody listens any more.
    pub(crate) async fn stop(mut self) {
        self.task.abort();
        drop((&mut self.task).await);
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|place| place + 4);
        if let Some(head) = head {
            let (head, body) = (String::from_utf8(bytes[..head].to_vec()).unwrap(), bytes[head..].to_vec());
            let seen = Seen { head, body };
            let len = seen.header("content-length").map_or(0, |len| len.parse().unwrap());
            if seen.body.len() >= len {
                return Some(seen);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), answer: Answer) -> std::io::Result<()> {
    stream.write_all(&answer.bytes).await?;
    match answer.then {
        Then::Close => {}
        Then::Trickle => loop {
            stream.write_all(b" ").await?;
            stream.flush().await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        },
        Then::Wait => {
            stream.flush().await?;
            std::future::pending::<()>().await;
        }
    }
    stream.shutdown().await
}

/// A certificate with its authority.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    pub(crate) authority: String,
}

impl Identity {
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, |_| {})
    }

    pub(crate) fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut authority = CertificateParams::new([]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let authority_pem = authority.self_signed(&authority_key).unwrap().pem();

        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
        Self { certificate: certificate.der().clone(), key: key.into(), authority: authority_pem }
    }

    /// Returns a server with this certificate and another key.
    pub(crate) fn stolen(self) -> Self {
        Self { key: KeyPair::generate().unwrap().into(), ..self }
    }

    fn certified_key(&self) -> CertifiedKey {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = provider.key_provider.load_private_key(self.key.clone_key()).unwrap();
        CertifiedKey::new(vec![self.certificate.clone()], key)
    }

    pub(crate) fn pin(&self) -> Pin {
        Pin::of(&self.certificate).unwrap()
    }
}
