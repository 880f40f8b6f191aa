//! From a connection to the router.

use std::net::IpAddr;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use pssst_directory::Pin;
use pssst_http::{Listener, RequestBody, Server};
use tower_service::Service;

/// The other end of a connection, for handlers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// Of its certificate, which the authority of the operators has signed.
    pub(crate) certificate: Option<Pin>,
}

/// Serves this router, whose handlers get a [`Peer`] as an extension.
pub(crate) fn serve(listener: Listener, router: Router) -> Server {
    listener.serve(move |peer| {
        let certificate = peer.certificate.and_then(|certificate| Pin::of(&certificate).ok());
        let peer = Peer { address: peer.address, certificate };
        let router = router.clone();
        move |request: Request<RequestBody>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            // A router is always ready.
            let answer = router.clone().call(request);
            async { answer.await.unwrap_or_else(|never| match never {}) }
        }
    })
}
