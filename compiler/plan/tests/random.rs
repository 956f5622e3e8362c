//! Random programs and decorators: what plans promise holds.

mod common;

use common::inspect::{check_invariants, comprehensions};
use common::*;
use einmesh_ir::directive::ShardDims;
use einmesh_ir::{BinaryOp, DType, DimId, Directives, Expr, IndexId, Program, Reducer, ValueId};
use einmesh_plan::{Plan, plan};

/// A linear congruential generator, good enough to draw cases.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        ((self.0 >> 33) % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn subset<T: Copy>(&mut self, items: &[T]) -> Vec<T> {
        items.iter().copied().filter(|_| self.below(2) == 0).collect()
    }
}

const DIMS: [(&str, u64); 6] = [("A", 8), ("B", 6), ("C", 6), ("D", 12), ("E", 1), ("F", 7)];

/// Products, sums, maxima and functions of earlier values, broadcast and reduced at random.
fn program(rng: &mut Rng) -> Program {
    let mut m = Make::new("main", &DIMS);
    let dims: Vec<DimId> = m.b.program.dims.ids().collect();
    let mut values: Vec<ValueId> = Vec::new();
    for name in ["x", "y", "z"] {
        let dims = rng.subset(&dims);
        values.push(m.b.input(name, DType::F32, &dims));
    }
    for _ in 0..2 + rng.below(10) {
        let (a, b) = (rng.pick(&values), rng.pick(&values));
        let used: Vec<DimId> = dims
            .iter()
            .copied()
            .filter(|d| [a, b].iter().any(|v| m.b.program.values[*v].dims.contains(d)))
            .collect();
        let free = rng.subset(&used);
        let reduced: Vec<DimId> = used.iter().copied().filter(|d| !free.contains(d)).collect();
        let reducer = match reduced.len() {
            0 => Reducer::None,
            _ => rng.pick(&[Reducer::Sum, Reducer::Sum, Reducer::Max]),
        };
        let op = rng.pick(&[BinaryOp::Mul, BinaryOp::Add, BinaryOp::Add, BinaryOp::Max]);
        let all: Vec<DimId> = free.iter().chain(&reduced).copied().collect();
        let load = |program: &Program, v: ValueId| {
            let at = |d: &DimId| all.iter().position(|x| x == d).expect("a used dim");
            let subs = program.values[v].dims.iter().map(|d| Expr::Index(IndexId(at(d) as u32)));
            Expr::load(v, subs.collect::<Vec<_>>())
        };
        let body = Expr::binary(op, load(&m.b.program, a), load(&m.b.program, b));
        values.push(m.b.compute("v", DType::F32, &free, &reduced, reducer, |_| body));
    }
    let last = *values.last().expect("at least an input");
    m.b.output(last);
    m.b.finish()
}

fn directives(rng: &mut Rng, program: &Program) -> Directives {
    let mut directives = mesh(&[("p", 1 + rng.below(4) as u64), ("q", 2), ("r", 3)]);
    let dims: Vec<DimId> = program.dims.ids().collect();
    for axis in ["p", "q", "r"] {
        let dims = rng.subset(&dims);
        if !dims.is_empty() && rng.below(4) > 0 {
            directives.shard.push(ShardDims {
                axis: axis.to_owned(),
                dims: dims.into_iter().map(|d| (d, None)).collect(),
                pad: true,
                text: format!("@shard({axis}: …)"),
                span: None,
            });
        }
    }
    directives
}

/// In each value the first listed dim that can be split takes the axis.
fn check_lists(program: &Program, directives: &Directives, plan: &Plan) {
    for rule in &directives.shard {
        let axis = plan.mesh.axis(&rule.axis).expect("an axis");
        if plan.mesh.axes[axis].size == 1 {
            continue;
        }
        for (id, value) in program.values.iter() {
            let splittable = |d: &DimId| program.dims[*d].extent > 1 && value.dims.contains(d);
            let first = rule.dims.iter().map(|(d, _)| *d).find(splittable);
            let Some(first) = first else { continue };
            let position = value.dims.iter().position(|d| *d == first).expect("has it");
            assert!(plan.shardings[id].spec[position].contains(&axis), "{rule:?} on {value:?}");
        }
    }
}

/// Work is divided along an index only where some value is.
fn check_loops(program: &Program, plan: &Plan) {
    for c in comprehensions(program) {
        for (index, axes) in plan.loops[&c.out].iter().enumerate() {
            for axis in axes {
                let index = Expr::Index(IndexId(index as u32));
                let read = c.body.loads().into_iter().any(|load| {
                    let spec = &plan.shardings[load.value].spec;
                    load.subs.iter().zip(spec).any(|(s, axes)| *s == index && axes.contains(axis))
                });
                let written = plan.shardings[c.out].splits(*axis);
                assert!(read || written, "{:?}", program.values[c.out]);
            }
        }
    }
}

#[test]
fn plans_keep_their_promises() {
    let (mut partial, mut split) = (0, 0);
    for seed in 0..3000 {
        let mut rng = Rng(seed * 7919 + 1);
        let program = program(&mut rng);
        assert_eq!(einmesh_ir::verify(&program), [], "seed {seed}");
        let directives = directives(&mut rng, &program);
        let (plan, found) = plan(&program, &directives);
        assert!(!found.has_errors(), "seed {seed}: {found:?}");
        check_invariants(&program, &plan);
        check_lists(&program, &directives, &plan);
        check_loops(&program, &plan);
        assert_eq!(einmesh_plan::plan(&program, &directives).0, plan, "seed {seed}");
        partial += plan.shardings.values().filter(|s| !s.partial.is_empty()).count();
        split += plan.shardings.values().filter(|s| !s.is_replicated()).count();
    }
    // The cases reach what they are about.
    assert!(partial > 100 && split > 10_000, "{partial} partial, {split} split");
}
