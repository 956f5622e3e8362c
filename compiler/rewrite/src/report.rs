//! What the rewriter did.

use std::collections::BTreeMap;
use std::fmt;

/// What was done to a program: one entry per block, inner blocks first.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    /// The blocks.
    pub blocks: Vec<BlockReport>,
}

/// What was done to one block.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct BlockReport {
    /// The block: `body`, or the name of the counter of the loop whose body it is.
    pub name: String,
    /// The e-graph, unless the block does not fit one (more than 64 indices, a dim without
    /// positions) and was left alone.
    pub graph: Option<GraphReport>,
    /// The estimated time as given, in picoseconds on one device.
    pub before_ps: u64,
    /// The estimated time of the result.
    pub after_ps: u64,
    /// Whether the block was changed.
    pub changed: bool,
}

/// The size of an e-graph and how it got there.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct GraphReport {
    /// Its e-classes.
    pub classes: usize,
    /// Its e-nodes.
    pub nodes: usize,
    /// Rounds over all nodes.
    pub iterations: usize,
    /// Whether nothing new was left to find; otherwise a limit ended the search.
    pub saturated: bool,
    /// How often each rule found something new.
    pub fired: BTreeMap<&'static str, u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.blocks.iter().try_for_each(|b| writeln!(f, "{b}"))
    }
}

impl fmt::Display for BlockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(g) = &self.graph else {
            return write!(f, "{}: left as it is", self.name);
        };
        let us = |ps: u64| ps as f64 / 1e6;
        let (before, after) = (us(self.before_ps), us(self.after_ps));
        write!(f, "{}: {} classes, {} nodes", self.name, g.classes, g.nodes)?;
        let end = if g.saturated { "saturated" } else { "stopped at a limit" };
        write!(f, ", {} rounds, {end}; estimate {before:.1} µs", g.iterations)?;
        if self.changed {
            write!(f, " → {after:.1} µs")?;
        }
        for (rule, count) in &g.fired {
            write!(f, "\n    {rule} × {count}")?;
        }
        Ok(())
    }
}
