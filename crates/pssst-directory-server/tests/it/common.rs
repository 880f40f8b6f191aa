//! A directory on loopback with a store of its own, and ways to talk to it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pssst::{SecretKey, SysRng};
use pssst_directory::{DirectoryClient, jiff};
use pssst_directory_server::{Directory, DirectoryBuilder, Operators, Schedule, ScheduleFile, ServerCertificate};
use pssst_identity::{AuditEntry, Identity, IdentityStore, ListQuery, SqlStore, Token, TokenGrant, TokenInfo};
use pssst_link::Link;
use pssst_net::{RateLimit, pssst};
pub(crate) use pssst_test::PATIENCE;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

pub(crate) const HOUR: Duration = Duration::from_hours(1);

pub(crate) struct Fixture {
    pub(crate) directory: Directory,
    pub(crate) store: SqlStore,
    /// Of the pool.
    pub(crate) secret: SecretKey,
    pub(crate) schedule: Arc<ScheduleFile>,
    pub(crate) http: reqwest::Client,
    /// `alice`'s.
    pub(crate) operator_token: Zeroizing<String>,
    pub(crate) folder: tempfile::TempDir,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(|builder, _| builder).await
    }

    /// With an admin listener for `alice`, and whatever else.
    pub(crate) async fn with(change: impl FnOnce(DirectoryBuilder, &tempfile::TempDir) -> DirectoryBuilder) -> Self {
        Self::scheduled(|schedule, _| schedule, change).await
    }

    /// With these secrets too.
    pub(crate) async fn scheduled(
        schedule: impl FnOnce(Schedule, Timestamp) -> Schedule,
        change: impl FnOnce(DirectoryBuilder, &tempfile::TempDir) -> DirectoryBuilder,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let secret = SecretKey::generate(&mut SysRng).unwrap();
        let now = Timestamp::now();
        schedule(Schedule::new(secret.clone(), now), now).write(&file("keys.json")).unwrap();
        let schedule = Arc::new(ScheduleFile::open(file("keys.json"), false).unwrap());
        let store = SqlStore::open(&format!("sqlite:{}", file("clients.db").display())).await.unwrap();
        let certificate = ServerCertificate::self_signed_in_files(
            &file("certificate.pem"),
            &file("certificate.key"),
            ["127.0.0.1".to_owned()],
        );
        let (line, operator_token) = Operators::new_credential("alice").unwrap();
        std::fs::write(file("operators"), line + "\n").unwrap();
        let operators = Operators::open(file("operators")).unwrap();
        let unlimited = RateLimit::new(1_000_000);
        let builder = Directory::builder(store.clone(), Arc::clone(&schedule), certificate.unwrap())
            .enrollment_limits(unlimited, unlimited)
            .renewal_limits(unlimited, unlimited);
        let builder = change(builder.operators(operators), &folder);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let bound = builder.bind(any, Some(any)).await.unwrap();
        let (address, pin) = (bound.public_addr().to_string(), *bound.pin().as_bytes());
        bound.set_link(Link { directory: Some(address), pin: Some(pin), ..Link::default() });
        let directory = bound.serve();
        let http = http(tls(&folder.path().join("certificate.pem"), None));
        Self { directory, store, secret, schedule, http, operator_token, folder }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn public(&self, path: &str) -> String {
        format!("https://{}{path}", self.directory.public_addr())
    }

    pub(crate) fn admin(&self, path: &str) -> String {
        format!("https://{}{path}", self.directory.admin_addr().unwrap())
    }

    pub(crate) fn client(&self) -> DirectoryClient {
        DirectoryClient::builder(self.public("")).pin(self.directory.pin()).build().unwrap()
    }

    /// Good for an hour, for this name or for any.
    pub(crate) async fn token(&self, name: Option<&str>) -> Token {
        self.store.create_token(grant(name)).await.unwrap()
    }

    pub(crate) async fn clients(&self) -> Vec<Identity> {
        self.store.list(&ListQuery { limit: 1000, ..ListQuery::default() }).await.unwrap().identities
    }

    pub(crate) async fn token_info(&self, token: &Token) -> TokenInfo {
        let tokens = self.store.tokens(false, 1000).await.unwrap();
        tokens.into_iter().find(|info| info.id == token.id()).unwrap()
    }

    /// The latest entry of the audit log.
    pub(crate) async fn last_entry(&self) -> AuditEntry {
        self.store.audit_log(None, 1).await.unwrap().remove(0)
    }
}

pub(crate) fn grant(name: Option<&str>) -> TokenGrant {
    TokenGrant {
        name: name.map(str::to_owned),
        labels: [("site".to_owned(), "berlin".to_owned())].into(),
        expires: Timestamp::now() + HOUR,
        client_expires: None,
    }
}

/// TLS that trusts the certificate in this file, and shows this one (chain and key, PEM).
pub(crate) fn tls(trusted: &std::path::Path, identity: Option<(&str, &str)>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

pub(crate) fn http(tls: ClientConfig) -> reqwest::Client {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .unwrap()
}
