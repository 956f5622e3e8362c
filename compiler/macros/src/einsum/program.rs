//! The program that computes an einsum.

use super::input::{Equation, Input, Setting};
use super::text::Text;
use crate::report::Places;
use einmesh_artifact::DType;
use einmesh_diagnostics::{FileId, SourceMap};
use einmesh_syntax::ast::{Expr, ExprKind, FnBody, Item, Lhs, LhsPart, Stmt, StmtKind, Subscript};
use einmesh_syntax::einsum::Einsum;
use proc_macro2::Span;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use syn::spanned::Spanned;

/// The element types of operands.
const ELEMENTS: [DType; 7] =
    [DType::F32, DType::F64, DType::Bf16, DType::F16, DType::I32, DType::I64, DType::Bool];

/// The element type of a name.
pub fn element_type(name: &str) -> Option<DType> {
    ELEMENTS.into_iter().find(|element| element.name() == name)
}

/// The names of all element types, for messages.
pub fn element_types() -> String {
    ELEMENTS.map(DType::name).join(", ")
}

/// An operand or the result.
#[derive(Clone, Debug)]
pub struct Array {
    /// Its name in messages.
    pub name: String,
    /// Its element type.
    pub element: DType,
    /// For each dimension what it is subscripted with, for messages.
    pub dims: Vec<String>,
}

/// A program with one entry, `einsum`.
pub struct Program {
    /// Its text.
    pub text: String,
    /// What the user wrote, for messages at run time.
    pub equation: String,
    /// The dims whose extents are known only at a call.
    pub symbols: Vec<String>,
    /// The operands.
    pub operands: Vec<Array>,
    /// The result.
    pub result: Array,
    /// Where the user's tokens are in the text.
    pub places: Places,
}

impl Program {
    /// The program of the macro's input.
    pub fn of(input: &Input) -> syn::Result<Program> {
        let settings = Settings::of(input)?;
        match &input.equation {
            Equation::String(literal) => from_string(input, &settings, literal),
            Equation::Statement(tokens) => {
                if tokens.is_empty() {
                    let message = "expected an equation before the operands";
                    return Err(syn::Error::new(Span::call_site(), message));
                }
                Statement::read(input, &settings, tokens.clone())?.program()
            }
        }
    }

    /// All that the code depends on.
    pub fn key(&self) -> String {
        format!("{}\n{}\n{:?}", self.equation, self.text, self.operands)
    }
}

/// What was written after the semicolon, by name.
#[derive(Default)]
struct Settings<'a> {
    extents: BTreeMap<String, (u64, &'a syn::Ident)>,
    dimensions: BTreeMap<(String, usize), (u64, &'a syn::Ident)>,
    types: BTreeMap<String, (DType, &'a syn::Ident)>,
    all: Option<DType>,
}

impl Settings<'_> {
    fn of(input: &Input) -> syn::Result<Settings<'_>> {
        let mut settings = Settings::default();
        let twice =
            |name: &syn::Ident| syn::Error::new(name.span(), format!("`{name}` is given twice"));
        for setting in &input.settings {
            let (name, before) = match setting {
                Setting::Extent { index, extent } => {
                    (index, settings.extents.insert(index.to_string(), (*extent, index)).is_some())
                }
                Setting::Dimension { operand, position, extent } => {
                    let place = (operand.to_string(), position.base10_parse()?);
                    (operand, settings.dimensions.insert(place, (*extent, operand)).is_some())
                }
                Setting::Type { name, element } => {
                    (name, settings.types.insert(name.to_string(), (*element, name)).is_some())
                }
                Setting::AllTypes(name, element) => {
                    (name, settings.all.replace(*element).is_some())
                }
            };
            if before {
                return Err(twice(name));
            }
        }
        Ok(settings)
    }

    fn default_type(&self) -> DType {
        self.all.unwrap_or(DType::F32)
    }

    fn extent(&self, index: &str) -> Option<u64> {
        self.extents.get(index).map(|e| e.0)
    }

    /// An error for the first extent that belongs to no index.
    fn all_used(&self, known: impl Fn(&str) -> bool) -> syn::Result<()> {
        match self.extents.iter().find(|(index, _)| !known(index)) {
            None => Ok(()),
            Some((index, (_, place))) => {
                Err(syn::Error::new(place.span(), format!("the einsum has no index `{index}`")))
            }
        }
    }
}

/// How messages call an operand.
fn operand_name(input: &Input, number: usize) -> String {
    input.operands[number]
        .name
        .as_ref()
        .map_or_else(|| format!("operand {number}"), |name| name.to_string())
}

fn check_count(input: &Input, expected: usize, place: Span) -> syn::Result<()> {
    let got = input.operands.len();
    if got == expected {
        return Ok(());
    }
    let place = input.operands.get(expected).map_or(place, |extra| extra.expression.span());
    let operands = if expected == 1 { "operand" } else { "operands" };
    let are = if got == 1 { "is" } else { "are" };
    Err(syn::Error::new(
        place,
        format!("the einsum has {expected} {operands}, but {got} {are} given"),
    ))
}

/// NumPy's form.
fn from_string(
    input: &Input,
    settings: &Settings<'_>,
    literal: &syn::LitStr,
) -> syn::Result<Program> {
    let place = literal.span();
    let einsum = Einsum::parse(&literal.value()).map_err(|why| syn::Error::new(place, why))?;
    check_count(input, einsum.operands.len(), place)?;
    settings.all_used(|index| einsum.operands.iter().flatten().any(|i| i == index))?;
    if let Some((_, name)) = settings.types.values().next() {
        let message = "operands of several element types need the other form: \
                       `einsum!(out[b] = x[i[b]], x, i; i: i64)`";
        return Err(syn::Error::new(name.span(), message));
    }
    if let Some((_, name)) = settings.dimensions.values().next() {
        let message = "every dimension has an index here: give that index its extent";
        return Err(syn::Error::new(name.span(), message));
    }
    let extents =
        settings.extents.iter().map(|(index, (extent, _))| (index.clone(), *extent)).collect();
    let element = settings.default_type();
    let operands = einsum.operands.iter().enumerate().map(|(number, indices)| Array {
        name: operand_name(input, number),
        element,
        dims: indices.clone(),
    });
    Ok(Program {
        symbols: einsum.open(&extents),
        text: einsum.program(&extents, element.name()),
        equation: format!("{:?}", literal.value()),
        operands: operands.collect(),
        result: Array { name: "the result".to_owned(), element, dims: einsum.output.clone() },
        places: Places { tokens: Vec::new(), whole: place },
    })
}

/// The language's form, read as far as the operands' shapes need it.
struct Statement<'a> {
    input: &'a Input,
    settings: &'a Settings<'a>,
    text: Text,
    /// The left side's name, and its indices with their places in the text.
    result: (String, Vec<(String, Range<usize>)>),
    /// For each operand what each of its dimensions is subscripted with: names of dims, without repetition.
    operands: Vec<Vec<Vec<String>>>,
    /// For each operand whether it is a subscript somewhere.
    subscripts: Vec<bool>,
    whole: Span,
}

/// What stands before the statement while it is only read.
const HEAD: &str = "export fn einsum() -> f32 {\n  ";

impl<'a> Statement<'a> {
    fn read(
        input: &'a Input,
        settings: &'a Settings<'a>,
        tokens: proc_macro2::TokenStream,
    ) -> syn::Result<Statement<'a>> {
        let text = Text::of(tokens);
        let whole = text.tokens.first().map_or_else(Span::call_site, |(_, span)| *span);
        let mut sources = SourceMap::new();
        let full = format!("{HEAD}{}\n}}\n", text.text);
        sources.add(super::NAME, full.as_str());
        let (file, found) = einmesh_syntax::parse(FileId(0), &full);
        if found.has_errors() {
            let places = places(&text, HEAD.len(), whole);
            return Err(crate::report::errors(found.iter(), &sources, &places));
        }
        let Some((lhs, value)) = the_assignment(&file.items) else {
            let message = "expected one statement `out[…] = …`";
            return Err(syn::Error::new(whole, message));
        };
        let refused = |span: einmesh_diagnostics::Span, message: &str| {
            let places = places(&text, HEAD.len(), whole);
            Err(places.error(span.start as usize..span.end as usize, message))
        };
        let left = match &lhs.path[..] {
            [] => Vec::new(),
            [LhsPart::Subscript(subscripts)] if subscripts.guard.is_none() => {
                let plain = subscripts.subs.iter().map(|s| match s {
                    Subscript::Expr(Expr { kind: ExprKind::Name(name), span }) => {
                        let place =
                            span.start as usize - HEAD.len()..span.end as usize - HEAD.len();
                        Some((name.clone(), place))
                    }
                    _ => None,
                });
                match plain.collect::<Option<Vec<_>>>() {
                    Some(names) => names,
                    None => {
                        return refused(subscripts.span, "the left side has plain indices only");
                    }
                }
            }
            _ => return refused(lhs.span, "the left side is a name with indices: `out[i,j]`"),
        };
        let mut names = Vec::new();
        for operand in &input.operands {
            let Some(name) = &operand.name else {
                let message = "an operand of a statement has a name: write `x = …`";
                return Err(syn::Error::new(operand.expression.span(), message));
            };
            let name = name.to_string();
            if names.contains(&name) {
                let message = format!("there are two operands `{name}`");
                return Err(syn::Error::new(operand.expression.span(), message));
            }
            names.push(name);
        }
        let mut uses = Uses {
            names: &names,
            ranges: BTreeMap::new(),
            axes: vec![None; names.len()],
            subscripts: vec![false; names.len()],
            found: vec![false; names.len()],
            uneven: None,
        };
        uses.ranges(value);
        uses.visit(value, false);
        if let Some((span, name)) = uses.uneven {
            return refused(span, &format!("`{name}` has another number of subscripts elsewhere"));
        }
        if let Some(unused) = uses.found.iter().position(|found| !found) {
            let message = format!("the statement does not use `{}`", names[unused]);
            return Err(syn::Error::new(input.operands[unused].expression.span(), message));
        }
        let operands = uses.axes.into_iter().map(Option::unwrap_or_default).collect();
        let (subscripts, result) = (uses.subscripts, (lhs.name.text.clone(), left));
        Ok(Statement { input, settings, text, result, operands, subscripts, whole })
    }

    /// The whole program.
    fn program(self) -> syn::Result<Program> {
        let mut dims = Dims::default();
        let mut types = Vec::new();
        for (operand, axes) in self.operands.iter().enumerate() {
            types.push(self.axes(&mut dims, operand, axes));
        }
        for (index, place) in &self.result.1 {
            if !dims.knows(&index.to_uppercase()) && self.settings.extent(index).is_none() {
                let message =
                    format!("no operand has the index `{index}`: say its extent, `; {index} = 4`");
                return Err(places(&self.text, 0, self.whole).error(place.clone(), &message));
            }
            dims.declare(&index.to_uppercase(), self.settings.extent(index), None);
        }
        self.settings.all_used(|index| dims.knows(&index.to_uppercase()))?;
        self.check_settings()?;
        let mut text = dims.text();
        let mut operands = Vec::new();
        let mut params = Vec::new();
        for (number, dims) in types.iter().enumerate() {
            let name = operand_name(self.input, number);
            let element = self.element(&name, self.subscripts[number]);
            params.push(format!("{name}: {}{}", element.name(), bracketed(dims)));
            let labels = self.operands[number].iter().zip(dims);
            let labels = labels.map(|(subs, dim)| match subs.first() {
                Some(first) => first.to_lowercase(),
                None => dim.to_lowercase(),
            });
            operands.push(Array { name, element, dims: labels.collect() });
        }
        let (name, indices) = &self.result;
        let element = self.element(name, false);
        let indices: Vec<String> = indices.iter().map(|(index, _)| index.clone()).collect();
        let left: Vec<String> = indices.iter().map(|i| i.to_uppercase()).collect();
        let (params, ty) = (params.join(", "), element.name());
        let _ =
            write!(text, "export fn einsum({params}) -> ({name}: {ty}{}) {{\n  ", bracketed(&left));
        let places = places(&self.text, text.len(), self.whole);
        let _ = write!(text, "{}\n}}\n", self.text.text);
        let result = Array { name: name.clone(), element, dims: indices };
        let symbols = dims.open();
        Ok(Program { text, equation: self.text.text, symbols, operands, result, places })
    }

    /// The dims of an operand, declared.
    fn axes(&self, dims: &mut Dims, operand: usize, axes: &[Vec<String>]) -> Vec<String> {
        let name = operand_name(self.input, operand);
        let mut own: Vec<String> = Vec::new();
        for (position, subs) in axes.iter().enumerate() {
            let given = self.settings.dimensions.get(&(name.clone(), position)).map(|d| d.0);
            let alone = format!("{}_{position}", name.to_uppercase());
            let first = subs.first().filter(|first| !own.contains(first));
            let extent = |dim: &str| self.settings.extent(&dim.to_lowercase()).or(given);
            let dim = match (first, subs.first()) {
                (Some(first), _) => {
                    dims.declare(first, extent(first), None);
                    first.clone()
                }
                // A diagonal: a type names a dim once, but a role of a dim may subscript it.
                (None, Some(repeated)) => {
                    dims.declare(&alone, extent(repeated), None);
                    dims.declare(repeated, extent(repeated), Some(&alone));
                    alone
                }
                (None, None) => {
                    dims.declare(&alone, given, None);
                    alone
                }
            };
            for role in subs.iter().skip(1) {
                dims.declare(role, self.settings.extent(&role.to_lowercase()), Some(&dim));
            }
            own.push(dim);
        }
        own
    }

    fn element(&self, name: &str, subscript: bool) -> DType {
        let given = self.settings.types.get(name).map(|t| t.0);
        given.unwrap_or(if subscript { DType::I32 } else { self.settings.default_type() })
    }

    /// Settings name what there is.
    fn check_settings(&self) -> syn::Result<()> {
        let ranks = self.operands.iter().enumerate();
        let rank_of: BTreeMap<String, usize> =
            ranks.map(|(number, axes)| (operand_name(self.input, number), axes.len())).collect();
        for (name, (_, place)) in &self.settings.types {
            if !rank_of.contains_key(name) && *name != self.result.0 {
                let message = format!("the einsum has no operand `{name}`");
                return Err(syn::Error::new(place.span(), message));
            }
        }
        for ((name, position), (_, place)) in &self.settings.dimensions {
            let message = match rank_of.get(name) {
                None => format!("the einsum has no operand `{name}`"),
                Some(rank) if position >= rank => {
                    format!("`{name}` has {rank} dimensions, counted from 0")
                }
                Some(_) => continue,
            };
            return Err(syn::Error::new(place.span(), message));
        }
        Ok(())
    }
}

fn bracketed(dims: &[String]) -> String {
    if dims.is_empty() { String::new() } else { format!("[{}]", dims.join(",")) }
}

fn places(text: &Text, offset: usize, whole: Span) -> Places {
    let tokens =
        text.tokens.iter().map(|(range, span)| (range.start + offset..range.end + offset, *span));
    Places { tokens: tokens.collect(), whole }
}

/// The one statement of the one function, if it binds a name.
fn the_assignment(items: &[Item]) -> Option<(&Lhs, &Expr)> {
    let [Item::Fn(function)] = items else { return None };
    let FnBody::Block(block) = &function.body else { return None };
    let [Stmt { decorators, kind: StmtKind::Assign { lhs, ty: None, op, value }, .. }] =
        &block.stmts[..]
    else {
        return None;
    };
    let plain = decorators.is_empty() && *op == einmesh_syntax::ast::AssignOp::Bind;
    plain.then_some((lhs, value))
}

/// The dims that the program declares, in the order in which they are met.
#[derive(Default)]
struct Dims(Vec<(String, Option<u64>, Option<String>)>);

impl Dims {
    fn knows(&self, name: &str) -> bool {
        self.0.iter().any(|(own, ..)| own == name)
    }

    fn declare(&mut self, name: &str, extent: Option<u64>, role_of: Option<&str>) {
        match self.0.iter_mut().find(|(own, ..)| own == name) {
            None => self.0.push((name.to_owned(), extent, role_of.map(str::to_owned))),
            Some((own, known, role)) => {
                *known = known.or(extent);
                if role.is_none() && role_of.is_some_and(|of| of != own) {
                    *role = role_of.map(str::to_owned);
                }
            }
        }
    }

    /// Those without extents: a role without one has that of its dim.
    fn open(&self) -> Vec<String> {
        let open = self.0.iter().filter(|(_, extent, role)| extent.is_none() && role.is_none());
        open.map(|(name, ..)| name.clone()).collect()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, extent, role) in &self.0 {
            let role = role.as_ref().map_or_else(String::new, |of| format!(": {of}"));
            let extent = extent.map_or_else(String::new, |extent| format!(" = {extent}"));
            let _ = writeln!(text, "dim {name}{role}{extent}");
        }
        text
    }
}

/// Where operands are used, and how they are subscripted.
struct Uses<'a> {
    names: &'a [String],
    /// The dims of indices that say them: `sum[j: I](…)`.
    ranges: BTreeMap<String, String>,
    /// For each operand and dimension the dims of its plain subscripts.
    axes: Vec<Option<Vec<Vec<String>>>>,
    subscripts: Vec<bool>,
    found: Vec<bool>,
    uneven: Option<(einmesh_diagnostics::Span, String)>,
}

impl Uses<'_> {
    fn ranges(&mut self, expr: &Expr) {
        each(expr, &mut |e| {
            if let ExprKind::Subscript(_, subscripts) = &e.kind {
                for sub in &subscripts.subs {
                    if let Subscript::Ranged(name, Expr { kind: ExprKind::Name(dim), .. }) = sub {
                        self.ranges.insert(name.text.clone(), dim.clone());
                    }
                }
            }
        });
    }

    fn visit(&mut self, expr: &Expr, subscript: bool) {
        if let Some(operand) = self.operand(expr) {
            self.found[operand] = true;
            self.subscripts[operand] |= subscript;
        }
        if let ExprKind::Subscript(base, subscripts) = &expr.kind
            && let Some(operand) = self.operand(base)
        {
            self.found[operand] = true;
            self.subscripts[operand] |= subscript;
            self.load(operand, base, &subscripts.subs);
            for sub in &subscripts.subs {
                if let Subscript::Expr(e) = sub {
                    self.visit(e, true);
                }
            }
            if let Some(guard) = &subscripts.guard {
                self.visit(guard, false);
            }
            return;
        }
        for child in children(expr) {
            self.visit(child, subscript);
        }
    }

    fn operand(&self, expr: &Expr) -> Option<usize> {
        match &expr.kind {
            ExprKind::Name(name) => self.names.iter().position(|own| own == name),
            _ => None,
        }
    }

    fn load(&mut self, operand: usize, base: &Expr, subs: &[Subscript]) {
        let axes = self.axes[operand].get_or_insert_with(|| vec![Vec::new(); subs.len()]);
        if axes.len() != subs.len() {
            self.uneven.get_or_insert((base.span, self.names[operand].clone()));
            return;
        }
        for (axis, sub) in axes.iter_mut().zip(subs) {
            let Subscript::Expr(Expr { kind: ExprKind::Name(index), .. }) = sub else { continue };
            if self.names.contains(index) {
                continue;
            }
            let dim = self.ranges.get(index).cloned().unwrap_or_else(|| index.to_uppercase());
            if !axis.contains(&dim) {
                axis.push(dim);
            }
        }
    }
}

/// Calls `visit` with an expression and all in it.
fn each(expr: &Expr, visit: &mut impl FnMut(&Expr)) {
    visit(expr);
    for child in children(expr) {
        each(child, visit);
    }
}

/// The expressions right below.
fn children(expr: &Expr) -> Vec<&Expr> {
    match &expr.kind {
        ExprKind::Name(_) | ExprKind::Number(_) | ExprKind::Text(_) | ExprKind::Error => Vec::new(),
        ExprKind::Tuple(all) => all.iter().collect(),
        ExprKind::Paren(e) | ExprKind::Field(e, _) | ExprKind::Neg(e) | ExprKind::Not(e) => vec![e],
        ExprKind::Binary(_, a, b) | ExprKind::Else(a, b) => vec![a, b],
        ExprKind::Call(f, arguments) => {
            std::iter::once(&**f).chain(arguments.iter().map(|a| &a.value)).collect()
        }
        ExprKind::Subscript(base, subscripts) => {
            let subs = subscripts.subs.iter().map(|s| match s {
                Subscript::Expr(e) | Subscript::Ranged(_, e) => e,
            });
            std::iter::once(&**base).chain(subs).chain(subscripts.guard.as_deref()).collect()
        }
    }
}
