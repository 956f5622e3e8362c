//! Values of `-D`, `--mesh`, `--shard`, `--fsdp` and `--precision`.

use einmesh_ir::DType;
use einmesh_lower::{Options, Overrides};
use std::str::FromStr;

/// `B=4`, `W=bf16`, `eps=1e-6`.
#[derive(Clone, Debug)]
pub struct Definition {
    name: String,
    value: String,
}

impl Definition {
    /// Adds the definition to the options of a compilation.
    pub fn apply(&self, options: &mut Options) {
        let known = options.define(&self.name, &self.value);
        debug_assert!(known, "checked when it was parsed");
    }
}

impl FromStr for Definition {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = pair(text, "NAME=VALUE, e.g. B=4")?;
        if !Options::default().define(name, value) {
            return Err(format!("`{value}` is neither a number, a dtype, nor true or false"));
        }
        Ok(Definition { name: name.to_owned(), value: value.to_owned() })
    }
}

/// `data=2,tensor=4`
#[derive(Clone, Debug)]
pub struct MeshList(Vec<(String, u64)>);

/// `data=B,tensor=H+F+V`
#[derive(Clone, Debug)]
pub struct ShardList(Vec<(String, Vec<String>)>);

/// `data=Params`
#[derive(Clone, Debug)]
pub struct FsdpList {
    records: Vec<(String, String)>,
    prefetch: Option<bool>,
}

/// `compute=bf16`
#[derive(Clone, Copy, Debug)]
pub struct Precision(Option<DType>);

impl FromStr for MeshList {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |axis: &str| {
            let (name, size) = pair(axis, "AXIS=N, e.g. data=2")?;
            let size = size.parse().map_err(|_| format!("`{size}` is not a number of devices"))?;
            Ok((name.to_owned(), size))
        };
        list(text, parse).map(MeshList)
    }
}

impl FromStr for ShardList {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |axis: &str| {
            let form = "AXIS=DIM+DIM, e.g. tensor=H+F";
            let (name, dims) = pair(axis, form)?;
            let dims: Vec<String> = dims.split('+').map(str::to_owned).collect();
            if dims.iter().any(String::is_empty) {
                return Err(format!("write {form}"));
            }
            Ok((name.to_owned(), dims))
        };
        list(text, parse).map(ShardList)
    }
}

impl FromStr for FsdpList {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |axis: &str| {
            let (name, record) = pair(axis, "AXIS=RECORD, e.g. data=Params")?;
            Ok((name.to_owned(), record.to_owned()))
        };
        let all = list(text, parse)?;
        let (options, records): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(name, _)| name == "prefetch");
        let prefetch = match options.as_slice() {
            [] => None,
            [(_, value)] => {
                Some(value.parse().map_err(|_| "write prefetch=true or prefetch=false")?)
            }
            _ => return Err("`prefetch` is given twice".to_owned()),
        };
        if prefetch.is_some() && records.is_empty() {
            return Err("write AXIS=RECORD,prefetch=…, e.g. data=Params,prefetch=false".to_owned());
        }
        Ok(FsdpList { records, prefetch })
    }
}

impl FromStr for Precision {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Precision(None));
        }
        match pair(text, "compute=DTYPE, e.g. compute=bf16")? {
            ("compute", dtype) => match DType::from_name(dtype).filter(|d| d.is_float()) {
                Some(dtype) => Ok(Precision(Some(dtype))),
                None => Err(format!("`{dtype}` is not a float dtype: f64, f32, bf16 or f16")),
            },
            (key, _) => Err(format!("there is no precision `{key}`; only `compute`")),
        }
    }
}

impl crate::args::Placement {
    /// The overrides of a compilation.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            mesh: self.mesh.as_ref().map(|m| m.0.clone()),
            shard: self.shard.as_ref().map(|s| s.0.clone()),
            fsdp: self.fsdp.as_ref().map(|f| f.records.clone()),
            prefetch: self.fsdp.as_ref().and_then(|f| f.prefetch),
            precision: self.precision.map(|p| p.0),
        }
    }
}

fn pair<'a>(text: &'a str, form: &str) -> Result<(&'a str, &'a str), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name, value)),
        _ => Err(format!("write {form}")),
    }
}

fn list<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    if text == "none" {
        return Ok(Vec::new());
    }
    text.split(',').map(parse).collect()
}
