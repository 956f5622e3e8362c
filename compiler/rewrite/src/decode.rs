//! From a choice of nodes back to operations.
//!
//! Values keep their ids where the program had them, so that names, origins and placements asked
//! for by name stay; roots always do. Unused values stay in the program's arena, undefined.

mod body;

use crate::index::{IndexNumber, IndexSet};
use crate::kernels::{Kernels, primary};
use crate::lang::Node;
use crate::substitute::{in_order, substitute};
use crate::view::{Choice, Shape, Substitution, View, parts};
use body::Body;
use egg::Language;
use einmesh_ir::{Comprehension, Dim, DimId, Op, Program, Reducer, Value, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// The operations that compute a choice; new values and dims are added to `program`.
pub(crate) fn decode(
    program: &mut Program,
    view: &View,
    choice: &Choice,
    kernels: &Kernels,
    roots: &[ValueId],
    classes: &BTreeMap<ValueId, usize>,
    original: &[Op],
) -> Vec<Op> {
    let mut ctx = Ctx {
        program,
        view,
        choice,
        roots,
        classes,
        arrays: BTreeMap::new(),
        original,
        ops: vec![],
    };
    let labels = ctx.labels(kernels);
    for class in &kernels.order {
        ctx.emit(*class, labels.get(class).copied());
    }
    for (value, class) in &kernels.copies {
        ctx.copy(*class, *value);
    }
    in_order(ctx.ops, original)
}

/// A value in memory and the block's index of each of its axes.
#[derive(Clone, Debug)]
struct Array {
    value: ValueId,
    axes: Vec<IndexNumber>,
}

struct Ctx<'a> {
    program: &'a mut Program,
    view: &'a View<'a>,
    choice: &'a Choice,
    roots: &'a [ValueId],
    classes: &'a BTreeMap<ValueId, usize>,
    arrays: BTreeMap<usize, Array>,
    original: &'a [Op],
    ops: Vec<Op>,
}

impl Ctx<'_> {
    /// For each stored class, the value of the program whose computation it serves: it gives new
    /// values their name and origin.
    fn labels(&self, kernels: &Kernels) -> BTreeMap<usize, ValueId> {
        let mut labels = BTreeMap::new();
        for class in kernels.order.iter().rev() {
            let own = primary(self.view, *class, self.roots);
            let Some(label) = own.or_else(|| labels.get(class).copied()) else {
                continue;
            };
            labels.insert(*class, label);
            let mut todo: Vec<usize> = vec![*class];
            let mut steps = 0;
            while let Some(at) = todo.pop() {
                for child in self.view.node(self.choice, at).children() {
                    let child = usize::from(*child);
                    labels.entry(child).or_insert(label);
                    steps += 1;
                    if !kernels.stored[child] && steps < 4 * self.view.classes.len() {
                        todo.push(child);
                    }
                }
            }
        }
        labels
    }

    fn array(&self, class: usize) -> Array {
        if let Some(array) = self.arrays.get(&class) {
            return array.clone();
        }
        let Node::Leaf(value) = self.view.node(self.choice, class) else {
            unreachable!("kernels come after what they read")
        };
        Array { value: *value, axes: self.view.table.axes(*value).collect() }
    }

    fn emit(&mut self, class: usize, label: Option<ValueId>) {
        let view = self.view;
        let node = view.kernel_node(self.choice, class);
        match node {
            Node::Opaque(op, _) => self.keep(class, *op),
            Node::Result(n, [child]) => {
                let Node::Opaque(op, _) = view.node(self.choice, usize::from(*child)) else {
                    unreachable!("a result is of a kept operation")
                };
                let value = view.table.opaque_result(*op, *n).expect("an existing result");
                let axes = view.table.axes(value).collect();
                self.arrays.insert(class, Array { value, axes });
            }
            _ => {
                let array = self.output(class, node, label);
                let op = self.comprehension(class, node, &array);
                let op = self.verbatim(class, &op).unwrap_or(op);
                self.ops.push(Op::Compute(op));
                self.arrays.insert(class, array);
            }
        }
    }

    /// The comprehension of the program that this one repeats, as it was written.
    fn verbatim(&self, class: usize, op: &Comprehension) -> Option<Comprehension> {
        let written = self.original.iter().find_map(|o| match o {
            Op::Compute(c) if c.out == op.out => Some(c),
            _ => None,
        })?;
        let set = |c: &Comprehension| c.reads().into_iter().collect::<BTreeSet<ValueId>>();
        (set(written) == set(op) && self.is_given(class, true)).then(|| written.clone())
    }

    /// Whether a class is computed as the program does, down to what it reads from memory.
    fn is_given(&self, class: usize, top: bool) -> bool {
        let (view, choice) = (self.view, self.choice);
        let info = &view.classes[class];
        if !top
            && (self.arrays.contains_key(&class)
                || matches!(view.node(choice, class), Node::Leaf(_)))
        {
            return true;
        }
        info.given == Some(choice[class])
            && view
                .node(choice, class)
                .children()
                .iter()
                .all(|c| self.is_given(usize::from(*c), false))
    }

    /// The value that a class is stored as.
    fn output(&mut self, class: usize, node: &Node, label: Option<ValueId>) -> Array {
        if let Some(value) = primary(self.view, class, self.roots) {
            return Array { value, axes: self.view.table.axes(value).collect() };
        }
        let mut axes = self.axes(class, node);
        let reduces = matches!(self.view.shape(node), Shape::Reduction(_));
        if let Some(value) = label {
            // As in the value it serves, so that a reader finds both in the same order. What is computed point
            // by point and summed by its reader stays in its operands' order, in which it is written as they are read.
            let like: Vec<IndexNumber> = self.view.table.axes(value).collect();
            let like = if reduces || axes.iter().all(|a| like.contains(a)) { like } else { vec![] };
            let place = |a: &IndexNumber| like.iter().position(|l| l == a).unwrap_or(like.len());
            axes.sort_by_key(place);
        }
        let (name, origin) = label.map_or(("part".to_owned(), Default::default()), |v| {
            let value = &self.program.values[v];
            (format!("{}_part", value.name), value.origin.clone())
        });
        let mut dims: Vec<DimId> = Vec::new();
        for axis in &axes {
            let info = &self.view.table.indices[*axis as usize];
            let dim = if dims.contains(&info.dim) { self.role(info.dim, &dims) } else { info.dim };
            dims.push(dim);
        }
        let dtype = self.view.classes[class].facts.dtype.expect("a stored term has a dtype");
        let value = self.program.values.push(Value { name, dtype, dims, origin });
        Array { value, axes }
    }

    /// A type names no dim twice: a second axis of a dim has a role of that dim.
    fn role(&mut self, of: DimId, used: &[DimId]) -> DimId {
        let Dim { name, extent, symbolic, .. } = self.program.dims[of].clone();
        let is_role = |(id, d): &(DimId, &Dim)| {
            d.role_of == Some(of)
                && d.extent == extent
                && !used.contains(id)
                && d.name.starts_with(&name)
        };
        if let Some((id, _)) = self.program.dims.iter().find(is_role) {
            return id;
        }
        let name = format!("{name}_{}", self.program.dims.len());
        self.program.dims.push(Dim { name, extent, role_of: Some(of), symbolic })
    }

    /// The axes of a new value, in the order of its operands' axes.
    fn axes(&self, class: usize, node: &Node) -> Vec<IndexNumber> {
        let mut left = self.view.indices(class);
        let mut axes = Vec::new();
        for child in node.children() {
            let names = Substitution::IDENTITY;
            let (base, names) = self.view.resolve(self.choice, usize::from(*child), &names);
            let own: Vec<IndexNumber> = match self.arrays.get(&base) {
                Some(array) => array.axes.clone(),
                None => match self.view.node(self.choice, base) {
                    Node::Leaf(v) => self.view.table.axes(*v).collect(),
                    _ => self.view.indices(base).iter().collect(),
                },
            };
            for axis in own.into_iter().map(|a| names.apply(a)) {
                if left.contains(axis) {
                    left = left - IndexSet::single(axis);
                    axes.push(axis);
                }
            }
        }
        axes.extend(left.iter());
        axes
    }

    fn comprehension(&self, class: usize, node: &Node, out: &Array) -> Comprehension {
        let view = self.view;
        let (reducer, space) = match view.shape(node) {
            Shape::Reduction(reducer) => (reducer, view.indices(class) | view.inner_indices(node)),
            // An element that is picked from an array (`x[i,3]`) has not all of the array's indices.
            _ => (Reducer::None, view.indices(class)),
        };
        let body = Body::new(self, out, space, reducer != Reducer::None);
        let (guard, _) = parts(node);
        let names = Substitution::IDENTITY;
        Comprehension {
            out: out.value,
            indices: body.indices(),
            free: out.axes.len(),
            reducer,
            guard: guard.map(|g| body.expr(g, &names)),
            body: body.node(node, class, &names, true),
            store: None,
        }
    }

    /// Writes a class into a value of its own.
    fn copy(&mut self, class: usize, value: ValueId) {
        let out = Array { value, axes: self.view.table.axes(value).collect() };
        let body = Body::new(self, &out, self.view.indices(class), false);
        let stored = self.arrays.contains_key(&class);
        let names = Substitution::IDENTITY;
        let expr = if stored { body.load(class, &names) } else { body.expr(class, &names) };
        let op = Comprehension {
            out: value,
            indices: body.indices(),
            free: out.axes.len(),
            reducer: Reducer::None,
            guard: None,
            body: expr,
            store: None,
        };
        self.ops.push(Op::Compute(op));
    }

    /// A kept operation, reading what its operands have become.
    fn keep(&mut self, class: usize, op: u32) {
        let (op, defines) = self.view.table.opaque[op as usize].clone();
        let mut map = BTreeMap::new();
        for value in crate::encode::reads(&op) {
            map.insert(value, self.exact(value));
        }
        self.ops.push(substitute(op, &map));
        if let [value] = defines[..] {
            let axes = self.view.table.axes(value).collect();
            self.arrays.insert(class, Array { value, axes });
        }
    }

    /// A value of exactly the type that `value` had in the program.
    fn exact(&mut self, value: ValueId) -> ValueId {
        let class = self.classes[&value];
        let (base, names) = (self.view).resolve(self.choice, class, &Substitution::IDENTITY);
        let array = self.array(base);
        // Equal dims are not enough: the value may be the array with two axes exchanged.
        let axes: Vec<IndexNumber> = array.axes.iter().map(|a| names.apply(*a)).collect();
        let same_axes = self.view.table.axes(value).eq(axes);
        let dims = |v: ValueId| &self.program.values[v].dims;
        if array.value == value || same_axes && dims(array.value) == dims(value) {
            return array.value;
        }
        let done = self.ops.iter().any(|op| op.defines().contains(&value));
        if !done {
            self.copy(class, value);
        }
        value
    }
}
