//! The server's side: what a configuration names, as it is now.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pssst_directory_server::{ScheduleFile, ServerCertificate};
use pssst_service::Failure;

use super::client::{self, Subject};
use super::ports::{self, Transport};
use super::report::{Cause, Conclusion, Evidence, Grade, Side};
use super::{evidence, inference};
use crate::args::store;
use crate::monitor::endpoint::Endpoint;
use crate::monitor::reading::Reading;
use crate::monitor::report::{Report as Status, Since};
use crate::services::needs::{Needs, ServerNeeds};

/// For each thing that is asked.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Files grow: a database, a log.
const MIN_FREE_MIB: u64 = 100;
/// As for the alert.
const MIN_CERTIFICATE_DAYS: i64 = 14;

/// All that was found.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) conclusions: Vec<Conclusion>,
    pub(super) evidence: Vec<Evidence>,
    /// The pages of metrics that were read, with the names of their services.
    pub(super) metrics: Vec<(&'static str, String)>,
}

impl Findings {
    fn add(&mut self, evidence: Evidence, conclusion: Option<Conclusion>) {
        self.evidence.push(evidence);
        self.conclusions.extend(conclusion);
    }

    fn ok(&mut self, check: &'static str, text: impl Into<String>, took: Duration) {
        self.add(Evidence::new(check, Grade::Ok, text).took(took), None);
    }

    fn note(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(Evidence::new(check, Grade::Note, text), None);
    }

    /// Adds evidence that is the conclusion, too.
    fn bad(&mut self, check: &'static str, conclusion: Conclusion) {
        self.add(Evidence::new(check, conclusion.grade, conclusion.text.clone()), Some(conclusion));
    }

    /// Adds everything that is wrong with a configuration.
    pub(super) fn configuration(&mut self, failure: Failure) {
        for failure in failure.into_each() {
            let conclusion = Conclusion::fault(Cause::Configuration, failure.what());
            self.bad("configuration", conclusion.next(Side::Here, failure.remedy()));
        }
    }
}

/// Examines the surroundings of a service.
pub(super) async fn examine(needs: &Needs, timeout: Duration, findings: &mut Findings) -> Result<(), Failure> {
    let running = if let Some(address) = needs.metrics {
        metrics(needs.service, address, findings).await
    } else {
        findings.note("metrics", format!("[{}] shows none: only its ports tell whether it runs", needs.service));
        None
    };
    let listens = [(Transport::Udp, &needs.udp), (Transport::Tcp, &needs.tcp)];
    for (transport, address) in listens.iter().flat_map(|(it, all)| all.iter().map(move |address| (*it, *address))) {
        port(needs.service, transport, address, running.is_some(), findings);
    }
    if needs.has_socket_buffers {
        socket_buffers(findings);
    }
    open_files(needs, running.as_ref(), findings);
    if let Some(location) = &needs.store {
        clients(location, needs, findings).await;
    }
    if let Some(upstream) = &needs.upstream {
        self::upstream(upstream, findings).await;
    }
    if let Some((path, access)) = &needs.schedule {
        schedule(path, access.allow_exposed_keys, findings);
    }
    if let Some((certificate, key, access)) = &needs.certificate {
        self::certificate(certificate, key, access.allow_exposed_keys, findings);
    }
    let store = needs.store.as_deref().and_then(store::file);
    for path in needs.writes.iter().cloned().chain(store) {
        free_space(&path, findings);
    }
    match &needs.server {
        Some(server) => pool(server, timeout, findings).await?,
        None => findings.note("clock", format!("[{}] asks no directory to compare the clock with", needs.service)),
    }
    Ok(())
}

/// Reads what the running service shows.
async fn metrics(service: &'static str, address: SocketAddr, findings: &mut Findings) -> Option<Reading> {
    let endpoint = Endpoint::at(address, TIMEOUT);
    let begun = Instant::now();
    let reading = match endpoint.read().await {
        Ok(reading) => reading,
        Err(failure) => {
            let text = format!("[{service}] does not run, or does not show its metrics: {}", failure.what());
            findings.note("metrics", text);
            return None;
        }
    };
    let status = Status::new(&endpoint, &reading, Since::Start);
    if let Ok(page) = endpoint.page().await {
        findings.metrics.push((service, page));
    }
    let running = format!("[{service}] runs: {} {} at {}", status.service, status.version, endpoint.url());
    if status.ready && status.live {
        findings.ok("metrics", running + ", ready", begun.elapsed());
    } else {
        findings.note("metrics", running);
    }
    for warning in &status.warnings {
        let is_fault = warning.starts_with("not ready") || warning.starts_with("not live");
        let grade = if is_fault { Grade::Fault } else { Grade::Warning };
        let conclusion = Conclusion::new(Cause::NotReady, grade, format!("[{service}] {warning}"));
        findings.bad("health", conclusion.next(Side::Here, "its log has the cause"));
    }
    let is_refusal = |name: &str| !["repeated"].contains(&name);
    let counts = status.refusals.0.iter().chain(&status.upstream.0);
    let counts = counts.filter(|(name, count)| count.total > 0 && is_refusal(name) && !is_success(name));
    let mut counts: Vec<_> = counts.map(|(name, count)| (name.as_str(), count.total)).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    if !counts.is_empty() {
        let listed = counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ");
        let what = format!("[{service}] has refused or lost requests since it started: {listed}");
        findings.bad(
            "refusals",
            counts.iter().fold(Conclusion::new(Cause::Refusals, Grade::Warning, what), |conclusion, (name, _)| {
                match meaning(name) {
                    Some(meaning) => conclusion.next(Side::Here, format!("{name}: {meaning}")),
                    None => conclusion,
                }
            }),
        );
    }
    Some(reading)
}

/// Returns whether a request to an upstream ended well.
fn is_success(outcome: &str) -> bool {
    ["answered", "delivered", "cancelled"].contains(&outcome)
}

/// Returns what a cause of the metrics means, and what to do.
fn meaning(cause: &str) -> Option<&'static str> {
    Some(match cause {
        "decrypt_failed" => {
            "clients have another server key, or are not enrolled: compare keys, and `pssst clients refused`"
        }
        "unsupported_suite" => "clients send a suite that is not accepted: --suite at either end",
        "anonymous_refused" => "clients give no --identity, and only enrolled ones are served",
        "unknown_client" => "clients that are not enrolled: `pssst clients refused --store LOCATION` lists them",
        "client_refused" => "clients that are suspended, revoked or expired: `pssst clients refused --store LOCATION`",
        "psk_required" => "clients that have a pre-shared key and do not use it: --psk",
        "fresh_required" | "fresh_refused" => "clients and server disagree on --fresh-replies",
        "reply_too_large" => "replies are too long beside their requests: pad requests, or raise --max-amplification",
        "handler_failed" => "the service behind it fails: see its outcomes, and its log",
        "handler_timeout" | "timed_out" => "the service behind it is slow or does not answer",
        "unreachable" => "nothing listens where the service should be: start it, or correct --upstream",
        "circuit_open" => "the service failed repeatedly, and is left alone for a while",
        "status_refused" => "the service answers with a status other than 2xx",
        "rate_limit" | "client_rate_limit" | "overload" => "a limit is reached: see the runbook, PssstOverloaded",
        _ => return None,
    })
}

fn port(service: &str, transport: Transport, address: SocketAddr, is_running: bool, findings: &mut Findings) {
    let name = format!("{} {address}", transport.name());
    if address.port() == 0 {
        return findings.note("port", format!("{name}: any free one"));
    }
    let error = match ports::take(transport, address) {
        Ok(()) if is_running => {
            let what =
                format!("[{service}] runs, and nothing has {name}: it listens elsewhere, or is another instance");
            return findings.bad(
                "port",
                Conclusion::new(Cause::PortTaken, Grade::Warning, what)
                    .next(Side::Here, "`ss -lnptu` shows where it listens; restart it if the file has changed"),
            );
        }
        Ok(()) => return findings.note("port", format!("{name} is free: [{service}] does not run here")),
        Err(error) => error,
    };
    if error.kind() != io::ErrorKind::AddrInUse {
        let what = format!("[{service}] cannot have {name}: {error}");
        let fault = Conclusion::fault(Cause::PortTaken, what);
        return findings.bad("port", fault.next(Side::Here, crate::args::udp::listen_remedy(&error)));
    }
    let holders = ports::holders(transport, address);
    // systemd holds sockets for services that it starts.
    let is_of_service = |holder: &String| ["pssst ", "systemd "].iter().any(|name| holder.starts_with(name));
    let is_ours = is_running || holders.iter().any(is_of_service);
    let by = if holders.is_empty() { "a process that this user cannot see".to_owned() } else { holders.join(", ") };
    if is_ours {
        return findings.add(Evidence::new("port", Grade::Ok, format!("{name} is served by {by}")), None);
    }
    let what = format!("[{service}] cannot have {name}: {by} has it");
    findings.bad(
        "port",
        Conclusion::fault(Cause::PortTaken, what).next(Side::Here, "stop that process, or choose another port"),
    );
}

/// Asks the system for what a server asks for.
fn socket_buffers(findings: &mut Findings) {
    let bound = pssst_net::Server::builder().workers(1).bind("127.0.0.1:0");
    match bound.map(|bound| bound.buffer_shortfall()) {
        Ok(None) => findings.add(Evidence::new("buffers", Grade::Ok, "the system grants the socket buffers"), None),
        Ok(Some(shortfall)) => {
            let conclusion = Conclusion::new(Cause::SocketBuffers, Grade::Warning, shortfall.to_string());
            findings
                .bad("buffers", conclusion.next(Side::Here, "raise these limits: bursts are lost sooner otherwise"));
        }
        Err(error) => findings.note("buffers", format!("not examined: {error}")),
    }
}

fn open_files(needs: &Needs, running: Option<&Reading>, findings: &mut Findings) {
    let shown = running.and_then(Reading::max_open_files);
    let (limit, whose) = match (shown, file_limit()) {
        (Some(limit), _) => (limit, "the running service"),
        (None, Some(limit)) => (limit, "this shell, not necessarily the service,"),
        (None, None) => return,
    };
    let text = format!("{whose} may open {limit} files; [{}] may need {}", needs.service, needs.open_files);
    if limit >= needs.open_files {
        return findings.add(Evidence::new("open files", Grade::Ok, text), None);
    }
    let conclusion = Conclusion::new(Cause::OpenFiles, Grade::Warning, text);
    findings.bad("open files", conclusion.next(Side::Here, "raise LimitNOFILE= in the unit, or `ulimit -n`"));
}

/// Returns the limit that a service can raise itself to.
#[cfg(unix)]
fn file_limit() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit};

    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(_, hard)| hard)
}

#[cfg(not(unix))]
fn file_limit() -> Option<u64> {
    None
}

/// Opens the store of clients, and counts them.
async fn clients(location: &str, needs: &Needs, findings: &mut Findings) {
    let begun = Instant::now();
    if needs.creates_store && store::file(location).is_some_and(|path| !path.exists()) {
        return findings.note("clients", format!("[{}] creates its store when it starts", needs.service));
    }
    let counted = async {
        let store = store::open(location).await?;
        store.totals().await.map_err(|error| store::failure(&error))
    };
    let totals = match tokio::time::timeout(TIMEOUT, counted).await {
        Ok(Ok(totals)) => totals,
        Ok(Err(failure)) => return no_store(needs, failure.what(), failure.remedy(), findings),
        Err(_) => {
            let what = format!("the store does not answer within {} s", TIMEOUT.as_secs());
            return no_store(needs, &what, "check that the database runs, and its address", findings);
        }
    };
    let text = format!(
        "{} clients: {} enrolled, {} expired, {} suspended, {} revoked",
        totals.all(),
        totals.enrolled,
        totals.expired,
        totals.suspended,
        totals.revoked
    );
    if totals.enrolled > 0 || needs.creates_store {
        return findings.ok("clients", text, begun.elapsed());
    }
    let what = format!("[{}] serves enrolled clients only, and nobody is enrolled ({text})", needs.service);
    let conclusion = Conclusion::new(Cause::StoreEmpty, Grade::Warning, what);
    findings
        .bad("clients", conclusion.next(Side::Here, "check the location; enrol with `pssst clients add` or a token"));
}

fn no_store(needs: &Needs, what: &str, remedy: &str, findings: &mut Findings) {
    let what = format!("[{}] has no store of clients: {what}", needs.service);
    findings.bad("clients", Conclusion::fault(Cause::StoreUnreachable, what).next(Side::Here, remedy));
}

async fn upstream(upstream: &pssst_gateway::Upstream, findings: &mut Findings) {
    let begun = Instant::now();
    let reached = tokio::time::timeout(TIMEOUT, upstream.check_reachable()).await;
    let reached = reached.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let error = match reached {
        Ok(address) if upstream.has_connections() => {
            return findings.ok("upstream", format!("{upstream} takes connections ({address})"), begun.elapsed());
        }
        Ok(address) => {
            return findings
                .note("upstream", format!("{upstream} is at {address}; whether it answers cannot be told over UDP"));
        }
        Err(error) => error,
    };
    let what = format!("the service behind the gateway, {upstream}, cannot be reached: {error}");
    findings.bad(
        "upstream",
        Conclusion::fault(Cause::UpstreamUnreachable, what).next(Side::Here, "start it, or correct --upstream"),
    );
}

fn schedule(path: &Path, allow_exposed: bool, findings: &mut Findings) {
    let name = path.display();
    let file = match ScheduleFile::open(path, allow_exposed) {
        Ok(file) => file,
        Err(error) => return no_schedule(&name, &error, findings),
    };
    let (schedule, now) = (file.load(), file.now());
    if let Err(error) = schedule.server(now, pssst::SuiteSet::DATAGRAM) {
        return no_schedule(&name, &error, findings);
    }
    let interval = schedule.refresh_interval();
    let next = schedule.next_change(now).map(|time| format!("; the next change is at {time:.0}"));
    let next = next.unwrap_or_else(|| "; no change is planned".into());
    let text = format!("{name}: a key is in force, clients refresh every {} s{next}", interval.as_secs());
    findings.add(Evidence::new("schedule", Grade::Ok, text), None);
}

fn no_schedule(name: &dyn Display, error: &dyn Display, findings: &mut Findings) {
    let fault = Conclusion::fault(Cause::Schedule, format!("{name}: {error}"));
    findings.bad("schedule", fault.next(Side::Here, "`pssst keys show FILE` shows the keys and their times"));
}

fn certificate(chain: &Path, key: &Path, allow_exposed: bool, findings: &mut Findings) {
    if !chain.exists() {
        return findings.note("certificate", format!("{} is created at the start", chain.display()));
    }
    let name = chain.display();
    let certificate = match ServerCertificate::from_files(chain, key, allow_exposed) {
        Ok(certificate) => certificate,
        Err(error) => {
            let fault = Conclusion::fault(Cause::Certificate, format!("{name}: {error}"));
            return findings
                .bad("certificate", fault.next(Side::Here, "check both files, and that they belong together"));
        }
    };
    let expiry = certificate.expiry();
    let days = expiry.duration_since(Timestamp::now()).as_hours().div_euclid(24);
    let text = format!("{name} expires at {expiry:.0}, in {days} days; its pin is {}", certificate.pin());
    let grade = match days {
        ..0 => Grade::Fault,
        0..MIN_CERTIFICATE_DAYS => Grade::Warning,
        _ => return findings.add(Evidence::new("certificate", Grade::Ok, text), None),
    };
    let conclusion = Conclusion::new(Cause::Certificate, grade, text);
    findings.bad("certificate", conclusion.next(Side::Here, "replace it; clients that know its pin do not mind"));
}

fn free_space(path: &Path, findings: &mut Findings) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let name = folder.display();
    match free_mib(folder) {
        Ok(Some(free)) if free >= MIN_FREE_MIB => {
            findings.add(Evidence::new("disk", Grade::Ok, format!("{name} has {free} MiB free")), None);
        }
        Ok(Some(free)) => {
            let grade = if free == 0 { Grade::Fault } else { Grade::Warning };
            let conclusion = Conclusion::new(Cause::DiskSpace, grade, format!("{name} has {free} MiB free"));
            findings.bad("disk", conclusion.next(Side::Here, "free some: what is written there would be lost"));
        }
        Ok(None) => {}
        Err(error) => {
            let conclusion = Conclusion::fault(Cause::DiskSpace, format!("{name}: {error}"));
            findings.bad("disk", conclusion.next(Side::Here, "check the path and its permissions"));
        }
    }
}

#[cfg(unix)]
fn free_mib(folder: &Path) -> io::Result<Option<u64>> {
    let free = rustix::fs::statvfs(folder)?;
    Ok(Some(free.f_bavail.saturating_mul(free.f_frsize) >> 20))
}

#[cfg(not(unix))]
fn free_mib(_: &Path) -> io::Result<Option<u64>> {
    Ok(None)
}

/// Asks the servers of a proxy, as a client.
async fn pool(needs: &ServerNeeds, timeout: Duration, findings: &mut Findings) -> Result<(), Failure> {
    let subject = Subject {
        server: &needs.server,
        identity: needs.identity.as_deref(),
        sealing: &needs.sealing,
        access: &needs.access,
        message: b"",
        timeout,
    };
    let seen = client::observe(&subject).await?;
    findings.conclusions.extend(inference::conclude(&seen));
    findings.evidence.extend(evidence::of(&seen));
    Ok(())
}
