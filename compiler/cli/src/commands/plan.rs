//! `einmesh plan`

use super::{Stop, compiled, print, stages_ms};
use crate::args::Compile;
use crate::terminal::Terminal;
use einmesh_driver::{CollectiveRow, Goal, Source};
use einmesh_exec::command::bytes;
use serde_json::json;

/// Prints the plan of an entry as tables, or as one JSON object.
pub fn plan(compile: &Compile, json: bool, terminal: &Terminal) -> Result<(), Stop> {
    let source = Source::File(compile.file.clone());
    let (session, products) =
        compiled(source, &compile.entry, &compile.options, Goal::Plan, terminal)?;
    let report = einmesh_plan::report::report(&products.program, &products.plan);
    let peak = products.graph.as_ref().map_or(0, |g| g.peak_bytes);
    if json {
        let object = json!({
            "entry": report.entry,
            "devices": report.devices,
            "mesh": report.mesh,
            "notes": report.notes,
            "values": report.rows,
            "argument_bytes": report.argument_bytes,
            "argument_bytes_per_device": report.argument_bytes_per_device,
            "collectives": products.collectives,
            "peak_bytes_per_device": peak,
            "stages_ms": stages_ms(&session),
        });
        return print(&format!("{object}\n"));
    }
    let collectives = collective_table(&products.collectives);
    let peak = bytes(peak);
    print(&format!("{report}\n{collectives}peak memory: {peak} per device\n"))
}

/// The communication of one call, one line per collective.
pub fn collective_table(rows: &[CollectiveRow]) -> String {
    if rows.is_empty() {
        return "no communication\n".to_owned();
    }
    let header = ["collective", "axes", "count", "payload", "wire", "split", "because of", "at"];
    let mut cells: Vec<[String; 8]> = vec![header.map(str::to_owned)];
    for row in rows {
        cells.push([
            row.op.clone(),
            format!("{} ({})", row.axes.join("×"), row.group_size),
            format!("{}×", row.count),
            bytes(row.payload_bytes),
            bytes(row.wire_bytes),
            row.index.clone(),
            row.decorator.clone(),
            row.source.clone(),
        ]);
    }
    let width = |column: usize| cells.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for row in &cells {
        let padded = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}"));
        let line: Vec<String> = padded.collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    let wire: u64 = rows.iter().map(|r| r.wire_bytes * r.count).sum();
    text.push_str(&format!("each device sends {} per call\n", bytes(wire)));
    text
}
