//! The mesh: names and sizes that make sense.

use einmesh_diagnostics::codes::plan as codes;
use einmesh_diagnostics::{Diagnostic, Diagnostics, Span};
use einmesh_ir::{Directives, Mesh, MeshAxisId};

use einmesh_diagnostics::suggest::nearest;

/// The most devices a mesh may have.
pub(crate) const MAX_DEVICES: u64 = 4096;

/// The mesh that the directives ask for, or `None` after reporting why there cannot be one.
pub(crate) fn resolve(directives: &Directives, found: &mut Diagnostics) -> Option<Mesh> {
    let mut fine = true;
    let mut devices: u64 = 1;
    let mut report = |d: Diagnostic, message: &str| {
        fine = false;
        found.push(place(d, directives.mesh_span, message));
    };
    for (position, (name, size)) in directives.mesh.iter().enumerate() {
        if directives.mesh[..position].iter().any(|(earlier, _)| earlier == name) {
            let message = format!("the mesh names its axis `{name}` twice");
            report(
                Diagnostic::error(codes::DUPLICATE_MESH_AXIS, message),
                "give each its own name",
            );
        }
        if *size == 0 {
            let message = format!("mesh axis `{name}` has no devices");
            let error = Diagnostic::error(codes::MESH_SIZE, message)
                .help(format!("`{name}: 1` is an axis that splits nothing"));
            report(error, "a size of 0");
        }
        devices = devices.saturating_mul(*size);
    }
    if devices > MAX_DEVICES {
        let sizes: Vec<String> = directives.mesh.iter().map(|(_, s)| s.to_string()).collect();
        let message = format!("the mesh has {devices} devices; {MAX_DEVICES} is the most");
        let error = Diagnostic::error(codes::MESH_SIZE, message)
            .note(format!("{} = {devices}", sizes.join(" × ")));
        report(error, "too many devices");
    }
    fine.then(|| Mesh::new(directives.mesh.iter().map(|(name, size)| (name.as_str(), *size))))
}

/// The axis of this name; reports an unknown one.
pub(crate) fn axis(
    mesh: &Mesh,
    directives: &Directives,
    name: &str,
    decorator: &str,
    span: Option<Span>,
    found: &mut Diagnostics,
) -> Option<MeshAxisId> {
    let known = mesh.axis(name);
    if known.is_none() {
        let message =
            format!("`{decorator}` names mesh axis `{name}`, which the mesh does not have");
        let mut error = place(
            Diagnostic::error(codes::UNKNOWN_MESH_AXIS, message),
            span,
            &format!("no mesh axis is called `{name}`"),
        );
        if let Some(span) = directives.mesh_span {
            error = error.also(span, "the mesh");
        }
        let names: Vec<&str> = mesh.axes.values().map(|a| a.name.as_str()).collect();
        error = match nearest(name, names.iter().copied()) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None if names.is_empty() => error.help(format!("declare it: `@mesh({name}: 2)`")),
            None => {
                let all = names.join("`, `");
                error.help(format!(
                    "the mesh's axes are `{all}`; add `{name}: 1` to leave it unused"
                ))
            }
        };
        found.push(error);
    }
    known
}

/// Adds the place of a mistake where it is known (the command line has none).
pub(crate) fn place(d: Diagnostic, span: Option<Span>, message: &str) -> Diagnostic {
    match span {
        Some(span) => d.at(span, message),
        None => d,
    }
}

/// Adds a place that explains where it is known.
pub(crate) fn mention(d: Diagnostic, span: Option<Span>, message: &str) -> Diagnostic {
    match span {
        Some(span) => d.also(span, message),
        None => d,
    }
}
