//! Each rule against numbers: random instances of its left side, of random shapes, on which the
//! rule must fire and every class stay of one value. Then the same with wrong rules, all of which
//! must be found out.

mod instances;
mod wrong;

use super::{RULES, Rule};
use crate::options::Options;
use crate::saturate::run;
use crate::testing::{Sample, judge};
use instances::instance;
use std::collections::BTreeMap;

/// Applies one rule to one random instance of `of`'s left side: whether it fired, and the verdict.
fn apply(rule: &Rule, of: &str, seed: u64) -> (bool, Result<usize, String>) {
    let mut s = Sample::new(seed);
    let root = instance(of, &mut s);
    s.graph.rebuild();
    let mut options = Options::default();
    options.limits.iterations = 2;
    let graph = std::mem::replace(&mut s.graph, crate::Graph::new(crate::Table::default()));
    let done = run(graph, BTreeMap::new(), root, &[rule], &options);
    let fired = done.fired.values().sum::<u64>() > 0;
    (fired, judge(&done.graph))
}

#[test]
fn every_rule_holds_on_random_instances() {
    for rule in RULES {
        let mut fired = 0;
        for seed in 0..1000 {
            let (hit, verdict) = apply(rule, rule.name, seed);
            assert!(verdict.is_ok(), "{} with seed {seed}: {verdict:?}", rule.name);
            fired += usize::from(hit);
        }
        assert!(fired >= 100, "{} fired {fired} times", rule.name);
    }
}

#[test]
fn every_rule_has_its_own_name() {
    let mut names: Vec<&str> = RULES.iter().map(|r| r.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RULES.len());
}

#[test]
fn wrong_rules_are_found_out() {
    let mut by_numbers = 0;
    for (of, what, apply_wrong) in wrong::RULES {
        let rule = Rule { name: what, policy: super::Policy::Exact, apply: *apply_wrong };
        let mut refused = false;
        let differs = (0..300).any(|seed| {
            // A wrong rule may also unite terms of different types, which the e-graph refuses.
            match std::panic::catch_unwind(|| apply(&rule, of, seed)) {
                Ok((_, verdict)) => verdict.is_err(),
                Err(_) => {
                    refused = true;
                    false
                }
            }
        });
        by_numbers += usize::from(differs);
        assert!(differs || refused, "`{what}` was not noticed");
    }
    println!("{by_numbers} of {} by their numbers", wrong::RULES.len());
    assert!(by_numbers >= 20, "{by_numbers} were found out by numbers");
}
