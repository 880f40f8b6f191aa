//! Bars as an SVG document, for what benchmarks measure.

use std::fmt::{Result, Write};

/// A picture of horizontal bars, the first at the top.
#[expect(clippy::exhaustive_structs, reason = "callers make it")]
pub struct BarChart<'a> {
    /// The compared quantity, in a few words.
    pub title: &'a str,
    /// The unit of the values, and the machine.
    pub subtitle: &'a str,
    /// The bars. Each is as long as its value, beside the largest.
    pub bars: Vec<Bar<'a>>,
}

/// One bar.
#[expect(clippy::exhaustive_structs, reason = "callers make it")]
pub struct Bar<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value, 0 or more.
    pub value: f64,
    /// Whether it is of what is compared with, and drawn in grey.
    pub is_other: bool,
}

const WIDTH: f64 = 960.0;
const LEFT: f64 = 330.0;
const RIGHT: f64 = 870.0;
const TOP: f64 = 84.0;
/// From one bar to the next.
const STEP: f64 = 28.0;
const THICKNESS: f64 = 18.0;

impl BarChart<'_> {
    /// Returns the picture.
    ///
    /// # Panics
    /// Without bars, and if no value is above zero.
    pub fn to_svg(&self) -> String {
        let largest = self.bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
        assert!(largest > 0.0, "there is nothing to draw");
        let mut svg = String::new();
        self.draw(&mut svg, largest).expect("strings take any text");
        svg
    }

    fn draw(&self, svg: &mut String, largest: f64) -> Result {
        let height = self.bars.iter().fold(TOP + 16.0, |height, _| height + STEP);
        writeln!(
            svg,
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"
  font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#333">
<rect width="{WIDTH}" height="{height}" fill="#fff"/>
<text x="24" y="36" font-size="20" font-weight="bold" fill="#111">{}</text>
<text x="24" y="60">{}</text>"##,
            escaped(self.title),
            escaped(self.subtitle),
        )?;
        let mut y = TOP;
        for Bar { name, value, is_other } in &self.bars {
            let (width, color) = ((RIGHT - LEFT) * value / largest, if *is_other { "#9aa3ad" } else { "#1a63d8" });
            let (text_y, end, value) = (y + 14.0, LEFT + width + 8.0, with_three_digits(*value));
            writeln!(svg, r#"<text x="{}" y="{text_y}" text-anchor="end">{}</text>"#, LEFT - 10.0, escaped(name))?;
            writeln!(svg, r#"<rect x="{LEFT}" y="{y}" width="{width:.1}" height="{THICKNESS}" fill="{color}"/>"#)?;
            writeln!(svg, r##"<text x="{end:.1}" y="{text_y}" font-weight="bold" fill="#111">{value}</text>"##)?;
            y += STEP;
        }
        writeln!(svg, "</svg>")
    }
}

fn with_three_digits(value: f64) -> String {
    match value {
        large if large >= 99.95 => format!("{large:.0}"),
        middle if middle >= 9.995 => format!("{middle:.1}"),
        small => format!("{small:.2}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_values() {
        let bar = |name, value, is_other| Bar { name, value, is_other };
        let bars = vec![bar("a < b", 200.0, false), bar("half", 100.0, true), bar("none", 0.0, true)];
        let svg = BarChart { title: "T & t", subtitle: "thousands a second", bars }.to_svg();
        let full = RIGHT - LEFT;
        for part in [
            "T &amp; t".to_owned(),
            "a &lt; b".into(),
            format!("width=\"{full:.1}\""),
            format!("width=\"{:.1}\"", full / 2.0),
            "width=\"0.0\"".into(),
            ">200</text>".into(),
        ] {
            assert!(svg.contains(&part), "{part}: {svg}");
        }
    }

    #[test]
    fn values_have_three_digits() {
        assert_eq!([1234.5, 99.96, 10.04, 9.996, 0.5].map(with_three_digits), ["1234", "100", "10.0", "10.0", "0.50"]);
    }
}
