//! `rows(R)` and `columns(R)`: a record type whose leaves lack an axis, the means that make such values, and
//! how they combine with whole ones.
//!
//! A leaf counts as a matrix of its last two axes, for each position of those before; a leaf with one axis as a
//! matrix of one column. `rows` has a number for each row, so it lacks the last axis, and `columns` one for each
//! column. Axes of stacking are no axes of a leaf.

use crate::ctx::Ctx;
use crate::dims::Axis;
use crate::types::{RecordTy, Ty};
use crate::values::{Array, RecordVal, Val};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::Expr;
use einmesh_syntax::ast;

/// The axes that leaves lack of those that they are declared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Lacks {
    /// The axis of columns, the last of several.
    columns: bool,
    /// The axis of rows, the last but one or the only one.
    rows: bool,
    /// Those before.
    others: bool,
}

impl Lacks {
    /// What `rows(…)` lacks.
    pub const ROWS: Lacks = Lacks { columns: true, rows: false, others: false };
    /// What `columns(…)` lacks.
    pub const COLUMNS: Lacks = Lacks { columns: false, rows: true, others: false };
    /// What one number for each leaf lacks.
    const LEAF: Lacks = Lacks { columns: true, rows: true, others: true };

    /// What a type's word makes its leaves lack.
    pub fn of_type(word: &str) -> Lacks {
        if word == "rows" { Lacks::ROWS } else { Lacks::COLUMNS }
    }

    /// What the results of a function of means lack that its argument has.
    pub fn of_means(name: &str) -> Option<Lacks> {
        match name {
            "row_means" => Some(Lacks::ROWS),
            "column_means" => Some(Lacks::COLUMNS),
            "leaf_means" => Some(Lacks::LEAF),
            _ => None,
        }
    }

    /// What lacks all that one of both lacks.
    pub fn and(self, other: Lacks) -> Lacks {
        Lacks {
            columns: self.columns || other.columns,
            rows: self.rows || other.rows,
            others: self.others || other.others,
        }
    }

    /// What lacks only what both lack.
    fn both(self, other: Lacks) -> Lacks {
        Lacks {
            columns: self.columns && other.columns,
            rows: self.rows && other.rows,
            others: self.others && other.others,
        }
    }

    /// Which of a leaf's `rank` axes are there.
    fn kept(self, rank: usize) -> Vec<usize> {
        let lacking = |axis: &usize| match rank - axis {
            1 if rank > 1 => self.columns,
            1 | 2 => self.rows,
            _ => self.others,
        };
        (0..rank).filter(|axis| !lacking(axis)).collect()
    }

    /// How messages name a type with these leaves, whose whole type has this name.
    pub fn name(self, whole: String) -> String {
        match (self.columns, self.rows, self.others) {
            (false, false, _) => whole,
            (true, false, _) => format!("rows({whole})"),
            (false, true, _) => format!("columns({whole})"),
            (true, true, false) => format!("rows(columns({whole}))"),
            (true, true, true) => format!("{whole} with one number for each leaf"),
        }
    }
}

/// The type that is written inside of all `rows(…)` and `columns(…)`.
pub(crate) fn innermost(ty: &ast::Type) -> &ast::Type {
    ty.of.as_deref().map_or(ty, innermost)
}

impl<'a> Ctx<'a> {
    /// `rows(R)[L]`, `columns(R)[L]`.
    pub fn part_ty(
        &mut self,
        ty: &'a ast::Type,
        of: &'a ast::Type,
        stack: &[Axis],
    ) -> Option<RecordTy> {
        let word = ty.path.last().map_or("", |name| &name.text);
        let record = match self.ty(of)? {
            Ty::Record(record) => record,
            array @ Ty::Array { .. } => {
                let found = self.ty_name(&array);
                self.report(
                    Diagnostic::error(
                        codes::RECORD_TYPE,
                        format!("`{word}(…)` is of a record, not of `{found}`"),
                    )
                    .at(of.span, "not a record")
                    .help("write the axes that are left: `f32[I]`"),
                );
                return None;
            }
        };
        let lacks = record.lacks.and(Lacks::of_type(word));
        let whole = self.whole_ty(record.def, &record.args, &record.stack, ty.span)?;
        match Ty::Record(reduced(whole, lacks)).stacked(stack) {
            Ty::Record(record) => Some(record),
            Ty::Array { .. } => None,
        }
    }

    /// The type of a record whose leaves lack nothing.
    fn whole_ty(
        &mut self,
        def: usize,
        args: &[Axis],
        stack: &[Axis],
        span: Span,
    ) -> Option<RecordTy> {
        let ty = self.record_ty(def, args.to_vec(), Vec::new(), span)?;
        match Ty::Record(ty).stacked(stack) {
            Ty::Record(ty) => Some(ty),
            Ty::Array { .. } => None,
        }
    }

    /// The type of a record value.
    pub fn ty_of(&mut self, value: &RecordVal, span: Span) -> Option<RecordTy> {
        let whole = self.whole_ty(value.def, &value.args, &value.stack, span)?;
        Some(reduced(whole, value.lacks))
    }

    /// `row_means(r)`, `column_means(r)`, `leaf_means(r)`: the means over the axes that the result lacks.
    pub fn means(&mut self, name: &str, more: Lacks, (value, span): (Val, Span)) -> Val {
        let record = match value {
            Val::Record(record) => record,
            Val::Poison => return Val::Poison,
            other => {
                let found = self.describe(&other);
                self.report(
                    Diagnostic::error(codes::WRONG_OPERAND, format!("`{name}` is of a record"))
                        .at(span, format!("this is {found}"))
                        .help("name the index that the mean is over: `mean[j](x[i,j])`"),
                );
                return Val::Poison;
            }
        };
        let Some(whole) = self.whole_ty(record.def, &record.args, &record.stack, span) else {
            return Val::Poison;
        };
        let to = record.lacks.and(more);
        self.record_means(record, &whole, to, span)
    }

    fn record_means(&mut self, record: RecordVal, whole: &RecordTy, to: Lacks, span: Span) -> Val {
        let mut fields = Vec::new();
        for ((name, value), (_, ty)) in record.fields.into_iter().zip(&whole.fields) {
            let value = match (value, ty) {
                (Val::Record(inner), Ty::Record(ty)) => self.record_means(inner, ty, to, span),
                (Val::Array(leaf), Ty::Array { axes, .. }) => {
                    let stacked = whole.stack.len();
                    let rank = axes.len() - stacked;
                    let (here, there) = (record.lacks.kept(rank), to.kept(rank));
                    let stays =
                        |axis: usize| axis < stacked || there.contains(&here[axis - stacked]);
                    self.leaf_means(leaf, stays, span).map_or(Val::Poison, Val::Array)
                }
                _ => Val::Poison,
            };
            fields.push((name, value));
        }
        Val::Record(RecordVal { fields, lacks: to, ..record })
    }

    /// The means of an array over the axes that do not stay.
    fn leaf_means(
        &mut self,
        leaf: Array,
        stays: impl Fn(usize) -> bool,
        span: Span,
    ) -> Option<Array> {
        let (mut axes, mut params, mut over) = (Vec::new(), Vec::new(), Vec::new());
        let mut rest = &leaf.params[..];
        for (position, axis) in leaf.axes.iter().enumerate() {
            let (own, after) = rest.split_at(axis.dims.len());
            rest = after;
            if stays(position) {
                axes.push(axis.clone());
                params.extend_from_slice(own);
            } else {
                over.extend_from_slice(own);
            }
        }
        if over.is_empty() {
            return Some(leaf);
        }
        let (elem, dtype) = (leaf.elem, leaf.elem.default_dtype());
        let scalar = Array::scalar(elem, leaf.body);
        let scalar =
            if dtype.is_float() { self.adapted(scalar, dtype.accumulator()) } else { scalar };
        let mean = self.reduced("mean", over, None, elem, scalar, span)?;
        Some(Array { axes, params, elem: mean.elem, body: mean.body })
    }

    /// Records of one type that lack different axes, each repeated along the axes that some other has.
    pub fn spread_all(&mut self, args: &mut [(Val, Span)]) -> Option<()> {
        let records = args.iter().filter_map(|(v, span)| match v {
            Val::Record(record) => Some((record, *span)),
            _ => None,
        });
        let records: Vec<(&RecordVal, Span)> = records.collect();
        let Some((first, span)) = records.first() else {
            return Some(());
        };
        let to = records.iter().fold(first.lacks, |to, (r, _)| to.both(r.lacks));
        let same = |r: &RecordVal| {
            r.def == first.def
                && r.args.len() == first.args.len()
                && r.stack.len() == first.stack.len()
        };
        // Types that differ otherwise are reported where the leaves are combined.
        if records.iter().all(|(r, _)| r.lacks == to) || !records.iter().all(|(r, _)| same(r)) {
            return Some(());
        }
        let (def, axes, stack) = (first.def, first.args.clone(), first.stack.clone());
        let whole = self.whole_ty(def, &axes, &stack, *span)?;
        for (value, _) in args {
            if let Val::Record(record) = value
                && record.lacks != to
            {
                *value = Val::Record(self.spread(record.clone(), &whole, to));
            }
        }
        Some(())
    }

    fn spread(&mut self, record: RecordVal, whole: &RecordTy, to: Lacks) -> RecordVal {
        let mut fields = Vec::new();
        for ((name, value), (_, ty)) in record.fields.into_iter().zip(&whole.fields) {
            let value = match (value, ty) {
                (Val::Record(inner), Ty::Record(ty)) => Val::Record(self.spread(inner, ty, to)),
                (Val::Array(leaf), Ty::Array { axes, .. }) => {
                    let (stack, own) = axes.split_at(whole.stack.len());
                    let (here, there) = (record.lacks.kept(own.len()), to.kept(own.len()));
                    let axes: Vec<Axis> =
                        stack.iter().chain(there.iter().map(|i| &own[*i])).cloned().collect();
                    let params = self.fresh_params(&axes);
                    let mut subs = Vec::new();
                    let mut rest = &params[..];
                    for (position, axis) in axes.iter().enumerate() {
                        let (mine, after) = rest.split_at(axis.dims.len());
                        rest = after;
                        if position < stack.len() || here.contains(&there[position - stack.len()]) {
                            subs.extend(mine.iter().map(|p| Expr::Index(*p)));
                        }
                    }
                    let body = leaf.at(&subs);
                    Val::Array(Array { axes, params, elem: leaf.elem, body })
                }
                (other, _) => other,
            };
            fields.push((name, value));
        }
        RecordVal { fields, lacks: to, ..record }
    }
}

/// A whole type without what is lacking.
fn reduced(record: RecordTy, lacks: Lacks) -> RecordTy {
    let stacked = record.stack.len();
    let part = |ty: Ty| match ty {
        Ty::Record(inner) => Ty::Record(reduced(inner, lacks)),
        Ty::Array { mut axes, dtype } => {
            let own = axes.split_off(stacked);
            axes.extend(lacks.kept(own.len()).into_iter().map(|axis| own[axis].clone()));
            Ty::Array { axes, dtype }
        }
    };
    let fields = record.fields.into_iter().map(|(name, ty)| (name, part(ty))).collect();
    RecordTy { fields, lacks, ..record }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_counts_as_matrices() {
        let kept = |lacks: Lacks| (0..4).map(|rank| lacks.kept(rank)).collect::<Vec<_>>();
        assert_eq!(kept(Lacks::default()), [vec![], vec![0], vec![0, 1], vec![0, 1, 2]]);
        assert_eq!(kept(Lacks::ROWS), [vec![], vec![0], vec![0], vec![0, 1]]);
        assert_eq!(kept(Lacks::COLUMNS), [vec![], vec![], vec![1], vec![0, 2]]);
        assert_eq!(kept(Lacks::ROWS.and(Lacks::COLUMNS)), [vec![], vec![], vec![], vec![0]]);
        assert!(kept(Lacks::LEAF).iter().all(Vec::is_empty));
    }
}
