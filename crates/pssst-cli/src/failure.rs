//! Why a command failed, and what the user can do about it.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use crate::stderr::say;

/// A failure, told in two lines: what happened, and what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    remedy: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Exit code 1.
    Failed,
    /// Exit code 2, as for anything else that is wrong with the command line.
    Usage,
    /// Whoever read our output has seen enough, which is no failure.
    OutputClosed,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into(), kind: Kind::Failed }
    }

    pub(crate) fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, ..Self::new(what, remedy) }
    }

    pub(crate) fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }

    /// The same, with where it happened.
    pub(crate) fn with_context(self, context: impl Display) -> Self {
        Self { what: format!("{context}: {}", self.what), ..self }
    }

    /// The system's random number generator failed.
    pub(crate) fn no_randomness(error: pssst::Error) -> Self {
        Self::new(error.to_string(), "try again later; the system has no randomness to give")
    }

    /// Standard output could not be written.
    pub(crate) fn output(error: &io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::BrokenPipe { Kind::OutputClosed } else { Kind::Failed };
        Self { kind, ..Self::new(format!("cannot write the output: {error}"), "is the disk full?") }
    }

    /// Tells the user, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let code = match self.kind {
            Kind::OutputClosed => return ExitCode::SUCCESS,
            Kind::Failed => ExitCode::from(1),
            Kind::Usage => ExitCode::from(2),
        };
        say(format_args!("error: {}\n help: {}", self.what, self.remedy));
        code
    }
}
