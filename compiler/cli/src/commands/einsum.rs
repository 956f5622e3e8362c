//! `einmesh einsum`

use super::{Stop, compiled, levels_here, plural, print, stages_ms};
use crate::args::{CompileOptions, Einsum as Arguments};
use crate::terminal::Terminal;
use einmesh_driver::{Goal, Source};
use einmesh_exec::tensors::{ElementType, Tensor, npy};
use einmesh_exec::{Module, Options, Session};
use einmesh_syntax::einsum::Einsum;
use serde_json::json;
use std::time::Instant;

/// Computes one einsum of `.npy` files.
pub fn einsum(arguments: &Arguments, terminal: &Terminal) -> Result<(), Stop> {
    let einsum = Einsum::parse(&arguments.expression).map_err(Stop::Usage)?;
    let operands = arguments
        .operands
        .iter()
        .map(|path| npy::read(path).map_err(|e| Stop::Failed(e.to_string())))
        .collect::<Result<Vec<Tensor>, Stop>>()?;
    let shapes: Vec<Vec<u64>> = operands.iter().map(|o| o.shape.clone()).collect();
    let extents = einsum.extents(&shapes).map_err(Stop::Usage)?;
    let dtype = common_type(&operands)?;
    let text = einsum.program(&extents, dtype.name());
    let source = Source::Text { name: "einsum".to_owned(), text };
    let options =
        CompileOptions { placement: arguments.placement.clone(), ..CompileOptions::default() };
    let levels = levels_here()?;
    let (session, products) = compiled(source, "einsum", &options, Goal::Build, levels, terminal)?;
    let artifact = products.artifact.expect("the goal was an artifact");
    let failed = |e: einmesh_exec::RunError| Stop::Failed(e.to_string());
    let mut running = Options::default();
    if let Some(threads) = arguments.threads {
        running.threads = threads as usize;
    }
    let mut machine =
        Session::new(Module::load(&artifact).map_err(failed)?, running).map_err(failed)?;
    for (position, operand) in operands.iter().enumerate() {
        machine.bind(position, &operand.value()).map_err(failed)?;
    }
    let mut run_ms = Vec::new();
    for _ in 0..arguments.repeat {
        let start = Instant::now();
        machine.run().map_err(failed)?;
        run_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let result = machine.output(0).map_err(failed)?;
    if let Some(path) = &arguments.output {
        npy::write(path, &result)
            .map_err(|e| Stop::Failed(format!("cannot write `{}`: {e}", path.display())))?;
    }
    if arguments.json {
        let object = json!({
            "shape": result.shape,
            "dtype": result.dtype.name(),
            "stages_ms": stages_ms(&session),
            "collectives": products.collectives,
            "run_ms": run_ms,
        });
        return print(&format!("{object}\n"));
    }
    let best = run_ms.iter().copied().fold(f64::INFINITY, f64::min);
    let runs = plural(run_ms.len() as u64, "run");
    eprintln!("{}: {runs}, the fastest {best:.2} ms", arguments.expression);
    if arguments.output.is_none() {
        let table = einmesh_exec::command::table(&[("out".to_owned(), result)]);
        print(&table)?;
    }
    Ok(())
}

/// The one element type of all operands.
fn common_type(operands: &[Tensor]) -> Result<ElementType, Stop> {
    let first = operands[0].dtype;
    match operands.iter().find(|o| o.dtype != first) {
        None => Ok(first),
        Some(other) => Err(Stop::Usage(format!(
            "the operands are {} and {}; convert them to one type",
            first.name(),
            other.dtype.name()
        ))),
    }
}
