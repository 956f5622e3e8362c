//! The state of one lowering.

use crate::dims::{Axis, DimInfo};
use crate::modules::Modules;
use crate::names::{Def, Inst};
use crate::options::Options;
use crate::values::{Array, Val};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Code, Diagnostic, Diagnostics, Span};
use einmesh_ir::{Arena, Block, DType, DimId, Expr, IndexId, LoopVarId, Program, ValueId};
use einmesh_syntax::ast;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many calls and record fields a program may expand to.
const MAX_EXPANSIONS: usize = 20_000;

/// A variable of the index space: what an index name is bound to.
#[derive(Clone, Debug)]
pub(crate) struct IndexVar {
    pub name: String,
    pub dim: DimId,
    /// Where the guard of a call (`f[u | c](…)`) excludes positions: a condition in this variable
    /// and those around it.
    pub guard: Option<Expr>,
}

/// What an index name in scope stands for.
#[derive(Clone, Debug)]
pub(crate) enum Binding {
    /// Index variables, one for each dim of the axis they range over.
    Indices(Vec<IndexId>, Axis),
    /// The counter of an enclosing loop.
    Counter(LoopVarId, DimId),
}

/// What a generic dim is bound to in a call.
#[derive(Clone, Debug)]
pub(crate) struct DimRef {
    pub axis: Axis,
    /// The guard that restricts it: a condition in the given variables.
    pub guard: Option<(Vec<IndexId>, Expr)>,
}

/// A variable of a function.
#[derive(Clone, Debug)]
pub(crate) struct Var {
    pub val: Val,
    /// Where it was bound.
    pub span: Span,
}

/// A loop of the function that is being lowered.
#[derive(Clone, Debug)]
pub(crate) struct LoopScope {
    pub name: String,
    pub var: LoopVarId,
    /// How many values there were when the loop began: later ones are made anew in each iteration.
    pub first_value: usize,
    /// Names collected along the counter.
    pub collected: Vec<CollectedName>,
}

/// A name that a loop collects: the value of one iteration.
#[derive(Clone, Debug)]
pub(crate) struct CollectedName {
    pub name: String,
    pub span: Span,
    /// One iteration's array; its axes mean nothing yet.
    pub array: Array,
    /// For each parameter of the array, its position among the dims of the final result.
    pub positions: Vec<usize>,
    /// The counters that are still missing, with their dims and positions.
    pub missing: Vec<(String, DimId, usize)>,
    /// The final axes.
    pub axes: Vec<Axis>,
}

/// A function that is being lowered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// The module it is written in.
    pub inst: usize,
    pub generics: Vec<(String, DimRef)>,
    /// Roles declared by generics: the first ranges within the second.
    pub roles: Vec<(DimId, DimId)>,
    /// What `float` stands for.
    pub float: Option<DType>,
    /// What `record` stands for.
    pub record: Option<crate::types::RecordTy>,
    pub vars: BTreeMap<String, Var>,
    /// Index names in scope, innermost last.
    pub indices: Vec<(String, Binding)>,
    /// The dtypes that results are declared with: sums are rounded to them once.
    pub results: BTreeMap<String, DType>,
    /// The caller's indices that this call is mapped over.
    pub lifts: Vec<IndexId>,
    pub loops: Vec<LoopScope>,
    /// How many values there were when the call began.
    pub first_value: usize,
    /// The variables that some `grad` of the function names.
    pub differentiated: BTreeSet<String>,
    /// The functions it was inlined from, itself last.
    pub scope: Arc<[String]>,
}

/// A constant's declaration.
pub(crate) struct ConstInfo<'a> {
    pub inst: usize,
    pub decl: &'a ast::ConstDecl,
    /// The value given by an import, with the module where it is written.
    pub given: Option<(usize, &'a ast::Expr)>,
    pub value: Option<Val>,
    pub busy: bool,
}

pub(crate) struct Ctx<'a> {
    pub modules: &'a Modules,
    pub options: &'a Options,
    /// Whether missing extents are fine because nothing is going to be built.
    pub checking: bool,
    pub diagnostics: Diagnostics,
    reported: BTreeSet<(Code, Option<Span>)>,
    /// While positive, nothing is reported.
    pub quiet: usize,

    pub insts: Vec<Inst>,
    pub dims: Arena<DimId, DimInfo<'a>>,
    pub consts: Vec<ConstInfo<'a>>,
    pub records: Vec<(usize, &'a ast::Record)>,
    pub fns: Vec<(usize, &'a ast::Fn)>,
    pub literals: BTreeMap<(u64, usize), DimId>,
    pub missing: BTreeMap<String, Option<Span>>,

    pub program: Program,
    pub index_vars: Arena<IndexId, IndexVar>,
    pub blocks: Vec<Block>,
    /// For each block but the outermost: the states of its loop at the start of an iteration.
    pub entries: Vec<Vec<ValueId>>,
    /// Copies that only gradients need, and those of them that gradients do not pass.
    pub copies: BTreeSet<ValueId>,
    pub stops: BTreeSet<ValueId>,
    /// What gradients compute again instead of saving it.
    pub remat: Vec<einmesh_ir::directive::Remat>,
    pub frames: Vec<Frame>,
    /// The functions that are being inlined, to refuse recursion.
    pub calls: Vec<usize>,
    /// Where those calls stand.
    pub sites: Vec<Span>,
    /// Keys that were drawn from.
    pub drawn: Vec<(Expr, Span)>,
    /// The name that values of the current statement get.
    pub hint: String,
    /// How many calls and fields were expanded, to refuse what grows without measure.
    pub expansions: usize,
    /// How many records are being resolved inside of each other.
    pub record_depth: usize,
    /// The current statement.
    pub span: Option<Span>,
    /// The left side of the current statement, as text and place.
    pub left: Option<(String, Span)>,
    /// Whether names are also looked for in the modules of all imports.
    pub reaching: bool,
    /// Whether the current statement has a decorator that places what it binds.
    pub placing: bool,
    /// What decorators of statements ask for.
    pub placed: Vec<einmesh_ir::directive::ShardValue>,
    /// The entry's types.
    pub declared: crate::signature::Declared,
}

impl<'a> Ctx<'a> {
    pub fn new(modules: &'a Modules, options: &'a Options, checking: bool) -> Ctx<'a> {
        Ctx {
            modules,
            options,
            checking,
            diagnostics: Diagnostics::new(),
            reported: BTreeSet::new(),
            quiet: 0,
            insts: Vec::new(),
            dims: Arena::new(),
            consts: Vec::new(),
            records: Vec::new(),
            fns: Vec::new(),
            literals: BTreeMap::new(),
            missing: BTreeMap::new(),
            program: Program::default(),
            index_vars: Arena::new(),
            blocks: vec![Block::default()],
            entries: Vec::new(),
            copies: BTreeSet::new(),
            stops: BTreeSet::new(),
            remat: Vec::new(),
            frames: Vec::new(),
            calls: Vec::new(),
            sites: Vec::new(),
            drawn: Vec::new(),
            hint: String::new(),
            expansions: 0,
            record_depth: 0,
            span: None,
            left: None,
            reaching: false,
            placing: false,
            placed: Vec::new(),
            declared: Default::default(),
        }
    }

    /// Reports a mistake, once for each code and place.
    pub fn report(&mut self, mut diagnostic: Diagnostic) {
        if self.quiet > 0 {
            return;
        }
        // What goes wrong inside of an imported function is seen from where it is called.
        if let Some(first) = diagnostic.labels.first().map(|l| l.span)
            && let Some(site) = self.sites.iter().rev().find(|s| s.file != first.file).copied()
            && diagnostic.labels.iter().all(|l| l.span.file != site.file)
        {
            diagnostic = diagnostic.also(site, "in this call");
        }
        let key = (diagnostic.code, diagnostic.labels.first().map(|l| l.span));
        if key.1.is_none() || self.reported.insert(key) {
            self.diagnostics.push(diagnostic);
        }
    }

    pub fn frame(&self) -> &Frame {
        self.frames.last().expect("lowering happens inside of a frame")
    }

    pub fn frame_mut(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("lowering happens inside of a frame")
    }

    /// Counts an expansion; reports and returns false once there are too many.
    pub fn expand(&mut self, what: &str, span: Span) -> bool {
        self.expansions += 1;
        if self.expansions == MAX_EXPANSIONS {
            self.report(
                Diagnostic::error(
                    codes::TOO_LARGE,
                    format!("the program expands to more than {MAX_EXPANSIONS} calls and fields"),
                )
                .at(span, format!("while expanding this {what}"))
                .help("repeat by loops over stacked records, `for l in L { … p.h[l] … }`"),
            );
        }
        self.expansions < MAX_EXPANSIONS
    }

    /// Runs `body` in a frame that sees a module's declarations and nothing else.
    pub fn in_module<T>(&mut self, inst: usize, body: impl FnOnce(&mut Self) -> T) -> T {
        let scope = self.frames.last().map(|f| f.scope.clone()).unwrap_or_default();
        self.frames.push(Frame { inst, scope, ..Frame::default() });
        let result = body(self);
        self.frames.pop();
        result
    }

    /// The meaning of a name among declarations: the module's own, then the prelude's.
    pub fn lookup(&self, inst: usize, name: &str) -> Option<Def> {
        let own = self.insts.get(inst).and_then(|i| i.scope.get(name));
        let prelude = || self.insts.first().and_then(|i| i.scope.get(name));
        // Plans are about everything that is compiled, imported by name or not.
        let anywhere =
            || self.insts.iter().filter(|_| self.reaching).find_map(|i| i.scope.get(name));
        own.or_else(prelude).or_else(anywhere).map(|(def, _)| *def)
    }
}
