//! Several ways to compute the same.

use super::{Launch, Order, SymbolicGraph};

impl Order {
    /// The points of all index spaces, with the symbols' numbers: what there is to do.
    pub fn points(&self, graph: &SymbolicGraph, symbols: &[u64]) -> f64 {
        let points = |launch: &Launch| {
            let space = graph.kernels[launch.kernel as usize].space();
            space.iter().map(|extent| extent.at(symbols) as f64).product::<f64>()
        };
        self.launches.iter().map(points).sum()
    }
}

impl SymbolicGraph {
    /// The points of the order that has the fewest.
    pub fn fewest_points(&self, symbols: &[u64]) -> f64 {
        self.orders.iter().map(|order| order.points(self, symbols)).fold(f64::INFINITY, f64::min)
    }

    /// With another schedule's orders beside its own. Both are of one program.
    pub fn with(mut self, other: &SymbolicGraph) -> SymbolicGraph {
        for order in &other.orders {
            let launches = order.launches.iter().map(|launch| {
                let kernel = &other.kernels[launch.kernel as usize];
                let number =
                    self.kernels.iter().position(|own| own == kernel).unwrap_or_else(|| {
                        self.kernels.push(kernel.clone());
                        self.kernels.len() - 1
                    });
                Launch { kernel: number as u32, operands: launch.operands.clone() }
            });
            let launches = launches.collect();
            self.orders.push(Order { temporaries: order.temporaries.clone(), launches });
        }
        self
    }
}
