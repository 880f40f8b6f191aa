//! Values of a service's options: from a configuration file, the environment and the command line,
//! each stronger than the one before. The options themselves are defined once, for the command
//! line.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::failure::Failure;
use crate::program::Program;
pub use file::ConfigFile;
pub use in_force::{InForce, Source};
pub use setting::{Kind, Setting, variable};
pub use variables::unknown_variables;

mod file;
mod in_force;
mod setting;
mod variables;

/// The call of a program. It can be read again when its configuration file has changed.
#[derive(Clone)]
pub struct Invocation {
    program: Program,
    args: Vec<OsString>,
}

/// Options that are required, one instead of another, by their names; and an argument that takes
/// their place while a file is checked.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a table of constants")]
pub struct StandIn(pub &'static [&'static str], pub &'static str);

/// All options with their values, wherever these are from.
pub struct Configured {
    matches: ArgMatches,
    file: Option<ConfigFile>,
    /// Options that are from the file, and their lines.
    file_lines: Vec<(String, usize)>,
}

impl Invocation {
    /// Returns the call of this process.
    pub fn of_this_process(program: Program) -> Self {
        Self { program, args: std::env::args_os().collect() }
    }

    /// Returns the call of a service with these arguments.
    pub fn of_service(program: Program, service: &str, args: impl IntoIterator<Item = OsString>) -> Self {
        let args = [program.name.into(), service.into()].into_iter().chain(args).collect();
        Self { program, args }
    }

    /// Returns the program.
    pub const fn program(&self) -> &Program {
        &self.program
    }

    /// Reads file and environment, and checks everything that can be checked by itself.
    ///
    /// A fault of the command line alone, and `--help`, ends the process as clap does it.
    ///
    /// # Errors
    /// The faults of the file, or of all sources together.
    pub fn read(&self) -> Result<Configured, Failure> {
        let command = self.program.command_with_environment();
        let Some((service, given, path)) = self.config_file(&command) else {
            let matches =
                command.clone().try_get_matches_from(&self.args).unwrap_or_else(|error| self.exit(&command, error));
            return Ok(Configured { matches, file: None, file_lines: Vec::new() });
        };
        let file = ConfigFile::read(&path, self.program.services)?;
        // An option from a stronger source is not taken from the file.
        let is_given =
            |id: &str| matches!(given.value_source(id), Some(ValueSource::CommandLine | ValueSource::EnvVariable));
        let of_service = self.program.service(&service);
        let options = file.options(&service, &of_service)?;
        let in_force = || options.iter().filter(|option| !is_given(&option.id));
        let file_lines = in_force().map(|option| (option.id.clone(), option.line)).collect();
        let from_file = in_force().flat_map(|option| option.args.clone());
        let (head, tail) = self.args.split_at(2);
        let args = head.iter().cloned().chain(from_file).chain(tail.iter().cloned());
        match command.try_get_matches_from(args) {
            Ok(matches) => Ok(Configured { matches, file: Some(file), file_lines }),
            Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => error.exit(),
            Err(error) => Err(file::of_clap(
                &error,
                "the file, the environment and the command line are combined: give it in one of them only",
            )
            .with_context(format_args!("with {}", path.display()))),
        }
    }

    /// Ends the process with a fault of the command line, or of the variable that has the value.
    fn exit(&self, command: &Command, mut error: clap::Error) -> ! {
        let option = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(option)) => option.split([' ', '=']).next().unwrap_or_default().to_owned(),
            _ => error.exit(),
        };
        let is_given = self.args.iter().any(|arg| {
            arg.to_str()
                .and_then(|arg| arg.strip_prefix(&option))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        });
        let named =
            self.args.iter().skip(1).try_fold(command, |command, arg| command.find_subcommand(arg).ok_or(command));
        let (Ok(command) | Err(command)) = named;
        let its = |arg: &&Arg| arg.get_long().is_some_and(|long| option.strip_prefix("--") == Some(long));
        let variable = command.get_arguments().find(its).and_then(Arg::get_env).and_then(OsStr::to_str);
        if let Some(variable) = variable.filter(|_| !is_given) {
            let place = format!("{option} (from the environment: {variable})");
            error.insert(ContextKind::InvalidArg, ContextValue::String(place));
        }
        error.exit()
    }

    /// Returns the command, what is given on the command line and in the environment, and the file,
    /// if there is one.
    fn config_file(&self, command: &Command) -> Option<(String, ArgMatches, PathBuf)> {
        // Required options may be in the file, and faults are reported later.
        let given = command.clone().ignore_errors(true).try_get_matches_from(&self.args).ok()?;
        let (service, given) = given.subcommand()?;
        if !self.program.services.contains(&service) {
            return None;
        }
        let path = given.try_get_one::<PathBuf>("config").ok()??.clone();
        Some((service.into(), given.clone(), path))
    }
}

impl Configured {
    /// Checks what a file says for a service, as if it was called with nothing but the file: first
    /// each value, then whether all required options are there, and then, with `check`, the values
    /// together and what they name.
    ///
    /// So that one fault hides no other, `stand_ins` take the places of required options that are
    /// missing or wrong. Faults of stand-ins are passed over.
    ///
    /// # Errors
    /// All faults.
    pub(crate) fn check_file(
        program: &Program,
        file: &ConfigFile,
        service: &str,
        stand_ins: &[StandIn],
        check: impl Fn(&Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (mut args, mut given, mut faults) = (vec![program.name.into(), service.into()], Vec::new(), Vec::new());
        let mut refused = Vec::new();
        for (key, option) in file.each_option(service, &program.service(service)) {
            match option {
                Ok(option) => {
                    args.extend(option.args);
                    given.push(key);
                }
                Err(failure) => {
                    faults.push(failure);
                    refused.push(format!("--{key} "));
                }
            }
        }
        let read = |args: &[OsString]| {
            let matches = program.command.clone().try_get_matches_from(args)?;
            Ok::<_, clap::Error>(Self { matches, file: Some(file.clone()), file_lines: Vec::new() })
        };
        let table = || format!("{} [{service}]", file.path().display());
        let mut stood_in = Vec::new();
        let configured = read(&args).or_else(|error| {
            let missing = file::missing(&error);
            let is_refused = |option: &String| refused.iter().any(|refused| format!("{option} ").contains(refused));
            if missing.is_empty() || !missing.iter().all(is_refused) {
                let remedy =
                    "put it in the file: values from the environment and the command line cannot be checked here";
                faults.push(file::of_clap(&error, remedy).with_context(table()));
            }
            for StandIn(options, argument) in stand_ins {
                if !options.iter().any(|option| given.contains(option)) {
                    args.push(argument.into());
                    stood_in.extend(*options);
                }
            }
            read(&args)
        });
        if let Ok(configured) = configured {
            let found = check(&configured).err().into_iter().flat_map(Failure::into_each);
            let found = found.filter(|failure| !failure.option().is_some_and(|option| stood_in.contains(&option)));
            faults.extend(found.map(|failure| {
                let place = failure.option().and_then(|option| given.iter().find(|key| **key == option));
                match place {
                    Some(_) => file.locate(service, failure).into_usage(),
                    None => failure.with_context(table()).into_usage(),
                }
            }));
        }
        Failure::collect(faults.into_iter().map(Err::<(), _>)).map(drop)
    }

    /// Returns the values of the whole command line, from which the program finds the command.
    pub const fn matches(&self) -> &ArgMatches {
        &self.matches
    }

    /// Returns the name of the command.
    pub fn command(&self) -> &str {
        self.matches.subcommand_name().unwrap_or_default()
    }

    /// Returns the values of the command.
    pub(crate) fn values(&self) -> Option<&ArgMatches> {
        self.matches.subcommand().map(|(_, values)| values)
    }

    /// Returns the options among these, by their names on the command line, that have other values
    /// in `newer`.
    pub(crate) fn changes(&self, newer: &Self, options: &Command) -> Vec<String> {
        let raw = |configured: &Self, id: &str| -> Option<Vec<OsString>> {
            configured.values()?.try_get_raw(id).ok()?.map(|values| values.map(ToOwned::to_owned).collect())
        };
        let changed = options.get_arguments().filter(|arg| {
            let id = arg.get_id().as_str();
            raw(self, id) != raw(newer, id)
        });
        changed.filter_map(|arg| arg.get_long().map(ToOwned::to_owned)).collect()
    }

    /// Adds the line of the configuration file that caused a failure, if there is one.
    #[must_use]
    pub fn locate(&self, service: &str, failure: Failure) -> Failure {
        match &self.file {
            Some(file) => failure.map_each(|failure| file.locate(service, failure)),
            None => failure,
        }
    }

    /// Returns the configuration file, as it was read.
    pub(crate) const fn file(&self) -> Option<&ConfigFile> {
        self.file.as_ref()
    }
}

impl Program {
    /// Returns the whole command line, with the environment's names for the options of services.
    pub fn command_with_environment(&self) -> Command {
        let command = self.services.iter().fold(self.command.clone(), |program, service| {
            program.mut_subcommand(service, |service| with_environment(service, self))
        });
        without_empty_variables(command)
    }

    /// Returns the command line of a service. What is in the environment is another matter.
    fn service(&self, service: &str) -> Command {
        self.command.find_subcommand(service).cloned().unwrap_or_default()
    }
}

/// An empty variable counts as none: Compose and its like set those that have no value so.
fn without_empty_variables(command: Command) -> Command {
    let is_empty = |arg: &Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|arg| if is_empty(&arg) { arg.env(None::<&str>) } else { arg });
    command.mut_subcommands(without_empty_variables)
}

fn with_environment(service: Command, program: &Program) -> Command {
    service.mut_args(|arg| {
        let Some(long) = arg.get_long() else { return arg };
        let name = variable(program, long);
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
