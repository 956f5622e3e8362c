//! What operations read, and how they are renamed.

use einmesh_ir::*;
use std::collections::{BTreeMap, BTreeSet};

/// Adds all values that operations read, those of blocks inside included.
pub fn reads(ops: &[Op], all: &mut BTreeSet<ValueId>) {
    for op in ops {
        match op {
            Op::Compute(c) => all.extend(c.reads()),
            Op::Loop(l) => {
                all.extend(l.carried.iter().flat_map(|c| [c.init, c.exit]));
                all.extend(l.collected.iter().map(|c| c.value));
                all.extend(l.condition);
                reads(&l.body.ops, all);
            }
            Op::Argsort(a) => all.extend([a.input]),
            Op::Collective(c) => all.extend([c.input]),
        }
    }
}

/// Replaces a loop's counter by another.
pub fn rename_counter(ops: &mut [Op], from: LoopVarId, to: LoopVarId) {
    fn rename(e: &mut Expr, from: LoopVarId, to: LoopVarId) {
        if let Expr::LoopVar(var) = e
            && *var == from
        {
            *var = to;
        }
        for child in e.children_mut() {
            rename(child, from, to);
        }
    }
    for op in ops {
        match op {
            Op::Compute(c) => c.exprs_mut().for_each(|e| rename(e, from, to)),
            Op::Loop(l) => rename_counter(&mut l.body.ops, from, to),
            Op::Argsort(_) | Op::Collective(_) => {}
        }
    }
}

/// How a value that is not there is read instead.
#[derive(Clone, Debug)]
pub enum Instead {
    /// Another value of the same type.
    Value(ValueId),
    /// A stack of it, at a counter in the first dim.
    Stacked(ValueId, LoopVarId),
}

/// Replaces the loads of values; whatever else reads them gets the value that `whole` makes.
pub fn rename_loads(ops: &mut [Op], map: &BTreeMap<ValueId, Instead>) {
    for op in ops {
        match op {
            Op::Compute(c) => c.exprs_mut().for_each(|e| rename_in(e, map)),
            Op::Loop(l) => rename_loads(&mut l.body.ops, map),
            Op::Argsort(_) | Op::Collective(_) => {}
        }
    }
}

fn rename_in(e: &mut Expr, map: &BTreeMap<ValueId, Instead>) {
    for child in e.children_mut() {
        rename_in(child, map);
    }
    if let Expr::Load(load) = e {
        match map.get(&load.value) {
            Some(Instead::Value(value)) => load.value = *value,
            Some(Instead::Stacked(value, var)) => {
                load.value = *value;
                load.subs.insert(0, Expr::LoopVar(*var));
            }
            None => {}
        }
    }
}

/// The values that are read as a whole, not by loads.
pub fn whole_reads(ops: &[Op], all: &mut BTreeSet<ValueId>) {
    for op in ops {
        match op {
            Op::Compute(c) => all.extend(c.store.as_ref().map(|s| s.base)),
            Op::Loop(l) => {
                all.extend(l.carried.iter().flat_map(|c| [c.init, c.exit]));
                all.extend(l.collected.iter().map(|c| c.value));
                whole_reads(&l.body.ops, all);
            }
            Op::Argsort(a) => all.extend([a.input]),
            Op::Collective(c) => all.extend([c.input]),
        }
    }
}

/// Replaces values that are read as a whole.
pub fn rename_whole(ops: &mut [Op], map: &BTreeMap<ValueId, ValueId>) {
    let rename = |v: &mut ValueId| {
        if let Some(to) = map.get(v) {
            *v = *to;
        }
    };
    for op in ops {
        match op {
            Op::Compute(c) => c.store.iter_mut().for_each(|s| rename(&mut s.base)),
            Op::Loop(l) => {
                for c in &mut l.carried {
                    rename(&mut c.init);
                    rename(&mut c.exit);
                }
                l.collected.iter_mut().for_each(|c| rename(&mut c.value));
                rename_whole(&mut l.body.ops, map);
            }
            Op::Argsort(a) => rename(&mut a.input),
            Op::Collective(c) => rename(&mut c.input),
        }
    }
}
