//! The pipeline: from source text to artifact, top to bottom.

use crate::products::Products;
use crate::request::{Goal, Request};
use crate::session::{CompilerBug, Failure, Inspect, Session};
use crate::sources;
use crate::stage::Stage;
use einmesh_artifact::{Artifact, CollectiveRow, FORMAT, Manifest, MeshAxis, Report};
use einmesh_codegen::{Emitted, Listing, TargetKind, Wanted};
use einmesh_diagnostics::{SourceMap, Span};
use einmesh_ir::{Directives, Mesh, Program, SpmdProgram, text, verify};
use einmesh_lower::{Lowered, Modules};
use einmesh_plan::Plan;
use einmesh_rewrite::Rewritten;
use einmesh_schedule::KernelGraph;

/// Compiles an entry as far as the request's goal. The session holds diagnostics, timings and
/// dumps, whatever the result.
pub fn compile(request: &Request) -> (Session, Result<Products, Failure>) {
    let mut session = Session::default();
    let result = run(request, &mut session);
    (session, result)
}

fn run(request: &Request, session: &mut Session) -> Result<Products, Failure> {
    let modules = session.step(request, Stage::Parse, |s| sources::load(s, &request.source))?;

    let Lowered { program: lowered, directives, signature } =
        session.step(request, Stage::Lower, |s| {
            let (lowered, found) = einmesh_lower::lower(&modules, &request.options);
            s.diagnostics.extend(found);
            lowered.ok_or(Failure::Diagnosed)
        })?;

    let Rewritten { program, .. } = session.step(request, Stage::Rewrite, |_| {
        Ok(einmesh_rewrite::rewrite(&lowered, &einmesh_rewrite::Options::default()))
    })?;

    let Planned { plan, .. } = session.step(request, Stage::Plan, |s| {
        let (plan, found) = einmesh_plan::plan(&program, &directives);
        s.diagnostics.extend(found);
        Ok(Planned { plan, program: &program })
    })?;

    let spmd =
        session.step(request, Stage::Spmd, |_| Ok(einmesh_spmd::partition(&program, &plan)))?;
    let rows = einmesh_spmd::report::collectives(&spmd);
    let mut products = Products {
        signature,
        lowered,
        program,
        plan,
        spmd,
        collectives: manifest_rows(&rows, &session.sources),
        graph: None,
        artifact: None,
    };
    if request.goal < Goal::Plan {
        return Ok(products);
    }

    let graph = session.step(request, Stage::Schedule, |s| {
        let options = schedule_options(&products.spmd.mesh, &directives);
        let mut graph = einmesh_schedule::schedule(&products.spmd, &options);
        name_dims(&mut graph, &products.program);
        s.diagnostics.extend(einmesh_spmd::budget::check_budgets(
            &rows,
            graph.peak_bytes,
            &directives,
        ));
        Ok(graph)
    })?;
    if request.goal < Goal::Build {
        products.graph = Some(graph);
        return Ok(products);
    }

    let emitted = session.step(request, Stage::Codegen, |_| {
        let options = codegen_options(request);
        einmesh_codegen::emit(&graph, &options).map_err(|bug| {
            Failure::Bug(CompilerBug { stage: Stage::Codegen, findings: vec![bug.to_string()] })
        })
    })?;

    let artifact = session.step(request, Stage::Artifact, |_| {
        let rows = products.collectives.clone();
        Ok(assemble(&request.options.entry, &products.spmd.mesh, graph.clone(), emitted, rows))
    })?;
    products.graph = Some(graph);
    products.artifact = Some(artifact);
    Ok(products)
}

/// The communication, as the manifest reports it.
fn manifest_rows(
    rows: &[einmesh_spmd::report::CollectiveRow],
    sources: &SourceMap,
) -> Vec<CollectiveRow> {
    let rows = rows.iter().cloned();
    rows.map(|row| CollectiveRow {
        op: row.op.to_owned(),
        axes: row.axes,
        group_size: row.group_size,
        count: row.count,
        payload_bytes: row.payload_bytes,
        wire_bytes: row.wire_bytes,
        source: row.origin.span.map_or_else(String::new, |span| place(sources, span)),
        index: row.index,
        decorator: row.decorator,
    })
    .collect()
}

/// Gives the signature's dims the names that the user knows: those of a device's dims say what is left
/// of them, such as `F_128`.
fn name_dims(graph: &mut KernelGraph, program: &Program) {
    let inputs = program.inputs.iter().map(|i| i.value);
    let outputs = program.outputs.iter().map(|o| o.value);
    let signature = graph.inputs.iter_mut().map(|i| &mut i.dims);
    let signature = signature.chain(graph.outputs.iter_mut().map(|o| &mut o.dims));
    for (value, dims) in inputs.chain(outputs).zip(signature) {
        for (id, dim) in program.values[value].dims.iter().zip(dims) {
            dim.name.clone_from(&program.dims[*id].name);
        }
    }
}

/// `file:line:column`, without directories: an artifact does not depend on where it was built.
fn place(sources: &SourceMap, span: Span) -> String {
    let location = sources.location(span);
    let start = location.rfind(['/', std::path::MAIN_SEPARATOR]);
    location[start.map_or(0, |i| i + 1)..].to_owned()
}

/// Puts schedule and code into one file.
pub fn assemble(
    entry: &str,
    mesh: &Mesh,
    graph: KernelGraph,
    emitted: Emitted,
    collectives: Vec<CollectiveRow>,
) -> Artifact {
    let axes = mesh.axes.values();
    let (images, blobs) = emitted.images.into_iter().unzip();
    let manifest = Manifest {
        format: FORMAT,
        producer: concat!("einmesh ", env!("CARGO_PKG_VERSION")).to_owned(),
        entry: entry.to_owned(),
        mesh: axes.map(|a| MeshAxis { name: a.name.clone(), size: a.size }).collect(),
        inputs: graph.inputs,
        outputs: graph.outputs,
        buffers: graph.buffers,
        arena_bytes: graph.arena_bytes,
        loops: graph.loops,
        steps: graph.steps,
        kernels: emitted.kernels,
        images,
        report: Report { collectives, peak_bytes_per_device: graph.peak_bytes },
    };
    Artifact { manifest, images: blobs }
}

fn schedule_options(mesh: &Mesh, directives: &Directives) -> einmesh_schedule::Options {
    let prefetches =
        |name: &str| directives.fsdp.iter().any(|rule| rule.prefetch && rule.axis == name);
    let axes = mesh.axes.ids().filter(|axis| prefetches(&mesh.axes[*axis].name));
    einmesh_schedule::Options { prefetch: axes.collect() }
}

pub(crate) fn codegen_options(request: &Request) -> einmesh_codegen::Options {
    let dump = request.emit.contains(&Stage::Codegen);
    einmesh_codegen::Options {
        target: TargetKind::Cpu(request.levels.clone()),
        wanted: Wanted { mlir: dump, llvm: dump, asm: dump },
        tuning: request.tuning.clone(),
        ..Default::default()
    }
}

/// A manifest without code: the signature and the report, to run the program by other means.
pub fn interface(entry: &str, products: &Products) -> Manifest {
    let graph = products.graph.clone().unwrap_or_default();
    let rows = products.collectives.clone();
    assemble(entry, &products.spmd.mesh, graph, Emitted::default(), rows).manifest
}

/// A plan with the program it speaks of, to print it.
struct Planned<'a> {
    plan: Plan,
    program: &'a Program,
}

/// The texts of code generation, one after the other.
pub(crate) fn listed(listings: &[Listing]) -> String {
    listings.iter().map(|l| format!("// {} for {}\n{}", l.form, l.level, l.text)).collect()
}

fn texts(violations: Vec<verify::Violation>) -> Vec<String> {
    violations.into_iter().map(|v| v.to_string()).collect()
}

impl Inspect for Modules {
    fn dump(&self) -> String {
        format!("{self:#?}")
    }
}

impl Inspect for Lowered {
    fn violations(&self) -> Vec<String> {
        texts(verify::verify(&self.program))
    }
    fn dump(&self) -> String {
        text::print(&self.program)
    }
}

impl Inspect for Rewritten {
    fn violations(&self) -> Vec<String> {
        texts(verify::verify(&self.program))
    }
    fn dump(&self) -> String {
        format!("{}\n{}", self.report, text::print(&self.program))
    }
}

impl Inspect for Planned<'_> {
    fn violations(&self) -> Vec<String> {
        einmesh_spmd::check(self.program, &self.plan)
    }
    fn dump(&self) -> String {
        einmesh_plan::report::report(self.program, &self.plan).to_string()
    }
}

impl Inspect for SpmdProgram {
    fn violations(&self) -> Vec<String> {
        let mut all = texts(verify::verify_spmd(self));
        all.extend(einmesh_spmd::verify_collectives(self).into_iter().map(|v| v.to_string()));
        all
    }
    fn dump(&self) -> String {
        text::print_spmd(self)
    }
}

impl Inspect for KernelGraph {
    fn dump(&self) -> String {
        self.to_string()
    }
}

impl Inspect for Emitted {
    fn dump(&self) -> String {
        listed(&self.listings)
    }
}

impl Inspect for Artifact {
    fn violations(&self) -> Vec<String> {
        einmesh_artifact::validate(self).into_iter().map(|f| f.to_string()).collect()
    }
    fn dump(&self) -> String {
        serde_json::to_string_pretty(&self.manifest).unwrap_or_else(|error| error.to_string())
    }
}
