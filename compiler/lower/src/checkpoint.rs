//! Leaves of types: their paths, their names in checkpoints, and the records around them.

use crate::ctx::Ctx;
use crate::dims::Axis;
use crate::types::{RecordTy, Ty};
use einmesh_ir::DType;

/// One leaf tensor of a type.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    /// `p.h.ln_1.bias`
    pub path: String,
    /// `h.{}.ln_1.bias`
    pub tensor: String,
    /// Innermost first.
    pub records: Vec<String>,
    pub axes: Vec<Axis>,
    /// How many of the axes are stacked records.
    pub stacked: usize,
    pub dtype: DType,
}

impl Leaf {
    /// How many dims each axis has, those of stacking left out.
    pub fn widths(&self) -> Vec<usize> {
        self.axes[self.stacked..].iter().map(|a| a.dims.len()).collect()
    }
}

impl Ctx<'_> {
    /// The leaves of an argument or result called `name`, in order.
    pub fn leaves_of(&self, name: &str, ty: &Ty) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        match ty {
            Ty::Array { axes, dtype } => leaves.push(Leaf {
                path: name.to_owned(),
                tensor: name.to_owned(),
                records: Vec::new(),
                axes: axes.clone(),
                stacked: 0,
                dtype: *dtype,
            }),
            Ty::Record(record) => {
                let tensor = stacking("", record.stack.len());
                self.record_leaves(name, &tensor, record, &[], &mut leaves);
            }
        }
        leaves
    }

    fn record_leaves(
        &self,
        path: &str,
        tensor: &str,
        record: &RecordTy,
        around: &[String],
        leaves: &mut Vec<Leaf>,
    ) {
        let (_, decl) = self.records[record.def];
        let mut records = vec![decl.name.text.clone()];
        records.extend_from_slice(around);
        for (name, ty) in &record.fields {
            let field = decl.fields.iter().find(|f| f.name.text == *name);
            let rename = field.and_then(|f| f.rename.as_ref()).map(|t| t.text.as_str());
            let own = match rename.map(|r| (r, r.strip_prefix('/'))) {
                Some((_, Some(absolute))) => absolute.to_owned(),
                Some((relative, None)) => joined(tensor, relative),
                None => joined(tensor, name),
            };
            let inner = format!("{path}.{name}");
            match ty {
                Ty::Array { axes, dtype } => leaves.push(Leaf {
                    path: inner,
                    tensor: own,
                    records: records.clone(),
                    axes: axes.clone(),
                    stacked: record.stack.len(),
                    dtype: *dtype,
                }),
                Ty::Record(nested) => {
                    let own = stacking(&own, nested.stack.len() - record.stack.len());
                    self.record_leaves(&inner, &own, nested, &records, leaves);
                }
            }
        }
    }
}

fn joined(prefix: &str, component: &str) -> String {
    if prefix.is_empty() { component.to_owned() } else { format!("{prefix}.{component}") }
}

/// The name with one placeholder for each axis of an array of records.
fn stacking(name: &str, axes: usize) -> String {
    (0..axes).fold(name.to_owned(), |name, _| joined(&name, "{}"))
}
