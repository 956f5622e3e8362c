//! Cutting whole tensors into local ones, and putting them together again.

use crate::Precision;
use crate::error::EvalError;
use crate::machine::Machine;
use crate::tensor::{Data, Tensor};
use einmesh_ir::{DType, Id, Layout, Mesh, Program, Rank, ValueId, integer};

/// Checks that there is a tensor of the right type for each input; `extents` gives the whole value's.
pub fn check_inputs(
    program: &Program,
    tensors: &[Tensor],
    extents: impl Fn(ValueId, usize) -> Vec<u64>,
) -> Result<(), EvalError> {
    let (expected, got) = (program.inputs.len(), tensors.len());
    if expected != got {
        return Err(EvalError::InputCount { expected, got });
    }
    for (at, (input, tensor)) in program.inputs.iter().zip(tensors).enumerate() {
        let dtype = program.values[input.value].dtype;
        let extents = extents(input.value, at);
        // A tensor may come with its own axes, several dims to an axis.
        let stacked = extents.len() - input.axes.iter().sum::<usize>();
        let mut merged: Vec<u64> = extents[..stacked].to_vec();
        let mut rest = &extents[stacked..];
        for dims in &input.axes {
            let (axis, after) = rest.split_at(*dims);
            merged.push(axis.iter().product());
            rest = after;
        }
        let shape: Vec<u64> = tensor.shape.iter().map(|n| *n as u64).collect();
        let complete = shape.iter().product::<u64>() == tensor.len() as u64;
        let kind = matches!(tensor.data, Data::Float(_)) == dtype.is_float();
        let fits = tensor.dtype == dtype && kind && complete;
        if !fits || (shape != extents && shape != merged) {
            return Err(EvalError::InputType {
                path: input.path.clone(),
                expected: format!("{dtype}{merged:?}"),
                got: format!("{}{shape:?}", tensor.dtype),
            });
        }
    }
    Ok(())
}

/// The tensor with the shape of a value, rounded to its dtype unless all is computed in f64.
pub fn with_shape(tensor: &Tensor, extents: Vec<u64>, precision: Precision) -> Tensor {
    let mut tensor = tensor.clone();
    tensor.shape = extents.into_iter().map(|n| n as usize).collect();
    if let (Data::Float(x), Precision::Program) = (&mut tensor.data, precision) {
        x.iter_mut().for_each(|x| *x = tensor.dtype.round(*x));
    }
    tensor
}

/// Where each dim of a device's part starts in the whole tensor.
fn offsets(layout: &Layout, mesh: &Mesh, rank: usize) -> Vec<u64> {
    let coordinates = mesh.coordinates(Rank(rank as u64));
    let offset = |dim: &einmesh_ir::DimLayout| {
        let along = |c: u64, axis: &einmesh_ir::MeshAxisId| {
            c * mesh.axes[*axis].size + coordinates[axis.index()]
        };
        dim.axes.iter().fold(0, along) * dim.local
    };
    layout.dims.iter().map(offset).collect()
}

/// The part of a whole tensor that a device holds. Padding is poison: NaN or the largest integer.
pub fn cut(whole: &Tensor, layout: &Layout, mesh: &Mesh, rank: usize) -> Tensor {
    let offsets = offsets(layout, mesh, rank);
    let shape: Vec<usize> = layout.dims.iter().map(|d| d.local as usize).collect();
    let sources = positions(&shape).map(|local| {
        let global = local.iter().zip(&offsets).map(|(p, offset)| *p as u64 + offset);
        global
            .zip(&whole.shape)
            .try_fold(0, |at, (p, extent)| (p < *extent as u64).then_some(at * extent + p as usize))
    });
    let data = match &whole.data {
        Data::Float(x) => Data::Float(sources.map(|s| s.map_or(f64::NAN, |s| x[s])).collect()),
        Data::Int(x) => {
            let poison = match whole.dtype {
                DType::Bool => 1,
                dtype => integer::max_value(dtype),
            };
            Data::Int(sources.map(|s| s.map_or(poison, |s| x[s])).collect())
        }
    };
    Tensor { dtype: whole.dtype, shape, data }
}

/// The whole tensor of an output. All devices that hold an element must hold the same bits.
pub fn assemble(
    machine: &Machine<'_>,
    path: &str,
    value: ValueId,
    layout: &Layout,
) -> Result<Tensor, EvalError> {
    let shape: Vec<usize> = layout.dims.iter().map(|d| d.global as usize).collect();
    let mut whole = Tensor::zeros(machine.get(0, value).dtype, &shape);
    // The rank that gave each element first.
    let mut givers: Vec<Option<usize>> = vec![None; whole.len()];
    for rank in 0..machine.devices() {
        let part = machine.get(rank, value);
        let offsets = offsets(layout, machine.mesh(), rank);
        for (at, local) in positions(&part.shape).enumerate() {
            let global: Vec<u64> =
                local.iter().zip(&offsets).map(|(p, offset)| *p as u64 + offset).collect();
            let place = global.iter().zip(&shape).try_fold(0, |place, (p, extent)| {
                (*p < *extent as u64).then_some(place * extent + *p as usize)
            });
            let Some(place) = place else { continue };
            match givers[place] {
                None => {
                    givers[place] = Some(rank);
                    copy_element(&mut whole, place, part, at);
                }
                Some(_) if same_bits(&whole, place, part, at) => {}
                Some(first) => {
                    return Err(EvalError::Disagreement {
                        path: path.to_owned(),
                        position: global,
                        ranks: [
                            (first as u64, whole.element(place)),
                            (rank as u64, part.element(at)),
                        ],
                    });
                }
            }
        }
    }
    Ok(whole)
}

fn copy_element(to: &mut Tensor, place: usize, from: &Tensor, at: usize) {
    match (&mut to.data, &from.data) {
        (Data::Float(to), Data::Float(from)) => to[place] = from[at],
        (Data::Int(to), Data::Int(from)) => to[place] = from[at],
        _ => unreachable!("parts have the dtype of the whole"),
    }
}

/// Whether two elements are the same number; all NaN are.
fn same_bits(a: &Tensor, at: usize, b: &Tensor, bt: usize) -> bool {
    match (&a.data, &b.data) {
        (Data::Float(a), Data::Float(b)) => {
            let (a, b) = (a[at], b[bt]);
            a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
        }
        (Data::Int(a), Data::Int(b)) => a[at] == b[bt],
        _ => false,
    }
}

/// All positions of a shape, row-major.
fn positions(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + use<> {
    let shape = shape.to_vec();
    let elements: usize = shape.iter().product();
    (0..elements).map(move |flat| {
        let mut rest = flat;
        let mut position = vec![0; shape.len()];
        for (p, extent) in position.iter_mut().zip(&shape).rev() {
            *p = rest % extent;
            rest /= extent;
        }
        position
    })
}
