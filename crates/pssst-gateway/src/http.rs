//! Upstreams that speak HTTP: a message is the body of a POST.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use pssst_net::{Reply, Request};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Response, Url, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::Error;
use crate::gateway::{HttpVersion, StatusRule};
use crate::guard::{Answer, Failure};
use crate::stats::GatewayOutcome;
use crate::target::{Resolver, Target};

const CLIENT_KEY: HeaderName = HeaderName::from_static("pssst-client-key");
const CLIENT_NAME: HeaderName = HeaderName::from_static("pssst-client-name");
const REQUEST_ID: HeaderName = HeaderName::from_static("pssst-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// What is encoded in a name: all that is not printable ASCII, and the sign of the encoding itself.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%').add(b' ');

/// Connections that a worker keeps for its next requests.
const MAX_IDLE: usize = 64;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How an upstream is spoken with, checked.
#[derive(Clone)]
pub(crate) struct Http {
    url: Url,
    tls: ClientConfig,
    version: HttpVersion,
    content_type: HeaderValue,
    authorization: Option<HeaderValue>,
    status_rule: StatusRule,
    trace_parent: Option<TraceParent>,
    resolver: Arc<Resolver>,
    timeout: Duration,
}

/// Where a request's trace goes on.
pub(crate) type TraceParent = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// What a gateway's builder was told about HTTP.
pub(crate) struct HttpOptions {
    pub(crate) content_type: String,
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) version: HttpVersion,
    pub(crate) status_rule: StatusRule,
    pub(crate) trace_parent: Option<TraceParent>,
}

impl Http {
    pub(crate) fn new(url: Url, options: HttpOptions, timeout: Duration) -> Result<Self, Error> {
        let tls = match (url.scheme(), options.ca_file) {
            ("https", None) => tls(Trust::Platform, options.version)?,
            ("https", Some(path)) => tls(Trust::Only(authorities(&std::fs::read(path)?)?), options.version)?,
            (_, None) => tls(Trust::Only(RootCertStore::empty()), options.version)?,
            (_, Some(_)) => {
                return Err(Error::Option { option: "ca_file", what: "authorities are for upstreams of https:" });
            }
        };
        let content_type = HeaderValue::from_str(&options.content_type).map_err(|_| Error::Option {
            option: "content_type",
            what: "this content type cannot stand in a header",
        })?;
        // It is asked for names only; an address in a URL is its own.
        let host =
            format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        let resolver = Arc::new(Resolver(Target::new(host)));
        let HttpOptions { authorization, version, status_rule, trace_parent, .. } = options;
        let http =
            Self { url, tls, version, content_type, authorization, status_rule, trace_parent, resolver, timeout };
        let what = "the system gives no client of HTTP";
        http.client().map(|_| http).map_err(|_| Error::Option { option: "http_version", what })
    }

    /// A client for one worker, since the worker's runtime drives its connections.
    pub(crate) fn client(&self) -> reqwest::Result<Client> {
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
            .pool_max_idle_per_host(MAX_IDLE)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent(concat!("pssst/", env!("CARGO_PKG_VERSION")))
            .build()
    }

    /// Posts a message. Nothing of the headers is the client's: it has but the body.
    pub(crate) async fn ask(
        &self,
        client: &Client,
        request: Request,
        name: Option<String>,
        max_reply: usize,
        is_one_way: bool,
    ) -> Result<Answer, Failure> {
        let mut post = client
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
        // The library tries the preferred address first, and does not say which one it was that it could not connect to.
        let suspicion = self.resolver.0.suspect(None);
        let response = post.body(request.into_message()).send().await.map_err(|error| failure(&error));
        if !matches!(response, Err(Failure(GatewayOutcome::Unreachable))) {
            suspicion.clear();
        }
        let response = response?;
        let status = response.status();
        // Where nobody is told the status, one that is no success is no answer.
        if (self.status_rule == StatusRule::Ok || is_one_way) && !status.is_success() {
            return Ok(Answer::Status { is_failure: status.is_server_error() });
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

/// Reads a body, never more of it than may be in a reply.
async fn read(mut response: Response, mut reply: Vec<u8>, max_reply: usize) -> Result<Vec<u8>, Failure> {
    let room = max_reply.saturating_sub(reply.len()) as u64;
    if response.content_length().is_some_and(|len| len > room) {
        return Err(Failure(GatewayOutcome::TooLarge));
    }
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if reply.len() + chunk.len() > max_reply {
            return Err(Failure(GatewayOutcome::TooLarge));
        }
        reply.extend_from_slice(&chunk);
    }
    if reply.len() > max_reply { Err(Failure(GatewayOutcome::TooLarge)) } else { Ok(reply) }
}

fn failure(error: &reqwest::Error) -> Failure {
    // Its own text has the URL, and its causes say more.
    tracing::debug!(error = ?std::error::Error::source(error), "the upstream gave no answer");
    Failure(if error.is_connect() {
        GatewayOutcome::Unreachable
    } else if is_malformed(error) {
        GatewayOutcome::Malformed
    } else {
        GatewayOutcome::Broken
    })
}

/// Whether what came was no HTTP.
fn is_malformed(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            return error.is_parse() || error.is_parse_too_large() || error.is_parse_status();
        }
        cause = error.source();
    }
    false
}

/// Whom an upstream's certificate must be from.
enum Trust {
    /// Whoever the system trusts.
    Platform,
    Only(RootCertStore),
}

/// TLS 1.3 and nothing else.
fn tls(trust: Trust, version: HttpVersion) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(Error::Trust)?;
    let builder = match trust {
        Trust::Only(authorities) => builder.with_root_certificates(authorities),
        Trust::Platform => {
            let verifier = rustls_platform_verifier::Verifier::new(provider).map_err(Error::Trust)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let mut config = builder.with_no_client_auth();
    let protocols: &[&[u8]] = match version {
        HttpVersion::Auto => &[b"h2", b"http/1.1"],
        HttpVersion::Http1 => &[b"http/1.1"],
        HttpVersion::Http2 => &[b"h2"],
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// The authorities in PEM, at least one.
fn authorities(pem: &[u8]) -> Result<RootCertStore, Error> {
    const EXPECTED: Error =
        Error::Option { option: "ca_file", what: "this file has no certificates of authorities in PEM" };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        store.add(certificate.map_err(|_| EXPECTED)?).map_err(Error::Trust)?;
    }
    if store.is_empty() { Err(EXPECTED) } else { Ok(store) }
}

/// Without the URL's query and the credentials.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("host", &self.url.host_str())
            .field("version", &self.version)
            .field("status_rule", &self.status_rule)
            .finish_non_exhaustive()
    }
}
