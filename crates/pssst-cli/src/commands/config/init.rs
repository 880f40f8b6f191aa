//! `pssst config init`: a configuration file with every option.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use pssst_service::stderr::notice;
use pssst_service::{Failure, Kind, Program, Setting};

use super::{known, toml};

/// Write a configuration file with every option as a comment.
///
/// With its help, and its default or an example. Uncomment the required ones, which come first; for
/// all others the defaults hold.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The services: serve, gateway, proxy, directory.
    #[arg(required = true)]
    service: Vec<String>,
    /// The new file; `-` is standard output.
    #[arg(long, value_name = "FILE", default_value = "pssst.toml")]
    out: PathBuf,
}

/// The options that a service does not start without, or others in their place, as an operator
/// would have them.
const REQUIRED: [(&str, &[(&str, &str)]); 4] = [
    ("serve", &[("secret-key", "/etc/pssst/server.key")]),
    (
        "gateway",
        &[
            ("secret-key", "/etc/pssst/server.key"),
            ("upstream", "http://127.0.0.1:8080/"),
            ("clients", "sqlite:/var/lib/pssst/clients.db"),
        ],
    ),
    ("proxy", &[("server", "pool.example:45678"), ("server-key", "/etc/pssst/server.pub")]),
    (
        "directory",
        &[("keys", "/var/lib/pssst/keys.json"), ("store", "sqlite:/var/lib/pssst/clients.db"), ("self-signed", "true")],
    ),
];

/// Examples of values without a default, by what an option takes.
const EXAMPLES: [(&str, &str); 18] = [
    ("ADDR:PORT", "127.0.0.1:9100"),
    ("HOST:PORT", "pool.example:45678"),
    ("HOST:PORT|LINK", "pool.example:45678"),
    ("KEY|FILE", "/etc/pssst/server.pub"),
    ("LOCATION", "sqlite:/var/lib/pssst/clients.db"),
    ("URL", "http://127.0.0.1:4318"),
    ("URL|LINK", "https://keys.example:8443"),
    ("sha256:HEX", "sha256:0000000000000000000000000000000000000000000000000000000000000000"),
    ("SPAN", "1h"),
    ("N", "4"),
    ("BYTES", "1232"),
    ("BYTES|none", "1200"),
    ("MIB", "16"),
    ("TIMES", "3"),
    ("PER_SECOND", "100"),
    ("RATIO", "0.01"),
    ("NAME", "keys.example"),
    ("TYPE", "application/json"),
];

pub(super) fn run(args: &Args, program: &Program) -> Result<(), Failure> {
    args.service.iter().try_for_each(|service| known::service(service, program))?;
    let text = file(program, &args.service);
    if args.out == Path::new("-") {
        return io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::output(&error));
    }
    let name = args.out.display();
    let created = OpenOptions::new().write(true).create_new(true).open(&args.out);
    created.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::new(format!("{name} exists already"), "choose another name with --out: nothing is overwritten")
        }
        _ => Failure::new(format!("cannot write {name}: {error}"), "check the path and its permissions"),
    })?;
    notice(format_args!("uncomment the required options in {name}, then run `pssst config check {name}`"));
    Ok(())
}

fn file(program: &Program, services: &[String]) -> String {
    let mut text = String::from(
        "# Options of services, as pssst.toml(5) describes them. An option that is commented out has the\n\
         # value that is shown, if that is its default. `pssst config check FILE` checks this file.\n",
    );
    for service in services {
        let (required, others): (Vec<_>, Vec<_>) = Setting::all(program, service)
            .into_iter()
            .partition(|setting| required_value(service, &setting.name).is_some());
        text.extend([format!("\n[{service}]\n"), "\n# Required, or others in their place:\n".into()]);
        text.extend(required.iter().map(|setting| entry(service, setting)));
        text += "\n# Not required:\n";
        text.extend(others.iter().map(|setting| entry(service, setting)));
    }
    text
}

fn required_value(service: &str, option: &str) -> Option<&'static str> {
    let (_, options) = REQUIRED.iter().find(|(of, _)| *of == service)?;
    options.iter().find_map(|(name, value)| (*name == option).then_some(*value))
}

/// Returns an option's help, and its line, which is commented out.
fn entry(service: &str, setting: &Setting) -> String {
    let Setting { name, kind, help, defaults, needs_restart, .. } = setting;
    let mut said = help.split_whitespace().collect::<Vec<_>>().join(" ");
    if !said.ends_with('.') {
        said.push('.');
    }
    let required = required_value(service, name);
    if defaults.is_empty() && !said.contains("[default: ") && required.is_none() && *kind != Kind::Switch {
        said += " Not set by default.";
    }
    if *needs_restart {
        said += " Needs a restart.";
    }
    let values = match required {
        Some(value) => vec![value.to_owned()],
        None if defaults.is_empty() => vec![example(name, kind)],
        None => defaults.clone(),
    };
    let value = toml::value(kind, &values).unwrap_or_default();
    format!("\n{}#{name} = {value}\n", comment(&said))
}

/// Returns an example of a value that has no default.
fn example(name: &str, kind: &Kind) -> String {
    let (Kind::One(takes) | Kind::List(takes)) = kind else { return "false".into() };
    if let Some(choice) = takes.strip_prefix('"').and_then(|rest| rest.split('"').next()) {
        return choice.into();
    }
    let known = EXAMPLES.iter().find_map(|(of, example)| (of == takes).then(|| (*example).to_owned()));
    known.unwrap_or_else(|| format!("/etc/pssst/{name}"))
}

/// Returns a text as lines of a comment, of 100 columns at most.
fn comment(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 100 => line.extend([" ", word]),
            _ => lines.push(format!("# {word}")),
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use pssst_service::ConfigFile;

    use super::*;

    /// Each option alone, with the value that the file has for it.
    #[test]
    fn every_value_in_the_file_is_one_that_its_option_takes() {
        let program = crate::program();
        let folder = tempfile::tempdir().unwrap();
        for service in program.services {
            let text = file(&program, &[(*service).into()]);
            let is_option = |line: &&str| {
                line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
            };
            let options: Vec<_> = text.lines().filter(is_option).collect();
            assert_eq!(options.len(), Setting::all(&program, service).len());
            for line in options {
                let path = folder.path().join("one.toml");
                std::fs::write(&path, format!("[{service}]\n{}\n", &line[1..])).unwrap();
                let file = ConfigFile::read(&path, program.services).unwrap();
                file.check_values(&program, service).unwrap_or_else(|failure| panic!("{line}: {failure}"));
            }
        }
    }
}
