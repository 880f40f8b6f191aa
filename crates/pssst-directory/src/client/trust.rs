//! Whom a client takes for its directory.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, PeerIncompatible, RootCertStore, SignatureScheme};

use crate::{Error, Pin};

/// Whom a client takes for its directory.
#[derive(Debug)]
pub(super) enum Trust {
    /// Whom the system trusts.
    Platform,
    /// Whom the authorities in a PEM file have signed.
    File(PathBuf),
    /// The same without a file.
    Pem(Vec<u8>),
    /// Whoever has this key.
    Pin(Pin),
}

impl Trust {
    /// How to connect: TLS 1.3 and nothing else.
    pub(super) fn config(self) -> Result<ClientConfig, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(Error::Trust)?;
        let builder = match self {
            Self::File(path) => builder.with_root_certificates(authorities(&std::fs::read(path)?)?),
            Self::Pem(pem) => builder.with_root_certificates(authorities(&pem)?),
            Self::Platform => {
                let verifier = rustls_platform_verifier::Verifier::new(provider).map_err(Error::Trust)?;
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            Self::Pin(pin) => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(PinVerifier { pin, provider }))
            }
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// The authorities in PEM, at least one.
pub(crate) fn authorities(pem: &[u8]) -> Result<RootCertStore, Error> {
    const EXPECTED: Error = Error::Syntax("certificates of authorities in PEM");
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        store.add(certificate.map_err(|_| EXPECTED)?).map_err(Error::Trust)?;
    }
    if store.is_empty() { Err(EXPECTED) } else { Ok(store) }
}

/// Looks at the key of a certificate and at nothing else; the handshake proves that the other side has it.
#[derive(Debug)]
struct PinVerifier {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pin = Pin::of(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        if pin == self.pin {
            return Ok(ServerCertVerified::assertion());
        }
        tracing::warn!(expected = %self.pin, found = %pin, "another certificate than the directory's");
        Err(CertificateError::ApplicationVerificationFailure.into())
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
