//! Transactions of every kind, of any message, where a few bytes of request and reply are changed.
//! What was changed is refused; what was not is opened.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use pssst::{Padding, Refusal, ReplyPadding, Suite, SysRng};
use pssst_fuzz::{Check, Kind, PEERS};

#[derive(Arbitrary, Debug)]
struct Plan<'a> {
    suite: u8,
    is_authenticated: bool,
    has_psk: bool,
    is_fresh: bool,
    padded_len: Option<u16>,
    reply_padded_len: Option<u16>,
    is_precomputed: bool,
    message: &'a [u8],
    answer: &'a [u8],
    /// Places and differences.
    request_changes: Vec<(u16, u8)>,
    reply_changes: Vec<(u16, u8)>,
}

fuzz_target!(|plan: Plan<'_>| {
    let kind = Kind {
        suite: Suite::ALL[usize::from(plan.suite) % Suite::ALL.len()],
        is_authenticated: plan.is_authenticated,
        has_psk: plan.has_psk,
        is_fresh: plan.is_fresh,
        is_padded: plan.padded_len.is_some(),
    };
    // Not every suite has every option.
    let Ok(client) = PEERS.client(kind) else { return };
    let Ok(client) = client.with_padding(plan.padded_len.map_or(Padding::None, |len| Padding::ToLength(len.into())))
    else {
        return;
    };
    // A message that is too long for its padding is an error of the caller's.
    let Ok((packet, pending)) = client.seal_request_to_vec(&mut SysRng, plan.message) else { return };
    let check = if plan.is_precomputed { Check::Precomputed } else { Check::PerRequest };

    let mut changed = change(&packet, &plan.request_changes);
    let is_intact = changed == packet;
    let request = match PEERS.server.open_request_with(&mut changed, &check) {
        Ok(request) => request,
        Err(cause) => return assert!(!is_intact, "an honest request: {cause}"),
    };
    assert!(is_intact, "a forgery");
    assert_eq!(request.message(), plan.message);
    assert_eq!(request.client_key().is_some(), kind.is_authenticated);
    assert_eq!(request.has_psk(), kind.has_psk);

    let mut sealer = request.into_reply_sealer();
    if let Some(len) = plan.reply_padded_len {
        sealer = sealer.with_padding(ReplyPadding::ToLength(len.into()));
    }
    let len = sealer.packet_len(plan.answer.len());
    let reply = sealer.seal_to_vec(&mut SysRng, plan.answer).expect("randomness");
    assert_eq!(reply.len(), len);
    let mut changed = change(&reply, &plan.reply_changes);
    let is_intact = changed == reply;
    match pending.open(&mut changed) {
        Ok(answer) => assert!(is_intact && answer == plan.answer, "a forgery"),
        Err(cause) => assert!(!is_intact && cause != Refusal::BadPadding, "an honest reply: {cause}"),
    }
    // Whatever was refused leaves the request pending.
    let mut reply = reply;
    assert_eq!(pending.open(&mut reply).expect("an honest reply"), plan.answer);
});

fn change(packet: &[u8], changes: &[(u16, u8)]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    for (place, difference) in changes {
        let place = usize::from(*place) % packet.len();
        packet[place] ^= difference;
    }
    packet
}
