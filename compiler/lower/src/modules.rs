//! Parsed files and how `use` finds them. The driver reads them; nothing here touches a disk.

use einmesh_syntax::ast::{File, Item, Text};
use std::collections::BTreeMap;

/// The files of a program, by their normalised paths, and the prelude.
#[derive(Clone, Debug, Default)]
pub struct Modules {
    /// The path of the file that is compiled.
    pub root: String,
    /// The parsed files, the root and all it imports, by path.
    pub files: BTreeMap<String, File>,
    /// The standard library, whose names every file may use.
    pub prelude: File,
}

/// The paths that a file imports, as written.
pub fn imports(file: &File) -> Vec<Text> {
    let uses = file.items.iter().filter_map(|item| match item {
        Item::Use(import) => Some(import.path.clone()),
        _ => None,
    });
    uses.collect()
}

/// The key in [`Modules::files`] of `import` as written in the file `from`: relative to that file's
/// folder, with `.` and `..` resolved.
pub fn resolve(from: &str, import: &str) -> String {
    if import.starts_with('/') {
        return import.to_owned();
    }
    let absolute = from.starts_with('/');
    let mut parts: Vec<&str> = from.split('/').filter(|p| !p.is_empty()).collect();
    parts.pop();
    for part in import.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    let joined = parts.join("/");
    if absolute { format!("/{joined}") } else { joined }
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn imports_are_relative_to_the_file() {
        assert_eq!(resolve("models/lora.ein", "llama3.ein"), "models/llama3.ein");
        assert_eq!(resolve("a/b/c.ein", "../d.ein"), "a/d.ein");
        assert_eq!(resolve("c.ein", "./d.ein"), "d.ein");
        assert_eq!(resolve("c.ein", "../d.ein"), "../d.ein");
        assert_eq!(resolve("/x/c.ein", "d.ein"), "/x/d.ein");
    }
}
