//! Loops, sorts and blocks.
//!
//! A loop runs as often on every device: its trip count is a dim's whole extent, its counter is never
//! split, and the condition that may end it before is whole on all devices. A carried state has one sharding, that of its entry: the state before the first
//! iteration and the one at the end of each are brought to it. A collected value is brought to the
//! sharding of the collection, the loop's dim aside, in each iteration, so that no device ever
//! holds more of the collection than it will keep.

use crate::context::{Ctx, Frame, Version};
use einmesh_ir::{Argsort, Block, Carried, Collected, Loop, Op, Sharding};

impl Ctx {
    /// Partitions the operations of a block into the current frame.
    pub fn block(&mut self, block: &Block) {
        for op in &block.ops {
            match op {
                Op::Compute(c) => self.comprehension(c),
                Op::Loop(l) => self.repeat(l),
                Op::Argsort(a) => self.argsort(a),
                Op::Collective(_) => {
                    debug_assert!(false, "a program is partitioned once: see `check`");
                }
            }
        }
    }

    fn repeat(&mut self, l: &Loop) {
        let mut carried: Vec<Carried> = Vec::with_capacity(l.carried.len());
        let trips = self.extent(self.global.loop_vars[l.var].dim);
        let mut frame = Frame { looping: Some((l.var, trips)), ..Frame::default() };
        for state in &l.carried {
            self.reader = state.init;
            let sharding = self.state(l, state);
            let init = self.reshard(state.init, &sharding);
            let dims = self.local.values[init].dims.clone();
            let dtype = self.local.values[init].dtype;
            let entry = self.local_value(state.entry, dtype, dims.clone());
            let result = self.local_value(state.result, dtype, dims);
            frame.versions.insert(state.entry, vec![Version { sharding, local: entry }]);
            carried.push(Carried { init, entry, exit: entry, result });
        }
        self.frames.push(frame);
        self.block(&l.body);
        for (state, local) in l.carried.iter().zip(&mut carried) {
            self.reader = state.exit;
            let sharding = self.state(l, state);
            local.exit = self.reshard(state.exit, &sharding);
        }
        let mut collected: Vec<(Collected, Sharding)> = Vec::with_capacity(l.collected.len());
        for stack in &l.collected {
            self.reader = stack.value;
            let mut each = self.held(stack.result).clone();
            each.spec.remove(stack.position);
            let value = self.reshard(stack.value, &each);
            let mut dims = self.local.values[value].dims.clone();
            dims.insert(stack.position, self.global.values[stack.result].dims[stack.position]);
            let dtype = self.local.values[value].dtype;
            let result = self.local_value(stack.result, dtype, dims);
            each.spec.insert(stack.position, Vec::new());
            collected.push((Collected { value, result, position: stack.position }, each));
        }
        let body = self.frames.pop().expect("pushed above");
        let condition = l.carried.iter().position(|c| Some(c.entry) == l.condition);
        self.frame().ops.push(Op::Loop(Loop {
            var: l.var,
            reversed: l.reversed,
            condition: condition.map(|at| carried[at].entry),
            carried: carried.clone(),
            collected: collected.iter().map(|(c, _)| *c).collect(),
            body: Block { ops: body.ops },
        }));
        for (state, local) in l.carried.iter().zip(&carried) {
            self.reader = state.result;
            let sharding = self.state(l, state);
            self.settle(state.result, Version { sharding, local: local.result });
        }
        for (stack, (local, sharding)) in l.collected.iter().zip(collected) {
            self.reader = stack.result;
            self.settle(stack.result, Version { sharding, local: local.result });
        }
    }

    /// The one sharding of a loop's state. A condition must be known where it is: it is never partial.
    fn state(&self, l: &Loop, state: &Carried) -> Sharding {
        let held = self.held(state.entry).clone();
        match l.condition == Some(state.entry) {
            true => Sharding { partial: Vec::new(), ..held },
            false => held,
        }
    }

    /// A sort needs its dim whole; the others may be split.
    fn argsort(&mut self, sort: &Argsort) {
        self.reader = sort.out;
        let mut sharding = Sharding { partial: Vec::new(), ..self.held(sort.out).clone() };
        sharding.spec[sort.position].clear();
        let input = self.reshard(sort.input, &sharding);
        let dims = self.local.values[input].dims.clone();
        let out = self.local_value(sort.out, self.global.values[sort.out].dtype, dims);
        let position = sort.position;
        self.frame().ops.push(Op::Argsort(Argsort { out, input, position }));
        self.settle(sort.out, Version { sharding, local: out });
    }
}
