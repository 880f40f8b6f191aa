//! Where the values of a service's options are from: a configuration file, the environment, the command line, each stronger than
//! the one before. The options themselves are defined once, for the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};

use crate::Cli;
use crate::failure::Failure;
pub(crate) use file::ConfigFile;

mod file;

/// The commands that have configuration files. Each has a table of its name there.
pub(crate) const SERVICES: [&str; 4] = ["serve", "gateway", "proxy", "directory"];

/// Where a service's configuration is from.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Source {
    /// Take options from this file, from its table of this command's name. The environment (`PSSST_LISTEN` for --listen, and so on) is
    /// stronger than the file, and the command line is stronger than both.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// How the program was called. It can be read again, when the file has changed.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    args: Vec<OsString>,
}

/// All options, with their values, wherever these are from.
pub(crate) struct Configured {
    pub(crate) cli: Cli,
    /// Those of the command.
    values: ArgMatches,
    file: Option<ConfigFile>,
}

impl Invocation {
    pub(crate) fn of_this_process() -> Self {
        Self { args: std::env::args_os().collect() }
    }

    /// Reads file and environment, and checks everything that can be checked by itself.
    ///
    /// What is wrong with the command line alone, and `--help`, ends the process as clap has it.
    pub(crate) fn read(&self) -> Result<Configured, Failure> {
        let command = command();
        let Some((service, given, path)) = self.config_file(&command) else {
            return Configured::parse(command, self.args.clone(), None).map_err(|error| error.exit());
        };
        let file = ConfigFile::read(&path)?;
        // What is given in a stronger place is not taken from the file.
        let is_given =
            |id: &str| matches!(given.value_source(id), Some(ValueSource::CommandLine | ValueSource::EnvVariable));
        let from_file =
            file.options(&service, &options_of(&service))?.into_iter().filter(|option| !is_given(&option.id));
        let (head, tail) = self.args.split_at(2);
        let args = head.iter().cloned().chain(from_file.flat_map(|option| option.args)).chain(tail.iter().cloned());
        Configured::parse(command, args.collect(), Some(file)).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
            _ => file::of_clap(
                &error,
                "the file, the environment and the command line are taken together: say it in one of them",
            )
            .with_context(format_args!("with {}", path.display())),
        })
    }

    /// The command, what is given on the command line and in the environment, and the file, if there is one.
    fn config_file(&self, command: &Command) -> Option<(String, ArgMatches, PathBuf)> {
        // What is required may be in the file, and what is wrong is told later.
        let given = command.clone().ignore_errors(true).try_get_matches_from(&self.args).ok()?;
        let (service, given) = given.subcommand()?;
        if !SERVICES.contains(&service) {
            return None;
        }
        let path = given.try_get_one::<PathBuf>("config").ok()??.clone();
        Some((service.into(), given.clone(), path))
    }
}

impl Configured {
    /// As if the service was called with nothing but what the file says.
    pub(crate) fn of_file(file: ConfigFile, service: &str) -> Result<Self, Failure> {
        let options = file.options(service, &options_of(service))?;
        let args =
            ["pssst".into(), service.into()].into_iter().chain(options.into_iter().flat_map(|option| option.args));
        let context = format!("{} [{service}]", file.path().display());
        let remedy = "put it into the file: what a service is given elsewhere cannot be checked here";
        Self::parse(Cli::command(), args.collect(), Some(file))
            .map_err(|error| file::of_clap(&error, remedy).with_context(context))
    }

    fn parse(command: Command, args: Vec<OsString>, file: Option<ConfigFile>) -> Result<Self, clap::Error> {
        let matches = command.try_get_matches_from(args)?;
        let cli = Cli::from_arg_matches(&matches)?;
        let values = matches.subcommand().map(|(_, values)| values.clone()).unwrap_or_default();
        Ok(Self { cli, values, file })
    }

    /// The options of this service that have other values in `newer`.
    pub(crate) fn changes(&self, newer: &Self, service: &str) -> Vec<String> {
        let raw = |configured: &Self, id: &str| -> Option<Vec<OsString>> {
            configured.values.try_get_raw(id).ok()?.map(|values| values.map(ToOwned::to_owned).collect())
        };
        let options = options_of(service);
        let ids = options.get_arguments().map(|arg| arg.get_id().as_str());
        ids.filter(|id| raw(self, id) != raw(newer, id)).map(ToOwned::to_owned).collect()
    }

    /// The same failure, with the line of the file that it comes from, if it comes from there.
    pub(crate) fn locate(&self, service: &str, failure: Failure) -> Failure {
        match &self.file {
            Some(file) => failure.map_each(|failure| file.locate(service, failure)),
            None => failure,
        }
    }

    /// The file's path.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.file.as_ref().map(|file| file.path().to_owned())
    }
}

/// The whole program's command line, with the environment's names.
pub(crate) fn command() -> Command {
    SERVICES.iter().fold(Cli::command(), |program, service| program.mut_subcommand(service, with_environment))
}

fn with_environment(service: Command) -> Command {
    service.mut_args(|arg| {
        let Some(long) = arg.get_long() else { return arg };
        let name = format!("PSSST_{}", long.to_uppercase().replace('-', "_"));
        let arg = if matches!(arg.get_action(), ArgAction::SetTrue) {
            arg.value_parser(BoolishValueParser::new())
        } else {
            arg
        };
        if matches!(arg.get_action(), ArgAction::Help | ArgAction::HelpLong | ArgAction::Version) {
            return arg;
        }
        arg.env(name).hide_env(true)
    })
}

/// A service's own command line. What is in the environment is another matter.
fn options_of(service: &str) -> Command {
    Cli::command().find_subcommand(service).cloned().unwrap_or_default()
}
