//! A page about a finished run, in one file that needs no network.

use super::Record;
use super::progress::{count, duration};
use crate::error::TrainError;
use einmesh_artifact::write_atomically;
use std::fmt::Write as _;
use std::path::Path;

/// What a report says besides the curves.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What was trained: the program's file and entry.
    pub title: String,
    /// Names and values in the order of the page: mesh, parameters, optimizer, command.
    pub rows: Vec<(String, String)>,
}

/// Points of a curve: more would not be seen.
const POINTS: usize = 400;
/// The drawing's size and margins, in its own units.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 34.0;
const TOP: f64 = 12.0;
const RIGHT: f64 = 12.0;

/// Writes the page.
pub fn report(path: &Path, facts: &Facts, records: &[Record]) -> Result<(), TrainError> {
    let page = page(facts, records);
    write_atomically(path, |file| file.write_all(page.as_bytes())).map_err(TrainError::io(path))
}

fn page(facts: &Facts, records: &[Record]) -> String {
    let mut page = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    );
    let title = escape(&facts.title);
    let _ =
        write!(page, "<title>{title}</title>\n<style>{STYLE}</style>\n<main>\n<h1>{title}</h1>\n");
    page.push_str(&tiles(records));
    let loss: Vec<(f64, f64)> = points(records, |r| Some(r.loss));
    let validation: Vec<(f64, f64)> = points(records, |r| r.validation_loss);
    let curves = [("loss", &loss[..]), ("validation", &validation[..])];
    page.push_str(&chart("Loss by step", &curves));
    let speed = points(records, |r| Some(r.tokens_per_second));
    page.push_str(&chart("Tokens per second", &[("tokens/s", &speed[..])]));
    for name in names(records) {
        let curve = points(records, |r| r.others.get(name).copied());
        page.push_str(&chart(&escape(name), &[("value", &curve[..])]));
    }
    page.push_str("<h2>The run</h2>\n<table>\n");
    for (name, value) in &facts.rows {
        let _ = writeln!(page, "<tr><th>{}<td>{}", escape(name), escape(value));
    }
    page.push_str("</table>\n</main>\n");
    page
}

/// The names of the entry's other numbers.
fn names(records: &[Record]) -> Vec<&str> {
    records.first().map_or(vec![], |r| r.others.keys().map(String::as_str).collect())
}

/// The figures that one looks for first.
fn tiles(records: &[Record]) -> String {
    let Some(last) = records.last() else {
        return "<p>No step was done.</p>\n".to_owned();
    };
    let mut tiles =
        vec![("steps", (last.step + 1).to_string()), ("last loss", format!("{:.4}", last.loss))];
    if let Some(loss) = records.iter().rev().find_map(|r| r.validation_loss) {
        tiles.push(("validation loss", format!("{loss:.4}")));
    }
    tiles.push(("tokens", count(last.tokens as f64)));
    tiles.push(("tokens per second", count(median(records.iter().map(|r| r.tokens_per_second)))));
    if last.mfu.is_some() {
        let mfu = median(records.iter().filter_map(|r| r.mfu));
        tiles.push(("MFU", format!("{:.0} %", 100.0 * mfu)));
    }
    tiles.push(("time", duration(last.seconds)));
    let tiles =
        tiles.iter().map(|(name, value)| format!("<div><b>{value}</b><span>{name}</span></div>\n"));
    format!("<section class=\"tiles\">\n{}</section>\n", tiles.collect::<String>())
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.filter(|n| n.is_finite()).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}

/// A curve of at most [`POINTS`] points; each is the mean of the records it stands for.
fn points(records: &[Record], number: impl Fn(&Record) -> Option<f64>) -> Vec<(f64, f64)> {
    let all: Vec<(f64, f64)> = records
        .iter()
        .filter_map(|r| Some((r.step as f64, number(r).filter(|n| n.is_finite())?)))
        .collect();
    let group = all.len().div_ceil(POINTS).max(1);
    let mean = |points: &[(f64, f64)]| {
        let n = points.len() as f64;
        let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0, y + p.1));
        (x / n, y / n)
    };
    all.chunks(group).map(mean).collect()
}

/// A drawing with one or more curves; nothing if no curve has points.
fn chart(title: &str, curves: &[(&str, &[(f64, f64)])]) -> String {
    let all = || curves.iter().flat_map(|(_, points)| points.iter());
    let (mut x, mut y) = (Range::of(all().map(|p| p.0)), Range::of(all().map(|p| p.1)));
    if all().next().is_none() {
        return String::new();
    }
    x.widen(0.0);
    y.widen(0.05);
    let px = |v: f64| LEFT + x.part(v) * (WIDTH - LEFT - RIGHT);
    let py = |v: f64| HEIGHT - BOTTOM - y.part(v) * (HEIGHT - BOTTOM - TOP);
    let mut svg = format!(
        "<h2>{title}</h2>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n"
    );
    for tick in y.ticks() {
        let (at, end) = (py(tick), WIDTH - RIGHT);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{end}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            at + 4.0,
            label(tick)
        );
    }
    for tick in x.ticks() {
        let at = px(tick);
        let _ = writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - 12.0,
            label(tick)
        );
    }
    for (n, (name, points)) in curves.iter().enumerate().filter(|(_, c)| !c.1.is_empty()) {
        let path: Vec<String> =
            points.iter().map(|(x, y)| format!("{:.1},{:.1}", px(*x), py(*y))).collect();
        let _ = writeln!(svg, "<polyline class=\"c{n}\" points=\"{}\"/>", path.join(" "));
        if points.len() == 1 {
            let (x, y) = points[0];
            let _ = writeln!(
                svg,
                "<circle class=\"c{n}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>",
                px(x),
                py(y)
            );
        }
        if curves.iter().filter(|c| !c.1.is_empty()).count() > 1 {
            let at = WIDTH - RIGHT - 90.0 * (curves.len() - n) as f64;
            let _ = writeln!(
                svg,
                "<rect class=\"c{n}\" x=\"{at}\" y=\"{TOP}\" width=\"14\" height=\"3\"/>\
                 <text x=\"{}\" y=\"{}\">{name}</text>",
                at + 20.0,
                TOP + 6.0
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// The numbers that an axis shows.
#[derive(Clone, Copy)]
struct Range {
    least: f64,
    most: f64,
}

impl Range {
    fn of(numbers: impl Iterator<Item = f64>) -> Range {
        let empty = Range { least: f64::INFINITY, most: f64::NEG_INFINITY };
        numbers.fold(empty, |r, n| Range { least: r.least.min(n), most: r.most.max(n) })
    }

    /// Adds a part of the range on both sides, and something if it is one number only.
    fn widen(&mut self, part: f64) {
        let span = self.most - self.least;
        let by = if span > 0.0 { part * span } else { self.most.abs().max(1.0) * 0.5 };
        (self.least, self.most) = (self.least - by, self.most + by);
    }

    fn part(&self, number: f64) -> f64 {
        (number - self.least) / (self.most - self.least)
    }

    /// Round numbers within the range: four to nine.
    fn ticks(&self) -> Vec<f64> {
        let span = self.most - self.least;
        let power = 10_f64.powf((span / 5.0).log10().floor());
        let fits = |step: &&f64| span / (**step * power) <= 8.0;
        let step = [1.0, 2.0, 5.0].iter().find(fits).unwrap_or(&10.0) * power;
        let first = (self.least / step).ceil() as i64;
        let last = (self.most / step).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }
}

/// A tick's number without digits that say nothing.
fn label(number: f64) -> String {
    let size = number.abs();
    if size >= 1e4 {
        return count(number).replace(".0", "");
    }
    if size > 0.0 && size < 1e-3 {
        return format!("{number:.1e}");
    }
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #667; --line: #dde; --page: #fff; --a: #2563c9; --b: #d9480f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaee; --soft: #9aa3b2; --line: #333a45; --page: #15181d; --a: #7fb0ff; --b: #ffa266; }
}
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 54rem; margin: 0 auto; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.5rem; margin: 0 0 1.2rem; }
h2 { font-size: 1rem; font-weight: 600; margin: 2rem 0 .4rem; }
.tiles { display: flex; flex-wrap: wrap; gap: .6rem 2.2rem; }
.tiles div { display: flex; flex-direction: column; }
.tiles b { font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.tiles span, svg text { color: var(--soft); fill: var(--soft); font-size: .8rem; }
svg { width: 100%; height: auto; }
svg text { font-size: 12px; }
svg line { stroke: var(--line); }
polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
polyline.c0 { stroke: var(--a); } polyline.c1 { stroke: var(--b); }
rect.c0, circle.c0 { fill: var(--a); } rect.c1, circle.c1 { fill: var(--b); }
table { border-collapse: collapse; font-size: .9rem; }
th { text-align: left; font-weight: 500; color: var(--soft); padding: .2rem 1.5rem .2rem 0; vertical-align: top; white-space: nowrap; }
td { padding: .2rem 0; overflow-wrap: anywhere; }
";

#[cfg(test)]
mod tests {
    use super::*;

    fn records(n: u64) -> Vec<Record> {
        let record = |step| Record {
            step,
            loss: 9.0 - step as f64 / n as f64,
            validation_loss: (step % 50 == 49).then_some(8.5),
            others: [("lr".to_owned(), 1e-4)].into(),
            tokens_per_second: 1000.0,
            ..Record::default()
        };
        (0..n).map(record).collect()
    }

    #[test]
    fn a_page_stands_alone_and_escapes_what_it_is_told() {
        let facts = Facts {
            title: "a < b".to_owned(),
            rows: vec![("command".to_owned(), "einmesh train \"x\" && y".to_owned())],
        };
        let page = page(&facts, &records(100));
        assert!(page.contains("a &lt; b") && page.contains("&quot;x&quot; &amp;&amp; y"));
        assert!(!page.contains("http") && !page.contains("<script"));
        assert_eq!(page.matches("<svg").count(), 3);
        assert_eq!(page.matches("<polyline").count(), 4);
    }

    #[test]
    fn long_runs_are_drawn_with_few_points() {
        let curve = points(&records(100_000), |r| Some(r.loss));
        assert!(curve.len() <= POINTS);
        assert!((curve[0].1 - 9.0).abs() < 0.01);
    }

    #[test]
    fn ticks_are_round_numbers_within_the_range() {
        for (least, most) in [(0.0, 1.0), (2.31, 9.05), (0.0, 999.0), (1e-5, 3e-4), (-1.0, 1.0)] {
            let ticks = Range { least, most }.ticks();
            assert!((3..=9).contains(&ticks.len()), "{ticks:?}");
            assert!(ticks.iter().all(|t| *t >= least - 1e-12 && *t <= most + 1e-12), "{ticks:?}");
        }
        assert_eq!(label(0.5), "0.5");
        assert_eq!(label(20_000.0), "20k");
        assert_eq!(label(0.0), "0");
    }

    #[test]
    fn runs_without_numbers_have_a_page_too() {
        let record = Record { loss: f64::NAN, ..Record::default() };
        assert!(page(&Facts::default(), &[]).contains("No step was done"));
        assert!(page(&Facts::default(), &[record]).contains("NaN"));
    }
}
