//! The distribution of latencies as a picture.

use pssst_support::grouped;
use std::fmt::{Result, Write};

use crate::format::{microseconds, time};
use crate::report::Report;

/// Draws latency by percentile as an SVG document. Both axes are logarithmic: to the right every
/// further nine takes as much room as the one before, so that the slowest replies are seen as well
/// as the usual ones.
pub fn picture(report: &Report) -> String {
    let mut svg = String::new();
    match draw(&mut svg, report) {
        Ok(()) => svg,
        // Writing into a string does not fail.
        Err(_) => String::new(),
    }
}

/// The sides of the picture, and of the field within the axes.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 540.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = 908.0;
const TOP: f64 = 100.0;
const BOTTOM: f64 = 450.0;
/// Points of the curve for each nine.
const STEPS: u32 = 64;
/// Marks of the lower axis: one nine more each.
const PERCENTS: [&str; 8] = ["0", "90", "99", "99.9", "99.99", "99.999", "99.9999", "99.99999"];
/// Where the curve has a dot with its figure.
const MARKS: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

fn draw(svg: &mut String, report: &Report) -> Result {
    let axes = Axes::of(report);
    writeln!(
        svg,
        r##"<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"
  font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#333">
<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>
<text x="{LEFT}" y="36" font-size="20" font-weight="bold" fill="#111">Latency by percentile</text>
<text x="{LEFT}" y="60">{}</text>
<text x="{LEFT}" y="79">{}</text>"##,
        report.load(),
        figures(report),
    )?;
    draw_axes(svg, &axes)?;
    draw_curve(svg, report, &axes)?;
    writeln!(svg, "</svg>")
}

fn figures(report: &Report) -> String {
    let Report { requests, lost, replies_per_second, .. } = report;
    let cpu = report.generator_cpu.map(|cpu| format!(", generator {:.0} % of a core", cpu * 100.0)).unwrap_or_default();
    format!("{replies_per_second:.0} replies a second, {} of {} requests lost{cpu}", grouped(*lost), grouped(*requests))
}

/// From values to places in the picture.
struct Axes {
    /// Nines that the lower axis spans, from 0.
    nines: u32,
    /// The decimal logarithms of the lowest and the highest microseconds.
    low: i32,
    high: i32,
}

impl Axes {
    fn of(report: &Report) -> Self {
        let latency = &report.latency;
        // As many nines as there are replies to tell them apart.
        let nines = latency.len().max(1).ilog10() + 1;
        let powers = || -3..10;
        let (fastest, slowest) = (microseconds(latency.min()), microseconds(latency.max()));
        let low = powers().rfind(|power| 10_f64.powi(*power) <= fastest).unwrap_or(-3);
        let high = powers().find(|power| 10_f64.powi(*power) >= slowest).unwrap_or(10).max(low + 1);
        Self { nines: nines.clamp(2, 7), low, high }
    }

    fn x(&self, quantile: f64) -> f64 {
        let span = f64::from(self.nines);
        LEFT + (RIGHT - LEFT) * (-(1.0 - quantile).log10()).min(span) / span
    }

    fn y(&self, microseconds: f64) -> f64 {
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        BOTTOM - (BOTTOM - TOP) * (microseconds.log10().clamp(low, high) - low) / (high - low)
    }
}

fn draw_axes(svg: &mut String, axes: &Axes) -> Result {
    for power in axes.low..=axes.high {
        for (factor, color) in [(1.0, "#c4c4c4"), (2.0, "#ebebeb"), (5.0, "#ebebeb")] {
            let value = factor * 10_f64.powi(power);
            let y = axes.y(value);
            if power < axes.high || factor < 2.0 {
                writeln!(svg, r#"<path d="M{LEFT} {y:.1}H{RIGHT}" stroke="{color}"/>"#)?;
                let (x, y) = (LEFT - 9.0, y + 4.5);
                // A wide span has room for its powers of ten only.
                if factor < 2.0 || axes.high - axes.low <= 3 {
                    writeln!(svg, r#"<text x="{x}" y="{y:.1}" text-anchor="end">{}</text>"#, round_time(value))?;
                }
            }
        }
    }
    for (nines, percent) in (0..=axes.nines).zip(PERCENTS) {
        let x = LEFT + (RIGHT - LEFT) * f64::from(nines) / f64::from(axes.nines);
        writeln!(svg, r##"<path d="M{x:.1} {TOP}V{BOTTOM}" stroke="#c4c4c4"/>"##)?;
        writeln!(svg, r#"<text x="{x:.1}" y="{}" text-anchor="middle">{percent} %</text>"#, BOTTOM + 20.0)?;
    }
    let (x, y) = (f64::midpoint(LEFT, RIGHT), f64::midpoint(TOP, BOTTOM));
    writeln!(svg, r#"<text x="{x}" y="{}" text-anchor="middle">share of the replies</text>"#, BOTTOM + 48.0)?;
    writeln!(svg, r#"<text transform="translate(24 {y}) rotate(-90)" text-anchor="middle">latency, at most</text>"#)
}

fn draw_curve(svg: &mut String, report: &Report, axes: &Axes) -> Result {
    let at = |quantile: f64| microseconds(report.latency.value_at_quantile(quantile).min(report.latency.max()));
    let color = "#1a63d8";
    write!(svg, r#"<path fill="none" stroke="{color}" stroke-width="2.5" stroke-linejoin="round" d=""#)?;
    for step in 0..=axes.nines * STEPS {
        let quantile = 1.0 - 10_f64.powf(-f64::from(step) / f64::from(STEPS));
        let verb = if step == 0 { 'M' } else { 'L' };
        write!(svg, "{verb}{:.1} {:.1}", axes.x(quantile), axes.y(at(quantile)))?;
    }
    // The latency of the last replies, right up to the edge.
    writeln!(svg, r#"V{:.1}"/>"#, axes.y(at(1.0)))?;

    for (name, quantile) in MARKS {
        let (x, y, value) = (axes.x(quantile), axes.y(at(quantile)), time(at(quantile)));
        writeln!(
            svg,
            r##"<circle cx="{x:.1}" cy="{y:.1}" r="4.5" fill="{color}" stroke="#fff" stroke-width="1.5"/>"##
        )?;
        // The curve rises: there is room above and to the left of a dot, and below and to the right
        // of the first. A pale edge keeps the grid out of the letters.
        let (x, y, anchor) = match name {
            "p50" => (x + 7.0, (y + 18.0).min(BOTTOM - 5.0), "start"),
            _ => (x - 5.0, y - 10.0, "end"),
        };
        let place = format!(r#"x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" font-weight="bold""#);
        writeln!(
            svg,
            r##"<text {place} stroke="#fff" stroke-width="4" stroke-linejoin="round">{name} {value}</text>"##
        )?;
        writeln!(svg, r##"<text {place} fill="#111">{name} {value}</text>"##)?;
    }
    Ok(())
}

/// 1, 2 or 5 times a power of ten of microseconds, without digits that say nothing.
fn round_time(microseconds: f64) -> String {
    match microseconds {
        short if short < 999.0 => format!("{short} µs"),
        middle if middle < 999e3 => format!("{} ms", middle / 1e3),
        long => format!("{} s", long / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_the_axis_are_short() {
        for (microseconds, text) in [(0.5, "0.5 µs"), (1.0, "1 µs"), (200.0, "200 µs"), (5e4, "50 ms"), (1e6, "1 s")]
        {
            assert_eq!(round_time(microseconds), text);
        }
    }

    #[test]
    fn places_lie_within_the_axes_and_rise() {
        let axes = Axes { nines: 4, low: 1, high: 4 };
        assert_eq!((axes.x(0.0).to_bits(), axes.x(1.0).to_bits()), (LEFT.to_bits(), RIGHT.to_bits()));
        assert_eq!((axes.y(10.0).to_bits(), axes.y(10_000.0).to_bits()), (BOTTOM.to_bits(), TOP.to_bits()));
        assert!(axes.y(0.0) <= BOTTOM && axes.y(1e9) >= TOP && axes.x(0.5) < axes.x(0.9));
        assert!((axes.x(0.99) - f64::midpoint(LEFT, RIGHT)).abs() < 1e-6);
    }
}
