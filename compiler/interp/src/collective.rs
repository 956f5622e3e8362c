//! Collectives: the members of each group give their tensors, and each receives one.

use crate::Precision;
use crate::machine::Machine;
use crate::reduce::{combine_floats, combine_ints};
use crate::tensor::{Data, Tensor};
use einmesh_ir::{Collective, CollectiveKind, DType, Reducer};
use std::rc::Rc;

/// Executes a collective on all devices.
pub fn run(machine: &mut Machine<'_>, c: &Collective, precision: Precision) {
    for group in machine.mesh().groups(&c.axes) {
        let ranks: Vec<usize> = group.into_iter().map(|rank| rank.0 as usize).collect();
        let given: Vec<Rc<Tensor>> =
            ranks.iter().map(|rank| machine.get(*rank, c.input).clone()).collect();
        for (rank, received) in ranks.into_iter().zip(exchange(&c.kind, &given, precision)) {
            machine.set(rank, c.out, received);
        }
    }
}

/// What each member receives, in group order.
fn exchange(kind: &CollectiveKind, given: &[Rc<Tensor>], precision: Precision) -> Vec<Rc<Tensor>> {
    let members = given.len();
    let to_all = |tensor: Tensor| {
        let shared = Rc::new(tensor);
        vec![shared; members]
    };
    match *kind {
        CollectiveKind::AllReduce(reducer) => to_all(reduce(given, reducer, precision)),
        CollectiveKind::AllGather { position } => {
            to_all(concat(&given.iter().map(|t| &**t).collect::<Vec<_>>(), position))
        }
        CollectiveKind::ReduceScatter { reducer, position } => {
            let sum = reduce(given, reducer, precision);
            (0..members).map(|m| Rc::new(block(&sum, position, m, members))).collect()
        }
        CollectiveKind::AllToAll { split, concat: along } => {
            let receive = |m: usize| {
                let blocks: Vec<Tensor> =
                    given.iter().map(|tensor| block(tensor, split, m, members)).collect();
                Rc::new(concat(&blocks.iter().collect::<Vec<_>>(), along))
            };
            (0..members).map(receive).collect()
        }
        CollectiveKind::CollectivePermute { shift, wrap } => {
            let size = members as i64;
            let receive = |m: usize| {
                let from = m as i64 - shift;
                if wrap {
                    given[from.rem_euclid(size) as usize].clone()
                } else if (0..size).contains(&from) {
                    given[from as usize].clone()
                } else {
                    Rc::new(Tensor::zeros(given[m].dtype, &given[m].shape))
                }
            };
            (0..members).map(receive).collect()
        }
    }
}

/// Combines elementwise in group order, in the accumulator's dtype, and rounds once.
fn reduce(given: &[Rc<Tensor>], reducer: Reducer, precision: Precision) -> Tensor {
    let mut sum = Tensor::clone(&given[0]);
    let dtype = sum.dtype;
    let (step, end) = match precision {
        Precision::Program => (dtype.accumulator(), dtype),
        Precision::F64 => (DType::F64, DType::F64),
    };
    for tensor in &given[1..] {
        match (&mut sum.data, &tensor.data) {
            (Data::Float(sum), Data::Float(more)) => {
                for (a, b) in sum.iter_mut().zip(more) {
                    *a = step.round(combine_floats(reducer, *a, *b));
                }
            }
            (Data::Int(sum), Data::Int(more)) => {
                for (a, b) in sum.iter_mut().zip(more) {
                    *a = combine_ints(reducer, dtype, *a, *b);
                }
            }
            _ => unreachable!("the same value has the same dtype on all devices"),
        }
    }
    if let Data::Float(sum) = &mut sum.data {
        sum.iter_mut().for_each(|x| *x = end.round(*x));
    }
    sum
}

/// The extents as a matrix around a dim: before it, of it with all after it.
fn around(shape: &[usize], position: usize) -> (usize, usize) {
    (shape[..position].iter().product(), shape[position..].iter().product())
}

/// Tensors of one shape, one after the other along a dim.
fn concat(parts: &[&Tensor], position: usize) -> Tensor {
    let mut shape = parts[0].shape.clone();
    let (outer, width) = around(&shape, position);
    shape[position] *= parts.len();
    fn interleave<'a, T: Copy + 'a>(
        parts: impl Iterator<Item = &'a [T]> + Clone,
        outer: usize,
        width: usize,
    ) -> Vec<T> {
        let rows =
            (0..outer).flat_map(|row| parts.clone().map(move |p| &p[row * width..][..width]));
        rows.flatten().copied().collect()
    }
    let data = match &parts[0].data {
        Data::Float(_) => Data::Float(interleave(parts.iter().map(|p| p.floats()), outer, width)),
        Data::Int(_) => Data::Int(interleave(parts.iter().map(|p| p.ints()), outer, width)),
    };
    Tensor { dtype: parts[0].dtype, shape, data }
}

/// The `m`-th of `members` equal blocks along a dim.
fn block(tensor: &Tensor, position: usize, m: usize, members: usize) -> Tensor {
    let mut shape = tensor.shape.clone();
    shape[position] /= members;
    let (outer, width) = around(&shape, position);
    fn rows<T: Copy>(x: &[T], outer: usize, width: usize, m: usize, members: usize) -> Vec<T> {
        let row = |row: usize| &x[(row * members + m) * width..][..width];
        (0..outer).flat_map(row).copied().collect()
    }
    let data = match &tensor.data {
        Data::Float(x) => Data::Float(rows(x, outer, width, m, members)),
        Data::Int(x) => Data::Int(rows(x, outer, width, m, members)),
    };
    Tensor { dtype: tensor.dtype, shape, data }
}
