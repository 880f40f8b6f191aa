//! Limits of the processes, and their memory.

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use pssst_test::Process;

use crate::fleet::process::Fleet;

/// Starts a server under the limits that a shell sets.
fn start(fleet: &Fleet, limits: &str, more: &[&str]) -> Process {
    let server = fleet.command(&["serve", "--listen", "127.0.0.1:0", "--secret-key", "server.key", "--workers", "1"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{limits}; exec \"$@\""), "sh"]).arg(server.get_program()).args(server.get_args());
    shell.args(more).current_dir(fleet.path("")).stdin(Stdio::null());
    let mut process = Process::spawn(&mut shell);
    process.value_of("listening on ");
    process
}

/// Returns the soft limit with this name.
fn limit(process: &Process, name: &str) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{limits}"));
    line.split_ascii_whitespace().next().unwrap().to_owned()
}

#[test]
fn open_files_are_as_many_as_the_system_allows_and_too_few_are_reported() {
    let fleet = Fleet::new();
    fleet.stdout(&["keygen", "--out", "server.key"]);
    let server = start(&fleet, "ulimit -S -n 100; ulimit -H -n 2000", &[]);
    assert_eq!(limit(&server, "Max open files"), "2000");
    assert!(!server.stop().contains("the limit on open files"));
    let said = start(&fleet, "ulimit -n 100", &[]).stop();
    assert!(said.contains("WARN the limit on open files is lower than the options may need"), "{said}");
}

#[test]
fn no_core_dump_and_no_debugger_gets_the_keys() {
    let fleet = Fleet::new();
    fleet.stdout(&["keygen", "--out", "server.key"]);
    // The memory of a process that cannot be dumped belongs to root. (Root's tests cannot tell.)
    let is_protected = |process: &Process| std::fs::metadata(format!("/proc/{}/mem", process.id())).unwrap().uid() == 0;
    let core = |process: &Process| limit(process, "Max core file size");
    let server = start(&fleet, "ulimit -c unlimited", &[]);
    assert_eq!(core(&server), "0");
    assert!(is_protected(&server));
    server.stop();
    let server = start(&fleet, "ulimit -c unlimited", &["--allow-core-dumps"]);
    assert_eq!(core(&server), "unlimited");
    server.stop();
}
