//! Messages on standard error. Once a service has started, it never waits for their reader.

use std::backtrace::Backtrace;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use std::{panic, thread};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written, at most.
const QUEUE_LEN: usize = 1024;
/// How long the end of the process waits for the last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether lines go to the log, since others than people read them.
static USES_LOG: AtomicBool = AtomicBool::new(false);
static QUEUE: OnceLock<SyncSender<Message>> = OnceLock::new();
static LOST: AtomicU64 = AtomicU64::new(0);

enum Message {
    Line(Vec<u8>),
    /// Answered once all lines before it are written.
    Flush(SyncSender<()>),
}

/// Sends messages to the log from here on.
pub(crate) fn use_log() {
    USES_LOG.store(true, Ordering::Relaxed);
}

/// From here on a thread writes the lines. Those that find the queue full are lost and counted.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn start_queue() -> io::Result<()> {
    let (sender, receiver) = sync_channel(QUEUE_LEN);
    if QUEUE.set(sender).is_err() {
        return Ok(());
    }
    thread::Builder::new().name("stderr".into()).spawn(move || write_lines(&receiver))?;
    panic::set_hook(Box::new(|panic| report_error(format_args!("{panic}\n{}", Backtrace::capture()))));
    Ok(())
}

/// Waits until all lines are written, but not for a reader that has stalled.
pub(crate) fn flush() {
    let Some(queue) = QUEUE.get() else { return };
    let (done, flushed) = sync_channel(1);
    if queue.try_send(Message::Flush(done)).is_ok() {
        let _timed_out = flushed.recv_timeout(FLUSH_TIMEOUT);
    }
}

/// Returns how many lines were lost so far since nobody read them.
pub(crate) fn lost_lines() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Writes a line to standard error. Unlike `eprintln!` it does not panic if standard error is
/// closed.
pub fn notice(line: impl Display) {
    if USES_LOG.load(Ordering::Relaxed) {
        tracing::info!("{line}");
    } else {
        write(format!("{line}\n").into_bytes());
    }
}

/// Writes a line about a failure, which no level of the log leaves out.
pub fn report_error(line: impl Display) {
    if USES_LOG.load(Ordering::Relaxed) {
        tracing::error!("{line}");
    } else {
        write(format!("{line}\n").into_bytes());
    }
}

/// Where the log writes its lines.
pub(crate) struct LogWriter;

impl MakeWriter<'_> for LogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        write(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(line: Vec<u8>) {
    let Some(queue) = QUEUE.get() else {
        // If standard error is closed, the line is lost and nothing else changes.
        return drop(io::stderr().write_all(&line));
    };
    if queue.try_send(Message::Line(line)).is_err() {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

fn write_lines(messages: &Receiver<Message>) {
    for message in messages {
        match message {
            Message::Line(line) => drop(io::stderr().write_all(&line)),
            Message::Flush(done) => drop(done.send(())),
        }
    }
}
