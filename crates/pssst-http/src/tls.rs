//! Connections by TLS 1.3.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::connection::Context;
use crate::stats::HttpEvent;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Configuration of TLS 1.3: the listener's certificate, and with or without client certificates.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl Tls {
    /// Serves the certificate that the resolver returns for each handshake, so that it can be
    /// replaced at any time. Clients are not asked for a certificate.
    ///
    /// # Errors
    /// The errors of rustls.
    pub fn new(certificate: Arc<dyn ResolvesServerCert>) -> Result<Self, rustls::Error> {
        Self::with_clients(certificate, WebPkiClientVerifier::no_client_auth())
    }

    /// Like [`Tls::new`], and requests client certificates for this verifier.
    ///
    /// # Errors
    /// The errors of rustls.
    pub fn with_clients(
        certificate: Arc<dyn ResolvesServerCert>,
        clients: Arc<dyn ClientCertVerifier>,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(certificate);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Every handshake is a full one, and so shows the certificates of the day: clients connect
        // seldom.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Returns the encrypted stream, and the client's certificates.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        address: IpAddr,
        context: &Context,
    ) -> Option<(TlsStream<TcpStream>, Vec<Vec<u8>>)> {
        let handshake = timeout(HANDSHAKE_TIMEOUT, self.0.accept(stream));
        match context.stop.run_until_cancelled(handshake).await? {
            Ok(Ok(stream)) => {
                let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
                let certificates = certificates.iter().map(|certificate| certificate.to_vec()).collect();
                Some((stream, certificates))
            }
            Ok(Err(error)) => {
                context.counters.add(HttpEvent::HandshakeFailed);
                tracing::debug!(%address, %error, "no TLS handshake");
                None
            }
            Err(_) => {
                context.counters.add(HttpEvent::HandshakeTimedOut);
                None
            }
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
