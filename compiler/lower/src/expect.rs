//! `@expect`: budgets, their limits evaluated.

use crate::ctx::Ctx;
use crate::index::bare;
use crate::names::suggest;
use crate::show;
use einmesh_ir::BinaryOp;
use einmesh_ir::directive::{Expect, Quantity};
use einmesh_syntax::ast::{self, DecoratorArg, DecoratorValue, ExprKind};

const OPS: &[&str] =
    &["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "collective_permute"];
const HELP: &str = "write `@expect(count(all_reduce, tensor) <= 4 * L, wire_bytes(tensor) <= 1GiB, peak_memory <= 70GiB)`";

impl<'a> Ctx<'a> {
    pub fn expect(&mut self, arg: &'a DecoratorArg) -> Option<Expect> {
        let (DecoratorValue::Expr(e), None) = (&arg.value, &arg.key) else {
            self.bad_argument(arg.span, "`@expect` compares a quantity with a limit", HELP);
            return None;
        };
        let ExprKind::Binary(op, a, b) = &e.kind else {
            self.bad_argument(e.span, "`@expect` compares a quantity with a limit", HELP);
            return None;
        };
        let (relation, flipped) = match op {
            ast::BinaryOp::Le => (BinaryOp::Le, BinaryOp::Ge),
            ast::BinaryOp::Lt => (BinaryOp::Lt, BinaryOp::Gt),
            ast::BinaryOp::Ge => (BinaryOp::Ge, BinaryOp::Le),
            ast::BinaryOp::Gt => (BinaryOp::Gt, BinaryOp::Lt),
            ast::BinaryOp::Eq => (BinaryOp::Eq, BinaryOp::Eq),
            _ => {
                self.bad_argument(e.span, "`@expect` compares with <=, <, ==, >= or >", HELP);
                return None;
            }
        };
        let (quantity, relation, limit) = if is_quantity(a) {
            (self.quantity(a)?, relation, b)
        } else if is_quantity(b) {
            (self.quantity(b)?, flipped, a)
        } else {
            self.bad_argument(e.span, "neither side is a quantity", HELP);
            return None;
        };
        let limit = self.whole_number(limit)?;
        Some(Expect { quantity, relation, limit, text: show::expr(e), span: Some(arg.span) })
    }

    fn quantity(&mut self, e: &'a ast::Expr) -> Option<Quantity> {
        let (name, args): (&str, &'a [ast::Arg]) = match &e.kind {
            ExprKind::Name(name) => (name, &[]),
            ExprKind::Call(callee, args) => (bare(callee)?, args),
            _ => return None,
        };
        let names: Vec<&str> = args.iter().filter_map(|a| bare(&a.value)).collect();
        if names.len() != args.len() {
            self.bad_argument(e.span, "a quantity's arguments are names", HELP);
            return None;
        }
        match (name, &names[..]) {
            ("peak_memory", []) => Some(Quantity::PeakMemory),
            ("wire_bytes", []) => Some(Quantity::WireBytes { axis: None }),
            ("wire_bytes", [axis]) => Some(Quantity::WireBytes { axis: Some((*axis).to_owned()) }),
            ("count", [op, rest @ ..]) if rest.len() <= 1 => {
                if !OPS.contains(op) {
                    let help = match suggest(op, OPS.iter().copied()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("the collectives are {}", OPS.join(", ")),
                    };
                    self.bad_argument(e.span, format!("there is no collective `{op}`"), &help);
                    return None;
                }
                Some(Quantity::Count {
                    op: (*op).to_owned(),
                    axis: rest.first().map(|a| (*a).to_owned()),
                })
            }
            _ => {
                self.bad_argument(e.span, format!("`{name}` got {} arguments", names.len()), HELP);
                None
            }
        }
    }
}

fn is_quantity(e: &ast::Expr) -> bool {
    let name = match &e.kind {
        ExprKind::Call(callee, _) => bare(callee),
        _ => bare(e),
    };
    matches!(name, Some("count" | "wire_bytes" | "peak_memory"))
}
