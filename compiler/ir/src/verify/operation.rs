//! Comprehensions, loops and sorts.

use super::{Ctx, dims_of};
use crate::dtype::DType;
use crate::program::*;

impl Ctx<'_> {
    pub(super) fn comprehension(&mut self, c: &Comprehension) {
        let known = |i: &Index| self.program.dims.get(i.dim).is_some();
        if !c.indices.values().all(known) {
            return self.report("an index ranges over an unknown dim");
        }
        for index in c.indices.values() {
            let extent = self.program.dims[index.dim].extent;
            self.check(extent <= i32::MAX as u64, || {
                let name = &index.name;
                format!("index `{name}` has {extent} positions, more than an i32 counts")
            });
        }
        if c.free > c.indices.len() {
            return self.report("there are fewer indices than free ones");
        }
        let reduces = c.free < c.indices.len();
        self.check(reduces == (c.reducer != Reducer::None), || {
            let reduced = c.indices.len() - c.free;
            format!("{reduced} indices are reduced with {:?}", c.reducer)
        });
        let body = self.expression(c, &c.body);
        if let Some(guard) = &c.guard {
            let dtype = self.expression(c, guard);
            self.check(dtype.is_none_or(|d| d == DType::Bool), || {
                "the guard is not a truth value".to_owned()
            });
        }
        if let Some(store) = &c.store {
            self.store(c, store);
        }
        if !self.assign(c.out) {
            return;
        }
        let out = &self.program.values[c.out];
        if let Some(body) = body {
            self.check(accepts(c.reducer, body, out.dtype), || {
                format!("{:?} over {body} does not give {}", c.reducer, out.dtype)
            });
        }
        if matches!(c.reducer, Reducer::ArgMax | Reducer::ArgMin) {
            let reduced = c.indices.len() - c.free;
            self.check(reduced == 1, || {
                format!("{:?} is over {reduced} indices instead of one", c.reducer)
            });
        }
        if c.store.is_none() {
            let matches = dims_of(&c.indices).get(..c.free) == Some(&out.dims[..]);
            let signature = self.program.signature_of(c.out);
            self.check(matches, || {
                format!("the free indices do not range over the dims of {signature}")
            });
        }
    }

    fn store(&mut self, c: &Comprehension, store: &Store) {
        if self.read(store.base) {
            let same = self.same_type(store.base, c.out);
            let base = self.program.signature_of(store.base);
            self.check(same, || format!("the base {base} is of another type"));
        }
        if let Some(out) = self.program.values.get(c.out) {
            let (dims, subs) = (out.dims.len(), store.subs.len());
            self.check(dims == subs, || format!("{subs} subscripts store into {dims} dims"));
            self.check(combines(store.combine, out.dtype), || {
                format!("a store combines {} with {:?}", out.dtype, store.combine)
            });
        }
        for sub in &store.subs {
            let dtype = self.expression(c, sub);
            self.check(dtype.is_none_or(DType::is_int), || {
                "a store's subscript is not an integer".to_owned()
            });
            let free = c.reduced_indices().all(|i| !sub.mentions(i));
            self.check(free, || "a store's subscript depends on a reduced index".to_owned());
        }
    }

    pub(super) fn repetition(&mut self, l: &Loop) {
        let Some(var) = self.program.loop_vars.get(l.var) else {
            return self.report(format!("loop counter {:?} is not declared", l.var));
        };
        let (subject, span) = (self.subject.clone(), self.span);
        let first = self.counters.insert(l.var);
        self.check(first, || format!("another loop has the counter `{}`", var.name));
        for carried in &l.carried {
            self.read(carried.init);
        }

        let outside = self.visible.clone();
        self.loops.push(l.var);
        for carried in &l.carried {
            self.assign(carried.entry);
        }
        self.block(&l.body);
        (self.subject, self.span) = (subject, span);
        for carried in &l.carried {
            self.read(carried.exit);
            for state in [carried.entry, carried.exit, carried.result] {
                let same = self.same_type(carried.init, state);
                let [a, b] = [carried.init, state].map(|v| self.program.signature_of(v));
                self.check(same, || format!("the loop's states {a} and {b} differ in type"));
            }
        }
        for collected in &l.collected {
            self.read(collected.value);
        }
        if let Some(condition) = l.condition {
            self.ending(l, condition);
        }
        self.loops.pop();
        self.visible = outside;

        for carried in &l.carried {
            self.assign(carried.result);
        }
        for collected in &l.collected {
            self.collected(var.dim, collected);
        }
    }

    /// The condition of a loop is one of its states, a single truth value.
    fn ending(&mut self, l: &Loop, condition: ValueId) {
        let Some(value) = self.program.values.get(condition) else {
            return self.report(format!("the loop's condition {condition:?} is not declared"));
        };
        let scalar = value.dtype == DType::Bool && value.dims.is_empty();
        let signature = self.program.signature_of(condition);
        self.check(scalar, || format!("the loop's condition {signature} is not a truth value"));
        let carried = l.carried.iter().any(|c| c.entry == condition);
        let name = self.program.name_of(condition);
        self.check(carried, || format!("the loop's condition {name} is none of its states"));
        self.check(l.collected.is_empty(), || {
            "a loop with a condition collects nothing: it may have fewer iterations".to_owned()
        });
    }

    fn collected(&mut self, dim: DimId, collected: &Collected) {
        let value = self.program.values.get(collected.value);
        if !self.assign(collected.result) {
            return;
        }
        let Some(value) = value else { return };
        let result = &self.program.values[collected.result];
        let mut dims = value.dims.clone();
        let within = collected.position <= dims.len();
        if within {
            dims.insert(collected.position, dim);
        }
        self.check(within && value.dtype == result.dtype && dims == result.dims, || {
            let [a, b] = [collected.value, collected.result].map(|v| self.program.signature_of(v));
            let position = collected.position;
            format!("{a} collected at position {position} does not give {b}")
        });
    }

    pub(super) fn argsort(&mut self, sort: &Argsort) {
        let input = self.read(sort.input);
        if !self.assign(sort.out) || !input {
            return;
        }
        let (input, out) = (&self.program.values[sort.input], &self.program.values[sort.out]);
        let dims = input.dims.len();
        self.check(sort.position < dims, || {
            format!("argsort is along position {} of {dims} dims", sort.position)
        });
        self.check(input.dtype.is_float() || input.dtype.is_int(), || {
            format!("argsort of {}", input.dtype)
        });
        self.check(out.dtype == DType::I32 && out.dims == input.dims, || {
            let input = self.program.signature_of(sort.input);
            format!("argsort gives i32 of its input's shape, and that is {input}")
        });
    }
}

/// Whether reducing numbers of `body` gives an `out`.
fn accepts(reducer: Reducer, body: DType, out: DType) -> bool {
    let number = body.is_float() || body.is_int();
    let floats = body.is_float() && out.is_float();
    match reducer {
        Reducer::None => body == out,
        // Rounded once, from the accumulator to the output.
        Reducer::Sum | Reducer::Prod => floats || (body == out && number),
        Reducer::LogSumExp => floats,
        Reducer::Max | Reducer::Min => body == out && number,
        Reducer::Any | Reducer::All => body == DType::Bool && out == DType::Bool,
        Reducer::ArgMax | Reducer::ArgMin => number && out.is_int(),
    }
}

/// Whether elements of `dtype` can be combined, two at a time and in place, with this reducer.
pub(super) fn combines(reducer: Reducer, dtype: DType) -> bool {
    match reducer {
        Reducer::None => true,
        Reducer::Sum | Reducer::Prod | Reducer::Max | Reducer::Min => {
            dtype.is_float() || dtype.is_int()
        }
        Reducer::Any | Reducer::All => dtype == DType::Bool,
        Reducer::ArgMax | Reducer::ArgMin | Reducer::LogSumExp => false,
    }
}
