//! From a connection to the router.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use pssst_http::{Listener, RequestBody, Server};
use tower_service::Service;

/// The other end of a connection, for handlers.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// Its certificates, its own first.
    pub(crate) certificates: Arc<[Vec<u8>]>,
}

/// Serves this router, whose handlers get a [`Peer`] as an extension.
pub(crate) fn serve(listener: Listener, router: Router) -> Server {
    listener.serve(move |peer| {
        let peer = Peer { address: peer.address, certificates: peer.certificates.into() };
        let router = router.clone();
        move |request: Request<RequestBody>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            // A router is always ready.
            let answer = router.clone().call(request);
            async { answer.await.unwrap_or_else(|never| match never {}) }
        }
    })
}
