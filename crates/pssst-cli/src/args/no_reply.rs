//! What to say when no reply came: what was sent, what the network reported, and every cause that
//! is possible then.

use std::io;
use std::time::Duration;

use pssst::Suite;
use pssst_net::udp;
use pssst_service::Failure;
use pssst_support::host_port;

use super::fallback::shorter_packets;

/// A request, or many, without a reply.
pub(crate) struct NoReply<'a> {
    /// Name or address, and port.
    pub(crate) server: &'a str,
    pub(crate) suite: Suite,
    pub(crate) has_identity: bool,
    pub(crate) has_psk: bool,
    pub(crate) wants_fresh_replies: bool,
    pub(crate) timeout: Duration,
    /// Length of the last packet that was sent, if it is known.
    pub(crate) packet_len: Option<usize>,
    /// The numbers of packets sent and received, in words.
    pub(crate) counts: String,
    /// Packets that came and are not the reply.
    pub(crate) refused: u64,
    pub(crate) network_error: Option<&'a io::Error>,
}

/// Length of the longest packets that every network carries in practice: those of 576 bytes over
/// IPv4.
const MAX_SAFE_LEN: usize = 548;

impl NoReply<'_> {
    pub(crate) fn into_failure(self) -> Failure {
        let Self { server, suite, has_identity, timeout, counts, network_error, .. } = &self;
        // A name may have several.
        let addresses = host_port::resolve(server).unwrap_or_default();
        let addresses = addresses.iter().map(ToString::to_string).filter(|address| address != server);
        let addresses = addresses.collect::<Vec<_>>().join(", ");
        let at = if addresses.is_empty() { String::new() } else { format!(" ({addresses})") };
        let client = if *has_identity { "authenticated" } else { "anonymous" };
        let error = network_error.map(|error| format!("; the network reported: {error}")).unwrap_or_default();
        Failure::no_reply(
            format!(
                "no reply from {server}{at} within {} s to {client} requests of suite {:#06x} ({counts}{error})",
                timeout.as_secs_f64(),
                suite.number()
            ),
            self.causes(),
        )
    }

    fn causes(&self) -> String {
        let is_too_long = self.network_error.is_some_and(udp::is_too_large);
        let reported = match self.network_error.map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => {
                return "nothing listens at that port: start the server, or check the address and the port".to_owned();
            }
            Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
                return "there is no way to that address: check the network, and the address".to_owned();
            }
            Some(io::ErrorKind::PermissionDenied) => {
                return "a firewall refuses the packets: check its rules, here and on the way".to_owned();
            }
            _ if is_too_long => {
                "the network reported once that the packets are too long, which may be wrong or forged. "
            }
            _ if self.refused > 0 => {
                "packets came that are not the reply: another program may answer there, or the server has another key. \
                 Otherwise "
            }
            _ => "",
        };
        let client = match (self.has_identity, self.has_psk) {
            (false, _) => "it serves only clients that give an --identity",
            (true, false) => {
                "this client's key is not enrolled, or is suspended, revoked or expired, or has a pre-shared key that it \
                 must use (--psk)"
            }
            (true, true) => {
                "this client's key is not enrolled, or is suspended, revoked or expired; its pre-shared key is another \
                 client's, or of a master that the server does not have or no longer has (`pssst renew` gets a new one)"
            }
        };
        let fresh = match (self.suite, self.wants_fresh_replies) {
            (Suite::X25519AesGcm128, _) => "",
            (_, true) => "; it gives no fresh replies (omit --fresh-replies)",
            (_, false) => "; it answers only requests for --fresh-replies",
        };
        let suite = match self.suite {
            Suite::X25519AesGcm128 => "try --suite f002",
            Suite::XWingAes256GcmSiv => "try its X25519 key",
            _ => "try --suite 1",
        };
        let long = match (self.packet_len, self.suite) {
            (Some(len), suite) if len > MAX_SAFE_LEN || is_too_long => {
                format!("the network does not carry packets of {len} bytes ({}); ", shorter_packets(suite, len))
            }
            (None, Suite::XWingAes256GcmSiv) => {
                "the network does not carry packets as long as those of suite f003 (see --pad-to); ".to_owned()
            }
            _ => String::new(),
        };
        format!(
            "{reported}a server does not answer what it refuses. It does not run, or packets are lost on the way; {long}its key \
             is another than the given one; it does not accept the suite ({suite}){fresh}; {client}; or its service failed, or \
             gave a reply that is too long beside the request. `pssst doctor` finds out more, and the server's log and \
             metrics say which"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(has_identity: bool, refused: u64, kind: Option<io::ErrorKind>) -> String {
        said_of(97, Suite::X25519Aes256GcmSiv, has_identity, refused, kind.map(io::Error::from).as_ref())
    }

    fn said_of(len: usize, suite: Suite, has_identity: bool, refused: u64, error: Option<&io::Error>) -> String {
        let no_reply = NoReply {
            server: "127.0.0.1:9",
            suite,
            has_identity,
            has_psk: false,
            wants_fresh_replies: false,
            timeout: Duration::from_millis(1500),
            packet_len: Some(len),
            counts: "3 packets sent".to_owned(),
            refused,
            network_error: error,
        };
        no_reply.into_failure().to_string()
    }

    #[test]
    fn what_was_sent_and_all_that_is_possible_is_said() {
        let anonymous = said(false, 0, None);
        assert!(
            anonymous.starts_with(
                "error: no reply from 127.0.0.1:9 within 1.5 s to anonymous requests of suite 0xf002 (3 packets sent)"
            ),
            "{anonymous}"
        );
        for cause in ["does not run", "its key is", "--suite 1", "an --identity", "service failed", "too long"] {
            assert!(anonymous.contains(cause), "{cause}: {anonymous}");
        }
        let authenticated = said(true, 0, None);
        assert!(authenticated.contains("is not enrolled") && !authenticated.contains("--identity"), "{authenticated}");
        assert!(said(true, 2, None).contains("not the reply"));
        let refused = said(true, 0, Some(io::ErrorKind::ConnectionRefused));
        assert!(refused.contains("reported: connection refused") && refused.contains("nothing listens"), "{refused}");
        assert!(!refused.contains("enrolled"), "{refused}");
        assert!(said(true, 0, Some(io::ErrorKind::NetworkUnreachable)).contains("no way to that address"));
    }

    #[test]
    fn options_that_the_client_did_or_did_not_use_are_causes() {
        const CAUSES: [&str; 4] =
            ["must use (--psk)", "`pssst renew`", "omit --fresh-replies", "only requests for --fresh"];
        let said = |suite, has_identity, has_psk, wants_fresh_replies| {
            let no_reply = NoReply {
                server: "127.0.0.1:9",
                suite,
                has_identity,
                has_psk,
                wants_fresh_replies,
                timeout: Duration::from_secs(1),
                packet_len: Some(100),
                counts: String::new(),
                refused: 0,
                network_error: None,
            };
            no_reply.into_failure().to_string()
        };
        let (suite_1, f002) = (Suite::X25519AesGcm128, Suite::X25519Aes256GcmSiv);
        for (text, expected) in [
            (said(f002, false, false, false), [false, false, false, true]),
            (said(f002, true, false, true), [true, false, true, false]),
            (said(f002, true, true, false), [false, true, false, true]),
            (said(suite_1, true, false, false), [true, false, false, false]),
        ] {
            assert_eq!(CAUSES.map(|cause| text.contains(cause)), expected, "{text}");
        }
    }

    #[test]
    fn long_packets_may_be_the_cause_and_short_ones_not() {
        assert!(!said(true, 0, None).contains("does not carry"));
        let long = said_of(1232, Suite::XWingAes256GcmSiv, true, 0, None);
        for way in ["does not carry packets of 1232 bytes", "--pad-to none", "--fallback"] {
            assert!(long.contains(way), "{long}");
        }
        let error = nix::errno::Errno::EMSGSIZE.into();
        let reported = said_of(700, Suite::X25519Aes256GcmSiv, true, 0, Some(&error));
        for what in ["reported once", "does not carry packets of 700 bytes (send a shorter message"] {
            assert!(reported.contains(what), "{reported}");
        }
        assert!(!reported.contains("--fallback"), "{reported}");
    }
}
