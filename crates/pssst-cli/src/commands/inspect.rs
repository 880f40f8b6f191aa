//! `pssst inspect`: dissects single packets, or those of a capture.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use pssst_service::Failure;
use pssst_service::stderr::notice;

use entry::{Counts, Entry, Place};
use pssst::Keyring;
use pssst_inspect::{
    Content, Datagram, Decryptor, Dissection, Frame, Item, Observation, Transactions, content, each_item,
};

use crate::args::key_file;

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
        let decryptor = keyring(args)?.map(Decryptor::new);
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
        let opened = self.decryptor.as_ref().and_then(|decryptor| decryptor.open(datagram.payload, &mut dissection));
        let observation = Observation {
            number: place.number,
            time: place.time,
            source_port: place.source.port(),
            destination_port: place.destination.port(),
            packet: datagram.payload,
            is_opened: opened.is_some(),
        };
        let events = self.transactions.observe(&dissection, &observation);
        self.counts.packet(&dissection, &events);
        self.show(&Entry { place: Some(place), dissection, opened, events })
    }

    /// Returns a packet by itself.
    fn packet(&mut self, packet: &[u8]) -> Result<(), Failure> {
        let mut dissection = Dissection::of(packet, packet.len());
        let opened = self.decryptor.as_ref().and_then(|decryptor| decryptor.open(packet, &mut dissection));
        self.show(&Entry { place: None, dissection, opened, events: Vec::new() })
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

/// Returns the secret keys, if there are any.
fn keyring(args: &Args) -> Result<Option<Keyring>, Failure> {
    let mut secrets = args.secret_key.iter().map(|file| key_file::read_secret(file, &args.access));
    let Some(first) = secrets.next().transpose()? else { return Ok(None) };
    let mut keyring = Keyring::new(first);
    for secret in secrets {
        keyring = keyring.with_key(secret?).map_err(|_| {
            Failure::usage(
                format!("more than {} secret keys", Keyring::CAPACITY),
                "run it again with the other keys: a packet opens with one key only",
            )
        })?;
    }
    Ok(Some(keyring))
}
