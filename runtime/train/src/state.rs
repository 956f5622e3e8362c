//! What a compiled step reads and updates: its state, its batch, its results.

use crate::error::TrainError;
use einmesh_artifact::{DType, Manifest, Tensor};

/// The roles of a step's arguments and results.
///
/// The *state* are the `inout` arguments. The part of it that is the model, an argument or field named `p` or
/// `params`, is saved under the names that its tensors have in checkpoints. So is an average of it, named `ema`.
#[derive(Clone, Debug)]
pub struct Roles {
    /// The leaves of the `inout` arguments.
    pub state: Vec<Leaf>,
    /// All other arguments, as positions of [`Manifest::inputs`].
    pub batch: Vec<usize>,
    /// The results that are single numbers, with their positions in [`Manifest::outputs`].
    pub numbers: Vec<(String, usize)>,
}

/// One tensor of the state.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Its position in [`Manifest::inputs`].
    pub input: usize,
    /// Where its new value is in [`Manifest::outputs`].
    pub output: usize,
    /// What it is a part of.
    pub kind: Kind,
    /// For leaves of the model and its average, the name in a checkpoint, one `{}` per stacked dim.
    pub tensor: Option<String>,
}

/// What a leaf of the state belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The parameters.
    Model,
    /// An average of them.
    Average,
    /// The rest.
    Other,
}

/// The arguments of a step that training feeds.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// The argument with the tokens that are read.
    pub tokens: usize,
    /// The argument with those that follow.
    pub targets: usize,
    /// Rows of a batch: the product of all extents but the last.
    pub rows: u64,
    /// Tokens of a row.
    pub length: u64,
}

impl Roles {
    /// Finds the roles in a step's signature.
    pub fn of(manifest: &Manifest) -> Result<Roles, TrainError> {
        let updated = manifest.new_values();
        let mut roles = Roles { state: Vec::new(), batch: Vec::new(), numbers: Vec::new() };
        for (input, output) in updated.iter().enumerate() {
            match output {
                Some(output) => {
                    let (kind, tensor) = kind_of(&manifest.inputs[input]);
                    roles.state.push(Leaf { input, output: *output, kind, tensor });
                }
                None => roles.batch.push(input),
            }
        }
        let is_state = |i: usize| roles.state.iter().any(|leaf| leaf.output == i);
        for (i, output) in manifest.outputs.iter().enumerate() {
            let float = matches!(output.dtype, DType::F64 | DType::F32 | DType::Bf16 | DType::F16);
            if output.dims.is_empty() && float && !is_state(i) {
                roles.numbers.push((output.path.clone(), i));
            }
        }
        let problem = if roles.state.is_empty() {
            "has no `inout` argument, so that nothing would be learnt"
        } else if roles.loss().is_none() {
            "has no result `loss` that is a number"
        } else {
            return Ok(roles);
        };
        Err(TrainError::Mismatch(format!(
            "`{}` {problem}\n\
             help: a step is like `train_step(inout s: State, tokens: i32[B,T], targets: i32[B,T]) -> (loss: f32)`",
            manifest.entry
        )))
    }

    /// The result that is the loss: `loss`, or the only number.
    pub fn loss(&self) -> Option<usize> {
        let named = self.numbers.iter().find(|(name, _)| name == "loss");
        match (named, &self.numbers[..]) {
            (Some((_, output)), _) | (None, [(_, output)]) => Some(*output),
            _ => None,
        }
    }

    /// The arguments for tokens, if there are no others.
    pub fn rows(&self, manifest: &Manifest) -> Result<Rows, TrainError> {
        let find = |name: &str| {
            let found = self.batch.iter().find(|i| manifest.inputs[**i].path == name);
            found.copied().filter(|i| {
                let input = &manifest.inputs[*i];
                input.dtype == DType::I32 && !input.dims.is_empty()
            })
        };
        let other = self.batch.iter().map(|i| manifest.inputs[*i].path.as_str());
        let other: Vec<&str> = other.filter(|path| !["tokens", "targets"].contains(path)).collect();
        let (Some(tokens), Some(targets), []) = (find("tokens"), find("targets"), &other[..])
        else {
            return Err(TrainError::Mismatch(format!(
                "`{}` is not a step on text: `--data` feeds `tokens` and `targets` of `i32[…,T]`{}\n\
                 help: give its arguments with `--batch FIXED.safetensors`",
                manifest.entry,
                match other[..] {
                    [] => String::new(),
                    _ => format!(", and it also has `{}`", other.join("`, `")),
                }
            )));
        };
        let shape = manifest.inputs[tokens].shape();
        if shape != manifest.inputs[targets].shape() {
            return Err(TrainError::Mismatch(format!(
                "`tokens` and `targets` of `{}` have different extents",
                manifest.entry
            )));
        }
        let (length, rows) = shape.split_last().expect("at least one dim");
        Ok(Rows { tokens, targets, rows: rows.iter().product(), length: *length })
    }
}

/// What a leaf belongs to, and its name in a checkpoint: without the name of the field that holds the model.
fn kind_of(leaf: &Tensor) -> (Kind, Option<String>) {
    let named = |name: &str| match name {
        "p" | "params" => Kind::Model,
        "ema" => Kind::Average,
        _ => Kind::Other,
    };
    let Some((argument, rest)) = leaf.path.split_once('.') else {
        return (Kind::Other, None);
    };
    if named(argument) != Kind::Other {
        return (named(argument), Some(leaf.tensor.clone()));
    }
    match rest.split_once('.').map(|(field, _)| (field, named(field))) {
        None | Some((_, Kind::Other)) => (Kind::Other, None),
        Some((field, kind)) => {
            let tensor = leaf.tensor.strip_prefix(field).and_then(|rest| rest.strip_prefix('.'));
            (kind, Some(tensor.unwrap_or(&leaf.tensor).to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(path: &str, tensor: &str) -> Tensor {
        Tensor {
            path: path.to_owned(),
            tensor: tensor.to_owned(),
            dtype: DType::F32,
            dims: Vec::new(),
            axes: Vec::new(),
            buffer: 0,
            donor: None,
            panels: None,
        }
    }

    #[test]
    fn the_model_is_named_as_in_its_own_checkpoint() {
        let of = |path, tensor| kind_of(&leaf(path, tensor)).1;
        assert_eq!(of("s.p.h.w", "p.h.{}.w").as_deref(), Some("h.{}.w"));
        assert_eq!(of("p.wte", "wte.weight").as_deref(), Some("wte.weight"));
        assert_eq!(of("s.params.wte", "params.wte.weight").as_deref(), Some("wte.weight"));
        assert_eq!(of("s.m.wte", "m.wte.weight"), None);
        assert_eq!(of("s.step", "step"), None);
        assert_eq!(of("p", "p"), None);
        assert_eq!(of("s.ema.wte", "ema.wte.weight").as_deref(), Some("wte.weight"));
        assert_eq!(kind_of(&leaf("s.ema.wte", "ema.wte.weight")).0, Kind::Average);
    }
}
