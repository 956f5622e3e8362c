//! From text to programs.

use super::lex::{Token, lex};
use super::print::default_axes;
use super::{ParseError, REDUCERS, named};
use crate::arena::{Arena, Id};
use crate::dtype::DType;
use crate::expr::{Expr, IndexId, Literal};
use crate::mesh::{Mesh, MeshAxis, MeshAxisId};
use crate::program::*;
use crate::spmd::*;
use std::collections::BTreeMap;

/// The program that a text describes, without spans. It is not verified.
///
/// # Errors
/// With the line of the first mistake.
pub fn parse(source: &str) -> Result<Program, ParseError> {
    let parser = Parser::run(source)?;
    match parser.mesh {
        None => Ok(parser.program),
        Some(_) => Err(ParseError {
            line: 1,
            message: "the program has a mesh: it is a partitioned one".to_owned(),
        }),
    }
}

/// The partitioned program that a text describes, without spans. It is not verified.
///
/// # Errors
/// With the line of the first mistake.
pub fn parse_spmd(source: &str) -> Result<SpmdProgram, ParseError> {
    let Parser {
        program,
        mesh,
        inputs,
        outputs,
        ..
    } = Parser::run(source)?;
    match mesh {
        Some(mesh) => Ok(SpmdProgram {
            program,
            mesh,
            inputs,
            outputs,
        }),
        None => Err(ParseError {
            line: 1,
            message: "the program has no mesh".to_owned(),
        }),
    }
}

pub(super) type Parsed<T> = Result<T, ParseError>;

pub(super) struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
    program: Program,
    pub(super) mesh: Option<Mesh>,
    inputs: Vec<Layout>,
    outputs: Vec<Layout>,
    values: BTreeMap<u32, Value>,
    /// Values that are mentioned, with their lines, to be looked up at the end.
    uses: Vec<(u32, String, usize)>,
    counters: BTreeMap<u32, LoopVar>,
    /// The loops around, innermost last.
    pub(super) loops: Vec<(String, LoopVarId)>,
    /// How deeply expressions are nested here.
    pub(super) depth: usize,
}

/// A dim of a type, with the name of its index if that is given.
type TypeDim = (Option<(String, Option<u32>)>, DimId);

impl Parser {
    fn run(source: &str) -> Parsed<Parser> {
        let mut parser = Parser {
            tokens: lex(source)?,
            at: 0,
            program: Program::default(),
            mesh: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
            values: BTreeMap::new(),
            uses: Vec::new(),
            counters: BTreeMap::new(),
            loops: Vec::new(),
            depth: 0,
        };
        parser.whole()?;
        Ok(parser)
    }

    pub(super) fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    pub(super) fn peek_second(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].0
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    pub(super) fn error<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError {
            line: self.tokens[self.at].1,
            message: message.into(),
        })
    }

    /// Where the parser stands, for [`Parser::error_at`].
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn error_at<T>(&self, position: usize, message: String) -> Parsed<T> {
        Err(ParseError {
            line: self.tokens[position].1,
            message,
        })
    }

    fn unexpected<T>(&self, expected: &str) -> Parsed<T> {
        let got = match self.peek() {
            Token::Word(x) | Token::Number(x) => format!("`{x}`"),
            Token::Text(x) => format!("\"{x}\""),
            Token::Value(name, id) => format!("`%{name}.{id}`"),
            Token::Symbol(x) => format!("`{x}`"),
            Token::End => "the end".to_owned(),
        };
        self.error(format!("expected {expected}, got {got}"))
    }

    /// Takes the symbol, if it comes next.
    pub(super) fn eat(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(s) if *s == symbol);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, symbol: &str) -> Parsed<()> {
        if self.eat(symbol) {
            Ok(())
        } else {
            self.unexpected(&format!("`{symbol}`"))
        }
    }

    /// Takes the keyword, if it comes next.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(w) if w == word);
        self.at += usize::from(found);
        found
    }

    fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.eat_word(word) {
            Ok(())
        } else {
            self.unexpected(&format!("`{word}`"))
        }
    }

    /// An identifier, a number or a quoted text, as a name.
    pub(super) fn name(&mut self) -> Parsed<String> {
        match self.peek().clone() {
            Token::Word(name) | Token::Number(name) | Token::Text(name) => {
                self.next();
                Ok(name)
            }
            _ => self.unexpected("a name"),
        }
    }

    /// The id after `mark`, if there is one.
    pub(super) fn id(&mut self, mark: &str) -> Parsed<Option<u32>> {
        if self.eat(mark) {
            Ok(Some(self.number()?))
        } else {
            Ok(None)
        }
    }

    fn number<T: std::str::FromStr>(&mut self) -> Parsed<T> {
        let negative = self.eat("-");
        let Token::Number(digits) = self.peek().clone() else {
            return self.unexpected("a number");
        };
        let signed = if negative {
            format!("-{digits}")
        } else {
            digits
        };
        match signed.parse() {
            Ok(number) => {
                self.next();
                Ok(number)
            }
            Err(_) => self.error(format!("`{signed}` is not a number that fits here")),
        }
    }

    fn text(&mut self) -> Parsed<String> {
        match self.peek().clone() {
            Token::Text(content) => {
                self.next();
                Ok(content)
            }
            _ => self.unexpected("a quoted text"),
        }
    }

    /// Items until `close`, separated by commas.
    pub(super) fn list<T>(
        &mut self,
        close: &str,
        mut item: impl FnMut(&mut Parser) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let mut items = Vec::new();
        while !self.eat(close) {
            if !items.is_empty() {
                self.expect(",")?;
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Names with dots between them.
    fn path(&mut self) -> Parsed<Vec<String>> {
        let mut names = vec![self.name()?];
        while self.eat(".") {
            names.push(self.name()?);
        }
        Ok(names)
    }

    /// A value that is mentioned.
    pub(super) fn value(&mut self) -> Parsed<ValueId> {
        let Token::Value(name, id) = self.peek().clone() else {
            return self.unexpected("a value");
        };
        self.uses.push((id, name, self.tokens[self.at].1));
        self.next();
        Ok(ValueId(id))
    }

    fn dim(&mut self) -> Parsed<DimId> {
        let name = self.name()?;
        let id = self.id("'")?;
        let dims = &self.program.dims;
        let mut same = dims.iter().filter(|(d, dim)| match id {
            Some(id) => d.0 == id && dim.name == name,
            None => dim.name == name,
        });
        match (same.next(), same.next()) {
            (Some((dim, _)), None) => Ok(dim),
            (None, _) => self.error(format!("there is no dim `{name}`")),
            _ => self.error(format!(
                "several dims are called `{name}`: write `{name}'id`"
            )),
        }
    }

    pub(super) fn dtype_of(&self, name: &str) -> Option<DType> {
        DType::from_name(name)
    }

    /// `%name.id: dtype[dims]`: declares the value; the dims come with index names where given.
    fn declared(&mut self) -> Parsed<(ValueId, Vec<TypeDim>)> {
        let Token::Value(name, id) = self.peek().clone() else {
            return self.unexpected("a value");
        };
        if self.values.contains_key(&id) {
            return self.error(format!("there are two values with the id {id}"));
        }
        self.next();
        self.expect(":")?;
        let dtype = match self.peek() {
            Token::Word(word) => self.dtype_of(word),
            _ => None,
        };
        let Some(dtype) = dtype else {
            return self.unexpected("a dtype");
        };
        self.next();
        let dims = if self.eat("[") {
            self.list("]", Parser::type_dim)?
        } else {
            Vec::new()
        };
        let ids = dims.iter().map(|(_, dim)| *dim).collect();
        let origin = Origin::default();
        self.values.insert(
            id,
            Value {
                name,
                dtype,
                dims: ids,
                origin,
            },
        );
        Ok((ValueId(id), dims))
    }

    fn type_dim(&mut self) -> Parsed<TypeDim> {
        let start = self.at;
        let name = self.name()?;
        let id = self.id("'")?;
        if self.eat(":") {
            return Ok((Some((name, id)), self.dim()?));
        }
        self.at = start;
        Ok((None, self.dim()?))
    }

    /// ` @ outer.inner` of a value that has been declared.
    fn scope(&mut self, value: ValueId) -> Parsed<()> {
        if self.eat("@") {
            let scope = self.path()?;
            if let Some(value) = self.values.get_mut(&value.0) {
                value.origin.scope = scope.into();
            }
        }
        Ok(())
    }

    fn whole(&mut self) -> Parsed<()> {
        self.expect_word("program")?;
        self.program.name = self.name()?;
        self.expect("{")?;
        if self.eat_word("mesh") {
            self.parse_mesh()?;
        }
        if self.eat_word("dim") {
            self.dims()?;
        }
        self.program.body = self.block(true)?;
        if *self.peek() != Token::End {
            return self.unexpected("the end");
        }
        self.finish()
    }

    /// Puts values and counters into their arenas, and checks what has been mentioned.
    fn finish(&mut self) -> Parsed<()> {
        for (id, name, line) in std::mem::take(&mut self.uses) {
            match self.values.get(&id) {
                Some(value) if value.name == name => {}
                Some(value) => {
                    let message = format!("%{name}.{id} is called %{}.{id}", value.name);
                    return Err(ParseError { line, message });
                }
                None => {
                    let message = format!("%{name}.{id} is not assigned anywhere");
                    return Err(ParseError { line, message });
                }
            }
        }
        let values = std::mem::take(&mut self.values);
        if let Some(missing) = (0..values.len() as u32).find(|id| !values.contains_key(id)) {
            return self.error(format!("the ids of values skip {missing}"));
        }
        self.program.values = values.into_values().collect();
        let counters = std::mem::take(&mut self.counters);
        if let Some(missing) = (0..counters.len() as u32).find(|id| !counters.contains_key(id)) {
            return self.error(format!("the ids of loop counters skip {missing}"));
        }
        self.program.loop_vars = counters.into_values().collect();
        Ok(())
    }

    fn parse_mesh(&mut self) -> Parsed<()> {
        let mut mesh = Mesh::default();
        while matches!(self.peek_second(), Token::Symbol("=")) {
            let name = self.name()?;
            self.expect("=")?;
            mesh.axes.push(MeshAxis {
                name,
                size: self.number()?,
            });
            if !self.eat(",") {
                break;
            }
        }
        self.mesh = Some(mesh);
        Ok(())
    }

    fn dims(&mut self) -> Parsed<()> {
        // A role may be of a dim that comes later.
        let mut roles = Vec::new();
        loop {
            let name = self.name()?;
            self.id("'")?;
            if self.eat(":") {
                roles.push((DimId::from_index(self.program.dims.len()), self.at));
                self.name()?;
                self.id("'")?;
            }
            self.expect("=")?;
            let extent = self.number()?;
            self.program.dims.push(Dim {
                name,
                extent,
                role_of: None,
            });
            if !self.eat(",") {
                break;
            }
        }
        let end = self.at;
        for (dim, at) in roles {
            self.at = at;
            self.program.dims[dim].role_of = Some(self.dim()?);
        }
        self.at = end;
        Ok(())
    }

    /// Statements until the closing brace, or until a loop's `yield` or `collect`.
    fn block(&mut self, outermost: bool) -> Parsed<Block> {
        let mut block = Block::default();
        loop {
            match self.peek().clone() {
                Token::Value(..) => block.ops.push(self.assignment()?),
                Token::Symbol("}") if outermost => {
                    self.next();
                    return Ok(block);
                }
                Token::Word(word) => match word.as_str() {
                    "for" => block.ops.push(self.repetition()?),
                    "input" if outermost => self.input()?,
                    "output" if outermost => self.output()?,
                    "unused" if outermost => self.unused()?,
                    _ if !outermost => return Ok(block),
                    _ => return self.unexpected("a statement"),
                },
                _ if !outermost => return Ok(block),
                _ => return self.unexpected("a statement"),
            }
        }
    }

    fn unused(&mut self) -> Parsed<()> {
        self.next();
        if matches!(self.peek(), Token::Value(..)) {
            let (value, _) = self.declared()?;
            return self.scope(value);
        }
        let name = self.name()?;
        let Some(id) = self.id("~")? else {
            return self.unexpected("`~`");
        };
        self.expect_word("in")?;
        let dim = self.dim()?;
        self.counters.insert(id, LoopVar { name, dim });
        Ok(())
    }

    /// Path, tensor and axes, as far as they are not the usual ones.
    fn leaf(&mut self, value: ValueId) -> Parsed<(String, String, Vec<usize>)> {
        let path = match self.eat_word("path") {
            true => Some(self.text()?),
            false => None,
        };
        let info = self.values.get(&value.0);
        let (name, dims) = info.map_or(("", 0), |v| (v.name.as_str(), v.dims.len()));
        let path = path.unwrap_or_else(|| name.to_owned());
        let tensor = match self.eat_word("tensor") {
            true => self.text()?,
            false => path.clone(),
        };
        let axes = match self.eat_word("axes") {
            true => {
                self.expect("[")?;
                self.list("]", Parser::number)?
            }
            false => default_axes(&tensor, dims),
        };
        Ok((path, tensor, axes))
    }

    fn input(&mut self) -> Parsed<()> {
        self.next();
        let (value, _) = self.declared()?;
        let (path, tensor, axes) = self.leaf(value)?;
        let records = if self.eat_word("of") {
            self.path()?
        } else {
            Vec::new()
        };
        let donated = self.eat_word("donated");
        let layout = self.layout()?;
        self.inputs.extend(layout);
        self.scope(value)?;
        self.program.inputs.push(Input {
            value,
            path,
            tensor,
            records,
            axes,
            donated,
        });
        Ok(())
    }

    fn output(&mut self) -> Parsed<()> {
        self.next();
        let value = self.value()?;
        let (path, tensor, axes) = self.leaf(value)?;
        let layout = self.layout()?;
        self.outputs.extend(layout);
        self.program.outputs.push(Output {
            value,
            path,
            tensor,
            axes,
        });
        Ok(())
    }

    fn layout(&mut self) -> Parsed<Option<Layout>> {
        if !self.eat_word("split") {
            return Ok(None);
        }
        self.expect("[")?;
        let dims = self.list("]", |p| {
            let local = p.number()?;
            let global = if p.eat_word("of") { p.number()? } else { local };
            let axes = if p.eat_word("on") {
                p.axes()?
            } else {
                Vec::new()
            };
            Ok(DimLayout {
                global,
                local,
                axes,
            })
        })?;
        Ok(Some(Layout { dims }))
    }

    /// Mesh axes with `+` between them.
    fn axes(&mut self) -> Parsed<Vec<MeshAxisId>> {
        let mut axes = vec![self.axis()?];
        while self.eat("+") {
            axes.push(self.axis()?);
        }
        Ok(axes)
    }

    pub(super) fn axis(&mut self) -> Parsed<MeshAxisId> {
        let start = self.at;
        let name = self.name()?;
        match self.mesh.as_ref().and_then(|mesh| mesh.axis(&name)) {
            Some(axis) => Ok(axis),
            None => {
                self.at = start;
                self.error(format!("there is no mesh axis `{name}`"))
            }
        }
    }

    fn repetition(&mut self) -> Parsed<Op> {
        self.next();
        let name = self.name()?;
        let id = self.id("~")?.unwrap_or(self.counters.len() as u32);
        let var = LoopVarId(id);
        self.expect_word("in")?;
        let dim = self.dim()?;
        if self
            .counters
            .insert(
                id,
                LoopVar {
                    name: name.clone(),
                    dim,
                },
            )
            .is_some()
        {
            return self.error(format!(
                "there are two loops with the counter `{name}~{id}`"
            ));
        }
        let reversed = self.eat_word("reversed");
        self.expect("{")?;
        let mut states = Vec::new();
        while self.eat_word("carry") {
            let (entry, _) = self.declared()?;
            self.expect("=")?;
            states.push((entry, self.value()?));
            self.scope(entry)?;
        }
        self.loops.push((name, var));
        let body = self.block(false)?;
        self.loops.pop();
        let mut carried = Vec::new();
        for (entry, init) in states {
            self.expect_word("yield")?;
            let exit = self.value()?;
            self.expect("->")?;
            let (result, _) = self.declared()?;
            self.scope(result)?;
            carried.push(Carried {
                init,
                entry,
                exit,
                result,
            });
        }
        let mut collected = Vec::new();
        while self.eat_word("collect") {
            let value = self.value()?;
            self.expect("->")?;
            let (result, _) = self.declared()?;
            self.expect_word("at")?;
            collected.push(Collected {
                value,
                result,
                position: self.number()?,
            });
            self.scope(result)?;
        }
        self.expect("}")?;
        Ok(Op::Loop(Loop {
            var,
            reversed,
            carried,
            collected,
            body,
        }))
    }

    fn assignment(&mut self) -> Parsed<Op> {
        let (out, dims) = self.declared()?;
        self.expect("=")?;
        let bracket = *self.peek_second() == Token::Symbol("[");
        let parenthesis = *self.peek_second() == Token::Symbol("(");
        let op = match self.peek().clone() {
            Token::Word(w) if w == "argsort" => {
                self.next();
                let input = self.value()?;
                self.expect_word("at")?;
                Op::Argsort(Argsort {
                    out,
                    input,
                    position: self.number()?,
                })
            }
            Token::Word(w) if parenthesis && COLLECTIVES.contains(&w.as_str()) => {
                Op::Collective(self.collective(out)?)
            }
            Token::Word(w) if bracket && w == "store" => Op::Compute(self.store(out)?),
            _ => {
                let mut indices = Arena::new();
                for (name, dim) in dims {
                    let lower = || self.program.dims[dim].name.to_lowercase();
                    let name = name.map_or_else(lower, |(name, _)| name);
                    indices.push(Index { name, dim });
                }
                Op::Compute(self.comprehension(out, indices)?)
            }
        };
        self.scope(out)?;
        Ok(op)
    }

    /// An index where it is declared: `t` or `i:T`.
    fn index(&mut self) -> Parsed<Index> {
        let start = self.at;
        let name = self.name()?;
        self.id("'")?;
        if self.eat(":") {
            return Ok(Index {
                name,
                dim: self.dim()?,
            });
        }
        let dims = self.program.dims.iter();
        let mut alike = dims.filter(|(_, dim)| dim.name.to_lowercase() == name);
        match (alike.next(), alike.next()) {
            (Some((dim, _)), None) => Ok(Index { name, dim }),
            _ => {
                self.at = start;
                self.error(format!(
                    "`{name}` does not tell its dim: write `{name}:Dim`"
                ))
            }
        }
    }

    /// Reducer, guard and body, after the free indices.
    fn comprehension(
        &mut self,
        out: ValueId,
        mut indices: Arena<IndexId, Index>,
    ) -> Parsed<Comprehension> {
        let free = indices.len();
        let (mut reducer, mut guard) = (Reducer::None, None);
        let bracket = *self.peek_second() == Token::Symbol("[");
        let word = match self.peek() {
            Token::Word(word) if bracket => word.clone(),
            _ => String::new(),
        };
        let known = named(&REDUCERS, &word);
        if word == "where" || known.is_some() {
            self.next();
            self.next();
            if let Some(known) = known {
                reducer = known;
                while !matches!(self.peek(), Token::Symbol("]" | "|")) {
                    if indices.len() > free {
                        self.expect(",")?;
                    }
                    let index = self.index()?;
                    indices.push(index);
                }
            }
            if word == "where" || self.eat("|") {
                guard = Some(self.expr(&indices)?);
            }
            self.expect("]")?;
            self.expect("(")?;
        }
        let body = self.expr(&indices)?;
        if !word.is_empty() {
            self.expect(")")?;
        }
        Ok(Comprehension {
            out,
            indices,
            free,
            reducer,
            guard,
            body,
            store: None,
        })
    }

    fn store(&mut self, out: ValueId) -> Parsed<Comprehension> {
        self.next();
        self.next();
        let indices: Arena<IndexId, Index> = self.list("]", Parser::index)?.into_iter().collect();
        let base = self.value()?;
        self.expect("[")?;
        let subs = self.list("]", |p| p.expr(&indices))?;
        let combine = match self.next() {
            Token::Symbol(":=") => Reducer::None,
            Token::Symbol("+=") => Reducer::Sum,
            Token::Symbol("*=") => Reducer::Prod,
            Token::Word(word) if named(&REDUCERS, &word).is_some() => {
                self.expect("=")?;
                named(&REDUCERS, &word).unwrap_or(Reducer::None)
            }
            _ => {
                self.at -= 1;
                return self.unexpected("a way to combine, like `:=` or `+=`");
            }
        };
        let comprehension = self.comprehension(out, indices)?;
        Ok(Comprehension {
            store: Some(Store {
                base,
                subs,
                combine,
            }),
            ..comprehension
        })
    }

    fn collective(&mut self, out: ValueId) -> Parsed<Collective> {
        let name = self.name()?;
        self.expect("(")?;
        let kind = match name.as_str() {
            "all_reduce" => CollectiveKind::AllReduce(self.reducer()?),
            "all_gather" => CollectiveKind::AllGather {
                position: self.labelled("at")?,
            },
            "reduce_scatter" => {
                let reducer = self.reducer()?;
                self.expect(",")?;
                CollectiveKind::ReduceScatter {
                    reducer,
                    position: self.labelled("at")?,
                }
            }
            "all_to_all" => {
                let split = self.labelled("split")?;
                self.expect(",")?;
                CollectiveKind::AllToAll {
                    split,
                    concat: self.labelled("concat")?,
                }
            }
            _ => {
                let shift = self.labelled("shift")?;
                let start = self.at;
                let wrap = self.eat(",") && self.eat_word("wrap") && self.eat(",");
                if !wrap {
                    self.at = start;
                } else {
                    self.at -= 1;
                }
                CollectiveKind::CollectivePermute { shift, wrap }
            }
        };
        self.expect(",")?;
        let axes = if *self.peek() == Token::Symbol(")") {
            Vec::new()
        } else {
            self.axes()?
        };
        self.expect(")")?;
        let input = self.value()?;
        let mut provenance = Provenance::default();
        if self.eat_word("because") {
            provenance.index = self.name()?;
            provenance.decorator = self.text()?;
            if self.eat_word("in") {
                provenance.origin.scope = self.path()?.into();
            }
        }
        Ok(Collective {
            kind,
            axes,
            input,
            out,
            provenance,
        })
    }

    fn reducer(&mut self) -> Parsed<Reducer> {
        let found = match self.peek() {
            Token::Word(word) => named(&REDUCERS, word),
            _ => None,
        };
        match found {
            Some(reducer) => {
                self.next();
                Ok(reducer)
            }
            None => self.unexpected("a reducer"),
        }
    }

    fn labelled<T: std::str::FromStr>(&mut self, label: &str) -> Parsed<T> {
        self.expect_word(label)?;
        self.number()
    }

    /// A number as a literal of the dtype of its suffix.
    pub(super) fn literal(&self, number: &str, negative: bool) -> Parsed<Expr> {
        let mut dtypes = DType::ALL.into_iter();
        let suffix = dtypes.find(|d| number.ends_with(d.name()));
        let digits = suffix.map_or(number, |d| &number[..number.len() - d.name().len()]);
        let signed = if negative {
            format!("-{digits}")
        } else {
            digits.to_owned()
        };
        let float = digits.contains(['.', 'e']);
        let literal = match (float, suffix.unwrap_or(DType::F32)) {
            // Through f64 it could be rounded twice.
            (true, DType::F32) => signed
                .parse::<f32>()
                .ok()
                .map(|x| Literal::Float(DType::F32, x.into())),
            (true, dtype) => signed
                .parse()
                .ok()
                .map(|x| Literal::Float(dtype, dtype.round(x))),
            (false, _) => signed
                .parse()
                .ok()
                .map(|x| Literal::Int(suffix.unwrap_or(DType::I32), x)),
        };
        match literal {
            Some(literal) => Ok(Expr::Literal(literal)),
            None => self.error(format!("`{number}` is not a number")),
        }
    }
}

const COLLECTIVES: [&str; 5] = [
    "all_reduce",
    "all_gather",
    "reduce_scatter",
    "all_to_all",
    "collective_permute",
];
