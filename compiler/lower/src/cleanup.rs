//! Removes what nothing uses, and numbers what remains densely.

use crate::loops::rename_values;
use crate::options::Lowered;
use einmesh_ir::{Arena, Block, DimId, Expr, LoopVarId, Op, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// Drops operations whose results are not used, loop states that nobody reads, and unused dims.
pub(crate) fn clean(lowered: &mut Lowered) {
    let mut live: BTreeSet<ValueId> = lowered.program.outputs.iter().map(|o| o.value).collect();
    // A loop's state may keep itself alive only together with a reader: find all that outputs reach.
    loop {
        let before = live.len();
        mark(&lowered.program.body, &mut live);
        if live.len() == before {
            break;
        }
    }
    sweep(&mut lowered.program.body, &live);
    compact(lowered);
}

fn mark(block: &Block, live: &mut BTreeSet<ValueId>) {
    for op in block.ops.iter().rev() {
        match op {
            Op::Compute(c) if live.contains(&c.out) => live.extend(c.reads()),
            Op::Argsort(a) if live.contains(&a.out) => {
                live.insert(a.input);
            }
            Op::Collective(c) if live.contains(&c.out) => {
                live.insert(c.input);
            }
            Op::Loop(l) => loop {
                let before = live.len();
                if l.carried.iter().any(|c| live.contains(&c.result)) {
                    live.extend(l.condition);
                }
                for c in &l.carried {
                    if live.contains(&c.result) || live.contains(&c.entry) {
                        live.extend([c.init, c.entry, c.exit]);
                    }
                }
                for c in &l.collected {
                    if live.contains(&c.result) {
                        live.insert(c.value);
                    }
                }
                mark(&l.body, live);
                if live.len() == before {
                    break;
                }
            },
            _ => {}
        }
    }
}

fn sweep(block: &mut Block, live: &BTreeSet<ValueId>) {
    block.ops.retain_mut(|op| match op {
        Op::Loop(l) => {
            l.carried.retain(|c| live.contains(&c.result) || live.contains(&c.entry));
            l.collected.retain(|c| live.contains(&c.result));
            sweep(&mut l.body, live);
            !(l.carried.iter().all(|c| !live.contains(&c.result)) && l.collected.is_empty())
        }
        op => op.defines().iter().any(|v| live.contains(v)),
    });
}

/// Renumbers values, dims and counters in the order of their definition.
fn compact(lowered: &mut Lowered) {
    let program = &mut lowered.program;
    let mut order: Vec<ValueId> = program.inputs.iter().map(|i| i.value).collect();
    let mut counters: Vec<LoopVarId> = Vec::new();
    defined(&program.body, &mut order, &mut counters);
    let values: BTreeMap<ValueId, ValueId> =
        order.iter().enumerate().map(|(i, v)| (*v, ValueId(i as u32))).collect();
    let vars: BTreeMap<LoopVarId, LoopVarId> =
        counters.iter().enumerate().map(|(i, v)| (*v, LoopVarId(i as u32))).collect();
    let mut used: BTreeSet<DimId> = BTreeSet::new();
    for value in &order {
        used.extend(&program.values[*value].dims);
    }
    for counter in &counters {
        used.insert(program.loop_vars[*counter].dim);
    }
    index_dims(&program.body, &mut used);
    let directives = &lowered.directives;
    used.extend(directives.shard.iter().flat_map(|s| s.dims.iter().map(|(d, _)| *d)));
    used.extend(directives.shard_values.iter().flat_map(|s| s.dims.iter().map(|(d, _)| *d)));
    let mut open: Vec<DimId> = used.iter().copied().collect();
    while let Some(dim) = open.pop() {
        if let Some(of) = program.dims[dim].role_of
            && used.insert(of)
        {
            open.push(of);
        }
    }
    let dims: BTreeMap<DimId, DimId> =
        used.iter().enumerate().map(|(i, d)| (*d, DimId(i as u32))).collect();
    let dim = |d: &mut DimId| *d = dims[d];

    let mut new_dims = Arena::new();
    for old in &used {
        let mut info = program.dims[*old].clone();
        info.role_of = info.role_of.map(|d| dims[&d]);
        // Names are unique, so that the text form can be read back.
        let base = info.name.clone();
        let mut copy = 1;
        while new_dims.values().any(|d: &einmesh_ir::Dim| d.name == info.name) {
            copy += 1;
            info.name = format!("{base}_{copy}");
        }
        new_dims.push(info);
    }
    let mut new_values = Arena::new();
    for old in &order {
        let mut value = program.values[*old].clone();
        value.dims.iter_mut().for_each(dim);
        new_values.push(value);
    }
    let mut new_vars = Arena::new();
    for old in &counters {
        let mut var = program.loop_vars[*old].clone();
        dim(&mut var.dim);
        new_vars.push(var);
    }
    program.dims = new_dims;
    program.values = new_values;
    program.loop_vars = new_vars;
    rename_values(&mut program.body, &values);
    rename_definitions(&mut program.body, &values, &vars, &dims);
    for input in &mut program.inputs {
        input.value = values[&input.value];
    }
    for output in &mut program.outputs {
        output.value = values[&output.value];
    }
    for shard in &mut lowered.directives.shard {
        shard.dims.iter_mut().for_each(|(d, _)| dim(d));
    }
    for shard in &mut lowered.directives.shard_values {
        shard.values = shard.values.iter().filter_map(|v| values.get(v).copied()).collect();
        shard.dims.iter_mut().for_each(|(d, _)| dim(d));
    }
    lowered.directives.shard_values.retain(|s| !s.values.is_empty());
}

fn defined(block: &Block, values: &mut Vec<ValueId>, counters: &mut Vec<LoopVarId>) {
    for op in &block.ops {
        if let Op::Loop(l) = op {
            counters.push(l.var);
            values.extend(l.carried.iter().map(|c| c.entry));
            defined(&l.body, values, counters);
        }
        values.extend(op.defines());
    }
}

pub(crate) fn index_dims(block: &Block, used: &mut BTreeSet<DimId>) {
    for op in &block.ops {
        match op {
            Op::Compute(c) => used.extend(c.indices.values().map(|i| i.dim)),
            Op::Loop(l) => index_dims(&l.body, used),
            Op::Argsort(_) | Op::Collective(_) => {}
        }
    }
}

fn rename_definitions(
    block: &mut Block,
    values: &BTreeMap<ValueId, ValueId>,
    vars: &BTreeMap<LoopVarId, LoopVarId>,
    dims: &BTreeMap<DimId, DimId>,
) {
    for op in &mut block.ops {
        match op {
            Op::Compute(c) => {
                c.out = values[&c.out];
                for (_, index) in c.indices.iter_mut() {
                    index.dim = dims[&index.dim];
                }
                for e in c.exprs_mut() {
                    rename_vars(e, vars);
                }
            }
            Op::Loop(l) => {
                l.var = vars[&l.var];
                l.condition = l.condition.map(|c| values[&c]);
                for c in &mut l.carried {
                    c.entry = values[&c.entry];
                    c.result = values[&c.result];
                }
                for c in &mut l.collected {
                    c.result = values[&c.result];
                }
                rename_definitions(&mut l.body, values, vars, dims);
            }
            Op::Argsort(a) => a.out = values[&a.out],
            Op::Collective(c) => c.out = values[&c.out],
        }
    }
}

fn rename_vars(e: &mut Expr, vars: &BTreeMap<LoopVarId, LoopVarId>) {
    if let Expr::LoopVar(var) = e {
        *var = vars[var];
    }
    for child in e.children_mut() {
        rename_vars(child, vars);
    }
}
