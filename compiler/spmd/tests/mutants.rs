//! The differential check bites: every kind of seeded bug is caught.

mod common;

use common::mutate::BUGS;
use common::{Rng, differs_from, inputs, ops, plans};
use einmesh_interp::{Precision, evaluate};

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
        assert!(
            caught * 3 >= tried,
            "only {caught} of {tried} caught: {name}"
        );
    }
}
