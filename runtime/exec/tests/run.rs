//! Artifacts with machine code assembled by hand, from bytes to results.

mod support;

use einmesh_artifact::{Ahead, Collective, DType, Int, Step};
use einmesh_exec::{Module, RunError, Session, TileFn};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::{ADD, Builder, Dim, f32s, options, session, to_f32s};

/// z = x + y over a split dim of uneven size, on this mesh.
fn add(mesh: &[(&str, u64)], axes: &[u32], n: u64) -> Builder {
    let mut b = Builder::new(mesh);
    let dims = || [Dim("N", n, axes)];
    let x = b.input("x", DType::F32, &dims());
    let y = b.input("y", DType::F32, &dims());
    let z = b.output("z", DType::F32, &dims());
    let tiles = b.manifest.buffers[0].extents[0];
    let kernel = b.kernel("add", 0, tiles);
    b.launch(kernel, &[x, y, z], &[]);
    b
}

#[test]
fn machine_code_adds_on_one_and_many_devices() {
    let meshes = [vec![], vec![("data", 4)], vec![("a", 2), ("b", 2)]];
    for mesh in meshes {
        let axes: &[u32] = &[1, 0][2 - mesh.len()..];
        for n in [1, 5, 1003, 100_003] {
            let artifact = add(&mesh, axes, n).artifact(Some(ADD), &[]);
            let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let y: Vec<f32> = (0..n).map(|i| 0.5 - 3.0 * i as f32).collect();
            let expected: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x + y).collect();
            for threads in [1, 2, 5] {
                let mut session = session(&artifact, threads);
                let (x, y) = (f32s(&x, &[n]), f32s(&y, &[n]));
                session.bind_all(&[(0, &x.value()), (1, &y.value())]).unwrap();
                session.run().unwrap();
                let z = session.output(0).unwrap();
                assert_eq!(z.shape, [n]);
                assert_eq!(to_f32s(&z), expected, "mesh {mesh:?}, n {n}, {threads} threads");
            }
        }
    }
}

#[test]
fn code_calls_what_it_imports() {
    let code = [
        0x48, 0x8B, 0x3F, // mov rdi, [rdi]
        0xBE, 0x07, 0, 0, 0, // mov esi, 7
        0xBA, 0x08, 0, 0, 0, // mov edx, 8
        0xFF, 0x25, 0xF5, 0x0F, 0, 0, // jmp [rip + 0xff5]: the slot at 4096 + 8
        0x90,
    ];
    // The jump ends at 19; the second slot is at 4096 + 8 = 19 + 0xff5.
    let mut b = Builder::new(&[]);
    let out = b.output("out", DType::I32, &[Dim("N", 3, &[])]);
    let kernel = b.kernel("fill", 0, 1);
    b.launch(kernel, &[out], &[]);
    let artifact = b.artifact(Some(&code), &["memcpy", "memset"]);
    let mut session = session(&artifact, 1);
    session.run().unwrap();
    let bytes = session.output(0).unwrap().bytes;
    assert_eq!(bytes, [7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 0, 0]);
}

/// out[0] = 10 · out[0] + ints[0]: shows the order of calls.
unsafe extern "C-unwind" fn append(
    operands: *const *mut u8,
    ints: *const i64,
    _: *mut u8,
    _: *mut u8,
    _: i64,
    _: i64,
) {
    // SAFETY: the tests give one operand of one f32 at least, and one number.
    unsafe {
        let out = (*operands).cast::<f32>();
        *out = 10.0 * *out + *ints as f32;
    }
}

/// A session whose kernels are functions of the test.
fn native(b: Builder, kernels: &[Vec<(TileFn, u64)>], threads: usize) -> Session {
    // SAFETY: the tests' functions stay within their operands.
    let module = unsafe { Module::from_functions(b.manifest, kernels) };
    Session::new(module, options(threads)).unwrap()
}

#[test]
fn loops_count_up_and_down_and_nest() {
    let mut b = Builder::new(&[("data", 2)]);
    b.input("s", DType::F32, &[Dim("N", 2, &[0])]);
    let s = b.donated("s", 0);
    let launch = |int| Step::Launch { kernel: 0, operands: vec![s], ints: vec![int] };
    b.step(Step::Loop {
        counter: 0,
        extent: 2,
        reversed: true,
        condition: None,
        ahead: Ahead::default(),
        steps: vec![
            Step::Loop {
                counter: 2,
                extent: 2,
                reversed: false,
                condition: None,
                ahead: Ahead::default(),
                steps: vec![launch(Int::Counter(2))],
            },
            launch(Int::Counter(0)),
        ],
    });
    b.step(launch(Int::Coord(0)));
    let mut session = native(b, &[vec![(append as TileFn, 1)]], 2);
    session.bind(0, &f32s(&[0.0, 1.0], &[2]).value()).unwrap();
    session.run().unwrap();
    let s = to_f32s(&session.output(0).unwrap());
    // 0 1 1, 0 1 0, then the rank's coordinate; the second device began with a 1.
    assert_eq!(s, [110_100.0, 10_110_101.0]);

    session.run().unwrap();
    let profile = session.profile();
    assert_eq!(profile.len(), 1, "only kernels, copies and collectives take time: {profile:?}");
    assert_eq!(profile[0].count, 2 * 7, "both runs count");
}

/// Counts s[0] up, and says whether it is below 3 + ints[0].
unsafe extern "C-unwind" fn count(
    operands: *const *mut u8,
    ints: *const i64,
    _: *mut u8,
    _: *mut u8,
    _: i64,
    _: i64,
) {
    // SAFETY: the tests give a float, a truth value and a number.
    unsafe {
        let s = (*operands).cast::<f32>();
        *s += 1.0;
        **operands.add(1) = u8::from(*s < 3.0 + *ints as f32);
    }
}

#[test]
fn a_condition_ends_a_loop_and_devices_must_agree_on_it() {
    let run = |devices: u64, start: f32| {
        let mut b = Builder::new(&[("data", devices)]);
        b.input("s", DType::F32, &[Dim("N", devices, &[0])]);
        let s = b.donated("s", 0);
        let going = b.arena("going", DType::Bool, &[]);
        let launch =
            || Step::Launch { kernel: 0, operands: vec![s, going], ints: vec![Int::Coord(0)] };
        b.step(launch());
        b.step(Step::Loop {
            counter: 0,
            extent: 7,
            reversed: false,
            condition: Some(going),
            ahead: Ahead::default(),
            steps: vec![launch()],
        });
        let mut session = native(b, &[vec![(count as TileFn, 1)]], 2);
        session.bind(0, &f32s(&vec![start; devices as usize], &[devices]).value()).unwrap();
        session.run().map(|()| to_f32s(&session.output(0).unwrap()))
    };
    // Once before the loop; then as often as the condition allows, seven times at most.
    assert_eq!(run(1, 0.0).unwrap(), [3.0]);
    assert_eq!(run(1, 5.0).unwrap(), [6.0]);
    assert_eq!(run(1, -9.0).unwrap(), [-1.0]);
    assert_eq!(run(2, 5.0).unwrap(), [6.0, 6.0], "both end at once");
    let message = run(2, 0.0).unwrap_err().to_string();
    let expected = "rank 1 failed in a loop, at step 1, iteration 1 of 7: the loop's condition `going` is \
                    true here and false on rank 0; this is a bug of the compiler";
    assert_eq!(message, expected);
}

#[test]
fn swaps_exchange_memory_and_donated_inputs_come_home() {
    for extent in [1, 2, 3] {
        let mut b = Builder::new(&[("data", 2)]);
        let dims = || [Dim("N", 6, &[0])];
        let _ = b.input("s", DType::F32, &dims());
        let s = b.donated("s", 0);
        let old = b.output("old", DType::F32, &dims());
        b.step(Step::Copy { from: s, to: old });
        b.step(Step::Loop {
            counter: 0,
            extent,
            reversed: false,
            condition: None,
            ahead: Ahead::default(),
            steps: vec![
                Step::Swap { a: s, b: old },
                Step::Launch { kernel: 0, operands: vec![s], ints: vec![Int::Counter(0)] },
            ],
        });
        let mut session = native(b, &[vec![(append as TileFn, 1)]], 2);
        let mut numbers = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        session.bind(0, &f32s(&numbers, &[6]).value()).unwrap();
        // The second run goes on from the first one's result.
        for _ in 0..2 {
            session.run().unwrap();
            let mut pair = [numbers, numbers];
            for i in 0..extent {
                pair.swap(0, 1);
                for device in [0, 3] {
                    pair[0][device] = 10.0 * pair[0][device] + i as f32;
                }
            }
            assert_eq!(to_f32s(&session.output(0).unwrap()), pair[0], "{extent} swaps");
            assert_eq!(to_f32s(&session.output(1).unwrap()), pair[1], "{extent} swaps");
            numbers = pair[0];
        }
    }
}

/// Panics in the tiles whose second number is below the first.
unsafe extern "C-unwind" fn panic_from(
    _: *const *mut u8,
    ints: *const i64,
    _: *mut u8,
    _: *mut u8,
    _: i64,
    _: i64,
) {
    // SAFETY: the tests give two numbers.
    let (least, rank) = unsafe { (*ints, *ints.add(1)) };
    assert!(rank < least, "injected on {rank}");
}

#[test]
fn a_panic_names_the_rank_and_the_step_and_poisons_the_session() {
    for threads in [1, 4] {
        let mut b = Builder::new(&[("data", 4)]);
        let out = b.output("out", DType::F32, &[Dim("N", 400_000, &[0])]);
        b.step(Step::Loop {
            counter: 1,
            extent: 7,
            reversed: true,
            condition: None,
            ahead: Ahead::default(),
            steps: vec![Step::Launch {
                kernel: 0,
                operands: vec![out],
                ints: vec![Int::Counter(1), Int::Coord(0)],
            }],
        });
        b.manifest
            .kernels
            .push(einmesh_artifact::Kernel { name: "gelu+mul".to_owned(), phases: Vec::new() });
        let mut session = native(b, &[vec![(panic_from as TileFn, 10)]], threads);
        // Counters 6, 5, 4 are above all ranks; at 3, rank 3 panics.
        let message = session.run().unwrap_err().to_string();
        let expected = "rank 3 failed in kernel `gelu+mul`, at step 0, iteration 3 of 7, step 0: \
                        injected on 3";
        assert_eq!(message, expected, "{threads} threads");
        assert!(matches!(session.run(), Err(RunError::Poisoned(_))));
        assert!(matches!(session.output(0), Err(RunError::Poisoned(_))));
    }
}

/// Released by the test after the watchdog has given up.
static RELEASED: AtomicU64 = AtomicU64::new(0);

unsafe extern "C-unwind" fn hang(
    _: *const *mut u8,
    _: *const i64,
    _: *mut u8,
    _: *mut u8,
    begin: i64,
    end: i64,
) {
    while (begin..end).contains(&5) && RELEASED.load(Ordering::Relaxed) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn an_endless_kernel_is_given_up() {
    let mut b = Builder::new(&[("data", 2)]);
    let out = b.output("out", DType::F32, &[Dim("N", 400_000, &[0])]);
    b.launch(0, &[out], &[]);
    b.manifest
        .kernels
        .push(einmesh_artifact::Kernel { name: "endless".to_owned(), phases: Vec::new() });
    // SAFETY: the kernel touches no memory.
    let module = unsafe { Module::from_functions(b.manifest, &[vec![(hang as TileFn, 10)]]) };
    let mut options = options(2);
    options.watchdog = Duration::from_millis(200);
    let mut session = Session::new(module, options).unwrap();
    let message = session.run().unwrap_err().to_string();
    assert!(message.contains("kernel `endless` at step 0 has not finished"), "{message}");
    assert!(matches!(session.run(), Err(RunError::Poisoned(_))));
    drop(session);
    RELEASED.store(1, Ordering::Relaxed);
}

#[test]
fn inputs_bound_together_are_checked_one_by_one() {
    let mut session = session(&add(&[], &[], 3).artifact(Some(ADD), &[]), 2);
    let (good, short) = (f32s(&[1.0; 3], &[3]), f32s(&[1.0; 2], &[2]));
    let twice = session.bind_all(&[(1, &good.value()), (1, &good.value())]).unwrap_err();
    assert!(twice.to_string().contains("y"), "{twice}");
    let misshapen = session.bind_all(&[(0, &good.value()), (1, &short.value())]).unwrap_err();
    assert!(misshapen.to_string().contains("3 elements"), "{misshapen}");
    assert!(session.bind_all(&[(2, &good.value())]).is_err());
}

#[test]
fn an_unbound_input_is_named() {
    let mut session = session(&add(&[], &[], 4).artifact(Some(ADD), &[]), 1);
    session.bind(0, &f32s(&[0.0; 4], &[4]).value()).unwrap();
    let message = session.run().unwrap_err().to_string();
    assert_eq!(message, "the input `y` has no value: bind it before running");
    let short = session.bind(1, &f32s(&[0.0; 3], &[3]).value());
    assert!(matches!(short, Err(RunError::Bind { .. })));
}

/// A loop over three layers of an input whose parts two devices hold: each layer is gathered ahead, and added up.
fn gathering(extent: u64, reversed: bool) -> Builder {
    let mut b = Builder::new(&[("data", 2)]);
    let n = 20_000;
    let w = b.input("w", DType::F32, &[Dim("L", 3, &[]), Dim("N", n, &[0])]);
    let sum = b.output("sum", DType::F32, &[Dim("N", n, &[])]);
    let part = b.arena("part", DType::F32, &[n / 2]);
    let next = b.arena("next", DType::F32, &[n]);
    let now = b.arena("now", DType::F32, &[n]);
    let ahead = Ahead {
        steps: vec![
            Step::Launch { kernel: 0, operands: vec![w, part], ints: vec![Int::Counter(1)] },
            Step::Collective {
                kind: Collective::AllGather { position: 0 },
                axes: vec![0],
                input: part,
                output: next,
            },
        ],
        handed: vec![(next, now)],
    };
    let steps =
        vec![Step::Launch { kernel: 1, operands: vec![sum, now], ints: vec![Int::Counter(1)] }];
    b.step(Step::Loop { counter: 1, extent, reversed, condition: None, ahead, steps });
    b
}

/// Tiles of 100 elements: takes a layer, `ints[0]`, out of the operand before. Layer 7 is a mistake.
unsafe extern "C-unwind" fn layer(
    operands: *const *mut u8,
    ints: *const i64,
    _: *mut u8,
    _: *mut u8,
    begin: i64,
    end: i64,
) {
    // SAFETY: the tests give an input of three layers of 10,000 elements, a part of one, and a counter.
    unsafe {
        assert!(*ints < 3, "there is no layer {}", *ints);
        let (from, to) = ((*operands).cast::<f32>(), (*operands.add(1)).cast::<f32>());
        let range = begin as usize * 100..end as usize * 100;
        range.for_each(|i| *to.add(i) = *from.add(*ints as usize * 10_000 + i));
    }
}

/// Tiles of 100 elements: s = 10 s + x.
unsafe extern "C-unwind" fn add_layer(
    operands: *const *mut u8,
    _: *const i64,
    _: *mut u8,
    _: *mut u8,
    begin: i64,
    end: i64,
) {
    // SAFETY: the tests give two arrays of 20,000 elements.
    unsafe {
        let (sum, x) = ((*operands).cast::<f32>(), (*operands.add(1)).cast::<f32>());
        let range = begin as usize * 100..end as usize * 100;
        range.for_each(|i| *sum.add(i) = 10.0 * *sum.add(i) + *x.add(i));
    }
}

const LAYER: [(TileFn, u64); 2] = [(layer, 100), (add_layer, 200)];

#[test]
fn what_is_done_ahead_arrives_for_its_iteration() {
    for (threads, reversed) in [(1, false), (2, false), (2, true), (4, true)] {
        let kernels: Vec<_> = LAYER.iter().map(|k| vec![*k]).collect();
        let mut session = native(gathering(3, reversed), &kernels, threads);
        let numbers: Vec<f32> = (0..60_000).map(|i| (i / 20_000 * 3 + i % 3 + 1) as f32).collect();
        session.bind(0, &f32s(&numbers, &[3, 20_000]).value()).unwrap();
        let mut expected = vec![0.0f32; 20_000];
        // An odd number of exchanges leaves the two places the other way round for the next run.
        for _ in 0..2 {
            session.run().unwrap();
            for l in if reversed { [2, 1, 0] } else { [0, 1, 2] } {
                let layer = &numbers[l * 20_000..][..20_000];
                expected.iter_mut().zip(layer).for_each(|(s, x)| *s = 10.0 * *s + x);
            }
            assert_eq!(to_f32s(&session.output(0).unwrap()), expected);
        }
        let profile = session.profile();
        let gathers = profile.iter().find(|t| t.what.starts_with("all_gather")).expect("a gather");
        assert_eq!(gathers.count, 2 * 3, "one for each layer: {profile:?}");
    }
}

#[test]
fn a_panic_ahead_names_its_step() {
    for threads in [1, 2] {
        let mut b = gathering(5, false);
        let named = |name: &str| einmesh_artifact::Kernel { name: name.to_owned(), phases: vec![] };
        b.manifest.kernels = vec![named("layer"), named("add")];
        let kernels: Vec<_> = LAYER.iter().map(|k| vec![*k]).collect();
        let mut session = native(b, &kernels, threads);
        session.bind(0, &f32s(&vec![0.0; 60_000], &[3, 20_000]).value()).unwrap();
        let message = session.run().unwrap_err().to_string();
        let expected = "rank 0 failed in kernel `layer`, at step 0, iteration 2 of 5, step 0 of what is done ahead: \
                        there is no layer 3";
        assert_eq!(message, expected, "{threads} threads");
        assert!(matches!(session.run(), Err(RunError::Poisoned(_))));
    }
}
