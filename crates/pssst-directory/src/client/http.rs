//! Requests to the directory, bounded in time and length.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, DATE, ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{RequestBuilder, Url, redirect};
use rustls::ClientConfig;

use crate::Error;

/// Length of the longest entity tag that is remembered, in bytes.
const MAX_ETAG_LEN: usize = 256;

pub(super) struct Http {
    client: reqwest::Client,
    base: Url,
}

/// Response of the directory.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    /// The directory's time, in whole seconds.
    pub(super) date: Option<Timestamp>,
    pub(super) body: Vec<u8>,
}

impl Http {
    pub(super) fn new(url: &str, tls: ClientConfig, timeout: Duration) -> Result<Self, Error> {
        const EXPECTED: Error = Error::Syntax("a URL of https:// and a host, perhaps with a port");
        let base = Url::parse(url).map_err(|_| EXPECTED)?;
        let has_more = base.path() != "/" || base.query().is_some() || base.fragment().is_some();
        let has_user = !base.username().is_empty() || base.password().is_some();
        if base.scheme() != "https" || base.host_str().is_none() || has_more || has_user {
            return Err(EXPECTED);
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(timeout / 3)
            .timeout(timeout)
            .user_agent(concat!("pssst/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(connection)?;
        Ok(Self { client, base })
    }

    pub(super) fn base(&self) -> &str {
        self.base.as_str()
    }

    pub(super) async fn get(&self, path: &str, etag: Option<&str>, limit: usize) -> Result<Answer, Error> {
        let request = self.client.get(self.url(path)?).header(ACCEPT, "application/json");
        // A cache on the way may hold a key that was replaced.
        let request = request.header(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let request = match etag {
            Some(etag) => request.header(IF_NONE_MATCH, etag),
            None => request,
        };
        answer(request, limit).await
    }

    pub(super) async fn post(&self, path: &str, body: Vec<u8>, limit: usize) -> Result<Answer, Error> {
        let octets = HeaderValue::from_static("application/octet-stream");
        answer(self.client.post(self.url(path)?).header(CONTENT_TYPE, octets).body(body), limit).await
    }

    fn url(&self, path: &str) -> Result<Url, Error> {
        self.base.join(path).map_err(|_| Error::Syntax("a path"))
    }
}

async fn answer(request: RequestBuilder, limit: usize) -> Result<Answer, Error> {
    let mut response = request.send().await.map_err(connection)?;
    let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
    let etag = etag.filter(|etag| etag.len() <= MAX_ETAG_LEN).map(str::to_owned);
    let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(connection)? {
        if body.len() + chunk.len() > limit {
            return Err(Error::TooLong { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status().as_u16(), etag, date, body })
}

fn connection(error: reqwest::Error) -> Error {
    Error::Connection(Box::new(error.without_url()))
}
