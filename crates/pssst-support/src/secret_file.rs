//! Files of secrets: created with mode 0600, and refused if other users can read them.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::FileErrorCause;

/// Refuses a file of secrets that users other than its owner can read or change.
///
/// It checks the open file, not its name, which could refer to another file by then. What is not a
/// regular file passes, a pipe for instance. On systems other than Unix all files pass: access
/// lists are the owner's business.
///
/// # Errors
/// [`FileErrorCause::Exposed`], and those of the system.
#[cfg(unix)]
pub fn check(file: &File) -> Result<(), FileErrorCause> {
    use std::os::unix::fs::MetadataExt;

    let metadata = file.metadata()?;
    let mode = metadata.mode() & 0o777;
    if metadata.is_file() && mode & 0o077 != 0 { Err(FileErrorCause::Exposed(mode)) } else { Ok(()) }
}

/// Passes every file.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn check(_: &File) -> Result<(), FileErrorCause> {
    Ok(())
}

/// Creates a file that only its owner can read and change, from its first moment on: a file that is
/// narrowed afterwards can be opened in between.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when there is a file already, and those of the system.
pub fn create(path: &Path) -> io::Result<File> {
    for_owner().create_new(true).open(path)
}

/// Creates an empty file as [`create`] does, unless there is a file already.
///
/// # Errors
/// The errors of the system.
pub fn create_if_missing(path: &Path) -> io::Result<()> {
    match create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Opens a file for writing that is created, if it does not exist, as [`create`] does.
///
/// # Errors
/// The errors of the system.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    for_owner().create(true).truncate(false).open(path)
}

fn for_owner() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        drop(create(&path).unwrap());
        assert_eq!(create(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        create_if_missing(&path).unwrap();
        drop(open_or_create(&path).unwrap());
        for (mode, exposed) in [(0o600, None), (0o400, None), (0o640, Some(0o640)), (0o602, Some(0o602))] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let cause = check(&File::open(&path).unwrap()).err();
            let found = cause.map(|cause| if let FileErrorCause::Exposed(mode) = cause { mode } else { 0 });
            assert_eq!(found, exposed);
        }
    }
}
