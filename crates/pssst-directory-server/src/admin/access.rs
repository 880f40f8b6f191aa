//! Authentication of operators, and protection against forged forms.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pssst_directory::Pin;
use pssst_identity::SqlStore;
use zeroize::Zeroizing;

use super::authorities::Authorities;
use super::operators::Operators;
use crate::peer::Peer;
use crate::state::Shared;
use crate::stats::DirectoryEvent;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Asks a browser for name and token.
pub(super) const BASIC: &str = "Basic realm=\"PSSST directory\", charset=\"UTF-8\"";
const CERTIFICATE_PREFIX: &str = "cert:";

/// An operator who was let in.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    /// Of its line in the file, or `cert:` and the pin of its certificate.
    pub(super) name: String,
    /// That writes this name into its audit log.
    pub(super) store: SqlStore,
}

impl Operator {
    /// Returns whether a certificate let it in. No token's name has a colon.
    pub(super) fn is_by_certificate(&self) -> bool {
        self.name.starts_with(CERTIFICATE_PREFIX)
    }
}

/// Admits authenticated operators, and forms only from the directory's own pages.
pub(super) async fn guard(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let name = match identify(&shared, &peer, request.headers()) {
        Identified::Operator(name) => name,
        Identified::Nobody => {
            shared.counters.add(DirectoryEvent::OperatorUnknown);
            return challenge(request.uri().path());
        }
        Identified::Stranger => return refuse(&shared, peer.address, request.uri().path()),
    };
    if is_unsafe(request.method()) && !is_same_origin(request.headers()) {
        shared.counters.add(DirectoryEvent::CrossOriginRefused);
        tracing::warn!(operator = %name, path = request.uri().path(), "a page of another origin sent a form");
        return (StatusCode::FORBIDDEN, "this form was sent by a page of another origin\n").into_response();
    }
    shared.counters.add(DirectoryEvent::OperatorAdmitted);
    let store = shared.store.with_actor(&name);
    request.extensions_mut().insert(Operator { name, store });
    next.run(request).await
}

enum Identified {
    Operator(String),
    /// A wrong credential, whatever else there was.
    Stranger,
    /// No credential.
    Nobody,
}

fn identify(shared: &Shared, peer: &Peer, headers: &HeaderMap) -> Identified {
    let mut credentials = headers.get_all(AUTHORIZATION).iter();
    let name = match (credentials.next(), credentials.next(), &*peer.certificates) {
        (None, _, []) => return Identified::Nobody,
        (None, _, chain) => shared.authorities.as_ref().and_then(|authorities| by_certificate(authorities, chain)),
        (Some(credential), None, _) => shared.operators.as_ref().and_then(|operators| by_token(operators, credential)),
        (Some(_), Some(_), _) => None,
    };
    name.map_or(Identified::Stranger, Identified::Operator)
}

/// Returns `cert:` and the pin of the first certificate, if the authorities accept it now.
fn by_certificate(authorities: &Authorities, chain: &[Vec<u8>]) -> Option<String> {
    let pin = Pin::of(chain.first()?).ok()?;
    authorities.accept(chain).then(|| format!("{CERTIFICATE_PREFIX}{pin}"))
}

/// `Bearer TOKEN`, or `Basic` and base64 of `NAME:TOKEN`.
fn by_token(operators: &Operators, credential: &HeaderValue) -> Option<String> {
    let (scheme, value) = credential.to_str().ok()?.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return operators.find(value);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(value).ok()?);
    let (name, token) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    operators.find(token).filter(|found| found == name)
}

/// What asks a browser for name and token. A program gets a challenge for its token.
fn challenge(path: &str) -> Response {
    let scheme = if path.starts_with("/v1/") { "Bearer realm=\"PSSST directory\"" } else { BASIC };
    let headers = [(WWW_AUTHENTICATE, scheme)];
    (StatusCode::UNAUTHORIZED, headers, "an operator's name and token are needed\n").into_response()
}

fn refuse(shared: &Shared, address: IpAddr, path: &str) -> Response {
    // This never delays good credentials, even from the same address as bad ones.
    if !shared.failed_logins.admit(address) {
        shared.counters.add(DirectoryEvent::OperatorRateLimited);
        let headers = [(RETRY_AFTER, "10")];
        return (StatusCode::TOO_MANY_REQUESTS, headers, "too many failed logins from this address\n").into_response();
    }
    shared.counters.add(DirectoryEvent::OperatorRefused);
    shared.wrong_credentials.add(address, None);
    challenge(path)
}

fn is_unsafe(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// Browsers send credentials along, whichever page a form comes from; but they also say which it
/// was, and no page can make them lie. A request without these headers is not from a browser.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let sites = headers.get_all(SEC_FETCH_SITE);
    let is_site_good = sites.iter().all(|site| site == "same-origin" || site == "none");
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_origin_good = headers.get_all(ORIGIN).iter().all(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("https://"));
        origin.is_some_and(|origin| !host.is_empty() && origin.eq_ignore_ascii_case(host))
    });
    is_site_good && is_origin_good
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_may_send_forms() {
        for (site, origin, expected) in [
            (None, None, true),
            (Some("same-origin"), Some("https://keys.example:8444"), true),
            (Some("none"), None, true),
            (None, Some("https://KEYS.example:8444"), true),
            (Some("same-site"), None, false),
            (Some("cross-site"), Some("https://keys.example:8444"), false),
            (Some("same-origin"), Some("https://evil.example"), false),
            (None, Some("http://keys.example:8444"), false),
            (None, Some("https://keys.example"), false),
            (None, Some("null"), false),
            (None, Some(""), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("keys.example:8444"));
            for (name, value) in [(SEC_FETCH_SITE, site), (ORIGIN, origin)] {
                headers.extend(value.map(|value| (name, HeaderValue::from_static(value))));
            }
            assert_eq!(is_same_origin(&headers), expected, "{site:?} {origin:?}");
        }
        let origin = [(ORIGIN, HeaderValue::from_static("https://"))];
        assert!(!is_same_origin(&origin.into_iter().collect()));
    }
}
