//! The client's side: what a server, its name and its directory do when they are asked.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pssst::{Padding, PreSharedKey, ServerKey, Suite, SuiteSet};
use pssst_directory::{CurrentKey, Error as DirectoryError, KeySet};
use pssst_net::{Client, Credentials, Error, Retry, udp};
use pssst_service::Failure;
use pssst_support::host_port;
use tokio::task::JoinSet;

use super::observations::{
    Cache, Directory, DirectoryFault, DirectoryFaultKind, Document, Mode, Observations, Outcome, Probe, Recipe,
    Resolved,
};
use crate::args::key_file::{self, Access};
use crate::args::sealing::SealingOptions;
use crate::args::server_key::{self, ServerOptions};

/// A client as it would send requests.
pub(super) struct Subject<'a> {
    pub(super) server: &'a ServerOptions,
    pub(super) identity: Option<&'a Path>,
    pub(super) sealing: &'a SealingOptions,
    pub(super) access: &'a Access,
    pub(super) message: &'a [u8],
    /// For each request.
    pub(super) timeout: Duration,
}

/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;
/// From half a second to three quarters, as for `pssst request`.
const INITIAL_TIMEOUT: Duration = Duration::from_millis(500);
const DIRECTORY_TIMEOUT: Duration = Duration::from_secs(10);
/// Lengths of packets that are tried: what every IPv4 and every IPv6 network carries, what Ethernet
/// does, and between.
const LENGTHS: [usize; 6] = [548, 900, 1232, 1372, 1452, 1472];
/// Long enough for most replies that are too long for a short request, and for every IPv6 network.
const PADDED: usize = 1232;
/// The first port of traceroute, which nothing listens at.
const CLOSED_PORT: u16 = 33_434;
const CLOSED_PORT_TIMEOUT: Duration = Duration::from_secs(1);

/// Asks the directory and the server, in all ways that the keys allow.
pub(super) async fn observe(subject: &Subject<'_>) -> Result<Observations, Failure> {
    let server = subject.server.address().to_owned();
    let mut key_files = Vec::new();
    let identity =
        kept(&mut key_files, subject.identity.map(|file| key_file::read_identity(file, subject.access)).transpose())?;
    let psk = kept(&mut key_files, subject.sealing.read_psk(subject.access))?;
    let resolved = resolve(&server).await?;
    let (known, directory) = Known::find(subject.server).await?;
    let mode = match (&identity, &psk) {
        (None, _) => Mode::Anonymous,
        (Some(_), None) => Mode::Authenticated,
        (Some(_), Some(_)) => Mode::WithPsk,
    };
    let intended = known.intended.as_ref().map(|key| {
        let padding = match subject.sealing.padding() {
            None if key.suite == Suite::XWingAes256GcmSiv => Some(PADDED),
            Some(Padding::ToLength(len)) => Some(len),
            _ => None,
        };
        let wants_fresh_reply = subject.sealing.fresh_replies && key.suite != Suite::X25519AesGcm128;
        Recipe { suite: key.suite, mode, wants_fresh_reply, padded_to: padding }
    });
    let mut observations = Observations {
        server,
        resolved,
        key_files,
        directory,
        intended,
        keys: known.described(),
        client_key: identity.as_ref().map(|identity| identity.client_key().to_string()),
        probes: Vec::new(),
        reports_closed_ports: Vec::new(),
    };
    let (Ok(addresses), Some(intended)) = (&observations.resolved.addresses, intended) else { return Ok(observations) };
    let sender = Arc::new(Sender { known, identity, psk, message: subject.message.to_vec(), timeout: subject.timeout });
    let probes = experiments(&sender, addresses, &intended).await;
    let silent = addresses.iter().filter(|address| {
        probes.iter().filter(|probe| probe.address == **address).all(|probe| probe.outcome == Outcome::Silent)
    });
    let silent: BTreeSet<_> = silent.map(SocketAddr::ip).collect();
    observations.reports_closed_ports = closed_ports(silent).await;
    observations.probes = probes;
    Ok(observations)
}

/// Sets a file that cannot be used aside, so that the rest is examined. What is wrong with the
/// command line ends the command.
fn kept<T>(faults: &mut Vec<(String, String)>, outcome: Result<Option<T>, Failure>) -> Result<Option<T>, Failure> {
    match outcome {
        Err(failure) if !failure.is_usage() => {
            faults.push((failure.what().to_owned(), failure.remedy().to_owned()));
            Ok(None)
        }
        outcome => outcome,
    }
}

async fn resolve(server: &str) -> Result<Resolved, Failure> {
    let begun = Instant::now();
    let name = server.to_owned();
    let outcome = tokio::task::spawn_blocking(move || host_port::resolve(&name)).await;
    let addresses = match outcome.map_err(io::Error::other).flatten() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return Err(crate::args::udp::cannot_find(server, &error));
        }
        Err(error) => Err(error.to_string()),
        Ok(found) => {
            let mut addresses = Vec::new();
            for address in found {
                if !addresses.contains(&address) && addresses.len() < MAX_ADDRESSES {
                    addresses.push(address);
                }
            }
            Ok(addresses)
        }
    };
    Ok(Resolved { addresses, took: begun.elapsed() })
}

/// The keys of the server that are known.
struct Known {
    /// The key that the client uses.
    intended: Option<CurrentKey>,
    /// A key for each suite, where there is one.
    keys: Vec<CurrentKey>,
}

impl Known {
    async fn find(server: &ServerOptions) -> Result<(Self, Option<Directory>), Failure> {
        let Some(client) = server.directory()? else {
            let key = server.fixed()?;
            let keys = SuiteSet::DATAGRAM.iter().filter(|suite| key.key.has_suite(*suite));
            let keys = keys.map(|suite| CurrentKey { key: key.key.clone(), suite }).collect();
            return Ok((Self { intended: Some(key), keys }, None));
        };
        // Nothing is written to the cache: what is in it is part of what is examined.
        let cached = client.document();
        let cached_key = cached.as_ref().filter(|document| is_fresh(document)).and_then(|_| client.current_key().ok());
        let asked = server.without_cache().directory()?.unwrap_or_else(|| client.clone());
        let begun = Instant::now();
        let outcome = tokio::time::timeout(DIRECTORY_TIMEOUT, asked.fetch()).await;
        let took = begun.elapsed();
        let answer = match outcome {
            Ok(Ok(document)) => Ok(document),
            Ok(Err(error)) => Err(directory_fault(&error)),
            Err(_) => Err(DirectoryFault {
                kind: DirectoryFaultKind::Unreachable,
                what: format!("it does not answer within {} s", DIRECTORY_TIMEOUT.as_secs()),
                remedy: "check that it runs, its address, and the firewalls on the way".into(),
            }),
        };
        let is_listed = |key: &CurrentKey| {
            let document = answer.as_ref().ok()?;
            Some(document.keys.iter().any(|listed| listed.key == key.key))
        };
        let cache = server.key_cache().map(|path| Cache {
            path: path.display().to_string(),
            issued: cached.as_ref().map(|document| document.issued),
            is_listed: cached_key.as_ref().and_then(is_listed),
        });
        let known = match &answer {
            Ok(document) => Self::of_document(document, cached_key.or_else(|| asked.current_key().ok())),
            Err(_) => match (client.current_key(), server.linked_key()) {
                (Ok(key), _) => Self { intended: Some(key.clone()), keys: vec![key] },
                (Err(_), Some(key)) => Self::of_linked(&key),
                (Err(_), None) => Self { intended: None, keys: Vec::new() },
            },
        };
        let directory = Directory {
            url: server.directory_name(),
            answer: answer.map(|document| Document {
                generation: document.generation,
                keys: document.keys.len(),
                issued: document.issued,
            }),
            took,
            clock_lead: asked.status().clock_lead,
            cache,
        };
        Ok((known, Some(directory)))
    }

    fn of_document(document: &KeySet, intended: Option<CurrentKey>) -> Self {
        let now = Some(Timestamp::now()).filter(|now| (document.issued..document.refresh_at).contains(now));
        let now = now.unwrap_or(document.issued);
        let mut keys: Vec<_> =
            SuiteSet::DATAGRAM.iter().filter_map(|suite| document.select(now, &[suite]).ok()).collect();
        if let Some(intended) = &intended {
            // The client's own may be another one, from its cache.
            keys.retain(|key| key.suite != intended.suite);
            keys.push(intended.clone());
        }
        Self { intended, keys }
    }

    fn of_linked(key: &ServerKey) -> Self {
        let keys = SuiteSet::DATAGRAM.iter().filter(|suite| key.has_suite(*suite));
        let keys = keys.map(|suite| CurrentKey { key: key.clone(), suite }).collect();
        Self { intended: Some(CurrentKey { key: key.clone(), suite: key.default_suite() }), keys }
    }

    fn described(&self) -> Vec<String> {
        let mut keys: Vec<&ServerKey> = Vec::new();
        for key in self.intended.iter().chain(&self.keys) {
            if !keys.contains(&&key.key) {
                keys.push(&key.key);
            }
        }
        keys.into_iter().map(|key| format!("the server's key is {}", key.label())).collect()
    }
}

/// Returns whether a client would use stored keys without asking.
fn is_fresh(document: &KeySet) -> bool {
    (document.issued..document.refresh_at).contains(&Timestamp::now())
}

fn directory_fault(error: &DirectoryError) -> DirectoryFault {
    let failure = server_key::failure(error);
    let kind = match error {
        DirectoryError::Connection(_) if error.to_string().contains("certificate") => DirectoryFaultKind::NotTrusted,
        DirectoryError::Connection(_) => DirectoryFaultKind::Unreachable,
        DirectoryError::UnexpectedKeys => DirectoryFaultKind::WrongKey,
        _ => DirectoryFaultKind::Document,
    };
    DirectoryFault { kind, what: failure.what().to_owned(), remedy: failure.remedy().to_owned() }
}

/// What requests are made of.
struct Sender {
    known: Known,
    identity: Option<Credentials>,
    psk: Option<PreSharedKey>,
    message: Vec<u8>,
    timeout: Duration,
}

/// Sends requests in every way that tells something, to every address.
async fn experiments(sender: &Arc<Sender>, addresses: &[SocketAddr], intended: &Recipe) -> Vec<Probe> {
    let mut modes = vec![Mode::Anonymous];
    modes.extend(sender.identity.is_some().then_some(Mode::Authenticated));
    modes.extend((sender.identity.is_some() && sender.psk.is_some()).then_some(Mode::WithPsk));
    let mut recipes = vec![*intended];
    for key in &sender.known.keys {
        for &mode in &modes {
            let padded_to = (key.suite == Suite::XWingAes256GcmSiv).then_some(PADDED);
            add(&mut recipes, Recipe { padded_to, ..Recipe::plain(key.suite, mode) });
        }
    }
    let first: Vec<_> = addresses.iter().flat_map(|address| recipes.iter().map(|recipe| (*address, *recipe))).collect();
    let mut probes = send_all(sender, first).await;
    let more = addresses.iter().flat_map(|address| {
        let own: Vec<_> = probes.iter().filter(|probe| probe.address == *address).collect();
        further(&own, intended).into_iter().map(|recipe| (*address, recipe))
    });
    let more: Vec<_> = more.collect();
    probes.extend(send_all(sender, more).await);
    probes
}

/// Returns what to try at an address after the first requests to it.
fn further(probes: &[&Probe], intended: &Recipe) -> Vec<Recipe> {
    let is_answered = |probe: &&&Probe| matches!(probe.outcome, Outcome::Answered { .. });
    let answered: Vec<_> = probes.iter().filter(is_answered).map(|probe| probe.recipe).collect();
    let mut recipes = Vec::new();
    // Which lengths pass.
    if let Some(recipe) = answered.iter().rfind(|recipe| recipe.suite == Suite::X25519Aes256GcmSiv) {
        let lengths = LENGTHS.into_iter().chain(intended.padded_to);
        lengths.for_each(|len| add(&mut recipes, Recipe { padded_to: Some(len), ..*recipe }));
    }
    let is_reported =
        |probe: &&Probe| !matches!(probe.outcome, Outcome::Answered { .. } | Outcome::Silent | Outcome::TooLong { .. });
    if answered.contains(intended) || probes.iter().any(is_reported) {
        recipes.retain(|recipe| !probes.iter().any(|probe| probe.recipe == *recipe));
        return recipes;
    }
    // Whether the reply has no room, or the server has another rule for fresh replies.
    for recipe in probes.iter().map(|probe| probe.recipe).filter(|recipe| recipe.suite != Suite::X25519AesGcm128) {
        if recipe.padded_to.is_none() {
            add(&mut recipes, Recipe { padded_to: Some(PADDED), ..recipe });
        } else if recipe.suite == Suite::X25519Aes256GcmSiv {
            add(&mut recipes, Recipe { padded_to: None, ..recipe });
        }
        add(&mut recipes, Recipe { wants_fresh_reply: !recipe.wants_fresh_reply, ..recipe });
    }
    recipes.retain(|recipe| !probes.iter().any(|probe| probe.recipe == *recipe));
    recipes
}

fn add(recipes: &mut Vec<Recipe>, recipe: Recipe) {
    if !recipes.contains(&recipe) {
        recipes.push(recipe);
    }
}

/// Sends at the same time; returns the outcomes in the order of the requests.
async fn send_all(sender: &Arc<Sender>, requests: Vec<(SocketAddr, Recipe)>) -> Vec<Probe> {
    let mut tasks = JoinSet::new();
    for (place, (address, recipe)) in requests.into_iter().enumerate() {
        let sender = Arc::clone(sender);
        tasks.spawn(async move { (place, sender.send(address, recipe).await) });
    }
    let mut probes = tasks.join_all().await;
    probes.sort_by_key(|(place, _)| *place);
    probes.into_iter().map(|(_, probe)| probe).collect()
}

impl Sender {
    async fn send(&self, address: SocketAddr, recipe: Recipe) -> Probe {
        let begun = Instant::now();
        let mut packet_len = recipe.packet_len(self.message.len());
        let outcome = match self.connect(address, &recipe).await {
            Err(error) => outcome_of(&error, false),
            Ok(client) => {
                let outcome = client.request(&self.message).await;
                let stats = client.stats();
                match outcome {
                    Ok(_) => Outcome::Answered { packets: stats.datagrams_sent },
                    Err(error) => {
                        if let Error::Timeout { packet_len: sent, .. } | Error::PathTooNarrow { packet_len: sent, .. } =
                            &error
                            && *sent > 0
                        {
                            packet_len = *sent;
                        }
                        let has_other_packets = stats.unmatched_replies > 0 || stats.refused() > 0;
                        outcome_of(&error, has_other_packets)
                    }
                }
            }
        };
        Probe { address, recipe, packet_len, outcome, took: begun.elapsed() }
    }

    async fn connect(&self, address: SocketAddr, recipe: &Recipe) -> Result<Client, Error> {
        let key = self.known.keys.iter().chain(&self.known.intended).find(|key| key.suite == recipe.suite);
        let Some(key) = key else { return Err(Error::Protocol(pssst::Error::UnsupportedOption)) };
        let mut builder = Client::builder(key.key.clone())
            .suite(recipe.suite)
            .timeout(self.timeout)
            .retry(Retry { initial_timeout: INITIAL_TIMEOUT, max_retransmits: u32::MAX })
            .max_datagram(udp::MAX_DATAGRAM);
        if recipe.suite != Suite::X25519AesGcm128 {
            builder = builder.padding(recipe.padded_to.map_or(Padding::None, Padding::ToLength));
        }
        if recipe.wants_fresh_reply {
            builder = builder.fresh_replies();
        }
        let identity = self.identity.clone().filter(|_| recipe.mode != Mode::Anonymous);
        builder = match (identity, self.psk.clone().filter(|_| recipe.mode == Mode::WithPsk)) {
            (Some(identity), Some(psk)) => builder.credentials(identity.with_psk(psk)),
            (Some(identity), None) => builder.credentials(identity),
            (None, _) => builder,
        };
        builder.connect(address.to_string()).await
    }
}

fn outcome_of(error: &Error, has_other_packets: bool) -> Outcome {
    let of_network = |error: &io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused => Some(Outcome::Closed),
        io::ErrorKind::PermissionDenied => Some(Outcome::Forbidden),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Some(Outcome::NoRoute(error.to_string())),
        _ if udp::is_too_large(error) => Some(Outcome::TooLong { path_mtu: None }),
        _ => None,
    };
    match error {
        Error::Timeout { last_network_error: Some(error), .. } if of_network(error).is_some() => {
            of_network(error).unwrap_or(Outcome::Silent)
        }
        Error::Timeout { .. } if has_other_packets => Outcome::OtherPackets,
        Error::Timeout { .. } => Outcome::Silent,
        Error::PathTooNarrow { path_mtu, .. } => Outcome::TooLong { path_mtu: *path_mtu },
        Error::Network(error) => of_network(error).unwrap_or_else(|| Outcome::NotSent(error.to_string())),
        error => Outcome::NotSent(error.to_string()),
    }
}

/// Asks each machine for a port that is surely closed: a report of that says that it is up.
async fn closed_ports(machines: BTreeSet<IpAddr>) -> Vec<(IpAddr, bool)> {
    let mut reports = Vec::new();
    for machine in machines {
        reports.push((machine, reports_closed_port(machine).await.unwrap_or(false)));
    }
    reports
}

async fn reports_closed_port(machine: IpAddr) -> io::Result<bool> {
    let socket = udp::connect_async(SocketAddr::new(machine, CLOSED_PORT))?;
    socket.send(&[0]).await?;
    let received = tokio::time::timeout(CLOSED_PORT_TIMEOUT, socket.recv(&mut [0; 1])).await;
    Ok(matches!(received, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused))
}
