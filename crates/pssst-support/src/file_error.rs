//! Why a file cannot be used.

use std::path::{Path, PathBuf};
use std::{error, fmt, io};

/// A file that cannot be used, and why.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "a file and a cause are all there is to say")]
pub struct FileError {
    /// The name of the file, as it was given.
    pub path: PathBuf,
    /// Why it cannot be used.
    pub cause: FileErrorCause,
}

/// Why a file cannot be used.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "callers translate each cause into one of their own")]
pub enum FileErrorCause {
    /// The system's error.
    Io(io::Error),
    /// It is a folder, a pipe or a device.
    NotRegular,
    /// It is secret, and users other than its owner can read or change it; the field is its mode.
    Exposed(u32),
    /// Everyone can change it, or replace it in its folder.
    Changeable {
        /// The mode of the file or of the folder.
        mode: u32,
        /// Whether it is the folder that everyone can change.
        is_folder: bool,
    },
    /// It belongs to this user, who is neither root nor the process's.
    OtherOwner(u32),
    /// It has more bytes than this.
    TooLong(u64),
    /// It had contents before, and has none now.
    Emptied,
}

impl FileError {
    pub(crate) fn new(path: &Path, cause: impl Into<FileErrorCause>) -> Self {
        Self { path: path.to_owned(), cause: cause.into() }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.cause)
    }
}

impl error::Error for FileError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.cause {
            FileErrorCause::Io(error) => Some(error),
            FileErrorCause::NotRegular
            | FileErrorCause::Exposed(_)
            | FileErrorCause::Changeable { .. }
            | FileErrorCause::OtherOwner(_)
            | FileErrorCause::TooLong(_)
            | FileErrorCause::Emptied => None,
        }
    }
}

impl fmt::Display for FileErrorCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::NotRegular => f.write_str("not a regular file"),
            Self::Exposed(mode) => write!(f, "other users can read or change it (mode {mode:04o})"),
            Self::Changeable { mode, is_folder: false } => write!(f, "everyone can change it (mode {mode:04o})"),
            Self::Changeable { mode, is_folder: true } => {
                write!(f, "everyone can replace it in its folder (mode {mode:04o})")
            }
            Self::OtherOwner(uid) => {
                write!(f, "it belongs to user {uid}, who is neither root nor this process's user")
            }
            Self::TooLong(limit) => write!(f, "longer than {limit} bytes"),
            Self::Emptied => f.write_str("it has been emptied"),
        }
    }
}

impl From<io::Error> for FileErrorCause {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<FileErrorCause> for io::Error {
    fn from(cause: FileErrorCause) -> Self {
        let kind = match cause {
            FileErrorCause::Io(error) => return error,
            FileErrorCause::NotRegular => io::ErrorKind::InvalidInput,
            FileErrorCause::Exposed(_) | FileErrorCause::Changeable { .. } | FileErrorCause::OtherOwner(_) => {
                io::ErrorKind::PermissionDenied
            }
            FileErrorCause::TooLong(_) => io::ErrorKind::FileTooLarge,
            FileErrorCause::Emptied => io::ErrorKind::InvalidData,
        };
        Self::new(kind, cause.to_string())
    }
}
