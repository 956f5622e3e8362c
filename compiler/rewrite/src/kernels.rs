//! What a choice of nodes computes: which classes become comprehensions and which are written
//! inside the bodies of others. Cost and decoding both follow it.

use crate::index::IndexSet;
use crate::lang::{MapFn, Node};
use crate::memo::Memo;
use crate::view::{Choice, Class, Shape, Substitution, View, parts};
use egg::Language;
use einmesh_ir::ValueId;
use std::rc::Rc;

/// The operations of a choice, in an order in which each comes after what it reads.
pub(crate) struct Kernels {
    /// The classes that exist in memory and are computed by a comprehension or a kept operation.
    pub order: Vec<usize>,
    /// For each class, whether it is in `order`.
    pub stored: Vec<bool>,
    /// Root values that need a copy of their class: it is a leaf, or another root has its value.
    pub copies: Vec<(ValueId, usize)>,
}

/// What the kernel of a class reads from memory, in order; `None` if it needs a class to compute itself.
pub(crate) type Needs = Option<Rc<[usize]>>;

/// Finds the kernels of a choice; `None` if it needs a class to compute itself.
pub(crate) fn kernels(
    view: &View,
    choice: &Choice,
    roots: &[ValueId],
    memo: &mut Memo<Needs>,
) -> Option<Kernels> {
    let n = view.classes.len();
    let mut ctx = Ctx { view, choice, memo, state: vec![State::New; n], order: Vec::new() };
    let Node::Root(children) = view.node(choice, view.root) else {
        return None;
    };
    let mut copies = Vec::new();
    for (child, value) in children.iter().zip(roots) {
        let class = usize::from(*child);
        if view.classes[class].names.contains(value) {
            let computed = matches!(
                view.shape(view.node(choice, class)),
                Shape::Elementwise | Shape::Reduction(_) | Shape::Kept
            );
            if !computed || primary(view, class, roots) != Some(*value) {
                copies.push((*value, class));
            }
            if !computed {
                let mut needs = Vec::new();
                let space = view.indices(class);
                read(view, choice, class, (false, space), &Substitution::IDENTITY, 0, &mut needs)?;
                needs.into_iter().try_for_each(|class| ctx.store(class))?;
                continue;
            }
        }
        ctx.store(class)?;
    }
    let stored: Vec<bool> = ctx.state.iter().map(|s| *s == State::Done).collect();
    // A gather that is stored because it has a name is written as that name already.
    copies
        .retain(|(value, class)| !(stored[*class] && primary(view, *class, roots) == Some(*value)));
    Some(Kernels { order: ctx.order, stored, copies })
}

/// The value of the program that a stored class is written as: what a kept operation defines, or
/// a root if it has one.
pub(crate) fn primary(view: &View, class: usize, roots: &[ValueId]) -> Option<ValueId> {
    let Class { names, nodes, .. } = &view.classes[class];
    let of = |op: u32, n: u32| view.table.opaque_result(op, n);
    let defined = nodes.iter().find_map(|node| match node {
        Node::Opaque(op, _) if view.table.results(*op) == 1 => of(*op, 0),
        Node::Result(n, [child]) => {
            view.classes[usize::from(*child)].nodes.iter().find_map(|node| match node {
                Node::Opaque(op, _) => of(*op, *n),
                _ => None,
            })
        }
        _ => None,
    });
    if defined.is_some() {
        return defined;
    }
    names.iter().find(|v| roots.contains(v)).or(names.first()).copied()
}

/// Whether a reader inside a kernel of shape `kernel` over `points` loads the class (renamings
/// resolved) from memory rather than computing it in place.
///
/// Reductions are stored, and so is every value that has a name in the program, so that placements
/// asked for a value still find it. An expression that the program wrote inside a body stays
/// inside. A new expression is stored only where computing it in place would repeat it.
pub(crate) fn is_loaded(view: &View, choice: &Choice, class: usize, kernel: Kernel) -> bool {
    let info = &view.classes[class];
    let node = view.node(choice, class);
    match view.shape(node) {
        Shape::Transparent => match node {
            Node::Leaf(_) => true,
            // A named gather happens once; a named slice is read where it lies.
            Node::Access(t, _) => {
                !view.table.templates[*t as usize].slice && !info.names.is_empty()
            }
            _ => false,
        },
        Shape::Kept | Shape::Reduction(_) => true,
        Shape::Elementwise if !info.names.is_empty() => true,
        Shape::Elementwise if info.given.is_some() => false,
        Shape::Elementwise => {
            let read = |c: &egg::Id| {
                let (base, _) = view.resolve(choice, usize::from(*c), &Substitution::IDENTITY);
                matches!(
                    view.shape(view.node(choice, base)),
                    Shape::Transparent | Shape::Kept | Shape::Reduction(_)
                ) || !view.classes[base].names.is_empty()
            };
            let light = node.children().iter().all(read);
            let conversion = matches!(node, Node::Map(MapFn::Cast(_), _))
                || matches!(node, Node::Ein { guarded: false, children, .. } if children.len() == 1);
            if kernel.reduces { !(light && conversion) } else { !light && !kernel.same_points }
        }
    }
}

/// Where an expression is read.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    /// Whether the kernel combines points.
    pub reduces: bool,
    /// Whether the expression has all the indices of the kernel.
    pub same_points: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Open,
    Done,
}

struct Ctx<'a> {
    view: &'a View<'a>,
    choice: &'a Choice,
    memo: &'a mut Memo<Needs>,
    state: Vec<State>,
    order: Vec<usize>,
}

impl Ctx<'_> {
    /// Puts a class and what it reads into the order.
    fn store(&mut self, class: usize) -> Option<()> {
        let (class, _) = self.view.resolve(self.choice, class, &Substitution::IDENTITY);
        let node = self.view.node(self.choice, class);
        let shape = self.view.shape(node);
        if shape == Shape::Transparent {
            // A root that is only read, or an operand of a kept operation.
            return if matches!(node, Node::Leaf(_)) { Some(()) } else { self.mark(class) };
        }
        self.mark(class)
    }

    fn mark(&mut self, class: usize) -> Option<()> {
        match self.state[class] {
            State::Done => return Some(()),
            State::Open => return None,
            State::New => self.state[class] = State::Open,
        }
        let (view, choice) = (self.view, self.choice);
        let needs = self.memo.get(view, choice, class, || needs(view, choice, class))?;
        needs.iter().try_for_each(|class| self.store(*class))?;
        self.state[class] = State::Done;
        self.order.push(class);
        Some(())
    }
}

/// What the kernel of a class needs stored.
fn needs(view: &View, choice: &Choice, class: usize) -> Needs {
    let node = view.kernel_node(choice, class);
    let children = || node.children().iter().map(|c| usize::from(*c));
    match node {
        Node::Rename(..) => None,
        Node::Opaque(..) | Node::Access(..) | Node::Result(..) => Some(children().collect()),
        _ => {
            let reduces = matches!(view.shape(node), Shape::Reduction(_));
            let space = view.indices(class) | view.inner_indices(node);
            let mut needs = Vec::new();
            for child in children() {
                let names = &Substitution::IDENTITY;
                read(view, choice, child, (reduces, space), names, 0, &mut needs)?;
            }
            Some(needs.into())
        }
    }
}

/// Finds what a kernel over `space`, which may reduce, needs stored to read `class`.
fn read(
    view: &View,
    choice: &Choice,
    class: usize,
    (reduces, space): (bool, IndexSet),
    names: &Substitution,
    depth: usize,
    needs: &mut Vec<usize>,
) -> Option<()> {
    if depth > view.classes.len() {
        return None;
    }
    let (base, names) = view.resolve(choice, class, names);
    let node = view.node(choice, base);
    if matches!(node, Node::Rename(..)) {
        return None;
    }
    let same_points = names.apply_set(view.indices(base)) == space;
    if is_loaded(view, choice, base, Kernel { reduces, same_points }) {
        needs.push(base);
        return Some(());
    }
    if let Node::Access(_, values) = node {
        needs.extend(values.iter().map(|c| usize::from(*c)));
        return Some(());
    }
    let (guard, rest) = parts(node);
    guard
        .into_iter()
        .chain(rest)
        .try_for_each(|child| read(view, choice, child, (reduces, space), &names, depth + 1, needs))
}
