//! The arguments of `pssst inspect`.

use std::path::PathBuf;

use crate::args::key_file;

/// Show every field of a packet, or of the packets in a capture.
///
/// Without keys that is what anybody on the path sees. With the server's secret key, messages are
/// shown too: requests and replies, however old, for the protocol has no forward secrecy against
/// that key.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The packet in hexadecimal digits (spaces, colons, line breaks and 0x are ignored); `-` or
    /// nothing: standard input.
    pub(super) hex: Option<String>,
    /// Take the packet from a file that holds just its bytes; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "hex")]
    pub(super) file: Option<PathBuf>,
    /// Look for packets in a capture, pcap or pcapng, as tcpdump and Wireshark write them; `-` is
    /// standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hex", "file"])]
    pub(super) capture: Option<PathBuf>,
    /// A UDP port whose datagrams are packets, in captures. Give it again for more.
    #[arg(long = "port", value_name = "PORT", default_value = "45678", requires = "capture", conflicts_with_all = ["hex", "file"])]
    pub(super) ports: Vec<u16>,
    /// A server's secret key, which opens what was sealed for it. Give it again for more.
    #[arg(long, value_name = "FILE")]
    pub(super) secret_key: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) access: key_file::Access,
    /// Print a JSON object for each packet, a line each (docs/inspect.md explains the fields).
    #[arg(long)]
    pub(super) json: bool,
}
