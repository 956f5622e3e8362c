//! `einmesh explain`

use super::Stop;
use einmesh_diagnostics::codes;

/// Prints a code's explanation, or the list of all codes.
pub fn explain(code: Option<&str>) -> Result<(), Stop> {
    let Some(code) = code else {
        for explanation in codes::all() {
            println!("{}  {}", explanation.code, explanation.title);
        }
        return Ok(());
    };
    match codes::explain(code) {
        Some(explanation) => {
            println!(
                "{}: {}\n\n{}",
                explanation.code,
                explanation.title,
                explanation.text.trim()
            );
            Ok(())
        }
        None => Err(Stop::Usage(format!(
            "there is no code `{code}`; `einmesh explain` without one lists all"
        ))),
    }
}
