//! From observations to conclusions: a pure function.
//!
//! A server does not answer what it refuses. So each conclusion comes from a difference: what was
//! answered beside what was not. Where nothing was, all causes that are left are named.

use std::net::SocketAddr;

use pssst::Suite;

use super::observations::{Directory, DirectoryFaultKind, Mode, Observations, Outcome, Probe, Recipe, name};
use super::report::{Cause, Conclusion, Grade, Side};

/// A difference of clocks that is not worth a word.
const MAX_CLOCK_ERROR_SECONDS: u64 = 30;

/// Returns what the observations mean, the most important conclusion first.
pub(super) fn conclude(seen: &Observations) -> Vec<Conclusion> {
    let mut conclusions: Vec<_> = seen.key_files.iter().map(|(what, remedy)| key_file(what, remedy)).collect();
    match &seen.resolved.addresses {
        Err(error) => conclusions.push(name_not_found(&seen.server, error)),
        Ok(addresses) => {
            if let Some(intended) = &seen.intended {
                conclusions.extend(of_addresses(seen, addresses, intended));
            }
        }
    }
    if let Some(directory) = &seen.directory {
        conclusions.extend(of_directory(directory, seen.intended.is_some()));
    }
    let has_old_key = seen.directory.as_ref().is_some_and(is_outdated);
    if has_old_key {
        // Which explains these.
        let is_explained = |cause| matches!(cause, Cause::SuiteNotAccepted | Cause::Silence);
        conclusions.retain(|conclusion| !is_explained(conclusion.cause));
    }
    // Faults first; else in the order above.
    conclusions.sort_by_key(|conclusion| std::cmp::Reverse(conclusion.grade.index()));
    conclusions
}

fn key_file(what: &str, remedy: &str) -> Conclusion {
    Conclusion::fault(Cause::KeyFile, what).next(Side::Here, remedy)
}

fn name_not_found(server: &str, error: &str) -> Conclusion {
    Conclusion::fault(Cause::NameNotFound, format!("this machine finds no address of {server}: {error}"))
        .next(Side::Here, "check the spelling, and what the name servers answer: `getent hosts NAME`, /etc/resolv.conf")
}

/// Returns whether the client uses a key that the directory no longer lists.
fn is_outdated(directory: &Directory) -> bool {
    directory.cache.as_ref().is_some_and(|cache| cache.is_listed == Some(false))
}

fn of_directory(directory: &Directory, has_key: bool) -> Vec<Conclusion> {
    let mut conclusions = Vec::new();
    if let Err(fault) = &directory.answer {
        let (cause, side) = match fault.kind {
            DirectoryFaultKind::Unreachable => (Cause::DirectoryUnreachable, Side::Directory),
            DirectoryFaultKind::NotTrusted => (Cause::DirectoryNotTrusted, Side::Here),
            DirectoryFaultKind::Document => (Cause::DirectoryDocument, Side::Directory),
            DirectoryFaultKind::WrongKey => (Cause::WrongKey, Side::Here),
        };
        let rest = if has_key {
            "the server was asked with the key that is known here"
        } else {
            "without its keys the server cannot be asked"
        };
        let what = format!("{}: {}; {rest}", directory.url, fault.what);
        conclusions.push(Conclusion::fault(cause, what).next(side, fault.remedy.as_str()));
    }
    if let Some(cache) = directory.cache.as_ref().filter(|_| is_outdated(directory)) {
        let what = format!("the key in {} is not one that the directory lists: it is over", cache.path);
        conclusions.push(Conclusion::fault(Cause::WrongKey, what).next(
            Side::Here,
            "fetch the keys (`pssst keys fetch` with the same options), and check why the client does not do so itself",
        ));
    }
    if let Some(lead) = directory.clock_lead.filter(|lead| lead.unsigned_abs().as_secs() > MAX_CLOCK_ERROR_SECONDS) {
        let seconds = lead.unsigned_abs().as_secs();
        let (way, time) = (if lead.is_negative() { "behind" } else { "ahead of" }, span(seconds));
        let what = format!("the clock of this machine is {time} {way} the directory's: one of them is wrong");
        conclusions.push(
            Conclusion::fault(Cause::Clock, what)
                .next(Side::Here, "compare the clock with a third one, and synchronise it: `timedatectl`")
                .next(Side::Directory, "the same; keys change by its clock"),
        );
    }
    conclusions
}

/// Returns seconds in words.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", (seconds + 30) / 60),
        7200..172_800 => format!("{} h", (seconds + 1800) / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Returns a conclusion for each group of addresses with the same causes.
fn of_addresses(seen: &Observations, addresses: &[SocketAddr], intended: &Recipe) -> Vec<Conclusion> {
    let mut groups: Vec<(Vec<Conclusion>, Vec<SocketAddr>)> = Vec::new();
    let causes = |conclusions: &[Conclusion]| conclusions.iter().map(|one| one.cause).collect::<Vec<_>>();
    for &address in addresses {
        let at = At::new(seen, address, intended);
        let conclusions = at.conclude();
        match groups.iter_mut().find(|(others, _)| causes(others) == causes(&conclusions)) {
            Some((_, same)) => same.push(address),
            None => groups.push((conclusions, vec![address])),
        }
    }
    let is_split = groups.len() > 1;
    let named = |(conclusions, addresses): (Vec<Conclusion>, Vec<SocketAddr>)| {
        let all = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let is_alone = !is_split && (addresses.len() == 1 && all == seen.server);
        let at = if is_alone {
            seen.server.clone()
        } else if is_split {
            all
        } else {
            format!("{} ({all})", seen.server)
        };
        conclusions.into_iter().map(move |one| Conclusion { text: one.text.replace(AT, &at), ..one })
    };
    groups.into_iter().flat_map(named).collect()
}

/// Stands for the addresses in a text.
const AT: &str = "{at}";

/// The observations at one address.
struct At<'a> {
    seen: &'a Observations,
    intended: &'a Recipe,
    probes: Vec<&'a Probe>,
    reports_closed_ports: bool,
}

impl<'a> At<'a> {
    fn new(seen: &'a Observations, address: SocketAddr, intended: &'a Recipe) -> Self {
        let probes = seen.probes.iter().filter(|probe| probe.address == address).collect();
        let reports_closed_ports = seen.reports_closed_ports.contains(&(address.ip(), true));
        Self { seen, intended, probes, reports_closed_ports }
    }

    fn conclude(&self) -> Vec<Conclusion> {
        if let Some(Outcome::Answered { packets }) = self.of(self.intended).map(|probe| &probe.outcome) {
            return self.well(*packets);
        }
        if let Some(Outcome::NotSent(why)) = self.of(self.intended).map(|probe| &probe.outcome) {
            let what = format!("the request cannot be made with these keys and options: {why}");
            return vec![Conclusion::fault(Cause::CannotSeal, what).next(
                Side::Here,
                "check --identity, --psk and --server-key: `pssst renew` gets new secrets from the directory",
            )];
        }
        if !self.probes.iter().any(|probe| is_answered(probe)) {
            return vec![self.nothing_answered()];
        }
        let found = [self.path(), self.reply_len(), self.freshness(), self.suite(), self.client()];
        let found: Vec<_> = found.into_iter().flatten().collect();
        if !found.is_empty() {
            return found;
        }
        let what = format!(
            "{AT} answers some requests, and not those that this client sends ({}), without a difference that explains \
             it: packets are lost",
            self.intended
        );
        vec![
            Conclusion::fault(Cause::PacketsLost, what).next(Side::Network, "run it again, or with a longer --timeout"),
        ]
    }

    fn of(&self, recipe: &Recipe) -> Option<&Probe> {
        self.probes.iter().find(|probe| probe.recipe == *recipe).copied()
    }

    fn is_answered(&self, recipe: &Recipe) -> bool {
        self.of(recipe).is_some_and(is_answered)
    }

    fn answered(&self) -> impl Iterator<Item = &Recipe> {
        self.probes.iter().filter(|probe| is_answered(probe)).map(|probe| &probe.recipe)
    }

    fn well(&self, packets: u64) -> Vec<Conclusion> {
        let what = format!("{AT} answers this client: {}", self.intended);
        let well = Conclusion::new(Cause::Well, Grade::Ok, what);
        if packets < 2 {
            return vec![well];
        }
        let what = format!("the reply of {AT} took {packets} packets: some were lost, or the server is slow");
        let lost = Conclusion::new(Cause::PacketsLost, Grade::Warning, what);
        vec![well, lost.next(Side::Network, "run it again; if it stays so, measure with `pssst bench --rate 10`")]
    }

    /// The path does not carry packets as long as those that are sent.
    fn path(&self) -> Option<Conclusion> {
        let probe = self.of(self.intended)?;
        let len = probe.packet_len;
        let (limit, reported) = match &probe.outcome {
            Outcome::TooLong { path_mtu } => (path_mtu.map(|mtu| format!(" (its MTU is {mtu})")), true),
            _ => (None, false),
        };
        let passes = |probe: &&&Probe| is_answered(probe);
        let longest = self.probes.iter().filter(passes).map(|probe| probe.packet_len).max()?;
        // Sealed with the key that is known to be right, and as long.
        let is_blocked = |probe: &&&Probe| probe.packet_len >= len && has_x25519_key(&probe.recipe);
        let has_blocked = self.probes.iter().any(|probe| {
            is_blocked(&probe) && self.is_answered(&Recipe { padded_to: None, ..probe.recipe }) && !is_answered(probe)
        });
        if !reported && (longest >= len || !has_blocked) {
            return None;
        }
        let what = format!(
            "the path to {AT} does not carry packets of {len} bytes{}, as this client sends; those of {longest} bytes \
             were answered",
            limit.unwrap_or_default()
        );
        let narrow = Conclusion::fault(Cause::PathTooNarrow, what);
        let narrow = if reported {
            narrow
        } else {
            narrow.next(Side::Server, "check that its --max-datagram is not lower than that")
        };
        let shorter = match self.intended.suite {
            Suite::XWingAes256GcmSiv => {
                "--pad-to none makes requests shorter, and --fallback, with --psk, much shorter"
            }
            _ => "send less, or pad to fewer bytes with --pad-to",
        };
        Some(
            narrow
                .next(Side::Here, shorter)
                .next(Side::Network, "raise the MTU (tunnels have a smaller one), and let ICMP pass, which reports it"),
        )
    }

    /// The reply is too long beside the request.
    fn reply_len(&self) -> Option<Conclusion> {
        let own = self.intended.packet_len(0);
        let longer = self.answered().filter(|recipe| {
            let same = Recipe { padded_to: self.intended.padded_to, ..**recipe };
            same == *self.intended && recipe.padded_to.is_some_and(|len| len > own)
        });
        // Under suite 1, which has no padding, another suite shows it.
        let shown = self.answered().filter(|recipe| {
            self.intended.suite == Suite::X25519AesGcm128
                && recipe.mode == self.intended.mode
                && recipe.padded_to.is_some()
                && !self.is_answered(&Recipe { padded_to: None, ..**recipe })
        });
        let len = longer.chain(shown).filter_map(|recipe| recipe.padded_to).min()?;
        let other_suite = if self.intended.suite == Suite::X25519AesGcm128 { "--suite f002 " } else { "" };
        let what = format!(
            "{AT} answers requests that are padded to {len} bytes, and not those of {} bytes that this client sends: the \
             reply is longer than the server may send to so short a request",
            self.of(self.intended).map_or(own, |probe| probe.packet_len)
        );
        Some(
            Conclusion::fault(Cause::ReplyTooLong, what)
                .next(Side::Here, format!("give {other_suite}--pad-to {len}"))
                .next(
                    Side::Server,
                    "or raise --max-amplification, or --max-authenticated-amplification for its clients",
                ),
        )
    }

    /// The server wants requests for fresh replies, or none.
    fn freshness(&self) -> Option<Conclusion> {
        let wants = self.intended.wants_fresh_reply;
        let other = |recipe: &&Recipe| {
            **recipe == Recipe { wants_fresh_reply: !wants, padded_to: recipe.padded_to, ..*self.intended }
        };
        self.answered().find(other)?;
        let same = |recipe: &Recipe| recipe.suite == self.intended.suite && recipe.wants_fresh_reply == wants;
        if self.answered().any(same) {
            return None;
        }
        let (rule, remedy, server) = if wants {
            ("gives no fresh replies, which this client asks for", "omit --fresh-replies", "or give them")
        } else {
            ("answers only requests for fresh replies", "give --fresh-replies", "or do not require them")
        };
        let what = format!("{AT} {rule}");
        Some(
            Conclusion::fault(Cause::FreshReplies, what)
                .next(Side::Here, remedy)
                .next(Side::Server, format!("{server}: `--fresh-replies allow`")),
        )
    }

    /// The server answers other suites.
    fn suite(&self) -> Option<Conclusion> {
        let own = self.intended.suite;
        let suites = [Suite::X25519AesGcm128, Suite::X25519Aes256GcmSiv, Suite::XWingAes256GcmSiv];
        let accepted: Vec<_> =
            suites.into_iter().filter(|suite| self.answered().any(|it| it.suite == *suite)).collect();
        if accepted.contains(&own) || self.path().is_some() || self.reply_len().is_some() {
            return None;
        }
        let best = accepted.iter().copied().find(|suite| *suite == Suite::X25519Aes256GcmSiv);
        let best = best.or_else(|| accepted.first().copied()).map(name).unwrap_or_default();
        let accepted = accepted.into_iter().map(name).collect::<Vec<_>>();
        let what = format!(
            "{AT} answers requests of suite {}, and not of suite {}, which this client sends: it does not accept that suite",
            accepted.join(" and "),
            name(own)
        );
        let fault = Conclusion::fault(Cause::SuiteNotAccepted, what);
        // Both kinds of keys are needed to exclude that one of them is wrong.
        let is_of_other_key = own == Suite::XWingAes256GcmSiv || accepted == [name(Suite::XWingAes256GcmSiv)];
        let fault = if is_of_other_key {
            let kind = if own == Suite::XWingAes256GcmSiv { "suite f003" } else { "suites 1 and f002" };
            let wrong = format!("the key for {kind} that is known here is not the server's");
            fault.or(Cause::SuiteNotAccepted, "the server does not accept it").or(Cause::WrongKey, wrong)
        } else {
            fault
        };
        Some(
            fault
                .next(Side::Here, format!("give --suite {best}"))
                .next(Side::Server, format!("or accept it: `--suite {}`, and its key", name(own))),
        )
    }

    /// The server answers others.
    fn client(&self) -> Option<Conclusion> {
        let own = self.intended.mode;
        if self.answered().any(|recipe| recipe.mode == own) || self.reply_len().is_some() || own == Mode::Anonymous {
            return None;
        }
        let key = self.seen.client_key.as_deref().unwrap_or_default();
        if own == Mode::WithPsk && self.answered().any(|recipe| recipe.mode == Mode::Authenticated) {
            let what = format!("{AT} answers this client without its pre-shared key, and not with it");
            return Some(
                Conclusion::fault(Cause::PskNotAccepted, what)
                    .next(
                        Side::Here,
                        "get a new one with `pssst renew`; check that --psk and --identity belong together",
                    )
                    .next(Side::Server, "check that it has the pool's masters: `pssst keys show`, or --psk-master"),
            );
        }
        let what = format!(
            "{AT} answers anonymous requests, and not those of this client: it does not accept the client's key {key}"
        );
        let mut fault = Conclusion::fault(Cause::ClientNotAccepted, what);
        for (cause, text) in self.why_client_is_refused() {
            fault = fault.or(cause, text);
        }
        Some(fault.next(Side::Server, LOOK_FOR_CLIENT).next(Side::Here, ENROL))
    }

    fn why_client_is_refused(&self) -> impl Iterator<Item = (Cause, &'static str)> {
        let psk = match self.intended.mode {
            Mode::WithPsk => "its pre-shared key is another client's, or of a master that the server no longer has",
            _ => "the client has a pre-shared key, and must use it (--psk)",
        };
        let cause = if self.intended.mode == Mode::WithPsk { Cause::PskNotAccepted } else { Cause::PskRequired };
        [
            (Cause::UnknownClient, "the client's key is not enrolled"),
            (Cause::ClientRefused, "the client is suspended, revoked or expired"),
            (cause, psk),
        ]
        .into_iter()
    }

    fn nothing_answered(&self) -> Conclusion {
        let is = |wanted: fn(&Outcome) -> bool| self.probes.iter().any(|probe| wanted(&probe.outcome));
        if is(|outcome| *outcome == Outcome::Closed) {
            let what = format!("nothing listens at {AT}: the machine reports that the port is closed");
            return Conclusion::fault(Cause::PortClosed, what)
                .next(Side::Here, "check the address and the port")
                .next(Side::Server, "start the service; `ss -lnup` shows at which addresses and ports it listens");
        }
        if is(|outcome| *outcome == Outcome::Forbidden) {
            let what = format!("a firewall refuses packets to {AT}, and says so");
            return Conclusion::fault(Cause::FirewallRejects, what)
                .next(Side::Here, "check the rules for outgoing UDP: `nft list ruleset`");
        }
        let no_route = self.probes.iter().find_map(|probe| match &probe.outcome {
            Outcome::NoRoute(why) => Some(why),
            _ => None,
        });
        if let Some(why) = no_route {
            let what = format!("there is no way to {AT}: {why}");
            return Conclusion::fault(Cause::NoRoute, what)
                .next(Side::Here, "check the address, and the network: `ip route get ADDRESS`")
                .next(Side::Network, "a router or firewall on the way may report this, too");
        }
        if let Some(path_mtu) = self.probes.iter().find_map(|probe| match probe.outcome {
            Outcome::TooLong { path_mtu } => Some(path_mtu),
            _ => None,
        }) && self.probes.iter().all(|probe| matches!(probe.outcome, Outcome::TooLong { .. }))
        {
            let mtu = path_mtu.map(|mtu| format!(" (its MTU is {mtu})")).unwrap_or_default();
            let what = format!("the path to {AT} does not carry even the shortest packets that were tried{mtu}");
            return Conclusion::fault(Cause::PathTooNarrow, what).next(Side::Network, "raise the MTU of the path");
        }
        if is(|outcome| *outcome == Outcome::OtherPackets) {
            let what =
                format!("packets come from {AT} that are not replies: another program listens there, or is in between");
            return Conclusion::fault(Cause::AnotherProgram, what)
                .next(Side::Here, "check the address and the port")
                .next(Side::Server, "`ss -lnup` shows which program has the port");
        }
        self.silence()
    }

    /// Nothing came back.
    fn silence(&self) -> Conclusion {
        let reported = "; the machine is up, since it reports that another port is closed";
        let up = if self.reports_closed_ports { reported } else { "" };
        let tried = self.tried();
        let what = format!(
            "nothing comes back from {AT}, whatever is sent ({tried}){up}. A server does not answer what it refuses, so \
             these causes cannot be told apart from here"
        );
        let mut silence = Conclusion::new(Cause::Silence, Grade::Silent, what);
        if !self.reports_closed_ports {
            silence = silence.or(Cause::HostDown, "no machine is up at this address, or it is the wrong address");
        }
        silence = silence
            .or(Cause::PacketsDropped, "a firewall drops the packets to this port, there, here or on the way")
            .or(Cause::WrongKey, self.wrong_key());
        if self.intended.mode == Mode::Anonymous {
            silence = silence.or(Cause::AnonymousRefused, "the server serves enrolled clients only (--identity)");
        } else {
            for (cause, text) in self.why_client_is_refused() {
                silence = silence.or(cause, format!("the server refuses anonymous clients, and {text}"));
            }
        }
        let sent = |suite| self.probes.iter().any(|probe| probe.recipe.suite == suite);
        let suites = [Suite::X25519AesGcm128, Suite::X25519Aes256GcmSiv, Suite::XWingAes256GcmSiv];
        let untried = suites.into_iter().filter(|suite| !sent(*suite)).map(name).collect::<Vec<_>>();
        if !untried.is_empty() {
            let text =
                format!("the server accepts only suite {}, which there is no key for here", untried.join(" or "));
            silence = silence.or(Cause::SuiteNotAccepted, text);
        }
        silence
            .or(Cause::ServiceFailed, "the service behind the server fails, or gives no reply")
            .or(Cause::RateLimited, "the server's rate limit is exhausted")
            .next(Side::Server, LOOK_AT_SERVER)
            .next(Side::Server, LOOK_FOR_CLIENT)
            .next(Side::Here, "compare the server's key with what the server prints when it starts")
    }

    fn tried(&self) -> String {
        let mut suites = Vec::new();
        let mut modes = Vec::new();
        for probe in &self.probes {
            let (suite, mode) = (name(probe.recipe.suite), probe.recipe.mode.to_string());
            if !suites.contains(&suite) {
                suites.push(suite);
            }
            if !modes.contains(&mode) {
                modes.push(mode);
            }
        }
        format!("suites {}; {}", suites.join(", "), modes.join(", "))
    }

    fn wrong_key(&self) -> &'static str {
        let is_from_directory = self.seen.directory.as_ref().is_some_and(|directory| directory.answer.is_ok());
        if is_from_directory {
            "the server does not have the keys of this directory: it follows another schedule"
        } else {
            "the server has another key than the one that is known here"
        }
    }
}

const LOOK_AT_SERVER: &str = "run `pssst doctor --config FILE` there, and this again meanwhile: in `pssst status` no packet means that the network \
     drops them, decrypt_failed that the key is wrong, and other refusals name themselves";
const LOOK_FOR_CLIENT: &str = "`pssst clients refused --store LOCATION` lists refused clients by name and cause, and `pssst clients show KEY` the \
     state of one";
const ENROL: &str = "enrol it with `pssst enroll` and a token of the operator, or give the right --identity";

const fn is_answered(probe: &Probe) -> bool {
    matches!(probe.outcome, Outcome::Answered { .. })
}

fn has_x25519_key(recipe: &Recipe) -> bool {
    recipe.suite != Suite::XWingAes256GcmSiv
}

#[cfg(test)]
mod tests;
