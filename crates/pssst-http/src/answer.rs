//! The functions that answer requests.

use std::error::Error;
use std::net::IpAddr;

use http_body_util::Limited;
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};

/// The body of a request. Reading it fails when it is longer than the listener allows.
pub type RequestBody = Limited<Incoming>;

/// The peer of a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Peer {
    /// Its address. IPv4 addresses are not mapped into IPv6.
    pub address: IpAddr,
    /// The certificates with which it authenticated, DER, its own first; empty without them.
    pub certificates: Vec<Vec<u8>>,
}

impl Peer {
    pub(crate) fn new(address: IpAddr) -> Self {
        Self { address: address.to_canonical(), certificates: Vec::new() }
    }
}

/// Answers the requests of one connection: a function from a request to a future of its response.
///
/// The empty body, `Body::default()`, is sent with the status 408 when there is no answer in time.
pub trait Answer: Send + Sync + 'static {
    /// The body of a response.
    type Body: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Default + Send + 'static;

    /// Answers a request.
    fn answer(&self, request: Request<RequestBody>) -> impl Future<Output = Response<Self::Body>> + Send + 'static;
}

impl<F, R, B> Answer for F
where
    F: Fn(Request<RequestBody>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Default + Send + 'static,
{
    type Body = B;

    fn answer(&self, request: Request<RequestBody>) -> impl Future<Output = Response<B>> + Send + 'static {
        self(request)
    }
}
