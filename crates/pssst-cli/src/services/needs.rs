//! The surroundings that a service needs, which `pssst doctor` examines.

use std::net::SocketAddr;
use std::path::PathBuf;

use pssst_gateway::Upstream;
use pssst_service::{ConfigFile, Failure, Program, Service, read_options};

use crate::args::key_file::Access;
use crate::args::sealing::SealingOptions;
use crate::args::server_key::ServerOptions;

/// The surroundings that a service needs.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    pub(crate) service: &'static str,
    /// Where it receives datagrams.
    pub(crate) udp: Vec<SocketAddr>,
    /// Where it takes connections, its metrics aside.
    pub(crate) tcp: Vec<SocketAddr>,
    pub(crate) metrics: Option<SocketAddr>,
    /// How many files it may open.
    pub(crate) open_files: u64,
    /// Whether bursts of datagrams wait in its sockets.
    pub(crate) has_socket_buffers: bool,
    /// The location of its clients.
    pub(crate) store: Option<String>,
    /// Whether it creates its store.
    pub(crate) creates_store: bool,
    pub(crate) upstream: Option<Upstream>,
    /// Its schedule of keys, and how it is read.
    pub(crate) schedule: Option<(PathBuf, Access)>,
    /// Its certificate, its key, and how that is read.
    pub(crate) certificate: Option<(PathBuf, PathBuf, Access)>,
    /// The server that it sends to.
    pub(crate) server: Option<ServerNeeds>,
    /// Files that it replaces.
    pub(crate) writes: Vec<PathBuf>,
}

/// A client of a server.
#[derive(Debug)]
pub(crate) struct ServerNeeds {
    pub(crate) server: ServerOptions,
    pub(crate) identity: Option<PathBuf>,
    pub(crate) sealing: SealingOptions,
    pub(crate) access: Access,
}

/// A service whose surroundings can be examined.
pub(crate) trait Examined: Service {
    /// Returns what these options say; the rest is the same for all services.
    fn needs(args: &Self::Args) -> Needs;
}

/// Returns what a service needs that has these options in a file.
pub(crate) fn of<S: Examined>(program: &Program, file: &ConfigFile) -> Result<Needs, Failure> {
    let args = read_options::<S>(program, file)?;
    let metrics = S::options(&args).0.metrics();
    Ok(Needs { service: S::NAME, metrics, open_files: S::open_files(&args), ..S::needs(&args) })
}
