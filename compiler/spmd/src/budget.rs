//! Budgets: `@expect`.

use crate::report::CollectiveRow;
use einmesh_diagnostics::codes::plan::{BUDGET_EXCEEDED, BUDGET_UNKNOWN};
use einmesh_diagnostics::{Diagnostic, Diagnostics};
use einmesh_ir::directive::{Expect, Quantity};
use einmesh_ir::{BinaryOp, Directives};

/// At most this many collectives are listed for a broken budget.
const LISTED: usize = 12;

/// What `@expect` asks for and the partitioned program does not keep, with the collectives that
/// count towards it. `peak_bytes` are the most bytes that one device holds at once.
pub fn check_budgets(
    rows: &[CollectiveRow],
    peak_bytes: u64,
    directives: &Directives,
) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    for expect in &directives.expect {
        if let Some(problem) = unknown(expect, directives) {
            diagnostics.push(problem);
            continue;
        }
        let (measured, unit, counted) = measure(&expect.quantity, rows, peak_bytes);
        if holds(measured, expect.relation, expect.limit) {
            continue;
        }
        let text = &expect.text;
        let message = format!("the plan breaks its budget: `{text}`");
        let mut diagnostic = Diagnostic::error(BUDGET_EXCEEDED, message);
        let found = format!("measured {}, the limit is {}", unit(measured), unit(expect.limit));
        diagnostic = match expect.span {
            Some(span) => diagnostic.at(span, found),
            None => diagnostic.note(found),
        };
        diagnostics.push(listed(diagnostic, &counted));
    }
    diagnostics
}

/// Adds the collectives that count, the most expensive first.
fn listed(mut diagnostic: Diagnostic, counted: &[&CollectiveRow]) -> Diagnostic {
    let mut counted = counted.to_vec();
    counted.sort_by_key(|row| std::cmp::Reverse((row.total_wire_bytes(), row.count)));
    for row in counted.iter().take(LISTED) {
        let mut line = format!(
            "{} × {} over {} of {}: {} on the wire",
            row.count,
            row.op,
            row.axes.join("+"),
            bytes(row.payload_bytes),
            bytes(row.total_wire_bytes()),
        );
        if !row.origin.scope.is_empty() {
            line += &format!(", in {}", row.origin.scope.join("."));
        }
        if !row.decorator.is_empty() {
            line += &format!(", by {}", row.decorator);
        }
        diagnostic = diagnostic.note(line);
    }
    if counted.len() > LISTED {
        diagnostic = diagnostic.note(format!("and {} more", counted.len() - LISTED));
    }
    for row in counted.iter().take(3) {
        if let Some(span) = row.origin.span {
            diagnostic = diagnostic.also(span, format!("{} needed here", row.op));
        }
    }
    diagnostic
}

/// A budget on what does not exist holds vacuously, which is surely not what was meant.
fn unknown(expect: &Expect, directives: &Directives) -> Option<Diagnostic> {
    const OPS: [&str; 5] =
        ["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "collective_permute"];
    let (op, axis) = match &expect.quantity {
        Quantity::Count { op, axis } => (Some(op), axis.as_ref()),
        Quantity::WireBytes { axis } => (None, axis.as_ref()),
        Quantity::PeakMemory => (None, None),
    };
    let at = |diagnostic: Diagnostic, what: &str| match expect.span {
        Some(span) => diagnostic.at(span, what),
        None => diagnostic,
    };
    if let Some(op) = op.filter(|op| !OPS.contains(&op.as_str())) {
        let message = format!("there is no collective `{op}` to count");
        let diagnostic = Diagnostic::error(BUDGET_UNKNOWN, message);
        return Some(at(diagnostic, "in this budget").help(format!("one of {}", OPS.join(", "))));
    }
    // A mesh that the command line gives in place of the file's may lack an axis: nothing is sent over it.
    directives.mesh_span?;
    let axis = axis.filter(|a| !directives.mesh.iter().any(|(name, _)| name == *a))?;
    let message = format!("there is no mesh axis `{axis}` to count over");
    let diagnostic = Diagnostic::error(BUDGET_UNKNOWN, message);
    let names: Vec<&str> = directives.mesh.iter().map(|(name, _)| name.as_str()).collect();
    let help = match names.is_empty() {
        true => "the mesh is one device".to_owned(),
        false => format!("the mesh has {}", names.join(", ")),
    };
    Some(at(diagnostic, "in this budget").help(help))
}

type Unit = fn(u64) -> String;

/// The measured quantity, how to write it, and the collectives that count towards it.
fn measure<'a>(
    quantity: &Quantity,
    rows: &'a [CollectiveRow],
    peak_bytes: u64,
) -> (u64, Unit, Vec<&'a CollectiveRow>) {
    let over = |axis: &Option<String>, row: &CollectiveRow| {
        axis.as_ref().is_none_or(|axis| row.axes.contains(axis))
    };
    match quantity {
        Quantity::Count { op, axis } => {
            let counted = rows.iter().filter(|row| row.op == op && over(axis, row));
            let counted: Vec<_> = counted.collect();
            (counted.iter().map(|row| row.count).sum(), |n| n.to_string(), counted)
        }
        Quantity::WireBytes { axis } => {
            let counted: Vec<_> = rows.iter().filter(|row| over(axis, row)).collect();
            (counted.iter().map(|row| row.total_wire_bytes()).sum(), bytes, counted)
        }
        Quantity::PeakMemory => (peak_bytes, bytes, Vec::new()),
    }
}

fn holds(measured: u64, relation: BinaryOp, limit: u64) -> bool {
    match relation {
        BinaryOp::Le => measured <= limit,
        BinaryOp::Lt => measured < limit,
        BinaryOp::Ge => measured >= limit,
        BinaryOp::Gt => measured > limit,
        BinaryOp::Ne => measured != limit,
        _ => measured == limit,
    }
}

/// A number of bytes for people: exact below a KiB, else with three digits.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let power = (count.ilog2() / 10).min(UNITS.len() as u32);
    let scaled = count as f64 / (1u64 << (10 * power)) as f64;
    format!("{scaled:.2} {} ({count} B)", UNITS[power as usize - 1])
}
