//! The formatter: the same tokens, with white space in order.
//!
//! Like gofmt it keeps what the author decides and a program cannot: where lines break within a
//! statement, which blocks stand on one line, blank lines (one at most), and which `=` and comments
//! stand in a column. Everything else, it sets: indentation, spaces, one statement a line, the width.
//! Since tokens are only moved, the tree stays the same; comments are tokens, so none is lost.
//!
//! Formatting what was formatted changes nothing. Each decision reads only what it keeps itself:
//! breaks within statements, equal columns, the column of a comment.

mod align;
mod breaks;
mod layout;
mod outline;
mod spacing;

use crate::parse;
use einmesh_diagnostics::{Diagnostics, FileId};
use outline::Outline;

/// The width that lines are broken at, comments at their ends not counted.
pub const WIDTH: usize = 140;

/// Formats a file's text; the mistakes (in `FileId(0)`) if it does not parse.
pub fn format(text: &str) -> Result<String, Diagnostics> {
    let (tree, diagnostics) = parse(FileId(0), text);
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let mut outline = Outline::new(text, &tree);
    let lines = loop {
        let lines = layout::lines(&outline);
        // The result is laid out as if the author had broken it this way, which is why formatting it
        // again changes nothing.
        if !outline.open_wide_blocks(&lines) && !outline.cut_wide_lines(&lines) {
            break lines;
        }
    };
    Ok(align::render(&outline, lines))
}
