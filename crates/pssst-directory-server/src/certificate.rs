//! The directory's certificate, which clients pin or verify.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use pssst_support::{Contents, Source, WatchStatus, atomic_file};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::CertificateError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::Error;
use crate::watched::Watched;
use pssst_directory::Pin;

/// The certificate of a directory with its secret key, from files that may be replaced at any time.
/// Cheap to clone; all clones share one state.
///
/// While the files cannot be read, or do not go together because only one of them was replaced yet,
/// or hold a certificate that has expired, the last good ones stay in use. A
/// [`Directory`](crate::Directory) checks them every second.
///
/// ```
/// use pssst_directory_server::ServerCertificate;
///
/// let certificate = ServerCertificate::self_signed(["directory.example".to_owned(), "192.0.2.1".to_owned()])?;
/// println!("give this to the clients: {}", certificate.pin());
/// # Ok::<(), pssst_directory_server::Error>(())
/// ```
#[derive(Clone)]
pub struct ServerCertificate {
    current: Arc<Watched<CertifiedPair>>,
}

struct CertifiedPair {
    key: Arc<CertifiedKey>,
    pin: Pin,
    expiry: Timestamp,
}

impl ServerCertificate {
    /// From a chain of certificates, the directory's own first, and its secret key, PEM both.
    /// Refuses a key file that other users can read, unless `allow_exposed` is set.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Exposed`], [`Error::TooLong`], [`Error::Syntax`],
    /// [`Error::Certificate`].
    pub fn from_files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>, allow_exposed: bool) -> Result<Self, Error> {
        let sources = vec![Source::new(chain), Source::new(key).secret(!allow_exposed)];
        // The first one may have expired: those who know its pin accept it. None takes its place.
        let is_first = AtomicBool::new(true);
        let parse = move |contents: &[Contents]| {
            let pair = CertifiedPair::parse(contents)?;
            match (pair.expired(), is_first.swap(false, Ordering::Relaxed)) {
                (Some(error), true) => tracing::warn!(%error, "clients that know no pin refuse this directory"),
                (Some(error), false) => return Err(error),
                (None, _) => {}
            }
            Ok(pair)
        };
        Ok(Self { current: Arc::new(Watched::open(sources, parse)?) })
    }

    /// Creates a self-signed certificate for these names or addresses: clients know it by its
    /// [pin](Self::pin) alone. It lives as long as the process does.
    ///
    /// # Errors
    /// [`Error::Syntax`] for what is neither name nor address; [`Error::Certificate`].
    pub fn self_signed(names: impl IntoIterator<Item = String>) -> Result<Self, Error> {
        let key = generate_key()?;
        let certificate = self_sign(&key, names)?;
        let secret = PrivatePkcs8KeyDer::from(key.serialize_der());
        let current = CertifiedPair::new(vec![certificate.der().clone()], secret.into())?;
        Ok(Self { current: Arc::new(Watched::fixed(current)) })
    }

    /// Opens a self-signed certificate in two PEM files, and creates them if they do not exist, so
    /// that its pin outlives the process. For a key without a certificate it creates a certificate
    /// with the same pin.
    ///
    /// # Errors
    /// The errors of [`ServerCertificate::from_files`] and of [`ServerCertificate::self_signed`].
    pub fn self_signed_in_files(
        certificate: &Path,
        key: &Path,
        names: impl IntoIterator<Item = String>,
    ) -> Result<Self, Error> {
        if !key.try_exists()? {
            let pem = Zeroizing::new(generate_key()?.serialize_pem());
            atomic_file::replace(key, 0o600, pem.as_bytes())?;
        }
        if !certificate.try_exists()? {
            // Checked before anything is made of it: no certificate for a key that is refused.
            let pem = Source::new(key).secret(true).read()?;
            let key = str::from_utf8(&pem).ok().and_then(|pem| KeyPair::from_pem(pem).ok()).ok_or(NO_KEY)?;
            atomic_file::replace(certificate, 0o644, self_sign(&key, names)?.pem().as_bytes())?;
        }
        Self::from_files(certificate, key, false)
    }

    /// Returns the pin of the certificate that is held.
    pub fn pin(&self) -> Pin {
        self.current.load().pin
    }

    /// Returns the time at which the certificate that is held expires.
    pub fn expiry(&self) -> Timestamp {
        self.current.load().expiry
    }

    /// Reads the files again, takes what is in them at once, and returns whether that is new.
    /// Blocks.
    ///
    /// # Errors
    /// The errors of [`ServerCertificate::from_files`]; the last good certificate stays.
    pub fn reload(&self) -> Result<bool, Error> {
        self.current.reload()
    }

    pub(crate) fn status(&self) -> impl Iterator<Item = (PathBuf, WatchStatus)> {
        self.current.status()
    }

    /// Returns the file that cannot be used and the cause; `None` while all is well.
    pub fn error(&self) -> Option<String> {
        self.current.error()
    }

    /// Takes what two polls have read. Failures are logged. Blocks.
    pub(crate) fn poll(&self) {
        drop(self.current.poll());
    }

    /// What chooses the certificate for each handshake.
    pub(super) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::new(Resolver(Arc::clone(&self.current)))
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").field("pin", &self.pin()).field("files", &self.current).finish()
    }
}

#[derive(Debug)]
struct Resolver(Arc<Watched<CertifiedPair>>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().key))
    }
}

impl CertifiedPair {
    fn parse(contents: &[Contents]) -> Result<Self, Error> {
        const NO_CHAIN: Error = Error::Syntax("a chain of certificates in PEM");
        let [chain, key] = contents else { return Err(NO_CHAIN) };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|_| NO_CHAIN)?;
        if chain.is_empty() {
            return Err(NO_CHAIN);
        }
        Self::new(chain, PrivateKeyDer::from_pem_slice(key).map_err(|_| NO_KEY)?)
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, Error> {
        const NOT_X509: Error = Error::Syntax("an X.509 certificate");
        let certificate = chain.first().ok_or(Error::Syntax("a certificate"))?;
        let pin = Pin::of(certificate).map_err(|_| NOT_X509)?;
        let expiry = expiry(certificate).ok_or(NOT_X509)?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = CertifiedKey::from_der(chain, key, &provider).map_err(Error::certificate)?;
        Ok(Self { key: Arc::new(key), pin, expiry })
    }

    /// Returns the error that clients see, if the certificate has expired.
    fn expired(&self) -> Option<Error> {
        let seconds =
            |time: Timestamp| UnixTime::since_unix_epoch(Duration::from_secs(time.as_second().unsigned_abs()));
        let (time, not_after) = (Timestamp::now(), self.expiry);
        (time > not_after).then(|| {
            let error = CertificateError::ExpiredContext { time: seconds(time), not_after: seconds(not_after) };
            Error::certificate(rustls::Error::InvalidCertificate(error))
        })
    }
}

/// Returns the end of a certificate's validity.
fn expiry(certificate: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

const NO_KEY: Error = Error::Syntax("the secret key of a certificate in PEM");

fn generate_key() -> Result<KeyPair, Error> {
    KeyPair::generate().map_err(|_| Error::Protocol(pssst::Error::RandomnessUnavailable))
}

fn self_sign(key: &KeyPair, names: impl IntoIterator<Item = String>) -> Result<rcgen::Certificate, Error> {
    const NO_NAME: Error = Error::Syntax("names or addresses of a directory");
    let names: Vec<_> = names.into_iter().collect();
    let mut params = CertificateParams::new(names).map_err(|_| NO_NAME)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "PSSST directory");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.self_signed(key).map_err(|_| NO_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> [String; 2] {
        ["localhost".to_owned(), "127.0.0.1".to_owned()]
    }

    #[test]
    fn a_pin_outlives_process_and_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
        let open = || ServerCertificate::self_signed_in_files(&certificate, &key, names()).unwrap();
        let pin = open().pin();
        assert_eq!(open().pin(), pin);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
            std::fs::remove_file(&certificate).unwrap();
            let set_mode = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
            set_mode(0o644);
            let refused = ServerCertificate::self_signed_in_files(&certificate, &key, names());
            assert!(matches!(refused, Err(Error::Exposed(0o644))) && !certificate.exists());
            set_mode(0o600);
            assert_eq!(open().pin(), pin);
        }
        std::fs::remove_file(&certificate).unwrap();
        assert_eq!(open().pin(), pin);
        assert_ne!(ServerCertificate::self_signed(names()).unwrap().pin(), pin);
    }

    #[test]
    fn files_that_do_not_go_together_change_nothing() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files = |folder: &tempfile::TempDir| (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
        let made = [&one, &other].map(|folder| {
            let (certificate, key) = files(folder);
            ServerCertificate::self_signed_in_files(&certificate, &key, names()).unwrap()
        });
        let (certificate, key) = files(&one);
        let served = ServerCertificate::from_files(&certificate, &key, false).unwrap();
        std::fs::copy(files(&other).0, &certificate).unwrap();
        assert!(matches!(served.reload(), Err(Error::Certificate(_))));
        assert!(served.error().is_some());
        assert_eq!(served.pin(), made[0].pin());
        std::fs::copy(files(&other).1, &key).unwrap();
        assert!(served.reload().unwrap());
        assert_eq!((served.pin(), served.error()), (made[1].pin(), None));
        for (file, bad) in [(&certificate, ""), (&key, ""), (&certificate, "-----BEGIN"), (&key, "x")] {
            let good = std::fs::read(file).unwrap();
            std::fs::write(file, bad).unwrap();
            assert!(matches!(served.reload(), Err(Error::Syntax(_) | Error::File(_))));
            std::fs::write(file, good).unwrap();
        }
        assert!(!served.reload().unwrap());
    }

    #[test]
    fn no_expired_certificate_takes_the_place_of_a_good_one() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
        let served = ServerCertificate::self_signed_in_files(&certificate, &key, names()).unwrap();
        let good = std::fs::read(&certificate).unwrap();
        let pair = KeyPair::from_pem(&std::fs::read_to_string(&key).unwrap()).unwrap();
        let mut params = CertificateParams::new(names()).unwrap();
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        std::fs::write(&certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
        let error = served.reload().unwrap_err().to_string();
        assert!(error.contains("expired"), "{error}");
        assert!(served.expiry() > Timestamp::now());
        // At the start it is better than nothing: pins do not expire.
        let expired = ServerCertificate::from_files(&certificate, &key, false).unwrap();
        assert_eq!(expired.expiry().to_string(), "2020-01-01T00:00:00Z");
        std::fs::write(&certificate, good).unwrap();
        assert!(expired.reload().unwrap() && expired.expiry() > Timestamp::now());
    }

    #[test]
    fn names_that_are_none_are_refused() {
        assert!(matches!(ServerCertificate::self_signed(["ü".to_owned()]), Err(Error::Syntax(_))));
    }
}
