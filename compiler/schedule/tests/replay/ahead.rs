//! Gathers that loops do one iteration ahead: programs mean the same whenever in the iteration before that is done.

use crate::machine::{When, run_ahead};
use einmesh_artifact::Step;
use einmesh_interp::{Precision, Tensor, evaluate, mismatch, random_inputs};
use einmesh_ir::spmd::Provenance;
use einmesh_ir::testing::{GenerateOptions, generate};
use einmesh_ir::{
    Block, Collective, CollectiveKind, Expr, Mesh, MeshAxis, MeshAxisId, Op, Program, SpmdProgram,
    ValueId, text, verify_spmd,
};
use einmesh_schedule::{KernelGraph, Options, schedule};
use std::collections::BTreeMap;

/// A mesh axis of one device.
const AXIS: MeshAxisId = MeshAxisId(0);

/// The program in which whatever is computed inside of a loop is gathered from a group of one before it is read.
fn gathering(program: &Program) -> Program {
    let mut own = program.clone();
    let body = std::mem::take(&mut own.body);
    own.body = block(&mut own, body, false, &mut BTreeMap::new());
    own
}

fn block(
    program: &mut Program,
    block_of: Block,
    inside: bool,
    gathered: &mut BTreeMap<ValueId, ValueId>,
) -> Block {
    let mut ops = Vec::new();
    for mut op in block_of.ops {
        if let Op::Compute(c) = &mut op {
            for expr in c.exprs_mut() {
                let taken = std::mem::replace(expr, Expr::int(0));
                *expr = taken.map(&mut |node| match node {
                    Expr::Load(mut load) => {
                        load.value = gathered.get(&load.value).copied().unwrap_or(load.value);
                        Expr::Load(load)
                    }
                    other => other,
                });
            }
        }
        if let Op::Loop(l) = &mut op {
            let body = std::mem::take(&mut l.body);
            l.body = block(program, body, true, gathered);
        }
        let out = match &op {
            Op::Compute(c) if inside && !program.values[c.out].dims.is_empty() => Some(c.out),
            _ => None,
        };
        ops.push(op);
        if let Some(input) = out {
            let out = program.values.push(program.values[input].clone());
            gathered.insert(input, out);
            let kind = CollectiveKind::AllGather { position: 0 };
            let provenance = Provenance::default();
            ops.push(Op::Collective(Collective { kind, axes: vec![AXIS], input, out, provenance }));
        }
    }
    Block { ops }
}

fn scheduled(program: &Program, prefetch: bool) -> KernelGraph {
    let mut spmd = SpmdProgram::whole(gathering(program));
    spmd.mesh = Mesh::default();
    spmd.mesh.axes.push(MeshAxis { name: "data".to_owned(), size: 1 });
    assert_eq!(verify_spmd(&spmd), vec![], "{}", text::print_spmd(&spmd));
    let prefetch = if prefetch { vec![AXIS] } else { vec![] };
    schedule(&spmd, &Options { prefetch })
}

/// How many steps are done ahead.
fn steps_ahead(steps: &[Step]) -> usize {
    let each = steps.iter().map(|step| match step {
        Step::Loop { ahead, steps, .. } => ahead.steps.len() + steps_ahead(steps),
        _ => 0,
    });
    each.sum()
}

#[test]
fn programs_that_gather_ahead_keep_their_meaning() {
    let options = GenerateOptions { donations: true, ..GenerateOptions::default() };
    let (mut ahead, mut larger) = (0, 0);
    for seed in 0..1000 {
        let (program, specs) = generate(seed, &options);
        let graph = scheduled(&program, true);
        let without = scheduled(&program, false);
        assert_eq!(steps_ahead(&without.steps), 0);
        if steps_ahead(&graph.steps) == 0 {
            assert_eq!(graph, without);
            continue;
        }
        ahead += 1;
        larger += usize::from(graph.arena_bytes > without.arena_bytes);
        let given: Vec<Tensor> = random_inputs(seed, &specs);
        let expected = evaluate(&program, &given, Precision::Program).expect("a valid program");
        for when in [When::First, When::Last] {
            for (a, b) in expected.iter().zip(&run_ahead(&graph, &given, when)) {
                if let Some(place) = mismatch(a, b, 0.0) {
                    panic!("seed {seed}, {when:?}: {place}\n{}\n{graph}", text::print(&program));
                }
            }
        }
    }
    assert!(ahead > 50 && larger > 0, "{ahead} work ahead, {larger} with more memory");
}
