//! Which tensor of which file is which input.

use super::nearest::nearest;
use super::{ElementType, SafeTensors, Value, View, convertible, lossless};
use einmesh_artifact::{Manifest, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// At most this many names are listed one by one.
const LISTED: usize = 6;

/// A value for every input.
#[derive(Debug)]
pub struct Bindings<'a> {
    /// In the order of [`Manifest::inputs`].
    pub values: Vec<Value<'a>>,
    /// What a user should know: roundings, tensors that nothing uses.
    pub notes: Vec<String>,
}

/// Everything that keeps files from being a program's inputs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindingError(
    /// One problem each, with its help.
    pub Vec<String>,
);

impl fmt::Display for BindingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\nerror: "))
    }
}

impl std::error::Error for BindingError {}

/// Binds files to a program's inputs. `params` is a checkpoint for the leaves of record arguments,
/// under the names of their tensors; `inputs` have the other arguments, under their names, and may
/// have leaves under their full paths, which then take precedence.
///
/// Floats convert to the program's float type, wider or narrower (a note tells when rounding);
/// integers if they fit. If all of a checkpoint's names stand under a common prefix, as
/// `transformer.` in GPT-2 files, it is found.
pub fn bind<'a>(
    manifest: &Manifest,
    params: Option<&'a SafeTensors>,
    inputs: &'a [SafeTensors],
) -> Result<Bindings<'a>, BindingError> {
    let mut ctx = Ctx {
        params,
        inputs,
        prefix: String::new(),
        used: BTreeSet::new(),
        missing: Vec::new(),
        rounded: BTreeMap::new(),
        problems: Vec::new(),
    };
    ctx.find_prefix(manifest);
    let values = manifest.inputs.iter().map(|input| ctx.input(input));
    let values: Vec<Option<Value>> = values.collect();
    ctx.report_missing();
    if !ctx.problems.is_empty() {
        return Err(BindingError(ctx.problems));
    }
    Ok(Bindings { values: values.into_iter().flatten().collect(), notes: ctx.notes(manifest) })
}

struct Ctx<'a> {
    params: Option<&'a SafeTensors>,
    inputs: &'a [SafeTensors],
    prefix: String,
    /// The names of the checkpoint's tensors that are some input's.
    used: BTreeSet<String>,
    /// The checkpoint's missing tensors, with what is expected of them.
    missing: Vec<(String, String)>,
    /// How many inputs are rounded, by their types.
    rounded: BTreeMap<(ElementType, ElementType), u64>,
    problems: Vec<String>,
}

impl<'a> Ctx<'a> {
    fn input(&mut self, input: &Tensor) -> Option<Value<'a>> {
        let holders: Vec<&SafeTensors> =
            self.inputs.iter().filter(|file| file.get(&input.path).is_some()).collect();
        match holders[..] {
            [] if is_leaf(input) && self.params.is_some() => self.checkpoint(input),
            [] => {
                self.report_unbound(input);
                None
            }
            [file] => {
                let view = file.get(&input.path)?;
                self.whole(input, view)
            }
            [a, b, ..] => {
                self.problems.push(format!(
                    "`{}` is in {} and in {}\nhelp: keep it in one of them",
                    input.path,
                    a.path().display(),
                    b.path().display()
                ));
                None
            }
        }
    }

    /// A tensor under the input's own name: whole, product axes as one or apart.
    fn whole(&mut self, input: &Tensor, view: View<'a>) -> Option<Value<'a>> {
        let apart = input.shape();
        let joined = input.whole_shape();
        if view.shape != joined && view.shape != apart {
            let or = match joined == apart {
                true => String::new(),
                false => format!(" or {apart:?}"),
            };
            self.problems.push(format!(
                "`{}` has the shape {:?}, expected {joined:?}{or}, which are {}\n\
                 help: give an array of that shape, or compile for this one with `-D`",
                input.path,
                view.shape,
                dims(input)
            ));
            return None;
        }
        self.typed(input, view.dtype, vec![view.bytes], &input.path)
    }

    /// The tensors that a leaf has in the checkpoint: one, or one for each stacked position.
    fn checkpoint(&mut self, input: &Tensor) -> Option<Value<'a>> {
        let params = self.params?;
        let shape = input.checkpoint_shape();
        let names = match tensor_names(input, params.len()) {
            Ok(names) => names,
            Err(problem) => {
                self.problems.push(problem);
                return None;
            }
        };
        let mut pieces: Vec<&[u8]> = Vec::with_capacity(names.len());
        let mut dtypes: BTreeSet<ElementType> = BTreeSet::new();
        let expected = format!("{}{shape:?}", input_type(input));
        for name in &names {
            let full = format!("{}{name}", self.prefix);
            let Some(view) = params.get(&full) else {
                self.missing.push((full, expected.clone()));
                continue;
            };
            if view.shape == shape {
                pieces.push(view.bytes);
                dtypes.insert(view.dtype);
            } else {
                self.problems.push(format!(
                    "`{full}` has the shape {:?}, expected {shape:?} for `{}`, which is {}\n\
                     help: pass the checkpoint of this model size, or compile for its sizes with `-D`",
                    view.shape,
                    input.path,
                    dims(input)
                ));
            }
            self.used.insert(full);
        }
        if pieces.len() < names.len() {
            return None;
        }
        match dtypes.iter().collect::<Vec<_>>()[..] {
            [dtype] => self.typed(input, *dtype, pieces, &names[0]),
            // No pieces at all: a stack of no layers.
            [] => Some(Value { dtype: input_type(input), pieces }),
            _ => {
                self.problems.push(format!(
                    "`{}` has layers of different element types: {dtypes:?}\nhelp: convert the file to one",
                    input.tensor
                ));
                None
            }
        }
    }

    /// Checks that elements can become the input's.
    fn typed(
        &mut self,
        input: &Tensor,
        dtype: ElementType,
        pieces: Vec<&'a [u8]>,
        name: &str,
    ) -> Option<Value<'a>> {
        let to = input_type(input);
        if !convertible(dtype, to) {
            self.problems.push(format!(
                "`{name}` has {dtype} elements, expected {to}\nhelp: convert the file"
            ));
            return None;
        }
        if !lossless(dtype, to) {
            *self.rounded.entry((dtype, to)).or_default() += 1;
        }
        Some(Value { dtype, pieces })
    }

    /// If not all names are in the checkpoint as they are, finds the prefix under which most are.
    fn find_prefix(&mut self, manifest: &Manifest) {
        let Some(params) = self.params else {
            return;
        };
        let leaves = manifest.inputs.iter().filter(|i| is_leaf(i));
        let mut needed: Vec<String> = Vec::new();
        for leaf in leaves {
            let elsewhere = self.inputs.iter().any(|f| f.get(&leaf.path).is_some());
            if !elsewhere {
                needed.extend(tensor_names(leaf, params.len()).unwrap_or_default());
            }
        }
        let found = |prefix: &str| {
            let mut full = String::new();
            let present = needed.iter().filter(|name| {
                full.clear();
                full.push_str(prefix);
                full.push_str(name);
                params.get(&full).is_some()
            });
            present.count()
        };
        let mut best = (found(""), String::new());
        if best.0 == needed.len() {
            return;
        }
        // Every prefix of all names is one of the first name, if that is there; some may be missing.
        let mut candidates: BTreeSet<&str> = BTreeSet::new();
        for name in needed.iter().take(LISTED) {
            let before = params.names().filter_map(|n| n.strip_suffix(name.as_str()));
            candidates.extend(before.filter(|prefix| prefix.ends_with('.')));
        }
        for prefix in candidates.into_iter().take(64) {
            let count = found(prefix);
            if count > best.0 {
                best = (count, prefix.to_owned());
            }
        }
        self.prefix = best.1;
    }

    fn report_unbound(&mut self, input: &Tensor) {
        let names = || self.inputs.iter().flat_map(SafeTensors::names);
        let expected = format!("{} {}", input_type(input), dims(input));
        let argument = input.path.split('.').next().unwrap_or_default();
        let help = if is_leaf(input) {
            format!("pass `--params CKPT.safetensors` for `{argument}`")
        } else if let Some(near) = nearest(&input.path, names()) {
            format!("there is `{near}`: rename it")
        } else if self.inputs.is_empty() {
            format!("pass `--inputs FILE.safetensors` with a tensor named `{}`", input.path)
        } else {
            let names: Vec<&str> = names().collect();
            format!("the input files have {}", listed(&names))
        };
        // The leaves of one argument are one problem.
        let reported = is_leaf(input) && self.problems.iter().any(|p| p.ends_with(&help));
        if !reported {
            self.problems
                .push(format!("no value for `{}`, which is {expected}\nhelp: {help}", input.path));
        }
    }

    fn report_missing(&mut self) {
        let (Some(params), Some((first, expected))) = (self.params, self.missing.first()) else {
            return;
        };
        let file = params.path().display();
        let unused: Vec<&str> = params.names().filter(|n| !self.used.contains(*n)).collect();
        let help = match nearest(first, unused.iter().copied()) {
            Some(near) => format!("there is `{near}`"),
            None => format!("besides those found, the file has {}", listed(&unused)),
        };
        let problem = match self.missing.len() {
            1 => format!("{file} lacks `{first}`, {expected}\nhelp: {help}"),
            n => {
                let names: Vec<&str> = self.missing.iter().map(|(name, _)| name.as_str()).collect();
                format!("{file} lacks {n} tensors: {}\nhelp: {help}", listed(&names))
            }
        };
        self.problems.push(problem);
    }

    fn notes(&self, manifest: &Manifest) -> Vec<String> {
        let mut notes: Vec<String> = Vec::new();
        if !self.prefix.is_empty() {
            notes.push(format!("the checkpoint's names stand under `{}`", self.prefix));
        }
        for ((from, to), count) in &self.rounded {
            let inputs = if *count == 1 { "input is" } else { "inputs are" };
            notes.push(format!("{count} {inputs} rounded from {from} to {to}"));
        }
        if let Some(params) = self.params {
            let unused: Vec<&str> = params.names().filter(|n| !self.used.contains(*n)).collect();
            if !unused.is_empty() {
                notes.push(format!("the checkpoint's {} are not used", listed(&unused)));
            }
        }
        let wanted: BTreeSet<&str> = manifest.inputs.iter().map(|i| i.path.as_str()).collect();
        for file in self.inputs {
            let unused: Vec<&str> = file.names().filter(|n| !wanted.contains(n)).collect();
            if !unused.is_empty() {
                let path = file.path().display();
                notes.push(format!("{path}: {} are not used", listed(&unused)));
            }
        }
        notes
    }
}

/// Whether an input is a part of a record argument.
fn is_leaf(input: &Tensor) -> bool {
    input.path.contains('.')
}

fn input_type(input: &Tensor) -> ElementType {
    ElementType::of(input.dtype)
}

/// The names of an input's tensors in a checkpoint. There cannot be more than the checkpoint has tensors.
fn tensor_names(input: &Tensor, most: usize) -> Result<Vec<String>, String> {
    let mut count = 1_u64;
    for dim in &input.dims[..input.stacked()] {
        count = count.saturating_mul(dim.global);
        if count > most as u64 {
            return Err(format!(
                "`{}` needs a tensor for each of {} = {}, but the checkpoint has {most} in all\n\
                 help: pass the checkpoint of this model size, or compile for its sizes with `-D`",
                input.tensor, dim.name, dim.global
            ));
        }
    }
    Ok(input.stacked_names(&input.tensor))
}

/// An input's dims for messages: `[L=12, D=768]`.
fn dims(input: &Tensor) -> String {
    let dims = input.dims.iter().map(|d| {
        let extent = d.global.to_string();
        match d.name == extent {
            true => extent,
            false => format!("{}={extent}", d.name),
        }
    });
    format!("[{}]", dims.collect::<Vec<String>>().join(", "))
}

fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(LISTED).map(|n| format!("`{n}`"));
    let mut text = shown.collect::<Vec<String>>().join(", ");
    if names.len() > LISTED {
        text.push_str(&format!(" and {} more", names.len() - LISTED));
    }
    match text.is_empty() {
        true => "no tensors".to_owned(),
        false => text,
    }
}
