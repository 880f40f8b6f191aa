//! The options of services as configuration files have them.

use clap::{Arg, ArgAction};

use super::file::{is_option, is_switch};
use crate::program::Program;

/// An option of a service, as files have it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Setting {
    /// Its key in the service's table.
    pub name: String,
    /// Its name for the command line's reader.
    pub(crate) id: String,
    /// The values that it takes.
    pub kind: Kind,
    /// Its help.
    pub help: String,
    /// The values that hold if nobody says anything; none where its help names the default.
    pub defaults: Vec<String>,
    /// The variable that overrides the file.
    pub variable: String,
    /// Whether it only changes with a restart.
    pub needs_restart: bool,
}

/// The values of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a caller handles all kinds of values that a file may have")]
pub enum Kind {
    /// True or false.
    Switch,
    /// One value, as in ADDR:PORT, or one of several.
    One(String),
    /// A list of such values.
    List(String),
}

impl Setting {
    /// Returns all options of a service, in their order.
    pub fn all(program: &Program, service: &str) -> Vec<Self> {
        let fixed = program.fixed_options.iter().find(|(name, _)| *name == service);
        let fixed = fixed.map(|(_, options)| options.as_slice()).unwrap_or_default();
        let command = program.service(service);
        let settings = command.get_arguments().filter(|arg| is_option(arg)).filter_map(|arg| {
            let name = arg.get_long()?.to_owned();
            Some(Self {
                id: arg.get_id().to_string(),
                kind: kind(arg),
                help: help(arg),
                defaults: defaults(arg),
                variable: variable(program, &name),
                needs_restart: fixed.contains(&name),
                name,
            })
        });
        settings.collect()
    }
}

/// Returns the variable of the environment that an option of a service may be in.
pub fn variable(program: &Program, option: &str) -> String {
    format!("{}_{option}", program.name).to_uppercase().replace('-', "_")
}

fn kind(arg: &Arg) -> Kind {
    if is_switch(arg) {
        return Kind::Switch;
    }
    let choices: Vec<_> = arg.get_possible_values().iter().map(|value| format!("{:?}", value.get_name())).collect();
    let name = arg.get_value_names().and_then(<[_]>::first).map(ToString::to_string).unwrap_or_default();
    let values = if choices.is_empty() { name } else { choices.join(", ") };
    if matches!(arg.get_action(), ArgAction::Append) { Kind::List(values) } else { Kind::One(values) }
}

fn help(arg: &Arg) -> String {
    arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default()
}

fn defaults(arg: &Arg) -> Vec<String> {
    if is_switch(arg) {
        return Vec::new();
    }
    arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect()
}
