//! Who reads each value, and how.

use einmesh_ir::{Arena, Block, Expr, IndexId, Load, Op, Program, ValueId};

/// How often and by whom values are read.
#[derive(Debug)]
pub struct Usage {
    uses: Arena<ValueId, Uses>,
}

/// The reads of one value.
#[derive(Clone, Copy, Default, Debug)]
pub struct Uses {
    /// Comprehensions that read it (a comprehension with two loads counts once).
    pub comprehensions: usize,
    /// Readers that need it in memory: loops, collectives, sorts, stores' bases, the entry's results.
    pub other: usize,
}

impl Usage {
    /// Counts the reads in a program.
    pub fn of(program: &Program) -> Usage {
        let uses = program.values.ids().map(|_| Uses::default()).collect();
        let mut usage = Usage { uses };
        usage.block(&program.body);
        for output in &program.outputs {
            usage.uses[output.value].other += 1;
        }
        usage
    }

    /// The reads of a value.
    pub fn get(&self, value: ValueId) -> Uses {
        self.uses[value]
    }

    /// The reads of a value, if it was there when they were counted.
    pub fn find(&self, value: ValueId) -> Option<Uses> {
        self.uses.get(value).copied()
    }

    fn block(&mut self, block: &Block) {
        for op in &block.ops {
            match op {
                Op::Compute(c) => {
                    for value in c.loaded() {
                        self.uses[value].comprehensions += 1;
                    }
                    if let Some(store) = &c.store {
                        self.uses[store.base].other += 1;
                    }
                }
                Op::Loop(l) => {
                    for carried in &l.carried {
                        self.uses[carried.init].other += 1;
                        self.uses[carried.exit].other += 1;
                    }
                    for collected in &l.collected {
                        self.uses[collected.value].other += 1;
                    }
                    self.block(&l.body);
                }
                Op::Argsort(a) => self.uses[a.input].other += 1,
                Op::Collective(c) => self.uses[c.input].other += 1,
            }
        }
    }
}

/// The indices that a load's subscripts are, if each is an index of its own.
pub fn distinct_indices(load: &Load) -> Option<Vec<IndexId>> {
    let mut seen: Vec<IndexId> = Vec::new();
    for sub in &load.subs {
        match sub {
            Expr::Index(i) if !seen.contains(i) => seen.push(*i),
            _ => return None,
        }
    }
    Some(seen)
}
