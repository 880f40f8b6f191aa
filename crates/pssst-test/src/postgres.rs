//! PostgreSQL servers of their own for tests: in a temporary directory, on a private port of the
//! loopback interface.
//!
//! They need the programs of PostgreSQL 15 or later (Debian: `apt install postgresql`), from `PATH`
//! or from `/usr/lib/postgresql`. A server ends with the test's process, however that ends, and
//! leaves nothing behind.
//!
//! ```no_run
//! use pssst_test::Postgres;
//!
//! let url = Postgres::shared().fresh_database();
//! assert_eq!(Postgres::sql(&url, "SELECT 1 + 1"), "2");
//! ```

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::ports::ReservedPort;
use crate::wait::{PATIENCE, wait_for};

const USER: &str = "pssst";
const PASSWORD: &str = "hunter2-of-the-tests";

/// Stops the server when its standard input ends, which it does at the latest with the process that
/// holds its other end, and removes the directory unless it shall be kept.
const WATCHDOG: &str = r#"
directory=$1; shift
"$@" &
read -r order
kill -INT $!
wait $!
[ "$order" = keep ] || rm -rf "$directory"
"#;

/// A server. Stopped, and removed with all its data, when dropped.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    owner: Option<(u32, u32)>,
    directory: PathBuf,
    port: ReservedPort,
    watchdog: Option<Child>,
}

impl Postgres {
    /// Starts a server with an empty database.
    ///
    /// # Panics
    /// Without the programs of PostgreSQL, or when they fail.
    pub fn start() -> Self {
        let programs = find_programs();
        let owner = other_user();
        let directory = tempfile::Builder::new().prefix("pssst-postgres-").tempdir().expect("a directory").keep();
        let mut postgres = Self { programs, owner, directory, port: ReservedPort::new(), watchdog: None };
        if let Some((user, group)) = postgres.owner {
            chown(&postgres.directory, Some(user), Some(group)).expect("the directory's owner is changed");
        }
        postgres.make_cluster();
        assert!(postgres.try_start(), "PostgreSQL does not start:\n{}", postgres.log());
        postgres
    }

    /// Returns the one that all tests of this process share. Tests must not stop it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Returns the URL of the database that is there from the beginning.
    pub fn url(&self) -> String {
        self.database_url("postgres")
    }

    /// Makes another database, and gives its URL.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn fresh_database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Self::sql(&self.url(), &format!("CREATE DATABASE {name}"));
        self.database_url(&name)
    }

    /// Does as the SQL text says, and gives what `psql` prints: a row a line, columns separated by
    /// `|`.
    ///
    /// # Panics
    /// With what the database says when it refuses.
    pub fn sql(url: &str, text: &str) -> String {
        let psql = find_programs().join("psql");
        let arguments = ["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1", "--command"];
        let output =
            Command::new(psql).arg(url).args(arguments).arg(text).stdin(Stdio::null()).output().expect("psql runs");
        assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Returns a backup of a database, as `pg_dump` writes it.
    ///
    /// # Panics
    /// When the database refuses.
    pub fn dump(url: &str) -> String {
        let output = Command::new(find_programs().join("pg_dump")).arg("--no-owner").arg(url).output();
        let output = output.expect("pg_dump runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Replaces a database by what [`dump`](Self::dump) returned, and disconnects its users.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn restore(&self, url: &str, dump: &str) {
        let (_, name) = url.rsplit_once('/').expect("the name of a database");
        Self::sql(&self.url(), &format!("DROP DATABASE {name} WITH (FORCE)"));
        Self::sql(&self.url(), &format!("CREATE DATABASE {name}"));
        let mut psql = Command::new(find_programs().join("psql"));
        psql.arg(url).args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]);
        let output = crate::output(&mut psql, dump);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Stops the server at once, even with clients connected.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&mut self) {
        self.end(b"keep\n");
    }

    /// Starts it again after [`stop`](Self::stop), on the same port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        assert!(self.watchdog.is_none(), "it is running");
        assert!(self.try_start(), "PostgreSQL does not start again:\n{}", self.log());
    }

    /// Stops and starts it.
    ///
    /// # Panics
    /// When it does not.
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    fn database_url(&self, name: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{name}", self.port.number())
    }

    fn make_cluster(&self) {
        let password_file = self.directory.join("password");
        fs::write(&password_file, PASSWORD).expect("the password is written");
        let mut initdb = self.command(&self.programs.join("initdb"));
        // A locale whose order of names is not that of their bytes reveals code that relies on byte
        // order. Only the making of the cluster does without fsync.
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en-US"]);
        initdb.args(["--auth=scram-sha-256", "--username", USER]);
        initdb.arg("--pwfile").arg(password_file).arg("--pgdata").arg(self.data());
        let output = initdb.output().expect("initdb runs");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// `false` when it ends instead, for instance because its port is taken.
    fn try_start(&mut self) -> bool {
        let log_len = self.log().len();
        let log = File::options().create(true).append(true).open(self.directory.join("log")).expect("the log opens");
        let mut command = self.command(Path::new("/bin/sh"));
        command.arg("-c").arg(WATCHDOG).arg("watchdog").arg(&self.directory);
        command.arg(self.programs.join("postgres")).arg("-D").arg(self.data());
        command.arg("-p").arg(self.port.number().to_string());
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=on", "max_connections=200"] {
            command.arg("-c").arg(setting);
        }
        command.stdin(Stdio::piped()).stdout(log.try_clone().expect("a handle")).stderr(log);
        self.watchdog = Some(command.spawn().expect("/bin/sh runs"));
        let (begin, status_file) = (Instant::now(), self.data().join("postmaster.pid"));
        while begin.elapsed() < PATIENCE {
            // The eighth line is its state.
            let status = fs::read_to_string(&status_file).unwrap_or_default();
            if status.lines().nth(7).is_some_and(|state| state.trim() == "ready") {
                return true;
            }
            if has_failed(&self.log()[log_len..]) {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.stop();
        false
    }

    fn end(&mut self, order: &[u8]) {
        let Some(mut watchdog) = self.watchdog.take() else { return };
        if let Some(mut orders) = watchdog.stdin.take() {
            orders.write_all(order).expect("the watchdog listens");
        }
        wait_for("PostgreSQL ends", || watchdog.try_wait().expect("the watchdog is a child").is_some());
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.directory).stdin(Stdio::null()).env("LC_ALL", "C");
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.watchdog.is_some() {
            self.end(b"");
        } else if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("{}: {error}", self.directory.display());
        }
    }
}

/// Returns whether a server says that it cannot start. What it says to clients that come too early
/// is as fatal, to them.
fn has_failed(log: &str) -> bool {
    log.lines().any(|line| line.contains("FATAL") && !line.contains("the database system is "))
}

/// Returns the directory that has all of them.
fn find_programs() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    let find = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().collect();
        versions.sort_by_key(|version| version.file_name().to_string_lossy().parse::<u32>().unwrap_or(0));
        let installed = versions.iter().rev().map(|version| version.path().join("bin"));
        installed
            .chain(std::env::split_paths(&path))
            .find(|directory| ["initdb", "postgres", "psql"].iter().all(|program| directory.join(program).is_file()))
            .expect("this test needs PostgreSQL: install it (Debian: apt install postgresql)")
    };
    FOUND.get_or_init(find).clone()
}

/// PostgreSQL refuses to run as root: whom to run it as then.
fn other_user() -> Option<(u32, u32)> {
    if id("-u", None)? != 0 {
        return None;
    }
    let other = ["postgres", "nobody"].iter().find_map(|user| Some((id("-u", Some(user))?, id("-g", Some(user))?)));
    Some(other.expect("a user other than root: postgres or nobody"))
}

fn id(what: &str, user: Option<&str>) -> Option<u32> {
    let output = Command::new("id").arg(what).args(user).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_come_too_early_are_no_failure() {
        assert!(has_failed("LOG:  starting\nFATAL:  could not create any TCP/IP sockets\n"));
        assert!(!has_failed("LOG:  starting\nFATAL:  the database system is starting up\n"));
        assert!(!has_failed("LOG:  starting\n"));
    }

    #[test]
    fn a_server_keeps_its_data_and_its_port_and_leaves_nothing() {
        let mut postgres = Postgres::start();
        let url = postgres.fresh_database();
        Postgres::sql(&url, "CREATE TABLE t (n INT); INSERT INTO t VALUES (7)");
        assert_eq!(Postgres::sql(&url, "SHOW fsync"), "on");
        postgres.restart();
        assert_eq!(Postgres::sql(&url, "SELECT n FROM t"), "7");
        assert_eq!(Postgres::sql(&url, "SELECT 'a' < 'B'"), "t", "not the order of bytes");
        let directory = postgres.directory.clone();
        drop(postgres);
        assert!(!directory.exists());
    }
}
