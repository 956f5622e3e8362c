//! The rules: one line each, with the law that it applies.
//!
//! A rule looks at one node and returns classes that equal the node's class. In the laws, Σᵢ sums
//! over the indices that the left side reduces; a, b, c are factors of a product; [g] is a guard.

mod contract;
mod ein;

use crate::lang::{Graph, Node};
use crate::options::{Limits, Numerics, Options};
use egg::Id;

/// A named law.
#[derive(Clone, Copy)]
pub struct Rule {
    /// Its name in reports and tests.
    pub name: &'static str,
    /// When it is used.
    pub policy: Policy,
    /// The classes that equal the class of this node.
    pub apply: fn(&mut Graph, &Limits, &Node) -> Vec<Id>,
}

/// Which numerics a rule needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// The value stays the same, bit for bit.
    Exact,
    /// Equal for real numbers; rounding differs as between orders of summation.
    Reassociate,
    /// Equal for real numbers, but terms may cancel that did not: off by default.
    Distribute,
}

const fn exact(name: &'static str, apply: fn(&mut Graph, &Limits, &Node) -> Vec<Id>) -> Rule {
    Rule {
        name,
        policy: Policy::Exact,
        apply,
    }
}

const fn real(name: &'static str, apply: fn(&mut Graph, &Limits, &Node) -> Vec<Id>) -> Rule {
    Rule {
        name,
        policy: Policy::Reassociate,
        apply,
    }
}

const fn gated(name: &'static str, apply: fn(&mut Graph, &Limits, &Node) -> Vec<Id>) -> Rule {
    Rule {
        name,
        policy: Policy::Distribute,
        apply,
    }
}

/// All rules, in the order in which they are tried.
#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    real("flatten-product",      ein::flatten),              // Σᵢ a·(k·Σⱼ b) = k·Σᵢⱼ a·b, if a does not depend on j
    real("split-product",        ein::split),                // Σᵢⱼ a·b = Σᵢ a·(Σⱼ b), if a does not depend on j
    real("contraction-order",    contract::order),           // Σ Π bag = the cheapest tree of pairwise sums
];

impl Options {
    /// Whether the rule is allowed.
    pub fn allows(&self, rule: &Rule) -> bool {
        match rule.policy {
            Policy::Exact => true,
            Policy::Reassociate => self.numerics == Numerics::Reassociate,
            Policy::Distribute => self.numerics == Numerics::Reassociate && self.distribute,
        }
    }
}
