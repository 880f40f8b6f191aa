//! Headers of every answer, for browsers and caches.

use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::response::Response;

/// No script at all, and nothing from elsewhere.
const ADMIN_POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// There is nothing to show.
const PUBLIC_POLICY: &str = "default-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

pub(super) async fn of_public(mut response: Response) -> Response {
    set(&mut response, CONTENT_SECURITY_POLICY, PUBLIC_POLICY);
    set(&mut response, REFERRER_POLICY, "no-referrer");
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

pub(super) async fn of_admin(mut response: Response) -> Response {
    set(&mut response, CONTENT_SECURITY_POLICY, ADMIN_POLICY);
    // No other origin learns of any address here. (With `no-referrer` browsers would hide even from
    // us where a form was sent from: their `Origin` would be `null`.)
    set(&mut response, REFERRER_POLICY, "same-origin");
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, CACHE_CONTROL, "no-store");
    set(&mut response, HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(&mut response, HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    response
}

fn set(response: &mut Response, name: HeaderName, value: &'static str) {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}
