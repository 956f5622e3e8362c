//! Three ways to run d virtual devices on c threads, on the same work: layers of four kernels and an
//! all-reduce. Prints milliseconds per run, the fastest of many interleaved ones. `README.md` draws
//! the conclusion.

#[path = "../tests/support/mod.rs"]
mod support;

use einmesh_artifact::{Ahead, Collective, DType, Kernel, Manifest, Reduction, Step};
use einmesh_exec::{Module, Options, Session, TileFn};
use rayon::prelude::*;
use std::sync::Barrier;
use std::time::Instant;
use support::{Builder, Dim, f32s};

const LAYERS: u64 = 12;
const KERNELS: usize = 4;
/// Elements of a tile.
const TILE: usize = 1024;

/// Some arithmetic on each element of some tiles.
unsafe extern "C-unwind" fn work(
    operands: *const *mut u8,
    _: *const i64,
    _: *mut u8,
    _: *mut u8,
    begin: i64,
    end: i64,
) {
    let (begin, end) = (begin as usize * TILE, end as usize * TILE);
    // SAFETY: the callers give an operand of at least `end` tiles, and each tile to one call.
    let x = unsafe {
        std::slice::from_raw_parts_mut((*operands).cast::<f32>().add(begin), end - begin)
    };
    for x in x {
        *x = (0..16).fold(*x, |x, _| x * 0.999 + 0.001);
    }
}

fn lock_step(devices: u64, tiles: u64, threads: usize) -> Session {
    let mut b = Builder::new(&[("data", devices)]);
    b.input("x", DType::F32, &[Dim("N", devices * tiles * TILE as u64, &[0])]);
    let x = b.donated("x", 0);
    let launch = Step::Launch { kernel: 0, operands: vec![x], ints: Vec::new() };
    let mut steps = vec![launch; KERNELS];
    steps.push(Step::Collective {
        kind: Collective::AllReduce { reduction: Reduction::Max },
        axes: vec![0],
        input: x,
        output: x,
    });
    b.step(Step::Loop {
        counter: 0,
        extent: LAYERS,
        reversed: false,
        condition: None,
        ahead: Ahead::default(),
        steps,
    });
    b.manifest.kernels.push(Kernel { name: "work".to_owned(), phases: Vec::new() });
    let manifest: Manifest = b.manifest;
    let elements = (devices * tiles) as usize * TILE;
    // SAFETY: `work` stays within the tiles it is given.
    let module = unsafe { Module::from_functions(manifest, &[vec![(work as TileFn, tiles)]]) };
    let options = Options { threads, ..Options::default() };
    let mut session = Session::new(module, options).unwrap();
    session.bind(0, &f32s(&vec![0.5; elements], &[elements as u64]).value()).unwrap();
    session
}

/// A pointer that threads share.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

// SAFETY: the threads below write disjoint parts between barriers.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn get(self) -> *mut f32 {
        self.0
    }
}

/// One thread per device, which meet at barriers; kernels inline or on a common pool.
fn thread_per_device(memory: &mut [Vec<f32>], tiles: u64, pool: Option<&rayon::ThreadPool>) {
    let pointers: Vec<Shared> = memory.iter_mut().map(|m| Shared(m.as_mut_ptr())).collect();
    let barrier = Barrier::new(pointers.len());
    let (pointers, barrier) = (&pointers, &barrier);
    std::thread::scope(|scope| {
        for rank in 0..pointers.len() {
            scope.spawn(move || {
                let tile = |begin: u64, end: u64| {
                    let operand = pointers[rank].get().cast::<u8>();
                    let none = std::ptr::null_mut();
                    // SAFETY: the device's own memory, each tile once.
                    unsafe {
                        work(&operand, std::ptr::null(), none, none, begin as i64, end as i64)
                    };
                };
                for _ in 0..LAYERS {
                    for _ in 0..KERNELS {
                        match pool {
                            None => tile(0, tiles),
                            Some(pool) => pool.install(|| {
                                let tasks = tiles.min(8);
                                (0..tasks as usize).into_par_iter().with_max_len(1).for_each(|t| {
                                    let t = t as u64;
                                    tile(tiles * t / tasks, tiles * (t + 1) / tasks);
                                });
                            }),
                        }
                    }
                    barrier.wait();
                    all_reduce(pointers, rank, tiles as usize * TILE);
                    barrier.wait();
                }
            });
        }
    });
}

/// This rank's part of an all-reduce: a segment, for all.
fn all_reduce(pointers: &[Shared], rank: usize, elements: usize) {
    let n = pointers.len();
    for i in elements * rank / n..elements * (rank + 1) / n {
        // SAFETY: between the barriers, nobody else touches this segment.
        unsafe {
            let largest = pointers.iter().map(|p| *p.get().add(i)).fold(f32::MIN, f32::max);
            for p in pointers {
                *p.get().add(i) = largest;
            }
        }
    }
}

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    println!("{threads} threads; milliseconds per run of {LAYERS} layers");
    println!("devices  KiB/kernel  lock-step  thread/device  thread/device + pool");
    for devices in [1, 2, 4, 8] {
        for tiles in [1, 16, 128] {
            let mut session = lock_step(devices, tiles, threads);
            let elements = tiles as usize * TILE;
            let mut memory = vec![vec![0.5; elements]; devices as usize];
            let mut best = [f64::INFINITY; 3];
            for _ in 0..if tiles > 100 { 10 } else { 50 } {
                let mut time = |scheme: usize, run: &mut dyn FnMut()| {
                    let start = Instant::now();
                    run();
                    best[scheme] = best[scheme].min(start.elapsed().as_secs_f64() * 1e3);
                };
                time(0, &mut || session.run().unwrap());
                time(1, &mut || thread_per_device(&mut memory, tiles, None));
                time(2, &mut || thread_per_device(&mut memory, tiles, Some(&pool)));
            }
            let [lock, inline, pooled] = best;
            let size = elements * 4 / 1024;
            println!("{devices:7}  {size:10}  {lock:9.3}  {inline:13.3}  {pooled:20.3}");
        }
    }
}
