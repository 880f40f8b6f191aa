//! `pssst inspect`: packets taken apart, one by one or in a capture.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use pssst_service::Failure;
use pssst_service::stderr::notice;

use anatomy::Anatomy;
use capture::Frame;
use entry::{Counts, Entry, Place};
use frame::{Content, Datagram};
use opened::Opener;
use transactions::{Sighting, Transactions};

pub(crate) use args::Args;

mod anatomy;
mod args;
mod capture;
#[cfg(test)]
mod captures;
mod entry;
mod frame;
mod input;
mod opened;
#[cfg(test)]
mod tests;
mod text;
mod transactions;

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
    opener: Option<Opener>,
    transactions: Transactions,
    counts: Counts,
    output: W,
}

impl<'a, W: Write> Inspector<'a, W> {
    fn new(args: &'a Args, output: W) -> Result<Self, Failure> {
        let opener = Opener::new(&args.secret_key, &args.access)?;
        Ok(Self { args, opener, transactions: Transactions::new(), counts: Counts::default(), output })
    }

    /// All packets of a capture, up to its end or to where it cannot be read; then what there was in it.
    fn capture(&mut self, file: &Path, input: impl Read + Send) -> Result<(), Failure> {
        let end = capture::each_frame(input, |frame| self.frame(frame));
        if !self.args.json && self.counts.frames > 0 {
            let counts = text::counts(&self.counts, &self.args.ports).map_err(io::Error::other);
            self.write(&counts.map_err(|error| Failure::output(&error))?)?;
        }
        if self.args.json && self.counts.dangers > 0 {
            notice(format_args!("warning: {}; see docs/security.md", text::DANGER));
        }
        end.map_err(|error: input::End| error.into_failure(file, self.counts.frames))?;
        if self.counts.packets == 0 {
            return Err(input::nothing_found(file, &self.args.ports, self.counts.frames));
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), input::End> {
        self.counts.frames = frame.number;
        match frame::content(frame.link, frame.data) {
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
            Content::Datagram(_) | Content::Other => {}
        }
        Ok(())
    }

    fn is_wanted(&self, datagram: &Datagram<'_>) -> bool {
        [datagram.source, datagram.destination].iter().any(|address| self.args.ports.contains(&address.port()))
    }

    fn datagram(&mut self, place: Place, datagram: &Datagram<'_>) -> Result<(), Failure> {
        let mut anatomy = Anatomy::of(datagram.payload, datagram.length);
        let opened = self.opener.as_ref().and_then(|opener| opener.open(datagram.payload, &mut anatomy));
        let sighting = Sighting {
            number: place.number,
            time: place.time,
            source_port: place.source.port(),
            destination_port: place.destination.port(),
            packet: datagram.payload,
            is_opened: opened.is_some(),
        };
        let events = self.transactions.see(&anatomy, &sighting);
        self.counts.packet(&anatomy, &events);
        self.show(&Entry { place: Some(place), anatomy, opened, events })
    }

    /// A packet by itself.
    fn packet(&mut self, packet: &[u8]) -> Result<(), Failure> {
        let mut anatomy = Anatomy::of(packet, packet.len());
        let opened = self.opener.as_ref().and_then(|opener| opener.open(packet, &mut anatomy));
        self.show(&Entry { place: None, anatomy, opened, events: Vec::new() })
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
