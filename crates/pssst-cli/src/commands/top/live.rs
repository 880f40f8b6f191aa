//! The live view: readings at an interval, keys, and the state between them.

use std::io;
use std::time::{Duration, Instant};

use pssst_service::Failure;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::text::Line;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::screen::{Frame, Screen};
use crate::monitor::endpoint::Endpoint;
use crate::monitor::history::History;
use crate::monitor::reading::Reading;
use crate::monitor::report::{Report, Since};
use crate::monitor::view::{self, HEADING, Look, printable, span};

/// The state between two frames.
struct State<'a> {
    endpoint: &'a Endpoint,
    every: Duration,
    has_colors: bool,
    last: Reading,
    report: Report,
    history: History,
    /// Since when there is no reading, and why.
    failing: Option<(Instant, String)>,
    /// The service restarted between the last two readings.
    has_restarted: bool,
    is_paused: bool,
    scroll: usize,
    fits: usize,
}

/// Shows a service until the user ends it. A service that cannot be read at the start is an error;
/// one that goes away later is waited for.
pub(super) async fn run(endpoint: &Endpoint, every: Duration) -> Result<(), Failure> {
    let last = endpoint.read().await?;
    let has_colors = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let report = Report::new(endpoint, &last, Since::Earlier(&last));
    let (history, failing) = (History::default(), None);
    let (has_restarted, is_paused, scroll, fits) = (false, false, 0, 0);
    let mut state =
        State { endpoint, every, has_colors, last, report, history, failing, has_restarted, is_paused, scroll, fits };
    let of_terminal = |error: io::Error| {
        Failure::new(format!("cannot use the terminal: {error}"), "use --once, which prints one frame as text")
    };
    let mut stop = Box::pin(stopped());
    let mut screen = Screen::open().map_err(of_terminal)?;
    let mut events = events();
    let mut readings = readings(endpoint.clone(), every);
    loop {
        state.draw(&mut screen).map_err(of_terminal)?;
        tokio::select! {
            () = &mut stop => return Ok(()),
            event = events.recv() => match event {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                    if is_end(key) {
                        return Ok(());
                    }
                    state.on_key(key.code);
                }
                // Another size, for instance, is drawn.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(of_terminal(error)),
                None => return Ok(()),
            },
            Some(reading) = readings.recv() => state.on_reading(reading),
        }
    }
}

/// Returns what the user does, from a thread that waits for it until the program ends.
fn events() -> mpsc::Receiver<io::Result<Event>> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        loop {
            let event = event::read();
            let is_last = event.is_err();
            if sender.blocking_send(event).is_err() || is_last {
                break;
            }
        }
    });
    receiver
}

/// Returns readings at an interval, until the receiver is dropped.
fn readings(endpoint: Endpoint, every: Duration) -> mpsc::Receiver<Result<Reading, Failure>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first is at once, and there is a reading already.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if sender.send(endpoint.read().await).await.is_err() {
                break;
            }
        }
    });
    receiver
}

/// Waits for a signal to end, so that the terminal is restored.
async fn stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        let signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        if let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)] = signals {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn is_end(key: KeyEvent) -> bool {
    match key.code {
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
        KeyCode::Char('c' | 'd') => key.modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}

impl State<'_> {
    fn on_key(&mut self, key: KeyCode) {
        let page = self.fits.max(1);
        match key {
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.scroll = self.scroll.saturating_add(1),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(page),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(page),
            KeyCode::Home => self.scroll = 0,
            KeyCode::End => self.scroll = usize::MAX,
            KeyCode::Char(' ' | 'p') => self.is_paused = !self.is_paused,
            _ => {}
        }
    }

    fn on_reading(&mut self, reading: Result<Reading, Failure>) {
        if self.is_paused {
            return;
        }
        match reading {
            Ok(reading) => {
                self.has_restarted = reading.has_restarted_since(&self.last);
                self.report = Report::new(self.endpoint, &reading, Since::Earlier(&self.last));
                self.history.push(&self.report.refusals);
                self.last = reading;
                self.failing = None;
            }
            Err(failure) => {
                let since = self.failing.as_ref().map_or_else(Instant::now, |(since, _)| *since);
                self.failing = Some((since, failure.what().to_owned()));
            }
        }
    }

    fn draw(&mut self, screen: &mut Screen) -> io::Result<()> {
        let frame = self.frame(screen.width()?);
        self.fits = screen.draw(&frame, &mut self.scroll)?;
        Ok(())
    }

    fn frame(&self, width: usize) -> Frame {
        let look = Look { width, has_colors: self.has_colors };
        let mut banner = Vec::new();
        if let Some((since, cause)) = &self.failing {
            let text = format!("no answer for {}; the figures are the last ones", span(since.elapsed().as_secs_f64()));
            banner.push(Line::styled(text, look.alarm()));
            banner.push(Line::styled(printable(cause), look.alarm()));
        } else if self.has_restarted {
            banner.push(Line::styled("the service restarted: rates follow with the next reading", look.alarm()));
        }
        let every = format!("every {} s", self.every.as_secs_f64());
        let state = if self.is_paused { "paused" } else { every.as_str() };
        let footer = Line::styled(format!("{state} · q quit · ↑↓ scroll · space pause"), HEADING);
        Frame { banner, body: view::lines(&self.report, Some(&self.history), look), footer }
    }
}
