//! `einmesh tune`: measures which sizes make matrix products fast on this machine, and writes the table that
//! `--tuning` reads.
//!
//! One size after the other is changed, as long as there is time, and a change is kept if the products are
//! faster with it by more than measuring wavers, twice. What was not measured keeps its built-in value.

mod product;

use super::{Stop, print};
use crate::args::Tune;
use einmesh_driver::{Level, Sizes, Tuning};
use einmesh_exec::cpu_runs;
use product::Product;
use std::time::{Duration, Instant};

/// A change is kept if it makes products faster by this factor at least.
const GAIN: f64 = 1.02;

/// Measures, and writes the table.
pub fn tune(arguments: &Tune) -> Result<(), Stop> {
    let Some(best) = Level::ALL.into_iter().find(|level| cpu_runs(level.name())) else {
        return Err(Stop::Failed("no code can be generated for this CPU".to_owned()));
    };
    let chain = best.chain();
    let base = *chain.last().expect("the level itself");
    let mut wanted = vec![(vec![base], "f32")];
    if best != base {
        wanted.push((chain, "bf16"));
    }
    let cpu = cpu_name();
    eprintln!("measuring on {cpu}, for about {} s", arguments.seconds);
    let mut tuning = Tuning::of_cpu(&cpu);
    let each = Duration::from_secs(arguments.seconds) / wanted.len() as u32;
    for (levels, dtype) in wanted {
        let threads = arguments.threads as usize;
        let mut search = Search { levels, dtype, threads, tuning, end: Instant::now() + each };
        search.run()?;
        tuning = search.tuning;
    }
    let table = format!("{}\n", tuning.to_json());
    match &arguments.output {
        None => print(&table),
        Some(path) => std::fs::write(path, table)
            .map_err(|why| Stop::Failed(format!("cannot write `{}`: {why}", path.display()))),
    }
}

/// The search for the sizes of one level.
struct Search {
    /// The level, and those that it adds to.
    levels: Vec<Level>,
    dtype: &'static str,
    threads: usize,
    /// The best table so far.
    tuning: Tuning,
    end: Instant,
}

impl Search {
    fn run(&mut self) -> Result<(), Stop> {
        let level = self.levels[0];
        self.tuning.set(level, self.tuning.of(level));
        let mut best = self.products(&self.tuning)?;
        for changes in candidates() {
            for change in changes {
                let before = self.tuning.of(level);
                let mut sizes = before;
                change(&mut sizes);
                if sizes == before || !sizes.fit(level) {
                    continue;
                }
                if Instant::now() >= self.end {
                    return Ok(());
                }
                let mut tuning = self.tuning.clone();
                tuning.set(level, sizes);
                let mut products = self.products(&tuning)?;
                if product::gain(&mut best, &mut products)? < GAIN {
                    continue;
                }
                // Once more in other memory: where operands lie moves times by as much as sizes do.
                products = self.products(&tuning)?;
                best = self.products(&self.tuning)?;
                let gain = product::gain(&mut best, &mut products)?;
                if gain >= GAIN {
                    let percent = (gain - 1.0) * 100.0;
                    eprintln!("{}, {}: {percent:.1} % faster: {sizes:?}", level.name(), self.dtype);
                    (self.tuning, best) = (tuning, products);
                }
            }
        }
        Ok(())
    }

    fn products(&self, tuning: &Tuning) -> Result<Vec<Product>, Stop> {
        Product::all(self.dtype, &self.levels, self.threads, tuning)
    }
}

type Change = Box<dyn Fn(&mut Sizes)>;

/// The values that are tried, size by size: the tile first, which counts most.
fn candidates() -> Vec<Vec<Change>> {
    let tiles = [(14, 2), (12, 2), (10, 2), (9, 3), (8, 3), (7, 4), (6, 4), (6, 2), (4, 3), (5, 2)];
    let tiles = tiles.map(|(rows, vectors)| -> Change {
        Box::new(move |s: &mut Sizes| (s.tile_rows, s.tile_vectors) = (rows, vectors))
    });
    let set = |values: &[u64], field: fn(&mut Sizes) -> &mut u64| -> Vec<Change> {
        let values = values.iter().copied();
        values.map(|v| -> Change { Box::new(move |s: &mut Sizes| *field(s) = v) }).collect()
    };
    vec![
        tiles.into_iter().collect(),
        set(&[1024, 1536, 2048, 3072, 4096], |s| &mut s.step_bytes),
        set(&[256, 512, 1024, 2048], |s| &mut s.block_columns),
        set(&[128, 256, 512, 1024], |s| &mut s.block_rows),
        set(&[72, 144, 216, 288], |s| &mut s.packed_rows),
        set(&[2_000_000, 4_000_000, 8_000_000, 16_000_000], |s| &mut s.block_flops),
        set(&[8, 16, 32], |s| &mut s.blocks),
    ]
}

/// What the system calls this CPU.
fn cpu_name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| "unknown CPU".to_owned(), |(_, name)| name.trim().to_owned())
}
