//! Where a command puts a new secret.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use pssst_service::Failure;

use super::key_file;

/// The file of a new secret, or standard output.
#[derive(clap::Args, Debug)]
pub(crate) struct SecretOut {
    /// Write the secret to this new file, which only its owner can read, instead of standard
    /// output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// An output that is open before the secret exists.
pub(crate) struct Output(Option<(PathBuf, File)>);

impl SecretOut {
    /// Creates the file.
    pub(crate) fn open(&self) -> Result<Output, Failure> {
        let Some(path) = &self.out else { return Ok(Output(None)) };
        let file = key_file::create(path)?;
        Ok(Output(Some((path.clone(), file))))
    }
}

impl Output {
    /// Writes the secret as a line. A file that cannot be written is removed.
    pub(crate) fn write(mut self, secret: &str) -> io::Result<()> {
        if let Some((path, mut file)) = self.0.take() {
            return key_file::write_or_remove(&path, &mut file, format_args!("{secret}\n"));
        }
        let mut stdout = io::stdout();
        writeln!(stdout, "{secret}").and_then(|()| stdout.flush())
    }
}

/// Removes a file to which no secret was written.
impl Drop for Output {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.0 {
            drop(fs::remove_file(path));
        }
    }
}
