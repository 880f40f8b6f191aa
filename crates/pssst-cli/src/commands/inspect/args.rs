//! The arguments of `pssst inspect`.

use std::path::PathBuf;

use crate::args::key_file;

/// Show every field of a packet, or of all packets of a capture.
///
/// Without keys it shows what anyone on the path sees. With the server's secret key it also shows
/// messages, however old: the protocol has no forward secrecy against that key, except for fresh
/// replies, which only their client can open.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The packet in hexadecimal digits; spaces, colons, line breaks and 0x are ignored. If it is
    /// missing or `-`, it is read from standard input.
    pub(super) hex: Option<String>,
    /// Read the packet from a file with exactly its bytes; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "hex")]
    pub(super) file: Option<PathBuf>,
    /// Read the packets of a capture, pcap or pcapng, as tcpdump and Wireshark write them; `-` is
    /// standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hex", "file"])]
    pub(super) capture: Option<PathBuf>,
    /// UDP port of packets in a capture; repeat for more.
    #[arg(long = "port", value_name = "PORT", default_value = "45678", requires = "capture", conflicts_with_all = ["hex", "file"])]
    pub(super) ports: Vec<u16>,
    /// A server's secret key of any suite, to decrypt messages; repeat for more.
    #[arg(long, value_name = "FILE")]
    pub(super) secret_key: Vec<PathBuf>,
    /// A schedule of secret keys (`pssst keys init`): the keys and masters of all kinds that its
    /// servers hold now.
    #[arg(long, value_name = "FILE")]
    pub(super) keys: Option<PathBuf>,
    /// A master of the pool's pre-shared keys, to decrypt messages of clients that use such a key;
    /// repeat for another.
    #[arg(long, value_name = "FILE")]
    pub(super) psk_master: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) access: key_file::Access,
    /// Print one JSON object per line for each packet (docs/inspect.md explains the fields).
    #[arg(long)]
    pub(super) json: bool,
}
