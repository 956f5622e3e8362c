//! The text form: what `--emit=schedule` prints.

use super::{Array, Extent, Place, SymbolicGraph};
use std::fmt;

impl fmt::Display for SymbolicGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "symbols {}", self.symbols.join(", "))?;
        for (inner, outer) in &self.within {
            writeln!(f, "{} <= {}", self.extent(*inner), self.extent(*outer))?;
        }
        for (kind, arrays) in [("input", &self.inputs), ("output", &self.outputs)] {
            self.arrays(f, kind, arrays)?;
        }
        for (number, order) in self.orders.iter().enumerate() {
            if number > 0 {
                write!(f, "\nor")?;
            }
            writeln!(f)?;
            self.arrays(f, "temporary", &order.temporaries)?;
            for launch in &order.launches {
                let place = |place: &Place| match place {
                    Place::Input(n) => format!("input {n}"),
                    Place::Output(n) => format!("output {n}"),
                    Place::Temporary(n) => format!("temporary {n}"),
                };
                let operands: Vec<String> = launch.operands.iter().map(place).collect();
                writeln!(f, "launch {}({})", launch.kernel, operands.join(", "))?;
            }
        }
        for (n, kernel) in self.kernels.iter().enumerate() {
            let indices = kernel.indices.iter().zip(&kernel.kernel.indices);
            let indices = indices.map(|(e, i)| format!("{} < {}", i.name, self.extent(*e)));
            let indices: Vec<String> = indices.collect();
            write!(f, "\nwith {}\nkernel {n} {}", indices.join(", "), kernel.kernel)?;
        }
        Ok(())
    }
}

impl SymbolicGraph {
    fn extent(&self, extent: Extent) -> String {
        match extent {
            Extent::Fixed(extent) => extent.to_string(),
            Extent::Symbol(symbol) => self.symbols[symbol as usize].clone(),
        }
    }

    fn arrays(&self, f: &mut fmt::Formatter<'_>, kind: &str, arrays: &[Array]) -> fmt::Result {
        arrays
            .iter()
            .enumerate()
            .try_for_each(|(n, array)| writeln!(f, "{kind} {n}: {}", self.array(array)))
    }

    fn array(&self, array: &Array) -> String {
        let extents: Vec<String> = array.extents.iter().map(|e| self.extent(*e)).collect();
        format!("{} {}[{}]", array.name, array.dtype, extents.join(","))
    }
}
