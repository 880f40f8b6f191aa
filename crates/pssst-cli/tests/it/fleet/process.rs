//! The program's processes, and the folder that they share.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use pssst_test::Process;
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

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pssst"));
        command.args(args).current_dir(self.folder.path());
        // The arguments alone say what is tested.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PSSST_")) {
            command.env_remove(name);
        }
        command
    }

    /// Generates keys: for each name, `NAME.key` and `NAME.pub`.
    #[track_caller]
    pub(crate) fn generate_keys(&self, names: &[&str]) {
        for name in names {
            let public = self.stdout(&["keygen", "--out", &format!("{name}.key")]);
            self.write(&format!("{name}.pub"), &public);
        }
    }

    /// Writes a file, in one step.
    pub(crate) fn write(&self, name: &str, contents: &str) {
        let new = self.path("new");
        std::fs::write(&new, contents).unwrap();
        std::fs::rename(new, self.path(name)).unwrap();
    }

    /// Writes a secret, which only its owner reads.
    pub(crate) fn write_private(&self, name: &str, contents: &str) {
        use std::os::unix::fs::PermissionsExt;

        self.write(name, contents);
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Runs a command to its end.
    pub(crate) fn output(&self, args: &[&str], stdin: &str) -> Output {
        pssst_test::output(&mut self.command(args), stdin)
    }

    /// Returns the output of a command that succeeds.
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

    /// Returns the message of a command that fails with code 1 and prints nothing.
    #[track_caller]
    pub(crate) fn refusal(&self, args: &[&str]) -> String {
        let output = self.output(args, "");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), &b""[..]), "{args:?}: {stderr}");
        stderr
    }

    /// Returns the message of a command that is used wrongly.
    #[track_caller]
    pub(crate) fn refusal_of_usage(&self, args: &[&str]) -> String {
        let output = self.output(args, "");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        stderr
    }

    /// Starts a command that prints so many lines once it serves.
    #[track_caller]
    pub(crate) fn start(&self, args: &[&str], lines: usize) -> Process {
        self.start_in(&[], args, lines)
    }

    /// Starts a command with these variables in its environment.
    #[track_caller]
    pub(crate) fn start_in(&self, environment: &[(&str, &str)], args: &[&str], lines: usize) -> Process {
        let mut command = self.command(args);
        command.envs(environment.iter().copied());
        let mut process = Process::spawn(command.stdin(Stdio::null()));
        // Links are printed where there can be one, and are not counted.
        let mut left = lines;
        while left > 0
            && let Some(line) = process.next_line()
        {
            left -= usize::from(!line.starts_with("link "));
        }
        process
    }
}

/// Returns the arguments of a gateway on a free port, with the key `server.key`.
pub(crate) fn gateway<'a>(upstream: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let gateway = ["gateway", "--listen", "127.0.0.1:0", "--secret-key", "server.key", "--upstream", upstream];
    [&gateway[..], more].concat()
}

/// A directory with SQLite, a schedule and a certificate that stay in the fleet's folder.
#[track_caller]
pub(crate) fn start_directory(fleet: &Fleet, more: &[&str]) -> (Process, String, String) {
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
    let (url, pin) = (directory.value_of("clients: "), directory.value_of("pin "));
    (directory, url, pin)
}
