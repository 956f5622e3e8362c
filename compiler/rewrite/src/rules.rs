//! The rules: one line each, with the law that it applies.
//!
//! A rule looks at one node and returns classes that equal the node's class. In the laws, Σᵢ sums
//! over the indices that the left side reduces; a, b, c are factors of a product; [g] is a guard.

mod add;
mod contract;
mod ein;
mod fold;
mod map;
mod reduce;
mod rename;
#[cfg(test)]
mod tests;

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
    Rule { name, policy: Policy::Exact, apply }
}

const fn real(name: &'static str, apply: fn(&mut Graph, &Limits, &Node) -> Vec<Id>) -> Rule {
    Rule { name, policy: Policy::Reassociate, apply }
}

const fn gated(name: &'static str, apply: fn(&mut Graph, &Limits, &Node) -> Vec<Id>) -> Rule {
    Rule { name, policy: Policy::Distribute, apply }
}

/// All rules, in the order in which they are tried.
#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    // Sums of products.
    real("flatten-product", ein::flatten),                  // Σᵢ a·(k·Σⱼ b) = k·Σᵢⱼ a·b, if a does not depend on j
    real("split-product", ein::split),                      // Σᵢⱼ a·b = Σᵢ a·(Σⱼ b), if a does not depend on j
    real("contraction-order", contract::order),             // Σ Π bag = the cheapest tree of pairwise sums
    real("coefficient-out", ein::coefficient_out),          // Σ a·(k·b) = k·Σ a·b
    real("hoist-from-guard", ein::hoist),                   // Σⱼ|g a·b = a·Σⱼ|g b, if a does not depend on j and g(0)
    real("unguard", ein::unguard),                          // Σ|g ([g]·a)·b = Σ ([g]·a)·b
    real("constant-factor", fold::factors),                 // Σ a·c = c·Σ a, for a constant c
    // Sums of terms.
    real("flatten-sum", add::flatten),                       // a + (b + c) = a + b + c
    real("common-factor", add::common_factor),              // Σ a·b + Σ a·c = Σ a·(b + c)
    real("common-coefficient", add::common_coefficient),    // k·a + k·b = k·(a + b)
    real("like-terms", add::like_terms),                    // k·a + l·a = (k + l)·a, unless k + l = 0
    real("constant-term", fold::terms),                     // a + c + d = a + (c + d), and a + 0 = a
    gated("distribute", add::distribute),                   // Σ a·(b + c) = Σ a·b + Σ a·c
    // Renamings.
    exact("rename-twice", rename::merge),                   // x[i→j][j→k] = x[i→k]
    exact("rename-product", rename::of_product),            // (Σ a·b)[i→j] = Σ a[i→j]·b[i→j], if j is not summed
    exact("rename-sum", rename::of_sum),                    // (a + b)[i→j] = a[i→j] + b[i→j]
    exact("rename-function", rename::of_map),               // f(a)[i→j] = f(a[i→j])
    exact("rename-reduction", rename::of_reduction),        // (maxₖ a)[i→j] = maxₖ a[i→j], if j ≠ k
    // Functions.
    real("power-product", map::power_product),              // x² = x·x, x³ = x·x·x
    real("power-root", map::power_root),                    // x^½ = √x, x^−½ = 1/√x, x^−1 = 1/x, x¹ = x
    real("reciprocal", map::reciprocal),                    // 1/√x = rsqrt x, 1/(1/x) = x, 1/exp x = exp −x
    real("reciprocal-product", map::reciprocal_product),    // (1/a)·(1/b) = 1/(a·b)
    real("log-of-exp", map::log_exp),                       // log exp x = x
    real("exp-of-log", map::exp_log),                       // exp log x = x, where x is a sum of exponentials
    exact("twice", map::twice),                             // −−x = x, ||x|| = |x|, ⌊⌊x⌋⌋ = ⌊x⌋
    exact("same-arguments", map::same_arguments),           // select(c, a, a) = a, max(a, a) = a
    exact("conversion", map::cast),                         // x as its own type = x, narrow → wide → narrow = x
    real("constant-function", fold::functions),             // f(c) is a constant
    // Reductions.
    real("merge-reductions", reduce::merge),                // maxᵢ maxⱼ a = maxᵢⱼ a
    real("split-reduction", reduce::split),                 // maxᵢⱼ a = maxᵢ maxⱼ a
    real("max-of-multiple", reduce::scaled),                // max k·a = k·max a for k > 0, k·min a for k < 0
    real("max-of-shifted", reduce::shifted),                // maxⱼ (a + b) = a + maxⱼ b, if a does not depend on j
    real("max-of-monotone", reduce::monotone),              // max f(a) = f(max a), for growing f
    // Softmax (Milakov and Gimelshein 2018).
    real("log-sum-exp", reduce::log_sum_exp),               // m + log Σ exp(x − m) = logsumexp x
    real("online-softmax", reduce::softmax),                // exp(x) / Σ exp(x) = exp(x − logsumexp x)
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
