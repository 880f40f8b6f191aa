//! Which key a server has, and from whom that is known.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use pssst::{ServerKey, Suite};
use pssst_directory::jiff::Timestamp;
use pssst_directory::{CurrentKey, DirectoryClient, Error, Pin};
use pssst_directory_server::Error as ServiceError;
use pssst_link::{Link, LinkKey};

use pssst_service::Failure;
use pssst_service::runtime;
use pssst_service::stderr::notice;

use crate::args::key_file;
use crate::args::options::{self, SuiteOption};
use crate::args::udp::listen_remedy;
use crate::args::waiting::{no_answer, while_waiting};

/// The server and where its key is from.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ServerOptions {
    /// The server's name or address, and its port; or a link, `pssst://…`, which has its key or its
    /// directory too.
    #[arg(long, value_name = "HOST:PORT|LINK")]
    server: Target,
    /// The server's public key: `pssst1…`, hexadecimal digits, or a file.
    #[arg(long, value_name = "KEY|FILE", conflicts_with = "directory")]
    server_key: Option<String>,
    #[command(flatten)]
    directory: DirectoryOptions<false>,
    /// The cipher suite [default: the one that the directory prefers; with --server-key f002, or
    /// f003 for a key of that suite]. Servers of other implementations have suite 1 only.
    #[arg(long, value_enum, value_name = "SUITE")]
    suite: Option<SuiteOption>,
}

/// A server as users name it.
#[derive(Clone, Debug)]
enum Target {
    Address(String),
    Link(Arc<Link>),
}

impl FromStr for Target {
    type Err = pssst_link::Error;

    fn from_str(text: &str) -> Result<Self, pssst_link::Error> {
        match text.parse::<Link>() {
            Ok(Link { server: None, .. }) => Err(pssst_link::Error::Missing("a server: it is for an enrolment")),
            Ok(link) => Ok(Self::Link(Arc::new(link))),
            Err(pssst_link::Error::NotLink) => Ok(Self::Address(text.to_owned())),
            Err(error) => Err(error),
        }
    }
}

/// How to reach a directory.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct DirectoryOptions<const REQUIRED: bool> {
    /// Directory of the server's keys: `https://HOST[:PORT]`, or a link, `pssst://…`, with its pin.
    #[arg(long, value_name = "URL|LINK", required = REQUIRED)]
    directory: Option<String>,
    /// Pin of the directory's certificate, as `pssst directory` prints it.
    #[arg(long, value_name = "sha256:HEX", conflicts_with = "directory_ca")]
    pin: Option<Pin>,
    /// Trust the authorities in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE")]
    directory_ca: Option<PathBuf>,
    /// Cache the directory's answer in this file. While the answer is valid, the directory is not
    /// needed. Without it, every start takes whatever keys the directory sends, older ones too.
    #[arg(long, value_name = "FILE")]
    key_cache: Option<PathBuf>,
    /// Accept that the directory gives up post-quantum keys, or this client's pre-shared key: what
    /// is sent then does not stay closed to quantum computers.
    #[arg(long)]
    allow_downgrade: bool,
}

impl<const REQUIRED: bool> DirectoryOptions<REQUIRED> {
    /// Returns a client of the directory, which takes this suite only if there is one; `None`
    /// without a directory. `server` is the link of the server.
    fn client(&self, server: Option<&Link>, suite: Option<Suite>) -> Result<Option<DirectoryClient>, Failure> {
        let own = self.directory.as_deref().map(linked).transpose();
        let own = own.map_err(|failure| failure.of_option("directory"))?.flatten();
        let mut builder = match (own, &self.directory, server.and_then(DirectoryClient::from_link)) {
            (Some(link), ..) => {
                self.refuse_pin_beside(&link)?;
                DirectoryClient::from_link(&link).ok_or_else(|| {
                    let what = "the link has no directory";
                    Failure::usage(what, "give the link as --server, or the directory's URL").of_option("directory")
                })?
            }
            (None, Some(url), _) => DirectoryClient::builder(url),
            (None, None, Some(linked)) => linked,
            (None, None, None) => return self.refuse_options_of_a_directory().map(|()| None),
        };
        if let Some(suite) = suite {
            builder = builder.suites([suite]);
        }
        if let Some(pin) = self.pin {
            builder = builder.pin(pin);
        }
        if let Some(file) = &self.directory_ca {
            builder = builder.ca_file(file);
        }
        if let Some(file) = &self.key_cache {
            builder = builder.cache(file);
        }
        if self.allow_downgrade {
            builder = builder.allow_downgrade();
        }
        builder.build().map(Some).map_err(|error| match error {
            Error::Syntax(_) => failure(&error)
                .with_context(self.directory.as_deref().unwrap_or_default())
                .into_usage()
                .of_option("directory"),
            error @ Error::Cache { .. } => failure(&error).of_option("key-cache"),
            error => failure(&error).of_option("directory-ca"),
        })
    }

    /// A link with a pin says which certificate to trust; no option says another.
    fn refuse_pin_beside(&self, link: &Link) -> Result<(), Failure> {
        match (link.pin, self.pin.is_some(), self.directory_ca.is_some()) {
            (Some(_), true, _) => Err(beside_a_link("pin")),
            (Some(_), _, true) => Err(beside_a_link("directory-ca")),
            _ => Ok(()),
        }
    }
}

impl<const REQUIRED: bool> DirectoryOptions<REQUIRED> {
    /// Clap passes over what an option requires if that conflicts with another option.
    fn refuse_options_of_a_directory(&self) -> Result<(), Failure> {
        let options = [
            ("pin", self.pin.is_some()),
            ("directory-ca", self.directory_ca.is_some()),
            ("key-cache", self.key_cache.is_some()),
            ("allow-downgrade", self.allow_downgrade),
        ];
        match options.into_iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((option, _)) => Err(Failure::usage(
                format!("--{option} is for the keys of a directory, and there is none"),
                "give --directory URL, or a link that has one, instead of --server-key, or omit it",
            )
            .of_option(option)),
        }
    }
}

impl DirectoryOptions<false> {
    /// Returns a client of the directory, which a link may name in place of the options.
    pub(crate) fn of_link(&self, link: Option<&Link>) -> Result<DirectoryClient, Failure> {
        if let Some(link) = link {
            self.refuse_pin_beside(link)?;
        }
        self.client(link, None)?.ok_or_else(|| {
            Failure::usage("no directory", "give it with --directory, or the token as a link that has the directory")
        })
    }

    /// Returns a client of the directory, if there is one.
    pub(crate) fn optional(&self) -> Result<Option<DirectoryClient>, Failure> {
        self.client(None, None)
    }
}

impl DirectoryOptions<true> {
    /// Returns a client of the directory that neither reads nor writes a cache.
    pub(crate) fn without_cache(&self) -> Result<DirectoryClient, Failure> {
        if let Some(file) = &self.key_cache {
            notice(format_args!("{} is neither read nor written: this shows what the directory has", file.display()));
        }
        Self { key_cache: None, ..self.clone() }.required()
    }

    /// Returns a client of the directory.
    pub(crate) fn required(&self) -> Result<DirectoryClient, Failure> {
        self.client(None, None)?.ok_or_else(|| Failure::usage("no directory", "give it with --directory"))
    }
}

impl ServerOptions {
    /// Returns the server's address, `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        match &self.server {
            Target::Address(address) => address,
            // Links without a server are refused when they are read.
            Target::Link(link) => link.server.as_deref().unwrap_or_default(),
        }
    }

    fn link(&self) -> Option<&Link> {
        match &self.server {
            Target::Address(_) => None,
            Target::Link(link) => Some(link),
        }
    }

    /// Returns the key for now, and the suite to use with it. `directory` is
    /// [its own](Self::directory).
    pub(crate) fn current_key(&self, directory: Option<&DirectoryClient>) -> Result<CurrentKey, Failure> {
        match directory {
            Some(directory) => while_waiting(no_answer, || runtime::run(current_key(directory))),
            None => self.fixed(),
        }
    }

    /// Returns the fixed key and its suite.
    pub(crate) fn fixed(&self) -> Result<CurrentKey, Failure> {
        let key = match (&self.server_key, self.link().and_then(|link| link.key)) {
            (Some(text), _) => options::server_key(text).map_err(|failure| failure.of_option("server-key"))?,
            (None, Some(LinkKey::X25519(key))) => key.into(),
            (None, _) => {
                return Err(Failure::usage(
                    "no server key",
                    "give it with --server-key, or a --directory, or a link (pssst://...) as --server",
                )
                .of_option("server-key"));
            }
        };
        let linked = self.link().and_then(|link| link.suites.first().copied());
        let suite = self.suite.map(Suite::from).or(linked).unwrap_or_else(|| key.default_suite());
        if !key.has_suite(suite) {
            return Err(Failure::usage(
                format!("the server key is for another suite than {:#06x}", suite.number()),
                "suite f003 has keys of its own: omit --suite, or give the server's key for it",
            )
            .of_option("suite"));
        }
        Ok(CurrentKey { key, suite })
    }

    /// A link says which key the server has; no option says another.
    fn refuse_keys_beside_link(&self) -> Result<(), Failure> {
        let Some(link) = self.link() else { return Ok(()) };
        if self.server_key.is_some() {
            return Err(beside_a_link("server-key"));
        }
        if self.directory.directory.is_some() {
            return Err(beside_a_link("directory"));
        }
        self.directory.refuse_pin_beside(link)
    }

    /// What can be checked without asking a directory.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.directory()? {
            Some(_) => Ok(()),
            None => self.fixed().map(drop),
        }
    }

    /// Returns the options whose lack in `after` would trust more directories, or take older keys
    /// after a restart. (Another directory is named, and so intended.)
    pub(crate) fn opened_by_lack(&self, after: &Self) -> impl Iterator<Item = &'static str> {
        let has_directory = after.has_directory();
        let trusts_system = has_directory && !after.has_pin() && after.directory.directory_ca.is_none();
        let has_lost_pin = trusts_system && self.has_pin();
        let (before, after) = (&self.directory, &after.directory);
        let has_lost_ca = trusts_system && before.directory_ca.is_some();
        let has_lost_cache = has_directory && before.key_cache.is_some() && after.key_cache.is_none();
        let lost = [(has_lost_pin, "pin"), (has_lost_ca, "directory-ca"), (has_lost_cache, "key-cache")];
        lost.into_iter().filter_map(|(is_lost, option)| is_lost.then_some(option))
    }

    /// Returns the files that are read.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> {
        let is_file = |key: &&String| key.parse::<ServerKey>().is_err();
        let key = self.server_key.iter().filter(is_file).map(PathBuf::from);
        key.chain(self.directory.directory_ca.clone())
    }

    /// Returns the directory, if the key is from one.
    pub(crate) fn directory(&self) -> Result<Option<DirectoryClient>, Failure> {
        self.refuse_keys_beside_link()?;
        self.directory.client(self.link(), self.suite.map(Into::into))
    }

    /// Returns these options without the cache: the directory is asked, and nothing is written.
    pub(crate) fn without_cache(&self) -> Self {
        let directory = DirectoryOptions { key_cache: None, ..self.directory.clone() };
        Self { directory, ..self.clone() }
    }

    pub(crate) fn key_cache(&self) -> Option<&Path> {
        self.directory.key_cache.as_deref()
    }

    /// Returns the X25519 key that the link has beside its directory.
    pub(crate) fn linked_key(&self) -> Option<ServerKey> {
        match self.link()?.key? {
            LinkKey::X25519(key) => Some(key.into()),
            _ => None,
        }
    }

    /// Returns the directory's address, in words.
    pub(crate) fn directory_name(&self) -> String {
        let own = self.directory.directory.as_ref();
        let linked = |link: &Link| link.directory.as_ref().map(|directory| format!("https://{directory}"));
        let of_own =
            own.map(|text| text.parse::<Link>().ok().as_ref().and_then(linked).unwrap_or_else(|| text.clone()));
        of_own.or_else(|| self.link().and_then(linked)).unwrap_or_default()
    }

    /// Returns whether the key is from a directory.
    pub(crate) fn has_directory(&self) -> bool {
        self.directory.directory.is_some() || self.link().is_some_and(|link| link.directory.is_some())
    }

    /// Whether the directory is known by its certificate's key.
    fn has_pin(&self) -> bool {
        let link = |link: &Link| link.pin.is_some();
        let of_directory: Option<Link> = self.directory.directory.as_ref().and_then(|text| text.parse().ok());
        self.directory.pin.is_some() || self.link().is_some_and(link) || of_directory.as_ref().is_some_and(link)
    }

    /// Returns whether the key is read from standard input.
    pub(crate) fn reads_stdin(&self) -> bool {
        self.server_key.as_deref() == Some("-")
    }
}

/// Returns the key for now: from the cache, while what is in it is not overdue, or else from the
/// directory.
pub(crate) async fn current_key(directory: &DirectoryClient) -> Result<CurrentKey, Failure> {
    // A document from the future says that one of the clocks is wrong.
    let is_fresh =
        directory.document().is_some_and(|document| (document.issued..document.refresh_at).contains(&Timestamp::now()));
    if is_fresh {
        return directory.current_key().map_err(|error| failure(&error));
    }
    fetched_key(directory).await
}

/// Returns the key for now, of a directory that takes over from another one in a running program:
/// the directory is asked, and keys that are older than those of before are refused.
pub(crate) async fn replacement_key(
    directory: &DirectoryClient,
    previous: Option<&DirectoryClient>,
) -> Result<CurrentKey, Failure> {
    if let Some(previous) = previous {
        directory.take_document_of(previous);
    }
    fetched_key(directory).await
}

/// Asks the directory, and returns the key for now. The keys from before are used if it fails, and
/// they are still good.
async fn fetched_key(directory: &DirectoryClient) -> Result<CurrentKey, Failure> {
    if let Err(error) = directory.fetch().await {
        let current = directory.current_key().map_err(|_| failure(&error))?;
        notice(format_args!("warning: the keys from before stay in use: {error}"));
        return Ok(current);
    }
    report_cache(directory);
    directory.current_key().map_err(|error| failure(&error))
}

/// Tells if the last document could not be cached: without the directory it will be missed.
fn report_cache(directory: &DirectoryClient) {
    if let Some(error) = directory.status().cache_error {
        notice(format_args!("warning: the keys are not cached: {error}"));
    }
}

/// Returns the link, if the text is one.
pub(crate) fn linked(text: &str) -> Result<Option<Link>, Failure> {
    match text.parse() {
        Ok(link) => Ok(Some(link)),
        Err(pssst_link::Error::NotLink) => Ok(None),
        Err(error) => Err(wrong_link(&error)),
    }
}

fn wrong_link(error: &pssst_link::Error) -> Failure {
    Failure::usage(error.to_string(), "copy the whole link again; `pssst serve` and `pssst directory` print it")
}

fn beside_a_link(option: &'static str) -> Failure {
    Failure::usage(
        format!("the link says what --{option} says"),
        format!("omit --{option}, or give the server's address instead of the link"),
    )
    .of_option(option)
}

/// Returns the failure of a directory's client, and what to do.
pub(crate) fn failure(error: &Error) -> Failure {
    let remedy = match error {
        Error::Connection(_) => {
            "is the address right, does it run, and is its certificate trusted? One without a public authority is given by \
             --pin, as `pssst directory` prints it, or by --directory-ca FILE"
        }
        Error::Syntax(_) => "give the address of the directory: https://HOST[:PORT]",
        Error::NoCurrentKey => "ask the directory's operator: its keys have expired",
        Error::NoCommonSuite => "omit --suite, or give one that `pssst keys fetch` shows",
        Error::Refused { .. } => "ask the operator for a new token; `pssst token create` makes one",
        Error::OldDocument { .. } | Error::ConflictingDocument { .. } => {
            "the directory's operator has to check its schedule: `pssst keys take-over` repairs one from a backup"
        }
        Error::Downgrade => {
            "ask the directory's operator; if the pool gave post-quantum keys up, give --allow-downgrade"
        }
        Error::UnexpectedKeys => "ask the server's operator for a new link",
        Error::PskDowngrade => {
            "ask the directory's operator; if the pool gave pre-shared keys up, or this client need not use one, leave \
             --psk away, or give --allow-downgrade"
        }
        Error::NoSharedSecret => "the holder of the client's secret key has to give it a new shared secret",
        Error::ImplausibleDocument { .. } => "check the clocks of this machine and of the directory",
        Error::Trust(_) => "check that this is a PEM file of certificates",
        Error::File(_) => CHECK_PATH,
        Error::Cache { .. } => {
            "check that this is the right file, its owner and its permissions; if it is, and cannot be restored, delete \
             it: any keys that the directory sends are taken then, older ones and those without a post-quantum one too"
        }
        _ => ASK_OPERATOR,
    };
    Failure::new(error.to_string(), remedy)
}

const CHECK_PATH: &str = "check the path, its owner and its permissions";
const ASK_OPERATOR: &str = "try again; if it fails again, ask the directory's operator";

/// Returns the failure of a directory's service or of a schedule, and what to do.
pub(crate) fn service_failure(error: &ServiceError) -> Failure {
    let remedy = match error {
        ServiceError::Listen(_, error) => listen_remedy(error),
        ServiceError::NoCurrentKey => "ask the directory's operator: its keys have expired",
        ServiceError::File(_) => CHECK_PATH,
        ServiceError::Syntax(_) => "check that this is the right file",
        ServiceError::Exposed(_) => {
            "check that this is the right file; if it is, treat the keys as exposed, and let only the owner read it"
        }
        ServiceError::RotationUnderWay => "wait until that key is in force; `pssst keys show` shows when",
        ServiceError::InvalidSchedule(_) => "`pssst keys show` shows the keys, their times and the refresh interval",
        _ => ASK_OPERATOR,
    };
    Failure::new(error.to_string(), remedy)
}

/// Returns the failure of a file of the directory's service.
pub(crate) fn of_file(path: &Path, error: &ServiceError) -> Failure {
    service_failure(error).with_context(path.display())
}

/// Returns the failure of the file of a schedule, which may be a file of another kind.
pub(crate) fn of_schedule(path: &Path, error: &ServiceError) -> Failure {
    let may_be_another = matches!(error, ServiceError::Syntax(_) | ServiceError::Exposed(_));
    let other = may_be_another.then(|| key_file::not_a_schedule(path)).flatten();
    other.unwrap_or_else(|| of_file(path, error))
}
