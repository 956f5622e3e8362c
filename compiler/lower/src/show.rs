//! Prints expressions and types as source text, for the corrected text in help lines.

use einmesh_syntax::ast::{BinaryOp, Expr, ExprKind, Lhs, LhsPart, Subscript, Subscripts};

/// An expression as source text, on one line.
pub(crate) fn expr(e: &Expr) -> String {
    match &e.kind {
        ExprKind::Name(name) | ExprKind::Number(name) => name.clone(),
        ExprKind::Text(text) => format!("{text:?}"),
        ExprKind::Tuple(parts) => format!("({})", list(parts)),
        ExprKind::Paren(inner) => format!("({})", expr(inner)),
        ExprKind::Field(base, name) => format!("{}.{}", expr(base), name.text),
        ExprKind::Subscript(base, subs) => format!("{}{}", expr(base), subscripts(subs)),
        ExprKind::Call(callee, args) => {
            let args = args.iter().map(|a| match &a.name {
                Some(name) => format!("{}: {}", name.text, expr(&a.value)),
                None => expr(&a.value),
            });
            format!("{}({})", expr(callee), args.collect::<Vec<_>>().join(", "))
        }
        ExprKind::Neg(inner) => format!("-{}", expr(inner)),
        ExprKind::Not(inner) => format!("not {}", expr(inner)),
        ExprKind::Binary(BinaryOp::Pow, a, b) => format!("{}^{}", expr(a), expr(b)),
        ExprKind::Binary(op, a, b) => format!("{} {} {}", expr(a), operator(*op), expr(b)),
        ExprKind::Else(load, default) => format!("{} else {}", expr(load), expr(default)),
        ExprKind::Error => "…".to_owned(),
    }
}

/// Expressions separated by commas.
pub(crate) fn list(parts: &[Expr]) -> String {
    parts.iter().map(expr).collect::<Vec<_>>().join(", ")
}

/// Subscripts with their brackets.
pub(crate) fn subscripts(subs: &Subscripts) -> String {
    let inner = subs.subs.iter().map(|sub| match sub {
        Subscript::Expr(e) => expr(e),
        Subscript::Ranged(name, range) => format!("{}: {}", name.text, expr(range)),
    });
    let inner = inner.collect::<Vec<_>>().join(",");
    match &subs.guard {
        Some(guard) => format!("[{inner} | {}]", expr(guard)),
        None => format!("[{inner}]"),
    }
}

/// A left side.
pub(crate) fn lhs(lhs: &Lhs) -> String {
    let parts = lhs.path.iter().map(|part| match part {
        LhsPart::Field(name) => format!(".{}", name.text),
        LhsPart::Subscript(subs) => subscripts(subs),
    });
    format!("{}{}", lhs.name.text, parts.collect::<String>())
}

/// An operator as written.
pub(crate) fn operator(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Pow => "^",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
        BinaryOp::Rem => "%",
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Eq => "==",
        BinaryOp::Ne => "!=",
        BinaryOp::Lt => "<",
        BinaryOp::Le => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::Ge => ">=",
        BinaryOp::And => "and",
        BinaryOp::Or => "or",
    }
}
