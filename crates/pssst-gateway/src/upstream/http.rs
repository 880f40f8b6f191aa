//! Upstreams that speak HTTP: a message is the body of a POST.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use pssst_net::udp::Resolver;
use pssst_net::{Reply, Request};
use pssst_support::sync::lock;
use pssst_support::tls::{self, Trust, client_config};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, Url, redirect};
use rustls::{ClientConfig, RootCertStore};

use super::{Answer, Failure, is_local_shortage};
use crate::error::Error;
use crate::stats::ExchangeOutcome;

const CLIENT_KEY: HeaderName = HeaderName::from_static("pssst-client-key");
const CLIENT_NAME: HeaderName = HeaderName::from_static("pssst-client-name");
const REQUEST_ID: HeaderName = HeaderName::from_static("pssst-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Characters that are encoded in a name: all that is not printable ASCII, and the sign of the
/// encoding itself.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%').add(b' ');

/// Connections that a worker keeps for its next requests.
const MAX_IDLE: usize = 64;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpVersion {
    /// The highest version that both sides support over TLS, else HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS by prior knowledge (RFC 9113, section 3.3).
    Http2,
}

/// Which statuses are replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusRule {
    /// 2xx, and the reply is the body. The client gets no reply for any other.
    #[default]
    Ok,
    /// All of them, and the reply is the status in two bytes, the higher first, and then the body.
    Prefix,
}

/// An upstream that speaks HTTP, with its options checked.
#[derive(Clone)]
pub(crate) struct HttpUpstream {
    url: Url,
    tls: ClientConfig,
    version: HttpVersion,
    content_type: HeaderValue,
    authorization: Option<HeaderValue>,
    status_rule: StatusRule,
    trace_parent: Option<TraceParent>,
    resolver: Arc<HttpResolver>,
    timeout: Duration,
}

/// Returns the value of the header `traceparent`.
pub(crate) type TraceParent = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// The options of a gateway that concern HTTP.
pub(crate) struct HttpOptions {
    pub(crate) content_type: String,
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) version: HttpVersion,
    pub(crate) status_rule: StatusRule,
    pub(crate) trace_parent: Option<TraceParent>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            content_type: "application/octet-stream".into(),
            authorization: None,
            ca_file: None,
            version: HttpVersion::Auto,
            status_rule: StatusRule::Ok,
            trace_parent: None,
        }
    }
}

impl HttpUpstream {
    pub(crate) fn new(url: Url, options: HttpOptions, timeout: Duration) -> Result<Self, Error> {
        let HttpOptions { content_type, authorization, ca_file, version, status_rule, trace_parent } = options;
        let tls = match (url.scheme(), ca_file) {
            ("https", None) => tls_config(Trust::System, version)?,
            ("https", Some(path)) => tls_config(authorities(path)?, version)?,
            (_, None) => tls_config(Trust::Authorities(RootCertStore::empty()), version)?,
            (_, Some(_)) => return Err(Error::AuthoritiesWithoutTls),
        };
        let content_type = HeaderValue::from_str(&content_type).map_err(|_| Error::InvalidContentType(content_type))?;
        // reqwest resolves names only; an address in a URL is its own.
        let host =
            format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        let resolver = Arc::new(HttpResolver(Resolver::new(host)));
        let http =
            Self { url, tls, version, content_type, authorization, status_rule, trace_parent, resolver, timeout };
        http.client(MAX_IDLE).map_err(|error| Error::HttpClient(error.into()))?;
        Ok(http)
    }

    /// Returns a client that keeps up to this many connections for its next requests. The worker's
    /// runtime drives them.
    fn client(&self, max_idle: usize) -> reqwest::Result<Client> {
        let builder =
            ClientBuilder::new().tls_backend_preconfigured(self.tls.clone()).https_only(self.url.scheme() == "https");
        let builder = match self.version {
            HttpVersion::Auto => builder,
            HttpVersion::Http1 => builder.http1_only(),
            HttpVersion::Http2 => builder.http2_prior_knowledge(),
        };
        builder
            .dns_resolver(Arc::clone(&self.resolver))
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(self.timeout)
            .pool_max_idle_per_host(max_idle)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent(concat!("pssst/", env!("CARGO_PKG_VERSION")))
            .build()
    }

    /// Returns a worker's connections.
    pub(crate) fn connections(&self) -> reqwest::Result<HttpConnections> {
        let kept = Kept { client: self.client(MAX_IDLE)?, addresses: Vec::new() };
        Ok(HttpConnections { kept: Mutex::new(kept), unkept: self.client(0)? })
    }

    /// Returns a client that has connections to addresses of now alone.
    async fn current_client(&self, connections: &HttpConnections) -> Client {
        // This also has the name looked up again while kept connections serve all requests.
        let addresses = self.resolver.0.addresses().await.unwrap_or_default();
        let mut kept = lock(&connections.kept);
        if kept.addresses.iter().any(|address| !addresses.contains(address))
            && let Ok(client) = self.client(MAX_IDLE)
        {
            // The connections of the one before end with their requests.
            kept.client = client;
        }
        kept.addresses = addresses;
        kept.client.clone()
    }

    /// Sends a request, and once more on a new connection if the connection ended before an answer:
    /// services close connections that they have kept, also while a request is on its way.
    async fn execute(&self, connections: &HttpConnections, post: RequestBuilder) -> reqwest::Result<Response> {
        let again = post.try_clone();
        match (post.send().await, again) {
            (Err(error), Some(again)) if has_ended_early(&error) => connections.unkept.execute(again.build()?).await,
            (outcome, _) => outcome,
        }
    }

    /// Posts a message. The client decides the body and none of the headers.
    pub(crate) async fn call(
        &self,
        connections: &HttpConnections,
        request: Request,
        name: Option<String>,
        max_reply: usize,
        is_one_way: bool,
    ) -> Result<Answer, Failure> {
        let mut post = self
            .current_client(connections)
            .await
            .post(self.url.clone())
            .header(CONTENT_TYPE, self.content_type.clone())
            .header(REQUEST_ID, base16ct::lower::encode_string(request.exchange_value()));
        if let Some(authorization) = &self.authorization {
            post = post.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(key) = request.client_key() {
            post = post.header(CLIENT_KEY, key.to_string());
        }
        if let Some(name) = name {
            post = post.header(CLIENT_NAME, utf8_percent_encode(&name, ENCODED).to_string());
        }
        let parent = self.trace_parent.as_ref().and_then(|parent| parent());
        if let Some(parent) = parent.and_then(|parent| HeaderValue::try_from(parent).ok()) {
            post = post.header(TRACE_PARENT, parent);
        }
        // reqwest tries the preferred address first, and does not say to which one it could not
        // connect.
        let guard = self.resolver.0.suspect(None);
        let post = post.body(request.into_message());
        let response = self.execute(connections, post).await.map_err(|error| failure(&error));
        if !matches!(response, Err(Failure { outcome: ExchangeOutcome::Unreachable, .. })) {
            guard.clear();
        }
        let response = response?;
        let status = response.status();
        // Where the status does not reach the client, one that is not a success is not an answer.
        if (self.status_rule == StatusRule::Ok || is_one_way) && !status.is_success() {
            // One client's message may cause a 500, which must not open the circuit for all.
            return Ok(Answer::Status { is_failure: matches!(status.as_u16(), 502..=504) });
        }
        if is_one_way {
            return Ok(Answer::Delivered);
        }
        let head = match self.status_rule {
            StatusRule::Ok => Vec::new(),
            StatusRule::Prefix => status.as_u16().to_be_bytes().to_vec(),
        };
        read(response, head, max_reply).await.map(|reply| Answer::Reply(Reply::from(reply)))
    }
}

/// A worker's connections to an upstream.
pub(crate) struct HttpConnections {
    kept: Mutex<Kept>,
    /// Makes a connection for each request.
    unkept: Client,
}

struct Kept {
    client: Client,
    /// Addresses of the name, to which it may have connections.
    addresses: Vec<SocketAddr>,
}

/// Returns whether the connection ended before the first byte of an answer.
fn has_ended_early(error: &reqwest::Error) -> bool {
    let is_early = |cause: &(dyn std::error::Error + 'static)| {
        let of_hyper = cause
            .downcast_ref::<hyper::Error>()
            .is_some_and(|error| error.is_incomplete_message() || error.is_canceled() || error.is_closed());
        of_hyper || cause.downcast_ref::<io::Error>().is_some_and(|error| is_end(error.kind()))
    };
    error.is_request() && !error.is_connect() && causes(error).any(is_early)
}

const fn is_end(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof)
}

/// Reads a body, up to the largest reply.
async fn read(mut response: Response, mut reply: Vec<u8>, max_reply: usize) -> Result<Vec<u8>, Failure> {
    let room = max_reply.saturating_sub(reply.len()) as u64;
    if response.content_length().is_some_and(|len| len > room) {
        return Err(Failure::new(ExchangeOutcome::TooLarge));
    }
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if reply.len() + chunk.len() > max_reply {
            return Err(Failure::new(ExchangeOutcome::TooLarge));
        }
        reply.extend_from_slice(&chunk);
    }
    if reply.len() > max_reply { Err(Failure::new(ExchangeOutcome::TooLarge)) } else { Ok(reply) }
}

fn failure(error: &reqwest::Error) -> Failure {
    let is_shortage = causes(error).filter_map(|cause| cause.downcast_ref()).any(is_local_shortage);
    let outcome = if is_shortage {
        ExchangeOutcome::LocalShortage
    } else if error.is_connect() {
        ExchangeOutcome::Unreachable
    } else if is_malformed(error) {
        ExchangeOutcome::Malformed
    } else {
        ExchangeOutcome::Broken
    };
    Failure { outcome, cause: causes(error).last().map(ToString::to_string) }
}

/// Returns whether the upstream sent something that is not HTTP.
fn is_malformed(error: &reqwest::Error) -> bool {
    let of_hyper = causes(error).find_map(|cause| cause.downcast_ref::<hyper::Error>());
    of_hyper.is_some_and(|error| error.is_parse() || error.is_parse_too_large() || error.is_parse_status())
}

/// Returns the causes of an error. Its own text has the URL, and these say more.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |error| error.source())
}

/// The resolver of one upstream for reqwest, which is asked only for the host of its URL.
struct HttpResolver(Resolver);

impl Resolve for HttpResolver {
    fn resolve(&self, _: Name) -> Resolving {
        let resolver = self.0.clone();
        Box::pin(async move { Ok(Box::new(resolver.addresses().await?.into_iter()) as Addrs) })
    }
}

/// Returns the configuration of TLS, and the protocols to offer.
fn tls_config(trust: Trust, version: HttpVersion) -> Result<ClientConfig, Error> {
    let protocols: &[_] = match version {
        HttpVersion::Auto => &["h2", "http/1.1"],
        HttpVersion::Http1 => &["http/1.1"],
        HttpVersion::Http2 => &["h2"],
    };
    client_config(trust, protocols).map_err(|error| Error::Tls(error.into()))
}

/// Reads the authorities in a PEM file.
fn authorities(path: PathBuf) -> Result<Trust, Error> {
    let pem = match std::fs::read(&path) {
        Ok(pem) => pem,
        Err(source) => return Err(Error::UnreadableAuthorities { path, source }),
    };
    match tls::authorities(&pem) {
        Ok(authorities) => Ok(Trust::Authorities(authorities)),
        Err(error) => Err(Error::InvalidAuthorities { path, source: error.into() }),
    }
}

/// Without the URL's query and the credentials.
impl fmt::Debug for HttpUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpUpstream")
            .field("host", &self.url.host_str())
            .field("version", &self.version)
            .field("status_rule", &self.status_rule)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    /// Serves one connection after another, and reports its requests and their ends.
    async fn serve() -> (SocketAddr, mpsc::UnboundedReceiver<&'static str>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (events, seen) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let events = events.clone();
                tokio::spawn(async move {
                    let mut request = [0; 1000];
                    while connection.read(&mut request).await.is_ok_and(|len| len > 0) {
                        events.send("request").unwrap();
                        connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                    }
                    events.send("end").unwrap();
                });
            }
        });
        (address, seen)
    }

    #[tokio::test]
    async fn connections_to_addresses_that_a_name_has_left_are_closed() {
        let ((one, mut at_one), (two, mut at_two)) = (serve().await, serve().await);
        let current = Arc::new(Mutex::new(one));
        let lookup = Arc::clone(&current);
        let resolver = Resolver::with_lookup(move || std::future::ready(Ok(vec![*lock(&lookup)])));
        let url = Url::parse("http://service.example/").unwrap();
        let mut http = HttpUpstream::new(url, HttpOptions::default(), Duration::from_secs(30)).unwrap();
        http.resolver = Arc::new(HttpResolver(resolver.clone()));
        let connections = http.connections().unwrap();
        let ask = async || {
            let post = http.current_client(&connections).await.post(http.url.clone());
            assert_eq!(http.execute(&connections, post).await.unwrap().status(), 204);
        };
        for _ in 0..3 {
            ask().await;
            assert_eq!(at_one.recv().await, Some("request"));
        }
        *lock(&current) = two;
        resolver.refresh();
        while resolver.known() != [two] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ask().await;
        assert_eq!(at_two.recv().await, Some("request"));
        assert_eq!(at_one.recv().await, Some("end"));
    }
}
