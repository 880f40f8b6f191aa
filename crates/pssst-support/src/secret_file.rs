//! Files of secrets: created so that nobody else can read them, and recognised when somebody else can.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Returns the mode of an open file that users other than its owner can read or change, if there is such a
/// mode. It looks at the file, not at its name, which could have been given to another file meanwhile.
///
/// On systems other than Unix there is none: access lists are the owner's business.
///
/// # Errors
/// Those of the system.
pub fn exposed_mode(file: &File) -> io::Result<Option<u32>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        let metadata = file.metadata()?;
        let mode = metadata.mode() & 0o777;
        Ok((metadata.is_file() && mode & 0o077 != 0).then_some(mode))
    }
    #[cfg(not(unix))]
    file.metadata().map(|_| None)
}

/// Creates a file that only its owner can read and change, from its first moment on: a file that is
/// narrowed afterwards can be opened in between.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when there is a file already, and those of the system.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_others_can_read_is_recognised() {
        let path = std::env::temp_dir().join(format!("pssst-secret-{}", std::process::id()));
        drop(create(&path).unwrap());
        assert_eq!(create(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        for (mode, exposed) in [(0o600, None), (0o400, None), (0o640, Some(0o640)), (0o602, Some(0o602))] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(exposed_mode(&File::open(&path).unwrap()).unwrap(), exposed);
        }
        fs::remove_file(&path).unwrap();
    }
}
