//! A packet as text.

use std::fmt::{self, Write};

use super::entry::{Counts, Entry, Place};
use pssst::Suite;
use pssst_inspect::{Dissection, Event, Kind, Opened, PointEncoding, Unopened, Verdict};

/// All that is known of a packet, in lines.
pub(super) fn packet(entry: &Entry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    if let Some(place) = &entry.place {
        heading(&mut text, place)?;
    }
    outer_fields(&mut text, &entry.dissection)?;
    if let Some(opened) = &entry.contents.opened {
        inner_fields(&mut text, opened)?;
    }
    if let Some(unopened) = entry.contents.unopened {
        line(&mut text, "message", &unopened_in_words(unopened))?;
    }
    for event in &entry.events {
        line(&mut text, marker(event), &told(event))?;
    }
    Ok(text)
}

/// What there was in a capture, in three lines at most.
pub(super) fn counts(counts: &Counts, ports: &[u16]) -> Result<String, fmt::Error> {
    let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let Counts { frames, packets, requests, replies, later_fragments, dangers, .. } = counts;
    let mut text = String::new();
    writeln!(
        text,
        "{frames} frames, {packets} of them packets on UDP port {ports} (requests {requests}, replies {replies})"
    )?;
    if *later_fragments > 0 {
        writeln!(text, "{later_fragments} further fragments of UDP datagrams, which have no ports, were skipped")?;
    }
    for line in skipped(counts) {
        writeln!(text, "{line}")?;
    }
    if *dangers > 0 {
        writeln!(text, "!!! DANGER: {DANGER} (replies concerned: {dangers})")?;
    }
    Ok(text)
}

/// Returns what was not understood, one line per kind.
pub(super) fn skipped(counts: &Counts) -> Vec<String> {
    let links = counts.unknown_links.iter();
    let links =
        links.map(|(link, count)| format!("{count} frames of link type {link} were skipped: it is not supported"));
    let blocks = counts.unknown_blocks.iter();
    let blocks =
        blocks.map(|(block, count)| format!("{count} blocks of type {block:#x} were skipped: they are unknown"));
    links.chain(blocks).collect()
}

/// The warning that is repeated at the end.
pub(super) const DANGER: &str =
    "two different replies to one request under suite 1: anyone who saw both can forge a third";

fn line(text: &mut String, name: &str, value: &dyn fmt::Display) -> fmt::Result {
    writeln!(text, "  {name:<16}{value}")
}

fn heading(text: &mut String, place: &Place) -> fmt::Result {
    write!(text, "#{}  ", place.number)?;
    if let Some(time) = place.time {
        write!(text, "{time:.6}  ")?;
    }
    writeln!(text, "{} -> {}", place.source, place.destination)?;
    if place.fragment {
        line(text, "fragment", &"the first fragment of a datagram; the others are not joined to it")?;
    }
    Ok(())
}

fn outer_fields(text: &mut String, dissection: &Dissection) -> fmt::Result {
    let length = dissection.length;
    match (dissection.is_complete(), dissection.overhead, dissection.message_length) {
        (false, ..) => {
            line(text, "length", &format_args!("{length} bytes, {} of them captured", dissection.captured))?;
        }
        (true, Some(overhead), Some(message)) => {
            line(text, "length", &format_args!("{length} bytes: {overhead} around a message of {message}"))?;
        }
        (true, Some(overhead), None) => {
            let padded = length.saturating_sub(overhead);
            line(text, "length", &format_args!("{length} bytes: {overhead} around {padded} of message and padding"))?;
        }
        (true, None, _) => line(text, "length", &format_args!("{length} bytes"))?,
    }
    if let (Some(kind), Some(authenticated)) = (dissection.kind, dissection.authenticated) {
        let whose = if authenticated { "authenticated" } else { "anonymous" };
        match kind {
            Kind::Request => line(text, "kind", &format_args!("request, {whose}"))?,
            Kind::Reply => line(text, "kind", &format_args!("reply to an {whose} request"))?,
        }
    }
    if let Some(flags) = dissection.flags {
        let names = [&[""][..], &dissection.flag_names].concat().join(" ");
        let reserved = dissection.reserved_flags.filter(|&bits| bits != 0);
        let reserved = reserved.map(|bits| format!(" reserved bits {bits:#06x}")).unwrap_or_default();
        line(text, "flags", &format_args!("{flags:#06x}{names}{reserved}"))?;
    }
    if let Some(suite) = dissection.suite {
        let is_enrolment = suite == Suite::X25519Aes256GcmSivEnrollment.number();
        let channel = if is_enrolment { ", for HTTPS only: every UDP server refuses it" } else { "" };
        line(text, "suite", &format_args!("{suite:#06x} {}{channel}", dissection.suite_name.unwrap_or("unknown")))?;
    }
    if let Some(value) = &dissection.exchange_value {
        line(text, "exchange value", &hex(value))?;
        line(text, "", &dissection.exchange_value_class.map_or("its first 8 bytes", form_in_words))?;
    }
    if let (Some(value), Some(form)) = (&dissection.reply_exchange_value, dissection.reply_exchange_value_class) {
        line(text, "reply's value", &hex(value))?;
        line(text, "", &form_in_words(form))?;
    }
    if let Some(ciphertext) = &dissection.kem_ciphertext {
        line(text, "ML-KEM", &format_args!("ciphertext of {} bytes", ciphertext.len()))?;
    }
    if let Some(key) = &dissection.masked_client_key {
        line(text, "client key", &format_args!("{}, masked", hex(key)))?;
    }
    if let Some(check) = &dissection.client_key_check {
        line(text, "its check", &hex(check))?;
    }
    if let Some(length) = dissection.ciphertext_length {
        line(text, "ciphertext", &format_args!("{length} bytes"))?;
    }
    if let Some(tag) = &dissection.tag {
        line(text, "tag", &hex(tag))?;
    }
    line(text, "a server", &verdict_in_words(dissection.server, ""))?;
    line(text, "a client", &verdict_in_words(dissection.client, ", if it waits for it"))
}

fn inner_fields(text: &mut String, opened: &Opened) -> fmt::Result {
    if let Some(key) = &opened.server_key {
        line(text, "server key", &key.label())?;
    }
    if let Some(key) = opened.client_key {
        line(text, "client key", &format_args!("{key}, proven"))?;
    }
    if let Some(message) = &opened.text {
        return line(text, "message", &format_args!("{message:?}"));
    }
    line(text, "message", &format_args!("{} bytes", opened.message.len()))?;
    hex_dump(text, &opened.message)
}

fn hex_dump(text: &mut String, bytes: &[u8]) -> fmt::Result {
    for (row, bytes) in bytes.chunks(16).enumerate() {
        let mut digits = String::new();
        for byte in bytes {
            write!(digits, " {byte:02x}")?;
        }
        let shown = |&byte: &u8| if byte == b' ' || byte.is_ascii_graphic() { char::from(byte) } else { '.' };
        let characters = bytes.iter().map(shown).collect::<String>();
        writeln!(text, "    {:04x} {digits:<48}  {characters}", row * 16)?;
    }
    Ok(())
}

fn form_in_words(form: PointEncoding) -> &'static str {
    match form {
        PointEncoding::Canonical => "canonical, a multiple of the base point",
        PointEncoding::NonCanonical => "not canonical: valid, but no client produces it",
        PointEncoding::OutsideSubgroup => "canonical, but not a multiple of the base point: no client produces it",
        PointEncoding::LowOrder => "of low order: anyone can compute its shared secret",
    }
}

fn unopened_in_words(unopened: Unopened) -> &'static str {
    match unopened {
        Unopened::FreshReply => "closed: a fresh reply, which only its client can open",
        Unopened::RequestMissing => "closed: it opens with its request only, which does not come before it",
        Unopened::RequestUnopened => "closed: it opens with its request only, which none of these keys opens",
        Unopened::PskMasterMissing => "closed: it takes the master of the pre-shared keys (--psk-master)",
        Unopened::XwingKeyMissing => "closed: it takes the server's key of suite f003 (--secret-key)",
    }
}

fn verdict_in_words(verdict: Verdict, condition: &str) -> String {
    match verdict {
        Verdict::Undecided => "finds no fault that is visible without a key".into(),
        Verdict::Accepts => format!("accepts it{condition}"),
        Verdict::Refuses(cause) => format!("refuses it: {} ({cause})", cause.name()),
    }
}

fn marker(event: &Event) -> &'static str {
    match event {
        Event::DifferentReplies { danger: true, .. } => "!!! DANGER",
        _ => "in the capture",
    }
}

fn told(event: &Event) -> String {
    let later = |after: &Option<f64>| after.map(|after| format!(", {after:.6} s later")).unwrap_or_default();
    match event {
        Event::RepeatedRequest { of, after } => format!("the same request as #{of}{}", later(after)),
        Event::OtherRequest { than } => {
            format!("another request with the exchange value of #{than}, or its first 8 bytes: changed or forged")
        }
        Event::Reply { to, after } => format!("the reply to #{to}{}", later(after)),
        Event::NoRequest => "a reply to no request before it".into(),
        Event::RepeatedReply { of, after } => format!("the same reply as #{of}{}", later(after)),
        Event::DifferentReplies { than, danger, genuine } => {
            let certainty = if *genuine { "both genuine" } else { "unless one of them was forged" };
            if *danger {
                format!("differs from the reply #{than}: {DANGER} ({certainty})")
            } else {
                format!("differs from the reply #{than}, which is harmless under this suite ({certainty})")
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}
