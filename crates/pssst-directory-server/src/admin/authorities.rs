//! The authorities that sign operators' certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pssst_support::tls::{self, AuthoritiesError};
use pssst_support::{Contents, Source, WatchStatus};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};

use crate::Error;
use crate::watched::Watched;

/// Authorities in a PEM file that may be replaced at any time, also to revoke certificates.
#[derive(Clone, Debug)]
pub(crate) struct Authorities(Arc<Watched<Arc<dyn ClientCertVerifier>>>);

impl Authorities {
    /// Opens the file. Operators without a certificate are let in if `is_optional`.
    pub(crate) fn open(path: &Path, is_optional: bool) -> Result<Self, Error> {
        let parse = move |contents: &[Contents]| {
            let pem: &[u8] = contents.first().map_or(&[], |contents| contents);
            let roots = tls::authorities(pem).map_err(|error| match error {
                AuthoritiesError::Invalid(error) => Error::certificate(error),
                AuthoritiesError::NoCertificates => Error::Syntax("certificates of authorities in PEM"),
            })?;
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if is_optional { verifier.allow_unauthenticated() } else { verifier };
            let verifier: Arc<dyn ClientCertVerifier> = verifier.build().map_err(Error::certificate)?;
            Ok(verifier)
        };
        Ok(Self(Arc::new(Watched::open(vec![Source::new(path)], parse)?)))
    }

    /// Returns whether the authorities of this moment have signed a certificate that is valid now:
    /// a connection may be older than both.
    pub(crate) fn accept(&self, chain: &[Vec<u8>]) -> bool {
        let chain: Vec<_> = chain.iter().map(|certificate| CertificateDer::from(&certificate[..])).collect();
        let Some((certificate, intermediates)) = chain.split_first() else { return false };
        self.0.load().verify_client_cert(certificate, intermediates, UnixTime::now()).is_ok()
    }

    /// Returns what asks clients for certificates and checks them, always by the file of this
    /// moment.
    pub(crate) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::new(self.clone())
    }

    /// Takes what two polls have read. Failures are logged. Blocks.
    pub(crate) fn poll(&self) {
        drop(self.0.poll());
    }

    pub(crate) fn status(&self) -> impl Iterator<Item = (PathBuf, WatchStatus)> {
        self.0.status()
    }
}

impl ClientCertVerifier for Authorities {
    fn client_auth_mandatory(&self) -> bool {
        self.0.load().client_auth_mandatory()
    }

    /// None: hints are optional, and those of the file would have to live as long as this.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.0.load().verify_client_cert(certificate, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.load().verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.load().verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.load().supported_verify_schemes()
    }
}
