//! From text to programs.

use super::ParseError;
use super::lex::{Token, lex};
use super::print::default_axes;
use crate::arena::Id;
use crate::dtype::DType;
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
    let Parser { program, mesh, inputs, outputs, .. } = Parser::run(source)?;
    match mesh {
        Some(mesh) => Ok(SpmdProgram { program, mesh, inputs, outputs }),
        None => Err(ParseError { line: 1, message: "the program has no mesh".to_owned() }),
    }
}

pub(super) type Parsed<T> = Result<T, ParseError>;

pub(super) struct Parser {
    pub(super) tokens: Vec<(Token, usize)>,
    pub(super) at: usize,
    pub(super) program: Program,
    pub(super) mesh: Option<Mesh>,
    inputs: Vec<Layout>,
    outputs: Vec<Layout>,
    values: BTreeMap<u32, Value>,
    /// Values that are mentioned, with their lines, to be looked up at the end.
    uses: Vec<(u32, String, usize)>,
    pub(super) counters: BTreeMap<u32, LoopVar>,
    /// The loops around, innermost last.
    pub(super) loops: Vec<(String, LoopVarId)>,
    /// How deeply expressions are nested here.
    pub(super) depth: usize,
}

/// A dim of a type, with the name of its index if that is given.
pub(super) type TypeDim = (Option<(String, Option<u32>)>, DimId);

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

    /// A value that is mentioned.
    pub(super) fn value(&mut self) -> Parsed<ValueId> {
        let Token::Value(name, id) = self.peek().clone() else {
            return self.unexpected("a value");
        };
        self.uses.push((id, name, self.tokens[self.at].1));
        self.next();
        Ok(ValueId(id))
    }

    pub(super) fn dim(&mut self) -> Parsed<DimId> {
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
            _ => self.error(format!("several dims are called `{name}`: write `{name}'id`")),
        }
    }

    pub(super) fn dtype_of(&self, name: &str) -> Option<DType> {
        DType::from_name(name)
    }

    /// `%name.id: dtype[dims]`: declares the value; the dims come with index names where given.
    pub(super) fn declared(&mut self) -> Parsed<(ValueId, Vec<TypeDim>)> {
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
        let dims = if self.eat("[") { self.list("]", Parser::type_dim)? } else { Vec::new() };
        let ids = dims.iter().map(|(_, dim)| *dim).collect();
        let origin = Origin::default();
        self.values.insert(id, Value { name, dtype, dims: ids, origin });
        Ok((ValueId(id), dims))
    }

    pub(super) fn type_dim(&mut self) -> Parsed<TypeDim> {
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
    pub(super) fn scope(&mut self, value: ValueId) -> Parsed<()> {
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

    pub(super) fn parse_mesh(&mut self) -> Parsed<()> {
        let mut mesh = Mesh::default();
        while matches!(self.peek_second(), Token::Symbol("=")) {
            let name = self.name()?;
            self.expect("=")?;
            mesh.axes.push(MeshAxis { name, size: self.number()? });
            if !self.eat(",") {
                break;
            }
        }
        self.mesh = Some(mesh);
        Ok(())
    }

    pub(super) fn dims(&mut self) -> Parsed<()> {
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
            let symbolic = self.eat_word("symbolic");
            self.program.dims.push(Dim { name, extent, role_of: None, symbolic });
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

    pub(super) fn unused(&mut self) -> Parsed<()> {
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
    pub(super) fn leaf(&mut self, value: ValueId) -> Parsed<(String, String, Vec<usize>)> {
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

    pub(super) fn input(&mut self) -> Parsed<()> {
        self.next();
        let (value, _) = self.declared()?;
        let (path, tensor, axes) = self.leaf(value)?;
        let records = if self.eat_word("of") { self.path()? } else { Vec::new() };
        let donated = self.eat_word("donated");
        let layout = self.layout()?;
        self.inputs.extend(layout);
        self.scope(value)?;
        self.program.inputs.push(Input { value, path, tensor, records, axes, donated });
        Ok(())
    }

    pub(super) fn output(&mut self) -> Parsed<()> {
        self.next();
        let value = self.value()?;
        let (path, tensor, axes) = self.leaf(value)?;
        let layout = self.layout()?;
        self.outputs.extend(layout);
        self.program.outputs.push(Output { value, path, tensor, axes });
        Ok(())
    }

    pub(super) fn layout(&mut self) -> Parsed<Option<Layout>> {
        if !self.eat_word("split") {
            return Ok(None);
        }
        self.expect("[")?;
        let dims = self.list("]", |p| {
            let local = p.number()?;
            let global = if p.eat_word("of") { p.number()? } else { local };
            let axes = if p.eat_word("on") { p.axes()? } else { Vec::new() };
            Ok(DimLayout { global, local, axes })
        })?;
        Ok(Some(Layout { dims }))
    }

    /// Mesh axes with `+` between them.
    pub(super) fn axes(&mut self) -> Parsed<Vec<MeshAxisId>> {
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
}
