//! `einmesh plan`

use super::{Stop, compiled, print, stages_ms};
use crate::args::Compile;
use crate::terminal::Terminal;
use einmesh_driver::{CollectiveRow, Goal, Products, Session, Source};
use einmesh_exec::command::bytes;
use serde_json::json;

/// Prints the plan of an entry as tables, or as one JSON object.
pub fn plan(compile: &Compile, json: bool, terminal: &Terminal) -> Result<(), Stop> {
    let source = Source::File(compile.file.clone());
    let (session, products) =
        compiled(source, &compile.entry, &compile.options, Goal::Plan, vec![], terminal)?;
    show(&session, &products, json)
}

/// Prints what is planned.
pub fn show(session: &Session, products: &Products, json: bool) -> Result<(), Stop> {
    let report = einmesh_plan::report::report(&products.program, &products.plan);
    let graph = products.graph.as_ref().expect("the goal was a schedule");
    let (peak, arena, bound) = (graph.peak_bytes, graph.arena_bytes, graph.arena_bound);
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
            "arena": { "bytes": arena, "lower_bound": bound, "ratio": ratio(arena, bound) },
            "stages_ms": stages_ms(session),
        });
        return print(&format!("{object}\n"));
    }
    let collectives = collective_table(&products.collectives);
    let (peak, arena, bound) = (bytes(peak), bytes(arena), bytes(bound));
    print(&format!(
        "{report}\n{collectives}peak memory: {peak} per device\n\
         intermediate values: {arena} of it, {bound} in use at once\n"
    ))
}

/// How much larger the arena is than what is in use at once.
fn ratio(arena: u64, bound: u64) -> f64 {
    if bound == 0 { 1.0 } else { arena as f64 / bound as f64 }
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
