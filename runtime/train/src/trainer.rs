//! A compiled step with its state in memory.

use crate::checkpoint::{self, Directory, Loaded, Saved};
use crate::data::Batch;
use crate::error::TrainError;
use crate::state::{Kind, Roles, Rows};
use einmesh_artifact::Manifest;
use einmesh_exec::tensors::{self, ElementType, SafeTensors, Tensor, Value};
use einmesh_exec::{Module, Options, Results, Session, StepTime};
use std::collections::BTreeMap;

/// Runs a step again and again: each goes on from the state that the one before has left.
pub struct Trainer {
    session: Session,
    roles: Roles,
    /// The entry that measures the loss without learning, on the same state.
    validation: Option<(Session, Roles)>,
}

/// The numbers that a step gives.
#[derive(Clone, PartialEq, Debug)]
pub struct StepResult {
    /// The loss before the step's update.
    pub loss: f64,
    /// The other results that are single numbers.
    pub others: BTreeMap<String, f64>,
}

impl Trainer {
    /// Loads a compiled step and gives its state memory.
    pub fn new(step: Module, options: Options) -> Result<Trainer, TrainError> {
        let roles = Roles::of(step.manifest())?;
        Ok(Trainer { session: Session::new(step, options)?, roles, validation: None })
    }

    /// Adds an entry with the same `inout` arguments that gives a loss and leaves the state as it is.
    pub fn validate_with(&mut self, entry: Module) -> Result<(), TrainError> {
        let roles = Roles::of(entry.manifest())?;
        self.validation = Some((self.session.beside(entry)?, roles));
        Ok(())
    }

    /// The step's description.
    pub fn manifest(&self) -> &Manifest {
        self.session.manifest()
    }

    /// The arguments that text is fed into.
    pub fn rows(&self) -> Result<Rows, TrainError> {
        self.roles.rows(self.manifest())
    }

    /// How many numbers the model has.
    pub fn parameters(&self) -> u64 {
        let model = self.roles.state.iter().filter(|leaf| leaf.kind == Kind::Model);
        model.map(|leaf| self.manifest().inputs[leaf.input].shape().iter().product::<u64>()).sum()
    }

    /// Starts from the results of an entry that makes the state: one for each path of the `inout` arguments. Each
    /// leaves the memory of the session that made it when it comes here.
    pub fn start(&mut self, mut made: Results) -> Result<(), TrainError> {
        for leaf in &self.roles.state {
            let path = &self.session.manifest().inputs[leaf.input].path;
            let result = made.manifest().outputs.iter().position(|o| o.path == *path);
            let Some(result) = result else {
                return Err(TrainError::Mismatch(format!(
                    "what makes the state does not give `{path}`\n\
                     help: an entry `init` has a result of the same name and type as the step's `inout` argument"
                )));
            };
            let tensor = made.take(result)?.expect("each leaf has a path of its own");
            self.session.bind(leaf.input, &tensor.value())?;
        }
        Ok(())
    }

    /// Goes on from a checkpoint; notes are what the user should know.
    pub fn resume(&mut self, checkpoint: &Loaded) -> Result<Vec<String>, TrainError> {
        checkpoint.bind(&mut self.session, &self.roles)
    }

    /// Gives the arguments that are not state their values for all steps; notes are what the user should know.
    pub fn fix_batch(&mut self, file: &SafeTensors) -> Result<Vec<String>, TrainError> {
        let inputs = self.roles.batch.iter().map(|i| self.manifest().inputs[*i].clone());
        let some = Manifest { inputs: inputs.collect(), ..Manifest::default() };
        let bindings = tensors::bind(&some, None, std::slice::from_ref(file))?;
        let inputs = self.roles.batch.iter().copied();
        let values: Vec<(usize, &Value)> = inputs.zip(&bindings.values).collect();
        self.session.bind_all(&values)?;
        Ok(bindings.notes)
    }

    /// Gives the step the tokens of its next run.
    pub fn feed(&mut self, batch: &Batch) -> Result<(), TrainError> {
        let rows = self.rows()?;
        feed(&mut self.session, rows, batch)
    }

    /// Runs the step once.
    pub fn step(&mut self) -> Result<StepResult, TrainError> {
        self.session.run()?;
        numbers(&self.session, &self.roles)
    }

    /// Where the time of the steps so far went, if [`Options::profile`] is set.
    pub fn profile(&self) -> Vec<StepTime> {
        self.session.profile()
    }

    /// Whether there is an entry for validation.
    pub fn validates(&self) -> bool {
        self.validation.is_some()
    }

    /// How many rows the validation's entry takes at once.
    pub fn validation_rows(&self) -> Result<u64, TrainError> {
        match &self.validation {
            Some((session, roles)) => Ok(roles.rows(session.manifest())?.rows),
            None => Ok(0),
        }
    }

    /// The loss on a batch, without learning from it; `None` if there is no entry for it.
    pub fn validate(&mut self, batch: &Batch) -> Result<Option<f64>, TrainError> {
        let Some((session, roles)) = &mut self.validation else {
            return Ok(None);
        };
        let rows = roles.rows(session.manifest())?;
        feed(session, rows, batch)?;
        session.run()?;
        Ok(Some(numbers(session, roles)?.loss))
    }

    /// Saves the state and what the run has come to.
    pub fn save(&self, directory: &Directory, saved: &Saved) -> Result<(), TrainError> {
        checkpoint::save(directory, &self.session, &self.roles, saved)
    }
}

fn feed(session: &mut Session, rows: Rows, batch: &Batch) -> Result<(), TrainError> {
    for (input, tokens) in [(rows.tokens, &batch.tokens), (rows.targets, &batch.targets)] {
        let bytes: Vec<u8> = tokens.iter().flat_map(|t| t.to_le_bytes()).collect();
        session.bind(input, &Value { dtype: ElementType::I32, pieces: vec![&bytes] })?;
    }
    Ok(())
}

/// Reads the results of a run that are single numbers.
fn numbers(session: &Session, roles: &Roles) -> Result<StepResult, TrainError> {
    let loss = roles.loss().expect("a step without a loss was refused");
    let mut result = StepResult { loss: f64::NAN, others: BTreeMap::new() };
    for (name, output) in &roles.numbers {
        let number = number(&session.output(*output)?)?;
        if *output == loss {
            result.loss = number;
        } else {
            result.others.insert(name.clone(), number);
        }
    }
    Ok(result)
}

fn number(tensor: &Tensor) -> Result<f64, TrainError> {
    let mut wide = [0; 8];
    tensors::convert(tensor.dtype, ElementType::F64, &tensor.bytes, &mut wide)
        .map_err(TrainError::Mismatch)?;
    Ok(f64::from_le_bytes(wide))
}
