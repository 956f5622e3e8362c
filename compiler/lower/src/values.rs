//! What expressions evaluate to while lowering: arrays as templates over index variables, records of
//! them, and tuples.

use crate::dims::Axis;
use crate::parts::Lacks;
use einmesh_ir::{Bounds, DType, Expr, IndexId, Literal};
use std::collections::{BTreeMap, BTreeSet};

/// The result of evaluating an expression.
#[derive(Clone, Debug)]
pub(crate) enum Val {
    /// Something is wrong and was reported; whatever uses this stays silent.
    Poison,
    /// A number or an array.
    Array(Array),
    /// A record, possibly an array of records.
    Record(RecordVal),
    /// The named results of a function.
    Tuple(Vec<(String, Val)>),
}

/// The type of an element: strong, or weak as literals and dims are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Elem {
    /// A dtype that was declared or derived from one.
    Strong(DType),
    /// An integer that takes any numeric dtype.
    WeakInt,
    /// A number that takes any float dtype.
    WeakFloat,
}

/// A number for each point of its axes: `body`, in which `params` (one for each dim of each axis)
/// stand for the subscripts. All other indices in `body` belong to the surroundings: they are what a
/// lifted function is mapped over.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    /// The axes, outermost first.
    pub axes: Vec<Axis>,
    /// The type of the elements.
    pub elem: Elem,
    /// The index variables that stand for the subscripts.
    pub params: Vec<IndexId>,
    /// One element.
    pub body: Expr,
}

/// A record, or an array of records if `stack` is not empty: each leaf then has these axes first.
#[derive(Clone, Debug)]
pub(crate) struct RecordVal {
    /// The record's declaration.
    pub def: usize,
    /// What its generic dims are bound to.
    pub args: Vec<Axis>,
    /// The axes of the array of records.
    pub stack: Vec<Axis>,
    /// What its leaves lack.
    pub lacks: Lacks,
    /// The fields that exist, in order.
    pub fields: Vec<(String, Val)>,
}

impl Elem {
    /// The dtype that a value of this type gets where nothing else decides.
    pub fn default_dtype(self) -> DType {
        match self {
            Elem::Strong(dtype) => dtype,
            Elem::WeakInt => DType::I32,
            Elem::WeakFloat => DType::F32,
        }
    }

    /// How messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Elem::Strong(dtype) => dtype.name(),
            Elem::WeakInt => "integer",
            Elem::WeakFloat => "number",
        }
    }

    /// Whether it is or can become a float.
    pub fn is_floatish(self) -> bool {
        match self {
            Elem::Strong(dtype) => dtype.is_float(),
            _ => true,
        }
    }
}

impl Array {
    /// A number without axes.
    pub fn scalar(elem: Elem, body: Expr) -> Array {
        Array { axes: Vec::new(), elem, params: Vec::new(), body }
    }

    /// A weak integer constant.
    pub fn weak_int(value: i64) -> Array {
        Array::scalar(Elem::WeakInt, Expr::Literal(Literal::Int(DType::I64, value)))
    }

    /// A weak float constant.
    pub fn weak_float(value: f64) -> Array {
        Array::scalar(Elem::WeakFloat, Expr::float(DType::F64, value))
    }

    /// A number of a dtype.
    pub fn strong(dtype: DType, body: Expr) -> Array {
        Array::scalar(Elem::Strong(dtype), body)
    }

    /// The constant, if it is one.
    pub fn literal(&self) -> Option<Literal> {
        match self.body {
            Expr::Literal(literal) => Some(literal),
            _ => None,
        }
    }

    /// The element at these subscripts.
    pub fn at(&self, subs: &[Expr]) -> Expr {
        let map: BTreeMap<IndexId, Expr> =
            self.params.iter().copied().zip(subs.iter().cloned()).collect();
        substitute(self.body.clone(), &map)
    }

    /// Whether it is a slice or permutation of a stored value, that needs no copy.
    pub fn is_alias(&self) -> bool {
        match &self.body {
            Expr::Load(load) => {
                let mut seen = BTreeSet::new();
                let bare = |sub: &Expr| match sub {
                    Expr::Index(index) => seen.insert(*index),
                    Expr::LoopVar(_) | Expr::Literal(_) => true,
                    _ => false,
                };
                load.bounds == Bounds::Proven && load.subs.iter().all(bare)
            }
            _ => false,
        }
    }
}

impl Val {
    /// A number without axes.
    pub fn number(elem: Elem, body: Expr) -> Val {
        Val::Array(Array::scalar(elem, body))
    }

    /// Whether something in it was reported as wrong.
    pub fn is_poison(&self) -> bool {
        match self {
            Val::Poison => true,
            Val::Array(_) => false,
            Val::Record(record) => record.fields.iter().any(|(_, v)| v.is_poison()),
            Val::Tuple(parts) => parts.iter().any(|(_, v)| v.is_poison()),
        }
    }

    /// Calls `visit` on every leaf, in order, with its path (`.a.b`).
    pub fn leaves<'v>(&'v self, path: &str, visit: &mut impl FnMut(&str, &'v Array)) {
        match self {
            Val::Poison => {}
            Val::Array(array) => visit(path, array),
            Val::Record(record) => {
                for (name, field) in &record.fields {
                    field.leaves(&format!("{path}.{name}"), visit);
                }
            }
            Val::Tuple(parts) => {
                for (name, part) in parts {
                    part.leaves(&format!("{path}.{name}"), visit);
                }
            }
        }
    }

    /// Rebuilds it with each leaf replaced, in the order of [`Val::leaves`].
    pub fn map_leaves(self, path: &str, map: &mut impl FnMut(&str, Array) -> Val) -> Val {
        let each = |fields: Vec<(String, Val)>, map: &mut _| -> Vec<(String, Val)> {
            let mapped = fields.into_iter().map(|(name, field)| {
                let inner = format!("{path}.{name}");
                let field = field.map_leaves(&inner, map);
                (name, field)
            });
            mapped.collect()
        };
        match self {
            Val::Poison => Val::Poison,
            Val::Array(array) => map(path, array),
            Val::Record(mut record) => {
                record.fields = each(record.fields, map);
                Val::Record(record)
            }
            Val::Tuple(parts) => Val::Tuple(each(parts, map)),
        }
    }
}

/// Replaces indices by expressions.
pub(crate) fn substitute(expr: Expr, map: &BTreeMap<IndexId, Expr>) -> Expr {
    if map.is_empty() {
        return expr;
    }
    expr.map(&mut |e| match &e {
        Expr::Index(index) => map.get(index).cloned().unwrap_or(e),
        _ => e,
    })
}

/// The indices an expression mentions, ascending.
pub(crate) fn mentioned(expr: &Expr) -> BTreeSet<IndexId> {
    let mut found = BTreeSet::new();
    expr.walk(&mut |e| {
        if let Expr::Index(index) = e {
            found.insert(*index);
        }
    });
    found
}

/// The number of nodes of an expression.
pub(crate) fn size(expr: &Expr) -> usize {
    let mut count = 0;
    expr.walk(&mut |_| count += 1);
    count
}
