//! `@expect`: budgets are measured, and broken ones list what counts.

use einmesh_diagnostics::{FileId, Span};
use einmesh_ir::directive::{Expect, Quantity};
use einmesh_ir::{BinaryOp, Directives, Origin};
use einmesh_spmd::{CollectiveRow, check_budgets};

fn row(op: &'static str, axis: &str, count: u64, bytes: u64) -> CollectiveRow {
    CollectiveRow {
        op,
        axes: vec![axis.to_owned()],
        group_size: 4,
        count,
        payload_bytes: bytes,
        wire_bytes: bytes * 3 / 2,
        origin: Origin { span: None, scope: ["block".to_owned(), "mlp".to_owned()].into() },
        index: "f".to_owned(),
        decorator: "@shard(tensor: F)".to_owned(),
    }
}

fn rows() -> Vec<CollectiveRow> {
    vec![row("all_reduce", "tensor", 12, 4096), row("all_gather", "data", 3, 100)]
}

fn found(
    quantity: Quantity,
    relation: BinaryOp,
    limit: u64,
) -> Vec<einmesh_diagnostics::Diagnostic> {
    found_on(Some(Span { file: FileId(0), start: 0, end: 1 }), quantity, relation, limit)
}

/// With a mesh of the file, or of the command line.
fn found_on(
    mesh_span: Option<Span>,
    quantity: Quantity,
    relation: BinaryOp,
    limit: u64,
) -> Vec<einmesh_diagnostics::Diagnostic> {
    let mut directives = Directives {
        mesh: vec![("data".to_owned(), 4), ("tensor".to_owned(), 4)],
        mesh_span,
        ..Directives::default()
    };
    let text = "the budget".to_owned();
    directives.expect.push(Expect { quantity, relation, limit, text, span: None });
    check_budgets(&rows(), 5000, &directives).iter().cloned().collect()
}

fn count(op: &str, axis: Option<&str>) -> Quantity {
    Quantity::Count { op: op.to_owned(), axis: axis.map(str::to_owned) }
}

#[test]
fn kept_budgets_say_nothing() {
    let wire = |axis: Option<&str>| Quantity::WireBytes { axis: axis.map(str::to_owned) };
    for (quantity, relation, limit) in [
        (count("all_reduce", Some("tensor")), BinaryOp::Le, 12),
        (count("all_reduce", Some("data")), BinaryOp::Eq, 0),
        (count("all_gather", None), BinaryOp::Lt, 4),
        (wire(Some("tensor")), BinaryOp::Le, 12 * 6144),
        (wire(None), BinaryOp::Eq, 12 * 6144 + 3 * 150),
        (Quantity::PeakMemory, BinaryOp::Le, 5000),
        (Quantity::PeakMemory, BinaryOp::Gt, 4999),
    ] {
        assert_eq!(found(quantity.clone(), relation, limit), [], "{quantity:?}");
    }
}

#[test]
fn broken_budgets_list_what_counts() {
    let broken = found(count("all_reduce", Some("tensor")), BinaryOp::Lt, 12);
    let [diagnostic] = &broken[..] else { panic!("one budget is broken: {broken:?}") };
    assert_eq!(diagnostic.code.to_string(), "E0651");
    assert_eq!(diagnostic.notes.len(), 2);
    assert!(diagnostic.notes[0].contains("measured 12, the limit is 12"), "{diagnostic:?}");
    let line = &diagnostic.notes[1];
    for part in ["12 × all_reduce over tensor", "in block.mlp", "@shard(tensor: F)"] {
        assert!(line.contains(part), "{line}");
    }
    let memory = found(Quantity::PeakMemory, BinaryOp::Le, 4096);
    assert!(memory[0].notes[0].contains("4.88 KiB (5000 B)"), "{memory:?}");
}

#[test]
fn budgets_on_nothing_are_mistakes() {
    for quantity in [count("allreduce", None), count("all_reduce", Some("tensr"))] {
        let broken = found(quantity, BinaryOp::Le, 100);
        assert_eq!(broken[0].code.to_string(), "E0652");
        assert_eq!(broken[0].help.len(), 1);
    }
    // The command line's mesh may lack an axis of the file's.
    let elsewhere = count("all_reduce", Some("pipe"));
    assert!(found_on(None, elsewhere, BinaryOp::Le, 100).is_empty());
}
