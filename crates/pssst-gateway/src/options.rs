//! The options of a gateway.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pssst::PublicKey;
use pssst_net::udp::Resolver;
use reqwest::header::HeaderValue;

use crate::Error;
use crate::admission_control::AdmissionControl;
use crate::circuit::{Circuit, CircuitBreaker};
use crate::gateway::{ClientNames, Endpoint, Gateway, Settings};
use crate::stats::Counters;
use crate::upstream::http::{HttpOptions, HttpUpstream, HttpVersion, StatusRule};
use crate::upstream::{Location, Upstream};

/// Length of the longest message that a datagram has room for, in bytes.
const MAX_MESSAGE: usize = 65_455;

/// Configures a [`Gateway`].
#[must_use]
pub struct GatewayBuilder {
    upstream: Upstream,
    max_concurrency: usize,
    circuit: CircuitBreaker,
    settings: Settings,
    names: ClientNames,
    http: HttpOptions,
    counters: Arc<Counters>,
}

impl Gateway {
    /// Returns the options of a gateway to this upstream.
    pub fn builder(upstream: Upstream) -> GatewayBuilder {
        GatewayBuilder {
            upstream,
            max_concurrency: 256,
            circuit: CircuitBreaker::default(),
            settings: Settings {
                timeout: Duration::from_secs(2),
                max_reply: MAX_MESSAGE,
                is_one_way: false,
                prefixes_client_key: false,
            },
            names: Arc::new(|_| None),
            http: HttpOptions::default(),
            counters: Arc::default(),
        }
    }
}

impl GatewayBuilder {
    /// Sets the timeout of an upstream call, from connecting to the last byte of the answer; 2
    /// seconds by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Sets the most requests in flight at the upstream, over all workers; 256 by default, at least
    /// 1. More are dropped at once.
    pub fn max_concurrency(self, requests: usize) -> Self {
        Self { max_concurrency: requests.clamp(1, tokio::sync::Semaphore::MAX_PERMITS), ..self }
    }

    /// Sets when the upstream is not called because it fails.
    pub fn circuit_breaker(self, circuit: CircuitBreaker) -> Self {
        Self { circuit, ..self }
    }

    /// Sets the longest reply in bytes; 65,455 by default and at most, which is all that a datagram
    /// has room for. The server's amplification limit applies as well.
    pub fn max_reply(mut self, bytes: usize) -> Self {
        self.settings.max_reply = bytes.min(MAX_MESSAGE);
        self
    }

    /// Delivers messages and never replies. Answers over UDP, TCP and Unix sockets are not awaited.
    pub fn one_way(mut self, is_one_way: bool) -> Self {
        self.settings.is_one_way = is_one_way;
        self
    }

    /// Sets the client's name, which HTTP upstreams get.
    pub fn names(self, names: impl Fn(&PublicKey) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { names: Arc::new(names), ..self }
    }

    /// Puts the 32 bytes of the client's public key before each message, zeros for anonymous
    /// clients. Not for HTTP, which has a header for it.
    pub fn prefix_client_key(mut self, prefixes: bool) -> Self {
        self.settings.prefixes_client_key = prefixes;
        self
    }

    /// Sets the content type of messages over HTTP, `application/octet-stream` by default.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.http.content_type = content_type.into();
        self
    }

    /// Sets the header `Authorization` over HTTP, which authenticates the gateway to the upstream.
    /// It is never shown.
    ///
    /// # Errors
    /// [`Error::EmptyAuthorization`], and [`Error::InvalidAuthorization`] if it is not a valid
    /// header value.
    pub fn authorization(mut self, authorization: &str) -> Result<Self, Error> {
        if authorization.is_empty() {
            return Err(Error::EmptyAuthorization);
        }
        let mut value = HeaderValue::from_str(authorization).map_err(|_| Error::InvalidAuthorization)?;
        value.set_sensitive(true);
        self.http.authorization = Some(value);
        Ok(self)
    }

    /// Trusts the authorities in a PEM file over `https:`, instead of the system's.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.http.ca_file = Some(path.into());
        self
    }

    /// Sets the version of HTTP.
    pub fn http_version(mut self, version: HttpVersion) -> Self {
        self.http.version = version;
        self
    }

    /// Sets which statuses of HTTP are replies.
    pub fn status_rule(mut self, rule: StatusRule) -> Self {
        self.http.status_rule = rule;
        self
    }

    /// Sets the header `traceparent` over HTTP (W3C Trace Context), so that the upstream's spans
    /// join those of this program. It is called within the span `upstream` of each request, a child
    /// of the server's span `request`; `None` leaves the header out, and so does an invalid header
    /// value.
    pub fn trace_parent(mut self, parent: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        self.http.trace_parent = Some(Arc::new(parent));
        self
    }

    /// Shares the counters of `gateway`, so that a replacement continues its statistics.
    pub fn replacing(self, gateway: &Gateway) -> Self {
        Self { counters: gateway.counters(), ..self }
    }

    /// Returns the gateway, if all options fit together. The upstream is not called yet.
    ///
    /// # Errors
    /// [`Error`] has a variant for each option that does not fit.
    pub fn build(self) -> Result<Gateway, Error> {
        let endpoint = match &self.upstream.0 {
            Location::Http(_) if self.settings.prefixes_client_key => return Err(Error::KeyPrefixOverHttp),
            Location::Http(url) => {
                Endpoint::Http(Box::new(HttpUpstream::new(url.clone(), self.http, self.settings.timeout)?))
            }
            _ if self.http.ca_file.is_some() => return Err(Error::AuthoritiesWithoutTls),
            _ if self.http.authorization.is_some() => return Err(Error::AuthorizationWithoutHttp),
            Location::Udp(address) => Endpoint::Udp(Resolver::new(address.clone())),
            Location::Tcp(address) => Endpoint::Tcp(Resolver::new(address.clone())),
            Location::Unix(path) => Endpoint::Unix(path.clone()),
        };
        let admission = AdmissionControl::new(
            self.upstream.to_string(),
            self.max_concurrency,
            Circuit::new(self.circuit),
            self.counters,
        );
        Ok(Gateway::new(self.upstream, endpoint, self.settings, self.names, admission))
    }
}

impl fmt::Debug for GatewayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayBuilder").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}
