//! The pipeline for programs some of whose extents are known only when they run: from source text to machine code that
//! takes them as numbers.

use crate::orders;
use crate::pipeline::{codegen_options, listed};
use crate::request::{Goal, Request};
use crate::session::{CompilerBug, Failure, Inspect, Session};
use crate::sources;
use crate::stage::Stage;
use einmesh_codegen::SymbolicEmitted;
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Diagnostics};
use einmesh_ir::{Directives, Program};
use einmesh_lower::Lowered;
use einmesh_rewrite::Rewritten;
use einmesh_schedule::symbolic::{SymbolicGraph, Unsupported};

/// The outputs of the stages, as far as the goal asked for them.
#[derive(Debug)]
pub struct SymbolicProducts {
    /// The program as it was written. Its symbolic dims have extents that are examples.
    pub lowered: Program,
    /// The program after rewriting.
    pub program: Program,
    /// Kernels and their launches, from [`Goal::Plan`] on.
    pub graph: Option<SymbolicGraph>,
    /// The code, for [`Goal::Build`].
    pub emitted: Option<SymbolicEmitted>,
}

/// Extents that stand for symbols where costs are weighed: as large as can be such that the elements of an array of
/// many dims can be counted.
const EXAMPLE: u64 = 97;

/// Compiles an entry, on one device, as far as the request's goal. The extents of the dims named by `symbols` are numbers
/// at run time, in this order; all others must be known. The session holds diagnostics, timings and dumps, whatever
/// the result.
pub fn compile_symbolic(
    request: &Request,
    symbols: &[String],
) -> (Session, Result<SymbolicProducts, Failure>) {
    let mut session = Session::default();
    let mut request = request.clone();
    for (n, symbol) in symbols.iter().enumerate() {
        request.options.dims.insert(symbol.clone(), EXAMPLE + n as u64);
        request.options.symbolic.insert(symbol.clone());
    }
    let result = run(&request, symbols, &mut session);
    (session, result)
}

fn run(
    request: &Request,
    symbols: &[String],
    session: &mut Session,
) -> Result<SymbolicProducts, Failure> {
    let modules = session.step(request, Stage::Parse, |s| sources::load(s, &request.source))?;

    let Lowered { program: lowered, .. } = session.step(request, Stage::Lower, |s| {
        let (lowered, found) = einmesh_lower::lower(&modules, &request.options);
        s.diagnostics.extend(found);
        let lowered = lowered.ok_or(Failure::Diagnosed)?;
        on_one_device(&lowered.directives, &mut s.diagnostics);
        Ok(lowered)
    })?;

    let Rewritten { program, .. } = session.step(request, Stage::Rewrite, |_| {
        Ok(einmesh_rewrite::rewrite(&lowered, &einmesh_rewrite::Options::default()))
    })?;
    let mut products = SymbolicProducts { lowered, program, graph: None, emitted: None };
    if request.goal < Goal::Plan {
        return Ok(products);
    }

    let graph = session.step(request, Stage::Schedule, |s| {
        let graph = einmesh_schedule::symbolic(&products.program, symbols).map_err(|why| {
            s.diagnostics.push(refused(&why));
            Failure::Diagnosed
        })?;
        Ok(orders::all(&products.lowered, symbols, graph))
    })?;
    if request.goal < Goal::Build {
        products.graph = Some(graph);
        return Ok(products);
    }

    let emitted = session.step(request, Stage::Codegen, |_| {
        einmesh_codegen::emit_symbolic(&graph, &codegen_options(request)).map_err(|bug| {
            Failure::Bug(CompilerBug { stage: Stage::Codegen, findings: vec![bug.to_string()] })
        })
    })?;
    products.graph = Some(graph);
    products.emitted = Some(emitted);
    Ok(products)
}

/// A mesh splits extents, and which parts are equal is not known.
fn on_one_device(directives: &Directives, diagnostics: &mut Diagnostics) {
    if directives.mesh.iter().any(|(_, size)| *size > 1) {
        diagnostics.push(
            Diagnostic::error(
                codes::NOT_CONSTANT,
                "a mesh is not possible while extents are known only when the program runs",
            )
            .help("give the extents"),
        );
    }
}

/// What needs known extents.
fn refused(why: &Unsupported) -> Diagnostic {
    let mut error = Diagnostic::error(codes::NOT_CONSTANT, why.to_string());
    if let Some(span) = why.origin.span {
        error = error.at(span, "this needs extents that are known when compiling");
    }
    error.help("give the extents")
}

impl Inspect for SymbolicGraph {
    fn dump(&self) -> String {
        self.to_string()
    }
}

impl Inspect for SymbolicEmitted {
    fn dump(&self) -> String {
        listed(&self.listings)
    }
}
