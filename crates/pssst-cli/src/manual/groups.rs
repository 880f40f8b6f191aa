//! Commands by what they are for.

use clap::Command;
use clap::builder::{StyledStr, Styles};

/// Headings, and the commands below each.
pub(super) const GROUPS: [(&str, &[&str]); 6] = [
    ("Try", &["demo", "keygen", "pubkey", "request", "bench"]),
    ("Serve", &["serve", "gateway", "proxy", "directory"]),
    ("Manage a fleet", &["keys", "clients", "token", "operator", "audit"]),
    ("Set up a device", &["link", "enroll", "renew", "precompute"]),
    ("Look", &["doctor", "status", "top", "inspect"]),
    ("System", &["config", "completions", "man", "compat", "help"]),
];

/// Returns the commands that have to do with one of the program's.
pub(super) fn beside(command: &str) -> impl Iterator<Item = &'static str> {
    let group = GROUPS.into_iter().find(|(_, commands)| commands.contains(&command));
    let of_group = group.into_iter().flat_map(|(_, commands)| commands.iter().copied());
    of_group.filter(move |name| *name != command && *name != "help")
}

/// Returns the template of the program's help, which lists its commands by group.
pub(super) fn template(program: &Command) -> StyledStr {
    let styles = Styles::default();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let mut text = String::from("{about-with-newline}\n{usage-heading} {usage}\n");
    for (heading, commands) in GROUPS {
        text.extend([format!("\n{header}{heading}:{header:#}\n")]);
        for name in commands {
            let about = program.find_subcommand(name).and_then(Command::get_about).map(ToString::to_string);
            let about = about.unwrap_or_else(|| "Print this help, or that of a command".into());
            text.extend([format!("  {literal}{name:<12}{literal:#} {about}\n")]);
        }
    }
    text.extend([format!("\n{header}Options:{header:#}\n{{options}}{{after-help}}")]);
    text.into()
}
