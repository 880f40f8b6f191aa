//! `pssst inspect`: dissects single packets, or those of a capture.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use pssst_service::Failure;
use pssst_service::stderr::notice;

use entry::{Counts, Entry, Place};
use pssst::{Keyring, SecretKey, Server, ServerSecretKey, SysRng};
use pssst_directory::jiff::Timestamp;
use pssst_directory_server::{Schedule, ScheduleFile};
use pssst_inspect::{
    Content, Datagram, Decryptor, Dissection, Frame, Item, Observation, Transactions, content, each_item,
};

use crate::args::{key_file, no_randomness, server_key};

pub(crate) use args::Args;

mod args;
mod entry;
mod input;
#[cfg(test)]
mod tests;
mod text;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    input::refuse_two_readers_of_stdin(args)?;
    let mut inspector = Inspector::new(args, io::stdout())?;
    let Some(file) = &args.capture else {
        return inspector.packet(&input::packet(args)?);
    };
    let input: Box<dyn Read + Send> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| input::cannot_read(file, &error))?)
    };
    inspector.capture(file, input)
}

/// Looks at packets, and writes what it sees.
struct Inspector<'a, W> {
    args: &'a Args,
    decryptor: Option<Decryptor>,
    transactions: Transactions,
    counts: Counts,
    output: W,
}

impl<'a, W: Write> Inspector<'a, W> {
    fn new(args: &'a Args, output: W) -> Result<Self, Failure> {
        let decryptor = decryptor(args)?;
        Ok(Self { args, decryptor, transactions: Transactions::new(), counts: Counts::default(), output })
    }

    /// All packets of a capture, up to its end or to where it cannot be read; then what there was
    /// in it.
    fn capture(&mut self, file: &Path, input: impl Read + Send) -> Result<(), Failure> {
        let end = each_item(input, |item| match item {
            Item::Frame(frame) => self.frame(&frame),
            Item::UnknownBlock(block_type) => {
                *self.counts.unknown_blocks.entry(block_type).or_default() += 1;
                Ok(())
            }
        });
        if !self.args.json && self.counts.frames > 0 {
            let counts = text::counts(&self.counts, &self.args.ports).map_err(io::Error::other);
            self.write(&counts.map_err(|error| Failure::output(&error))?)?;
        }
        if self.args.json {
            text::skipped(&self.counts).iter().for_each(notice);
        }
        if self.args.json && self.counts.dangers > 0 {
            notice(format_args!("warning: {}; see docs/security.md", text::DANGER));
        }
        end.map_err(|error: input::End| error.into_failure(file, self.counts.frames))?;
        if self.counts.packets == 0 {
            return Err(input::nothing_found(file, &self.args.ports, &self.counts));
        }
        if self.counts.understood == 0 {
            return Err(input::nothing_understood(file, &self.args.ports, self.counts.packets));
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), input::End> {
        self.counts.frames = frame.number;
        match content(frame.link, frame.data) {
            Content::Datagram(datagram) if self.is_wanted(&datagram) => {
                let place = Place {
                    number: frame.number,
                    time: frame.time,
                    source: datagram.source,
                    destination: datagram.destination,
                    fragment: datagram.is_fragment,
                };
                self.datagram(place, &datagram)?;
            }
            Content::LaterFragment => self.counts.later_fragments += 1,
            Content::UnknownLink => *self.counts.unknown_links.entry(frame.link.0).or_default() += 1,
            Content::Datagram(_) | Content::Other => {}
        }
        Ok(())
    }

    fn is_wanted(&self, datagram: &Datagram<'_>) -> bool {
        [datagram.source, datagram.destination].iter().any(|address| self.args.ports.contains(&address.port()))
    }

    fn datagram(&mut self, place: Place, datagram: &Datagram<'_>) -> Result<(), Failure> {
        let mut dissection = Dissection::of(datagram.payload, datagram.length);
        let observation = Observation {
            number: place.number,
            time: place.time,
            source_port: place.source.port(),
            destination_port: place.destination.port(),
            packet: datagram.payload,
        };
        let (contents, events) = self.transactions.observe(&mut dissection, &observation, self.decryptor.as_ref());
        self.counts.packet(&dissection, &events);
        self.show(&Entry { place: Some(place), dissection, contents, events })
    }

    /// Returns a packet by itself.
    fn packet(&mut self, packet: &[u8]) -> Result<(), Failure> {
        let mut dissection = Dissection::of(packet, packet.len());
        let contents = self.decryptor.as_ref().map(|decryptor| decryptor.open(packet, &mut dissection));
        self.show(&Entry { place: None, dissection, contents: contents.unwrap_or_default(), events: Vec::new() })
    }

    fn show(&mut self, entry: &Entry) -> Result<(), Failure> {
        let text = if self.args.json {
            serde_json::to_string(entry).map(|line| line + "\n").map_err(io::Error::from)
        } else {
            // A blank line between the packets of a capture.
            let end = if entry.place.is_some() { "\n" } else { "" };
            text::packet(entry).map(|text| text + end).map_err(io::Error::other)
        };
        self.write(&text.map_err(|error| Failure::output(&error))?)
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.output.write_all(text.as_bytes()).map_err(|error| Failure::output(&error))
    }
}

/// Returns what opens packets, if there are any keys.
fn decryptor(args: &Args) -> Result<Option<Decryptor>, Failure> {
    let schedule = args.keys.as_ref().map(|path| schedule(path, args)).transpose()?;
    let Some(keyring) = keyring(args, schedule.as_ref())? else {
        return if args.psk_master.is_empty() {
            Ok(None)
        } else {
            Err(Failure::usage("a master opens nothing without a key", "give --secret-key too, or --keys")
                .of_option("psk-master"))
        };
    };
    let given = args.psk_master.iter().map(|file| key_file::read_psk_master(file, &args.access));
    let given = given.collect::<Result<Vec<_>, _>>()?;
    let scheduled = schedule.iter().flat_map(|(schedule, now)| schedule.accepted_psk_masters(*now).cloned());
    let decryptor = Decryptor::new(keyring).with_psk_masters(scheduled.chain(given));
    decryptor.map(Some).map_err(|_| too_many_keys("masters of pre-shared keys", Server::MAX_PSK_MASTERS))
}

fn schedule(path: &Path, args: &Args) -> Result<(Arc<Schedule>, Timestamp), Failure> {
    let file = ScheduleFile::open(path, args.access.allow_exposed_keys);
    let file = file.map_err(|error| server_key::of_schedule(path, &error).of_option("keys"))?;
    Ok((file.load(), file.now()))
}

fn too_many_keys(kind: &str, limit: usize) -> Failure {
    Failure::usage(
        format!("more than {limit} {kind}"),
        "run it again with the other keys: a packet opens with one key only",
    )
}

/// Returns the secret keys, if there are any.
fn keyring(args: &Args, schedule: Option<&(Arc<Schedule>, Timestamp)>) -> Result<Option<Keyring>, Failure> {
    if args.secret_key.is_empty() && schedule.is_none() {
        return Ok(None);
    }
    let too_many = |_| too_many_keys("secret keys of a kind", Keyring::CAPACITY);
    let (mut x25519, mut xwing) = (Vec::new(), Vec::new());
    for file in &args.secret_key {
        match key_file::read_server_secret(file, &args.access)? {
            ServerSecretKey::XWing(secret) => xwing.push(secret),
            ServerSecretKey::X25519(secret) => x25519.push(secret),
            _ => {}
        }
    }
    let mut x25519 = x25519.into_iter();
    let keyring = match schedule {
        Some((schedule, now)) => schedule.keyring(*now).map_err(|error| server_key::service_failure(&error))?,
        // A keyring has an X25519 key. One that nobody has opens nothing.
        None => Keyring::new(match x25519.next() {
            Some(first) => first,
            None => SecretKey::generate(&mut SysRng).map_err(no_randomness)?,
        }),
    };
    let keyring = x25519.try_fold(keyring, Keyring::with_key).map_err(too_many)?;
    xwing.iter().try_fold(keyring, Keyring::with_xwing_key).map(Some).map_err(too_many)
}
