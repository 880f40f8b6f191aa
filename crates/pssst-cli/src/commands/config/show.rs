//! `pssst config show`: the values in force, and where each is from.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use pssst_service::stderr::notice;
use pssst_service::{Failure, InForce, Invocation, Kind, Program, Source, unknown_variables};
use serde_json::json;

use super::{known, toml};

/// Show the values that a service would use, and where each is from.
///
/// From a flag, a variable of the environment, a line of the file, or a default, each stronger than
/// the next. The output is TOML. Passwords and tokens in addresses are shown as `***`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The service: serve, gateway, proxy or directory.
    service: String,
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "PSSST_CONFIG")]
    config: Option<PathBuf>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
    /// Options of the service, as it would be started with; put --config and --json before them.
    #[arg(value_name = "OPTIONS", trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<OsString>,
}

pub(super) fn run(args: &Args, program: &Program) -> Result<(), Failure> {
    let Args { service, config, json, options } = args;
    known::service(service, program)?;
    let config = config.iter().flat_map(|file| [OsString::from("--config"), file.clone().into()]);
    let invocation = Invocation::of_service(program.clone(), service, config.chain(options.iter().cloned()));
    let in_force = invocation.in_force(service)?;
    unknown_variables(program).into_iter().for_each(notice);
    let text = if *json { as_json(service, &in_force) } else { as_text(service, &in_force) };
    io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::output(&error))
}

fn as_text(service: &str, in_force: &[InForce]) -> String {
    let lines = in_force.iter().map(|option| {
        let name = &option.setting.name;
        let line = match toml::value(&option.setting.kind, &option.values) {
            Some(value) => format!("{name} = {value}"),
            None => format!("# {name} is not set"),
        };
        format!("{line:<48} # {}", source(option))
    });
    let lines: Vec<_> = lines.collect();
    format!("[{service}]\n{}\n", lines.join("\n"))
}

fn source(option: &InForce) -> String {
    match &option.source {
        Source::Default => "default".into(),
        Source::File { path, line } => format!("{path}:{line}"),
        Source::Variable(name) => name.clone(),
        Source::Flag => format!("--{}", option.setting.name),
    }
}

fn as_json(service: &str, in_force: &[InForce]) -> String {
    let options: Vec<_> = in_force
        .iter()
        .map(|option| {
            let value = match (&option.setting.kind, option.values.as_slice()) {
                (Kind::Switch, values) => json!(values == ["true"]),
                (Kind::List(_), values) => json!(values),
                (Kind::One(_), values) => json!(values.first()),
            };
            let (source, line) = match &option.source {
                Source::Default => ("default", None),
                Source::File { line, .. } => ("file", Some(line)),
                Source::Variable(_) => ("environment", None),
                Source::Flag => ("flag", None),
            };
            json!({ "name": option.setting.name, "value": value, "source": source, "line": line })
        })
        .collect();
    format!("{}\n", json!({ "service": service, "options": options }))
}
