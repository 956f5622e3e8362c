//! Arrays with a letter for each dimension.

use ndarray::{ArrayD, IxDyn};

/// An array and the names of its dimensions.
pub struct Named {
    pub names: Vec<u8>,
    pub array: ArrayD<f32>,
}

impl Named {
    pub fn new(names: Vec<u8>, shape: &[usize], numbers: Vec<f32>) -> Result<Named, String> {
        let array = ArrayD::from_shape_vec(IxDyn(shape), numbers).map_err(|why| why.to_string())?;
        Ok(Named { names, array })
    }

    fn at(&self, name: u8) -> Option<usize> {
        self.names.iter().position(|n| *n == name)
    }

    pub fn has(&self, name: u8) -> bool {
        self.at(name).is_some()
    }

    pub fn extent(&self, name: u8) -> usize {
        self.at(name).map_or(1, |at| self.array.shape()[at])
    }

    /// Zero along a dimension that it has not.
    pub fn stride(&self, name: u8) -> usize {
        self.at(name).map_or(0, |at| self.array.strides()[at] as usize)
    }

    /// Its dimensions in another order, dense and row-major.
    pub fn ordered(&self, names: &[u8]) -> Named {
        let axes: Vec<usize> = names.iter().filter_map(|name| self.at(*name)).collect();
        let array = self.array.view().permuted_axes(axes).as_standard_layout().into_owned();
        Named { names: names.to_vec(), array }
    }

    /// Sums along the dimensions that are not in `names`.
    pub fn summed(&self, names: &[u8]) -> Named {
        let mut left = Named { names: self.names.clone(), array: ArrayD::zeros(IxDyn(&[])) };
        let mut array = None;
        for name in self.names.iter().filter(|name| !names.contains(name)) {
            let axis = ndarray::Axis(left.at(*name).expect("it is still there"));
            array = Some(array.as_ref().unwrap_or(&self.array).sum_axis(axis));
            left.names.retain(|n| n != name);
        }
        left.array = array.unwrap_or_else(|| self.array.clone());
        left
    }

    /// Whether the dimensions, outermost first, are as one with the innermost's stride.
    pub fn fuses(&self, names: &[u8]) -> bool {
        names.windows(2).all(|pair| self.stride(pair[0]) == self.stride(pair[1]) * self.extent(pair[1]))
    }
}
