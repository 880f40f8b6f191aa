//! Completions and manual pages, made from the definition of the command line.

use std::process::{Command, Output};

fn pssst(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pssst")).args(args).output().unwrap()
}

/// The commands that `pssst help` lists.
fn commands() -> Vec<String> {
    let help = String::from_utf8(pssst(&["--help"]).stdout).unwrap();
    let listed = help.lines().take_while(|line| *line != "Options:").filter_map(|line| line.strip_prefix("  "));
    listed.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help").map(Into::into).collect()
}

#[test]
fn every_command_has_a_manual_page_with_its_options() {
    let folder = tempfile::tempdir().unwrap();
    assert!(pssst(&["man", "--out", folder.path().to_str().unwrap()]).status.success());
    let commands = commands();
    assert!(commands.len() > 15, "{commands:?}");
    for command in &commands {
        let page = std::fs::read_to_string(folder.path().join(format!("pssst-{command}.1"))).unwrap();
        for section in ["NAME", "SYNOPSIS", "EXAMPLES", "ENVIRONMENT", "EXIT STATUS", "SEE ALSO"] {
            assert!(
                page.contains(&format!(".SH {section}\n")) || page.contains(&format!(".SH \"{section}\"\n")),
                "{command}: {section}"
            );
        }
    }
    let page = std::fs::read_to_string(folder.path().join("pssst-gateway.1")).unwrap();
    assert!(page.contains("upstream\\-timeout") && page.contains("PSSST_UPSTREAM_TIMEOUT"), "{page}");
    assert!(page.contains(".SH SIGNALS") && page.contains(".SH FILES") && page.contains("SIGHUP"), "{page}");
    let file = std::fs::read_to_string(folder.path().join("pssst.toml.5")).unwrap();
    for text in [".SH [gateway]", "upstream\\-timeout", "default: 2s", "[restart]", "Minimum level to log"] {
        assert!(file.contains(text), "{text}: {file}");
    }
    let program = std::fs::read_to_string(folder.path().join("pssst.1")).unwrap();
    assert!(program.contains("Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 no reply"), "{program}");
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = String::from_utf8(pssst(&["completions", shell]).stdout).unwrap();
        assert!(script.contains("PSSST_COMPLETE") && script.contains("pssst"), "{shell}: {script}");
    }
}

#[cfg(unix)]
const STORE: [&str; 2] = ["--store", "sqlite:clients.db"];

/// What bash itself completes a line to.
#[cfg(unix)]
#[test]
fn bash_completes_options_values_clients_tokens_and_keys() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_pssst")).args(args).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for name in ["boiler-7", "boiler-8", "meter-1"] {
        let key = run(&["keygen", "--out", &format!("{name}.key")]);
        run(&[&["clients", "add", name, key.trim()][..], &STORE].concat());
    }
    run(&[&["token", "create", "--name", "boiler-9"][..], &STORE].concat());
    let token = run(&[&["token", "list"][..], &STORE].concat());
    let token = token.split(' ').next().unwrap();
    let key = run(&["keys", "init", "keys.json"]);
    std::fs::write(folder.path().join("pssst.toml"), "[directory]\nstore = \"sqlite:clients.db\"\n").unwrap();
    std::fs::write(folder.path().join("pssst.bash"), run(&["completions", "bash"])).unwrap();

    let program = std::path::Path::new(env!("CARGO_BIN_EXE_pssst")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let complete = |words: &str, variables: &[(&str, &str)]| {
        let (before, last) = words.rsplit_once(' ').unwrap();
        let line = format!(
            "source pssst.bash; COMP_WORDS=({before} \"{last}\"); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _clap_complete_pssst pssst \"{last}\" x; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let mut bash = Command::new("bash");
        bash.args(["-c", &line]).current_dir(&folder).env("PATH", &path).envs(variables.iter().copied());
        let output = bash.output().unwrap();
        assert!(output.stderr.is_empty(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let upstream = ["--upstream", "--upstream-ca", "--upstream-concurrency", "--upstream-timeout"];
    let mut options = complete("pssst gateway --upst", &[]);
    options.sort();
    assert_eq!(options, upstream);
    assert_eq!(complete("pssst gateway --suite f", &[]), ["f002", "f003"]);
    let boilers = ["boiler-7", "boiler-8"];
    assert_eq!(complete("pssst clients revoke --store sqlite:clients.db boi", &[]), boilers);
    assert_eq!(complete("pssst clients revoke --store = sqlite:clients.db boi", &[]), boilers);
    assert_eq!(complete("pssst clients show boi", &[("PSSST_STORE", "sqlite:clients.db")]), boilers);
    assert_eq!(complete("pssst clients psk boi", &[("PSSST_CONFIG", "pssst.toml")]), boilers);
    assert_eq!(complete(&format!("pssst token withdraw --store sqlite:clients.db {}", &token[..3]), &[]), [token]);
    assert_eq!(complete("pssst keys show keys.json --public-key pssst1", &[]), [key.trim()]);
    // Where there is nothing to find, nothing is said, and nothing is made.
    for words in ["pssst clients show boi", "pssst clients show --store sqlite:none.db boi"] {
        assert!(complete(words, &[]).is_empty(), "{words}");
    }
    assert!(!folder.path().join("none.db").exists());
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let output = pssst(&["man", "--out", "/none/at/all"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write into /none/at/all"));
}
