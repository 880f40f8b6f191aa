//! `pssst completions`: what shells complete.

use std::io::{self, Write};

use clap::ValueEnum;
use clap_complete::env::Shells;
use pssst_service::Failure;

/// Print a shell's completions for this program.
///
/// The script asks the program what fits: commands, options, values, and from the store that
/// --store, `PSSST_STORE` or `PSSST_CONFIG` names, clients and tokens. For bash: `pssst completions
/// bash > /usr/share/bash-completion/completions/pssst`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Shells whose completion asks the program.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

/// The variable that tells the program that a shell asks.
pub(crate) const VARIABLE: &str = "PSSST_COMPLETE";

/// Zsh loads the file at the first completion, which the loaded function has to answer.
const FIRST_OF_ZSH: &str = r#"
if [ "$funcstack[1]" = "_pssst" ]; then
    _clap_dynamic_completer_pssst "$@"
fi
"#;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    let name = match args.shell {
        Shell::Bash => "bash",
        Shell::Elvish => "elvish",
        Shell::Fish => "fish",
        Shell::Powershell => "powershell",
        Shell::Zsh => "zsh",
    };
    let write = |script: &mut Vec<u8>| match Shells::builtins().completer(name) {
        Some(shell) => shell.write_registration(VARIABLE, "pssst", "pssst", "pssst", script),
        None => Err(io::ErrorKind::Unsupported.into()),
    };
    write(&mut script).map_err(|error| Failure::output(&error))?;
    if matches!(args.shell, Shell::Zsh) {
        script.extend_from_slice(FIRST_OF_ZSH.as_bytes());
    }
    io::stdout().write_all(&script).map_err(|error| Failure::output(&error))
}
