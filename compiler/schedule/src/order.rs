//! The order of execution: launches, loops and communication on the program's values, not yet on memory.

use crate::ahead::{Ahead, gather_ahead};
use crate::build::{self, Launch, Number};
use crate::fuse::{self, Unit};
use crate::kernel::Kernel;
use crate::place;
use crate::siblings;
use crate::usage::Usage;
use einmesh_ir::{Block, Collective, Loop, LoopVarId, MeshAxisId, Op, Program, ValueId};

/// Something to do, on values.
#[derive(Debug)]
pub enum Action {
    /// Runs a kernel (a position in [`Order::kernels`]).
    Launch {
        /// The kernel.
        kernel: usize,
        /// Its operands; see the kernel's memory for who is read and written.
        operands: Vec<ValueId>,
        /// Its numbers.
        ints: Vec<Number>,
    },
    /// `to = from`, the latter being of use no more after the last such action.
    Copy {
        /// The source.
        from: ValueId,
        /// The destination.
        to: ValueId,
    },
    /// At the end of an iteration: the state `to` becomes `from`.
    Advance {
        /// The loop's exit value.
        from: ValueId,
        /// The loop's entry value.
        to: ValueId,
    },
    /// Repeats actions.
    Loop {
        /// The counter.
        var: LoopVarId,
        /// Whether it counts down.
        reversed: bool,
        /// The state that must be true for another iteration.
        condition: Option<ValueId>,
        /// What is done for an iteration during the one before.
        ahead: Ahead,
        /// One iteration.
        body: Vec<Action>,
        /// The states after the last iteration.
        results: Vec<ValueId>,
    },
    /// Communicates.
    Collective(Collective),
}

/// All actions with the kernels they launch, and values that are one memory by construction.
#[derive(Debug, Default)]
pub struct Order {
    /// Distinct kernels.
    pub kernels: Vec<Kernel>,
    /// What is done.
    pub actions: Vec<Action>,
    /// A loop's entry value and its result after the loop.
    pub states: Vec<(ValueId, ValueId)>,
}

/// Orders a program's operations; fuses them into kernels. Loops gather ahead over the axes of `prefetch`. May add
/// values to the program.
pub fn order(program: &mut Program, prefetch: &[MeshAxisId]) -> Order {
    let usage = Usage::of(program);
    let mut ctx = Ctx { program, usage, order: Order::default() };
    let body = std::mem::take(&mut ctx.program.body);
    let actions = ctx.block(&body);
    ctx.program.body = body;
    let mut order = Order { actions, ..ctx.order };
    place::over_inputs(program, &mut order);
    gather_ahead(program, &mut order, prefetch);
    order.drop_unused();
    order
}

/// The position of a kernel among others; one that is equal to an earlier one is shared.
pub fn intern(kernels: &mut Vec<Kernel>, kernel: Kernel) -> usize {
    kernels.iter().position(|k| k.computes_the_same(&kernel)).unwrap_or_else(|| {
        kernels.push(kernel);
        kernels.len() - 1
    })
}

impl Order {
    /// Forgets kernels that nothing launches.
    fn drop_unused(&mut self) {
        let mut used = vec![false; self.kernels.len()];
        each_kernel(&mut self.actions, &mut |kernel| used[*kernel] = true);
        let position = |kernel: usize| used[..kernel].iter().filter(|u| **u).count();
        each_kernel(&mut self.actions, &mut |kernel| *kernel = position(*kernel));
        let mut used = used.iter();
        self.kernels.retain(|_| *used.next().expect("one for each kernel"));
    }
}

/// The kernels of all launches.
fn each_kernel(actions: &mut [Action], see: &mut impl FnMut(&mut usize)) {
    for action in actions {
        match action {
            Action::Launch { kernel, .. } => see(kernel),
            Action::Loop { ahead, body, .. } => {
                each_kernel(&mut ahead.actions, see);
                each_kernel(body, see);
            }
            _ => {}
        }
    }
}

struct Ctx<'a> {
    program: &'a mut Program,
    usage: Usage,
    order: Order,
}

impl Ctx<'_> {
    fn block(&mut self, block: &Block) -> Vec<Action> {
        let mut actions = Vec::new();
        let units = fuse::fuse(self.program, &self.usage, block);
        for unit in siblings::join(self.program, units) {
            match unit {
                Unit::Products(products) => {
                    let launch = build::products(self.program, &products);
                    actions.push(self.launch(launch));
                }
                Unit::Online(online) => {
                    let launch = build::online(self.program, &online);
                    actions.push(self.launch(launch));
                }
                Unit::Sweep(sweep) => {
                    let launch = build::sweep(self.program, &sweep);
                    actions.push(self.launch(launch));
                }
                Unit::Nest { outer, members } => {
                    for store in members.iter().filter_map(|m| Some((m.store.as_ref()?, m.out))) {
                        actions.push(Action::Copy { from: store.0.base, to: store.1 });
                    }
                    let launch = build::nest(self.program, &self.usage, outer.as_deref(), &members);
                    actions.push(self.launch(launch));
                }
                Unit::Other(Op::Argsort(sort)) => {
                    let launch = build::argsort(self.program, &sort);
                    actions.push(self.launch(launch));
                }
                Unit::Other(Op::Loop(l)) => self.repeat(&l, &mut actions),
                Unit::Other(Op::Collective(c)) => actions.push(Action::Collective(c)),
                Unit::Other(Op::Compute(_)) => {
                    unreachable!("fusion puts comprehensions into kernels")
                }
            }
        }
        actions
    }

    fn repeat(&mut self, l: &Loop, actions: &mut Vec<Action>) {
        for carried in &l.carried {
            actions.push(Action::Copy { from: carried.init, to: carried.entry });
            self.order.states.push((carried.entry, carried.result));
        }
        let mut body = self.block(&l.body);
        for collected in &l.collected {
            let kernels = &mut self.order.kernels;
            if place::into_stack(self.program, kernels, &mut body, l, collected) {
                continue;
            }
            let (value, result) = (collected.value, collected.result);
            let launch = build::collect(self.program, value, result, collected.position, l.var);
            body.push(self.launch(launch));
        }
        body.extend(self.advance(l));
        let results = l.carried.iter().map(|c| c.result).collect();
        let (reversed, condition) = (l.reversed, l.condition);
        let (var, ahead) = (l.var, Ahead::default());
        actions.push(Action::Loop { var, reversed, condition, ahead, body, results });
    }

    /// The states' steps to the next iteration, as if all at once: an exit that is another state's
    /// entry is saved before the entry is overwritten.
    fn advance(&mut self, l: &Loop) -> Vec<Action> {
        let mut saves = Vec::new();
        let mut moves = Vec::new();
        for (position, carried) in l.carried.iter().enumerate() {
            if carried.exit == carried.entry {
                continue;
            }
            let is_entry = l.carried.iter().any(|c| c.entry == carried.exit);
            let is_shared = l.carried[..position].iter().any(|c| c.exit == carried.exit);
            if is_entry || is_shared {
                let saved = self.program.values.push(self.program.values[carried.exit].clone());
                saves.push(Action::Copy { from: carried.exit, to: saved });
                moves.push(Action::Advance { from: saved, to: carried.entry });
            } else {
                moves.push(Action::Advance { from: carried.exit, to: carried.entry });
            }
        }
        saves.into_iter().chain(moves).collect()
    }

    /// A launch of a kernel, shared with earlier launches of an equal one.
    fn launch(&mut self, launch: Launch) -> Action {
        let Launch { kernel, operands, ints } = launch;
        let kernel = intern(&mut self.order.kernels, kernel);
        Action::Launch { kernel, operands, ints }
    }
}
