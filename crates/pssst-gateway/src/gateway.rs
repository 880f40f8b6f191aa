//! The gateway: a handler whose answers come from an upstream.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use pssst::PublicKey;
use pssst_net::{Handler, Request};
use reqwest::header::HeaderValue;
use tower::{Service, ServiceBuilder};

use crate::circuit::Circuit;
use crate::guard::{Answer, Failure, Guard, GuardLayer};
use crate::http::{Http, HttpOptions};
use crate::packets::Packets;
use crate::stats::{Counts, GatewayOutcome, GatewayStats};
use crate::stream::{Place, Stream};
use crate::target::Target;
use crate::upstream::Kind;
use crate::{Error, Upstream};

/// Bytes of the longest message that a datagram has room for.
const MAX_MESSAGE: usize = 65_455;

/// When an upstream is left alone that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// After so many failures in a row; 0 for never.
    pub failures: u32,
    /// For so long at first. Then a single request finds out how things are; while those fail, the pause doubles, up to 30 times as
    /// much.
    pub pause: Duration,
}

/// 16 failures, and a second.
impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { failures: 16, pause: Duration::from_secs(1) }
    }
}

/// Which version of HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpVersion {
    /// Over TLS the best that both know, else HTTP/1.1.
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
    /// 2xx, and the reply is the body. Any other is none, and the client hears nothing.
    #[default]
    Ok,
    /// Every one, and the reply is the status in two bytes, the higher first, and then the body.
    Prefix,
}

/// How a gateway is to be.
#[must_use]
pub struct GatewayBuilder {
    upstream: Upstream,
    timeout: Duration,
    max_concurrency: usize,
    circuit: CircuitBreaker,
    max_reply: usize,
    is_one_way: bool,
    prefixes_client_key: bool,
    names: Names,
    http: HttpOptions,
    counts: Arc<Counts>,
}

type Names = Arc<dyn Fn(&PublicKey) -> Option<String> + Send + Sync>;

impl GatewayBuilder {
    /// How long the upstream may take for an answer, from connecting to its last byte; 2 seconds by default.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Requests that are with the upstream at a time, over all workers; 256 by default, at least 1. More are dropped at once.
    pub fn max_concurrency(self, requests: usize) -> Self {
        Self { max_concurrency: requests.clamp(1, tokio::sync::Semaphore::MAX_PERMITS), ..self }
    }

    /// When the upstream is left alone.
    pub fn circuit_breaker(self, circuit: CircuitBreaker) -> Self {
        Self { circuit, ..self }
    }

    /// Bytes of the longest reply that is passed on; 65,455, which a datagram has room for, by default and at most. The server's limit on
    /// amplification comes after it.
    pub fn max_reply(self, bytes: usize) -> Self {
        Self { max_reply: bytes.min(MAX_MESSAGE), ..self }
    }

    /// Hands messages over, and never answers. Upstreams of UDP, TCP and Unix sockets are not waited for.
    pub fn one_way(self, is_one_way: bool) -> Self {
        Self { is_one_way, ..self }
    }

    /// Under which name a client is known, for upstreams of HTTP to be told.
    pub fn names(self, names: impl Fn(&PublicKey) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { names: Arc::new(names), ..self }
    }

    /// Puts the 32 bytes of the client's public key before each message, zeros for anonymous clients. Not for HTTP, which has a header
    /// for it.
    pub fn prefix_client_key(self, prefixes: bool) -> Self {
        Self { prefixes_client_key: prefixes, ..self }
    }

    /// The content type of messages over HTTP, `application/octet-stream` by default.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.http.content_type = content_type.into();
        self
    }

    /// What the header `Authorization` says over HTTP, by which the upstream knows the gateway. It is never shown.
    ///
    /// # Errors
    /// [`Error::Option`] if it is empty or cannot stand in a header.
    pub fn authorization(mut self, authorization: &str) -> Result<Self, Error> {
        let refused = |what| Error::Option { option: "authorization", what };
        if authorization.is_empty() {
            return Err(refused("this authorization is empty"));
        }
        let mut value =
            HeaderValue::from_str(authorization).map_err(|_| refused("this authorization cannot stand in a header"))?;
        value.set_sensitive(true);
        self.http.authorization = Some(value);
        Ok(self)
    }

    /// A PEM file of the authorities that are trusted over `https:`, instead of the system's.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.http.ca_file = Some(path.into());
        self
    }

    /// Which version of HTTP is spoken.
    pub fn http_version(mut self, version: HttpVersion) -> Self {
        self.http.version = version;
        self
    }

    /// Which statuses of HTTP are replies.
    pub fn status_rule(mut self, rule: StatusRule) -> Self {
        self.http.status_rule = rule;
        self
    }

    /// What the header `traceparent` says over HTTP (W3C Trace Context), by which the upstream's spans join those of this program. It is asked for
    /// within the span `upstream` of each request, a child of the server's span `request`; none leaves the header out, and so does a value
    /// that cannot stand in one.
    pub fn trace_parent(mut self, parent: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        self.http.trace_parent = Some(Arc::new(parent));
        self
    }

    /// Goes on counting where `gateway` is, which the new one is to replace: what either of them does is in the [`Gateway::stats`] of both.
    pub fn replacing(self, gateway: &Gateway) -> Self {
        Self { counts: gateway.shared.guard.counts(), ..self }
    }

    /// The gateway, if all of this fits together. The upstream is not asked for anything yet.
    ///
    /// # Errors
    /// [`Error::Option`] for what does not fit, [`Error::File`] and [`Error::Trust`] for the file of authorities.
    pub fn build(self) -> Result<Gateway, Error> {
        let is_http = matches!(self.upstream.0, Kind::Http(_));
        if is_http && self.prefixes_client_key {
            let what = "a key before each message is not for HTTP, which has a header for it";
            return Err(Error::Option { option: "prefix_client_key", what });
        }
        if !is_http && self.http.ca_file.is_some() {
            return Err(Error::Option { option: "ca_file", what: "authorities are for HTTP" });
        }
        if !is_http && self.http.authorization.is_some() {
            return Err(Error::Option { option: "authorization", what: "authorization is for HTTP" });
        }
        let way = match &self.upstream.0 {
            Kind::Http(url) => Way::Http(Box::new(Http::new(url.clone(), self.http, self.timeout)?)),
            Kind::Udp(address) => Way::Udp(Target::new(address.clone())),
            Kind::Tcp(address) => Way::Tcp(Target::new(address.clone())),
            Kind::Unix(path) => Way::Unix(path.clone()),
        };
        let guard =
            Guard::new(self.max_concurrency, Circuit::new(self.circuit.failures, self.circuit.pause), self.counts);
        Ok(Gateway {
            shared: Arc::new(Shared {
                upstream: self.upstream,
                way,
                timeout: self.timeout,
                terms: Terms {
                    max_reply: self.max_reply,
                    is_one_way: self.is_one_way,
                    prefixes_client_key: self.prefixes_client_key,
                },
                names: self.names,
                guard: Arc::new(guard),
            }),
        })
    }
}

/// Answers requests with what an upstream says. Clones are one gateway.
///
/// Everything is bounded: what is with the upstream at a time, how long, and how much of an answer is read. What fails costs its
/// own request, which the client sends again. See the [crate's documentation](crate) for an example.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

struct Shared {
    upstream: Upstream,
    way: Way,
    timeout: Duration,
    terms: Terms,
    names: Names,
    guard: Arc<Guard>,
}

/// How to get to the upstream.
enum Way {
    Http(Box<Http>),
    Udp(Arc<Target>),
    Tcp(Arc<Target>),
    Unix(PathBuf),
}

#[derive(Clone, Copy)]
struct Terms {
    max_reply: usize,
    is_one_way: bool,
    prefixes_client_key: bool,
}

impl Gateway {
    /// A gateway to this upstream.
    pub fn builder(upstream: Upstream) -> GatewayBuilder {
        GatewayBuilder {
            upstream,
            timeout: Duration::from_secs(2),
            max_concurrency: 256,
            circuit: CircuitBreaker::default(),
            max_reply: MAX_MESSAGE,
            is_one_way: false,
            prefixes_client_key: false,
            names: Arc::new(|_| None),
            http: HttpOptions {
                content_type: "application/octet-stream".into(),
                authorization: None,
                ca_file: None,
                version: HttpVersion::Auto,
                status_rule: StatusRule::Ok,
                trace_parent: None,
            },
            counts: Arc::default(),
        }
    }

    /// The upstream.
    pub fn upstream(&self) -> &Upstream {
        &self.shared.upstream
    }

    /// What a server answers by. Each of its workers has its own connections.
    ///
    /// **An upstream's answers may differ from time to time**, so let the server accept suite 0xf001 only, unless you know that they do
    /// not: see [`pssst_net::Request`].
    pub fn handler(&self) -> Handler {
        let shared = Arc::clone(&self.shared);
        Handler::service_per_worker(move || {
            ServiceBuilder::new()
                .layer(GuardLayer(Arc::clone(&shared.guard)))
                .timeout(shared.timeout)
                .service(Asking { line: Arc::new(Line::new(&shared)), shared: Arc::clone(&shared) })
        })
    }

    /// What it has done so far.
    pub fn stats(&self) -> GatewayStats {
        self.shared.guard.stats()
    }
}

/// A worker's line to the upstream.
enum Line {
    Http(Option<reqwest::Client>),
    Udp(Packets),
    Stream(Stream),
}

impl Line {
    fn new(shared: &Shared) -> Self {
        match &shared.way {
            // That it can be made was seen when the gateway was built.
            Way::Http(http) => Self::Http(http.client().ok()),
            Way::Udp(target) => Self::Udp(Packets::new(Arc::clone(target), shared.terms.max_reply)),
            Way::Tcp(target) => Self::Stream(Stream::new(Place::Tcp(Arc::clone(target)))),
            Way::Unix(path) => Self::Stream(Stream::new(Place::Unix(path.clone()))),
        }
    }
}

/// The innermost service: a worker that asks.
struct Asking {
    line: Arc<Line>,
    shared: Arc<Shared>,
}

impl Service<Request> for Asking {
    type Response = Answer;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Failure>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (line, shared) = (Arc::clone(&self.line), Arc::clone(&self.shared));
        Box::pin(async move { shared.ask(&line, request).await })
    }
}

impl Shared {
    async fn ask(&self, line: &Line, request: Request) -> Result<Answer, Failure> {
        let Terms { max_reply, is_one_way, .. } = self.terms;
        match (line, &self.way) {
            (Line::Http(Some(client)), Way::Http(http)) => {
                let name = request.client_key().and_then(|key| (self.names)(key));
                http.ask(client, request, name, max_reply, is_one_way).await
            }
            (Line::Udp(packets), _) => packets.ask(&self.message(request), is_one_way).await,
            (Line::Stream(stream), _) => stream.ask(&self.message(request), max_reply, is_one_way).await,
            (Line::Http(_), _) => Err(Failure(GatewayOutcome::Unreachable)),
        }
    }

    fn message(&self, request: Request) -> Bytes {
        if !self.terms.prefixes_client_key {
            return request.into_message();
        }
        let key = request.client_key().map_or([0; 32], |key| *key.as_bytes());
        [&key[..], request.message()].concat().into()
    }
}

impl fmt::Debug for GatewayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayBuilder").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("upstream", &self.shared.upstream).finish_non_exhaustive()
    }
}
