//! One call of an entry.

use super::model::State;
use super::runner::{Given, Runner};
use crate::element::Element;
use crate::error::Error;
use crate::tensor::Tensor;
use crate::view::{AsView, TensorView};
use std::sync::MutexGuard;

/// A call: arguments in, a run, results out, each by its number in the manifest. The model waits meanwhile.
pub struct Call<'m> {
    state: MutexGuard<'m, State>,
    runner: usize,
}

impl<'m> Call<'m> {
    pub(super) fn new(state: MutexGuard<'m, State>, runner: usize) -> Call<'m> {
        Call { state, runner }
    }

    /// Gives an argument, or a leaf of one, its value.
    pub fn bind<T: Element, const N: usize>(
        &mut self,
        input: usize,
        value: &impl AsView<T, N>,
    ) -> Result<(), Error> {
        let view: TensorView<T, N> = value.as_view();
        let given = Given {
            dtype: T::DTYPE,
            shape: &view.shape(),
            bytes: crate::tensor::bytes(view.as_slice()),
            identity: view.known_as(),
        };
        let State { runners, known, .. } = &mut *self.state;
        runners[self.runner].1.bind(known, input, &given)
    }

    /// Runs the entry. After an error, nothing that the model had in memory is used again.
    pub fn run(&mut self) -> Result<(), Error> {
        let State { runners, known, .. } = &mut *self.state;
        let result = runners[self.runner].1.run(known);
        if result.is_err() {
            self.state.reset();
        }
        result
    }

    fn runner(&self) -> &Runner {
        &self.state.runners[self.runner].1
    }

    /// A result.
    pub fn output<T: Element, const N: usize>(&self, output: usize) -> Result<Tensor<T, N>, Error> {
        self.runner().output(output)
    }

    /// A result without dims.
    pub fn number<T: Element>(&self, output: usize) -> Result<T, Error> {
        Ok(self.runner().output::<T, 0>(output)?.item())
    }

    /// The new value of an `inout` argument, or of a leaf of one.
    pub fn update<T: Element, const N: usize>(
        &mut self,
        output: usize,
        target: &mut Tensor<T, N>,
    ) -> Result<(), Error> {
        let State { runners, known, .. } = &mut *self.state;
        runners[self.runner].1.update(known, output, target)
    }

    /// The new value of an `inout` argument that is a number.
    pub fn update_number<T: Element>(
        &mut self,
        output: usize,
        target: &mut T,
    ) -> Result<(), Error> {
        *target = self.number(output)?;
        Ok(())
    }
}
