//! Sources of packets, and their errors.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::args::Args;
use super::entry::Counts;
use super::text;
use pssst_inspect as capture;
use pssst_service::Failure;

/// Why the reading of a capture ended early.
pub(super) enum End {
    Unreadable(capture::Error),
    Failed(Failure),
}

/// Returns the packet that the arguments give.
pub(super) fn packet(args: &Args) -> Result<Vec<u8>, Failure> {
    let packet = match (&args.file, args.hex.as_deref()) {
        (Some(file), _) => {
            let packet = read(file, MAX_PACKET_LEN)?;
            if packet.len() > MAX_PACKET_LEN {
                return Err(too_long());
            }
            packet
        }
        (None, Some(digits)) if digits != "-" => decode(digits).ok_or_else(|| {
            if has_offsets(digits) {
                return with_offsets("the argument");
            }
            Failure::usage(
                "the argument is not a packet in hexadecimal digits",
                "give the bytes of one packet, or a file: --file for its bare bytes, --capture for what tcpdump wrote",
            )
        })?,
        (None, _) => {
            let input = read(Path::new("-"), MAX_TEXT_LEN)?;
            let text = std::str::from_utf8(&input).unwrap_or_default();
            decode(text).ok_or_else(|| {
                if has_offsets(text) {
                    return with_offsets("standard input");
                }
                Failure::new(
                    "standard input is not a packet in hexadecimal digits",
                    "for the bare bytes of a packet give `--file -`; for a capture, `--capture -`",
                )
            })?
        }
    };
    if packet.is_empty() {
        return Err(Failure::new("there is no packet to read", "give the bytes of one packet; the shortest has 28"));
    }
    if packet.len() > MAX_PACKET_LEN { Err(too_long()) } else { Ok(packet) }
}

pub(super) fn refuse_two_readers_of_stdin(args: &Args) -> Result<(), Failure> {
    let is_stdin = |file: &Path| file == Path::new("-");
    let packets = match (&args.capture, &args.file, &args.hex) {
        (Some(file), ..) | (None, Some(file), _) => is_stdin(file),
        (None, None, digits) => digits.as_ref().is_none_or(|digits| digits == "-"),
    };
    let keys = args.secret_key.iter().chain(&args.psk_master);
    let keys = keys.filter(|file| is_stdin(file)).count();
    if usize::from(packets) + keys > 1 {
        return Err(Failure::usage(
            "more than one input is standard input",
            "give the packet as an argument or as a file, and keys as files",
        ));
    }
    Ok(())
}

pub(super) fn cannot_read(file: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot read {}: {error}", name(file)), "check the path and its permissions")
}

pub(super) fn nothing_found(file: &Path, ports: &[u16], counts: &Counts) -> Failure {
    let (frames, skipped) = (counts.frames, text::skipped(counts).join("; "));
    let skipped = if skipped.is_empty() { String::new() } else { format!(": {skipped}") };
    Failure::new(
        format!("no datagram of UDP port {} among the {frames} frames of {}{skipped}", list(ports), name(file)),
        "give the server's port with --port; only frames of Ethernet, Linux cooked, loopback and bare IP are supported",
    )
}

pub(super) fn nothing_understood(file: &Path, ports: &[u16], packets: u64) -> Failure {
    Failure::new(
        format!("none of the {packets} datagrams of UDP port {} in {} is a packet of PSSST", list(ports), name(file)),
        "give the server's port with --port; another protocol may use this one",
    )
}

fn list(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

impl End {
    pub(super) fn into_failure(self, file: &Path, frames: u64) -> Failure {
        let file_name = name(file);
        match self {
            Self::Failed(failure) => failure,
            Self::Unreadable(capture::Error::NoCapture) => Failure::new(
                format!("{file_name} is not a capture"),
                "captures are pcap or pcapng files, as tcpdump, dumpcap and Wireshark write them, not compressed",
            ),
            Self::Unreadable(capture::Error::CutOff) => Failure::new(
                format!("{file_name} is cut short after {frames} frames"),
                "the whole frames are shown; perhaps the disk was full or the capturing program was killed",
            ),
            Self::Unreadable(capture::Error::Damaged) => Failure::new(
                format!("{file_name} is damaged after {frames} frames"),
                "the frames before the damage are shown; Wireshark's `editcap` may recover more",
            ),
            Self::Unreadable(capture::Error::BlockTooLong) => Failure::new(
                format!("{file_name} has a block of more than 16 MiB after {frames} frames"),
                "no capture needs such a block: the file is damaged, or was made to use up memory",
            ),
            Self::Unreadable(capture::Error::Read(error)) => cannot_read(file, &error),
        }
    }
}

impl From<capture::Error> for End {
    fn from(error: capture::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Bytes that no UDP datagram exceeds.
const MAX_PACKET_LEN: usize = 65_535;
/// Length of the longest packet as text, in bytes, however it is spaced.
const MAX_TEXT_LEN: usize = 16 * MAX_PACKET_LEN;

/// Reads one byte more than `limit` at most.
fn read(file: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let limit = limit as u64 + 1;
    let read = if file == Path::new("-") {
        io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| cannot_read(file, &error))?;
    Ok(bytes)
}

fn name(file: &Path) -> impl Display {
    if file == Path::new("-") { Path::new("standard input") } else { file }.display()
}

fn too_long() -> Failure {
    Failure::new(
        format!("this is longer than any datagram, which has at most {MAX_PACKET_LEN} bytes"),
        "give one packet, or a capture with --capture",
    )
}

fn with_offsets(input: &str) -> Failure {
    Failure::new(
        format!("{input} is a dump with offsets, which are not bytes of the packet"),
        "give the bytes alone, as `xxd -p` prints them; or a file, with --file or --capture",
    )
}

/// Hexadecimal digits as programs print them. A 0x begins a number, so it is taken off each word.
fn decode(text: &str) -> Option<Vec<u8>> {
    if has_offsets(text) {
        return None;
    }
    let words = text.split(|character: char| character.is_whitespace() || character == ':');
    let digits = words.map(|word| word.strip_prefix("0x").unwrap_or(word)).collect::<String>();
    base16ct::mixed::decode_vec(digits).ok()
}

/// Returns whether a line begins with an offset, as the lines of `xxd`, `hexdump`, `od` and
/// `tcpdump -x` do: it has a colon after it, or is much longer than the bytes after it.
fn has_offsets(text: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split_whitespace();
        let (Some(first), Some(second)) = (words.next(), words.next()) else { return false };
        let digits = first.strip_prefix("0x").unwrap_or(first);
        let number = digits.strip_suffix(':');
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_marked = number.is_some_and(|number| number.len() >= 4 && is_number(number));
        let is_long = digits.len() >= 7 && second.len() <= 4 && is_number(digits) && is_number(second);
        is_marked || is_long
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_are_read_as_programs_print_them() {
        for text in ["00010aff", "0x00010AFF", "00:01:0a:ff", " 00 01\n0a ff\n", "0x0001 0x0aff"] {
            assert_eq!(decode(text), Some(vec![0, 1, 10, 255]), "{text:?}");
        }
        for text in ["0", "0x", "00 0g", "hello", "00-01", "ü"] {
            assert_eq!(decode(text).filter(|bytes| !bytes.is_empty()), None, "{text:?}");
        }
        // The offsets would become bytes.
        for text in [
            "00000000: 0001 0aff                                ....",
            "00000000: 0001 0aff",
            "00000000  00 01 0a ff  |....|",
            "00000000  00 01 0a ff",
            "0000000 0100 ff0a\n0000004",
            "\t0x0000:  0001 0aff",
        ] {
            assert!(decode(text).is_none() && has_offsets(text), "{text:?}");
        }
    }
}
