//! Where a service shows its metrics.

use std::env;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pssst_service::{ConfigFile, Failure, durations};
use pssst_support::host_port;

use crate::args::udp::resolve;

/// As in the examples of configurations.
const DEFAULT: &str = "127.0.0.1:9100";
const VARIABLE: &str = "PSSST_METRICS";

#[derive(clap::Args, Debug)]
pub(crate) struct EndpointOptions {
    /// Where the service shows its metrics, as its --metrics says: `127.0.0.1:9100` or
    /// `http://127.0.0.1:9100` [default: the variable `PSSST_METRICS`, then --config, then
    /// 127.0.0.1:9100].
    #[arg(value_name = "ADDR|URL", conflicts_with = "config")]
    address: Option<String>,
    /// Find the address in this configuration file: `metrics` of the only service that has it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How long to wait for each answer.
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = durations::timeout)]
    timeout: Duration,
}

/// The listener of a service's metrics.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// `HOST:PORT`.
    pub(super) authority: String,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) timeout: Duration,
}

impl EndpointOptions {
    /// Finds the address, and asks name servers for it.
    pub(crate) fn endpoint(&self, services: &[&'static str]) -> Result<Endpoint, Failure> {
        let variable = env::var(VARIABLE).ok().filter(|value| !value.is_empty());
        // As for services, the environment overrides the file.
        let address = match (&self.address, variable, &self.config) {
            (Some(address), _, _) => address.clone(),
            (None, Some(address), _) => address,
            (None, None, Some(file)) => of_file(file, services)?,
            (None, None, None) => DEFAULT.into(),
        };
        let authority = authority(&address)?;
        let addresses = resolve(&authority)?.into_iter().map(reachable).collect();
        Ok(Endpoint { authority, addresses, timeout: self.timeout })
    }
}

impl Endpoint {
    /// Returns the listener at this address.
    pub(crate) fn at(address: SocketAddr, timeout: Duration) -> Self {
        let address = reachable(address);
        Self { authority: address.to_string(), addresses: vec![address], timeout }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.authority)
    }
}

/// Returns `HOST:PORT`.
fn authority(text: &str) -> Result<String, Failure> {
    let refusal = |why: &str| {
        Failure::usage(format!("{text:?} is not the address of metrics: {why}"), format!("give one such as {DEFAULT}"))
    };
    if text.starts_with("https://") {
        return Err(refusal("services show them over plain HTTP"));
    }
    let text = text.strip_prefix("http://").unwrap_or(text);
    let authority = text.split_once('/').filter(|(_, path)| ["", "metrics"].contains(path)).map_or(text, |(it, _)| it);
    host_port::target(authority).map_err(|error| refusal(&error.to_string()))?;
    Ok(authority.into())
}

fn of_file(path: &Path, services: &[&'static str]) -> Result<String, Failure> {
    let file = ConfigFile::read(path, services)?;
    let found: Vec<_> =
        services.iter().filter_map(|service| Some((service, file.value(service, "metrics")?))).collect();
    match found[..] {
        [(_, address)] => Ok(address.into()),
        [] => Err(Failure::usage(
            format!("{} has no service with metrics", path.display()),
            format!("switch them on with `metrics = \"{DEFAULT}\"` in the service's table, and restart the service"),
        )),
        _ => {
            let all: Vec<_> = found.iter().map(|(service, address)| format!("{address} ({service})")).collect();
            Err(Failure::usage(
                format!("{} has several services with metrics", path.display()),
                format!("give the address of one instead: {}", all.join(", ")),
            ))
        }
    }
}

/// Returns an address that can be connected to: a service that listens at all addresses is at
/// loopback, too.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_urls_are_read() {
        for text in ["[::1]:9100", "http://[::1]:9100", "http://[::1]:9100/", "http://[::1]:9100/metrics"] {
            assert_eq!(authority(text).unwrap(), "[::1]:9100", "{text}");
        }
        for (text, why) in [
            ("https://localhost:9100", "plain HTTP"),
            ("localhost", "HOST:PORT"),
            ("http://localhost:9100/other", "HOST:PORT"),
            ("localhost:0", "port 0"),
            ("", "HOST:PORT"),
        ] {
            assert!(authority(text).unwrap_err().what().contains(why), "{text}");
        }
        for (address, expected) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("192.0.2.7:1", "192.0.2.7:1")]
        {
            assert_eq!(reachable(address.parse().unwrap()).to_string(), expected);
        }
    }
}
