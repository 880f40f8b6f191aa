//! Replacing a file as a whole.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait for a lock. Its holder writes one file.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// Replaces a file: a reader, even after a loss of power, finds the old content or the new one.
///
/// An existing file keeps its owner, group, mode and, on Linux, its access list; a new one gets
/// `mode`, less what the process masks, on systems with modes. A symbolic link stays, and the file
/// that it names is replaced.
///
/// # Errors
/// Those of the system, also when the owner cannot be kept. The old content stays, and no other
/// file is left.
///
/// ```
/// # let folder = std::env::temp_dir();
/// # let path = folder.join(format!("pssst-support-{}", std::process::id()));
/// pssst_support::atomic_file::replace(&path, 0o600, b"first")?;
/// pssst_support::atomic_file::replace(&path, 0o600, b"second")?;
/// assert_eq!(std::fs::read(&path)?, b"second");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn replace(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let target = match fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    let (temporary, file) = create_beside(folder_of(&target), mode)?;
    let written = write(file, &target, content).and_then(|()| fs::rename(&temporary, &target));
    if written.is_err() {
        // The first error is the one to report.
        drop(fs::remove_file(&temporary));
    }
    written?;
    sync_name(&target)
}

/// Waits until a new file's name is on the disk: syncing the file alone saves only its content.
/// Does nothing on systems other than Unix, where folders cannot be opened.
///
/// # Errors
/// Those of the system.
pub fn sync_name(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder_of(path))?.sync_all() } else { Ok(()) }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Locks a file for a change that [`replace`] ends. The lock is released when the returned file is
/// dropped.
///
/// Anyone who may read the file can take the lock: there is no lock file, whose owner could shut
/// out other writers. Waits up to ten seconds for other processes. Blocks.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] when another process holds the lock for longer, and those of the
/// system.
pub fn lock(path: &Path) -> io::Result<File> {
    let start = Instant::now();
    loop {
        let file = File::open(path)?;
        match file.try_lock() {
            Ok(()) if is_at(&file, path)? => return Ok(file),
            // The holder before has replaced it: lock the new one.
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if start.elapsed() > LOCK_LIMIT => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "another process holds its lock"));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// Returns whether the open file is still the one with this name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    let (open, named) = (file.metadata()?, fs::metadata(path)?);
    Ok((open.dev(), open.ino()) == (named.dev(), named.ino()))
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

fn create_beside(folder: &Path, mode: u32) -> io::Result<(PathBuf, File)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".pssst-{}-{number}.new", process::id()));
        match options.open(&path) {
            // Left by a process that had the same number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            outcome => return outcome.map(|file| (path, file)),
        }
    }
}

fn write(mut file: File, target: &Path, content: &[u8]) -> io::Result<()> {
    keep_owner_and_mode(&file, target)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(unix)]
fn keep_owner_and_mode(file: &File, target: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};

    let Ok(old) = fs::metadata(target) else { return Ok(()) };
    let new = file.metadata()?;
    let (uid, gid) = (old.uid(), old.gid());
    if (uid, gid) != (new.uid(), new.gid()) {
        fchown(file, Some(uid), Some(gid)).map_err(|error| {
            let text =
                format!("cannot be replaced, since the new file would not keep owner {uid} and group {gid}: {error}");
            io::Error::new(error.kind(), text)
        })?;
    }
    file.set_permissions(old.permissions())?;
    #[cfg(target_os = "linux")]
    keep_access_list(file, target)?;
    Ok(())
}

/// Copies the access list (acl(5)), where there is one.
#[cfg(target_os = "linux")]
fn keep_access_list(file: &File, target: &Path) -> io::Result<()> {
    use rustix::fs::{XattrFlags, fsetxattr, getxattr};
    use rustix::io::Errno;

    const ACCESS_LIST: &str = "system.posix_acl_access";
    let mut list = Vec::with_capacity(4096);
    match getxattr(target, ACCESS_LIST, rustix::buffer::spare_capacity(&mut list)) {
        Ok(_) => {}
        // It has none, or the file system has none.
        Err(Errno::NODATA | Errno::NOTSUP) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    fsetxattr(file, ACCESS_LIST, &list, XattrFlags::empty()).map_err(|error| {
        io::Error::new(io::Error::from(error).kind(), format!("its access list cannot be kept: {error}"))
    })
}

#[cfg(not(unix))]
fn keep_owner_and_mode(_: &File, _: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    use super::*;

    /// A folder of a test's own, removed with its content when dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("pssst-atomic-{}-{name}", process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_new_file_has_the_mode_and_an_old_one_keeps_its_own() {
        let folder = Folder::new("mode");
        let path = folder.0.join("keys");
        replace(&path, 0o600, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        replace(&path, 0o600, b"two").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o440);
        assert_eq!((fs::read(&path).unwrap(), folder.names()), (b"two".to_vec(), vec!["keys".to_owned()]));
    }

    #[test]
    fn the_owner_stays() {
        let folder = Folder::new("owner");
        let path = folder.0.join("keys");
        replace(&path, 0o600, b"one").unwrap();
        let is_root = fs::metadata(&path).unwrap().uid() == 0;
        if is_root {
            chown(&path, Some(65_534), Some(65_533)).unwrap();
        }
        let before = fs::metadata(&path).unwrap();
        replace(&path, 0o600, b"two").unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
        assert_ne!(after.ino(), before.ino());
    }

    /// The file system of temporary files may have no access lists.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_access_list_stays() {
        use rustix::fs::{XattrFlags, getxattr, setxattr};

        const NAME: &str = "system.posix_acl_access";
        /// A version, then tag, permissions and id of each entry: the owner reads and writes, user
        /// 65,534 and the mask read.
        const LIST: [u8; 44] = [
            2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 254, 255, 0, 0, 4, 0, 0, 0, 255, 255, 255, 255, 16,
            0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
        ];
        let folder = Folder::new("acl");
        let path = folder.0.join("keys");
        replace(&path, 0o600, b"one").unwrap();
        let supported = setxattr(&path, NAME, &LIST, XattrFlags::empty());
        assert!(matches!(supported, Ok(()) | Err(rustix::io::Errno::NOTSUP)), "{supported:?}");
        replace(&path, 0o600, b"two").unwrap();
        if supported.is_ok() {
            let mut kept = [0; 100];
            let len = getxattr(&path, NAME, &mut kept).unwrap();
            assert_eq!(kept[..len], LIST);
        }
    }

    #[test]
    fn a_link_stays_and_its_file_is_replaced() {
        let folder = Folder::new("link");
        let (file, link) = (folder.0.join("file"), folder.0.join("link"));
        fs::write(&file, b"one").unwrap();
        symlink(&file, &link).unwrap();
        replace(&link, 0o600, b"two").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"two");
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let folder = Folder::new("failure");
        // A folder cannot be replaced by a file.
        let path = folder.0.join("folder");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, 0o600, b"one").is_err());
        assert_eq!(folder.names(), ["folder"]);
        assert!(replace(&folder.0.join("nowhere").join("file"), 0o600, b"one").is_err());
    }

    #[test]
    fn a_lock_excludes_other_writers_and_follows_the_file_that_they_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counter");
        replace(&path, 0o600, b"0").unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let _lock = lock(&path).unwrap();
                        let count: u32 = fs::read_to_string(&path).unwrap().parse().unwrap();
                        replace(&path, 0o600, (count + 1).to_string().as_bytes()).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "200");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no lock file is left");
        assert_eq!(lock(&folder.path().join("missing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
