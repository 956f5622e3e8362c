//! The sizes that code is generated with, per CPU level: a table that `einmesh tune` measures and
//! `build` reads. Without one, the built-in table holds.
//!
//! A table changes how fast code is, and in which order matrix products are summed where it changes
//! [`Sizes::step_bytes`]; never what is computed. The same program, options and table give the same bytes.

use crate::cpu::Level;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the table's form.
pub const FORMAT: u32 = 1;

/// The table: the sizes of each level.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tuning {
    /// The CPU that it was measured on; the built-in table has none.
    pub cpu: String,
    levels: BTreeMap<Level, Sizes>,
}

/// The sizes of a level. Those of a level that adds to another (`x86-64-v4-bf16`, `x86-64-v4-amx`) are
/// for the kernels that profit from what it adds: products of bf16.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// The most rows of accumulators in the micro-kernel of a matrix product.
    pub tile_rows: u64,
    /// Vectors in a row of accumulators.
    pub tile_vectors: u64,
    /// Bytes of a row of the left operand that are used in one step, at most: with more, a panel of the right one
    /// does not stay in the L2 cache.
    pub step_bytes: u64,
    /// Rows of a block of the result, at most about.
    pub block_rows: u64,
    /// Columns of a block of the result, at most about.
    pub block_columns: u64,
    /// Rows of the left operand that panels are multiplied with one after the other: a step's part of them
    /// stays in the L2 cache.
    pub packed_rows: u64,
    /// There should be so many blocks, unless they would have less than `block_flops` to do.
    pub blocks: u64,
    /// See `blocks`.
    pub block_flops: u64,
}

impl Sizes {
    /// The built-in sizes. 14×2 vectors of accumulators fit the 32 registers of AVX-512, 6×2 the 16 of
    /// AVX2 (a larger tile spills and is several times slower).
    pub fn built_in(level: Level) -> Sizes {
        let sizes = Sizes {
            tile_rows: 14,
            tile_vectors: 2,
            step_bytes: 3072,
            block_rows: 1024,
            block_columns: 512,
            packed_rows: 144,
            blocks: 16,
            block_flops: 4_000_000,
        };
        match level {
            Level::X86_64V3 => Sizes { tile_rows: 6, ..sizes },
            Level::X86_64V4 => sizes,
            // Products of pairs pack a step's part of a block of the right operand, panels of which stay in the
            // L1 cache.
            Level::X86_64V4Bf16 => {
                Sizes { step_bytes: 1024, block_rows: 256, block_flops: 8_000_000, ..sizes }
            }
            // Packing is dear beside tiles: the more rows, the more use is made of a packed operand.
            Level::X86_64V4Amx => {
                Sizes { step_bytes: 1024, block_columns: 256, block_flops: 32_000_000, ..sizes }
            }
        }
    }

    /// Whether code can be generated with them for a level.
    pub fn fit(&self, level: Level) -> bool {
        self.problems(level).is_empty()
    }

    /// What is wrong with the sizes for a level; nothing, if code can be generated with them.
    fn problems(&self, level: Level) -> Vec<String> {
        let mut found = Vec::new();
        let mut within = |name: &str, value: u64, low: u64, high: u64| {
            if !(low..=high).contains(&value) {
                found.push(format!("`{name}` is {value}; it may be from {low} to {high}"));
            }
        };
        within("tile_rows", self.tile_rows, 1, 30);
        within("tile_vectors", self.tile_vectors, 1, 6);
        within("step_bytes", self.step_bytes, 256, 1 << 16);
        within("block_rows", self.block_rows, 8, 1 << 14);
        within("block_columns", self.block_columns, 16, 1 << 14);
        within("packed_rows", self.packed_rows, 8, 1 << 14);
        within("blocks", self.blocks, 1, 1 << 16);
        within("block_flops", self.block_flops, 1, 1 << 40);
        if !self.step_bytes.is_multiple_of(256) {
            found
                .push(format!("`step_bytes` is {}; it must be a multiple of 256", self.step_bytes));
        }
        // One vector of the left operand and a row of the right one are in registers as well.
        let registers = level.registers();
        let used = self.tile_rows.saturating_mul(self.tile_vectors) + self.tile_vectors + 1;
        if found.is_empty() && used > registers {
            found.push(format!(
                "a tile of {}×{} vectors needs {used} registers; the level has {registers}",
                self.tile_rows, self.tile_vectors
            ));
        }
        found
    }
}

/// The table's file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    cpu: String,
    levels: BTreeMap<String, Sizes>,
}

impl Tuning {
    /// The sizes of a level: the table's, or the built-in ones.
    pub fn of(&self, level: Level) -> Sizes {
        self.levels.get(&level).copied().unwrap_or_else(|| Sizes::built_in(level))
    }

    /// A table measured on a CPU, without levels yet.
    pub fn of_cpu(cpu: &str) -> Tuning {
        Tuning { cpu: cpu.to_owned(), levels: BTreeMap::new() }
    }

    /// Replaces the sizes of a level.
    pub fn set(&mut self, level: Level, sizes: Sizes) {
        self.levels.insert(level, sizes);
    }

    /// Reads a table. The error says everything that is wrong with it, one problem a line.
    pub fn parse(text: &str) -> Result<Tuning, String> {
        let file: File = serde_json::from_str(text)
            .map_err(|why| format!("it is not a table of `einmesh tune`: {why}"))?;
        if file.format != FORMAT {
            return Err(format!(
                "it has format {}, and this `einmesh` reads {FORMAT}: run `einmesh tune` again",
                file.format
            ));
        }
        let mut tuning = Tuning { cpu: file.cpu, levels: BTreeMap::new() };
        let mut problems = Vec::new();
        for (name, sizes) in file.levels {
            let Some(level) = Level::ALL.into_iter().find(|l| l.name() == name) else {
                let names: Vec<&str> = Level::ALL.iter().map(|l| l.name()).collect();
                problems
                    .push(format!("there is no level `{name}`; there are {}", names.join(", ")));
                continue;
            };
            let found = sizes.problems(level);
            problems.extend(found.into_iter().map(|problem| format!("{name}: {problem}")));
            tuning.levels.insert(level, sizes);
        }
        if problems.is_empty() { Ok(tuning) } else { Err(problems.join("\n")) }
    }

    /// The table's text, which [`Tuning::parse`] reads.
    pub fn to_json(&self) -> String {
        let levels = self.levels.iter().map(|(l, sizes)| (l.name().to_owned(), *sizes)).collect();
        let file = File { format: FORMAT, cpu: self.cpu.clone(), levels };
        serde_json::to_string_pretty(&file).expect("numbers and names are JSON")
    }
}
