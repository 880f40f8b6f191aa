//! The gateway: a handler that answers with the answers of an upstream.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use pssst::PublicKey;
use pssst_net::udp::Resolver;
use pssst_net::{Handler, Request};
use tower::{Service, ServiceBuilder};

use crate::admission_control::{AdmissionControl, AdmissionLayer};
use crate::stats::{Counters, ExchangeOutcome, GatewayStats};
use crate::upstream::http::{HttpConnections, HttpUpstream};
use crate::upstream::stream::{StreamAddr, StreamUpstream};
use crate::upstream::udp::UdpUpstream;
use crate::upstream::{Answer, Failure, Upstream};

/// Answers requests with the answers of an upstream. Clones share one state.
///
/// Everything is bounded: the requests in flight at the upstream, the time of each, and the length
/// of an answer. A failure costs one request, which the client sends again. See the [crate's
/// documentation](crate) for an example.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

struct Shared {
    upstream: Upstream,
    endpoint: Endpoint,
    settings: Settings,
    names: ClientNames,
    admission: Arc<AdmissionControl>,
}

/// The name of a client, for upstreams of HTTP.
pub(crate) type ClientNames = Arc<dyn Fn(&PublicKey) -> Option<String> + Send + Sync>;

/// How to reach the upstream.
pub(crate) enum Endpoint {
    Http(Box<HttpUpstream>),
    Udp(Resolver),
    Tcp(Resolver),
    Unix(PathBuf),
}

#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) timeout: Duration,
    pub(crate) max_reply: usize,
    pub(crate) is_one_way: bool,
    pub(crate) prefixes_client_key: bool,
}

impl Gateway {
    pub(crate) fn new(
        upstream: Upstream,
        endpoint: Endpoint,
        settings: Settings,
        names: ClientNames,
        admission: AdmissionControl,
    ) -> Self {
        Self { shared: Arc::new(Shared { upstream, endpoint, settings, names, admission: Arc::new(admission) }) }
    }

    /// Returns the upstream.
    pub fn upstream(&self) -> &Upstream {
        &self.shared.upstream
    }

    /// Returns a handler for a server. Each of its workers has its own connections.
    ///
    /// **An upstream may answer the same message differently**, so do not let the server accept
    /// suite 1, unless you know that it does not: see [`pssst_net::Request`].
    pub fn handler(&self) -> Handler {
        let shared = Arc::clone(&self.shared);
        Handler::per_worker(move || {
            ServiceBuilder::new()
                .layer(AdmissionLayer(Arc::clone(&shared.admission)))
                .timeout(shared.settings.timeout)
                .service(UpstreamCall { connection: Arc::new(Connection::new(&shared)), shared: Arc::clone(&shared) })
        })
    }

    /// Returns counts of what the gateway has done so far.
    pub fn stats(&self) -> GatewayStats {
        self.shared.admission.stats()
    }

    /// Returns the counters, for a gateway that replaces this one.
    pub(crate) fn counters(&self) -> Arc<Counters> {
        self.shared.admission.counters()
    }
}

/// A worker's connection to the upstream.
enum Connection {
    Http(Option<HttpConnections>),
    Udp(UdpUpstream),
    Stream(StreamUpstream),
}

impl Connection {
    fn new(shared: &Shared) -> Self {
        match &shared.endpoint {
            // Building the gateway has shown that a client can be made.
            Endpoint::Http(http) => Self::Http(http.connections().ok()),
            Endpoint::Udp(addresses) => Self::Udp(UdpUpstream::new(addresses.clone(), shared.settings.max_reply)),
            Endpoint::Tcp(addresses) => Self::Stream(StreamUpstream::new(StreamAddr::Tcp(addresses.clone()))),
            Endpoint::Unix(path) => Self::Stream(StreamUpstream::new(StreamAddr::Unix(path.clone()))),
        }
    }
}

/// The innermost service: one worker's calls to the upstream.
struct UpstreamCall {
    connection: Arc<Connection>,
    shared: Arc<Shared>,
}

impl Service<Request> for UpstreamCall {
    type Response = Answer;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Failure>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (connection, shared) = (Arc::clone(&self.connection), Arc::clone(&self.shared));
        Box::pin(async move { shared.call(&connection, request).await })
    }
}

impl Shared {
    async fn call(&self, connection: &Connection, request: Request) -> Result<Answer, Failure> {
        let Settings { max_reply, is_one_way, .. } = self.settings;
        match (connection, &self.endpoint) {
            (Connection::Http(Some(connections)), Endpoint::Http(http)) => {
                let name = request.client_key().and_then(|key| (self.names)(key));
                http.call(connections, request, name, max_reply, is_one_way).await
            }
            (Connection::Udp(udp), _) => udp.call(&self.message(request), is_one_way).await,
            (Connection::Stream(stream), _) => stream.call(&self.message(request), max_reply, is_one_way).await,
            (Connection::Http(_), _) => Err(Failure::new(ExchangeOutcome::Unreachable)),
        }
    }

    fn message(&self, request: Request) -> Bytes {
        if !self.settings.prefixes_client_key {
            return request.into_message();
        }
        let key = request.client_key().map_or([0; 32], |key| *key.as_bytes());
        [&key[..], request.message()].concat().into()
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("upstream", &self.shared.upstream).finish_non_exhaustive()
    }
}
