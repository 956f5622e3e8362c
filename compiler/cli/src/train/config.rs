//! `einmesh train --config RUN.toml`: options from a file.
//!
//! A key is an option's long name without the dashes, with `_` or `-`; its value is a number, a text, a list of
//! them, or `true`. `file` is the program, and the table `define` has what `-D` sets. Options of the command
//! line come after those of the file and win.

use std::path::Path;
use toml::{Table, Value};

/// The command line with the options of each `--config FILE` of `einmesh train` in its place.
pub fn expand(arguments: Vec<String>) -> Result<Vec<String>, String> {
    let Some(at) = arguments.iter().position(|a| a == "train") else {
        return Ok(arguments);
    };
    let (mut before, mut rest) = (arguments[..=at].to_vec(), Vec::new());
    let mut given = arguments[at + 1..].iter();
    while let Some(argument) = given.next() {
        let path = match argument.split_once('=') {
            Some(("--config", path)) => path.to_owned(),
            _ if argument == "--config" => {
                given.next().cloned().ok_or("`--config` names a file: `--config RUN.toml`")?
            }
            _ => {
                rest.push(argument.clone());
                continue;
            }
        };
        before.extend(read(Path::new(&path))?);
    }
    before.extend(rest);
    Ok(before)
}

fn read(path: &Path) -> Result<Vec<String>, String> {
    let name = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|why| format!("cannot read `{name}`: {why}"))?;
    let table: Table = text.parse().map_err(|why| format!("`{name}` is no TOML: {why}"))?;
    options(&table).map_err(|why| format!("`{name}`: {why}"))
}

fn options(table: &Table) -> Result<Vec<String>, String> {
    let mut options = Vec::new();
    for (key, value) in table {
        match (key.as_str(), value) {
            ("file", Value::String(file)) => options.push(file.clone()),
            ("define", Value::Table(definitions)) => {
                for (name, value) in definitions {
                    options.push(format!("-D{name}={}", scalar(value)?));
                }
            }
            (_, Value::Boolean(true)) => options.push(flag(key)),
            (_, Value::Boolean(false)) => {}
            (_, Value::Array(values)) => {
                let values = values.iter().map(scalar).collect::<Result<Vec<String>, String>>()?;
                // Numbers are one value with commas, texts are values of their own.
                match values.iter().all(|v| v.parse::<f64>().is_ok()) {
                    true => options.push(format!("{}={}", flag(key), values.join(","))),
                    false => {
                        options.extend(values.into_iter().map(|v| format!("{}={v}", flag(key))))
                    }
                }
            }
            (_, value) => options.push(format!("{}={}", flag(key), scalar(value)?)),
        }
    }
    Ok(options)
}

fn flag(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        other => Err(format!("{other} is neither a number nor a text")),
    }
}
