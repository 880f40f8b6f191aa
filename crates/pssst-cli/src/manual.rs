//! What help and manual pages say beside the options: groups of commands, and examples.

use clap::Command;
use clap::builder::{StyledStr, Styles};

pub(crate) mod pages;

mod examples;
mod groups;

/// Adds the groups and the examples to the help of a command line.
pub(crate) fn with_help(program: Command) -> Command {
    let template = groups::template(&program);
    with_examples(program, "").help_template(template)
}

fn with_examples(command: Command, path: &str) -> Command {
    let names: Vec<_> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let command = names.iter().fold(command, |command, name| {
        let path = format!("{path} {name}");
        command.mut_subcommand(name, |command| with_examples(command, path.trim_start()))
    });
    let Some(examples) = examples::of(path) else { return command };
    let styles = Styles::default();
    let header = styles.get_header();
    let mut text = format!("{header}Examples:{header:#}");
    for (does, line) in examples {
        text.extend([format!("\n  {does}:\n    {}", line.replace('\n', "\n    "))]);
    }
    command.after_help(StyledStr::from(text))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn each(command: &Command, path: &str, check: &mut impl FnMut(&str, &Command)) {
        check(path, command);
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            each(command, format!("{path} {}", command.get_name()).trim_start(), check);
        }
    }

    #[test]
    fn every_command_has_examples_of_itself_that_fit_into_a_terminal() {
        let mut paths = Vec::new();
        each(&crate::Cli::command(), "", &mut |path, command| {
            let examples = examples::of(path).unwrap_or_else(|| panic!("{path:?} has no examples"));
            let is_alone = !command.has_subcommands() && command.get_arguments().next().is_none();
            assert!(examples.len() >= if is_alone { 1 } else { 2 } && examples.len() <= 4, "{path:?}");
            for (does, line) in examples {
                assert!(does.len() <= 76 && !does.ends_with(['.', ':']), "{does}");
                assert!(line.lines().all(|line| line.len() <= 76), "{line}");
                assert!(line.contains(format!("pssst {path}").trim_end()), "{path}: {line}");
            }
            paths.push(path.to_owned());
        });
        let stale = examples::PATHS.iter().find(|(path, _)| !paths.iter().any(|known| known == path));
        assert_eq!(stale.map(|(path, _)| path), None);
    }

    #[test]
    fn every_command_is_in_one_group_and_the_list_fits_into_a_terminal() {
        let program = crate::Cli::command();
        for command in program.get_subcommands().map(Command::get_name).filter(|name| *name != "help") {
            let count = groups::GROUPS.iter().filter(|(_, commands)| commands.contains(&command)).count();
            assert_eq!(count, 1, "{command}");
        }
        let help = with_help(program).render_help().to_string();
        for line in help.lines() {
            assert!(line.len() <= 80, "{line}");
        }
    }
}
