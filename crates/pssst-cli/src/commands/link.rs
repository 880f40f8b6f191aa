//! `pssst link`: what a link has, and its QR code.

use std::io::{self, Write};
use std::path::Path;

use pssst::Suite;
use pssst_directory::Pin;
use pssst_identity::Token;
use pssst_link::{Link, LinkKey};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::json;

use crate::args::key_file::{self, Access};
use crate::args::server_key::linked;
use pssst_service::Failure;

/// Check a link and show what it has, or its QR code.
///
/// `pssst serve`, `pssst gateway` and `pssst directory` print links; commands take them as --server
/// or --directory.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The link, or a file that has it; `-` is standard input. A link with a token is secret: give
    /// its file.
    link: String,
    /// Print the link as a QR code, for dark text on a light terminal.
    #[arg(long)]
    qr: bool,
    /// Print a QR code for light text on a dark terminal.
    #[arg(long, conflicts_with = "qr")]
    qr_inverted: bool,
    /// Print a JSON object: all parts but the token.
    #[arg(long, conflicts_with_all = ["qr", "qr_inverted"])]
    json: bool,
    #[command(flatten)]
    access: Access,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let link = read(args)?;
    let text = if args.qr || args.qr_inverted {
        code(&link, args.qr_inverted)?
    } else if args.json {
        format!("{}\n", object(&link))
    } else {
        list(&link)
    };
    io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::output(&error))
}

fn read(args: &Args) -> Result<Link, Failure> {
    if let Some(link) = linked(&args.link)? {
        return Ok(link);
    }
    let file = Path::new(&args.link);
    let text = key_file::read_secret_text(file, &args.access)?;
    linked(&text).map_err(|failure| failure.with_context(file.display()))?.ok_or_else(|| {
        Failure::new(format!("{} has no link", file.display()), "links begin with pssst://; `pssst serve` prints one")
    })
}

fn code(link: &Link, is_inverted: bool) -> Result<String, Failure> {
    let text = link.to_text().map_err(|error| Failure::new(error.to_string(), "get a new link"))?;
    let code = QrCode::new(text.as_bytes())
        .map_err(|error| Failure::new(format!("cannot make a QR code: {error}"), "use the link as text"))?;
    let mut image = code.render::<Dense1x2>();
    if is_inverted {
        // Nothing is printed where the code is dark.
        image.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark);
    }
    Ok(format!("{}\n", image.build()))
}

fn list(link: &Link) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &str| text.extend([format!("{name:<10} {value}\n")]);
    if let Some(server) = &link.server {
        row("server", server);
    }
    match link.key {
        Some(key @ LinkKey::X25519(_)) => row("key", &key.to_string()),
        Some(key) => row("key", &format!("{key}, the hash of a key of suite f003")),
        None => {}
    }
    if !link.suites.is_empty() {
        let suites: Vec<_> = link.suites.iter().map(ToString::to_string).collect();
        row("suites", &suites.join(", "));
    }
    if let Some(directory) = &link.directory {
        row("directory", &format!("https://{directory}"));
    }
    if let Some(pin) = link.pin {
        row("pin", &Pin::from_bytes(pin).to_string());
    }
    if let Some(id) = token_id(link) {
        row("token", &format!("{id}, secret: keep the link like the token"));
    }
    text
}

fn object(link: &Link) -> serde_json::Value {
    json!({
        "server": link.server,
        "key": link.key.map(|key| key.to_string()),
        "suites": link.suites.iter().copied().map(Suite::number).collect::<Vec<_>>(),
        "directory": link.directory.as_ref().map(|directory| format!("https://{directory}")),
        "pin": link.pin.map(|pin| Pin::from_bytes(pin).to_string()),
        "token": token_id(link),
    })
}

/// The public part of the token.
fn token_id(link: &Link) -> Option<String> {
    let token = link.token.as_ref()?;
    Some(token.parse::<Token>().map_or_else(|_| "of an unknown form".into(), |token| token.id().to_string()))
}

#[cfg(test)]
mod tests {
    use pssst::PublicKey;

    use super::*;

    /// The picture has the link's bytes: of the other colours, it is the same picture.
    #[test]
    fn a_code_has_a_quiet_zone_and_both_colours() {
        let link = Link::to("pool.example:45678", PublicKey::from_bytes([9; 32]));
        let [dark, light] = [false, true].map(|is_inverted| code(&link, is_inverted).unwrap());
        let swapped: String = dark
            .chars()
            .map(|c| match c {
                ' ' => '\u{2588}',
                '\u{2588}' => ' ',
                '\u{2580}' => '\u{2584}',
                '\u{2584}' => '\u{2580}',
                other => other,
            })
            .collect();
        let rows = |text: &str| text.lines().map(|line| line.chars().count()).collect::<Vec<_>>();
        assert_eq!(rows(&swapped), rows(&light));
        // The last row is half outside of the picture.
        let but_last = |text: &str| text.trim_end_matches('\n').rsplit_once('\n').unwrap().0.to_owned();
        assert_eq!(but_last(&swapped), but_last(&light));
        assert!(light.lines().next().unwrap().chars().all(|c| c == '\u{2588}'));
    }
}
