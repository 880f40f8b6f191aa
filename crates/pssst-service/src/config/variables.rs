//! Variables of the environment that no option reads.

use clap::Command;

use super::file::nearest;
use crate::program::Program;

/// Returns a warning for each variable that begins with the program's name and that no option
/// reads: it is probably misspelt.
pub fn unknown_variables(program: &Program) -> Vec<String> {
    let mut known = Vec::new();
    collect(&program.command_with_environment(), &mut known);
    let prefix = format!("{}_", program.name.to_uppercase());
    let set =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut unknown: Vec<_> = set.filter(|(name, value)| name.starts_with(&prefix) && !value.is_empty()).collect();
    unknown.retain(|(name, value)| !known.contains(name) && !is_of_kubernetes(name, value));
    unknown.sort();
    // As options are spelt.
    let options: Vec<_> = known.iter().map(|name| name.to_lowercase().replace('_', "-")).collect();
    let nearest = |name: &str| {
        let option = nearest(name, options.iter().map(String::as_str));
        option.to_uppercase().replace('-', "_")
    };
    unknown
        .into_iter()
        .map(|(name, _)| format!("no option reads the variable {name}: did you mean {}?", nearest(&name)))
        .collect()
}

fn collect(command: &Command, known: &mut Vec<String>) {
    // An empty variable has lost its option, and is not set.
    known.extend(command.get_arguments().filter_map(|arg| arg.get_env()?.to_str().map(Into::into)));
    command.get_subcommands().for_each(|command| collect(command, known));
}

/// Returns whether Kubernetes sets it in every container, for a service with the program's name.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let is_url = ["tcp://", "udp://"].iter().any(|scheme| value.starts_with(scheme));
    let has_number = |(_, rest): (&str, &str)| rest.starts_with(|first: char| first.is_ascii_digit());
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || is_url
        || name.split_once("_PORT_").is_some_and(has_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_kubernetes_are_known() {
        for (name, value) in [
            ("PSSST_SERVICE_HOST", "10.0.0.1"),
            ("PSSST_SERVICE_PORT_DIRECTORY", "8443"),
            ("PSSST_PORT", "udp://10.0.0.1:45678"),
            ("PSSST_PORT_45678_UDP_ADDR", "10.0.0.1"),
        ] {
            assert!(is_of_kubernetes(name, value), "{name}");
        }
        for (name, value) in [("PSSST_LISTENN", "127.0.0.1:1"), ("PSSST_PORT_NUMBER", "1"), ("PSSST_PORT", "45678")] {
            assert!(!is_of_kubernetes(name, value), "{name}");
        }
    }
}
