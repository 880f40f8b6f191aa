//! Refuses files that other users could have written, as sshd's `StrictModes` does: what decides
//! whom a service trusts must be its own or root's.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::FileError;
#[cfg(unix)]
use crate::FileErrorCause;

/// For the whole process, since all its files decide for it.
static IS_REQUIRED: AtomicBool = AtomicBool::new(false);

/// Makes this process refuse such files from here on, or not. At its start it does not: a command
/// that an administrator calls reads files of other users.
pub fn require(is_required: bool) {
    IS_REQUIRED.store(is_required, Ordering::Relaxed);
}

/// Checks a file, and the folder that it is in, if the process requires that: their owner is root
/// or this process's user, and not everyone can change the file, or replace it in the folder.
///
/// A missing file passes, and one that is not regular. On systems other than Unix all files
/// pass.
///
/// # Errors
/// [`FileErrorCause::OtherOwner`], [`FileErrorCause::Changeable`].
pub fn check(path: &Path) -> Result<(), FileError> {
    if IS_REQUIRED.load(Ordering::Relaxed) { check_always(path) } else { Ok(()) }
}

#[cfg(unix)]
fn check_always(path: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::MetadataExt;

    const EVERYONE_WRITES: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    let refuse = |cause: FileErrorCause| Err(FileError::new(path, cause));
    let user = rustix::process::geteuid().as_raw();
    let is_trusted = |owner: u32| owner == 0 || owner == user;
    // A link's file and folder decide, not the link's.
    let Ok(path) = path.canonicalize() else { return Ok(()) };
    let Some((file, folder)) = path.metadata().ok().zip(path.parent().and_then(|folder| folder.metadata().ok())) else {
        return Ok(());
    };
    if !file.is_file() {
        return Ok(());
    }
    for (metadata, is_open) in [
        (&file, file.mode() & EVERYONE_WRITES != 0),
        // In a sticky folder, users replace only what is theirs.
        (&folder, folder.mode() & EVERYONE_WRITES != 0 && folder.mode() & STICKY == 0),
    ] {
        if is_open {
            return refuse(FileErrorCause::Changeable { mode: metadata.mode() & 0o7777, is_folder: metadata.is_dir() });
        }
    }
    if is_trusted(file.uid()) { Ok(()) } else { refuse(FileErrorCause::OtherOwner(file.uid())) }
}

#[cfg(not(unix))]
fn check_always(_: &Path) -> Result<(), FileError> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    fn cause(path: &Path) -> Option<String> {
        check_always(path).err().map(|error| error.cause.to_string())
    }

    #[test]
    fn files_that_others_can_change_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients");
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(cause(&path), None, "it is not there");
        fs::write(&path, "").unwrap();
        for (mode, is_good) in [(0o600, true), (0o644, true), (0o664, true), (0o666, false), (0o602, false)] {
            set(&path, mode);
            assert_eq!(cause(&path).is_none(), is_good, "{mode:o}");
        }
        set(&path, 0o644);
        for (mode, is_good) in [(0o755, true), (0o1777, true), (0o777, false)] {
            set(folder.path(), mode);
            assert_eq!(cause(&path).is_none(), is_good, "{mode:o}");
        }
        assert_eq!(cause(&path).as_deref(), Some("everyone can replace it in its folder (mode 0777)"));
        // The link's own folder is not asked, since another link there would lead to another file.
        let other = tempfile::tempdir().unwrap();
        symlink(&path, other.path().join("link")).unwrap();
        assert!(cause(&other.path().join("link")).is_some());
    }

    #[test]
    fn files_of_other_users_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients");
        fs::write(&path, "").unwrap();
        // Only root can give a file away.
        if rustix::process::geteuid().is_root() {
            chown(&path, Some(65_534), None).unwrap();
            assert_eq!(
                cause(&path).as_deref(),
                Some("it belongs to user 65534, who is neither root nor this process's user")
            );
        }
        assert!(check(&path).is_ok(), "no process requires it by itself");
    }
}
