//! The differential check bites: every kind of seeded bug is caught.

mod common;

use common::mutate::BUGS;
use common::{Rng, differs_from, inputs, ops, plans};
use einmesh_interp::{Precision, evaluate};
use einmesh_ir::{Collective, CollectiveKind, MeshAxisId, Op};
use einmesh_spmd::verify_collectives;

/// How many mutants of each kind are tried.
const MUTANTS: usize = 40;

#[test]
fn seeded_bugs_are_caught() {
    let mut table = Vec::new();
    for bug in BUGS {
        let (mut tried, mut caught) = (0, 0);
        for case in 0.. {
            if tried >= MUTANTS || case > 6_000 {
                break;
            }
            let program = ops::program(case, 5);
            let mut rng = Rng(case ^ 0xABCD_EF01);
            let mesh = plans::mesh(&mut rng);
            let plan = plans::any(&mut rng, &program, &mesh);
            let spmd = einmesh_spmd::partition(&program, &plan);
            let site = rng.below(3);
            let Some(mutant) = (bug.apply)(&spmd, site) else {
                continue;
            };
            tried += 1;
            caught += usize::from((0..3).any(|seed| {
                let inputs = inputs(&program, case + seed);
                let whole = evaluate(&program, &inputs, Precision::Program).expect("runs");
                differs_from(&whole, &mutant, &inputs).is_some()
            }));
        }
        table.push((bug.name, caught, tried));
    }
    for (name, caught, tried) in &table {
        println!("{caught:3} of {tried:3}  {name}");
    }
    // Not every mutant computes something else: maxima of equal numbers may be dropped, what is
    // wrong may never reach an output. But each kind must show often.
    for (name, caught, tried) in table {
        assert!(tried >= 20, "too few places for: {name}");
        assert!(caught * 3 >= tried, "only {caught} of {tried} caught: {name}");
    }
}

/// Collectives that would hang, crash or mix up devices never pass the static proof.
#[test]
fn inconsistent_collectives_are_flagged() {
    type Damage = fn(&mut Collective, MeshAxisId);
    let damages: [Damage; 6] = [
        |c, _| c.axes.clear(),
        |c, _| c.axes.push(c.axes[0]),
        |c, beyond| c.axes[0] = beyond,
        |c, _| c.input = c.out,
        |c, _| c.kind = CollectiveKind::AllGather { position: 99 },
        |c, _| c.kind = CollectiveKind::CollectivePermute { shift: 99, wrap: false },
    ];
    let mut flagged = 0;
    for case in 0.. {
        if flagged >= 1000 {
            break;
        }
        let program = ops::program(case, 5);
        let mut rng = Rng(case ^ 0xABCD_EF01);
        let mesh = plans::mesh(&mut rng);
        let plan = plans::any(&mut rng, &program, &mesh);
        let spmd = einmesh_spmd::partition(&program, &plan);
        for (at, op) in spmd.program.body.ops.iter().enumerate() {
            let Op::Collective(c) = op else { continue };
            let mut damaged = c.clone();
            rng.pick(&damages)(&mut damaged, MeshAxisId(mesh.axes.len() as u32));
            let mut mutant = spmd.clone();
            mutant.program.body.ops[at] = Op::Collective(damaged);
            assert!(!verify_collectives(&mutant).is_empty(), "case {case}, operation {at}");
            flagged += 1;
        }
    }
}
