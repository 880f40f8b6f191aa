//! The report: conclusions first, then the evidence, then what to do.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use pssst_support::named_enum;
use serde::{Serialize, Serializer};

named_enum! {
    /// Causes of silence, and their absence. Scripts rely on the names, which docs/no-answer.md
    /// lists.
    #[derive(PartialOrd, Ord)]
    pub(super) enum Cause {
        /// Everything that was examined is as it should be.
        Well => "well",
        /// A key's file cannot be used.
        KeyFile => "key_file",
        /// No address of the server's name is found.
        NameNotFound => "name_not_found",
        /// The directory does not answer.
        DirectoryUnreachable => "directory_unreachable",
        /// The directory has another certificate than the pin or the authorities say.
        DirectoryNotTrusted => "directory_not_trusted",
        /// The directory answers with something that cannot be used.
        DirectoryDocument => "directory_document",
        /// The server has another key than the given one.
        WrongKey => "wrong_key",
        /// The clocks of this machine and of the directory differ.
        Clock => "clock",
        /// Requests cannot be sealed with these keys.
        CannotSeal => "cannot_seal",
        /// The network knows no way to the server.
        NoRoute => "no_route",
        /// A firewall refuses the packets, and says so.
        FirewallRejects => "firewall_rejects",
        /// Nothing listens at the server's port.
        PortClosed => "port_closed",
        /// What answers does not speak the protocol.
        AnotherProgram => "another_program",
        /// The path does not carry packets as long as the requests.
        PathTooNarrow => "path_too_narrow",
        /// The server does not accept the suite.
        SuiteNotAccepted => "suite_not_accepted",
        /// The server does not accept this client.
        ClientNotAccepted => "client_not_accepted",
        /// The server does not accept this client's pre-shared key.
        PskNotAccepted => "psk_not_accepted",
        /// The server gives fresh replies only, or none.
        FreshReplies => "fresh_replies",
        /// The reply is longer than the server may send.
        ReplyTooLong => "reply_too_long",
        /// Nothing comes back, and the rest cannot be told from here.
        Silence => "silence",
        /// Packets are lost now and then.
        PacketsLost => "packets_lost",
        /// The client's key is not enrolled.
        UnknownClient => "unknown_client",
        /// The client is suspended, revoked or expired.
        ClientRefused => "client_refused",
        /// The client has to prove its pre-shared key.
        PskRequired => "psk_required",
        /// The server serves enrolled clients only.
        AnonymousRefused => "anonymous_refused",
        /// The machine is switched off, or is not at this address.
        HostDown => "host_down",
        /// A firewall or a router drops the packets.
        PacketsDropped => "packets_dropped",
        /// The service behind the server fails, or gives no reply.
        ServiceFailed => "service_failed",
        /// More requests came than the server's limit allows.
        RateLimited => "rate_limited",
        /// The configuration file is wrong.
        Configuration => "configuration",
        /// The running service is not well.
        NotReady => "not_ready",
        /// The running service has refused or lost requests.
        Refusals => "refusals",
        /// A port cannot be had, or the service does not have it.
        PortTaken => "port_taken",
        /// The store of clients cannot be opened.
        StoreUnreachable => "store_unreachable",
        /// Nobody is enrolled.
        StoreEmpty => "store_empty",
        /// The service behind a gateway cannot be reached.
        UpstreamUnreachable => "upstream_unreachable",
        /// The schedule of keys cannot be used.
        Schedule => "schedule",
        /// A certificate has expired or soon will.
        Certificate => "certificate",
        /// The system's socket buffers are too small.
        SocketBuffers => "socket_buffers",
        /// The limit on open files is too low.
        OpenFiles => "open_files",
        /// A disk is nearly full.
        DiskSpace => "disk_space",
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

named_enum! {
    /// How good or bad something is.
    #[derive(Serialize)]
    #[serde(rename_all = "lowercase")]
    pub(super) enum Grade {
        /// As it should be.
        Ok => "ok",
        /// A fact without a grade.
        Note => "note",
        /// It works, and the operator should look at it.
        Warning => "warning",
        /// Nothing came back: the cause cannot be told from here.
        Silent => "silent",
        /// It does not work.
        Fault => "fault",
    }
}

named_enum! {
    /// Where something has to be done.
    #[derive(Serialize)]
    #[serde(rename_all = "lowercase")]
    pub(super) enum Side {
        /// On this machine.
        Here => "here",
        /// At the server.
        Server => "server",
        /// At the directory.
        Directory => "directory",
        /// On the way.
        Network => "network",
    }
}

impl Side {
    const fn in_words(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Server => "at the server",
            Self::Directory => "at the directory",
            Self::Network => "in the network",
        }
    }
}

/// The meaning of the evidence.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Conclusion {
    pub(super) cause: Cause,
    pub(super) grade: Grade,
    pub(super) text: String,
    /// The causes that are left where they cannot be told apart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) possible: Vec<Possible>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) next: Vec<Advice>,
}

/// A cause that cannot be excluded.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Possible {
    pub(super) cause: Cause,
    pub(super) text: String,
}

/// What to do.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Advice {
    pub(super) side: Side,
    pub(super) text: String,
}

impl Conclusion {
    pub(super) fn new(cause: Cause, grade: Grade, text: impl Into<String>) -> Self {
        Self { cause, grade, text: text.into(), possible: Vec::new(), next: Vec::new() }
    }

    pub(super) fn fault(cause: Cause, text: impl Into<String>) -> Self {
        Self::new(cause, Grade::Fault, text)
    }

    pub(super) fn or(mut self, cause: Cause, text: impl Into<String>) -> Self {
        self.possible.push(Possible { cause, text: text.into() });
        self
    }

    pub(super) fn next(mut self, side: Side, text: impl Into<String>) -> Self {
        self.next.push(Advice { side, text: text.into() });
        self
    }
}

/// One thing that was examined.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Evidence {
    pub(super) check: &'static str,
    pub(super) grade: Grade,
    pub(super) text: String,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seconds: Option<f64>,
}

impl Evidence {
    pub(super) fn new(check: &'static str, grade: Grade, text: impl Into<String>) -> Self {
        Self { check, grade, text: text.into(), seconds: None }
    }

    pub(super) fn took(self, time: Duration) -> Self {
        Self { seconds: Some((time.as_secs_f64() * 1e6).round() / 1e6), ..self }
    }
}

/// All that was found. Its fields are those of the JSON object.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) time: Timestamp,
    /// The server's address, or the configuration file.
    pub(super) subject: String,
    pub(super) grade: Grade,
    /// The most important one first.
    pub(super) conclusions: Vec<Conclusion>,
    pub(super) evidence: Vec<Evidence>,
}

impl Report {
    pub(super) fn new(
        version: &'static str,
        subject: String,
        conclusions: Vec<Conclusion>,
        evidence: Vec<Evidence>,
    ) -> Self {
        let worst = conclusions.iter().map(|conclusion| conclusion.grade).max_by_key(|grade| grade.index());
        Self { version, time: Timestamp::now(), subject, grade: worst.unwrap_or(Grade::Ok), conclusions, evidence }
    }

    /// Returns the exit code: 0 for all well, 1 for a fault, 2 for one of the configuration, 3
    /// where nothing came back.
    pub(super) fn exit_code(&self) -> ExitCode {
        if self.conclusions.iter().any(|conclusion| conclusion.cause == Cause::Configuration) {
            return ExitCode::from(2);
        }
        match self.grade {
            Grade::Ok | Grade::Note | Grade::Warning => ExitCode::SUCCESS,
            Grade::Fault => ExitCode::from(1),
            Grade::Silent => ExitCode::from(3),
        }
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        match self.write(&mut text) {
            // Strings take everything.
            Ok(()) | Err(std::fmt::Error) => text,
        }
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        for conclusion in &self.conclusions {
            writeln!(out, "{}: {}", conclusion.grade, conclusion.text)?;
            for possible in &conclusion.possible {
                writeln!(out, "  - {} ({})", possible.text, possible.cause)?;
            }
        }
        writeln!(out, "\nEvidence")?;
        let width = self.evidence.iter().map(|evidence| evidence.check.len()).max().unwrap_or_default();
        for Evidence { check, grade, text, seconds } in &self.evidence {
            let time = seconds.map(duration).unwrap_or_default();
            writeln!(out, "  {grade:7} {time:>8}  {check:width$}  {text}")?;
        }
        let advice = self.conclusions.iter().flat_map(|conclusion| &conclusion.next);
        let mut advice = advice.peekable();
        if advice.peek().is_some() {
            writeln!(out, "\nWhat to do")?;
        }
        advice.try_for_each(|advice| writeln!(out, "  - {}: {}", advice.side.in_words(), advice.text))
    }
}

fn duration(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.1} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(conclusions: Vec<Conclusion>) -> Report {
        let evidence = vec![
            Evidence::new("resolve", Grade::Ok, "localhost: 127.0.0.1").took(Duration::from_micros(1500)),
            Evidence::new("key", Grade::Note, "given"),
        ];
        Report::new("1.2.3", "localhost:1".into(), conclusions, evidence)
    }

    #[test]
    fn the_conclusion_comes_first() {
        let silence = Conclusion::new(Cause::Silence, Grade::Silent, "nothing comes back")
            .or(Cause::WrongKey, "another key")
            .next(Side::Server, "look there");
        assert_eq!(
            report(vec![silence]).to_text(),
            "silent: nothing comes back\n  - another key (wrong_key)\n\nEvidence\n  ok        1.5 ms  resolve  \
             localhost: 127.0.0.1\n  note              key      given\n\nWhat to do\n  - at the server: look there\n"
        );
        assert!(!report(vec![Conclusion::new(Cause::Well, Grade::Ok, "well")]).to_text().contains("What to do"));
    }

    #[test]
    fn the_worst_grade_gives_the_exit_code() {
        let grades = |grades: &[Grade]| {
            let conclusions = grades.iter().map(|grade| Conclusion::new(Cause::Well, *grade, ""));
            format!("{:?}", report(conclusions.collect()).exit_code())
        };
        let code = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(grades(&[Grade::Ok, Grade::Warning]), code(0));
        assert_eq!(grades(&[Grade::Silent, Grade::Warning]), code(3));
        assert_eq!(grades(&[Grade::Silent, Grade::Fault, Grade::Ok]), code(1));
    }

    #[test]
    fn the_documentation_lists_all_causes() {
        let page = include_str!("../../../../../docs/no-answer.md");
        for cause in Cause::ALL {
            assert!(page.contains(&format!("`{cause}`")), "{cause}");
        }
    }

    #[test]
    fn scripts_get_names_and_seconds() {
        let fault = Conclusion::fault(Cause::PortClosed, "closed").next(Side::Server, "start it");
        let value = serde_json::to_value(report(vec![fault])).unwrap();
        assert_eq!(value["grade"], "fault");
        assert_eq!(value["conclusions"][0]["cause"], "port_closed");
        assert_eq!(value["conclusions"][0]["next"][0]["side"], "server");
        assert_eq!(value["evidence"][0]["seconds"], 0.0015);
        assert!(value["evidence"][1].get("seconds").is_none());
    }
}
