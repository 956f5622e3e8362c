//! Which kernels are compiled for which level.
//!
//! A level whose instructions few kernels profit from is a layer over the level below: its image holds the
//! code of that level, and over it the code of the kernels that differ. Nothing is compiled twice, and a
//! level at which no kernel differs gets no image.

use super::dot;
use super::level::Level;
use crate::tuning::Tuning;
use einmesh_schedule::kernel::{Body, Contraction, Kernel};

/// The image of a level.
#[derive(PartialEq, Eq, Debug)]
pub struct Layer {
    /// The level.
    pub level: Level,
    /// The layer it lies over, by its number.
    pub base: Option<usize>,
    /// The kernels that it has code of its own for.
    pub own: Vec<usize>,
}

/// The layers for some levels, the least demanding first, so that each lies over an earlier one.
pub fn layers(levels: &[Level], kernels: &[Kernel], tuning: &Tuning) -> Vec<Layer> {
    let mut levels = levels.to_vec();
    levels.sort();
    levels.dedup();
    let mut layers: Vec<Layer> = Vec::new();
    for level in levels {
        let bases = level.chain().into_iter().skip(1);
        let base = bases.filter_map(|b| layers.iter().position(|l| l.level == b)).next();
        let own: Vec<usize> = match base {
            None => (0..kernels.len()).collect(),
            Some(base) => {
                let differs = |k: &usize| differs(&kernels[*k], tuning, level, layers[base].level);
                (0..kernels.len()).filter(differs).collect()
            }
        };
        if base.is_none() || !own.is_empty() {
            layers.push(Layer { level, base, own });
        }
    }
    layers
}

/// Whether a kernel's code at a level is another than at one it is based on.
fn differs(kernel: &Kernel, tuning: &Tuning, level: Level, base: Level) -> bool {
    let other_plan = |c: &Contraction| {
        let plan = |level| dot::plan(kernel, c, level, &tuning.of(level));
        plan(level) != plan(base)
    };
    match &kernel.body {
        Body::Contraction(c) => other_plan(c),
        Body::Siblings(siblings) => siblings.iter().any(other_plan),
        Body::Nest(_) | Body::Online(_) | Body::Sweep(_) | Body::Argsort { .. } => false,
    }
}
