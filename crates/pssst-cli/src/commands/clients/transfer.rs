//! Clients from one store to another, as lines of JSON.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use pssst_identity::{ListQuery, NewIdentity};

use super::output::{as_json, for_each_page, print};
use crate::args::format::JsonOption;
use crate::args::store::{Location, failure};
use crate::args::waiting::Progress;
use pssst_service::Failure;
use pssst_service::stderr::notice;
use pssst_support::{byte_order_mark, grouped};
use serde_json::json;

/// Clients that are added at once.
const PIECE: usize = 2_000;
/// Length of a line at most, in bytes: name, labels and key with room to spare.
const MAX_LINE_LEN: u64 = 64 * 1024;

/// Add all clients of a file that `export` wrote.
///
/// A JSON object a line: `key` and `name` are needed; `labels`, `state`, `created`, `expires` and
/// `requires_psk` are kept. Added by 2,000 at a time: all of those or, if one of them cannot be,
/// none.
#[derive(clap::Args, Debug)]
pub(super) struct Import {
    /// The file; `-` is standard input.
    file: PathBuf,
    /// Skip clients whose key is already enrolled.
    #[arg(long)]
    skip_known: bool,
    #[command(flatten)]
    output: JsonOption,
    #[command(flatten)]
    location: Location,
}

/// Print all clients, one JSON object per line.
#[derive(clap::Args, Debug)]
pub(super) struct Export {
    #[command(flatten)]
    location: Location,
}

pub(super) async fn export(args: &Export) -> Result<(), Failure> {
    let store = args.location.open().await?;
    let (mut progress, mut printed) = (Progress::start(), 0);
    for_each_page(&*store, ListQuery::default(), |identities| {
        print(|out| identities.iter().try_for_each(|identity| as_json(out, identity)))?;
        printed += identities.len();
        progress.show(printed, "clients written");
        Ok(true)
    })
    .await
}

pub(super) async fn import(args: &Import) -> Result<(), Failure> {
    // First, so that no store is created for nothing.
    let reader: Box<dyn Read> = if args.file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(&args.file).map_err(|error| cannot_read(&args.file, &error))?)
    };
    let mut reader = BufReader::new(reader);
    let store = args.location.open_or_create().await?;
    let (mut number, mut added, mut piece) = (0, 0, Vec::new());
    let mut progress = Progress::start();
    loop {
        number += 1;
        let mut line = String::new();
        let len = reader
            .by_ref()
            .take(MAX_LINE_LEN)
            .read_line(&mut line)
            .map_err(|error| at_line(cannot_read(&args.file, &error), number, added))?;
        if number == 1 {
            byte_order_mark::remove(&mut line);
        }
        if len > 0 && !line.trim().is_empty() {
            let new = NewIdentity::from_json(&line).map_err(|error| at_line(failure(&error), number, added))?;
            let is_known = args.skip_known && store.get(new.key()).await.map_err(|error| failure(&error))?.is_some();
            if !is_known {
                piece.push(new);
            }
        }
        if piece.len() == PIECE || len == 0 && !piece.is_empty() {
            let piece = std::mem::take(&mut piece);
            let len = piece.len();
            store.add_all(piece).await.map_err(|error| up_to(failure(&error), number, added))?;
            added += len;
            progress.show(added, "clients added");
        }
        if len == 0 {
            store.close().await;
            if args.output.json {
                return print(|out| writeln!(out, "{}", json!({ "added": added })));
            }
            notice(format_args!("{} clients added", grouped(added)));
            return Ok(());
        }
    }
}

fn at_line(failure: Failure, number: usize, added: usize) -> Failure {
    failure.with_context(format_args!("line {number}, after {added} clients were added"))
}

fn up_to(failure: Failure, number: usize, added: usize) -> Failure {
    failure.with_context(format_args!("among the clients up to line {number}, after {added} were added"))
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot read {}: {error}", path.display()), "check the path and its permissions")
}
