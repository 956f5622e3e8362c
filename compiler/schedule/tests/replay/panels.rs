//! Parameters in panels: programs mean the same, and the parameters are where the readers look.

use crate::{machine, schedule};
use einmesh_artifact::Panels;
use einmesh_interp::{Precision, Tensor, evaluate, mismatch, random_inputs};
use einmesh_ir::testing::{Fill, InputSpec};
use einmesh_ir::{SpmdProgram, text};
use einmesh_schedule::KernelGraph;

/// Products of several columns and depths, in a loop and outside; a table that is also gathered from; tails.
const LAYERS: &str = r#"program forward {
  dim B = 3, D = 8, H = 4, K = 9, L = 2, N = 37, V = 33

  input %p.h.w.0: f32[L,D,H,K] tensor "h.{}.w" of Layer.P
  input %p.h.o.1: f32[L,H,K,D] tensor "h.{}.o" axes [2,1] of Layer.P
  input %p.h.b.2: f32[L,H,K] tensor "h.{}.b" of Layer.P
  input %p.emb.3: f32[V,D] tensor "emb" of P
  input %p.up.4: bf16[N,D] tensor "up" of P
  input %x.5: f32[B,D]
  input %t.6: i32[B]

  %a.7: f32[B,D] = %x.5[b,d] + %p.emb.3[%t.6[b],d clamp]
  for l in L {
    carry %a.8: f32[B,D] = %a.7
    %q.9: f32[B,H,K] = sum[d](%a.8[b,d] * %p.h.w.0[l,d,h,k])
    %q.10: f32[B,H,K] = %q.9[b,h,k] + %p.h.b.2[l,h,k]
    %a.11: f32[B,D] = sum[h,k](%q.10[b,h,k] * %p.h.o.1[l,h,k,d])
    %a.12: f32[B,D] = %a.8[b,d] + %a.11[b,d]
    yield %a.12 -> %a.13: f32[B,D]
  }
  %y.14: f32[B,V] = sum[d](%a.13[b,d] * %p.emb.3[v,d])
  %z.15: f32[B,N] = sum[d](%a.13[b,d] * f32(%p.up.4[n,d]))

  output %y.14
  output %z.15
}
"#;

fn replayed(source: &str) -> KernelGraph {
    let program = text::parse(source).expect("a program");
    let spec = |input: &einmesh_ir::Input| {
        let dtype = program.values[input.value].dtype;
        let high = if dtype.is_float() { 3 } else { 40 };
        let shape = program.extents(input.value);
        InputSpec { dtype, shape, fill: Fill::Whole { low: -high, high } }
    };
    let specs: Vec<InputSpec> = program.inputs.iter().map(spec).collect();
    let given: Vec<Tensor> = random_inputs(7, &specs);
    let expected = evaluate(&program, &given, Precision::Program).expect("a valid program");
    let graph = schedule(&SpmdProgram::whole(program));
    let found = machine::run(&graph, &given);
    for (a, b) in expected.iter().zip(&found) {
        assert_eq!(mismatch(a, b, 0.0), None, "{graph}");
    }
    graph
}

fn panels(graph: &KernelGraph, path: &str) -> Option<Panels> {
    let input = graph.inputs.iter().find(|i| i.path == path);
    input.expect("an input of this name").panels.clone()
}

#[test]
fn parameters_of_products_lie_in_panels() {
    let graph = replayed(LAYERS);
    let expected = Panels { across: vec![2, 3], along: vec![1], width: 32 };
    assert_eq!(panels(&graph, "p.h.w"), Some(expected));
    assert_eq!(graph.buffers[graph.inputs[0].buffer as usize].extents, [2, 2, 8, 32]);
    // Products take numbers of bf16 as they are.
    let expected = Panels { across: vec![0], along: vec![1], width: 32 };
    assert_eq!(panels(&graph, "p.up"), Some(expected));
    // D has too few columns, and the bias is no factor.
    for path in ["p.h.o", "p.h.b", "x", "t"] {
        assert_eq!(panels(&graph, path), None, "{path}");
    }
}

#[test]
fn a_table_for_products_may_be_gathered_from_as_well() {
    // Gathers are nothing beside the products, unless there are few of those.
    let little = LAYERS.replace("H = 4, K = 9", "H = 1, K = 2");
    assert_eq!(panels(&replayed(&little), "p.emb"), None);
    let source = LAYERS.replace("B = 3, D = 8", "B = 3, D = 40").replace("V = 33", "V = 1003");
    let graph = replayed(&source);
    let table = panels(&graph, "p.emb").expect("gathers are a small part of the work");
    assert_eq!((table.across, table.along), (vec![0], vec![1]));
    let back = panels(&graph, "p.h.o").expect("depths may be several dims");
    assert_eq!((back.across, back.along), (vec![3], vec![1, 2]));
}

#[test]
fn what_is_no_parameter_or_is_updated_stays() {
    let kept = [
        LAYERS.replace(" of Layer.P", ""),
        LAYERS.replace("output %z.15", "output %p.h.w.0"),
        LAYERS
            .replace("tensor \"h.{}.w\" of Layer.P", "tensor \"h.{}.w\" of Layer.P donated")
            .replace("output %z.15", "output %p.h.w.0"),
    ];
    for source in kept {
        assert_ne!(source, LAYERS);
        assert_eq!(panels(&replayed(&source), "p.h.w"), None, "{source}");
    }
}
