//! `pssst audit`: the log of what operators and devices did.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::PathBuf;

use pssst_identity::jiff::Timestamp;
use pssst_identity::{AuditArchive, AuditEntry, IdentityStore, SqlStore};
use pssst_service::Failure;
use pssst_service::runtime;
use pssst_service::stderr::notice;
use pssst_support::atomic_file;
use serde_json::json;

use crate::args::format::{JsonOption, print};
use crate::args::key_file;
use crate::args::options;
use crate::args::store::{Location, failure};

/// Show the audit log of a database, and archive old entries.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    List(List),
    Archive(Archive),
    Verify(Verify),
}

/// Print entries, newest first: number, time, actor, action, key and details.
#[derive(clap::Args, Debug)]
struct List {
    /// Most entries to print, up to 1,000.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only entries before this number.
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
    /// Print one JSON object per line, as archives have them.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    location: Location,
}

/// Move old entries into a file, one JSON object per line.
///
/// The database keeps a hash that covers the file and all archives before it: `audit verify` finds
/// any later change. Entries are deleted once the file is on the disk.
#[derive(clap::Args, Debug)]
struct Archive {
    /// The new file, readable by its owner only.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Move entries from before this time: a date, a time, or how long ago (`365d`).
    #[arg(long, value_name = "TIME", value_parser = options::past_time)]
    before: Timestamp,
    #[command(flatten)]
    output: JsonOption,
    #[command(flatten)]
    location: Location,
}

/// Compare archives with the hashes in the database. Give all of them, oldest first.
#[derive(clap::Args, Debug)]
struct Verify {
    /// The files.
    #[arg(required = true)]
    file: Vec<PathBuf>,
    /// Print a JSON object for each archive.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    location: Location,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    runtime::run(async {
        match &args.command {
            Command::List(args) => list(args).await,
            Command::Archive(args) => archive(args).await,
            Command::Verify(args) => verify(args).await,
        }
    })
}

async fn list(args: &List) -> Result<(), Failure> {
    let store = args.location.open_database().await?;
    let entries = store.audit_log(args.before, args.limit.into()).await.map_err(|error| failure(&error))?;
    let mut out = io::stdout().lock();
    let print =
        |entry: &AuditEntry| if args.json { out.write_all(entry.to_line().as_bytes()) } else { line(&mut out, entry) };
    entries.iter().try_for_each(print).map_err(|error| Failure::output(&error))
}

fn line(out: &mut impl Write, entry: &AuditEntry) -> io::Result<()> {
    let AuditEntry { number, at, actor, entry, .. } = entry;
    let (at, action) = (at.strftime("%Y-%m-%dT%H:%M:%SZ"), entry.action.name());
    write!(out, "{number:>8} {at} {actor:<16} {action:<18} {}", entry.detail)?;
    match entry.client_key {
        Some(key) => writeln!(out, " {key}"),
        None => writeln!(out),
    }
}

async fn archive(args: &Archive) -> Result<(), Failure> {
    let store = args.location.open_database().await?;
    let file = key_file::create(&args.out)?;
    let written = write(&store, args, &file).await;
    if !matches!(written, Ok(Some(_))) {
        drop(std::fs::remove_file(&args.out));
    }
    let Some(archive) = written.map_err(|error| failure(&error))? else {
        if args.output.json {
            return print(json!({ "file": null, "entries": 0 }));
        }
        notice(format_args!("there are no entries from before {}", args.before));
        return Ok(());
    };
    // The file stays, whatever comes now: a lost connection does not tell what became of the
    // entries.
    store.prune_audit_log(&archive).await.map_err(|error| {
        let name = args.out.display();
        Failure::new(
            format!("the entries in {name} may not be deleted from the database: {error}"),
            format!("see whether `pssst audit list` still has them; if it does, remove {name} and try again"),
        )
    })?;
    store.close().await;
    let AuditArchive { first, last, entries, .. } = archive;
    if args.output.json {
        return print(json!({ "file": args.out, "first": first, "last": last, "entries": entries }));
    }
    notice(format_args!("entries {first} to {last} ({entries}) are in {} and were deleted", args.out.display()));
    Ok(())
}

/// Writes the file, down to the disk.
async fn write(store: &SqlStore, args: &Archive, file: &File) -> Result<Option<AuditArchive>, pssst_identity::Error> {
    let mut out = BufWriter::new(file);
    let archive = store.export_audit_log(args.before, &mut out).await?;
    out.flush()?;
    drop(out);
    file.sync_all()?;
    atomic_file::sync_name(&args.out)?;
    Ok(archive)
}

async fn verify(args: &Verify) -> Result<(), Failure> {
    let store = args.location.open_database().await?;
    let known = store.audit_archives().await.map_err(|error| failure(&error))?;
    let mut previous = None;
    for path in &args.file {
        let named = |cause: &dyn std::fmt::Display| format!("{}: {cause}", path.display());
        let file = File::open(path).map_err(|error| {
            Failure::new(named(&error), "give the files that `pssst audit archive` wrote, oldest first")
        })?;
        let archive = AuditArchive::read(BufReader::new(file), previous.as_ref());
        let archive = archive.map_err(|error| Failure::new(named(&error), "it is not an archive of the audit log"))?;
        let Some(archive) = archive.filter(|archive| known.contains(archive)) else {
            return Err(Failure::new(
                named(&"not what was archived: it was changed, or an archive before it is missing"),
                "give all archives, oldest first; if they are all there, restore this one from another copy",
            ));
        };
        let AuditArchive { first, last, entries, .. } = &archive;
        if args.json {
            print(json!({ "file": path, "first": first, "last": last, "entries": entries, "unchanged": true }))?;
        } else {
            notice(format_args!("{}: entries {first} to {last} ({entries}) are unchanged", path.display()));
        }
        previous = Some(archive);
    }
    let verified = args.file.len();
    if verified < known.len() {
        return Err(Failure::new(
            format!("{verified} of {} archives were given", known.len()),
            "give all of them, oldest first",
        ));
    }
    Ok(())
}
