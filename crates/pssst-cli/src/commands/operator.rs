//! `pssst operator`: the operators of a directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pssst_directory_server::{Error, Operators};
use serde_json::json;
use zeroize::Zeroizing;

use crate::args::format::{JsonOption, print};
use crate::args::secret_out::SecretOut;
use pssst_service::Failure;
use pssst_service::stderr::notice;

/// Create, list and remove the operators of a directory.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Create(Create),
    List(List),
    Remove(Remove),
}

/// Create a token for an operator and print it. Its hash is added to the file.
///
/// An operator may have several tokens, for a while when one takes the place of another.
#[derive(clap::Args, Debug)]
struct Create {
    /// The operator's name, for the audit log: letters, digits and `.`, `-`, `_`, `@`.
    name: String,
    /// The file of operators, created if it does not exist.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Print a JSON object: the name and the token.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    out: SecretOut,
}

/// List the names of the operators, one for each token.
#[derive(clap::Args, Debug)]
struct List {
    /// The file of operators.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Print a JSON object for each operator: the name, and how many tokens there are.
    #[arg(long)]
    json: bool,
}

/// Remove all tokens of an operator.
#[derive(clap::Args, Debug)]
struct Remove {
    /// The operator's name.
    name: String,
    /// The file of operators.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    output: JsonOption,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Create(args) => create(args),
        Command::List(args) => list(args),
        Command::Remove(args) => remove(args),
    }
}

fn create(Create { name, file, json, out }: &Create) -> Result<(), Failure> {
    if let Err(error) = Operators::new_credential(name) {
        return Err(Failure::new(
            format!("no token for {name:?}: {error}"),
            "choose a name of up to 64 letters, digits and . - _ @",
        ));
    }
    let out = out.open()?;
    let known =
        if file.exists() { Operators::open(file).map_err(|error| of_file(file, &error))?.names() } else { Vec::new() };
    let before = known.iter().filter(|known| *known == name).count();
    if before > 0 {
        notice(format_args!("{name} has {before} other tokens, which stay valid: `pssst operator remove` removes all"));
    }
    let mut undelivered = None;
    let deliver = |token: &str| {
        notice(format_args!("the token of {name}; it is shown only now"));
        // Neither has a character that JSON escapes; no other copy of the secret is made.
        let object = json.then(|| Zeroizing::new(format!(r#"{{"name":"{name}","token":"{token}"}}"#)));
        let text = object.as_ref().map_or(token, |object| object);
        out.write(text).inspect_err(|error| undelivered = Some(Failure::output(error)))
    };
    let added = Operators::add(file, name, deliver);
    added.map_err(|error| undelivered.unwrap_or_else(|| of_file(file, &error)))
}

fn list(List { file, json }: &List) -> Result<(), Failure> {
    let operators = Operators::open(file).map_err(|error| of_file(file, &error))?;
    let names = operators.names();
    if !json {
        return names.iter().try_for_each(print);
    }
    let mut counts = BTreeMap::<_, usize>::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts.iter().try_for_each(|(name, tokens)| print(json!({ "name": name, "tokens": tokens })))
}

fn remove(Remove { name, file, output }: &Remove) -> Result<(), Failure> {
    match Operators::remove(file, name).map_err(|error| of_file(file, &error))? {
        0 => Err(Failure::new(
            format!("{} has no operator {name:?}", file.display()),
            "`pssst operator list` shows their names",
        )),
        removed if output.json => print(json!({ "name": name, "removed": removed })),
        removed => {
            notice(format_args!("{name} is removed ({removed} tokens)"));
            Ok(())
        }
    }
}

fn of_file(file: &Path, error: &Error) -> Failure {
    match error {
        Error::Syntax(_) => {
            Failure::new(format!("{}: {error}", file.display()), "repair the file; it was left unchanged")
        }
        error => Failure::new(format!("cannot use {}: {error}", file.display()), "check the path and its permissions"),
    }
}
