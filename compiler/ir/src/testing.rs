//! Random well-typed programs, for the tests of every stage.
//!
//! [`generate`] is a pure function of a seed and [`GenerateOptions`]. A program of size n + 1 is the
//! program of size n and more operations (mostly one), so a failing case is shrunk by lowering `size` with the seed
//! kept.
//!
//! In [`Mode::Exact`] all floats are small integers whose sums stay below 2²⁴, so that every order of
//! evaluation gives the same numbers and results can be compared with `==` (which takes −0 and 0 as
//! equal; NaN must be compared to NaN). In [`Mode::Float`] numbers are arbitrary but moderate, functions
//! are smooth, and what jumps (comparisons, sorting, rounding, conversion to integers) is only applied to
//! exact integers, so that results are close in any precision.

mod attention;
mod block;
mod body;
mod compute;
mod gradient;
mod random;
mod siblings;
mod symbolic;
#[cfg(test)]
mod tests;
mod update;

pub use random::Random;
pub use symbolic::{make_symbolic, with_extents};

use crate::dtype::DType;
use crate::program::*;
use block::Gen;

/// Which numbers a generated program works with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Small integers: results do not depend on the order of evaluation.
    Exact,
    /// Moderate numbers and smooth functions.
    Float,
}

/// What generated programs may contain.
#[derive(Clone, PartialEq, Debug)]
pub struct GenerateOptions {
    /// How many operations stand in the outermost block.
    pub size: usize,
    /// The largest extent of a dim.
    pub max_extent: u64,
    /// The largest index space of a comprehension.
    pub max_points: u64,
    /// Exact or float.
    pub mode: Mode,
    /// Guards, by affine conditions and by values.
    pub guards: bool,
    /// Subscripts like `t - 1` with a default.
    pub affine: bool,
    /// Subscripts that are loaded.
    pub gathers: bool,
    /// Stores into existing arrays.
    pub stores: bool,
    /// Loops with carried and collected values.
    pub loops: bool,
    /// Argsort.
    pub sorts: bool,
    /// f16 and bf16.
    pub halves: bool,
    /// f64 and i64 beside f32 and i32.
    pub wide: bool,
    /// Random numbers.
    pub random: bool,
    /// Inputs that new states take the memory of. Off unless asked for: they have to lie as their successors do.
    pub donations: bool,
}

impl Default for GenerateOptions {
    fn default() -> GenerateOptions {
        GenerateOptions {
            size: 6,
            max_extent: 7,
            max_points: 2000,
            mode: Mode::Exact,
            guards: true,
            affine: true,
            gathers: true,
            stores: true,
            loops: true,
            sorts: true,
            halves: true,
            wide: true,
            random: true,
            donations: false,
        }
    }
}

/// What an input must be filled with.
#[derive(Clone, PartialEq, Debug)]
pub struct InputSpec {
    /// The dtype.
    pub dtype: DType,
    /// The extents.
    pub shape: Vec<u64>,
    /// The numbers.
    pub fill: Fill,
}

/// The numbers of an input.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fill {
    /// Whole numbers from `low` to `high`, both included; of any dtype.
    Whole {
        /// The smallest.
        low: i64,
        /// The largest.
        high: i64,
    },
    /// Floats between −1 and 1.
    Unit,
}

/// Numbers for an input, row-major.
#[derive(Clone, PartialEq, Debug)]
pub enum Numbers {
    /// For float dtypes; already rounded to the dtype.
    Floats(Vec<f64>),
    /// For all others; truth values are 0 and 1.
    Ints(Vec<i64>),
}

/// A random program that verifies, and what its inputs must be filled with.
pub fn generate(seed: u64, options: &GenerateOptions) -> (Program, Vec<InputSpec>) {
    let mut generator = Gen::new(seed, options);
    generator.dims();
    generator.inputs();
    for _ in 0..options.size {
        generator.operation();
    }
    generator.finish()
}

/// Numbers for the inputs of a generated program.
pub fn numbers(seed: u64, specs: &[InputSpec]) -> Vec<Numbers> {
    let mut random = Random::new(seed ^ 0x6e75_6d62_6572_7321);
    let mut fill = |spec: &InputSpec| {
        let elements = spec.shape.iter().product::<u64>();
        let mut whole = |low: i64, high: i64| low + random.below((high - low + 1) as u64) as i64;
        match (spec.fill, spec.dtype.is_float()) {
            (Fill::Whole { low, high }, true) => {
                Numbers::Floats((0..elements).map(|_| whole(low, high) as f64).collect())
            }
            (Fill::Whole { low, high }, false) => {
                Numbers::Ints((0..elements).map(|_| whole(low, high)).collect())
            }
            (Fill::Unit, true) => {
                let number = |_| spec.dtype.round(whole(-1000, 1000) as f64 / 1000.0);
                Numbers::Floats((0..elements).map(number).collect())
            }
            (Fill::Unit, false) => Numbers::Ints(vec![0; elements as usize]),
        }
    };
    specs.iter().map(&mut fill).collect()
}

/// A text with a word or symbol in the place of another, and sometimes a wrong byte: for tests that
/// nothing panics on what nobody would write.
pub fn damage(text: &str, random: &mut Random) -> String {
    let mut pieces: Vec<String> = Vec::new();
    for c in text.chars() {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '%');
        match pieces.last_mut() {
            Some(last) if word(c) && last.chars().all(word) => last.push(c),
            _ => pieces.push(c.to_string()),
        }
    }
    let mut place = || random.below(pieces.len() as u64) as usize;
    let (to, from) = (place(), place());
    // Among words most replacements still parse.
    let word = |piece: &String| piece.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '%');
    let alike = |at: usize| (at..pieces.len()).find(|at| word(&pieces[*at])).unwrap_or(at);
    let (to, from) = if random.chance(80) { (alike(to), alike(from)) } else { (to, from) };
    pieces[to] = pieces[from].clone();
    let mut bytes = pieces.concat().into_bytes();
    if random.chance(10) {
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] = random.bits() as u8;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
