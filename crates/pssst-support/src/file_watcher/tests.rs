use std::fs;
use std::io;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

/// A folder with followed files, and a clock that advances with each poll.
struct Fixture {
    folder: TempDir,
    watcher: FileWatcher,
    now: Instant,
}

#[derive(Debug, PartialEq)]
enum Found {
    Same,
    Pending,
    Settled(String),
    /// The name of the file, and the cause.
    Failed(String, &'static str),
}

impl Fixture {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let sources = files.iter().map(|(name, _)| Source::new(folder.path().join(name)).max_len(20)).collect();
        let mut fixture = Self { folder, watcher: FileWatcher::new(sources), now: Instant::now() };
        let candidate = fixture.watcher.read(fixture.now).unwrap();
        fixture.watcher.accept(&candidate);
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn poll(&mut self) -> Found {
        self.poll_after(Duration::from_secs(1))
    }

    fn poll_after(&mut self, pause: Duration) -> Found {
        self.now += pause;
        match self.watcher.poll(self.now) {
            Ok(Polled::Same) => Found::Same,
            Ok(Polled::Pending) => Found::Pending,
            Ok(Polled::Settled(candidate)) => {
                self.watcher.accept(&candidate);
                let texts: Vec<_> = candidate.contents().iter().map(|it| str::from_utf8(it).unwrap()).collect();
                Found::Settled(texts.join("+"))
            }
            Err(error) => {
                let cause = match error.cause {
                    FileErrorCause::Io(_) => "io",
                    FileErrorCause::NotRegular => "not regular",
                    FileErrorCause::Exposed(_) => "exposed",
                    FileErrorCause::Changeable { .. } | FileErrorCause::OtherOwner(_) => "of others",
                    FileErrorCause::TooLong(_) => "too long",
                    FileErrorCause::Emptied => "emptied",
                };
                Found::Failed(error.path.file_name().unwrap().to_str().unwrap().to_owned(), cause)
            }
        }
    }

    /// Polls until what is pending has settled.
    fn settled(&mut self) -> String {
        assert_eq!(self.poll(), Found::Pending);
        let Found::Settled(text) = self.poll() else { panic!("it has not settled") };
        text
    }
}

#[test]
fn contents_count_when_two_polls_have_read_them() {
    let mut fixture = Fixture::new(&[("file", "one")]);
    assert_eq!(fixture.poll(), Found::Same);
    let path = fixture.path("file");
    // As editors and our own programs replace files.
    fs::write(fixture.path("new"), "two").unwrap();
    fs::rename(fixture.path("new"), &path).unwrap();
    assert_eq!(fixture.settled(), "two");
    // Written in pieces.
    for text in ["t", "th", "thr"] {
        fs::write(&path, text).unwrap();
        assert_eq!(fixture.poll(), Found::Pending);
    }
    fs::write(&path, "three").unwrap();
    assert_eq!(fixture.settled(), "three");
    // Two polls at once are one.
    fs::write(&path, "four").unwrap();
    assert_eq!(fixture.poll(), Found::Pending);
    assert_eq!(fixture.poll_after(SETTLE / 2), Found::Pending);
    assert_eq!(fixture.poll_after(SETTLE / 2), Found::Settled("four".to_owned()));
    // There and back again.
    fs::write(&path, "five").unwrap();
    assert_eq!(fixture.poll(), Found::Pending);
    fs::write(&path, "four").unwrap();
    assert_eq!(fixture.poll(), Found::Same);
}

#[test]
fn a_file_that_is_emptied_or_gone_is_an_error_until_it_is_back() {
    let mut fixture = Fixture::new(&[("one", "1"), ("two", "2")]);
    let path = fixture.path("two");
    let failed = |cause| Found::Failed("two".to_owned(), cause);
    for empty in ["", " \n"] {
        fs::write(&path, empty).unwrap();
        assert_eq!(fixture.poll(), Found::Pending);
        assert_eq!([fixture.poll(), fixture.poll()], [failed("emptied"), failed("emptied")]);
        fs::write(&path, "2").unwrap();
        assert_eq!(fixture.poll(), Found::Same);
    }
    fs::write(&path, "").unwrap();
    assert!(matches!(fixture.watcher.read(fixture.now), Err(FileError { cause: FileErrorCause::Emptied, .. })));
    fs::remove_file(&path).unwrap();
    assert_eq!(fixture.poll(), failed("io"));
    fs::create_dir(&path).unwrap();
    assert_eq!(fixture.poll(), failed("not regular"));
    fs::remove_dir(&path).unwrap();
    fs::write(&path, [b'x'; 21]).unwrap();
    assert_eq!(fixture.poll(), failed("too long"));
    fs::write(&path, [b'x'; 20]).unwrap();
    assert_eq!(fixture.settled(), format!("1+{}", "x".repeat(20)));
}

#[test]
fn an_error_begins_the_count_of_polls_anew() {
    let mut fixture = Fixture::new(&[("file", "one")]);
    let path = fixture.path("file");
    fs::write(&path, "two").unwrap();
    assert_eq!(fixture.poll(), Found::Pending);
    fs::remove_file(&path).unwrap();
    assert_eq!(fixture.poll(), Found::Failed("file".to_owned(), "io"));
    fs::write(&path, "two").unwrap();
    assert_eq!(fixture.settled(), "two");
}

#[test]
fn what_was_empty_may_be_empty() {
    let mut fixture = Fixture::new(&[("file", "")]);
    fs::write(fixture.path("file"), "\n").unwrap();
    assert_eq!(fixture.settled(), "\n");
}

#[test]
fn unchanged_files_are_not_read_and_changed_ones_are_whatever_their_time() {
    let mut fixture = Fixture::new(&[("file", "one")]);
    let path = fixture.path("file");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    for _ in 0..5 {
        assert_eq!(fixture.poll(), Found::Same);
    }
    assert!(fixture.watcher.is_unchanged());
    // A program keeps length and time as they were.
    fs::write(&path, "two").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    if cfg!(unix) {
        assert_eq!(fixture.settled(), "two");
    }
    // What has just been read may still change within a tick of the clock.
    assert!(!fixture.watcher.is_unchanged());
}

#[test]
fn what_the_caller_writes_is_accepted_and_what_is_forgotten_is_a_change() {
    let mut fixture = Fixture::new(&[("file", "one")]);
    fs::write(fixture.path("file"), "two").unwrap();
    fixture.watcher.accept_written(b"two");
    assert_eq!(fixture.poll(), Found::Same);
    let candidate = fixture.watcher.read(fixture.now).unwrap();
    assert!(fixture.watcher.is_accepted(&candidate));
    fixture.watcher.forget();
    assert_eq!(fixture.poll(), Found::Settled("two".to_owned()));
}

#[test]
fn lengths_part_the_files() {
    let mut fixture = Fixture::new(&[("one", "ab"), ("two", "c")]);
    fs::write(fixture.path("one"), "a").unwrap();
    fs::write(fixture.path("two"), "bc").unwrap();
    assert_eq!(fixture.settled(), "a+bc");
}

/// Kubernetes mounts a folder of links through `..data`, which is a link to a folder for each
/// version.
#[cfg(unix)]
#[test]
fn links_are_followed_when_they_lead_elsewhere() -> io::Result<()> {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    for (version, text) in [("..1", "one"), ("..2", "two")] {
        fs::create_dir(path(version))?;
        fs::write(path(version).join("key"), text)?;
        // Both have the time at which the volume was made.
        fs::File::options().write(true).open(path(version).join("key"))?.set_modified(std::time::UNIX_EPOCH)?;
    }
    symlink("..1", path("..data"))?;
    symlink("..data/key", path("key"))?;
    let mut watcher = FileWatcher::new(vec![Source::new(path("key"))]);
    let mut now = Instant::now();
    let candidate = watcher.read(now).unwrap();
    watcher.accept(&candidate);
    for _ in 0..5 {
        now += Duration::from_secs(1);
        assert!(matches!(watcher.poll(now), Ok(Polled::Same)));
    }
    symlink("..2", path("..tmp"))?;
    fs::rename(path("..tmp"), path("..data"))?;
    now += Duration::from_secs(1);
    assert!(matches!(watcher.poll(now), Ok(Polled::Pending)));
    now += Duration::from_secs(1);
    let Ok(Polled::Settled(candidate)) = watcher.poll(now) else { panic!("the new version") };
    assert_eq!(&*candidate.contents()[0], b"two");
    Ok(())
}
