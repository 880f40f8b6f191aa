//! Capture of log events, for tests.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, span};

/// Takes every event of every level, as text.
#[derive(Clone, Default)]
pub(crate) struct Capture(Arc<Mutex<Vec<(Level, String)>>>);

impl Capture {
    /// Takes what this thread logs, as long as the guard lives.
    pub(crate) fn start() -> (Self, DefaultGuard) {
        // As long as there is a single subscriber, tracing asks that of whichever thread comes to
        // an event first whether it is of interest, and remembers the answer for all of them. With
        // more it asks them all.
        static OTHERS: OnceLock<[Dispatch; 2]> = OnceLock::new();
        OTHERS.get_or_init(|| [Dispatch::new(Self::default()), Dispatch::new(Self::default())]);
        let capture = Self::default();
        let guard = tracing::subscriber::set_default(capture.clone());
        (capture, guard)
    }

    /// Events and spans of this level.
    pub(crate) fn of(&self, level: Level) -> usize {
        self.0.lock().unwrap().iter().filter(|(of, _)| *of == level).count()
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().iter().map(|(_, text)| text.as_str()).collect()
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let mut text = Text(String::new());
        span.record(&mut text);
        self.0.lock().unwrap().push((*span.metadata().level(), text.0));
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push((*event.metadata().level(), text.0));
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Bytes in every form in which they may be printed.
fn forms(bytes: &[u8]) -> Vec<String> {
    let hex: String = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let list = format!("{bytes:?}");
    let list = list.trim_matches(['[', ']']).to_owned();
    vec![hex.to_uppercase(), hex, list, String::from_utf8_lossy(bytes).into_owned()]
}

/// None of these bytes is in a text, in whatever form.
pub(crate) fn assert_absent(text: &str, secrets: &[&[u8]]) {
    for form in secrets.iter().flat_map(|secret| forms(secret)) {
        assert!(!text.contains(&form), "{form:?} is in {text}");
    }
}
