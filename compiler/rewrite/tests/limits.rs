//! Programs on which the rules would go on for long: the bounds on the e-graph hold.

use einmesh_ir::testing::{GenerateOptions, Mode, generate};
use einmesh_ir::verify;
use einmesh_rewrite::{Limits, Options, rewrite};

/// One application of a rule looks at the limit before each form, of a few nodes, that it adds.
const FORM: usize = 100;

/// Long programs of small arrays and scalars, whose indices keep nothing apart: every product may be
/// regrouped and every sum factored in each way in which its terms were.
#[test]
fn no_graph_grows_beyond_its_limit() {
    let plain = GenerateOptions { mode: Mode::Float, size: 14, ..GenerateOptions::default() };
    let sums = GenerateOptions {
        halves: false,
        gathers: false,
        stores: false,
        sorts: false,
        loops: false,
        guards: false,
        ..plain.clone()
    };
    let limits = Limits::default();
    let mut ended = 0;
    for seed in 0..60 {
        for options in [&plain, &sums] {
            let (program, _) = generate(seed, options);
            let rewritten = rewrite(&program, &Options::default());
            assert_eq!(verify(&rewritten.program), vec![], "seed {seed}");
            for graph in rewritten.report.blocks.iter().filter_map(|b| b.graph.as_ref()) {
                assert!(graph.nodes <= limits.nodes + FORM, "seed {seed}: {} nodes", graph.nodes);
                assert!(graph.iterations <= limits.iterations, "seed {seed}");
                ended += usize::from(!graph.saturated);
            }
        }
    }
    assert!(ended >= 5, "only {ended} graphs came to a limit");
}

/// An element picked from a renamed array (`y[l,3]` of `y[l,h] = x[h,l]`) has not all of the array's indices.
#[test]
fn picked_elements_lose_an_index() {
    for seed in [297, 338, 370] {
        let options = GenerateOptions { mode: Mode::Float, size: 14, ..GenerateOptions::default() };
        let (program, _) = generate(seed, &options);
        let rewritten = rewrite(&program, &Options::default());
        assert_eq!(verify(&rewritten.program), vec![], "seed {seed}");
    }
}
