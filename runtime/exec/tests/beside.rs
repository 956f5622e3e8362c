//! Sessions for several programs of one model: what they share, and what they do not.

mod support;

use einmesh_artifact::{DType, Step};
use einmesh_exec::{Module, RunError, Session, TileFn};
use support::{Builder, Dim, f32s, options, to_f32s};

const N: u64 = 5;

/// `cache := w`, where the cache is `inout`.
fn write(mesh: &[(&str, u64)]) -> Builder {
    let mut b = Builder::new(mesh);
    let dims = || [Dim("N", N, &[0][..mesh.len()])];
    let w = b.input("w", DType::F32, &dims());
    let cache = b.input("cache", DType::F32, &dims());
    b.donated("cache", 1);
    b.step(Step::Copy { from: w, to: cache });
    b
}

/// `out = cache`; `w` is there and not used, and of `n` elements.
fn read(mesh: &[(&str, u64)], n: u64) -> Builder {
    let mut b = Builder::new(mesh);
    let dims = || [Dim("N", N, &[0][..mesh.len()])];
    let cache = b.input("cache", DType::F32, &dims());
    b.input("w", DType::F32, &[Dim("N", n, &[0][..mesh.len()])]);
    let out = b.output("out", DType::F32, &dims());
    b.step(Step::Copy { from: cache, to: out });
    b
}

fn module(builder: Builder) -> Module {
    Module::load(&builder.artifact(None, &[])).unwrap()
}

fn numbers(from: f32) -> Vec<f32> {
    (0..N).map(|i| from + i as f32).collect()
}

#[test]
fn what_one_program_leaves_the_next_reads() {
    for mesh in [vec![], vec![("data", 2)], vec![("data", 3)]] {
        let mut writes = Session::new(module(write(&mesh)), options(2)).unwrap();
        writes.bind(0, &f32s(&numbers(1.0), &[N]).value()).unwrap();
        writes.clear(1).unwrap();
        // Both inputs have their values already.
        let mut reads = writes.beside(module(read(&mesh, N))).unwrap();
        assert!(reads.is_bound(0) && reads.is_bound(1) && !reads.is_bound(2));
        reads.run().unwrap();
        assert_eq!(to_f32s(&reads.output(0).unwrap()), [0.0; N as usize]);
        writes.run().unwrap();
        reads.run().unwrap();
        assert_eq!(to_f32s(&reads.output(0).unwrap()), numbers(1.0));
        // Bound in the second, the first has it; and the first may be gone.
        reads.bind(1, &f32s(&numbers(7.0), &[N]).value()).unwrap();
        writes.run().unwrap();
        drop(writes);
        reads.run().unwrap();
        assert_eq!(to_f32s(&reads.output(0).unwrap()), numbers(7.0));
        reads.clear(0).unwrap();
        reads.run().unwrap();
        assert_eq!(to_f32s(&reads.output(0).unwrap()), [0.0; N as usize]);
    }
}

#[test]
fn other_layouts_are_not_shared() {
    let mut writes = Session::new(module(write(&[])), options(1)).unwrap();
    writes.bind(0, &f32s(&numbers(1.0), &[N]).value()).unwrap();
    writes.clear(1).unwrap();
    let mut other = writes.beside(module(read(&[], N + 1))).unwrap();
    let error = other.run().unwrap_err();
    assert_eq!(error.to_string(), "the input `w` has no value: bind it before running");
}

#[test]
fn an_input_that_was_only_read_is_not_updated() {
    let mut reads = Session::new(module(read(&[], N)), options(1)).unwrap();
    reads.bind(0, &f32s(&numbers(3.0), &[N]).value()).unwrap();
    reads.bind(1, &f32s(&numbers(1.0), &[N]).value()).unwrap();
    let mut writes = reads.beside(module(write(&[]))).unwrap();
    let error = writes.run().unwrap_err();
    assert_eq!(error.to_string(), "the input `cache` has no value: bind it before running");
    writes.clear(1).unwrap();
    writes.run().unwrap();
    reads.run().unwrap();
    assert_eq!(to_f32s(&reads.output(0).unwrap()), numbers(3.0));
}

#[test]
fn meshes_must_be_equal() {
    let writes = Session::new(module(write(&[])), options(1)).unwrap();
    let error = writes.beside(module(read(&[("data", 2)], N))).err().unwrap();
    assert!(matches!(error, RunError::Beside { .. }), "{error}");
}

unsafe extern "C-unwind" fn fails(
    _: *const *mut u8,
    _: *const i64,
    _: *mut u8,
    _: *mut u8,
    _: i64,
    _: i64,
) {
    panic!("on purpose")
}

#[test]
fn a_failed_run_stops_the_others() {
    let mut b = Builder::new(&[]);
    let cache = b.input("cache", DType::F32, &[Dim("N", N, &[])]);
    b.donated("cache", 0);
    let kernel = b.kernel("fails", 0, 1);
    b.launch(kernel, &[cache], &[]);
    let functions: [Vec<(TileFn, u64)>; 1] = [vec![(fails, 1)]];
    // SAFETY: the function touches nothing.
    let module_of_fails = unsafe { Module::from_functions(b.manifest, &functions) };
    let mut first = Session::new(module_of_fails, options(1)).unwrap();
    let mut second = first.beside(module(read(&[], N))).unwrap();
    first.clear(0).unwrap();
    second.clear(1).unwrap();
    second.run().unwrap();
    assert!(first.run().unwrap_err().to_string().contains("on purpose"));
    assert!(matches!(second.run().unwrap_err(), RunError::Poisoned(_)));
    assert!(matches!(second.output(0).unwrap_err(), RunError::Poisoned(_)));
    assert!(matches!(second.clear(0).unwrap_err(), RunError::Poisoned(_)));
}

#[test]
fn results_are_taken_once_and_leave_what_others_have() {
    // Large enough that whole pages are given back.
    const MANY: u64 = 1 << 18;
    for mesh in [vec![], vec![("data", 2)]] {
        let mut b = Builder::new(&mesh);
        let dims = || [Dim("N", MANY, &[0][..mesh.len()])];
        let w = b.input("w", DType::F32, &dims());
        let kept = b.input("kept", DType::F32, &dims());
        let first = b.output("first", DType::F32, &dims());
        let second = b.output("second", DType::F32, &dims());
        b.donated("kept", 1);
        b.step(Step::Copy { from: w, to: first });
        b.step(Step::Copy { from: kept, to: second });
        let read = || {
            let mut b = Builder::new(&mesh);
            let kept = b.input("kept", DType::F32, &dims());
            let out = b.output("out", DType::F32, &dims());
            b.step(Step::Copy { from: kept, to: out });
            module(b)
        };
        let numbers = |from: f32| (0..MANY).map(|i| from + i as f32).collect::<Vec<f32>>();
        let mut session = Session::new(module(b), options(2)).unwrap();
        let mut other = session.beside(read()).unwrap();
        session.bind(0, &f32s(&numbers(1.0), &[MANY]).value()).unwrap();
        session.bind(1, &f32s(&numbers(2.0), &[MANY]).value()).unwrap();
        session.run().unwrap();
        let mut results = session.finish();
        let paths: Vec<&str> = results.manifest().outputs.iter().map(|o| &*o.path).collect();
        assert_eq!(paths, ["first", "second", "kept"]);
        for (output, from) in [(1, 2.0), (0, 1.0), (2, 2.0)] {
            let tensor = results.take(output).unwrap().expect("it is taken for the first time");
            assert_eq!(to_f32s(&tensor), numbers(from));
            assert!(results.take(output).unwrap().is_none());
        }
        // The other session has the memory of `kept` still.
        other.run().unwrap();
        assert_eq!(to_f32s(&other.output(0).unwrap()), numbers(2.0));
    }
}
