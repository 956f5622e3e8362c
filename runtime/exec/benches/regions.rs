//! What a launch costs: a loop of many equal launches, by the bytes that each touches and by threads. The
//! kernel adds one to each element, at about the speed of memory, so that what remains is the executor.
//!
//! `cargo bench -p einmesh-exec --bench regions`; the fastest of many runs, the numbers of threads in turns.

#[path = "../tests/support/mod.rs"]
mod support;

use einmesh_artifact::{Ahead, DType, Kernel, Step};
use einmesh_exec::{Module, Options, Session, TileFn};
use std::time::Instant;
use support::{Builder, Dim, f32s};

const LAUNCHES: u64 = 200;
/// Elements of a tile.
const TILE: usize = 256;

unsafe extern "C-unwind" fn increment(
    operands: *const *mut u8,
    _: *const i64,
    _: *mut u8,
    _: *mut u8,
    begin: i64,
    end: i64,
) {
    let (begin, end) = (begin as usize * TILE, end as usize * TILE);
    // SAFETY: the session gives an operand of at least `end` tiles, and each tile to one call.
    let x = unsafe {
        std::slice::from_raw_parts_mut((*operands).cast::<f32>().add(begin), end - begin)
    };
    for x in x {
        *x += 1.0;
    }
}

fn session(tiles: u64, launches: u64, threads: usize) -> Session {
    let mut b = Builder::new(&[]);
    let elements = tiles * TILE as u64;
    b.input("x", DType::F32, &[Dim("N", elements, &[])]);
    let x = b.donated("x", 0);
    let steps = vec![Step::Launch { kernel: 0, operands: vec![x], ints: Vec::new() }];
    b.step(Step::Loop {
        counter: 0,
        extent: launches,
        reversed: false,
        condition: None,
        ahead: Ahead::default(),
        steps,
    });
    b.manifest.kernels.push(Kernel { name: "increment".to_owned(), phases: Vec::new() });
    // SAFETY: `increment` stays within the tiles it is given.
    let module =
        unsafe { Module::from_functions(b.manifest, &[vec![(increment as TileFn, tiles)]]) };
    let mut session = Session::new(module, Options { threads, ..Options::default() }).unwrap();
    session.bind(0, &f32s(&vec![0.5; elements as usize], &[elements]).value()).unwrap();
    session
}

fn fastest_us(sessions: &mut [Session], runs: usize) -> Vec<f64> {
    let mut best = vec![f64::INFINITY; sessions.len()];
    for _ in 0..runs {
        for (session, best) in sessions.iter_mut().zip(&mut best) {
            let start = Instant::now();
            session.run().unwrap();
            *best = best.min(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    best
}

fn main() {
    let threads = [1, 2, 4];
    println!("microseconds, on {} CPUs", Options::default().threads);
    let of = |tiles, launches| threads.map(|n| session(tiles, launches, n));
    let run = fastest_us(&mut of(1, 1), 200);
    println!("a run of one small launch, with 1, 2, 4 threads: {run:.1?}");
    println!("{:>10} {:>9} {:>9} {:>9}   a launch with 1, 2, 4 threads", "KiB", 1, 2, 4);
    for tiles in [1, 4, 8, 16, 32, 64, 128, 256, 1024] {
        let times = fastest_us(&mut of(tiles, LAUNCHES), if tiles > 100 { 20 } else { 60 });
        let each: Vec<f64> = times.iter().map(|t| t / LAUNCHES as f64).collect();
        println!("{tiles:10} {:9.2} {:9.2} {:9.2}", each[0], each[1], each[2]);
    }
}
