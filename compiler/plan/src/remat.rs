//! `@remat(function, keep: …)`: which values the backward pass recomputes.
//!
//! Gradients are expanded while lowering, so this has happened already; here the names are checked.

use crate::mesh::place;
use einmesh_diagnostics::codes::plan as codes;
use einmesh_diagnostics::suggest::nearest;
use einmesh_diagnostics::{Diagnostic, Diagnostics};
use einmesh_ir::{Directives, Program, Value};
use std::collections::BTreeSet;

/// Checks the `@remat` decorators; those that name functions of the program are noted as accepted.
pub(crate) fn check(
    program: &Program,
    directives: &Directives,
    found: &mut Diagnostics,
) -> Vec<String> {
    let functions: BTreeSet<&str> =
        program.values.values().flat_map(|v| v.origin.scope.iter().map(String::as_str)).collect();
    let mut accepted = Vec::new();
    for rule in &directives.remat {
        let function = rule.function.as_str();
        if !functions.contains(function) {
            let message = format!("`@remat({function})` has no effect on `{}`", program.name);
            let mut warning = Diagnostic::warning(codes::REMAT_FUNCTION, message);
            warning = place(warning, rule.span, &format!("`{function}` is not called"));
            if let Some(near) = nearest(function, functions.iter().copied()) {
                warning = warning.help(format!("did you mean `{near}`?"));
            }
            found.push(warning);
            continue;
        }
        let within = |v: &&Value| v.origin.scope.iter().any(|f| f == function);
        let values: BTreeSet<&str> =
            program.values.values().filter(within).map(|v| v.name.as_str()).collect();
        for name in rule.keep.iter().filter(|name| !values.contains(name.as_str())) {
            let message = format!("`{function}` has no value `{name}` to keep");
            let mut warning = Diagnostic::warning(codes::REMAT_FUNCTION, message);
            warning = place(warning, rule.span, &format!("`keep` names `{name}`"));
            if let Some(near) = nearest(name, values.iter().copied()) {
                warning = warning.help(format!("did you mean `{near}`?"));
            }
            found.push(warning);
        }
        accepted.push(format!(
            "@remat({function}) is accepted: gradients compute what it computes again{}",
            if rule.keep.is_empty() {
                String::new()
            } else {
                format!(", except {}", rule.keep.join(", "))
            }
        ));
    }
    accepted
}
