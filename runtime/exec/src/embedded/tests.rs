//! Calls of code that is written here, in Rust.

use super::*;

/// `result[i, j] = x[i, j] * y[j]` for the rows `begin..end`, with extents i and j.
unsafe extern "C-unwind" fn scale(
    operands: *const *mut u8,
    extents: *const i64,
    _workspace: *mut u8,
    scratch: *mut u8,
    begin: i64,
    end: i64,
) {
    // SAFETY: the description below gives three arrays of f32 of extents (i, j), (i, j) and (j), two extents, and
    // scratch memory for one number.
    unsafe {
        let columns = *extents.add(1);
        let [result, x, y] = [0, 1, 2].map(|n| (*operands.add(n)).cast::<f32>());
        for at in begin * columns..end * columns {
            let scratch = scratch.cast::<f32>();
            scratch.write(*x.offset(at as isize) * *y.offset((at % columns) as isize));
            result.offset(at as isize).write(scratch.read());
        }
    }
}

const I: Extent = Extent::Symbol(0);
const J: Extent = Extent::Symbol(1);

static PLACES: [Place; 3] = [Place::Result, Place::Operand(0), Place::Operand(1)];
static AGAIN: [Place; 3] = [Place::Temporary(0), Place::Operand(0), Place::Operand(1)];
static THEN: [Place; 3] = [Place::Result, Place::Temporary(0), Place::Operand(1)];
static PHASES: [Phase; 1] = [Phase { entry: 0, tiles: &[Blocks { extents: &[I], block: 1 }] }];

/// Scales once, or twice by way of an intermediate value.
fn einsum(steps: &'static [Step], level: &'static str) -> Einsum {
    let code = Code {
        level,
        image: Image(scale as *const u8),
        orders: Vec::leak(vec![steps]),
        workspace_bytes: 0,
        scratch_bytes: 4,
    };
    Einsum {
        text: "\"i j, j -> i j\"",
        symbols: &["i", "j"],
        within: &[],
        operands: &[
            Operand { name: "x", indices: &["i", "j"], extents: &[I, J] },
            Operand { name: "y", indices: &["j"], extents: &[J] },
        ],
        result: &[I, J],
        temporaries: &[&[Temporary { element: 4, extents: &[I, J] }]],
        code: Vec::leak(vec![code]),
        chosen: Chosen::new(),
    }
}

static ONCE: [Step; 1] = [Step { phases: &PHASES, operands: &PLACES, points: &[I, J] }];
static TWICE: [Step; 2] = [
    Step { phases: &PHASES, operands: &AGAIN, points: &[I, J] },
    Step { phases: &PHASES, operands: &THEN, points: &[I, J] },
];

fn scaled(einsum: &Einsum, rows: usize, columns: usize) -> Result<Vec<f32>, CallError> {
    let x: Vec<f32> = (0..rows * columns).map(|n| n as f32).collect();
    let y: Vec<f32> = (0..columns).map(|n| n as f32 - 1.0).collect();
    let shapes = einsum.shapes_of(&[&[rows, columns], &[columns]])?;
    let mut result = vec![f32::NAN; rows * columns];
    let operands = [x.as_ptr().cast::<u8>(), y.as_ptr().cast()];
    // SAFETY: the arrays have the shapes that were checked.
    unsafe { einsum.call(&operands, result.as_mut_ptr().cast(), &shapes)? };
    Ok(result)
}

#[test]
fn calls_compute_in_steps_and_in_parallel() {
    let (once, twice) = (einsum(&ONCE, "x86-64-v3"), einsum(&TWICE, "x86-64-v3"));
    // The last is worth sharing among threads.
    let sizes: &[(usize, usize)] =
        if cfg!(miri) { &[(0, 3), (2, 3)] } else { &[(0, 3), (2, 3), (1024, 600)] };
    for &(rows, columns) in sizes {
        let expected = |times: usize| -> Vec<f32> {
            let scaled =
                |n: usize| (0..times).fold(n as f32, |x, _| x * ((n % columns) as f32 - 1.0));
            (0..rows * columns).map(scaled).collect()
        };
        assert_eq!(scaled(&once, rows, columns).expect("it runs"), expected(1));
        assert_eq!(scaled(&twice, rows, columns).expect("it runs"), expected(2));
    }
}

#[test]
fn calls_inside_of_calls_have_memory_of_their_own() {
    let twice = einsum(&TWICE, "x86-64-v3");
    memory::with(memory::For::Call, 4096, |outer| {
        // SAFETY: the memory has 4096 bytes.
        unsafe { outer.write_bytes(0xAB, 4096) };
        scaled(&twice, 8, 8).expect("it runs");
        // SAFETY: as above, and they were written.
        let kept = unsafe { std::slice::from_raw_parts(outer, 4096) };
        assert!(kept.iter().all(|byte| *byte == 0xAB));
    })
    .expect("there is memory");
}

#[test]
fn extents_beyond_all_numbers_are_errors() {
    let einsum = einsum(&ONCE, "x86-64-v3");
    // Arrays without elements may have any.
    for huge in [usize::MAX, isize::MAX as usize + 1, isize::MAX as usize] {
        for shapes in [[&[0, huge][..], &[4]], [&[0, 4], &[huge]], [&[0, huge], &[huge]]] {
            einsum.shapes_of(&shapes).expect_err("no extent is so large");
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let einsum = einsum(&ONCE, "x86-64-v3");
    let wrong = einsum.shapes_of(&[&[2, 3], &[4]]).expect_err("3 is not 4");
    assert_eq!(
        wrong.to_string(),
        "dimension 0 (`j`) of `y` is 4, but `j` is 3 in `x`\nin `einsum!(\"i j, j -> i j\")`"
    );
    let fixed = Einsum {
        operands: &[Operand { name: "x", indices: &["i"], extents: &[Extent::Fixed(5)] }],
        ..einsum
    };
    let wrong = fixed.shapes_of(&[&[6]]).expect_err("5 is not 6");
    assert!(wrong.to_string().contains("is 6, but `i` is 5 by the macro's extents"), "{wrong}");
}

#[test]
fn sizes_that_no_memory_has_are_refused() {
    let einsum = einsum(&ONCE, "x86-64-v3");
    let (huge, large) = (usize::MAX / 2, i32::MAX as usize);
    // Without elements an array may be wide.
    let shapes = einsum.shapes_of(&[&[0, large], &[large]]).expect("they fit");
    assert_eq!(shapes.product(4, einsum.result), Some(0));
    einsum.shapes_of(&[&[0, huge], &[huge]]).expect_err("code counts positions in 32 bits");
    let shapes = einsum.shapes_of(&[&[large, large], &[large]]).expect("they fit");
    // SAFETY: the intermediate value is refused before anything is read or written.
    let error = unsafe { einsum.call(&[], std::ptr::null_mut(), &shapes) };
    let error = error.expect_err("too many");
    assert!(error.to_string().contains("larger than code or memory can have it"), "{error}");
}

#[test]
fn memory_that_is_not_there_is_an_error() {
    let einsum = einsum(&TWICE, "x86-64-v3");
    let (rows, columns) = (1 << 30, 1 << 30);
    let shapes = einsum.shapes_of(&[&[rows, columns], &[columns]]).expect("they fit");
    let operands = [std::ptr::null(); 2];
    // SAFETY: there is no memory for the intermediate value, so that nothing is read or written.
    let error = unsafe { einsum.call(&operands, std::ptr::null_mut(), &shapes) };
    let error = error.expect_err("no machine has so much memory");
    assert!(error.to_string().starts_with("an intermediate value of"), "{error}");
}

#[test]
fn a_cpu_without_code_is_told() {
    let einsum = einsum(&ONCE, "riscv");
    let error = scaled(&einsum, 1, 1).expect_err("there is no such level");
    assert!(error.to_string().contains("it has code for riscv"), "{error}");
}
