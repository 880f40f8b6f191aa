//! A terminal for commands, which `script` makes.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use crate::fleet::process::Fleet;

/// A shell's line at a terminal.
pub(crate) struct Terminal {
    child: Child,
    stdin: ChildStdin,
    chunks: Receiver<Vec<u8>>,
    reader: JoinHandle<()>,
    seen: Vec<u8>,
}

impl Terminal {
    pub(crate) fn start(fleet: &Fleet, line: &str) -> Self {
        let mut script = Command::new("script");
        script.args(["-qefc", line, "/dev/null"]).current_dir(fleet.path(""));
        script.env("TERM", "xterm-256color").env("SHELL", "/bin/sh").env_remove("NO_COLOR");
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, chunks) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = stdout.read(&mut buffer) {
                drop(sender.send(buffer[..len].to_vec()));
            }
        });
        Self { child, stdin, chunks, reader, seen: Vec::new() }
    }

    /// Waits until it has shown these words so many times.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, words: &str, times: usize) {
        while String::from_utf8_lossy(&self.seen).matches(words).count() < times {
            match self.chunks.recv_timeout(pssst_test::PATIENCE) {
                Ok(chunk) => self.seen.extend(chunk),
                Err(error) => panic!("{error}: {words:?} not in {:?}", String::from_utf8_lossy(&self.seen)),
            }
        }
    }

    pub(crate) fn type_in(&mut self, text: &str) {
        self.stdin.write_all(text.as_bytes()).unwrap();
    }

    /// Waits for the end, which has to be one of success, and returns all that was shown.
    #[track_caller]
    pub(crate) fn end(mut self) -> String {
        drop(self.stdin);
        let status = self.child.wait().unwrap();
        self.reader.join().unwrap();
        self.seen.extend(self.chunks.iter().flatten());
        let seen = String::from_utf8_lossy(&self.seen).into_owned();
        assert!(status.success(), "{status}: {seen}");
        seen
    }
}
