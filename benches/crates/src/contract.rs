//! Einsums by products of matrices, as one would write them with the crates that have these: two operands at a time
//! along the best path, on views of the operands where strides allow it and on copies where they do not.

use crate::arrays::Named;
use crate::products::{Matrix, Product};
use crate::{Case, Run};
use ndarray::{ArrayD, IxDyn};
use rayon::prelude::*;

/// Prepares an einsum by a crate's products.
pub fn run(case: &Case, operands: Vec<(Vec<usize>, Vec<f32>)>, product: impl Product) -> Result<Run, String> {
    let (terms, result) = case.expression.split_once("->").ok_or("an einsum has an arrow")?;
    let result: Vec<u8> = result.into();
    let operands: Result<Vec<Named>, String> = terms
        .split(',')
        .zip(operands)
        .map(|(term, (shape, numbers))| Named::new(term.into(), &shape, numbers))
        .collect();
    let (operands, path) = (operands?, case.path.clone());
    Ok(Box::new(move |show| {
        let computed = along(&path, &operands, &result, product);
        show(computed.array.as_slice().ok_or("the result is not row-major")?);
        Ok(())
    }))
}

/// Contracts along a path.
fn along(path: &[Vec<usize>], operands: &[Named], result: &[u8], product: impl Product) -> Named {
    let mut made: Vec<Named> = Vec::new();
    // Operands that are left: below their number those given, from there those made.
    let mut left: Vec<usize> = (0..operands.len()).collect();
    for (number, step) in path.iter().enumerate() {
        let mut step = step.clone();
        step.sort_unstable();
        let taken: Vec<usize> = step.iter().rev().map(|at| left.remove(*at)).collect();
        let get = |at: usize| match at.checked_sub(operands.len()) {
            None => &operands[at],
            Some(at) => &made[at],
        };
        let kept = |name: &u8| result.contains(name) || left.iter().any(|other| get(*other).has(*name));
        let last = number + 1 == path.len();
        let next = match taken[..] {
            [one] => get(one).summed(result).ordered(result),
            [right, first] => {
                let (a, b) = (get(first), get(right));
                let names = if last { result.to_vec() } else { intermediate(a, b, &kept) };
                pair(a, b, &names, product)
            }
            _ => unreachable!("a path contracts one or two"),
        };
        left.push(operands.len() + made.len());
        made.push(next);
    }
    made.pop().expect("a path has a step")
}

/// The dimensions of an intermediate value: those of both first, then the left's, then the right's.
fn intermediate(a: &Named, b: &Named, kept: &impl Fn(&u8) -> bool) -> Vec<u8> {
    let both = a.names.iter().filter(|n| b.has(**n) && kept(n));
    let left = a.names.iter().filter(|n| !b.has(**n));
    let right = b.names.iter().filter(|n| !a.has(**n));
    both.chain(left).chain(right).copied().collect()
}

/// Contracts two operands.
fn pair(a: &Named, b: &Named, names: &[u8], product: impl Product) -> Named {
    let summed: Vec<u8> = a.names.iter().filter(|n| b.has(**n) && !names.contains(n)).copied().collect();
    let rows: Vec<u8> = names.iter().filter(|n| a.has(**n) && !b.has(**n)).copied().collect();
    let columns: Vec<u8> = names.iter().filter(|n| b.has(**n) && !a.has(**n)).copied().collect();
    let both: Vec<u8> = names.iter().filter(|n| a.has(**n) && b.has(**n)).copied().collect();
    if summed.is_empty() {
        return outer(a, b, names);
    }
    if rows.is_empty() && columns.is_empty() {
        return dots(a, b, &both, &summed).ordered(names);
    }
    // Sums run along one stride of each operand.
    let along = |x: &Named, rest: &[u8]| (!x.fuses(&summed)).then(|| x.ordered(&[&both, &summed, rest].concat()));
    let (a_copy, b_copy) = (along(a, &rows), along(b, &columns));
    let (a, b) = (a_copy.as_ref().unwrap_or(a), b_copy.as_ref().unwrap_or(b));
    let shape: Vec<usize> = names.iter().map(|n| a.extent(*n).max(b.extent(*n))).collect();
    let into = Named { names: names.to_vec(), array: unwritten(&shape) };
    // The innermost dimensions that are one stride in an operand and in the result; loops go over the others.
    let split = |x: &Named, names: &[u8]| {
        (0..names.len()).find(|at| x.fuses(&names[*at..]) && into.fuses(&names[*at..])).unwrap_or(names.len())
    };
    let (row_loops, rows) = rows.split_at(split(a, &rows));
    let (column_loops, columns) = columns.split_at(split(b, &columns));
    let loops = [&both, row_loops, column_loops].concat();
    let count = |x: &Named, names: &[u8]| names.iter().map(|n| x.extent(*n)).product::<usize>();
    let stride = |x: &Named, names: &[u8]| names.last().map_or(1, |n| x.stride(*n));
    let (m, n, k) = (count(&into, rows), count(&into, columns), count(a, &summed));
    let offset = |x: &Named, mut turn: usize| {
        loops.iter().rev().fold(0, |offset, name| {
            let extent = into.extent(*name);
            let position = turn % extent;
            turn /= extent;
            offset + position * x.stride(*name)
        })
    };
    let turns = count(&into, &loops);
    let start = into.array.as_ptr().cast_mut() as usize;
    let one = |turn: usize, alone: bool| {
        let matrix = |x: &Named, rows: usize, columns: usize, strides| Matrix {
            start: x.array.as_ptr().wrapping_add(offset(x, turn)),
            rows,
            columns,
            strides,
        };
        let left = matrix(a, m, k, [stride(a, rows), stride(a, &summed)]);
        let right = matrix(b, k, n, [stride(b, &summed), stride(b, columns)]);
        let start = (start as *mut f32).wrapping_add(offset(&into, turn));
        let strides = [stride(&into, rows), stride(&into, columns)];
        let result = Matrix { start, rows: m, columns: n, strides };
        // SAFETY: positions are within the arrays' extents, and each turn has its own part of the result.
        unsafe { product.product(result, left, right, alone) };
    };
    // Many small products are shared out; few large ones are shared inside.
    let threads = rayon::current_num_threads();
    if threads > 1 && turns >= 2 * threads {
        (0..turns).into_par_iter().for_each(|turn| one(turn, true));
    } else {
        (0..turns).for_each(|turn| one(turn, false));
    }
    into
}

/// A product of elements, with nothing summed.
fn outer(a: &Named, b: &Named, names: &[u8]) -> Named {
    let shape: Vec<usize> = names.iter().map(|n| a.extent(*n).max(b.extent(*n))).collect();
    let spread = |x: &Named| {
        let order: Vec<u8> = names.iter().filter(|n| x.has(**n)).copied().collect();
        let shape: Vec<usize> = names.iter().map(|n| x.extent(*n)).collect();
        x.ordered(&order).array.into_shape_with_order(IxDyn(&shape)).expect("as many elements")
    };
    let (a, b) = (spread(a), spread(b));
    let (a, b) = (a.broadcast(IxDyn(&shape)).expect("ones"), b.broadcast(IxDyn(&shape)).expect("ones"));
    Named { names: names.to_vec(), array: &a * &b }
}

/// Sums of products of elements.
fn dots(a: &Named, b: &Named, both: &[u8], summed: &[u8]) -> Named {
    let order = [both, summed].concat();
    let (a, b) = (a.ordered(&order), b.ordered(&order));
    let shape: Vec<usize> = both.iter().map(|n| a.extent(*n)).collect();
    let count: usize = shape.iter().product();
    let each: usize = summed.iter().map(|n| a.extent(*n)).product();
    let rows = |x: Named| x.array.into_shape_with_order((count, each)).expect("dense");
    let (a, b) = (rows(a), rows(b));
    let sums = a.outer_iter().zip(b.outer_iter()).map(|(a, b)| a.dot(&b)).collect();
    Named { names: both.to_vec(), array: ArrayD::from_shape_vec(IxDyn(&shape), sums).expect("one each") }
}

/// An array that a product writes whole.
fn unwritten(shape: &[usize]) -> ArrayD<f32> {
    // SAFETY: the products write every element and read none; they may not be told to add.
    unsafe { ArrayD::uninit(IxDyn(shape)).assume_init() }
}
