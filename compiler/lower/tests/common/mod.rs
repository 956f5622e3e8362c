//! Reads programs for tests: the driver's part in small.

#![allow(dead_code)]

use einmesh_diagnostics::{Diagnostics, SourceMap, render};
use einmesh_lower::{Lowered, Modules, Options, imports, lower, resolve};
use std::path::PathBuf;

/// The root of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Random numbers that depend on the seed: the states of a linear congruential generator (Knuth's MMIX).
pub fn states(seed: &str) -> impl Iterator<Item = u64> {
    let hash = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
    let start = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, hash);
    let next = |state: &u64| {
        Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    };
    std::iter::successors(Some(start), next).skip(1)
}

/// Parsed files with their texts.
pub struct Source {
    pub modules: Modules,
    pub sources: SourceMap,
    pub diagnostics: Diagnostics,
}

impl Source {
    /// The diagnostics of parsing and of `more`, rendered.
    pub fn rendered(&self, more: &Diagnostics) -> String {
        let all = self.diagnostics.iter().chain(more.iter());
        all.map(|d| format!("{}\n\n", render(d, &self.sources, false))).collect()
    }
}

fn add(source: &mut Source, path: &str, text: &str) {
    let id = source.sources.add(path, text);
    let (file, diagnostics) = einmesh_syntax::parse(id, text);
    source.diagnostics.extend(diagnostics);
    let more: Vec<String> = imports(&file).iter().map(|i| resolve(path, &i.text)).collect();
    source.modules.files.insert(path.to_owned(), file);
    for import in more {
        if !source.modules.files.contains_key(&import)
            && let Ok(text) = std::fs::read_to_string(repository().join(&import))
        {
            add(source, &import, &text);
        }
    }
}

/// A program given as text, as if it were the file `path` of the repository.
pub fn from_text(path: &str, text: &str) -> Source {
    let mut source = Source {
        modules: Modules::default(),
        sources: SourceMap::new(),
        diagnostics: Diagnostics::new(),
    };
    let prelude = std::fs::read_to_string(repository().join("models/std/prelude.ein"))
        .expect("the prelude exists");
    let id = source.sources.add("models/std/prelude.ein", prelude.as_str());
    let (file, diagnostics) = einmesh_syntax::parse(id, &prelude);
    source.diagnostics.extend(diagnostics);
    source.modules.prelude = file;
    source.modules.root = path.to_owned();
    add(&mut source, path, text);
    source
}

/// A file of the repository.
pub fn from_file(path: &str) -> Source {
    let text =
        std::fs::read_to_string(repository().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    from_text(path, &text)
}

/// Options from `-D` texts such as `"B=4 T=8"`.
pub fn options(entry: &str, defines: &str) -> Options {
    let mut options = Options { entry: entry.to_owned(), ..Options::default() };
    for define in defines.split_whitespace() {
        let (name, value) = define.split_once('=').expect("NAME=VALUE");
        assert!(options.define(name, value), "{define}");
    }
    options
}

/// Lowers an entry; panics with the rendered diagnostics if that fails, and if the program does not
/// verify.
pub fn lowered(source: &Source, options: &Options) -> Lowered {
    let (lowered, diagnostics) = lower(&source.modules, options);
    let rendered = source.rendered(&diagnostics);
    assert!(rendered.is_empty(), "{rendered}");
    let lowered = lowered.expect("a program without diagnostics");
    let violations = einmesh_ir::verify::verify(&lowered.program);
    let list: Vec<String> = violations.iter().map(|v| v.to_string()).collect();
    assert!(list.is_empty(), "{}\n{:#?}", list.join("\n"), lowered.program.body);
    // Names are unique where the text form needs it: what is printed can be read back.
    let text = einmesh_ir::text::print(&lowered.program);
    let again = einmesh_ir::text::parse(&text).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    assert_eq!(einmesh_ir::text::print(&again), text);
    lowered
}
