//! The program's processes, and the folder that they share.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

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
        command.args(args).current_dir(self.folder.path());
        // What is tested is in the arguments.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PSSST_")) {
            command.env_remove(name);
        }
        command
    }

    /// Writes a file, in one step.
    pub(crate) fn write(&self, name: &str, contents: &str) {
        let new = self.path("new");
        std::fs::write(&new, contents).unwrap();
        std::fs::rename(new, self.path(name)).unwrap();
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
        self.start_in(&[], args, lines)
    }

    /// The same with these variables in its environment.
    #[track_caller]
    pub(crate) fn start_in(&self, environment: &[(&str, &str)], args: &[&str], lines: usize) -> Serving {
        let mut command = self.command(args);
        command.envs(environment.iter().copied());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
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

    /// Waits until it ends by itself, and returns what it said on standard error.
    pub(crate) fn wait(mut self) -> String {
        self.child.wait().unwrap();
        self.said.take().unwrap().join().unwrap()
    }

    /// Kills it without a warning.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("sh").args(["-c", "kill -$0 $1", name, &pid]).status().unwrap().success());
    }

    /// Asks it to stop, and returns what it said on standard error.
    #[track_caller]
    pub(crate) fn stop(mut self) -> String {
        self.signal("TERM");
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

/// Repeats a check until it holds.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        thread::sleep(Duration::from_millis(50));
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
    let lines = 2 + ["--operators", "--metrics"].iter().filter(|option| more.contains(option)).count();
    let mut directory = fleet.start(&[&args[..], more].concat(), lines);
    let (url, pin) = (directory.line("clients come to "), directory.line("pin "));
    (directory, url, pin)
}
