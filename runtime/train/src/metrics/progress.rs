//! One line that tells how far a run is.

use super::Record;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Tells people on stderr: one line that changes on a terminal, a line now and then elsewhere.
#[derive(Debug)]
pub struct Progress {
    steps: u64,
    live: bool,
    /// When a line was last written, and how long it was.
    told: Option<(Instant, usize)>,
    /// Step and time at the start, for the estimate.
    began: (u64, Instant),
}

/// How often a terminal's line changes, and how often a line is written elsewhere.
const LIVE: Duration = Duration::from_millis(100);
const LINES: Duration = Duration::from_secs(10);

impl Progress {
    /// Progress of a run that is at `step` of `steps`.
    pub fn new(step: u64, steps: u64) -> Progress {
        let live = io::stderr().is_terminal();
        Progress { steps, live, told: None, began: (step, Instant::now()) }
    }

    /// Tells of a step that is done, if it is time to.
    pub fn tell(&mut self, record: &Record) {
        let last = record.step + 1 == self.steps;
        let pause = if self.live { LIVE } else { LINES };
        let due = self.told.is_none_or(|(when, _)| when.elapsed() >= pause);
        if due || last || record.validation_loss.is_some() {
            let line = self.line(record);
            self.write(&line, last || record.validation_loss.is_some());
        }
    }

    /// Writes a line of its own, not over the last one.
    pub fn note(&mut self, text: &str) {
        self.write(text, true);
    }

    fn line(&self, record: &Record) -> String {
        let done = record.step + 1;
        let width = self.steps.to_string().len();
        let mut line = format!("step {done:>width$}/{}  loss {:.4}", self.steps, record.loss);
        if let Some(loss) = record.validation_loss {
            line.push_str(&format!("  validation {loss:.4}"));
        }
        line.push_str(&format!("  {} tokens/s", count(record.tokens_per_second)));
        if let Some(mfu) = record.mfu {
            line.push_str(&format!("  MFU {:.0} %", 100.0 * mfu));
        }
        let (first, began) = self.began;
        if done < self.steps && done > first {
            let each = began.elapsed().as_secs_f64() / (done - first) as f64;
            line.push_str(&format!("  {} left", duration(each * (self.steps - done) as f64)));
        }
        line
    }

    fn write(&mut self, line: &str, ends: bool) {
        let before = self.told.map_or(0, |(_, length)| length);
        let width = line.chars().count();
        let text = match self.live {
            // Blanks cover what is left of a longer line before.
            true => format!("\r{line}{}", " ".repeat(before.saturating_sub(width))),
            false => line.to_owned(),
        };
        let end = if ends || !self.live { "\n" } else { "" };
        // Nobody may be listening; the run goes on.
        let _ = write!(io::stderr().lock(), "{text}{end}");
        self.told = Some((Instant::now(), if ends { 0 } else { width }));
    }
}

/// A number with a unit: `12.3k`.
pub(super) fn count(number: f64) -> String {
    match number {
        n if n >= 1e9 => format!("{:.1}G", n / 1e9),
        n if n >= 1e6 => format!("{:.1}M", n / 1e6),
        n if n >= 1e4 => format!("{:.1}k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

/// Seconds as people say them: `2 h 05 min`, `3 min 20 s`, `14 s`.
pub(super) fn duration(seconds: f64) -> String {
    let s = seconds.round().max(0.0) as u64;
    match s {
        3600.. => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
        60.. => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{s} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_matters() {
        let progress = Progress::new(0, 1000);
        let record = Record {
            step: 119,
            loss: 3.2139,
            tokens_per_second: 12_345.6,
            mfu: Some(0.412),
            ..Record::default()
        };
        let line = progress.line(&record);
        assert!(
            line.starts_with("step  120/1000  loss 3.2139  12.3k tokens/s  MFU 41 %  "),
            "{line}"
        );
        assert!(line.ends_with(" left"), "{line}");
        assert_eq!(duration(7512.0), "2 h 05 min");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(13.6), "14 s");
    }
}
