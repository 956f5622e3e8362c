//! `@shard` before a statement, and the arguments of `@shard` everywhere.

use crate::ctx::Ctx;
use crate::plan::{DimsOf, Placement, PlacementKind, text};
use einmesh_ir::DimId;
use einmesh_ir::directive::ShardValue;
use einmesh_syntax::ast::Decorator;

impl<'a> Ctx<'a> {
    /// Checks the decorators before a statement.
    pub fn statement_decorators(&mut self, decorators: &'a [Decorator]) -> Vec<Placement> {
        let mut placements = Vec::new();
        for decorator in decorators {
            if decorator.name.text != "shard" {
                self.no_decorator(decorator, &["shard"]);
                continue;
            }
            for arg in &decorator.args {
                if let Some(kind) = self.placement(arg) {
                    placements.push(Placement { kind, text: text(decorator), span: arg.span });
                }
            }
        }
        placements
    }

    /// Notes what a statement's decorators ask of the variable it bound.
    pub fn place(&mut self, name: &str, placements: Vec<Placement>) {
        for placement in placements {
            let mut leaves: Vec<(einmesh_ir::ValueId, Vec<DimId>)> = Vec::new();
            let Some(var) = self.frame().vars.get(name).cloned() else {
                continue;
            };
            var.val.leaves("", &mut |_, leaf| {
                if let einmesh_ir::Expr::Load(load) = &leaf.body {
                    leaves.push((load.value, self.program.values[load.value].dims.clone()));
                }
            });
            let (dims_of, open): (DimsOf, bool) = match placement.kind {
                PlacementKind::First(axis, dims) => (
                    Box::new(move |own: &[DimId]| {
                        let first = dims.iter().find(|d| own.contains(d));
                        first.map(|d| (*d, vec![axis.clone()])).into_iter().collect()
                    }),
                    true,
                ),
                PlacementKind::Each(key, dims, open) => {
                    if key != name {
                        let help = format!("write `@shard({name}: …)`, or put it into a plan");
                        self.bad_argument(
                            placement.span,
                            format!("the statement does not bind `{key}`"),
                            &help,
                        );
                        continue;
                    }
                    (Box::new(move |_: &[DimId]| dims.clone()), open)
                }
            };
            let mut placed = false;
            for (value, own) in leaves {
                let dims = dims_of(&own);
                if !dims.is_empty() || !open {
                    placed = true;
                    self.placed.push(ShardValue {
                        values: vec![value],
                        dims,
                        open,
                        text: placement.text.clone(),
                        span: Some(placement.span),
                    });
                }
            }
            if !placed && !var.val.is_poison() {
                let message = format!("`{name}` has none of these dims, so nothing is split");
                let help = "name a dim of the value, or remove the decorator";
                self.bad_argument(placement.span, message, help);
            }
        }
    }
}
