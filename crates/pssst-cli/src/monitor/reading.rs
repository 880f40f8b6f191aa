//! Metrics and health of a service at one time, read over HTTP within limits.

use std::error::Error as _;
use std::io;
use std::time::Instant;

use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{DATE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use pssst_service::Failure;
use pssst_service::metrics_page::{MAX_PAGE_LEN, MetricsPage};
use tokio::net::TcpStream;

use super::endpoint::Endpoint;

/// The longest list of reasons in /livez and /readyz.
const MAX_HEALTH_LEN: usize = 64 << 10;

/// The metrics and health of a service at one time.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(super) page: MetricsPage,
    pub(super) not_live: Vec<String>,
    pub(super) not_ready: Vec<String>,
    /// The time on the clock of this process, and of the service's machine.
    pub(super) taken: Instant,
    pub(super) date: Timestamp,
}

struct Answer {
    status: StatusCode,
    date: Option<Timestamp>,
    body: String,
}

/// Why an answer is of no use.
enum Fault {
    Connect(io::Error),
    Http(hyper::Error),
    TooLong,
    NotText,
}

impl Reading {
    /// Returns how many files the service may open.
    pub(crate) fn max_open_files(&self) -> Option<u64> {
        self.page.count("process_max_fds")
    }

    pub(super) fn started(&self) -> Option<Timestamp> {
        self.timestamp("process_start_time_seconds")
    }

    /// Returns the time since the service started, on its machine's clock.
    pub(super) fn uptime(&self) -> Option<f64> {
        let uptime = self.date.duration_since(self.started()?).as_secs_f64();
        (uptime >= 0.0).then_some(uptime)
    }

    /// Returns whether another process, or another service, took this one's place since.
    pub(crate) fn has_restarted_since(&self, earlier: &Self) -> bool {
        self.started() != earlier.started()
    }

    /// Returns a time that is shown in seconds since 1970.
    #[expect(clippy::cast_possible_truncation, reason = "jiff refuses what is out of its range")]
    pub(super) fn timestamp(&self, name: &str) -> Option<Timestamp> {
        Timestamp::from_second(self.page.value(name)? as i64).ok()
    }
}

impl Endpoint {
    /// Reads what the service shows now.
    pub(crate) async fn read(&self) -> Result<Reading, Failure> {
        // First, so that a fault names this page.
        let answer = self.get("/metrics", MAX_PAGE_LEN).await?;
        let taken = Instant::now();
        let url = format!("{}/metrics", self.url());
        let other = "give the address that the service prints as `metrics at`";
        if answer.status != StatusCode::OK {
            return Err(Failure::new(format!("{url} answers {}", answer.status), other));
        }
        let page = MetricsPage::parse(&answer.body).map_err(|error| {
            Failure::new(format!("{url} does not show metrics of a service of PSSST: {error}"), other)
        })?;
        if page.label("pssst_build_info", "version").is_none() {
            let what = format!("{url} does not show metrics of a service of PSSST: there is no pssst_build_info");
            return Err(Failure::new(what, other));
        }
        let (not_live, not_ready) = tokio::try_join!(self.reasons("/livez"), self.reasons("/readyz"))?;
        Ok(Reading { page, not_live, not_ready, taken, date: answer.date.unwrap_or_else(Timestamp::now) })
    }

    /// Returns the page of metrics as it is.
    pub(crate) async fn page(&self) -> Result<String, Failure> {
        self.get("/metrics", MAX_PAGE_LEN).await.map(|answer| answer.body)
    }

    /// Returns the reasons of a health check that fails.
    async fn reasons(&self, path: &str) -> Result<Vec<String>, Failure> {
        let answer = self.get(path, MAX_HEALTH_LEN).await?;
        Ok(match answer.status {
            StatusCode::OK => Vec::new(),
            StatusCode::SERVICE_UNAVAILABLE => answer.body.lines().map(Into::into).collect(),
            status => vec![format!("{path} answers {status}")],
        })
    }

    async fn get(&self, path: &str, limit: usize) -> Result<Answer, Failure> {
        let url = || format!("{}{path}", self.url());
        match tokio::time::timeout(self.timeout, self.request(path, limit)).await {
            Ok(answer) => answer.map_err(|fault| fault.into_failure(&url(), limit)),
            Err(_) => Err(Failure::no_reply(
                format!("{} does not answer within {} s", url(), self.timeout.as_secs_f64()),
                "check the address, the machine and its firewall, or wait longer with --timeout",
            )),
        }
    }

    async fn request(&self, path: &str, limit: usize) -> Result<Answer, Fault> {
        let stream = TcpStream::connect(&self.addresses[..]).await.map_err(Fault::Connect)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Fault::Http)?;
        let request = Request::get(path).header(HOST, &self.authority).body(Empty::<Bytes>::new());
        // Only a host with characters that no header can have.
        let request = request.map_err(|error| Fault::Connect(io::Error::other(error)))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(Fault::Http)?;
            let (head, body) = response.into_parts();
            let body =
                Limited::new(body, limit).collect().await.map_err(|error| match error.downcast::<hyper::Error>() {
                    Ok(error) => Fault::Http(*error),
                    Err(error) if error.is::<LengthLimitError>() => Fault::TooLong,
                    Err(error) => Fault::Connect(io::Error::other(error)),
                })?;
            let date = head.headers.get(DATE).and_then(|date| date.to_str().ok());
            let date = date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
            let body = String::from_utf8(body.to_bytes().into()).map_err(|_| Fault::NotText)?;
            Ok(Answer { status: head.status, date, body })
        };
        tokio::pin!(exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            // Its fault is the exchange's.
            _ = connection => exchange.await,
        }
    }
}

impl Fault {
    fn into_failure(self, url: &str, limit: usize) -> Failure {
        let other = "give the address that the service prints as `metrics at`";
        match self {
            Self::Connect(error) => Failure::new(
                format!("cannot connect to {url}: {error}"),
                "check that the service runs, and that it was started with --metrics and this address, such as \
                 --metrics 127.0.0.1:9100",
            ),
            Self::Http(error) => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                Failure::new(format!("{url} gives no answer of HTTP: {error}{cause}"), other)
            }
            Self::TooLong => Failure::new(format!("{url} answers with more than {limit} bytes"), other),
            Self::NotText => Failure::new(format!("{url} answers with other bytes than UTF-8"), other),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    pub(crate) fn endpoint() -> Endpoint {
        Endpoint { authority: "a:1".into(), addresses: Vec::new(), timeout: Duration::from_secs(1) }
    }

    /// A server that started at second 1000, read at this second.
    pub(crate) fn reading(start: Instant, second: u64, more: &str) -> Reading {
        let text = format!(
            "pssst_build_info{{service=\"serve\",version=\"1.2.3\"}} 1\nprocess_start_time_seconds 1000.0\n{more}# EOF\n"
        );
        Reading {
            page: MetricsPage::parse(&text).unwrap(),
            not_live: Vec::new(),
            not_ready: Vec::new(),
            taken: start + Duration::from_secs(second),
            date: Timestamp::from_second(second.try_into().unwrap()).unwrap(),
        }
    }
}
