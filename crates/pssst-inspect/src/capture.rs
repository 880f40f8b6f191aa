//! Frames of a capture file, pcap or pcapng, one after another and in bounded memory.

use std::io::{self, Cursor, Read};

use jiff::Timestamp;
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

/// One frame, as it was captured.
pub struct Frame<'f> {
    /// Its place in the file, from 1, as other programs count.
    pub number: u64,
    /// Unknown in some files.
    pub time: Option<Timestamp>,
    /// The kind of its link layer.
    pub link: Linktype,
    /// Its bytes, as far as they were captured.
    pub data: &'f [u8],
}

/// Why the rest of a capture cannot be read.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "readers match every case")]
pub enum Error {
    /// It is not a capture.
    NoCapture,
    /// It ends within a block.
    CutOff,
    /// A block contradicts itself.
    Damaged,
    /// A block is longer than 16 MiB.
    BlockTooLong,
    /// It cannot be read.
    Read(io::Error),
}

/// A block of a file may be this long, in bytes; whatever it says of its length, no more is read.
/// Its options, once parsed, take up to some ten times as much.
const MAX_BLOCK_LEN: usize = 16 << 20;
/// Interfaces that a section of a pcapng file may describe.
const MAX_INTERFACES: usize = 1 << 16;
/// Where reading begins; nearly every frame fits.
const BUFFER_LEN: usize = 256 << 10;

/// A part of a capture.
#[expect(clippy::exhaustive_enums, reason = "readers match every case")]
pub enum Item<'f> {
    /// A frame.
    Frame(Frame<'f>),
    /// A block of pcapng of this type, which may hold a frame and is not understood.
    UnknownBlock(u32),
}

/// Hands every item to `each`, up to the end of the file, the first that is unreadable, or an error
/// of `each`.
///
/// Nothing is read ahead of what is needed to make progress, so a capture that is still being
/// written can be followed.
///
/// # Errors
/// Those of reading the capture, and of `each`.
pub fn each_item<E: From<Error>>(
    mut input: impl Read + Send,
    mut each: impl FnMut(Item<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let head = read_head(&mut input)?;
    let mut capacity = BUFFER_LEN.max(head.len());
    let mut reader = create_reader(capacity, Cursor::new(head).chain(input)).map_err(Error::from)?;
    let mut decoder = Decoder { frames: 0, is_big_endian: false, interfaces: Vec::new() };
    loop {
        match reader.next() {
            Ok((length, block)) => {
                if let Some(item) = decoder.item(&block)? {
                    each(item)?;
                }
                reader.consume(length);
            }
            Err(PcapError::Eof) => return Ok(()),
            Err(PcapError::Incomplete(_) | PcapError::BufferTooSmall) => {
                let before = reader.data().len();
                reader.refill().map_err(Error::from)?;
                if reader.data().len() > before || reader.reader_exhausted() {
                    continue;
                }
                // The buffer is full, and does not hold one block.
                capacity = (2 * capacity).min(MAX_BLOCK_LEN);
                if !reader.grow(capacity) {
                    return Err(Error::BlockTooLong.into());
                }
            }
            Err(error) => return Err(Error::from(error).into()),
        }
    }
}

/// Bytes that identify the format of the file: the parser wants it at once, and a pipe gives it bit
/// by bit.
fn read_head(input: &mut impl Read) -> Result<Vec<u8>, Error> {
    /// Length of the header of a pcap file, in bytes, and less than a pcapng file has.
    const PCAP_HEADER_LEN: u64 = 24;
    const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
    const LITTLE_ENDIAN: [u8; 4] = [0x4d, 0x3c, 0x2b, 0x1a];

    let mut head = Vec::new();
    input.take(PCAP_HEADER_LEN).read_to_end(&mut head).map_err(Error::Read)?;
    if let (Some(&PCAPNG_MAGIC), Some(&length), Some(order)) =
        (head.first_chunk(), head.get(4..).and_then(<[u8]>::first_chunk), head.get(8..12))
    {
        let length = if order == LITTLE_ENDIAN { u32::from_le_bytes(length) } else { u32::from_be_bytes(length) };
        if length as usize > MAX_BLOCK_LEN {
            return Err(Error::BlockTooLong);
        }
        let rest = u64::from(length).saturating_sub(PCAP_HEADER_LEN);
        input.take(rest).read_to_end(&mut head).map_err(Error::Read)?;
    }
    Ok(head)
}

/// What frames need to know of the blocks before them.
struct Decoder {
    frames: u64,
    is_big_endian: bool,
    interfaces: Vec<Interface>,
}

/// What took the frames of a file, or a part of them.
#[derive(Clone, Copy)]
struct Interface {
    link: Linktype,
    clock: Option<Clock>,
}

/// How an interface counts time.
#[derive(Clone, Copy)]
struct Clock {
    ticks_per_second: u128,
    /// Seconds to be added.
    offset: i64,
}

impl Decoder {
    fn item<'f>(&mut self, block: &'f PcapBlockOwned<'f>) -> Result<Option<Item<'f>>, Error> {
        let (interface, ticks, data) = match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let ticks_per_second = if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
                // The upper half says other things, such as how long frame check sequences are.
                let link = Linktype(header.network.0 & 0xffff);
                self.interfaces = vec![Interface { link, clock: Some(Clock { ticks_per_second, offset: 0 }) }];
                return Ok(None);
            }
            PcapBlockOwned::Legacy(frame) => {
                let interface = *self.interfaces.first().ok_or(Error::Damaged)?;
                let per_second = interface.clock.map_or(0, |clock| clock.ticks_per_second);
                let ticks = u128::from(frame.ts_sec) * per_second + u128::from(frame.ts_usec);
                (interface, Some(ticks), frame.data)
            }
            PcapBlockOwned::NG(Block::SectionHeader(section)) => {
                self.is_big_endian = section.big_endian();
                self.interfaces.clear();
                return Ok(None);
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(description)) => {
                if self.interfaces.len() >= MAX_INTERFACES {
                    return Err(Error::Damaged);
                }
                // The parser reads the offset as little-endian in any file.
                let offset = description.if_tsoffset;
                let offset = if self.is_big_endian { offset.swap_bytes() } else { offset };
                let clock =
                    ticks_per_second(description.if_tsresol).map(|ticks_per_second| Clock { ticks_per_second, offset });
                self.interfaces.push(Interface { link: description.linktype, clock });
                return Ok(None);
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let interface = *self.interfaces.get(packet.if_id as usize).ok_or(Error::Damaged)?;
                let ticks = u128::from(packet.ts_high) << 32 | u128::from(packet.ts_low);
                (interface, Some(ticks), packet.packet_data())
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                (*self.interfaces.first().ok_or(Error::Damaged)?, None, packet.packet_data())
            }
            PcapBlockOwned::NG(Block::Unknown(block)) => return Ok(Some(Item::UnknownBlock(block.block_type))),
            // Names, statistics, secrets of TLS, journals, and what one program says to itself.
            PcapBlockOwned::NG(
                Block::NameResolution(_)
                | Block::InterfaceStatistics(_)
                | Block::SystemdJournalExport(_)
                | Block::DecryptionSecrets(_)
                | Block::ProcessInformation(_)
                | Block::Custom(_),
            ) => return Ok(None),
        };
        self.frames += 1;
        let time = interface.clock.zip(ticks).and_then(|(clock, ticks)| clock.time(ticks));
        Ok(Some(Item::Frame(Frame { number: self.frames, time, link: interface.link, data })))
    }
}

impl Clock {
    /// Whatever a file may hold; a time beyond the year 9999 is none.
    fn time(self, ticks: u128) -> Option<Timestamp> {
        let nanoseconds = i128::try_from(ticks.checked_mul(1_000_000_000)? / self.ticks_per_second).ok()?;
        Timestamp::from_nanosecond(nanoseconds + i128::from(self.offset) * 1_000_000_000).ok()
    }
}

/// Returns the option `if_tsresol` of pcapng: a negative power of ten, or of two if the top bit is
/// set.
fn ticks_per_second(resolution: u8) -> Option<u128> {
    let (base, exponent) = if resolution & 0x80 == 0 { (10u128, resolution) } else { (2, resolution & 0x7f) };
    base.checked_pow(u32::from(exponent))
}

impl<I> From<PcapError<I>> for Error {
    fn from(error: PcapError<I>) -> Self {
        match error {
            PcapError::HeaderNotRecognized => Self::NoCapture,
            PcapError::Eof | PcapError::Incomplete(_) | PcapError::UnexpectedEof => Self::CutOff,
            // Which one, the parser does not say.
            PcapError::ReadError => Self::Read(io::Error::other("reading failed")),
            _ => Self::Damaged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pssst_test::captures::{Endian, pcap, pcapng};

    type Seen = Vec<(u64, Option<String>, i32, Vec<u8>)>;

    /// Returns the frames, and how the file ended.
    fn frames(file: &[u8]) -> (Seen, Option<Error>) {
        let mut seen = Vec::new();
        let end = each_item::<Error>(Dribble(file), |item| {
            let Item::Frame(frame) = item else { return Ok(()) };
            seen.push((frame.number, frame.time.map(|time| time.to_string()), frame.link.0, frame.data.to_vec()));
            Ok(())
        });
        (seen, end.err())
    }

    /// Gives a few bytes at a time, as a pipe may.
    struct Dribble<'b>(&'b [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(7);
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn every_format_gives_the_same_frames() {
        let data = [vec![1, 2, 3], vec![], vec![4; 300]];
        for (file, times) in [
            (pcap(101, &data, Endian::Little), true),
            (pcap(101, &data, Endian::Big), true),
            (pcapng(101, &data, Endian::Little), true),
            (pcapng(101, &data, Endian::Big), true),
        ] {
            let (seen, end) = frames(&file);
            assert!(end.is_none(), "{end:?}");
            assert_eq!(seen.len(), 3);
            for (place, (number, time, link, bytes)) in seen.into_iter().enumerate() {
                assert_eq!((number, link, bytes), (place as u64 + 1, 101, data[place].clone()));
                assert_eq!(time, times.then(|| format!("2026-01-02T03:04:{:02}.000007Z", 5 + place)));
            }
        }
    }

    #[test]
    fn resolutions_are_powers_of_ten_and_of_two() {
        for (resolution, ticks) in [(0, 1), (6, 1_000_000), (9, 1_000_000_000), (0x80, 1), (0x8a, 1024)] {
            assert_eq!(ticks_per_second(resolution), Some(ticks));
        }
        assert_eq!((ticks_per_second(0x7f), ticks_per_second(0xff)), (None, Some(1 << 127)));
        let clock = Clock { ticks_per_second: 1 << 127, offset: i64::MIN };
        assert_eq!(clock.time(u128::from(u64::MAX)), None);
    }

    /// Good blocks are read, and the rest is an error.
    #[test]
    fn a_file_that_was_cut_gives_what_it_has() {
        let data = [vec![1; 60], vec![2; 60]];
        for file in [pcap(1, &data, Endian::Little), pcapng(1, &data, Endian::Little)] {
            let (seen, end) = frames(&file[..file.len() - 1]);
            assert_eq!(seen.len(), 1);
            assert!(matches!(end, Some(Error::CutOff)), "{end:?}");
        }
        assert!(matches!(frames(b"").1, Some(Error::CutOff | Error::NoCapture)));
        assert!(matches!(frames(b"This is not a capture, but a text.").1, Some(Error::NoCapture)));
    }

    /// The obsolete packet block of early pcapng files, for instance.
    #[test]
    fn blocks_that_are_not_understood_are_named() {
        let mut file = pcapng(1, &[vec![1; 60]], Endian::Little);
        for block_type in [2_u32, 5] {
            file.extend(block_type.to_le_bytes());
            file.extend([24, 0, 0, 0].iter().chain(&[0; 12]).chain(&[24, 0, 0, 0]));
        }
        let mut unknown = Vec::new();
        let end = each_item::<Error>(&file[..], |item| {
            if let Item::UnknownBlock(block_type) = item {
                unknown.push(block_type);
            }
            Ok(())
        });
        assert_eq!((unknown, end.is_ok()), (vec![2], true));
    }

    #[test]
    fn a_block_that_claims_to_be_huge_is_refused() {
        let mut file = pcap(1, &[vec![1; 60]], Endian::Little);
        file[24 + 8..24 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
        file.resize(40 << 20, 0);
        let end = each_item::<Error>(&file[..], |_| Ok(()));
        assert!(matches!(end, Err(Error::BlockTooLong)), "{end:?}");
    }
}
