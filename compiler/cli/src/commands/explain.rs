//! `einmesh explain`

use super::{Stop, print};
use einmesh_diagnostics::codes;

/// Prints a code's explanation, or the list of all codes.
pub fn explain(code: Option<&str>) -> Result<(), Stop> {
    let Some(code) = code else {
        let all = codes::all();
        let lines = all.iter().map(|e| format!("{}  {}\n", e.code, e.title));
        return print(&lines.collect::<String>());
    };
    match codes::explain(code) {
        Some(explanation) => print(&format!(
            "{}: {}\n\n{}\n",
            explanation.code,
            explanation.title,
            explanation.text.trim()
        )),
        None => Err(Stop::Usage(format!(
            "there is no code `{code}`; `einmesh explain` without one lists all"
        ))),
    }
}
