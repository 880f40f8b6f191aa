//! The one way to be a client of TLS: version 1.3 and nothing else.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, PeerIncompatible, RootCertStore, SignatureScheme};

use crate::byte_order_mark;

/// How a client authenticates its server.
#[expect(clippy::exhaustive_enums, reason = "callers make it, and never match it")]
pub enum Trust {
    /// The system's authorities.
    System,
    /// By these authorities only.
    Authorities(RootCertStore),
    /// By the key in its certificate, whatever else that says. The handshake proves that the server
    /// has the key.
    Key(KeyCheck),
}

/// Accepts a certificate by its key, or says why not.
pub type KeyCheck = Box<dyn Fn(&CertificateDer<'_>) -> Result<(), rustls::Error> + Send + Sync>;

/// Why a text is not a list of authorities.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "each cause has a meaning of its own to its reader")]
pub enum AuthoritiesError {
    /// It contains no certificate in PEM, or one that is cut or garbled.
    NoCertificates,
    /// A certificate cannot be an authority.
    Invalid(rustls::Error),
}

/// Returns the configuration of a client that offers these protocols (ALPN), the preferred one
/// first.
///
/// # Errors
/// When the system has no authorities that can be used.
pub fn client_config(trust: Trust, protocols: &[&str]) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::System => Arc::new(rustls_platform_verifier::Verifier::new(provider)?),
        Trust::Key(check) => Arc::new(KeyVerifier { check, provider }),
        Trust::Authorities(authorities) => {
            let config = builder.with_root_certificates(authorities).with_no_client_auth();
            return Ok(with_protocols(config, protocols));
        }
    };
    let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    Ok(with_protocols(config, protocols))
}

fn with_protocols(mut config: ClientConfig, protocols: &[&str]) -> ClientConfig {
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

/// Reads authorities in PEM, at least one. A byte-order mark before them is passed over.
///
/// # Errors
/// [`AuthoritiesError`].
pub fn authorities(pem: &[u8]) -> Result<RootCertStore, AuthoritiesError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(byte_order_mark::strip(pem)) {
        let certificate = certificate.map_err(|_| AuthoritiesError::NoCertificates)?;
        store.add(certificate).map_err(AuthoritiesError::Invalid)?;
    }
    if store.is_empty() { Err(AuthoritiesError::NoCertificates) } else { Ok(store) }
}

impl fmt::Display for AuthoritiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificates => f.write_str("no certificates of authorities in PEM"),
            Self::Invalid(error) => write!(f, "a certificate cannot be an authority: {error}"),
        }
    }
}

impl std::error::Error for AuthoritiesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoCertificates => None,
            Self::Invalid(error) => Some(error),
        }
    }
}

struct KeyVerifier {
    check: KeyCheck,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for KeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        (self.check)(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for KeyVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyVerifier").finish_non_exhaustive()
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Authorities(_) => "Authorities",
            Self::Key(_) => "Key",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_without_authorities_are_refused() {
        for text in [&b""[..], b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            assert!(matches!(authorities(text), Err(AuthoritiesError::NoCertificates)));
        }
        let garbled = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(authorities(garbled), Err(AuthoritiesError::Invalid(_))));
    }

    #[test]
    fn protocols_are_offered_in_their_order() {
        let config = client_config(Trust::Authorities(RootCertStore::empty()), &["h2", "http/1.1"]).unwrap();
        assert_eq!(config.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
        assert!(!config.enable_early_data);
    }
}
