//! Mistakes in decorators are reported where they stand, with a way out.

mod common;

use common::gpt::{Config, SMALL, gpt};
use common::inspect::shown;
use common::*;
use einmesh_diagnostics::codes::plan as codes;
use einmesh_diagnostics::{Code, Diagnostic, Severity, Span};
use einmesh_ir::{Directives, Program};
use einmesh_plan::plan;

fn found(program: &Program, directives: &Directives) -> Vec<Diagnostic> {
    plan(program, directives).1.iter().cloned().collect()
}

#[track_caller]
fn only(program: &Program, directives: &Directives, severity: Severity, code: Code) -> Diagnostic {
    let mut all = found(program, directives);
    assert_eq!(all.len(), 1, "{all:#?}");
    let one = all.remove(0);
    assert_eq!((one.severity, one.code), (severity, code), "{one:#?}");
    one
}

fn spans(d: &Diagnostic) -> Vec<Span> {
    d.labels.iter().map(|l| l.span).collect()
}

fn program() -> Program {
    gpt(&SMALL, false)
}

#[test]
fn a_mesh_has_devices_but_not_too_many() {
    let program = program();
    only(&program, &mesh(&[("data", 0)]), Severity::Error, codes::MESH_SIZE);
    let huge = only(&program, &mesh(&[("a", 64), ("b", 128)]), Severity::Error, codes::MESH_SIZE);
    assert!(huge.message.contains("8192 devices"), "{}", huge.message);
    assert_eq!(spans(&huge), [span(1)]);
    let overflow = mesh(&[("a", u64::MAX), ("b", u64::MAX)]);
    only(&program, &overflow, Severity::Error, codes::MESH_SIZE);
    let twice = mesh(&[("a", 2), ("a", 2)]);
    only(&program, &twice, Severity::Error, codes::DUPLICATE_MESH_AXIS);
}

#[test]
fn unknown_axes_suggest_the_nearest() {
    let program = program();
    let mut directives = mesh(&[("data", 2), ("tensor", 2)]);
    directives.shard.push(shard(&program, "data", &["B"], 10));
    directives.shard.push(shard(&program, "tensr", &["H"], 20));
    directives.shard.push(shard(&program, "tensor", &["F"], 30));
    let error = only(&program, &directives, Severity::Error, codes::UNKNOWN_MESH_AXIS);
    assert_eq!(spans(&error), [span(20), span(1)]);
    assert_eq!(error.help, ["did you mean `tensor`?"]);
    // What is right is planned all the same.
    let (plan, _) = plan(&program, &directives);
    assert_eq!(shown(&program, &plan, value(&program, "act")), "[B@data, T, F@tensor]");
}

#[test]
fn one_decorator_cannot_split_two_dims_over_one_axis() {
    let program = program();
    let mut directives = mesh(&[("data", 2)]);
    let dims: &[(&str, &[&str])] = &[("B", &["data"]), ("T", &["data"])];
    directives.shard_values.push(shard_value(&program, "y", dims, false, 10));
    let error = only(&program, &directives, Severity::Error, codes::AXIS_TWICE);
    assert_eq!(spans(&error), [span(10)]);
    assert!(error.labels[0].message.contains("both `B` and `T`"), "{error:?}");
}

#[test]
fn two_lists_for_one_axis_conflict_where_a_value_has_both() {
    let program = program();
    let mut directives = mesh(&[("seq", 2)]);
    directives.shard.push(shard(&program, "seq", &["T"], 10));
    directives.shard.push(shard(&program, "seq", &["U"], 20));
    let error = only(&program, &directives, Severity::Error, codes::CONFLICT);
    assert_eq!(spans(&error), [span(20), span(10)]);
    assert_eq!(error.help, ["one list says which goes first: `@shard(seq: [T, U])`"]);
    // H and F never meet, so the same form is fine for them.
    let mut directives = mesh(&[("tensor", 2)]);
    directives.shard.push(shard(&program, "tensor", &["H"], 10));
    directives.shard.push(shard(&program, "tensor", &["F"], 20));
    assert!(found(&program, &directives).is_empty());
}

#[test]
fn a_loop_state_has_one_placement() {
    let program = program();
    let mut directives = mesh(&[("tensor", 2)]);
    // `embed` enters the loop as `x`.
    let (t, d): (&[_], &[_]) = (&[("T", &["tensor"][..])], &[("D", &["tensor"][..])]);
    directives.shard_values.push(shard_value(&program, "x", t, true, 10));
    directives.shard_values.push(shard_value(&program, "embed", d, true, 20));
    let error = only(&program, &directives, Severity::Error, codes::CONFLICT);
    assert_eq!(spans(&error), [span(20), span(10)]);
}

#[test]
fn a_dim_has_to_be_in_the_value() {
    let mut program = program();
    let y = value(&program, "y");
    program.values[y].origin.span = Some(span(99));
    let mut directives = mesh(&[("tensor", 2)]);
    directives.shard_values.push(shard_value(&program, "y", &[("F", &["tensor"])], true, 10));
    let error = only(&program, &directives, Severity::Error, codes::DIM_NOT_IN_VALUE);
    assert_eq!(spans(&error), [span(10), span(99)]);
    assert_eq!(error.notes, ["its dims are `[B, T, D]`"]);
}

#[test]
fn without_padding_the_devices_must_divide_the_dim() {
    let program = program();
    let mut directives = mesh(&[("tensor", 5)]);
    let mut rule = shard(&program, "tensor", &["H", "F"], 10);
    rule.pad = false;
    directives.shard.push(rule);
    let all = found(&program, &directives);
    assert_eq!(all.len(), 2, "{all:#?}");
    assert!(all.iter().all(|d| d.code == codes::UNEVEN && d.severity == Severity::Error));
    assert!(all.iter().any(|d| d.message.contains("`H` = 12")), "{all:#?}");
    assert_eq!(spans(&all[0]), [span(11), span(10)]);
    directives.mesh[0].1 = 4;
    assert!(found(&program, &directives).is_empty());
}

#[test]
fn fsdp_needs_a_record_of_an_argument() {
    let program = program();
    let mut directives = mesh(&[("data", 2)]);
    directives.fsdp.push(fsdp("data", "Param", 10));
    let all = found(&program, &directives);
    let error = &all[0];
    assert_eq!((error.code, error.severity), (codes::UNKNOWN_RECORD, Severity::Error));
    assert_eq!(error.help, ["did you mean `Params`?"]);
}

#[test]
fn fsdp_says_which_leaves_stay_whole() {
    let program = gpt(&Config { d: 15, h: 3, ..SMALL }, false);
    let mut directives = mesh(&[("data", 2)]);
    directives.fsdp.push(fsdp("data", "Params", 10));
    let warning = only(&program, &directives, Severity::Warning, codes::FSDP_INDIVISIBLE);
    assert_eq!(spans(&warning), [span(10)]);
    assert!(warning.notes.iter().any(|n| n.contains("`ln_f.bias`: D = 15")), "{warning:#?}");
    assert!(warning.notes.iter().all(|n| !n.contains("c_fc")), "F = 3072 is split");
}

#[test]
fn fsdp_of_leaves_that_are_split_already_has_no_effect() {
    let program = program();
    let mut directives = mesh(&[("data", 2)]);
    directives.shard.push(shard(&program, "data", &["D", "H", "F"], 10));
    directives.fsdp.push(fsdp("data", "Params", 20));
    let warning = only(&program, &directives, Severity::Warning, codes::NO_EFFECT);
    assert_eq!(spans(&warning), [span(20)]);
}

#[test]
fn decorators_without_effect_are_never_silent() {
    let mut program = program();
    let unused = program.dims.push(einmesh_ir::Dim {
        name: "E".to_owned(),
        extent: 8,
        role_of: None,
        symbolic: false,
    });
    assert_eq!(program.dims[unused].name, "E");
    let mut directives = mesh(&[("tensor", 2)]);
    directives.shard.push(shard(&program, "tensor", &["E"], 10));
    let warning = only(&program, &directives, Severity::Warning, codes::NO_EFFECT);
    assert_eq!(warning.message, "`@shard(tensor: E)` has no effect on `forward`");
    // Dims of extent 1 are left whole.
    let program = gpt(&Config { b: 1, ..SMALL }, false);
    let mut directives = mesh(&[("data", 2)]);
    directives.shard.push(shard(&program, "data", &["B"], 10));
    only(&program, &directives, Severity::Warning, codes::NO_EFFECT);
}

/// Rewriting keeps the values that it merges into others in the arena, but no longer computes them.
#[test]
fn a_decorated_value_that_was_merged_is_warned_of() {
    let mut program = program();
    let x = value(&program, "ln_f");
    program.body.ops.truncate(2);
    program.outputs[0].value = value(&program, "x");
    let mut directives = mesh(&[("data", 2)]);
    directives.shard_values.push(shard_value(&program, "ln_f", &[("B", &["data"])], true, 10));
    directives.shard_values[0].values.push(einmesh_ir::ValueId(9999));
    let warning = only(&program, &directives, Severity::Warning, codes::NO_EFFECT);
    assert!(warning.labels[0].message.contains("merged"), "{warning:?}");
    assert!(plan(&program, &directives).0.shardings[x].is_replicated());
}

/// Extents are the user's; whether they fit a machine is for later stages to say.
#[test]
fn huge_extents_do_not_overflow() {
    let huge = 1 << 40;
    let config = Config { b: huge, t: huge, v: huge, d: huge, f: huge, l: huge, ..SMALL };
    let program = gpt(&config, true);
    let mut directives = mesh(&[("data", 64), ("tensor", 64)]);
    directives.shard.push(shard(&program, "data", &["B"], 10));
    directives.shard.push(shard(&program, "tensor", &["F", "V"], 10));
    directives.fsdp.push(fsdp("data", "Params", 20));
    let (plan, found) = plan(&program, &directives);
    assert!(!found.has_errors());
    let report = einmesh_plan::report::report(&program, &plan);
    assert_eq!(report.argument_bytes, u64::MAX);
    assert!(report.to_string().contains("TiB"));
}

#[test]
fn unused_axes_and_idle_devices_are_warned_of() {
    let program = program();
    let warning = only(&program, &mesh(&[("data", 2)]), Severity::Warning, codes::UNUSED_MESH_AXIS);
    assert_eq!(spans(&warning), [span(1)]);
    let idle = |size: u64| {
        let mut directives = mesh(&[("tensor", size)]);
        directives.shard.push(shard(&program, "tensor", &["H"], 10));
        found(&program, &directives)
    };
    let warned = |size: u64, message: &str| {
        let all = idle(size);
        assert_eq!((all.len(), all[0].code), (1, codes::IDLE_DEVICES));
        assert_eq!((all[0].message.as_str(), spans(&all[0])), (message, vec![span(11)]));
    };
    warned(16, "`H` = 12 leaves 4 of 16 devices idle");
    // Five parts of 3 are one too many.
    warned(5, "`H` = 12 leaves 1 of 5 devices idle");
    assert!(idle(7).len() == 1 && idle(6).is_empty() && idle(12).is_empty());
}

#[test]
fn a_closed_placement_stops_propagation() {
    let program = program();
    let mut directives = mesh(&[("data", 2), ("tensor", 2)]);
    directives.shard.push(shard(&program, "data", &["B"], 10));
    directives.shard.push(shard(&program, "tensor", &["H", "F"], 20));
    directives.shard_values.push(shard_value(&program, "act", &[("T", &["data"])], false, 30));
    let (closed, _) = plan(&program, &directives);
    assert_eq!(shown(&program, &closed, value(&program, "act")), "[B, T@data, F]");
    directives.shard_values[0].open = true;
    let (open, _) = plan(&program, &directives);
    assert_eq!(shown(&program, &open, value(&program, "act")), "[B, T@data, F@tensor]");
}

/// Every code of this stage has an explanation that shows what fails and what works.
#[test]
fn explanations_are_complete() {
    for explanation in codes::ALL {
        let number = explanation.code.0;
        assert!((601..700).contains(&number), "{number}");
        assert!(explanation.text.lines().filter(|l| l.starts_with("    ")).count() >= 2);
    }
}
