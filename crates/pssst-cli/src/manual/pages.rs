//! Manual pages: of each command, and of the configuration file.

use std::io::{self, Write};

use clap::Command;
use clap::builder::StyledStr;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use pssst_service::{Kind, Program, Setting, variable};

use super::{examples, groups};

/// The name of the configuration file's page, without its section.
const CONFIGURATION: &str = "pssst.toml";
const FILE: &str = "/etc/pssst/pssst.toml";

/// Returns all pages with the names of their files.
pub(crate) fn all(program: &Program) -> Vec<(String, String)> {
    // Long help has the examples, and so have the pages, in their own form.
    let mut command = program.command.clone().disable_help_subcommand(true);
    command.build();
    let mut pages = vec![(format!("{CONFIGURATION}.5"), configuration(program))];
    of_command(program, &command, "", &mut pages);
    pages
}

fn of_command(program: &Program, command: &Command, path: &str, pages: &mut Vec<(String, String)>) {
    for command in command.get_subcommands() {
        let path = format!("{path} {}", command.get_name());
        of_command(program, command, path.trim_start(), pages);
    }
    let page = Page { program, command, path };
    pages.push((format!("{}.1", page.name()), page.render()));
}

type Section = fn(&Man, &mut dyn Write) -> io::Result<()>;

struct Page<'a> {
    program: &'a Program,
    command: &'a Command,
    /// As in `clients add`.
    path: &'a str,
}

impl Page<'_> {
    fn name(&self) -> String {
        format!("{} {}", self.program.name, self.path).trim_end().replace(' ', "-")
    }

    fn is_service(&self) -> bool {
        self.program.services.contains(&self.path)
    }

    fn render(&self) -> String {
        let command = self.command.clone().after_help(StyledStr::new()).after_long_help(StyledStr::new());
        let man = Man::new(command).source(format!("pssst {}", self.program.version)).manual("PSSST");
        let mut page = Vec::new();
        let mut sections: Vec<Section> = vec![
            Man::render_title,
            Man::render_name_section,
            Man::render_synopsis_section,
            Man::render_description_section,
            Man::render_options_section,
        ];
        sections.extend(self.command.has_subcommands().then_some(Man::render_subcommands_section as Section));
        for section in sections {
            // A vector takes everything.
            let written = section(&man, &mut page);
            debug_assert!(written.is_ok(), "{written:?}");
        }
        let mut roff = Roff::new();
        self.examples(&mut roff);
        self.files(&mut roff);
        self.environment(&mut roff);
        self.signals(&mut roff);
        exit_status(&mut roff);
        see_also(&mut roff, &self.related());
        String::from_utf8_lossy(&page).into_owned() + &roff.to_roff()
    }

    fn examples(&self, roff: &mut Roff) {
        roff.control("SH", ["EXAMPLES"]);
        for (does, line) in examples::of(self.path).into_iter().flatten() {
            roff.text([roman(format!("{does}:"))]);
            roff.control("PP", []).control("RS", ["4"]).control("nf", []);
            for line in line.lines() {
                roff.text([roman(line)]);
            }
            roff.control("fi", []).control("RE", []).control("PP", []);
        }
    }

    fn files(&self, roff: &mut Roff) {
        let takes_files = self.command.get_arguments().any(|arg| {
            let names = arg.get_value_names().unwrap_or_default();
            names.iter().any(|name| ["FILE", "SCHEDULE"].iter().any(|file| name.split('|').any(|name| name == *file)))
        });
        if !takes_files && !self.is_service() {
            return;
        }
        roff.control("SH", ["FILES"]);
        if self.is_service() {
            entry(roff, italic(FILE), "Options for the packaged services, one table for each. See pssst.toml(5).");
        }
        entry(
            roff,
            italic("secret keys, pre-shared keys, schedules, tokens"),
            "Files with mode 0600. This program creates them so, never overwrites one, and refuses those that other \
             users can read.",
        );
    }

    fn environment(&self, roff: &mut Roff) {
        roff.control("SH", ["ENVIRONMENT"]);
        if self.is_service() {
            roff.text([roman(
                "Each option may be in a variable. A flag overrides the variable, and the variable overrides the file.",
            )]);
        }
        for arg in self.command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let Some(long) = arg.get_long() else { continue };
            let variable = if self.is_service() && !["help", "version"].contains(&long) {
                Some(variable(self.program, long))
            } else {
                arg.get_env().map(|name| name.to_string_lossy().into_owned())
            };
            if let Some(variable) = variable {
                entry(roff, bold(variable), &format!("As --{long}."));
            }
        }
        entry(roff, bold("NO_COLOR"), "If it is set, help, errors and pictures in the terminal have no colours.");
    }

    fn signals(&self, roff: &mut Roff) {
        let signals: &[(&str, &str)] = if self.is_service() {
            &[
                (
                    "SIGTERM, SIGINT",
                    "Answer what has arrived, print the counts, and stop. A second one cuts draining short.",
                ),
                (
                    "SIGHUP",
                    "Read the configuration and all files that it names again: all of it is applied, or nothing.",
                ),
            ]
        } else if self.path == "bench" {
            &[(
                "SIGINT, SIGTERM",
                "Print what was measured so far, and end. A second one ends it at once, with status 130.",
            )]
        } else {
            return;
        };
        roff.control("SH", ["SIGNALS"]);
        for (signal, does) in signals {
            entry(roff, bold(*signal), does);
        }
    }

    /// Pages that have to do with this one.
    fn related(&self) -> Vec<(String, &'static str)> {
        let mut names = Vec::new();
        let parent = self.path.rsplit_once(' ').map(|(parent, _)| parent);
        if let Some(parent) = parent {
            let siblings = self.program.command.find_subcommand(parent).into_iter().flat_map(Command::get_subcommands);
            names.push(parent.to_owned());
            names.extend(siblings.map(|sibling| format!("{parent} {}", sibling.get_name())));
        } else if self.path.is_empty() {
            names.extend(self.command.get_subcommands().map(|command| command.get_name().to_owned()));
        } else {
            names.push(String::new());
            names.extend(self.command.get_subcommands().map(|command| format!("{} {}", self.path, command.get_name())));
            names.extend(groups::beside(self.path).map(Into::into));
        }
        let name = |path: String| (format!("{} {path}", self.program.name).trim_end().replace(' ', "-"), "1");
        let mut pages: Vec<_> = names.into_iter().filter(|name| name != self.path).map(name).collect();
        if self.is_service() || self.path.is_empty() || self.path.starts_with("config") {
            pages.push((CONFIGURATION.into(), "5"));
        }
        pages
    }
}

fn entry(roff: &mut Roff, name: Inline, text: &str) {
    roff.control("TP", []).text([name]).text([roman(text)]);
}

fn exit_status(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in
        [("0", "Done."), ("1", "Failed."), ("2", "Wrong usage or configuration."), ("3", "No reply.")]
    {
        entry(roff, bold(code), meaning);
    }
}

fn see_also(roff: &mut Roff, pages: &[(String, &str)]) {
    roff.control("SH", ["SEE ALSO"]);
    let mut line = Vec::new();
    for (i, (name, section)) in pages.iter().enumerate() {
        let end = if i + 1 == pages.len() { "" } else { ", " };
        line.extend([bold(name), roman(format!("({section}){end}"))]);
    }
    roff.text(line);
}

/// Returns the page of the configuration file.
fn configuration(program: &Program) -> String {
    let mut roff = Roff::new();
    let source = format!("pssst {}", program.version);
    roff.control("TH", [CONFIGURATION, "5", "", &source, "PSSST"]);
    roff.control("SH", ["NAME"]).text([roman("pssst.toml - options of the services of pssst")]);
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in [
        "A TOML file with a table for each service: [serve], [gateway], [proxy] and [directory]. Keys are the names of \
         the service's options without the leading hyphens. A service reads the file that its --config names, or the \
         variable PSSST_CONFIG.",
        "Numbers may be bare. A span of time is a text such as \"500ms\", \"90s\" or \"7d\", or a bare number of \
         seconds. An option that may be repeated takes a list. A switch is true or false. Relative paths start at the \
         folder in which the service was started.",
        "A variable of the environment (PSSST_LISTEN for listen, and so on) overrides the file, and a flag overrides \
         both. `pssst config init` writes a file with all options, `pssst config show` shows which value is in force \
         and where it is from, and `pssst config check` reports everything that is wrong with a file.",
        "SIGHUP, or a changed file, makes a service read everything again; all of it is applied, or nothing. Options \
         that are marked \"restart\" can only change with one.",
    ] {
        roff.text([roman(paragraph)]).control("PP", []);
    }
    for service in program.services {
        roff.control("SH", [format!("[{service}]").as_str()]);
        for setting in Setting::all(program, service) {
            option(&mut roff, &setting);
        }
    }
    roff.control("SH", ["FILES"]);
    entry(&mut roff, italic(FILE), "The file of the packaged services.");
    let services = program.services.iter().map(|service| (format!("pssst-{service}"), "1"));
    let config = program.command.find_subcommand("config").into_iter().flat_map(Command::get_subcommands);
    let commands = config.map(|command| (format!("pssst-config-{}", command.get_name()), "1"));
    see_also(&mut roff, &services.chain(commands).collect::<Vec<_>>());
    roff.to_roff()
}

fn option(roff: &mut Roff, setting: &Setting) {
    let takes = match &setting.kind {
        Kind::Switch => "true or false".to_owned(),
        Kind::One(value) => value.clone(),
        Kind::List(value) => format!("list of {value}"),
    };
    let mut text = setting.help.split_whitespace().collect::<Vec<_>>().join(" ");
    if !setting.defaults.is_empty() {
        text.extend([format!(" [default: {}]", setting.defaults.join(", "))]);
    }
    if setting.needs_restart {
        text += " [restart]";
    }
    roff.control("TP", []).text([bold(&*setting.name), roman(" = "), italic(takes)]).text([roman(text)]);
}
