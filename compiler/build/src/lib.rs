//! Compiles `.ein` files in build scripts.
//!
//! What `program!` does inside of rustc, this does before it: for big models, whose compilation should not run with each
//! check of the crate, and where the CPU levels are decided by the build. The result is the same module.
//!
//! `build.rs`:
//!
//! ```no_run
//! fn main() -> Result<(), einmesh_build::Error> {
//!     einmesh_build::Builder::new("models/gpt2.ein")
//!         .define("B", 2)
//!         .define("T", 64)
//!         .mesh(&[("data", 2), ("tensor", 2)])
//!         .compile("gpt")
//! }
//! ```
//!
//! `main.rs`:
//!
//! ```ignore
//! #[allow(dead_code)]
//! mod gpt {
//!     include!(concat!(env!("OUT_DIR"), "/gpt.rs"));
//! }
//! ```
//!
//! The build script runs again when the file, or one that it imports, changes. Code is made for all CPU levels, whatever
//! machine builds; [`Builder::levels`] chooses some of them.

use einmesh_bindings::{Entry, Options};
use einmesh_driver::Level;
use quote::quote;
use std::fmt;
use std::path::{Path, PathBuf};

/// A module that is to be made of a `.ein` file.
#[derive(Clone, Debug)]
pub struct Builder {
    options: Options,
    /// The levels by name, if not all.
    levels: Option<Vec<String>>,
}

/// Why there is no module. A build script that returns it shows the message as it is written.
pub struct Error(String);

impl Builder {
    /// All exported functions of a file. A relative path is of the package's directory, in which build scripts run.
    pub fn new(file: impl Into<PathBuf>) -> Builder {
        Builder { options: Options::new(file), levels: None }
    }

    /// Defines an extent, what a `type` name stands for, or a constant, as `-D name=value` does.
    pub fn define(mut self, name: &str, value: impl ToString) -> Builder {
        self.options.definitions.push((name.to_owned(), value.to_string()));
        self
    }

    /// The mesh's axes with their extents, major to minor, in place of the plans'.
    pub fn mesh(mut self, axes: &[(&str, u64)]) -> Builder {
        let axes = axes.iter().map(|(name, extent)| ((*name).to_owned(), *extent));
        self.options.mesh = Some(axes.collect());
        self
    }

    /// Which dims each mesh axis splits, in place of the plans'.
    pub fn shard(mut self, axes: &[(&str, &[&str])]) -> Builder {
        let dims = |dims: &[&str]| dims.iter().map(|dim| (*dim).to_owned()).collect();
        let axes = axes.iter().map(|(name, of)| ((*name).to_owned(), dims(of)));
        self.options.shard = Some(axes.collect());
        self
    }

    /// The plan by which all entries are placed.
    pub fn plan(mut self, name: &str) -> Builder {
        self.options.plan = Some(name.to_owned());
        self
    }

    /// Compiles these of the exported functions only.
    pub fn entries(mut self, names: &[&str]) -> Builder {
        self.options.entries = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Makes code for these CPU levels only, such as `x86-64-v3`: the best that a CPU can run is chosen when the program
    /// runs. A level needs those that it adds to, which are made too.
    pub fn levels(mut self, names: &[&str]) -> Builder {
        self.levels = Some(names.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// Compiles the file, and writes `$OUT_DIR/MODULE.rs` with the artifacts beside it.
    pub fn compile(mut self, module: &str) -> Result<(), Error> {
        let named = module.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && module.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !named {
            return Err(Error(format!("`{module}` is no name of a module")));
        }
        let out = std::env::var_os("OUT_DIR")
            .ok_or_else(|| Error("`OUT_DIR` is not set: call this in a build script".to_owned()))?;
        target()?;
        if let Some(names) = &self.levels {
            self.options.levels = levels(names)?;
        }
        // Said first, so that the script runs again when a file with mistakes is mended.
        println!("cargo:rerun-if-changed={}", self.options.file.display());
        let sources = einmesh_bindings::sources(&self.options).map_err(Error::of)?;
        for (path, _) in &sources {
            println!("cargo:rerun-if-changed={}", path.display());
        }
        let compiled = einmesh_bindings::compile(&self.options).map_err(Error::of)?;
        for line in compiled.warnings.iter().flat_map(|warning| warning.lines()) {
            println!("cargo:warning={line}");
        }
        let file = |entry: &Entry| format!("{module}.{}.einpkg", entry.name);
        for entry in &compiled.entries {
            write(&Path::new(&out).join(file(entry)), &entry.artifact.write())?;
        }
        let tokens = einmesh_bindings::module(&compiled, |entry| {
            let file = format!("/{}", file(entry));
            quote! { ::core::include_bytes!(::core::concat!(::core::env!("OUT_DIR"), #file)) }
        });
        let items = tokens.map_err(Error::of)?;
        let parsed = syn::parse2(items)
            .map_err(|error| Error(format!("the module is no Rust, a bug in Einmesh: {error}")))?;
        let text = prettyplease::unparse(&parsed);
        write(&Path::new(&out).join(format!("{module}.rs")), text.as_bytes())
    }
}

/// Code is made for x86-64; other targets are refused here, and not when the program starts.
fn target() -> Result<(), Error> {
    match std::env::var("CARGO_CFG_TARGET_ARCH") {
        Ok(arch) if arch != "x86_64" => {
            Err(Error(format!("there is no code for `{arch}` yet: build for an x86_64 target")))
        }
        _ => Ok(()),
    }
}

/// The levels of these names with those that they add to, in the order of [`Level::ALL`].
fn levels(names: &[String]) -> Result<Vec<Level>, Error> {
    let mut wanted: Vec<Level> = Vec::new();
    for name in names {
        let Some(level) = Level::ALL.into_iter().find(|level| level.name() == name) else {
            let known: Vec<&str> = Level::ALL.iter().map(|level| level.name()).collect();
            let known = known.join(", ");
            return Err(Error(format!("there is no CPU level `{name}`: there are {known}")));
        };
        wanted.extend(level.chain());
    }
    match wanted.is_empty() {
        true => Err(Error("no CPU level is given, so that nothing could run".to_owned())),
        false => Ok(Level::ALL.into_iter().filter(|level| wanted.contains(level)).collect()),
    }
}

fn write(path: &Path, contents: &[u8]) -> Result<(), Error> {
    // An equal file keeps its time, so that what includes it is not compiled again.
    if std::fs::read(path).is_ok_and(|known| known == contents) {
        return Ok(());
    }
    std::fs::write(path, contents)
        .map_err(|error| Error(format!("cannot write `{}`: {error}", path.display())))
}

impl Error {
    fn of(problem: einmesh_bindings::Problem) -> Error {
        Error(problem.message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Error {
    /// As [`fmt::Display`]: `main` shows its error so.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
