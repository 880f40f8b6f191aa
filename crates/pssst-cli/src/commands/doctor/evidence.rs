//! Observations as lines of evidence.

use super::observations::{Directory, Observations, Outcome, Probe};
use super::report::{Evidence, Grade};

/// Returns everything that was observed, in the order in which it was.
pub(super) fn of(seen: &Observations) -> Vec<Evidence> {
    let mut lines = vec![resolved(seen)];
    lines.extend(
        seen.client_key.iter().map(|key| Evidence::new("identity", Grade::Ok, format!("the client's key is {key}"))),
    );
    lines.extend(seen.key_files.iter().map(|(what, _)| Evidence::new("keys", Grade::Fault, what)));
    lines.extend(seen.keys.iter().map(|key| Evidence::new("keys", Grade::Note, key)));
    lines.extend(seen.directory.iter().flat_map(directory));
    lines.extend(seen.probes.iter().map(probe));
    lines.extend(seen.reports_closed_ports.iter().map(|(address, reports)| {
        let text = if *reports { "reports that another port is closed: it is up" } else { "reports nothing" };
        Evidence::new("machine", Grade::Note, format!("{address} {text}"))
    }));
    lines
}

fn resolved(seen: &Observations) -> Evidence {
    let (grade, text) = match &seen.resolved.addresses {
        Ok(addresses) => {
            let all = addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>();
            (Grade::Ok, format!("{} is at {}", seen.server, all.join(", ")))
        }
        Err(error) => (Grade::Fault, format!("{}: {error}", seen.server)),
    };
    Evidence::new("name", grade, text).took(seen.resolved.took)
}

fn directory(directory: &Directory) -> Vec<Evidence> {
    let url = &directory.url;
    let (grade, text) = match &directory.answer {
        Ok(document) => (
            Grade::Ok,
            format!(
                "{url} has {} keys of generation {}, issued {:.0}",
                document.keys, document.generation, document.issued
            ),
        ),
        Err(fault) => (Grade::Fault, format!("{url}: {}", fault.what)),
    };
    let mut lines = vec![Evidence::new("directory", grade, text).took(directory.took)];
    if let Some(cache) = &directory.cache {
        let (grade, text) = match (cache.issued, cache.is_listed) {
            (None, _) => (Grade::Note, "does not exist yet".to_owned()),
            (Some(issued), Some(false)) => (Grade::Fault, format!("has keys of {issued:.0}, which are over")),
            (Some(issued), _) => (Grade::Ok, format!("has keys of {issued:.0}")),
        };
        lines.push(Evidence::new("key cache", grade, format!("{} {text}", cache.path)));
    }
    if let Some(lead) = directory.clock_lead {
        let text = format!("this machine's clock minus the directory's: {} s, to about a second", lead.as_secs());
        lines.push(Evidence::new("clock", Grade::Note, text));
    }
    lines
}

fn probe(probe: &Probe) -> Evidence {
    let Probe { address, recipe, packet_len, outcome, took } = probe;
    let (grade, text) = match outcome {
        Outcome::Answered { packets: 0 | 1 } => (Grade::Ok, "answered".to_owned()),
        Outcome::Answered { packets } => (Grade::Ok, format!("answered, after {packets} packets")),
        Outcome::Silent => (Grade::Silent, "no answer".to_owned()),
        Outcome::OtherPackets => (Grade::Fault, "packets came that are not its reply".to_owned()),
        Outcome::Closed => (Grade::Fault, "the port is closed (ICMP)".to_owned()),
        Outcome::NoRoute(why) => (Grade::Fault, why.clone()),
        Outcome::Forbidden => (Grade::Fault, "a firewall refuses to send it".to_owned()),
        Outcome::TooLong { path_mtu: Some(mtu) } => (Grade::Fault, format!("too long: the path's MTU is {mtu}")),
        Outcome::TooLong { path_mtu: None } => (Grade::Fault, "too long for the path".to_owned()),
        Outcome::NotSent(why) => (Grade::Fault, format!("not sent: {why}")),
    };
    let len = if recipe.padded_to.is_some() { String::new() } else { format!(", {packet_len} bytes") };
    Evidence::new("request", grade, format!("{address}, {recipe}{len}: {text}")).took(*took)
}
