//! Declarations: which names each file declares and imports, and what they mean.
//!
//! A file becomes an *instance* for each set of bindings it is imported with; two imports without
//! bindings share one, so that their dims are the same dims.

use crate::ctx::{ConstInfo, Ctx};
use crate::dims::DimInfo;
use crate::modules::resolve;
use crate::show;
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{DType, DimId};
use einmesh_syntax::ast::{self, Imports, Item};
use std::collections::BTreeMap;

/// What a declared name means.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Def {
    Dim(DimId),
    Const(usize),
    Type(DType),
    Record(usize),
    Fn(usize),
    Module(usize),
}

impl Def {
    /// What messages call it.
    pub fn kind(self) -> &'static str {
        match self {
            Def::Dim(_) => "a dim",
            Def::Const(_) => "a constant",
            Def::Type(_) => "a dtype",
            Def::Record(_) => "a record",
            Def::Fn(_) => "a function",
            Def::Module(_) => "a module",
        }
    }
}

/// A file with its bindings.
#[derive(Debug, Default)]
pub(crate) struct Inst {
    /// The path and the bindings as text.
    pub key: String,
    pub scope: BTreeMap<String, (Def, Option<Span>)>,
    /// The names it declares itself, in order.
    pub own: Vec<String>,
}

/// The most similar of `candidates`, if it is similar enough to be what was meant.
pub(crate) fn suggest<'s>(
    name: &str,
    candidates: impl IntoIterator<Item = &'s str>,
) -> Option<&'s str> {
    // Of one or two letters only the case can be mistaken: any two such names are near.
    let limit = match name.chars().count() {
        0..=2 => 0,
        length => (length / 3).max(1),
    };
    let near = candidates.into_iter().filter(|c| *c != name);
    let ranked = near.map(|c| (distance(name, c), c)).filter(|(d, _)| *d <= limit);
    ranked.min().map(|(_, c)| c)
}

/// The number of insertions, deletions, substitutions and swaps of neighbours between two names,
/// where a different case counts half of nothing.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

impl<'a> Ctx<'a> {
    /// Reads the prelude and the root file with all it imports. The prelude is instance 0.
    pub fn load_files(&mut self) -> usize {
        let modules = self.modules;
        self.insts.push(Inst { key: "prelude".to_owned(), ..Inst::default() });
        self.declare(0, "", &modules.prelude, &mut Vec::new());
        let root = modules.root.clone();
        self.instance(&root, None, &mut Vec::new()).unwrap_or_default()
    }

    fn instance(
        &mut self,
        path: &str,
        bindings: Option<(usize, &'a [ast::Binding])>,
        loading: &mut Vec<String>,
    ) -> Option<usize> {
        let mut key = path.to_owned();
        if let Some((from, bindings)) = bindings.filter(|(_, b)| !b.is_empty()) {
            let texts =
                bindings.iter().map(|b| format!("{} = {}", b.name.text, show::expr(&b.value)));
            key = format!("{path} ({}) from {from}", texts.collect::<Vec<_>>().join(", "));
        }
        if let Some(found) = self.insts.iter().position(|i| i.key == key) {
            return Some(found);
        }
        let file = self.modules.files.get(path)?;
        self.insts.push(Inst { key, ..Inst::default() });
        let inst = self.insts.len() - 1;
        loading.push(path.to_owned());
        self.declare(inst, path, file, loading);
        loading.pop();
        if let Some((from, bindings)) = bindings {
            for binding in bindings {
                self.bind(inst, from, binding);
            }
        }
        Some(inst)
    }

    /// Declares what a file declares and imports.
    fn declare(&mut self, inst: usize, path: &str, file: &'a ast::File, loading: &mut Vec<String>) {
        for item in &file.items {
            match item {
                Item::Dims(dims) => {
                    for decl in &dims.dims {
                        let id = self.dims.push(DimInfo::declared(inst, decl));
                        self.declare_name(inst, &decl.name, Def::Dim(id));
                        if !decl.name.text.starts_with(|c: char| c.is_ascii_uppercase()) {
                            let mut upper = decl.name.text.clone();
                            if let Some(first) = upper.get_mut(..1) {
                                first.make_ascii_uppercase();
                            }
                            self.report(
                                Diagnostic::error(
                                    codes::DIM_CASE,
                                    format!(
                                        "the dim `{}` does not start with a capital",
                                        decl.name.text
                                    ),
                                )
                                .at(decl.name.span, "its index would have the same name")
                                .help(format!(
                                    "call it `{upper}`; its index is then `{}`",
                                    upper.to_lowercase()
                                )),
                            );
                        }
                    }
                }
                Item::Types(types) => {
                    for (name, dtype) in &types.types {
                        let given = self.options.types.get(&name.text).copied();
                        let written = self.type_name(inst, dtype);
                        // An unknown dtype was reported: what uses the name stays silent.
                        let dtype = given.or(written).unwrap_or(DType::F32);
                        self.declare_name(inst, name, Def::Type(dtype));
                    }
                }
                Item::Consts(consts) => {
                    for decl in &consts.consts {
                        self.consts.push(ConstInfo {
                            inst,
                            decl,
                            given: None,
                            value: None,
                            busy: false,
                        });
                        self.declare_name(inst, &decl.name, Def::Const(self.consts.len() - 1));
                    }
                }
                Item::Record(record) => {
                    self.records.push((inst, record));
                    self.declare_name(inst, &record.name, Def::Record(self.records.len() - 1));
                }
                Item::Fn(function) => {
                    self.fns.push((inst, function));
                    self.declare_name(inst, &function.name, Def::Fn(self.fns.len() - 1));
                }
                Item::Use(_) | Item::Plan(_) => {}
            }
        }
        for item in &file.items {
            if let Item::Use(import) = item {
                self.import(inst, path, import, loading);
            }
        }
    }

    fn type_name(&mut self, inst: usize, name: &ast::Name) -> Option<DType> {
        let declared = self.lookup(inst, &name.text);
        let found = DType::from_name(&name.text).or(match declared {
            Some(Def::Type(dtype)) => Some(dtype),
            _ => None,
        });
        if found.is_none() {
            let known: Vec<&str> = DType::ALL.iter().map(|d| d.name()).collect();
            let mut error =
                Diagnostic::error(codes::UNKNOWN_NAME, format!("`{}` is not a dtype", name.text))
                    .at(name.span, "");
            error = match suggest(&name.text, known.iter().copied()) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(format!("the dtypes are {}", known.join(", "))),
            };
            self.report(error);
        }
        found
    }

    fn declare_name(&mut self, inst: usize, name: &ast::Name, def: Def) {
        let known = self.insts[inst].scope.get(&name.text).copied();
        if let Some((_, before)) = known {
            let mut error = Diagnostic::error(
                codes::DUPLICATE_NAME,
                format!("`{}` is declared twice", name.text),
            )
            .at(name.span, "declared again");
            if let Some(before) = before {
                error = error.also(before, "first declared here");
            }
            self.report(error.help(format!("rename one of them, e.g. `{}2`", name.text)));
            return;
        }
        if is_reserved(&name.text) {
            self.report(
                Diagnostic::error(codes::DUPLICATE_NAME, format!("`{}` is built in", name.text))
                    .at(name.span, "cannot be declared")
                    .help(format!("choose another name, e.g. `{}2`", name.text)),
            );
            return;
        }
        self.insts[inst].own.push(name.text.clone());
        self.insts[inst].scope.insert(name.text.clone(), (def, Some(name.span)));
    }

    fn import(&mut self, inst: usize, path: &str, import: &'a ast::Use, loading: &mut Vec<String>) {
        let target = resolve(path, &import.path.text);
        if loading.contains(&target) {
            let chain: Vec<&str> =
                loading.iter().map(String::as_str).chain([target.as_str()]).collect();
            self.report(
                Diagnostic::error(codes::IMPORT_CYCLE, "files import each other in a circle")
                    .at(import.path.span, format!("`{target}` is being read already"))
                    .note(format!("the circle: {}", chain.join(" → ")))
                    .help("move what both need into a third file and import it from both"),
            );
            return;
        }
        let Some(other) = self.instance(&target, Some((inst, &import.bindings)), loading) else {
            let known: Vec<&str> = self.modules.files.keys().map(String::as_str).collect();
            let mut error =
                Diagnostic::error(codes::IMPORT_NOT_FOUND, format!("there is no file `{target}`"))
                    .at(import.path.span, "imported here");
            if let Some(near) = suggest(&target, known) {
                error = error.help(format!("did you mean `use \"{near}\"`?"));
            }
            self.report(error);
            return;
        };
        match &import.names {
            Imports::Module => {
                let stem = import.path.text.rsplit('/').next().unwrap_or_default();
                let stem = stem.strip_suffix(".ein").unwrap_or(stem);
                let name = ast::Name { text: stem.to_owned(), span: import.path.span };
                self.import_name(inst, &name, Def::Module(other));
            }
            Imports::As(name) => self.import_name(inst, name, Def::Module(other)),
            Imports::All(_) => {
                // What the file declares itself wins over what it imports wholesale.
                let all: Vec<(String, (Def, Option<Span>))> =
                    self.insts[other].scope.iter().map(|(n, d)| (n.clone(), *d)).collect();
                for (name, def) in all {
                    self.insts[inst].scope.entry(name).or_insert(def);
                }
            }
            Imports::Some(names) => {
                for (name, renamed) in names {
                    let found = self.insts[other].scope.get(&name.text).copied();
                    let Some((def, _)) = found else {
                        let mut error = Diagnostic::error(
                            codes::IMPORT_NOT_FOUND,
                            format!("`{target}` does not declare `{}`", name.text),
                        )
                        .at(name.span, "not found there");
                        let known = self.insts[other].scope.keys().map(String::as_str);
                        if let Some(near) = suggest(&name.text, known) {
                            error = error.help(format!("did you mean `{near}`?"));
                        }
                        self.report(error);
                        continue;
                    };
                    self.import_name(inst, renamed.as_ref().unwrap_or(name), def);
                }
            }
        }
    }

    fn import_name(&mut self, inst: usize, name: &ast::Name, def: Def) {
        let known = self.insts[inst].scope.get(&name.text).copied();
        match known {
            Some((before, _)) if before == def => {}
            Some((_, before)) => {
                let mut error = Diagnostic::error(
                    codes::DUPLICATE_NAME,
                    format!("`{}` is imported but declared already", name.text),
                )
                .at(name.span, "imported here");
                if let Some(before) = before {
                    error = error.also(before, "declared here");
                }
                let other = format!("{}2", name.text);
                self.report(
                    error.help(format!("import it under another name: `{} as {other}`", name.text)),
                );
            }
            None => {
                self.insts[inst].scope.insert(name.text.clone(), (def, Some(name.span)));
            }
        }
    }

    /// Applies `V = 32000` of an import to the imported instance.
    fn bind(&mut self, inst: usize, from: usize, binding: &'a ast::Binding) {
        let found = self.insts[inst].scope.get(&binding.name.text).copied();
        match found {
            Some((Def::Dim(id), _)) => {
                // A dim bound to a dim of the importing file becomes that dim.
                let other = match &binding.value.kind {
                    ast::ExprKind::Name(name) => self.lookup(from, name),
                    _ => None,
                };
                if let Some(Def::Dim(other)) = other {
                    self.dims[id].same_as = Some(other);
                } else {
                    self.dims[id].bound = Some((from, &binding.value));
                }
            }
            Some((Def::Const(id), _)) => self.consts[id].given = Some((from, &binding.value)),
            Some((Def::Type(_), span)) => {
                if let ast::ExprKind::Name(text) = &binding.value.kind {
                    let name = ast::Name { text: text.clone(), span: binding.value.span };
                    if let Some(dtype) = self.type_name(from, &name) {
                        let def = (Def::Type(dtype), span);
                        self.insts[inst].scope.insert(binding.name.text.clone(), def);
                    }
                }
            }
            _ => {
                let name = &binding.name.text;
                let mut error = Diagnostic::error(
                    codes::IMPORT_NOT_FOUND,
                    format!("the imported file has no dim, type or constant `{name}`"),
                )
                .at(binding.name.span, "bound here");
                let known = self.insts[inst].scope.keys().map(String::as_str);
                if let Some(near) = suggest(name, known) {
                    error = error
                        .help(format!("did you mean `{near} = {}`?", show::expr(&binding.value)));
                }
                self.report(error);
            }
        }
    }

    /// Applies `-D`: to the name as the root file sees it, or else to every declaration of that name.
    pub fn apply_defines(&mut self, root: usize, entry: Option<&ast::Fn>) {
        let options = self.options;
        let mut unknown: Vec<(String, String)> = Vec::new();
        let given = |name: &str| {
            entry.is_some_and(|f| {
                let mut params = f.params.iter();
                params.any(|p| p.name.text == *name && p.default.is_some())
            })
        };
        for (name, extent) in &options.dims {
            let mut targets: Vec<DimId> = match self.insts.get(root).and_then(|i| i.scope.get(name))
            {
                Some((Def::Dim(id), _)) => vec![*id],
                Some((Def::Const(_), _)) => continue,
                _ => self.dims.iter().filter(|(_, d)| d.name == *name).map(|(id, _)| id).collect(),
            };
            targets.retain(|id| *id == self.same_dim(*id));
            let elsewhere = self.insts.iter().any(|i| {
                let def = i.scope.get(name);
                matches!(def, Some((Def::Dim(_) | Def::Const(_), _)))
            });
            let generic = entry.is_some_and(|f| f.generics.iter().any(|(n, _)| n.text == *name));
            if targets.is_empty() && !elsewhere && !generic && !given(name) {
                unknown.push((name.clone(), extent.to_string()));
            }
            for id in targets {
                self.dims[id].given = Some(*extent);
            }
        }
        for (name, dtype) in &options.types {
            if !self.insts.iter().any(|i| matches!(i.scope.get(name), Some((Def::Type(_), _)))) {
                unknown.push((name.clone(), dtype.name().to_owned()));
            }
        }
        for (name, constant) in &options.consts {
            let known =
                self.insts.iter().any(|i| matches!(i.scope.get(name), Some((Def::Const(_), _))));
            if !known && !given(name) {
                unknown.push((name.clone(), constant.to_string()));
            }
        }
        for (name, value) in unknown {
            let mut declared = self.insts.iter().filter_map(|i| i.scope.get(&name));
            let wanted = declared.find_map(|(def, _)| match def {
                Def::Dim(_) => Some("a dim, its extent is a whole number"),
                Def::Const(_) => Some("a constant, its value is a number, `true` or `false`"),
                Def::Type(_) => Some("a type, it stands for a dtype such as `f32`"),
                _ => None,
            });
            if let Some(wanted) = wanted {
                let message = format!("`-D {name}={value}`: `{name}` is {wanted}");
                self.report(Diagnostic::error(codes::BAD_DEFINITION, message));
                continue;
            }
            let mut error = Diagnostic::error(
                codes::BAD_DEFINITION,
                format!("`-D {name}={value}`: nothing of that name can be defined"),
            );
            let names = self.insts.iter().flat_map(|i| i.scope.iter());
            let defined = names
                .filter(|(_, (def, _))| matches!(def, Def::Dim(_) | Def::Const(_) | Def::Type(_)));
            let known: Vec<&str> = defined.map(|(n, _)| n.as_str()).collect();
            error = match suggest(&name, known.iter().copied()) {
                Some(near) => error.help(format!("did you mean `-D {near}={value}`?")),
                None => error.help("dims, `type` names and `const`s of the file can be given"),
            };
            self.report(error);
        }
    }
}

/// The names that mean something everywhere and cannot be declared.
pub(crate) fn is_reserved(name: &str) -> bool {
    DType::from_name(name).is_some()
        || crate::builtins::BUILTINS.contains(&name)
        || matches!(name, "float" | "true" | "false" | "pi" | "inf" | "nan")
}

#[cfg(test)]
mod tests {
    use super::suggest;

    #[test]
    fn suggestions_are_near() {
        assert_eq!(suggest("softmx", ["softmax", "sigmoid"]), Some("softmax"));
        assert_eq!(suggest("hed", ["H", "D"]), None);
        assert_eq!(suggest("forwrad", ["forward", "loss"]), Some("forward"));
    }
}
