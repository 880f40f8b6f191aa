//! The failure of a command, and what the user can do about it.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use crate::stderr::{self, report_error};

/// A failure, reported in two lines: what happened, and what to do next.
#[derive(Debug)]
pub struct Failure {
    what: String,
    remedy: String,
    kind: Kind,
    /// The option, or the key of a configuration file, that it is about.
    option: Option<&'static str>,
    /// What else is wrong.
    others: Vec<Self>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Exit code 1.
    Failed,
    /// Exit code 2, as for anything else that is wrong with the command line.
    Usage,
    /// Exit code 3.
    NoReply,
    /// The reader closed our output, which is not a failure.
    OutputClosed,
}

impl Failure {
    /// Returns a failure with exit code 1: what happened, and what to do.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into(), kind: Kind::Failed, option: None, others: Vec::new() }
    }

    /// Returns a failure with exit code 2: something that the user said is wrong.
    pub fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, ..Self::new(what, remedy) }
    }

    /// Returns a failure with exit code 3: no reply came in time.
    pub fn no_reply(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { kind: Kind::NoReply, ..Self::new(what, remedy) }
    }

    /// Replaces what to do.
    #[must_use]
    pub fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }

    /// Adds where it happened.
    #[must_use]
    pub fn with_context(self, context: impl Display) -> Self {
        Self { what: format!("{context}: {}", self.what), ..self }
    }

    /// Returns what happened.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Returns what to do.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    /// Returns each of the things that went wrong by itself.
    pub fn each(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }

    /// Returns whether something that the user said is wrong.
    pub const fn is_usage(&self) -> bool {
        matches!(self.kind, Kind::Usage)
    }

    /// Names the option that it is about.
    #[must_use]
    pub fn of_option(self, option: &'static str) -> Self {
        Self { option: Some(option), ..self }
    }

    /// Makes it something that is wrong with what the user said.
    #[must_use]
    pub fn into_usage(self) -> Self {
        Self { kind: Kind::Usage, ..self }
    }

    /// Changes each of the things that are wrong by itself.
    #[must_use]
    pub fn map_each(mut self, change: impl Fn(Self) -> Self) -> Self {
        let others = std::mem::take(&mut self.others).into_iter().map(&change).collect();
        Self { others, ..change(self) }
    }

    /// Returns each of the things that are wrong by itself.
    pub fn into_each(mut self) -> Vec<Self> {
        let others = std::mem::take(&mut self.others);
        [self].into_iter().chain(others).collect()
    }

    /// Returns the option that it is about.
    pub const fn option(&self) -> Option<&'static str> {
        self.option
    }

    /// Returns all that went well, or else all that did not.
    ///
    /// # Errors
    /// One failure that holds each of the outcomes'.
    pub fn collect<T>(outcomes: impl Iterator<Item = Result<T, Self>>) -> Result<Vec<T>, Self> {
        let mut done = Vec::new();
        let mut failures = Vec::new();
        for outcome in outcomes {
            match outcome {
                Ok(value) => done.push(value),
                Err(mut failure) => {
                    let others = std::mem::take(&mut failure.others);
                    failures.push(failure);
                    failures.extend(others);
                }
            }
        }
        let mut failures = failures.into_iter();
        match failures.next() {
            None => Ok(done),
            Some(first) => Err(Self { others: failures.collect(), ..first }),
        }
    }

    /// Standard output could not be written.
    pub fn output(error: &io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::BrokenPipe { Kind::OutputClosed } else { Kind::Failed };
        Self { kind, ..Self::new(format!("cannot write the output: {error}"), "check that the disk is not full") }
    }

    /// Tells the user, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        let code = match self.kind {
            Kind::OutputClosed => return ExitCode::SUCCESS,
            Kind::Failed => ExitCode::from(1),
            Kind::Usage => ExitCode::from(2),
            Kind::NoReply => ExitCode::from(3),
        };
        report_error(self);
        stderr::flush();
        code
    }
}

/// Writes the message, the advice, and further failures.
impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error: {}\n help: {}", self.what, self.remedy)?;
        self.others.iter().try_for_each(|other| write!(f, "\n{other}"))
    }
}
