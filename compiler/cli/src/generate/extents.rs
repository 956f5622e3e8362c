//! The extents of a model's dims, from the shapes in its checkpoint.
//!
//! An axis that is one dim shows its extent, and the layers can be counted. A product axis shows a factor
//! if the others are known. What no shape shows, such as the number of heads, keeps the file's
//! extent only if all that the shapes show is as the file has it; otherwise it must be given.

use einmesh_exec::tensors::SafeTensors;
use einmesh_ir::Program;
use einmesh_lower::Modules;
use einmesh_syntax::ast::{BinaryOp, DimDecl, Expr, ExprKind, Item};
use std::collections::{BTreeMap, BTreeSet};

/// Extents by the names of dims.
pub type Extents = BTreeMap<String, u64>;

/// The dims that a program and the files it imports declare.
pub struct Declared<'a>(BTreeMap<&'a str, &'a DimDecl>);

/// A tensor of a model's parameters.
pub struct Leaf {
    /// Its name in a checkpoint, with `{}` for the layer.
    pub tensor: String,
    /// The dim that `{}` counts.
    pub layers: Option<String>,
    /// The dims of each axis.
    pub axes: Vec<Vec<String>>,
}

impl<'a> Declared<'a> {
    /// Of a file and its imports.
    pub fn of(modules: &'a Modules) -> Declared<'a> {
        let items = modules.files.values().flat_map(|file| &file.items);
        let dims = items.filter_map(|item| match item {
            Item::Dims(dims) => Some(&dims.dims),
            _ => None,
        });
        Declared(dims.flatten().map(|dim| (dim.name.text.as_str(), dim)).collect())
    }

    /// Whether there is such a dim.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The dim that `name` is a subrange or a role of.
    pub fn range_of(&self, name: &str) -> Option<&'a str> {
        self.0.get(name)?.role_of.as_ref().map(|of| of.text.as_str())
    }

    /// The dims that get an extent neither in the file nor from another dim.
    pub fn open(&self) -> impl Iterator<Item = &'a str> {
        let open = self.0.values().filter(|d| d.extent.is_none() && d.role_of.is_none());
        open.map(|d| d.name.text.as_str())
    }

    /// The extent that the file states as a number.
    fn literal(&self, name: &str) -> Option<u64> {
        match &self.0.get(name)?.extent.as_ref()?.kind {
            ExprKind::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The extent of a dim, where the dims that it depends on are known.
    fn extent(&self, name: &str, known: &Extents) -> Option<u64> {
        if let Some(extent) = known.get(name) {
            return Some(*extent);
        }
        match self.0.get(name) {
            Some(DimDecl { extent: Some(extent), .. }) => self.value(extent, known),
            Some(DimDecl { role_of: Some(of), .. }) => self.extent(&of.text, known),
            Some(_) => None,
            // The factor `3` of an axis is named by its digits.
            None => name.parse().ok(),
        }
    }

    fn value(&self, e: &Expr, known: &Extents) -> Option<u64> {
        match &e.kind {
            // A number of the file is one of the extents that must be known, or be given.
            ExprKind::Name(name) => match self.literal(name) {
                Some(_) => known.get(name).copied(),
                None => self.extent(name, known),
            },
            ExprKind::Number(text) => text.parse().ok(),
            ExprKind::Paren(inner) => self.value(inner, known),
            ExprKind::Tuple(factors) => factors
                .iter()
                .try_fold(1u64, |product, f| product.checked_mul(self.value(f, known)?)),
            ExprKind::Binary(op, a, b) => {
                let (a, b) = (self.value(a, known)?, self.value(b, known)?);
                match op {
                    BinaryOp::Add => a.checked_add(b),
                    BinaryOp::Sub => a.checked_sub(b),
                    BinaryOp::Mul => a.checked_mul(b),
                    BinaryOp::Div => (b != 0 && a % b == 0).then(|| a / b),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The dims with a number of their own that these depend on.
    fn bases(&self, names: BTreeSet<String>) -> BTreeSet<String> {
        let mut open: Vec<String> = names.into_iter().collect();
        let (mut seen, mut bases) = (BTreeSet::new(), BTreeSet::new());
        while let Some(name) = open.pop() {
            let Some(dim) = self.0.get(name.as_str()) else { continue };
            if !seen.insert(name.clone()) {
                continue;
            }
            if self.literal(&name).is_some() {
                bases.insert(name);
            }
            open.extend(dim.role_of.iter().map(|of| of.text.clone()));
            let mut exprs: Vec<&Expr> = dim.extent.iter().collect();
            while let Some(e) = exprs.pop() {
                match &e.kind {
                    ExprKind::Name(name) => open.push(name.clone()),
                    ExprKind::Paren(inner) => exprs.push(inner),
                    ExprKind::Tuple(factors) => exprs.extend(factors),
                    ExprKind::Binary(_, a, b) => exprs.extend([&**a, &**b]),
                    _ => {}
                }
            }
        }
        bases
    }
}

/// The parameters of a program: the leaves of its records that no run updates.
pub fn leaves(program: &Program) -> Vec<Leaf> {
    let parameters = program.inputs.iter().filter(|i| !i.records.is_empty() && !i.donated);
    let leaves = parameters.map(|input| {
        let dims = program.values[input.value].dims.iter();
        let names: Vec<String> = dims.map(|d| program.dims[*d].name.clone()).collect();
        let stacked = names.len() - input.axes.iter().sum::<usize>();
        let mut rest = &names[stacked..];
        let axes = input.axes.iter().map(|count| {
            let (axis, after) = rest.split_at(*count);
            rest = after;
            axis.to_vec()
        });
        let axes = axes.collect();
        // Layers within layers are not counted; their dims are the file's, or given.
        let layers = (stacked == 1).then(|| names[0].clone());
        Leaf { tensor: input.tensor.clone(), layers, axes }
    });
    leaves.collect()
}

/// The extents that a checkpoint shows, with those `given`, which go before.
pub fn infer(
    declared: &Declared,
    leaves: &[Leaf],
    checkpoint: &SafeTensors,
    given: &Extents,
) -> Result<Extents, String> {
    let prefix = prefix(leaves, checkpoint);
    let mut seen: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut products: Vec<(&[String], u64)> = Vec::new();
    let mut layers: BTreeMap<String, usize> = BTreeMap::new();
    let mut see = |dim: &str, extent: u64, tensor: &str| -> Result<(), String> {
        let known = seen.entry(dim.to_owned()).or_insert_with(|| (extent, tensor.to_owned()));
        match known.0 == extent {
            true => Ok(()),
            false => Err(format!(
                "the checkpoint is not one of this model: `{dim}` is {} in `{}` and {extent} in `{tensor}`",
                known.0, known.1
            )),
        }
    };
    for leaf in leaves {
        let name = |l: usize| format!("{prefix}{}", leaf.tensor.replace("{}", &l.to_string()));
        // What is missing or of another rank is said when the tensors are bound.
        let Some(view) = checkpoint.get(&name(0)) else { continue };
        if let Some(dim) = &leaf.layers {
            let count = (0..).take_while(|l| checkpoint.get(&name(*l)).is_some()).count();
            // The most: a tensor that one layer lacks is missing.
            let most = layers.entry(dim.clone()).or_default();
            *most = count.max(*most);
        }
        if view.shape.len() != leaf.axes.len() {
            continue;
        }
        for (axis, extent) in leaf.axes.iter().zip(view.shape) {
            match &axis[..] {
                [dim] => see(dim, *extent, &name(0))?,
                factors => products.push((factors, *extent)),
            }
        }
    }
    for (dim, count) in &layers {
        see(dim, *count as u64, "the layers")?;
    }
    let shown = seen.into_iter().filter(|(dim, _)| declared.has(dim));
    let shown: Extents = shown.map(|(dim, (extent, _))| (dim, extent)).collect();
    let other = shown.iter().find_map(|(dim, extent)| {
        let stated = declared.literal(dim).filter(|stated| stated != extent)?;
        (!given.contains_key(dim))
            .then(|| format!("`{dim}` is {extent} in it and {stated} in the file"))
    });
    let mut known = shown;
    known.extend(given.iter().map(|(dim, extent)| (dim.clone(), *extent)));
    let Some(other) = other else { return Ok(known) };
    solve(declared, &products, &mut known);
    let used = products.iter().flat_map(|(factors, _)| factors.iter().cloned());
    let hidden = declared.bases(used.collect());
    let hidden: Vec<&String> = hidden.iter().filter(|dim| !known.contains_key(*dim)).collect();
    if hidden.is_empty() {
        return Ok(known);
    }
    let list = |each: &dyn Fn(&String) -> String, between: &str| {
        hidden.iter().map(|dim| each(dim)).collect::<Vec<String>>().join(between)
    };
    Err(format!(
        "the checkpoint is of another size than the file: {other}; its shapes do not show {}\n\
         help: give the extents: `{}`",
        list(&|dim| format!("`{dim}`"), " and "),
        list(&|dim| format!("-D {dim}=…"), " ")
    ))
}

/// Finds factors of products whose other factors are known.
fn solve(declared: &Declared, products: &[(&[String], u64)], known: &mut Extents) {
    loop {
        let found = products.iter().find_map(|(factors, extent)| {
            let value = |f: &String| match declared.literal(f) {
                Some(_) => known.get(f).copied(),
                None => declared.extent(f, known),
            };
            let unknown: Vec<&String> = factors.iter().filter(|f| value(f).is_none()).collect();
            let [dim] = unknown[..] else { return None };
            let others = factors.iter().filter_map(value).try_fold(1u64, u64::checked_mul)?;
            let is_base = declared.literal(dim).is_some();
            let exact = others != 0 && extent % others == 0;
            (is_base && exact).then(|| (dim.clone(), extent / others))
        });
        match found {
            Some((dim, extent)) => known.insert(dim, extent),
            None => return,
        };
    }
}

/// What stands before all names in the checkpoint, such as `transformer.`.
fn prefix(leaves: &[Leaf], checkpoint: &SafeTensors) -> String {
    let names: Vec<String> = leaves.iter().map(|l| l.tensor.replace("{}", "0")).collect();
    let found = |prefix: &str| {
        let full = names.iter().map(|name| format!("{prefix}{name}"));
        full.filter(|name| checkpoint.get(name).is_some()).count()
    };
    let mut best = (found(""), String::new());
    let first = names.first().map_or("", String::as_str);
    let candidates = checkpoint.names().filter_map(|name| name.strip_suffix(first));
    for prefix in candidates.filter(|p| p.ends_with('.')) {
        let count = found(prefix);
        if count > best.0 {
            best = (count, prefix.to_owned());
        }
    }
    best.1
}
