//! The report shows every value once, fits a terminal and says why.

mod common;

use common::gpt::{SMALL, gpt};
use common::*;
use einmesh_ir::directive::Remat;
use einmesh_plan::plan;
use einmesh_plan::report::{PlanReport, Role, Row, ValueRow, report};

fn megatron() -> PlanReport {
    let program = gpt(&SMALL, true);
    let mut directives = mesh(&[("data", 2), ("tensor", 4)]);
    directives.shard.push(shard(&program, "data", &["B"], 10));
    directives.shard.push(shard(&program, "tensor", &["H", "F", "V"], 20));
    directives.fsdp.push(fsdp("data", "Params", 30));
    let (plan, found) = plan(&program, &directives);
    assert!(found.is_empty(), "{found:?}");
    report(&program, &plan)
}

fn row<'a>(report: &'a PlanReport, name: &str) -> &'a ValueRow {
    let found = report.rows.iter().rev().find_map(|row| match row {
        Row::Value(value) if value.name == name => Some(value),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no row {name}"))
}

#[test]
fn rows_have_local_shapes_and_bytes() {
    let report = megatron();
    let wte = row(&report, "wte.weight");
    assert_eq!(wte.role, Role::Argument);
    // 50257 rows on 4 devices, the last part padded; 768 columns on 2.
    assert_eq!(wte.local_shape, [12565, 384]);
    assert_eq!(wte.bytes_per_device, 12565 * 384 * 4);
    let q = row(&report, "q");
    assert_eq!((q.depth, q.local_shape.as_slice()), (1, &[4, 64, 3, 64][..]));
    assert_eq!(row(&report, "proj").combined, ["tensor"]);
    let because: Vec<_> =
        row(&report, "proj").reasons.iter().map(|r| (r.axis.as_str(), r.dim.as_str())).collect();
    assert_eq!(because, [("data", "B"), ("tensor", "H")]);
    assert_eq!(row(&report, "logits").dims[2].axes, ["tensor"]);
    let all = report.rows.iter().filter(|row| matches!(row, Row::Value(_))).count();
    assert_eq!(all, gpt(&SMALL, true).values.len());
}

#[test]
fn arguments_are_summed() {
    let report = megatron();
    let rows = report.rows.iter().filter_map(|row| match row {
        Row::Value(value) if value.role == Role::Argument => Some(value.bytes_per_device),
        _ => None,
    });
    assert_eq!(report.argument_bytes_per_device, rows.sum::<u64>());
    assert!(report.argument_bytes_per_device * 6 < report.argument_bytes);
}

#[test]
fn the_table_fits_a_hundred_columns() {
    let table = megatron().to_string();
    for line in table.lines() {
        assert!(line.chars().count() <= 100, "{} columns: {line}", line.chars().count());
    }
    let line = |start: &str| {
        let found = table.lines().find(|l| l.starts_with(start));
        found.unwrap_or_else(|| panic!("no line {start} in\n{table}"))
    };
    assert_eq!(line("plan of"), "plan of `forward` for 8 devices, data=2 × tensor=4");
    assert!(line("for l in L").ends_with("12 times"));
    assert!(line("  proj ").contains("[B@data, T, D] <tensor"), "{}", line("  proj "));
    assert!(table.contains("@shard(tensor: [H, F, V])\n"));
}

#[test]
fn remat_is_accepted_or_warned_of() {
    let mut program = gpt(&SMALL, false);
    for value in program.values.iter_mut().map(|(_, v)| v).filter(|v| v.name == "s") {
        value.origin.scope = vec!["block".to_owned(), "attention".to_owned()].into();
    }
    let mut directives = mesh(&[]);
    let remat = |function: &str| Remat {
        function: function.to_owned(),
        keep: vec![],
        span: Some(span(10)),
    };
    directives.remat = vec![remat("attention"), remat("atention")];
    let (plan, found) = plan(&program, &directives);
    let report = report(&program, &plan);
    assert!(report.notes[0].starts_with("@remat(attention) is accepted"), "{:?}", report.notes);
    assert_eq!(report.notes.len(), 1);
    let all: Vec<_> = found.iter().collect();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].help, ["did you mean `attention`?"]);
    assert!(report.to_string().starts_with("plan of `forward` for one device"));
}
