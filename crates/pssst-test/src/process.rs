//! Child processes.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::wait::{PATIENCE, wait_for_value};

/// Runs a command to its end, with this text on standard input.
///
/// # Panics
/// If it cannot be started.
#[track_caller]
pub fn output(command: &mut Command, stdin: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    if let Some(mut input) = child.stdin.take() {
        // It may end without reading.
        drop(input.write_all(stdin.as_bytes()));
    }
    child.wait_with_output().expect("the command ends")
}

/// A running process, killed when dropped. Its output is read all the time, so that no full pipe
/// holds it up.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Vec<String>,
    coming: Receiver<String>,
    stderr: Arc<Mutex<String>>,
    /// Reads standard error, if that is piped.
    stderr_reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts a command. Its standard input is the command's.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        Self::spawn_with_its_stderr(command.stderr(Stdio::piped()))
    }

    /// Starts a command whose standard error, too, is the command's, and is only read if it is
    /// piped.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn spawn_with_its_stderr(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the command starts");
        let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take());
        let (sender, coming) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The receiver may be gone; it is read to the end all the same.
                drop(sender.send(line));
            }
        });
        let collected = Arc::<Mutex<String>>::default();
        let stderr_reader = stderr.map(|mut stderr| {
            let collected = Arc::clone(&collected);
            thread::spawn(move || {
                let (mut buffer, mut bytes) = ([0; 4096], Vec::new());
                while let Ok(len @ 1..) = stderr.read(&mut buffer) {
                    bytes.extend_from_slice(&buffer[..len]);
                    *collected.lock().unwrap_or_else(PoisonError::into_inner) =
                        String::from_utf8_lossy(&bytes).into_owned();
                }
            })
        });
        Self { child, lines: Vec::new(), coming, stderr: collected, stderr_reader }
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Takes its standard input, if that is piped.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Waits for the next line of standard output: `None` at its end.
    ///
    /// # Panics
    /// If neither comes within [`PATIENCE`].
    #[track_caller]
    pub fn next_line(&mut self) -> Option<String> {
        match self.coming.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.lines.push(line.clone());
                Some(line)
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("the process prints nothing after {:?}", self.lines),
        }
    }

    /// Waits for a line of standard output that begins with these words, and returns the rest of
    /// it. Lines that were read before count.
    ///
    /// # Panics
    /// With what the process said, if it ends without such a line.
    #[track_caller]
    pub fn value_of(&mut self, words: &str) -> String {
        let mut read = 0;
        loop {
            if let Some(value) = self.lines[read..].iter().find_map(|line| line.strip_prefix(words)) {
                return value.to_owned();
            }
            read = self.lines.len();
            if self.next_line().is_none() {
                drop(self.child.kill());
                let stderr = self.take_stderr();
                panic!("no {words:?} in {:?}: {stderr}", self.lines);
            }
        }
    }

    /// Waits until it has printed these words on standard error, in all at least `times` times.
    ///
    /// # Panics
    /// With what it printed, if they do not come within [`PATIENCE`].
    #[track_caller]
    pub fn wait_for_stderr(&self, words: &str, times: usize) {
        wait_for_value(words, || {
            let stderr = self.stderr();
            if stderr.matches(words).count() >= times { Ok(()) } else { Err(stderr) }
        });
    }

    /// Sends it a signal, as `TERM`.
    ///
    /// # Panics
    /// If it cannot be sent.
    #[cfg(unix)]
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -$0 $1", name, &self.id().to_string()]);
        assert!(kill.status().expect("sh runs").success(), "SIG{name} was not sent");
    }

    /// Waits until it ends by itself, and returns how, with all of its standard error.
    ///
    /// # Panics
    /// If it does not end within [`PATIENCE`].
    #[track_caller]
    pub fn wait(&mut self) -> (ExitStatus, String) {
        let status = wait_for_value("the process ends", || self.child.try_wait().expect("a child").ok_or("it runs"));
        (status, self.take_stderr())
    }

    /// Asks it to stop, as a service manager does, and returns all of its standard error.
    ///
    /// # Panics
    /// If it does not end with code 0 within [`PATIENCE`].
    #[cfg(unix)]
    #[track_caller]
    pub fn stop(mut self) -> String {
        self.signal("TERM");
        let (status, stderr) = self.wait();
        assert_eq!(status.code(), Some(0), "{stderr}");
        stderr
    }

    /// Kills it without a warning.
    pub fn kill(self) {
        drop(self);
    }

    /// Returns all of standard error, once the process has ended.
    fn take_stderr(&mut self) -> String {
        if let Some(reader) = self.stderr_reader.take() {
            drop(reader.join());
        }
        self.stderr()
    }

    fn stderr(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_reaped = self.child.wait();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped());
        command
    }

    #[test]
    fn output_is_read_and_a_process_ends_with_its_value() {
        let mut process = Process::spawn(&mut shell("echo one; echo two 2; echo three; echo four >&2; cat"));
        assert_eq!(process.value_of("two "), "2");
        assert_eq!(process.value_of("one"), "");
        assert_eq!(process.next_line().unwrap(), "three");
        drop(process.stdin());
        let (status, stderr) = process.wait();
        assert!(status.success() && stderr == "four\n", "{status}: {stderr}");
        assert_eq!(process.next_line(), None);

        let endless = "trap 'echo stopped >&2; exit 0' TERM; echo ready >&2; while true; do sleep 0.01; done";
        let endless = Process::spawn(&mut shell(endless));
        endless.wait_for_stderr("ready", 1);
        // More than a pipe holds.
        let mut verbose = Process::spawn(&mut shell("seq 100000; seq 100000 >&2; echo done"));
        assert_eq!(verbose.value_of("done"), "");
        assert_eq!(output(&mut shell("cat"), "text").stdout, b"text");
        assert_eq!(endless.stop(), "ready\nstopped\n");
    }

    #[test]
    #[should_panic(expected = "no \"listening\" in [\"hello\"]: but why")]
    fn a_process_that_ends_too_early_says_why() {
        Process::spawn(&mut shell("echo hello; echo but why >&2")).value_of("listening");
    }
}
