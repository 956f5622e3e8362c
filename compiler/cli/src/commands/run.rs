//! `einmesh run`

use super::{Stop, compiled, levels_here, stages_ms};
use crate::args::{Backend, Run};
use crate::interpreted;
use crate::terminal::Terminal;
use einmesh_artifact::Artifact;
use einmesh_driver::{Goal, Source};
use einmesh_exec::command;
use serde_json::Map;

/// Compiles and runs an entry, or runs an artifact.
pub fn run(arguments: &Run, terminal: &Terminal) -> Result<(), Stop> {
    let failed = |e: command::CommandError| Stop::Failed(e.to_string());
    if arguments.file.extension().is_some_and(|e| e == "einpkg") {
        refuse_compile_options(arguments)?;
        let artifact =
            Artifact::read_file(&arguments.file).map_err(|e| Stop::Failed(e.to_string()))?;
        command::check_entry(&artifact.manifest, arguments.entry.as_deref()).map_err(failed)?;
        let outcome = command::run(&artifact, &arguments.run).map_err(failed)?;
        return command::present(&artifact.manifest, &outcome, &arguments.run, Map::new())
            .map_err(failed);
    }
    let Some(entry) = &arguments.entry else {
        return Err(Stop::Usage("`--entry` says which exported function to run".to_owned()));
    };
    if arguments.backend == Backend::Interp {
        let given = [
            ("--threads", arguments.run.threads.is_some()),
            ("--timeout", arguments.run.timeout.is_some()),
            ("--profile", arguments.run.profile),
        ];
        if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
            let message = format!("`{name}` has no effect on the interpreter; leave it out");
            return Err(Stop::Usage(message));
        }
    }
    let source = Source::File(arguments.file.clone());
    let (goal, levels) = match arguments.backend {
        Backend::Cpu => (Goal::Build, levels_here()?),
        Backend::Interp => (Goal::Plan, vec![]),
    };
    let (session, products) = compiled(source, entry, &arguments.options, goal, levels, terminal)?;
    let stages = Map::from_iter([("stages_ms".to_owned(), stages_ms(&session))]);
    let (manifest, outcome) = match &products.artifact {
        Some(artifact) => {
            let outcome = command::run(artifact, &arguments.run).map_err(failed)?;
            (artifact.manifest.clone(), outcome)
        }
        None => interpreted::run(entry, &products, &arguments.run)?,
    };
    command::present(&manifest, &outcome, &arguments.run, stages).map_err(failed)
}

/// An artifact is compiled already: options that say how would be ignored.
fn refuse_compile_options(arguments: &Run) -> Result<(), Stop> {
    let options = &arguments.options;
    let placement = &options.placement;
    let given = [
        ("-D", !options.define.is_empty()),
        ("--plan", placement.plan.is_some()),
        ("--mesh", placement.mesh.is_some()),
        ("--shard", placement.shard.is_some()),
        ("--fsdp", placement.fsdp.is_some()),
        ("--precision", placement.precision.is_some()),
        ("--tuning", options.tuning.is_some()),
        ("--emit", !options.emit.is_empty()),
        ("--time-passes", options.time_passes),
        ("--backend interp", arguments.backend == Backend::Interp),
    ];
    match given.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((name, _)) => Err(Stop::Usage(format!(
            "`{name}` has no effect on an artifact, which is compiled already; give it to `einmesh build`"
        ))),
    }
}
