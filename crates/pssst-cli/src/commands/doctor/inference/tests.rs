use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::super::observations::{Cache, DirectoryFault, Document, Resolved};
use super::*;
use Mode::{Anonymous, Authenticated, WithPsk};
use Suite::{X25519Aes256GcmSiv as F002, X25519AesGcm128 as One, XWingAes256GcmSiv as F003};

const ADDRESS: &str = "192.0.2.7:45678";
const ANSWERED: Outcome = Outcome::Answered { packets: 1 };

/// A request that was answered if `is_answered`.
fn probe(suite: Suite, mode: Mode, is_answered: bool) -> Probe {
    let padded_to = (suite == F003).then_some(1232);
    let outcome = if is_answered { ANSWERED } else { Outcome::Silent };
    with(Recipe { padded_to, ..Recipe::plain(suite, mode) }, outcome)
}

fn with(recipe: Recipe, outcome: Outcome) -> Probe {
    let address = ADDRESS.parse().unwrap();
    Probe { address, recipe, packet_len: recipe.packet_len(0), outcome, took: Duration::from_millis(2) }
}

fn padded(suite: Suite, mode: Mode, len: usize, is_answered: bool) -> Probe {
    let outcome = if is_answered { ANSWERED } else { Outcome::Silent };
    with(Recipe { padded_to: Some(len), ..Recipe::plain(suite, mode) }, outcome)
}

fn fresh(suite: Suite, mode: Mode, wants_fresh_reply: bool, is_answered: bool) -> Probe {
    let outcome = if is_answered { ANSWERED } else { Outcome::Silent };
    with(Recipe { wants_fresh_reply, ..Recipe::plain(suite, mode) }, outcome)
}

/// Observations of requests. The client itself sends the first one.
fn seen(probes: Vec<Probe>) -> Observations {
    Observations {
        server: ADDRESS.into(),
        resolved: Resolved { addresses: Ok(vec![ADDRESS.parse().unwrap()]), took: Duration::ZERO },
        key_files: Vec::new(),
        directory: None,
        intended: probes.first().map(|probe| probe.recipe),
        keys: Vec::new(),
        client_key: Some("pssst1client".into()),
        probes,
        reports_closed_ports: Vec::new(),
    }
}

fn directory() -> Directory {
    let issued = "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap();
    Directory {
        url: "https://keys.example".into(),
        answer: Ok(Document { generation: 7, keys: 2, issued }),
        took: Duration::ZERO,
        clock_lead: Some(SignedDuration::from_secs(1)),
        cache: None,
    }
}

fn refused(kind: DirectoryFaultKind) -> Directory {
    let fault = DirectoryFault { kind, what: "it refuses".into(), remedy: "ask".into() };
    Directory { answer: Err(fault), ..directory() }
}

fn causes(seen: &Observations) -> Vec<&'static str> {
    conclude(seen).into_iter().map(|conclusion| conclusion.cause.name()).collect()
}

fn possible(seen: &Observations) -> Vec<&'static str> {
    conclude(seen).into_iter().flat_map(|one| one.possible).map(|possible| possible.cause.name()).collect()
}

/// A situation, its requests, and the causes.
type Case = (&'static str, Vec<Probe>, &'static [&'static str]);

fn check(cases: Vec<Case>) {
    for (case, probes, expected) in cases {
        assert_eq!(causes(&seen(probes)), expected, "{case}");
    }
}

#[test]
fn answers_beside_silence_name_the_cause() {
    check(vec![
        ("all is answered", vec![probe(F002, Authenticated, true), probe(F002, Anonymous, true)], &["well"]),
        (
            "anonymous ones are refused, which this client is not",
            vec![probe(F002, Authenticated, true), probe(F002, Anonymous, false), probe(One, Anonymous, false)],
            &["well"],
        ),
        (
            "a gateway without suite 1",
            vec![probe(One, Anonymous, false), probe(F002, Anonymous, true)],
            &["suite_not_accepted"],
        ),
        (
            "a server of another implementation",
            vec![probe(F002, Anonymous, false), padded(F002, Anonymous, 1232, false), probe(One, Anonymous, true)],
            &["suite_not_accepted"],
        ),
        (
            "no key for suite f003 there, and a path that is wide enough",
            vec![probe(F003, Anonymous, false), probe(F002, Anonymous, true), padded(F002, Anonymous, 1232, true)],
            &["suite_not_accepted"],
        ),
        (
            "a narrow path that is silent",
            vec![probe(F003, Anonymous, false), probe(F002, Anonymous, true), padded(F002, Anonymous, 1232, false)],
            &["path_too_narrow"],
        ),
        (
            "a narrow path that reports it",
            vec![
                with(
                    Recipe { padded_to: Some(1232), ..Recipe::plain(F003, Anonymous) },
                    Outcome::TooLong { path_mtu: Some(1000) },
                ),
                probe(F002, Anonymous, true),
            ],
            &["path_too_narrow"],
        ),
        (
            "an unknown client",
            vec![probe(F002, Authenticated, false), probe(F002, Anonymous, true), probe(One, Authenticated, false)],
            &["client_not_accepted"],
        ),
        (
            "an unknown client under a suite that is not accepted",
            vec![probe(One, Authenticated, false), probe(F002, Authenticated, false), probe(F002, Anonymous, true)],
            &["suite_not_accepted", "client_not_accepted"],
        ),
        (
            "a pre-shared key of a lost master",
            vec![probe(F002, WithPsk, false), probe(F002, Authenticated, true), probe(F002, Anonymous, false)],
            &["psk_not_accepted"],
        ),
        (
            "a pre-shared key that the server wants",
            vec![probe(F002, WithPsk, true), probe(F002, Authenticated, false)],
            &["well"],
        ),
        ("a long reply", vec![probe(F002, Anonymous, false), padded(F002, Anonymous, 1232, true)], &["reply_too_long"]),
        (
            "a long reply under suite 1",
            vec![probe(One, Anonymous, false), probe(F002, Anonymous, false), padded(F002, Anonymous, 1232, true)],
            &["reply_too_long"],
        ),
        (
            "fresh replies are required",
            vec![fresh(F002, Anonymous, false, false), fresh(F002, Anonymous, true, true)],
            &["fresh_replies"],
        ),
        (
            "fresh replies are refused",
            vec![fresh(F002, Anonymous, true, false), fresh(F002, Anonymous, false, true)],
            &["fresh_replies"],
        ),
    ]);
}

#[test]
fn reports_of_the_network_name_the_cause() {
    check(vec![
        ("nothing comes back", vec![probe(F002, Anonymous, false), probe(One, Anonymous, false)], &["silence"]),
        (
            "the port is closed, and one report is lost",
            vec![probe(F002, Anonymous, false), with(Recipe::plain(One, Anonymous), Outcome::Closed)],
            &["port_closed"],
        ),
        (
            "no route",
            vec![with(Recipe::plain(F002, Anonymous), Outcome::NoRoute("Network is unreachable".into()))],
            &["no_route"],
        ),
        ("a firewall here", vec![with(Recipe::plain(F002, Anonymous), Outcome::Forbidden)], &["firewall_rejects"]),
        ("a name server", vec![with(Recipe::plain(F002, Anonymous), Outcome::OtherPackets)], &["another_program"]),
        (
            "no shared secret for the key",
            vec![with(Recipe::plain(F002, Authenticated), Outcome::NotSent("no shared secret".into()))],
            &["cannot_seal"],
        ),
        (
            "a tiny path",
            vec![with(Recipe::plain(F002, Anonymous), Outcome::TooLong { path_mtu: None })],
            &["path_too_narrow"],
        ),
        (
            "it was answered late",
            vec![with(Recipe::plain(F002, Anonymous), Outcome::Answered { packets: 3 })],
            &["packets_lost", "well"],
        ),
        (
            "without a difference that explains it",
            vec![probe(F002, Authenticated, false), probe(F002, Anonymous, true), probe(One, Authenticated, true)],
            &["packets_lost"],
        ),
    ]);
}

#[test]
fn what_cannot_be_told_apart_is_listed() {
    let anonymous = seen(vec![probe(F002, Anonymous, false), probe(One, Anonymous, false)]);
    assert_eq!(
        possible(&anonymous),
        [
            "host_down",
            "packets_dropped",
            "wrong_key",
            "anonymous_refused",
            "suite_not_accepted",
            "service_failed",
            "rate_limited"
        ]
    );
    // The machine is up, so it is not that.
    let machine: IpAddr = "192.0.2.7".parse().unwrap();
    let up = Observations { reports_closed_ports: vec![(machine, true)], ..anonymous.clone() };
    assert!(!possible(&up).contains(&"host_down"));
    assert!(conclude(&up)[0].text.contains("the machine is up"), "{:?}", conclude(&up));

    let all: Vec<_> = [One, F002, F003]
        .into_iter()
        .flat_map(|suite| [probe(suite, Authenticated, false), probe(suite, Anonymous, false)])
        .collect();
    let enrolled = possible(&seen(all));
    assert!(["unknown_client", "client_refused", "psk_required"].iter().all(|cause| enrolled.contains(cause)));
    assert!(!enrolled.contains(&"suite_not_accepted") && !enrolled.contains(&"anonymous_refused"), "{enrolled:?}");

    let unknown = seen(vec![probe(F002, Authenticated, false), probe(F002, Anonymous, true)]);
    assert_eq!(possible(&unknown), ["unknown_client", "client_refused", "psk_required"]);
    let with_psk = seen(vec![probe(F002, WithPsk, false), probe(F002, Anonymous, true)]);
    assert_eq!(possible(&with_psk), ["unknown_client", "client_refused", "psk_not_accepted"]);
    // The key of suite f003 may be wrong while the other one is right.
    let f003 = vec![probe(F003, Anonymous, false), probe(F002, Anonymous, true), padded(F002, Anonymous, 1232, true)];
    assert_eq!(possible(&seen(f003)), ["suite_not_accepted", "wrong_key"]);
}

#[test]
fn names_files_and_directories_come_before_the_server() {
    let mut lost = seen(Vec::new());
    lost.resolved.addresses = Err("Name or service not known".into());
    assert_eq!(causes(&lost), ["name_not_found"]);

    let answered = || seen(vec![probe(F002, Anonymous, true)]);
    let silent = || seen(vec![probe(F002, Anonymous, false)]);
    let of = |directory, seen: Observations| causes(&Observations { directory: Some(directory), ..seen });
    assert_eq!(of(directory(), answered()), ["well"]);
    assert_eq!(of(refused(DirectoryFaultKind::Unreachable), answered()), ["directory_unreachable", "well"]);
    assert_eq!(of(refused(DirectoryFaultKind::Unreachable), seen(Vec::new())), ["directory_unreachable"]);
    assert_eq!(of(refused(DirectoryFaultKind::NotTrusted), seen(Vec::new())), ["directory_not_trusted"]);
    assert_eq!(of(refused(DirectoryFaultKind::Document), seen(Vec::new())), ["directory_document"]);
    assert_eq!(of(refused(DirectoryFaultKind::WrongKey), silent()), ["wrong_key", "silence"]);
    for (lead, expected) in [(-180, "3 min behind"), (179, "3 min ahead of"), (90_000, "25 h ahead of")] {
        let wrong = Directory { clock_lead: Some(SignedDuration::from_secs(lead)), ..directory() };
        let seen = Observations { directory: Some(wrong), ..answered() };
        assert_eq!(causes(&seen), ["clock", "well"]);
        assert!(conclude(&seen)[0].text.contains(expected), "{:?}", conclude(&seen));
    }
    let cache = Cache { path: "keys.json".into(), issued: None, is_listed: Some(false) };
    let outdated = Directory { cache: Some(cache), ..directory() };
    assert_eq!(of(outdated.clone(), silent()), ["wrong_key"]);
    assert_eq!(of(outdated, answered()), ["wrong_key", "well"]);

    let mut file = answered();
    file.key_files.push(("boiler.key is empty".into(), "restore it".into()));
    assert_eq!(causes(&file), ["key_file", "well"]);
}

#[test]
fn each_address_is_told_of() {
    let second = "[2001:db8::7]:45678".parse().unwrap();
    let mut both = seen(vec![probe(F002, Anonymous, true)]);
    both.server = "pool.example:45678".into();
    both.resolved.addresses = Ok(vec![ADDRESS.parse().unwrap(), second]);
    let recipe = Recipe::plain(F002, Anonymous);
    let at_second = |outcome| Probe { address: second, ..with(recipe, outcome) };
    both.probes.push(at_second(ANSWERED));
    let conclusions = conclude(&both);
    assert_eq!(conclusions.len(), 1);
    let named = "pool.example:45678 (192.0.2.7:45678, [2001:db8::7]:45678) answers this client";
    assert!(conclusions[0].text.starts_with(named), "{}", conclusions[0].text);

    both.probes.pop();
    both.probes.push(at_second(Outcome::Closed));
    let conclusions = conclude(&both);
    assert_eq!(causes(&both), ["port_closed", "well"]);
    assert!(conclusions[0].text.contains("[2001:db8::7]") && !conclusions[0].text.contains("192.0.2.7"));
    assert!(conclusions[1].text.starts_with("192.0.2.7:45678 answers"), "{}", conclusions[1].text);
}
