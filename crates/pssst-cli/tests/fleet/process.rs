//! The program's processes, and the folder that they share.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

/// A folder with the files of a fleet. All commands run in it.
pub(crate) struct Fleet {
    folder: TempDir,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pssst"));
        command.args(args).current_dir(self.folder.path()).env_remove("PSSST_STORE").env_remove("PSSST_CLIENTS");
        command
    }

    /// Runs a command to its end.
    pub(crate) fn output(&self, args: &[&str], stdin: &str) -> Output {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It may end without reading.
        drop(child.stdin.take().unwrap().write_all(stdin.as_bytes()));
        child.wait_with_output().unwrap()
    }

    /// What a command prints that succeeds.
    #[track_caller]
    pub(crate) fn stdout_of(&self, args: &[&str], stdin: &str) -> String {
        let output = self.output(args, stdin);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn stdout(&self, args: &[&str]) -> String {
        self.stdout_of(args, "")
    }

    /// What a command says that fails with code 1 and prints nothing.
    #[track_caller]
    pub(crate) fn refusal(&self, args: &[&str]) -> String {
        let output = self.output(args, "");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), &b""[..]), "{args:?}: {stderr}");
        stderr
    }

    /// What a command says that is used wrongly.
    #[track_caller]
    pub(crate) fn refusal_of_usage(&self, args: &[&str]) -> String {
        let output = self.output(args, "");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        stderr
    }

    /// Starts a command that prints so many lines once it serves.
    #[track_caller]
    pub(crate) fn start(&self, args: &[&str], lines: usize) -> Serving {
        let mut child =
            self.command(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = collect(child.stderr.take().unwrap());
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines = (0..lines).map_while(|_| output.next()?.ok()).collect();
        Serving { child, lines, said: Some(said) }
    }
}

/// Read alongside: a full pipe would hold the process up.
fn collect(mut stderr: ChildStderr) -> JoinHandle<String> {
    thread::spawn(move || std::io::read_to_string(&mut stderr).unwrap_or_default())
}

/// A process that serves, killed when this is dropped.
pub(crate) struct Serving {
    child: Child,
    lines: Vec<String>,
    said: Option<JoinHandle<String>>,
}

impl Serving {
    /// What follows these words in one of the first lines.
    #[track_caller]
    pub(crate) fn line(&mut self, words: &str) -> String {
        let found = self.lines.iter().find_map(|line| line.strip_prefix(words)).map(str::to_owned);
        found.unwrap_or_else(|| {
            self.child.kill().unwrap();
            panic!("no {words:?} in {:?}: {}", self.lines, self.said.take().unwrap().join().unwrap())
        })
    }

    /// Kills it without a warning.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and returns what it said on standard error.
    #[track_caller]
    pub(crate) fn stop(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("sh").args(["-c", "kill -TERM $0", &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        let said = self.said.take().unwrap().join().unwrap();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_reaped = self.child.wait();
    }
}

/// A directory with SQLite, a schedule and a certificate that stay in the fleet's folder.
#[track_caller]
pub(crate) fn start_directory(fleet: &Fleet, more: &[&str]) -> (Serving, String, String) {
    let args = [
        "directory",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--keys",
        "keys.json",
        "--store",
        "sqlite:clients.db",
        "--self-signed",
        "--certificate",
        "directory.crt",
        "--certificate-key",
        "directory.key",
        "--rate-limit",
        "100000",
    ];
    let mut directory = fleet.start(&[&args[..], more].concat(), 2 + usize::from(more.contains(&"--operators")));
    let (url, pin) = (directory.line("clients come to "), directory.line("pin "));
    (directory, url, pin)
}
