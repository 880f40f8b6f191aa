//! The program that services belong to.

use clap::Command;

/// A program with services among its commands.
#[derive(Clone)]
#[non_exhaustive]
pub struct Program {
    /// Its name, as in `pssst`.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its whole command line.
    pub command: Command,
    /// The commands that are services.
    pub services: &'static [&'static str],
    /// The options of each service that only change with a restart.
    pub fixed_options: Vec<(&'static str, Vec<String>)>,
    /// Further facts for the metric `NAME_build_info`.
    pub facts: Vec<(&'static str, String)>,
    /// The crates whose events are logged. Dependencies are excluded: too verbose.
    pub logged_crates: &'static [&'static str],
    /// The crate whose every event is logged with `--verbose`.
    pub verbose_crate: &'static str,
    /// The crates whose spans are traced.
    pub traced_crates: &'static [&'static str],
}

impl Program {
    /// Returns a program that logs and traces nothing yet.
    pub fn new(name: &'static str, version: &'static str, command: Command, services: &'static [&'static str]) -> Self {
        let (logged_crates, verbose_crate, traced_crates) = (&[][..], name, &[][..]);
        let (fixed_options, facts) = (Vec::new(), Vec::new());
        Self { name, version, command, services, fixed_options, facts, logged_crates, verbose_crate, traced_crates }
    }
}
