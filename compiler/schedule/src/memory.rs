//! The static memory plan: which values share memory, and where it is.
//!
//! Values that may be one memory are united into classes: a store with the array it stores into, a
//! loop's state with its initial and its next value. A union needs that no two members are alive at
//! the same time. Classes get places in the arena such that those alive together do not overlap.

use crate::ahead::Ahead;
use crate::kernel::{Kernel, Role};
use crate::order::{Action, Order};
use crate::packing::{self, Block};
use einmesh_ir::{Arena, Program, ValueId};

/// Arena offsets are multiples of this.
pub const ALIGNMENT: u64 = 64;

/// Where each value lives.
#[derive(Debug)]
pub struct Memory {
    /// The class of each value; values without memory (fused away) have none.
    pub class_of: Arena<ValueId, Option<usize>>,
    /// The classes' places.
    pub places: Vec<Place>,
    /// Bytes of the arena.
    pub arena_bytes: u64,
    /// The most bytes of it that are in use at once: no arena can be smaller.
    pub arena_bound: u64,
    /// Pairs of classes that exchange their memory at the end of an iteration.
    pub swaps: Vec<(ValueId, ValueId)>,
}

/// Where a class is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// In the arena.
    Arena(u64),
    /// The memory of an input.
    Input(usize),
    /// The memory of an output.
    Output(usize),
}

/// A value's life: from its first write to its last read, in positions of a walk over the actions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Life {
    start: usize,
    end: usize,
}

struct Class {
    members: Vec<ValueId>,
    /// Memory that must not be written: an input that is not donated.
    read_only: bool,
    input: Option<usize>,
    output: Option<usize>,
    swapped: bool,
    /// The whole class's life, loops it is a state of included.
    hull: Life,
}

/// Plans the memory of an order.
pub fn plan(program: &Program, order: &Order) -> Memory {
    let mut ctx = Ctx::new(program, order);
    ctx.walk(&order.actions, &mut 1, &mut Vec::new());
    ctx.read_outputs();
    ctx.unite(order);
    ctx.place()
}

struct Ctx<'a> {
    program: &'a Program,
    kernels: &'a [Kernel],
    lives: Arena<ValueId, Option<Life>>,
    /// The depth of loops at which each value is first written; inputs have 0.
    home: Arena<ValueId, usize>,
    class_of: Arena<ValueId, Option<usize>>,
    classes: Vec<Class>,
    swaps: Vec<(ValueId, ValueId)>,
    /// For each copy, store and advance: source, destination, position, enclosing loop.
    moves: Vec<Move>,
    end: usize,
}

#[derive(Clone, Copy)]
struct Move {
    from: ValueId,
    to: ValueId,
    position: usize,
    /// For the step of a loop's state: the loop's first and last position.
    advance: Option<(usize, usize)>,
}

impl<'a> Ctx<'a> {
    fn new(program: &'a Program, order: &'a Order) -> Self {
        let none = || program.values.ids().map(|_| None);
        let mut ctx = Ctx {
            program,
            kernels: &order.kernels,
            lives: none().collect(),
            home: program.values.ids().map(|_| 0).collect(),
            class_of: program.values.ids().map(|_| None).collect(),
            classes: Vec::new(),
            swaps: Vec::new(),
            moves: Vec::new(),
            end: 0,
        };
        for input in &program.inputs {
            ctx.lives[input.value] = Some(Life { start: 0, end: 0 });
        }
        ctx
    }

    /// Notes that a value is used at `position`, inside of `depth` loops.
    fn touch(&mut self, value: ValueId, position: usize, depth: usize) {
        match &mut self.lives[value] {
            Some(life) => life.end = life.end.max(position),
            none @ None => {
                *none = Some(Life { start: position, end: position });
                self.home[value] = depth;
            }
        }
    }

    fn walk(&mut self, actions: &[Action], clock: &mut usize, entries: &mut Vec<Vec<ValueId>>) {
        for action in actions {
            *clock += 1;
            let now = *clock;
            let depth = entries.len();
            match action {
                Action::Launch { operands, .. } => {
                    for value in operands {
                        self.touch(*value, now, depth);
                    }
                }
                Action::Copy { from, to } => {
                    self.touch(*from, now, depth);
                    self.touch(*to, now, depth);
                    self.moves.push(Move { from: *from, to: *to, position: now, advance: None });
                }
                Action::Advance { from, .. } => self.touch(*from, now, depth),
                Action::Collective(c) => {
                    self.touch(c.input, now, depth);
                    self.touch(c.out, now, depth);
                }
                Action::Loop { ahead, body, results, condition, .. } => {
                    let first = now;
                    self.touch_ahead(ahead, first, depth);
                    if let Some(condition) = condition {
                        self.touch(*condition, first, depth);
                    }
                    let states: Vec<ValueId> = body
                        .iter()
                        .filter_map(|a| match a {
                            Action::Advance { to, .. } => Some(*to),
                            _ => None,
                        })
                        .collect();
                    entries.push(states);
                    self.walk(body, clock, entries);
                    *clock += 1;
                    let last = *clock;
                    self.touch_ahead(ahead, last, depth);
                    let states = entries.pop().expect("pushed above");
                    self.close_loop(body, first, last, depth, &states);
                    // The results begin here, not where a later loop happens to read them first; and not
                    // before the last iteration's values have ended, whose memory they may take over.
                    *clock += 1;
                    for result in results {
                        self.touch(*result, *clock, depth);
                    }
                }
            }
            self.end = *clock;
        }
    }

    /// What a loop does ahead may happen at any time while it runs: what that touches lives as long, and so do the two
    /// values of a pair, which have each other's memory in every other iteration.
    fn touch_ahead(&mut self, ahead: &Ahead, position: usize, depth: usize) {
        let operands = ahead.actions.iter().flat_map(|action| match action {
            Action::Launch { operands, .. } => operands.clone(),
            Action::Collective(c) => vec![c.input, c.out],
            Action::Copy { .. } | Action::Advance { .. } | Action::Loop { .. } => {
                unreachable!("only launches and collectives are done ahead")
            }
        });
        let handed = ahead.handed.iter().flat_map(|(next, now)| [*next, *now]);
        for value in operands.chain(handed) {
            self.touch(value, position, depth);
        }
    }

    /// A value from outside of a loop that is used inside lives to the loop's end, and from its
    /// beginning if the loop writes it piece by piece. A state that advances is new in each
    /// iteration: it only lives to its last read.
    fn close_loop(
        &mut self,
        body: &[Action],
        first: usize,
        last: usize,
        depth: usize,
        states: &[ValueId],
    ) {
        for value in self.program.values.ids() {
            let Some(mut life) = self.lives[value] else {
                continue;
            };
            let home = self.home[value];
            if life.end > first && home <= depth && !states.contains(&value) {
                life.end = last;
            } else if life.start > first && home > depth && self.writes_pieces(body, value) {
                life = Life { start: first, end: life.end.max(last) };
                self.home[value] = depth;
            }
            self.lives[value] = Some(life);
        }
        for action in body {
            if let Action::Advance { from, to } = action {
                self.moves.push(Move {
                    from: *from,
                    to: *to,
                    position: last,
                    advance: Some((first, last)),
                });
                if let Some(life) = &mut self.lives[*from] {
                    life.end = life.end.max(last);
                }
            }
        }
    }

    /// Whether the loop's own actions write `value` piece by piece, without a copy before.
    fn writes_pieces(&self, body: &[Action], value: ValueId) -> bool {
        let copied = body.iter().any(|a| matches!(a, Action::Copy { to, .. } if *to == value));
        !copied
            && body.iter().any(|a| match a {
                Action::Launch { kernel, operands, .. } => {
                    let roles = self.kernels[*kernel].values.iter().map(|m| m.role);
                    operands.iter().zip(roles).any(|(v, r)| *v == value && r == Role::Update)
                }
                _ => false,
            })
    }

    fn read_outputs(&mut self) {
        let end = self.end + 1;
        for output in &self.program.outputs {
            self.touch(output.value, end, 0);
        }
    }

    fn unite(&mut self, order: &Order) {
        for value in self.program.values.ids() {
            let Some(life) = self.lives[value] else {
                continue;
            };
            let input = self.program.inputs.iter().position(|i| i.value == value);
            self.class_of[value] = Some(self.classes.len());
            self.classes.push(Class {
                members: vec![value],
                read_only: input.is_some_and(|i| !self.program.inputs[i].donated),
                input,
                output: None,
                swapped: false,
                hull: life,
            });
        }
        for (entry, result) in &order.states {
            if self.lives[*result].is_some() {
                self.merge(*entry, *result);
            }
        }
        let moves = std::mem::take(&mut self.moves);
        // A loop's states stay alive around its back edge.
        for m in &moves {
            if let Some((first, last)) = m.advance {
                self.extend(m.to, first, last);
            }
        }
        for m in &moves {
            if self.may_share(m) {
                self.merge(m.from, m.to);
            } else if let Some((first, last)) = m.advance
                && self.may_swap(m)
            {
                self.extend(m.from, first, last);
                self.share_life(m.from, m.to);
                for value in [m.from, m.to] {
                    let class = self.class(value);
                    self.classes[class].swapped = true;
                }
                self.swaps.push((m.from, m.to));
            }
        }
        for (position, output) in self.program.outputs.iter().enumerate() {
            let Some(class) = self.class_of[output.value] else {
                continue;
            };
            let class = &mut self.classes[class];
            if class.input.is_none() && !class.swapped && class.output.is_none() {
                class.output = Some(position);
            }
        }
    }

    fn class(&self, value: ValueId) -> usize {
        self.class_of[value].expect("moves are between values in memory")
    }

    fn extend(&mut self, value: ValueId, first: usize, last: usize) {
        let class = self.class(value);
        let hull = &mut self.classes[class].hull;
        *hull = Life { start: hull.start.min(first), end: hull.end.max(last) };
    }

    /// After an odd number of exchanges each has the other's place: both places live as long as either.
    fn share_life(&mut self, a: ValueId, b: ValueId) {
        for (one, other) in [(a, b), (b, a)] {
            let Life { start, end } = self.classes[self.class(other)].hull;
            self.extend(one, start, end);
        }
    }

    /// Whether source and destination can be one memory: the source is of no use afterwards.
    fn may_share(&self, m: &Move) -> bool {
        let (from, to) = (self.class(m.from), self.class(m.to));
        if from == to {
            return false;
        }
        let (a, b) = (&self.classes[from], &self.classes[to]);
        let read_only = a.read_only || b.read_only;
        let inputs = a.input.is_some() && b.input.is_some();
        if read_only || inputs || a.swapped || b.swapped {
            return false;
        }
        a.members.iter().all(|x| b.members.iter().all(|y| self.apart(*x, *y, m)))
    }

    /// Whether two values are never alive at the same time, but for the move itself.
    fn apart(&self, x: ValueId, y: ValueId, m: &Move) -> bool {
        let (Some(a), Some(b)) = (self.lives[x], self.lives[y]) else {
            return true;
        };
        if (x, y) == (m.from, m.to) && m.advance.is_none() {
            // The destination begins where the source ends: at the copy.
            return a.end <= m.position && b.start >= m.position;
        }
        a.end < b.start || b.end < a.start
    }

    /// Whether the state's memory and its successor's may be exchanged.
    fn may_swap(&self, m: &Move) -> bool {
        let (from, to) = (self.class(m.from), self.class(m.to));
        let plain = |c: &Class| c.input.is_none() && !c.swapped;
        let own = self.classes[from].members.len() == 1;
        from != to && own && plain(&self.classes[from]) && plain(&self.classes[to])
    }

    fn merge(&mut self, a: ValueId, b: ValueId) {
        let (keep, gone) = (self.class(a), self.class(b));
        if keep == gone {
            return;
        }
        let members = std::mem::take(&mut self.classes[gone].members);
        for value in &members {
            self.class_of[*value] = Some(keep);
        }
        let (input, hull) = (self.classes[gone].input, self.classes[gone].hull);
        let class = &mut self.classes[keep];
        class.members.extend(members);
        class.input = class.input.or(input);
        class.hull =
            Life { start: class.hull.start.min(hull.start), end: class.hull.end.max(hull.end) };
    }

    /// Gives arena classes their offsets.
    fn place(self) -> Memory {
        let mut places = vec![Place::Arena(0); self.classes.len()];
        let mut waiting: Vec<usize> = Vec::new();
        let mut blocks: Vec<Block> = Vec::new();
        for (id, class) in self.classes.iter().enumerate() {
            let Some(first) = class.members.first() else {
                continue;
            };
            match (class.input, class.output) {
                (Some(input), _) => places[id] = Place::Input(input),
                (None, Some(output)) => places[id] = Place::Output(output),
                (None, None) => {
                    let bytes = self.program.bytes(*first).next_multiple_of(ALIGNMENT);
                    let Life { start, end } = class.hull;
                    blocks.push(Block { bytes, start, end });
                    waiting.push(id);
                }
            }
        }
        let packing = packing::pack(&blocks);
        for (id, offset) in waiting.into_iter().zip(packing.offsets) {
            places[id] = Place::Arena(offset);
        }
        Memory {
            class_of: self.class_of,
            places,
            arena_bytes: packing.bytes,
            arena_bound: packing::lower_bound(&blocks),
            swaps: self.swaps,
        }
    }
}
