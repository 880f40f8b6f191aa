//! Options of the load, and their checks.

use std::path::PathBuf;
use std::time::Duration;

use clap::value_parser;
use pssst_net::udp::MAX_DATAGRAM;

use crate::args::key_file;
use crate::args::sealing::SealingOptions;
use crate::args::server_key::ServerOptions;
use pssst::{Client, Padding, Suite};
use pssst_bench::Plan;
use pssst_service::Failure;
use pssst_service::durations;

/// Measure how many requests a server answers, and how quickly.
///
/// It seals the requests before the clock starts, so that the generator is seldom the limit.
/// Without --rate it keeps a fixed number of requests in flight (closed loop). With --rate it sends
/// requests at fixed times (open loop) and measures latency from these times, so that a stalled
/// server is charged for every request that waits.
///
/// At SIGINT (Ctrl-C) or SIGTERM it prints what was measured so far, marked as stopped early, and
/// ends with exit code 0.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) server: ServerOptions,
    /// Secret key of authenticated requests, or a precomputed identity (`pssst precompute`).
    #[arg(long, value_name = "FILE")]
    pub(super) identity: Option<PathBuf>,
    #[command(flatten)]
    pub(super) sealing: SealingOptions,
    /// Requests in flight [default: 64]; with --rate, the most that may be in flight [default: all
    /// that are prepared].
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    concurrency: Option<u32>,
    /// Size of a request's message.
    #[arg(long, value_name = "BYTES", default_value = "32")]
    pub(super) size: usize,
    /// How long to measure.
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = durations::timeout)]
    pub(super) duration: Duration,
    /// Send this many requests per second, evenly spaced (open loop).
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub(super) rate: Option<f64>,
    /// Share of authenticated requests, from 0 to 1 [default: 1 with --identity, else 0].
    #[arg(long, value_name = "SHARE", value_parser = share)]
    authenticated_share: Option<f64>,
    /// Share of junk among all packets, from 0 to 0.99. Junk is as long as a request and costs the
    /// server as much, and is never answered.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = junk_share)]
    junk: f64,
    /// Number of local ports to send from. A server spreads clients over its cores by port, so that
    /// several are needed to load all cores.
    #[arg(long, value_name = "N", default_value = "8", value_parser = value_parser!(u32).range(1..=1024))]
    sockets: u32,
    /// Count a request as lost after this time. Nothing is sent again.
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = durations::timeout)]
    pub(super) timeout: Duration,
    /// Time under load before the measurement starts.
    #[arg(long, value_name = "SPAN", default_value = "200ms", value_parser = durations::timeout_or_none)]
    pub(super) warmup: Duration,
    /// Number of different requests to seal beforehand [default: 200,000, fewer if they are long or
    /// --rate needs fewer]. That is more than the default reply cache of `pssst serve` holds, so
    /// that the server opens every request.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    requests_prepared: Option<u32>,
    /// Draw the latencies in this file.
    #[arg(long, value_name = "FILE.svg")]
    pub(super) plot: Option<PathBuf>,
    /// Print the result as one JSON object.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) access: key_file::Access,
}

/// Default number of requests in flight in a closed loop.
const CONCURRENCY: usize = 64;
/// Default number of requests to prepare.
const PREPARED: usize = 200_000;
/// Bytes that prepared requests may take.
const MAX_PREPARED_LEN: usize = 1 << 30;

impl Args {
    /// Checks what no option can check alone.
    pub(super) fn plan(&self, suite: Suite) -> Result<Plan, Failure> {
        let all_or_none = if self.identity.is_some() { 1.0 } else { 0.0 };
        let authenticated_share = self.authenticated_share.unwrap_or(all_or_none);
        if authenticated_share > 0.0 && self.identity.is_none() {
            return Err(Failure::usage(
                "authenticated requests need a client's key",
                "give its file with --identity; `pssst keygen --out FILE` makes one",
            ));
        }
        let overhead = suite.request_overhead(authenticated_share > 0.0);
        if self.size > MAX_DATAGRAM - overhead {
            return Err(Failure::usage(
                format!("a message of {} bytes does not fit into a datagram", self.size),
                format!("a request is a single datagram: give at most {} with --size", MAX_DATAGRAM - overhead),
            ));
        }

        let padded_len = match self.sealing.padding() {
            Some(Padding::ToLength(len)) => len,
            None if suite == Suite::XWingAes256GcmSiv => Client::DEFAULT_PADDED_LEN,
            _ => 0,
        };
        let most = MAX_PREPARED_LEN / (self.size + overhead).max(padded_len);
        let concurrency = self.concurrency.map(in_memory);
        let prepared = match self.requests_prepared.map(in_memory) {
            Some(prepared) => prepared,
            None => self.most_sent().min(PREPARED).min(most).max(concurrency.unwrap_or(0)),
        };
        if prepared > most {
            return Err(Failure::usage(
                format!("{prepared} requests of this size take too much memory"),
                format!("give at most {most} with --requests-prepared and --concurrency, or a smaller --size"),
            ));
        }
        let default = if self.rate.is_some() { prepared } else { CONCURRENCY.min(prepared) };
        let concurrency = concurrency.unwrap_or(default);
        if concurrency > prepared {
            return Err(Failure::usage(
                format!("{concurrency} requests in flight, but only {prepared} prepared"),
                "each prepared request is in flight once at most: raise --requests-prepared, or lower --concurrency",
            ));
        }
        Ok(Plan {
            connections: self.sockets.min(u32::try_from(concurrency).unwrap_or(u32::MAX)),
            concurrency,
            prepared,
            authenticated_share,
            junk_per_request: self.junk / (1.0 - self.junk),
            size: self.size,
            suite,
            rate: self.rate,
            warmup: self.warmup,
            duration: self.duration,
            timeout: self.timeout,
        })
    }

    /// Returns how many requests are sent at most, as far as that is known beforehand.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and it saturates")]
    fn most_sent(&self) -> usize {
        let seconds = (self.warmup + self.duration).as_secs_f64();
        self.rate.map_or(usize::MAX, |rate| (rate * seconds).ceil() as usize + CONCURRENCY)
    }
}

fn in_memory(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e7).contains(&rate) => Ok(rate),
        _ => Err("give a number of requests a second from 0.001 to 10000000".into()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("give a share from 0 to 1".into()),
    }
}

fn junk_share(text: &str) -> Result<f64, String> {
    share(text).ok().filter(|share| *share <= 0.99).ok_or_else(|| "give a share from 0 to 0.99".into())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn plan(options: &str) -> Result<Plan, Failure> {
        let words = ["bench", "--server", "localhost:1", "--server-key", "abc"].into_iter();
        Cli::try_parse_from(words.chain(options.split_whitespace())).unwrap().args.plan(Suite::X25519AesGcm128)
    }

    #[test]
    fn defaults_follow_from_each_other() {
        let closed = Plan {
            connections: 8,
            concurrency: 64,
            prepared: 200_000,
            authenticated_share: 0.0,
            junk_per_request: 0.0,
            ..plan("").unwrap()
        };
        assert_eq!(plan("").unwrap(), closed);
        assert_eq!(plan("--rate 1000").unwrap().concurrency, 5264);
        assert_eq!(plan("--rate 1000 --duration 10m").unwrap().concurrency, 200_000);
        assert_eq!(plan("--rate 1000 --concurrency 9").unwrap().concurrency, 9);
        assert_eq!(plan("--identity FILE").unwrap().authenticated_share.to_bits(), 1.0_f64.to_bits());
        assert_eq!(plan("--concurrency 300000").unwrap().prepared, 300_000);
        assert_eq!(plan("--concurrency 3").unwrap().connections, 3);
        assert_eq!(plan("--requests-prepared 5").unwrap().concurrency, 5);
        assert!((plan("--junk 0.75").unwrap().junk_per_request - 3.0).abs() < 1e-12);
        assert_eq!(plan("--size 65455").unwrap().prepared, (1 << 30) / 65_507);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for options in [
            "--authenticated-share 0.5",
            "--size 65456",
            "--identity FILE --size 65392",
            "--concurrency 6 --requests-prepared 5",
            "--requests-prepared 4000000000",
            "--size 60000 --concurrency 20000",
        ] {
            assert!(plan(options).is_err(), "{options}");
        }
    }

    #[test]
    fn shares_and_rates_are_bounded() {
        assert_eq!((share("0"), share("1"), junk_share("0.99")), (Ok(0.0), Ok(1.0), Ok(0.99)));
        assert_eq!(rate("0.5"), Ok(0.5));
        for text in ["", "-0.1", "1.01", "NaN", "inf", "half"] {
            assert!(share(text).is_err() && junk_share(text).is_err(), "{text}");
        }
        assert!(junk_share("1").is_err());
        for text in ["", "0", "-1", "NaN", "inf", "1e8"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
