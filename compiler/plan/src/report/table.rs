//! The report as a table of at most 100 columns.

use super::{PlanReport, Row, ValueRow};
use std::fmt;

/// The widest a name and a placement may be; longer ones lose their middle.
const NAME: usize = 34;
const PLACEMENT: usize = 36;

/// One line: name, type, placement, shape, bytes, reasons.
struct Cells([String; 6]);

impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mesh: Vec<String> =
            self.mesh.iter().map(|(name, size)| format!("{name}={size}")).collect();
        match mesh.as_slice() {
            [] => writeln!(f, "plan of `{}` for one device", self.entry)?,
            axes => {
                let mesh = axes.join(" × ");
                writeln!(f, "plan of `{}` for {} devices, {mesh}", self.entry, self.devices)?;
            }
        }
        writeln!(f)?;
        let decorators = self.decorators();
        let lines: Vec<Result<Cells, String>> =
            self.rows.iter().map(|row| cells(row, &decorators)).collect();
        let head = ["value", "type", "placement", "per device", "bytes", "by"].map(str::to_owned);
        let rows =
            || std::iter::once(&head).chain(lines.iter().flatten().map(|Cells(cells)| cells));
        let width = |column: usize| rows().map(|r| r[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(width);
        write_line(f, &head, &widths)?;
        for line in &lines {
            match line {
                Ok(Cells(cells)) => write_line(f, cells, &widths)?,
                Err(heading) => writeln!(f, "{heading}")?,
            }
        }
        writeln!(f)?;
        self.legend(f, &decorators)
    }
}

impl PlanReport {
    /// The decorators that place something, in order of first use.
    fn decorators(&self) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        for row in &self.rows {
            let Row::Value(value) = row else { continue };
            for reason in &value.reasons {
                if !reason.decorator.is_empty() && !found.contains(&reason.decorator.as_str()) {
                    found.push(&reason.decorator);
                }
            }
        }
        found
    }

    fn legend(&self, f: &mut fmt::Formatter<'_>, decorators: &[&str]) -> fmt::Result {
        for (number, decorator) in decorators.iter().enumerate() {
            writeln!(f, "{}  {decorator}", number + 1)?;
        }
        let values = || {
            self.rows.iter().filter_map(|row| match row {
                Row::Value(value) => Some(value),
                Row::Loop { .. } => None,
            })
        };
        if values().any(|v| !v.combined.is_empty()) {
            writeln!(f, "<axis  combined over the axis when it is computed")?;
        }
        if values().any(|v| !v.partial.is_empty()) {
            writeln!(f, "+axis  held as partial sums over the axis")?;
        }
        let (here, whole) = (self.argument_bytes_per_device, self.argument_bytes);
        writeln!(f, "arguments: {} per device of {}", human(here), human(whole))?;
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

/// The cells of a value's row, or a loop's heading.
fn cells(row: &Row, decorators: &[&str]) -> Result<Cells, String> {
    match row {
        Row::Loop { depth, var, dim, trips, ends } => {
            let most = if *ends { "at most " } else { "" };
            Err(format!("{}for {var} in {dim}    {most}{trips} times", "  ".repeat(*depth)))
        }
        Row::Value(v) => Ok(Cells([
            name(v),
            v.dtype.clone(),
            shorten(&placement(v), PLACEMENT),
            match v.local_shape.as_slice() {
                [] => "scalar".to_owned(),
                shape => shape.iter().map(u64::to_string).collect::<Vec<_>>().join("×"),
            },
            human(v.bytes_per_device),
            reasons(v, decorators),
        ])),
    }
}

/// The name after that of the innermost function: `attention.q`.
fn name(v: &ValueRow) -> String {
    let indent = "  ".repeat(v.depth);
    let name = match v.scope.last() {
        Some(function) => format!("{function}.{}", v.name),
        None => v.name.clone(),
    };
    let room = NAME.saturating_sub(indent.len());
    format!("{indent}{}", shorten(&name, room))
}

/// `[B@data, T, D] <tensor`.
fn placement(v: &ValueRow) -> String {
    let dims = v.dims.iter().map(|dim| {
        let axes: String = dim.axes.iter().map(|axis| format!("@{axis}")).collect();
        format!("{}{axes}", dim.name)
    });
    let combined: String = v.combined.iter().map(|axis| format!(" <{axis}")).collect();
    let partial: String = v.partial.iter().map(|axis| format!(" +{axis}")).collect();
    format!("[{}]{combined}{partial}", dims.collect::<Vec<_>>().join(", "))
}

/// The numbers of the decorators behind a row.
fn reasons(v: &ValueRow, decorators: &[&str]) -> String {
    let numbers = v.reasons.iter().filter_map(|reason| {
        let number = decorators.iter().position(|d| *d == reason.decorator)?;
        Some((number + 1).to_string())
    });
    let mut numbers: Vec<String> = numbers.collect();
    numbers.sort();
    numbers.dedup();
    numbers.join(" ")
}

fn write_line(f: &mut fmt::Formatter<'_>, cells: &[String; 6], widths: &[usize; 6]) -> fmt::Result {
    let mut line = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width - cell.chars().count());
        match column {
            // Bytes are compared by their last digits.
            4 => line.extend([padding.as_str(), cell.as_str(), "  "]),
            _ => line.extend([cell.as_str(), padding.as_str(), "  "]),
        }
    }
    writeln!(f, "{}", line.trim_end())
}

/// The text, with its middle left out if it is longer than `room`.
fn shorten(text: &str, room: usize) -> String {
    let count = text.chars().count();
    if count <= room {
        return text.to_owned();
    }
    let tail = room.saturating_sub(1) / 2;
    let head = room.saturating_sub(1) - tail;
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{start}…{end}")
}

/// Bytes with a binary unit.
fn human(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut scaled = bytes as f64;
    let mut unit = "B";
    for next in units {
        if scaled < 1024.0 {
            break;
        }
        scaled /= 1024.0;
        unit = next;
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{scaled:.1} {unit}"),
    }
}
