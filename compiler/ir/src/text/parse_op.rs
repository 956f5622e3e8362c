//! Operations and blocks of them.

use super::lex::Token;
use super::parse::{Parsed, Parser};
use super::{REDUCERS, named};
use crate::arena::Arena;
use crate::expr::IndexId;
use crate::program::*;
use crate::spmd::*;

const COLLECTIVES: [&str; 5] =
    ["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "collective_permute"];

impl Parser {
    /// Statements until the closing brace, or until a loop's `yield` or `collect`.
    pub(super) fn block(&mut self, outermost: bool) -> Parsed<Block> {
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

    pub(super) fn repetition(&mut self) -> Parsed<Op> {
        self.next();
        let name = self.name()?;
        let id = self.id("~")?.unwrap_or(self.counters.len() as u32);
        let var = LoopVarId(id);
        self.expect_word("in")?;
        let dim = self.dim()?;
        if self.counters.insert(id, LoopVar { name: name.clone(), dim }).is_some() {
            return self.error(format!("there are two loops with the counter `{name}~{id}`"));
        }
        let reversed = self.eat_word("reversed");
        let condition = match self.eat_word("while") {
            true => Some(self.value()?),
            false => None,
        };
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
            carried.push(Carried { init, entry, exit, result });
        }
        let mut collected = Vec::new();
        while self.eat_word("collect") {
            let value = self.value()?;
            self.expect("->")?;
            let (result, _) = self.declared()?;
            self.expect_word("at")?;
            collected.push(Collected { value, result, position: self.number()? });
            self.scope(result)?;
        }
        self.expect("}")?;
        Ok(Op::Loop(Loop { var, reversed, condition, carried, collected, body }))
    }

    pub(super) fn assignment(&mut self) -> Parsed<Op> {
        let (out, dims) = self.declared()?;
        self.expect("=")?;
        let bracket = *self.peek_second() == Token::Symbol("[");
        let parenthesis = *self.peek_second() == Token::Symbol("(");
        let op = match self.peek().clone() {
            Token::Word(w) if w == "argsort" => {
                self.next();
                let input = self.value()?;
                self.expect_word("at")?;
                Op::Argsort(Argsort { out, input, position: self.number()? })
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
    pub(super) fn index(&mut self) -> Parsed<Index> {
        let start = self.at;
        let name = self.name()?;
        self.id("'")?;
        if self.eat(":") {
            return Ok(Index { name, dim: self.dim()? });
        }
        let dims = self.program.dims.iter();
        let mut alike = dims.filter(|(_, dim)| dim.name.to_lowercase() == name);
        match (alike.next(), alike.next()) {
            (Some((dim, _)), None) => Ok(Index { name, dim }),
            _ => {
                self.at = start;
                self.error(format!("`{name}` does not tell its dim: write `{name}:Dim`"))
            }
        }
    }

    /// Reducer, guard and body, after the free indices.
    pub(super) fn comprehension(
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
        Ok(Comprehension { out, indices, free, reducer, guard, body, store: None })
    }

    pub(super) fn store(&mut self, out: ValueId) -> Parsed<Comprehension> {
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
        Ok(Comprehension { store: Some(Store { base, subs, combine }), ..comprehension })
    }

    pub(super) fn collective(&mut self, out: ValueId) -> Parsed<Collective> {
        let name = self.name()?;
        self.expect("(")?;
        let kind = match name.as_str() {
            "all_reduce" => CollectiveKind::AllReduce(self.reducer()?),
            "all_gather" => CollectiveKind::AllGather { position: self.labelled("at")? },
            "reduce_scatter" => {
                let reducer = self.reducer()?;
                self.expect(",")?;
                CollectiveKind::ReduceScatter { reducer, position: self.labelled("at")? }
            }
            "all_to_all" => {
                let split = self.labelled("split")?;
                self.expect(",")?;
                CollectiveKind::AllToAll { split, concat: self.labelled("concat")? }
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
        let axes = if *self.peek() == Token::Symbol(")") { Vec::new() } else { self.axes()? };
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
        Ok(Collective { kind, axes, input, out, provenance })
    }

    pub(super) fn reducer(&mut self) -> Parsed<Reducer> {
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

    pub(super) fn labelled<T: std::str::FromStr>(&mut self, label: &str) -> Parsed<T> {
        self.expect_word(label)?;
        self.number()
    }
}
