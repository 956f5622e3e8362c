//! The times of a run by step, for people and for programs.

use super::table::align;
use crate::session::StepTime;
use std::time::Duration;

/// One line per kernel, copy or collective, the longest first; times and counts are per run.
pub fn table(times: &[StepTime], runs: usize) -> String {
    let total: Duration = times.iter().map(|t| t.time).sum();
    let mut rows = vec![["ms", "share", "times", "step"].map(str::to_owned)];
    for step in times {
        let share = step.time.as_secs_f64() / total.as_secs_f64().max(f64::MIN_POSITIVE);
        rows.push([
            format!("{:.3}", milliseconds(step, runs)),
            format!("{:.1}%", share * 100.0),
            (step.count / runs.max(1) as u64).to_string(),
            step.what.clone(),
        ]);
    }
    align(&rows)
}

/// The same as a list of objects.
pub fn json(times: &[StepTime], runs: usize) -> serde_json::Value {
    let object = |step: &StepTime| {
        serde_json::json!({
            "step": step.what,
            "ms": milliseconds(step, runs),
            "count": step.count / runs.max(1) as u64,
        })
    };
    times.iter().map(object).collect()
}

fn milliseconds(step: &StepTime, runs: usize) -> f64 {
    step.time.as_secs_f64() * 1e3 / runs.max(1) as f64
}
