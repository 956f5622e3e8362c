//! `einmesh build`

use super::plan::collective_table;
use super::{Stop, compiled, plural, print, stages_ms};
use crate::args::{Compile, Target};
use crate::terminal::Terminal;
use einmesh_driver::{Goal, Level, Source};
use einmesh_exec::command::bytes;
use serde_json::json;
use std::path::Path;

/// Compiles an entry to an artifact.
pub fn build(
    compile: &Compile,
    target: Target,
    output: &Path,
    json: bool,
    terminal: &Terminal,
) -> Result<(), Stop> {
    let Target::Cpu = target;
    let source = Source::File(compile.file.clone());
    let (session, products) = compiled(
        source,
        &compile.entry,
        &compile.options,
        Goal::Build,
        Level::ALL.to_vec(),
        terminal,
    )?;
    let artifact = products.artifact.expect("the goal was an artifact");
    let name = output.display();
    artifact
        .write_file(output)
        .map_err(|why| Stop::Failed(format!("cannot write `{name}`: {why}")))?;
    let report = &artifact.manifest.report;
    if json {
        let object = json!({
            "artifact": name.to_string(),
            "collectives": report.collectives,
            "peak_bytes_per_device": report.peak_bytes_per_device,
            "stages_ms": stages_ms(&session),
        });
        return print(&format!("{object}\n"));
    }
    let total: f64 = session.timings.iter().map(|(_, t)| t.as_secs_f64()).sum();
    let devices: u64 = artifact.manifest.mesh.iter().map(|a| a.size).product();
    let kernels = artifact.manifest.kernels.len();
    eprintln!(
        "built {name}: {}, {}, in {:.0} ms",
        plural(devices, "device"),
        plural(kernels as u64, "kernel"),
        total * 1e3
    );
    eprint!("{}", collective_table(&report.collectives));
    eprintln!("peak memory: {} per device", bytes(report.peak_bytes_per_device));
    Ok(())
}
