//! The terminal: one frame of figures, and its state before and after.

use std::io;

use ratatui::DefaultTerminal;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Widget;

/// A terminal in raw mode with a screen of its own, which has its old state again when this is
/// dropped or the program panics.
pub(super) struct Screen(DefaultTerminal);

/// The contents of a screen.
pub(super) struct Frame {
    /// Above all, at any scroll position.
    pub(super) banner: Vec<Line<'static>>,
    pub(super) body: Vec<Line<'static>>,
    pub(super) footer: Line<'static>,
}

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        ratatui::try_init().map(Self).inspect_err(|_| drop(ratatui::try_restore()))
    }

    pub(super) fn width(&self) -> io::Result<usize> {
        Ok(self.0.size()?.width.into())
    }

    /// Draws a frame, and returns the number of lines of its body that fit.
    pub(super) fn draw(&mut self, frame: &Frame, scroll: &mut usize) -> io::Result<usize> {
        let mut fits = 0;
        self.0.draw(|screen| {
            let area = screen.area();
            fits = draw(frame, scroll, area, screen.buffer_mut());
        })?;
        Ok(fits)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing is left to do if the terminal is gone.
        drop(ratatui::try_restore());
    }
}

/// Draws a frame, and returns the number of lines of its body that fit. `scroll` is moved so that
/// the end of the body is at the end of the area at most.
fn draw(frame: &Frame, scroll: &mut usize, area: Rect, buffer: &mut Buffer) -> usize {
    let rows = usize::from(area.height);
    let fits = rows.saturating_sub(frame.banner.len() + 1);
    *scroll = (*scroll).min(frame.body.len().saturating_sub(fits));
    let body = frame.body.iter().skip(*scroll).take(fits);
    for (row, line) in area.rows().zip(frame.banner.iter().take(rows.saturating_sub(1)).chain(body)) {
        line.render(row, buffer);
    }
    if let Some(last) = area.rows().next_back() {
        (&frame.footer).render(last, buffer);
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(width: u16, height: u16, scroll: &mut usize) -> Vec<String> {
        let body = (0..10).map(|number| Line::from(format!("line {number} is wide"))).collect();
        let frame = Frame { banner: vec![Line::from("gone")], body, footer: Line::from("q quit") };
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        draw(&frame, scroll, area, &mut buffer);
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(row).collect()
    }

    #[test]
    fn the_banner_and_the_footer_stay_while_the_body_scrolls() {
        assert_eq!(drawn(6, 4, &mut 1), ["gone", "line 1", "line 2", "q quit"]);
        let mut far = 99;
        assert_eq!(drawn(20, 4, &mut far), ["gone", "line 8 is wide", "line 9 is wide", "q quit"]);
        assert_eq!(far, 8);
        assert_eq!(drawn(20, 1, &mut 0), ["q quit"]);
        assert_eq!(drawn(20, 0, &mut 0), Vec::<String>::new());
    }
}
