//! Checks the English of sources, scripts and documents: no phrase of [`PHRASES`] in a comment, text
//! or paragraph, and none wider than [`MAX_WIDTH`] columns.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

use regex::{Regex, RegexSet};

use crate::report::Report;

/// Columns of a comment, and of a paragraph of a document.
const MAX_WIDTH: usize = 100;

/// Phrases that plain technical English does without, each with what to write instead. They are
/// looked for in paragraphs, so that a line break hides none. `^` is the start of a paragraph.
const PHRASES: &[(&str, &str)] = &[
    (r"\b[Hh]ow an? [\w ]+ is to be\b", "name the thing: \"Configures …\", \"Options of …\""),
    (r"^The same\b", "say what the item is or does"),
    (r"^What (is|are|was|becomes|a|an|the)\b[^?]*$", "a noun, or \"Returns …\""),
    (r"^(Whom?|Whose)\b[^?]*$", "a noun, or \"Returns …\""),
    (r"\b[Ww]ho(m|so)?ever\b", "\"anyone who\", or the one who acts"),
    (r"\b([Gg]oes|[Gg]o|[Gg]oing) on\b", "\"continues\""),
    (r"\b[Bb]elongs? into\b", "\"belongs to\", \"goes into\""),
    (r"\b(dearer|graver)\b", "\"costs more\", \"more severe\""),
    (r"\b[Bb]esides\b", "\"also\", \"in addition to\""),
    (r"\bfor once\b", "leave it out"),
    (r"\b[Ll]est\b", "\"so that … not\""),
    (r"\b(for|by|of) which\b", "a verb, \"that\" or \"whose\""),
    (r"\b(is|are|was|were) told\b", "\"is reported\", \"learns\", \"is configured\""),
    (r"\bunless told otherwise\b", "\"by default\""),
    (r"[^e] (is|are) no [^lm]\w*", "\"is not a\""),
    (r"\b([Ss]ome|[Aa]ny|[Ee]very)body\b", "\"someone\", \"anyone\", or the one who acts"),
    (r"\bhears? (nothing|of|that)\b", "\"gets no reply\", \"learns\""),
    (r"\b(until|from) when\b", "\"until\", \"from … on\""),
    (r"\bserves? on\b", "\"keeps serving\""),
    (r"\ba line each\b", "\"one per line\""),
];

/// A kind of file, which decides the parts that are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Comments, those in code blocks included, and texts in quotation marks.
    Rust,
    /// Paragraphs, but not code blocks and tables.
    Markdown,
    /// Comments behind `#`: shell, Python, TOML, YAML, units, nginx, nftables.
    Script,
}

impl Kind {
    /// Returns the kind of a file by its name, or `None` if it is not checked.
    fn of(name: &str) -> Option<Self> {
        let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
        match extension {
            Some("rs") => Some(Self::Rust),
            Some("md") => Some(Self::Markdown),
            Some("sh" | "py" | "toml" | "yaml" | "yml" | "service" | "socket" | "conf" | "nft") => Some(Self::Script),
            None if [".ci/", "scripts/", "deploy/"].iter().any(|folder| name.starts_with(folder)) => Some(Self::Script),
            _ => None,
        }
    }
}

/// Checks the files of the repository in the folder `root` that git tracks.
///
/// # Errors
/// Without git, and for a file that cannot be read.
pub(crate) fn check(root: &Path) -> Result<Report, Box<dyn Error>> {
    let phrases = Phrases::new()?;
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let mut report = Report::default();
    for name in listed.split_terminator('\0').filter(|name| *name != "xtask/src/words.rs") {
        let Some(kind) = Kind::of(name) else { continue };
        let text = fs::read_to_string(root.join(name)).map_err(|error| format!("{name}: {error}"))?;
        report.add(phrases.complaints(&text, kind).iter().map(|complaint| format!("{name}:{complaint}")).collect());
    }
    if report.passed == 0 {
        return Err("git lists no file: this check sees nothing".into());
    }
    Ok(report)
}

/// The compiled [`PHRASES`].
struct Phrases {
    any: RegexSet,
    each: Vec<Regex>,
}

/// Lines of prose that belong together.
#[derive(Debug, Default)]
struct Paragraph {
    /// Number of the first line, from 1.
    line: usize,
    text: String,
}

impl Phrases {
    fn new() -> Result<Self, regex::Error> {
        let patterns = PHRASES.iter().map(|(pattern, _)| *pattern);
        Ok(Self { any: RegexSet::new(patterns.clone())?, each: patterns.map(Regex::new).collect::<Result<_, _>>()? })
    }

    /// Returns `LINE: COMPLAINT` for each fault of a file.
    fn complaints(&self, text: &str, kind: Kind) -> Vec<String> {
        let (paragraphs, wide) = read(text, kind);
        let mut complaints: Vec<_> =
            wide.iter().map(|line| format!("{line}: wider than {MAX_WIDTH} columns")).collect();
        for Paragraph { line, text } in paragraphs {
            for index in self.any.matches(&text) {
                let found = self.each[index].find(&text).map_or("", |found| found.as_str());
                let found: String = found.chars().take(40).collect();
                complaints.push(format!("{line}: {found:?}: write {}", PHRASES[index].1));
            }
        }
        complaints
    }
}

/// Returns the paragraphs of a file, and the numbers of lines that are too wide.
fn read(text: &str, kind: Kind) -> (Vec<Paragraph>, Vec<usize>) {
    let (mut paragraphs, mut wide) = (Vec::new(), Vec::new());
    let mut current = Paragraph::default();
    let mut is_code = false;
    let mut marker = "";
    for (line, number) in text.lines().zip(1..) {
        let (own_marker, prose) = match kind {
            Kind::Rust => comment(line, &["///", "//!", "//"]),
            Kind::Script => comment(line, &["#"]),
            Kind::Markdown => ("", line.trim()),
        };
        if own_marker != marker {
            // A block of code ends with its comment.
            is_code = false;
            marker = own_marker;
        }
        let is_fence = prose.starts_with("```");
        is_code ^= is_fence;
        if kind == Kind::Rust && (own_marker.is_empty() || is_code) {
            paragraphs.extend(texts_in_code(line, prose, number));
        }
        let is_prose = !prose.is_empty() && !is_fence && !is_code && !prose.starts_with(['|', '#', '<']);
        // What has no space before the limit cannot be wrapped.
        let can_wrap = prose.chars().take(MAX_WIDTH - 20).any(char::is_whitespace);
        if is_prose && line.chars().count() > MAX_WIDTH && can_wrap {
            wide.push(number);
        }
        let item = ["* ", "- "].iter().find_map(|bullet| prose.strip_prefix(bullet));
        if !is_prose || item.is_some() || current.text.is_empty() {
            paragraphs.push(std::mem::take(&mut current));
            current.line = number;
        }
        if is_prose {
            if !current.text.is_empty() {
                current.text.push(' ');
            }
            current.text.push_str(item.unwrap_or(prose));
        }
    }
    paragraphs.push(current);
    paragraphs.retain(|paragraph| !paragraph.text.is_empty());
    (paragraphs, wide)
}

/// Returns the marker and the text of a line that is a comment, or two empty texts.
fn comment<'l>(line: &'l str, markers: &[&'static str]) -> (&'static str, &'l str) {
    let line = line.trim_start();
    markers.iter().find_map(|marker| Some((*marker, line.strip_prefix(marker)?.trim()))).unwrap_or(("", ""))
}

/// Returns the texts in quotation marks of a line of code, and the comment in a code block of a doc
/// comment.
fn texts_in_code(line: &str, prose: &str, number: usize) -> Vec<Paragraph> {
    let quoted = line.split('"').skip(1).step_by(2).filter(|text| text.contains(' '));
    let comment = prose.split_once("// ").map(|(_, comment)| comment);
    quoted.chain(comment).map(|text| Paragraph { line: number, text: text.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(text: &str) -> Vec<String> {
        Phrases::new().unwrap().complaints(text, Kind::Rust)
    }

    fn markdown(text: &str) -> Vec<String> {
        Phrases::new().unwrap().complaints(text, Kind::Markdown)
    }

    #[test]
    fn planted_phrases_are_found() {
        for planted in [
            "How a server is to be.",
            "The same, for a batch.",
            "What becomes of the statuses of HTTP.",
            "Whose.",
            "Keys of whoever asks.",
            "The loop goes on.",
            "It belongs into the table.",
            "The time by which it ends.",
            "The client is told the address.",
        ] {
            for marker in ["///", "//!", "    //"] {
                let found = rust(&format!("use a;\n{marker} {planted}\nfn a() {{}}\n"));
                assert_eq!((found.len(), found[0].starts_with("2: ")), (1, true), "{planted}: {found:?}");
            }
            assert_eq!(markdown(&format!("# Title\n\n* {planted}\n")).len(), 1, "{planted}");
        }
    }

    #[test]
    fn texts_and_comments_in_code_are_checked() {
        assert_eq!(rust("let a = \"the loop goes on\";\n").len(), 1);
        assert_eq!(rust("/// ```\n/// // The loop goes on.\n/// ```\n").len(), 1);
        let script = |text| Phrases::new().unwrap().complaints(text, Kind::Script).len();
        assert_eq!(script("#!/bin/sh\n# The loop goes\n# on.\necho \"it goes on\"\n"), 1);
        assert_eq!(Kind::of("scripts/test"), Some(Kind::Script));
        assert_eq!(Kind::of("deploy/monitoring/dashboard.json"), None);
    }

    #[test]
    fn a_line_break_hides_nothing() {
        assert_eq!(rust("// The worker goes\n// on.\n").len(), 1);
        assert_eq!(markdown("the time by\nwhich it ends\n").len(), 1);
    }

    #[test]
    fn code_and_tables_are_not_prose() {
        let code = "/// Returns it.\n///\n/// ```\n/// loop_goes(on);\n/// ```\nlet goes = go(on);\n";
        assert_eq!(rust(code), [""; 0]);
        assert_eq!(markdown("```\nit goes on\n```\n\n| it goes on |\n"), [""; 0]);
        assert_eq!(markdown("# What is where\n\nReturns the same bytes.\n"), [""; 0]);
    }

    #[test]
    fn wide_lines_are_found() {
        let long = "word ".repeat(20);
        assert_eq!(rust(&format!("// {}\n", long.trim())), ["1: wider than 100 columns"]);
        assert_eq!(markdown(&format!("{long}word\n")), ["1: wider than 100 columns"]);
        assert_eq!(markdown(&format!("| {long}{long} |\n<{}>\n", "a".repeat(120))), [""; 0]);
    }

    #[test]
    fn a_folder_without_files_is_refused() {
        let empty = tempfile::tempdir().unwrap();
        assert!(check(empty.path()).unwrap_err().to_string().contains("sees nothing"));
    }
}
