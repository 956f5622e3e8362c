//! The matrix products that sizes are judged by: those of a transformer's layer, with few and with many rows.

use super::super::Stop;
use einmesh_driver::{Goal, Level, Request, Source, Tuning, compile};
use einmesh_exec::tensors::{ElementType, Tensor};
use einmesh_exec::{Module, Options, Session};
use std::time::{Duration, Instant};

/// Rows, columns, depth, and whether the right operand is stored by columns.
const SHAPES: [(u64, u64, u64, bool); 4] = [
    (512, 3072, 768, false),
    (512, 768, 3072, false),
    (128, 4096, 768, true),
    (256, 256, 256, false),
];
/// A product is run so often in turn with the other, and so long at most.
const TURNS: usize = 25;
const MOST: Duration = Duration::from_millis(400);

/// A compiled product with its operands.
pub struct Product(Session);

impl Product {
    /// All of them, compiled with a table.
    pub fn all(
        dtype: &str,
        levels: &[Level],
        threads: usize,
        tuning: &Tuning,
    ) -> Result<Vec<Product>, Stop> {
        let one =
            |shape: &(u64, u64, u64, bool)| Product::new(*shape, dtype, levels, threads, tuning);
        SHAPES.iter().map(one).collect()
    }

    fn new(
        (rows, columns, depth, turned): (u64, u64, u64, bool),
        dtype: &str,
        levels: &[Level],
        threads: usize,
        tuning: &Tuning,
    ) -> Result<Product, Stop> {
        let (right, subscripts) = if turned { ("N,K", "n,k") } else { ("K,N", "k,n") };
        let text = format!(
            "dim M = {rows}, N = {columns}, K = {depth}\n\
             export fn product(x: {dtype}[M,K], w: {dtype}[{right}]) -> {dtype}[M,N] {{\n  \
               out[m,n] = x[m,k] * w[{subscripts}]\n}}\n"
        );
        let source = Source::Text { name: "product".to_owned(), text };
        let mut request = Request::new(source, "product");
        request.goal = Goal::Build;
        request.levels = levels.to_vec();
        request.tuning = tuning.clone();
        let (_, products) = compile(&request);
        let artifact = products.ok().and_then(|p| p.artifact);
        let artifact = artifact.ok_or_else(|| {
            Stop::Failed(format!("a product of {dtype} does not compile with {}", tuning.to_json()))
        })?;
        let failed = |e: einmesh_exec::RunError| Stop::Failed(e.to_string());
        let options = Options { threads, ..Options::default() };
        let module = Module::load(&artifact).map_err(failed)?;
        let mut session = Session::new(module, options).map_err(failed)?;
        for (position, input) in artifact.manifest.inputs.iter().enumerate() {
            let tensor = operand(&input.shape(), position as u32);
            session.bind(position, &tensor.value()).map_err(failed)?;
        }
        Ok(Product(session))
    }

    fn seconds(&mut self) -> Result<f64, Stop> {
        let start = Instant::now();
        self.0.run().map_err(|e| Stop::Failed(e.to_string()))?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// How much faster the products of `new` are than those of `old`: the geometric mean over the fastest runs,
/// measured in turns.
pub fn gain(old: &mut [Product], new: &mut [Product]) -> Result<f64, Stop> {
    let mut logarithms = 0.0;
    for (old, new) in old.iter_mut().zip(new.iter_mut()) {
        let (start, mut best) = (Instant::now(), [f64::INFINITY; 2]);
        for turn in 0..=TURNS {
            let times = match turn % 2 {
                0 => [old.seconds()?, new.seconds()?],
                _ => {
                    let second = new.seconds()?;
                    [old.seconds()?, second]
                }
            };
            // The first turn warms up.
            if turn > 0 {
                best = [best[0].min(times[0]), best[1].min(times[1])];
            }
            if turn > 2 && start.elapsed() > MOST {
                break;
            }
        }
        logarithms += (best[0] / best[1]).ln();
    }
    Ok((logarithms / old.len() as f64).exp())
}

/// Numbers in ±½ without a pattern: zeros would be read faster.
fn operand(shape: &[u64], seed: u32) -> Tensor {
    let number = |i: u32| {
        let h = i.wrapping_mul(2_654_435_761).wrapping_add(seed);
        let h = (h ^ h >> 16).wrapping_mul(0x85EB_CA6B);
        f32::from((h >> 16) as u16) / 65536.0 - 0.5
    };
    let count = shape.iter().product::<u64>() as u32;
    let bytes = (0..count).flat_map(|i| number(i).to_le_bytes()).collect();
    Tensor { dtype: ElementType::F32, shape: shape.to_vec(), bytes }
}
