//! The constants of a model, from the `config.json` beside its checkpoint, as Hugging Face writes it.
//!
//! A `const` that the program declares gets the value of the key that means it. What the file says and the program has
//! no constant for would give text that is subtly wrong: it is an error.

use einmesh_lower::{Constant, Modules, Options};
use einmesh_syntax::ast::Item;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Values by the names of constants.
pub type Constants = BTreeMap<String, Constant>;

/// What a program may call a constant, and its keys.
struct Meaning {
    name: &'static str,
    keys: &'static [&'static str],
    /// Whether it changes every number, so that a program without the constant is of another model.
    decisive: bool,
}

const MEANINGS: [Meaning; 3] = [
    Meaning { name: "theta", keys: &["rope_theta"], decisive: true },
    Meaning {
        name: "eps",
        keys: &["rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon"],
        decisive: true,
    },
    // Without it, the tensors that are read say it: those of a head of its own are there, or are not.
    Meaning { name: "tied", keys: &["tie_word_embeddings"], decisive: false },
];

/// The constants that the folder of a checkpoint states, but for those that the command line gives; none
/// without a `config.json`.
pub fn constants(
    checkpoint: &Path,
    modules: &Modules,
    given: &Options,
) -> Result<Constants, String> {
    let path = checkpoint.with_file_name("config.json");
    if !path.exists() {
        return Ok(Constants::new());
    }
    let wrong = |why: String| format!("`{}`: {why}", path.display());
    let text = std::fs::read_to_string(&path).map_err(|why| wrong(why.to_string()))?;
    let config: Map<String, Value> =
        serde_json::from_str(&text).map_err(|why| wrong(why.to_string()))?;
    read(&config, &declared(modules), given).map_err(wrong)
}

/// The constants that a program and the files it imports declare.
fn declared(modules: &Modules) -> BTreeSet<&str> {
    let items = modules.files.values().flat_map(|file| &file.items);
    let constants = items.filter_map(|item| match item {
        Item::Consts(consts) => Some(&consts.consts),
        _ => None,
    });
    constants.flatten().map(|constant| constant.name.text.as_str()).collect()
}

fn read(
    config: &Map<String, Value>,
    declared: &BTreeSet<&str>,
    given: &Options,
) -> Result<Constants, String> {
    let mut found = Constants::new();
    for Meaning { name, keys, decisive } in MEANINGS {
        let stated = keys.iter().filter_map(|key| Some((*key, config.get(*key)?)));
        let stated: Vec<(&str, &Value)> = stated.filter(|(_, value)| !value.is_null()).collect();
        let Some((key, value)) = stated.first().copied() else { continue };
        // What the command line says goes before, as everywhere.
        if given.consts.contains_key(name) || given.dims.contains_key(name) {
            continue;
        }
        if let Some((other, _)) = stated.iter().find(|(_, other)| *other != value) {
            return Err(format!("`{key}` and `{other}` differ\nhelp: pass `-D {name}=…`"));
        }
        if !declared.contains(name) {
            if decisive {
                return Err(format!(
                    "it states `{key}`, but the program has no `const {name}` for it\n\
                     help: declare `const {name} = …` and use it, or pass a checkpoint of this model"
                ));
            }
            continue;
        }
        let constant = match (name, value) {
            ("tied", Value::Bool(tied)) => Some(Constant::Bool(*tied)),
            ("tied", _) => None,
            _ => value.as_f64().map(Constant::Float),
        };
        let constant = constant.ok_or_else(|| format!("`{key}` cannot be {value}"))?;
        found.insert(name.to_owned(), constant);
    }
    if let Some(scaling) = config.get("rope_scaling").filter(|value| !rescales_nothing(value)) {
        return Err(format!(
            "`rope_scaling` is {scaling}, which the program does not compute\n\
             help: pass a checkpoint whose positions are not rescaled"
        ));
    }
    Ok(found)
}

/// Whether a `rope_scaling` leaves positions as they are.
fn rescales_nothing(value: &Value) -> bool {
    let kind = value.get("rope_type").or_else(|| value.get("type"));
    value.is_null() || kind.is_some_and(|kind| kind == "default")
}
