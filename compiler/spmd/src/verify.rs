//! The static proof that a partitioned program cannot deadlock.
//!
//! All devices run one program. Collectives stand in blocks, and the only control flow is the loop,
//! whose trip count is the extent of a dim, a constant, or decided by a condition that is the same on all
//! devices, which [`uniform`] proves. Nothing else decides what is executed. Hence all devices execute the same sequence of collectives, and it
//! remains to show for each collective that it means the same to all: the groups over its axes
//! partition the devices into groups of one size, every member gives and receives the same number
//! of elements, and a permutation sends to each member at most once. Since the devices meet in the
//! same order everywhere, the first collective that is not complete always has all its members on
//! their way to it, and by induction none waits for ever.
//!
//! [`verify_spmd`](einmesh_ir::verify::verify_spmd) checks types and definitions; this checks what
//! the argument needs, on its own, so that neither has to be trusted alone.

use crate::uniform;
use einmesh_ir::verify::Violation;
use einmesh_ir::{
    Block, Collective, CollectiveKind, DType, Mesh, MeshAxisId, Op, Program, Reducer, SpmdProgram,
    ValueId,
};
use std::collections::BTreeSet;

/// Whatever in a partitioned program could make devices disagree or wait for ever; empty for every
/// result of [`partition`](crate::partition).
pub fn verify_collectives(spmd: &SpmdProgram) -> Vec<Violation> {
    let mut verifier = Verifier {
        program: &spmd.program,
        mesh: &spmd.mesh,
        given: spmd.program.inputs.iter().map(|i| i.value).collect(),
        found: Vec::new(),
    };
    verifier.mesh();
    if verifier.found.is_empty() {
        verifier.block(&spmd.program.body);
    }
    if verifier.found.is_empty() {
        verifier.found = uniform::conditions(spmd);
    }
    verifier.found
}

struct Verifier<'a> {
    program: &'a Program,
    mesh: &'a Mesh,
    /// The values that every device has by now.
    given: BTreeSet<ValueId>,
    found: Vec<Violation>,
}

impl Verifier<'_> {
    fn report(&mut self, at: &Collective, message: String) {
        let name = self.program.name_of(at.out);
        let span = at.provenance.origin.span;
        self.found.push(Violation { message: format!("collective {name}: {message}"), span });
    }

    fn mesh(&mut self) {
        for axis in self.mesh.axes.values().filter(|a| a.size == 0) {
            let message = format!("mesh axis `{}` has no devices", axis.name);
            self.found.push(Violation { message, span: None });
        }
    }

    fn block(&mut self, block: &Block) {
        for op in &block.ops {
            match op {
                Op::Loop(l) => {
                    let outside = self.given.clone();
                    self.given.extend(l.carried.iter().map(|c| c.entry));
                    if self.program.loop_vars.get(l.var).is_none() {
                        let message = format!("a loop without a trip count: {:?}", l.var);
                        self.found.push(Violation { message, span: None });
                    }
                    self.block(&l.body);
                    self.given = outside;
                }
                Op::Collective(c) => self.collective(c),
                Op::Compute(_) | Op::Argsort(_) => {}
            }
            self.given.extend(op.defines());
        }
    }

    fn collective(&mut self, c: &Collective) {
        let values = &self.program.values;
        let (Some(input), Some(out)) = (values.get(c.input), values.get(c.out)) else {
            let message = format!("unknown value in a collective: {:?} to {:?}", c.input, c.out);
            return self.found.push(Violation { message, span: c.provenance.origin.span });
        };
        if !self.given.contains(&c.input) {
            self.report(c, "gives a value before it is there".to_owned());
        }
        if let Some(problem) = groups(self.mesh, &c.axes) {
            return self.report(c, problem);
        }
        if input.dtype != out.dtype {
            self.report(c, format!("gives {} and receives {}", input.dtype, out.dtype));
        }
        let members = self.mesh.size_of(&c.axes);
        let (give, receive) = (self.program.extents(c.input), self.program.extents(c.out));
        if let Some(problem) = payload(&c.kind, members, &give, &receive, input.dtype) {
            self.report(c, problem);
        }
    }
}

/// What is wrong with the groups over some axes: they must exist, be distinct, and partition the
/// devices into groups of one size.
fn groups(mesh: &Mesh, axes: &[MeshAxisId]) -> Option<String> {
    if axes.is_empty() {
        return Some("over no mesh axis".to_owned());
    }
    for (at, axis) in axes.iter().enumerate() {
        match mesh.axes.get(*axis) {
            None => return Some(format!("over an unknown mesh axis {axis:?}")),
            Some(a) if axes[..at].contains(axis) => {
                return Some(format!("over mesh axis `{}` twice", a.name));
            }
            Some(_) => {}
        }
    }
    // A group is what is left of the coordinates without those on the axes; a device is named by
    // the pair of its group and its place in it, so the groups are a partition iff the pairs are
    // all distinct and in range. Coordinates are mixed-radix digits, which makes them so.
    let size = mesh.size_of(axes);
    let whole = mesh.devices().is_multiple_of(size);
    let others: Vec<MeshAxisId> = mesh.axes.ids().filter(|a| !axes.contains(a)).collect();
    (!whole || mesh.size_of(&others) * size != mesh.devices())
        .then(|| format!("groups of {size} do not partition {} devices", mesh.devices()))
}

/// What is wrong with what one member gives and receives.
fn payload(
    kind: &CollectiveKind,
    members: u64,
    give: &[u64],
    receive: &[u64],
    dtype: DType,
) -> Option<String> {
    let mut expected = give.to_vec();
    let fits = match *kind {
        CollectiveKind::AllReduce(reducer) => combines(reducer, dtype),
        CollectiveKind::AllGather { position } => grow(&mut expected, position, members),
        CollectiveKind::ReduceScatter { reducer, position } => {
            combines(reducer, dtype) && shrink(&mut expected, position, members)
        }
        CollectiveKind::AllToAll { split, concat } => {
            split != concat
                && shrink(&mut expected, split, members)
                && grow(&mut expected, concat, members)
        }
        // Member m hears of m − shift and of no other, so no two sends meet; a shift by the whole
        // group or more reaches nobody.
        CollectiveKind::CollectivePermute { shift, .. } => {
            shift != 0 && shift.unsigned_abs() < members
        }
    };
    if !fits {
        return Some(format!("{kind:?} is impossible among {members} devices with {give:?}"));
    }
    (expected != receive)
        .then(|| format!("{kind:?} of {give:?} gives {expected:?}, but {receive:?} is expected"))
}

fn combines(reducer: Reducer, dtype: DType) -> bool {
    crate::grid::combines(reducer, dtype)
}

fn grow(shape: &mut [u64], position: usize, members: u64) -> bool {
    let extent = shape.get_mut(position);
    extent.is_some_and(|e| e.checked_mul(members).inspect(|grown| *e = *grown).is_some())
}

fn shrink(shape: &mut [u64], position: usize, members: u64) -> bool {
    let Some(extent) = shape.get_mut(position) else {
        return false;
    };
    let exact = extent.is_multiple_of(members);
    *extent /= members;
    exact
}
