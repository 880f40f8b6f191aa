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
fn completions_are_made_for_every_shell_and_bash_takes_its_own() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = String::from_utf8(pssst(&["completions", shell]).stdout).unwrap();
        assert!(script.contains("upstream-timeout") && script.contains("precompute"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("pssst.bash");
    std::fs::write(&script, pssst(&["completions", "bash"]).stdout).unwrap();
    // What it completes to, asked of bash itself.
    let ask = format!(
        "source {}; COMP_WORDS=(pssst gateway --upst); COMP_CWORD=2; _pssst pssst --upst gateway; echo ${{COMPREPLY[@]}}",
        script.display()
    );
    let output = Command::new("bash").args(["-ec", &ask]).output().unwrap();
    let completed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(completed.trim(), "--upstream --upstream-timeout --upstream-concurrency --upstream-ca");
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let output = pssst(&["man", "--out", "/none/at/all"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write into /none/at/all"));
}
