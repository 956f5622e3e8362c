//! Comprehensions: compiled once, run once per device and iteration.

use crate::Precision;
use crate::code::{Code, Form, Inst, LANES, Registers};
use crate::compile::{self, Ctx};
use crate::exec::{self, Escape, Group, Values};
use crate::reduce::{Accumulators, Lanes, Results, combine_floats, combine_ints};
use crate::tensor::{Data, Tensor};
use einmesh_ir::{
    Affine, Atom, Comprehension, DType, Expr, Id, IndexId, Mesh, Program, Reducer, Scope, Store,
};
use std::rc::Rc;

/// A comprehension, ready to run.
pub struct Kernel {
    out: OutputType,
    /// Free indices other than the lane index: environment slots and extents.
    outer: Vec<(usize, i64)>,
    /// Reduced indices other than the lane index.
    inner: Vec<(usize, i64)>,
    /// The lane index, if there is an index at all.
    lane: Option<(usize, i64)>,
    lanes: Lanes,
    /// The slot of the reduced index whose position an arg-reduction gives.
    counted: Option<usize>,
    guard: Option<Code>,
    body: Code,
    reducer: Reducer,
    body_dtype: DType,
    precision: Precision,
    target: Target,
}

struct OutputType {
    dtype: DType,
    shape: Vec<usize>,
}

/// Where results go.
enum Target {
    /// A fresh array, at an affine place.
    Fresh(Form),
    /// A copy of an array, at computed places.
    Base { base: einmesh_ir::ValueId, subs: Code, combine: Reducer },
}

/// Compiles a comprehension.
pub fn compile(
    program: &Program,
    mesh: &Mesh,
    precision: Precision,
    comprehension: &Comprehension,
) -> Kernel {
    let c = comprehension;
    let scope = Scope::new(program, c).with_mesh(mesh);
    let ctx = Ctx { program, scope, indices: c.indices.len(), precision };
    let lane = choose_lane(&ctx, c);
    let axis = |i: IndexId| (i.index(), program.dims[c.indices[i].dim].extent as i64);
    let axes = |indices: &mut dyn Iterator<Item = IndexId>| -> Vec<(usize, i64)> {
        indices.filter(|i| Some(*i) != lane).map(axis).collect()
    };
    let compile = |exprs: &[&Expr]| compile::compile(ctx, lane, exprs.iter().copied());
    let target = match &c.store {
        Some(Store { base, subs, combine }) => {
            let subs = compile(&subs.iter().collect::<Vec<_>>());
            Target::Base { base: *base, subs, combine: *combine }
        }
        None => {
            // Only the places of a value without elements can overflow, and there are none.
            let place = c.free_indices().fold(Affine::constant(0), |offset, i| {
                let scaled = offset.scale(axis(i).1).unwrap_or_default();
                scaled.add(&Atom::Index(i).into()).unwrap_or_default()
            });
            Target::Fresh(ctx.form(&place, lane))
        }
    };
    let counted = matches!(c.reducer, Reducer::ArgMax | Reducer::ArgMin).then_some(c.free);
    Kernel {
        out: OutputType {
            dtype: program.values[c.out].dtype,
            shape: program.extents(c.out).into_iter().map(|n| n as usize).collect(),
        },
        outer: axes(&mut c.free_indices()),
        inner: axes(&mut c.reduced_indices()),
        lane: lane.map(axis),
        lanes: match lane {
            Some(lane) if c.is_reduced(lane) => Lanes::Together,
            _ => Lanes::Apart,
        },
        counted,
        guard: c.guard.as_ref().map(|guard| compile(&[guard])),
        body: compile(&[&c.body]),
        reducer: c.reducer,
        body_dtype: program.dtype_of(&c.body),
        precision,
        target,
    }
}

/// The index along which instructions work: a free one or, since sums run in index order, the last
/// reduced one. For stores the last free one, since points may share a place.
fn choose_lane(ctx: &Ctx<'_>, c: &Comprehension) -> Option<IndexId> {
    let free: Vec<IndexId> = c.free_indices().collect();
    let reduced = c.reduced_indices().last();
    if c.store.is_some() {
        return free.last().copied().or(reduced);
    }
    let cost = |lane: IndexId| {
        let code = compile::compile(*ctx, Some(lane), c.guard.iter().chain([&c.body]));
        let steps = code.each.iter().map(|step| match &step.inst {
            _ if !step.to.varying => 0,
            Inst::Load(_, form) if form.step.abs() > 1 => 4,
            _ => 1,
        });
        let per_point: usize = steps.sum();
        let extent = ctx.program.dims[c.indices[lane].dim].extent.clamp(1, LANES as u64) as usize;
        // About thirty points' work is spent per instruction and group.
        per_point * 100 + (code.each.len() + 2) * 3000 / extent
    };
    free.into_iter().chain(reduced).rev().min_by_key(|lane| cost(*lane))
}

/// Moves to the next position in row-major order; false after the last.
fn advance(env: &mut [i64], axes: &[(usize, i64)]) -> bool {
    for (slot, extent) in axes.iter().rev() {
        env[*slot] += 1;
        if env[*slot] < *extent {
            return true;
        }
        env[*slot] = 0;
    }
    false
}

fn is_empty(axes: &[(usize, i64)]) -> bool {
    axes.iter().any(|(_, extent)| *extent == 0)
}

/// A kernel at work.
struct Run<'k> {
    kernel: &'k Kernel,
    values: &'k Values,
    env: Vec<i64>,
    guard: Registers,
    body: Registers,
    subs: Registers,
    accumulators: Accumulators,
    mask: Vec<i64>,
    out: Data,
}

impl Kernel {
    /// Computes the output from the values of a device; `outside` are the loop counters and the device's
    /// coordinates.
    pub fn run(&self, values: &Values, outside: &[i64]) -> Result<Tensor, Escape> {
        let indices = self.outer.len() + self.inner.len() + usize::from(self.lane.is_some());
        let mut env = vec![0; indices];
        env.extend(outside);
        let prepared = |code: &Code| -> Result<Registers, Escape> {
            let mut registers = Registers::for_code(code);
            exec::prepare(code, &env, &mut registers)?;
            Ok(registers)
        };
        let subs = match &self.target {
            Target::Base { subs, .. } => prepared(subs)?,
            Target::Fresh(_) => Registers::default(),
        };
        let out = match &self.target {
            Target::Base { base, .. } => {
                let base: &Rc<Tensor> = values[*base].as_ref().expect("verified: assigned");
                base.data.clone()
            }
            Target::Fresh(_) => Tensor::zeros(self.out.dtype, &self.out.shape).data,
        };
        let mut run = Run {
            kernel: self,
            values,
            guard: self.guard.as_ref().map_or(Ok(Registers::default()), prepared)?,
            body: prepared(&self.body)?,
            subs,
            accumulators: Accumulators::new(self.reducer, self.body_dtype, self.precision),
            mask: Vec::new(),
            out,
            env,
        };
        run.all()?;
        let mut data = run.out;
        if let (Data::Float(elements), Precision::Program) = (&mut data, self.precision) {
            elements.iter_mut().for_each(|x| *x = self.out.dtype.round(*x));
        }
        Ok(Tensor { dtype: self.out.dtype, shape: self.out.shape.clone(), data })
    }
}

impl Run<'_> {
    fn all(&mut self) -> Result<(), Escape> {
        let kernel = self.kernel;
        if is_empty(&kernel.outer) {
            return Ok(());
        }
        loop {
            match (kernel.lane, kernel.lanes) {
                (Some((slot, extent)), Lanes::Apart) => {
                    for start in (0..extent).step_by(LANES) {
                        self.env[slot] = start;
                        self.points((extent - start).min(LANES as i64) as usize)?;
                    }
                    self.env[slot] = 0;
                }
                _ => self.points(1)?,
            }
            if !advance(&mut self.env, &kernel.outer) {
                return Ok(());
            }
        }
    }

    /// Computes `free` neighbouring free points.
    fn points(&mut self, free: usize) -> Result<(), Escape> {
        let kernel = self.kernel;
        self.accumulators.start(free);
        if !is_empty(&kernel.inner) {
            loop {
                match (kernel.lane, kernel.lanes) {
                    (Some((slot, extent)), Lanes::Together) => {
                        for start in (0..extent).step_by(LANES) {
                            self.env[slot] = start;
                            self.group((extent - start).min(LANES as i64) as usize)?;
                        }
                        self.env[slot] = 0;
                    }
                    _ => self.group(free)?,
                }
                if !advance(&mut self.env, &kernel.inner) {
                    break;
                }
            }
        }
        self.emit(free)
    }

    /// Evaluates the body at `n` neighbouring points and reduces them.
    fn group(&mut self, n: usize) -> Result<(), Escape> {
        let kernel = self.kernel;
        let mut mask: Option<&[i64]> = None;
        if let Some(guard) = &kernel.guard {
            let group = Group { values: self.values, env: &self.env, lanes: n, mask };
            exec::run(guard, &group, &mut self.guard)?;
            let holds = self.guard.int(guard.results[0], n);
            if holds.iter().all(|x| *x == 0) {
                return Ok(());
            }
            mask = holds.contains(&0).then_some(holds);
        }
        let group = Group { values: self.values, env: &self.env, lanes: n, mask };
        exec::run(&kernel.body, &group, &mut self.body)?;
        let position = kernel.counted.map_or(0, |slot| self.env[slot]);
        let body = kernel.body.results[0];
        self.accumulators.accept(&self.body, body, n, mask, kernel.lanes, position);
        Ok(())
    }

    fn emit(&mut self, free: usize) -> Result<(), Escape> {
        let results = self.accumulators.finish();
        match &self.kernel.target {
            Target::Fresh(form) => {
                let (base, step) = (form.base(&self.env), form.step);
                let place = |lane: usize| (base + lane as i64 * step) as usize;
                match (&mut self.out, results) {
                    (Data::Float(out), Results::Floats(x)) if step == 1 => {
                        out[base as usize..][..free].copy_from_slice(&x[..free]);
                    }
                    (Data::Float(out), Results::Floats(x)) => {
                        (0..free).for_each(|lane| out[place(lane)] = x[lane]);
                    }
                    (Data::Int(out), Results::Ints(x)) => {
                        (0..free).for_each(|lane| out[place(lane)] = x[lane]);
                    }
                    _ => unreachable!("verified: the reducer gives the output's kind of number"),
                }
                Ok(())
            }
            Target::Base { subs, combine, .. } => {
                self.mask.clear();
                self.mask.extend(self.accumulators.seen.iter().map(|seen| i64::from(*seen)));
                self.store(free, subs, *combine)
            }
        }
    }

    /// Stores the free points that have been evaluated, as `mask` says, at their places.
    fn store(&mut self, free: usize, subs: &Code, combine: Reducer) -> Result<(), Escape> {
        if self.mask.iter().all(|x| *x == 0) {
            return Ok(());
        }
        let mask = Some(&self.mask[..]);
        let group = Group { values: self.values, env: &self.env, lanes: free, mask };
        exec::run(subs, &group, &mut self.subs)?;
        let dtype = self.kernel.out.dtype;
        // In the accumulator's dtype; the output's own comes at the end.
        let round = match self.kernel.precision {
            Precision::Program => dtype.accumulator(),
            Precision::F64 => DType::F64,
        };
        'lanes: for lane in (0..free).filter(|lane| self.mask[*lane] != 0) {
            let mut place = 0;
            for (sub, extent) in subs.results.iter().zip(&self.kernel.out.shape) {
                let subscript = self.subs.int(*sub, free)[lane];
                if !(0..*extent as i64).contains(&subscript) {
                    continue 'lanes;
                }
                place = place * extent + subscript as usize;
            }
            match (&mut self.out, self.accumulators.result(lane)) {
                (Data::Float(out), (x, _)) => {
                    out[place] = round.round(combine_floats(combine, out[place], x));
                }
                (Data::Int(out), (_, x)) => {
                    out[place] = combine_ints(combine, dtype, out[place], x)
                }
            }
        }
        Ok(())
    }
}
