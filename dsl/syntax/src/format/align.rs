//! Columns: `=`, `as`, the braces of records, and comments at the ends of lines.
//!
//! What stood in one column stays in one. A column of `=` is moved to where its widest left side ends;
//! a comment keeps its place unless the code needs it.

use super::layout::Line;
use super::outline::{Bracket, Outline, Start};
use crate::lex::Kind;
use std::collections::BTreeMap;

/// The text of a file's lines.
pub(super) fn render(outline: &Outline<'_>, lines: Vec<Line>) -> String {
    let mut rows: Vec<Row> = lines.into_iter().map(|line| row(outline, line)).collect();
    align_anchors(&mut rows);
    align_comments(&mut rows);
    let mut out = String::new();
    for row in &rows {
        if row.blank {
            out.push('\n');
        }
        let code = row.code();
        let start = out.len();
        out.push_str(&code);
        if let Some(comment) = &row.comment {
            let width = code.chars().count();
            out.extend(std::iter::repeat_n(' ', comment.column.saturating_sub(width)));
            out.push_str(&comment.text);
        }
        out.truncate(start + out[start..].trim_end().len());
        out.push('\n');
    }
    out
}

/// A line as text.
struct Row {
    blank: bool,
    /// Indentation and code, up to the anchor.
    head: String,
    anchor: Option<Anchor>,
    comment: Option<Comment>,
    /// Whether it is a line of a statement that an earlier line started.
    goes_on: bool,
    indent: usize,
}

/// The token of a line that others stand above and below.
struct Anchor {
    /// What it is: only equal kinds share a column.
    kind: AnchorKind,
    /// Its column in the source, from the start of the statement.
    source: usize,
    /// Spaces before it.
    padding: usize,
    /// It and the code after it.
    tail: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum AnchorKind {
    Assign,
    As,
    Record,
}

/// A comment at the end of a line.
struct Comment {
    text: String,
    /// Its column.
    column: usize,
}

impl Row {
    fn code(&self) -> String {
        match &self.anchor {
            Some(anchor) => format!("{}{}{}", self.head, " ".repeat(anchor.padding), anchor.tail),
            None => self.head.clone(),
        }
    }

    /// The width of the code before the anchor, without indentation.
    fn head_width(&self) -> usize {
        self.head.chars().count() - self.indent
    }
}

fn row(o: &Outline<'_>, line: Line) -> Row {
    let at = find_anchor(o, &line);
    let first = line.tokens.start;
    let mut head = " ".repeat(line.indent);
    let mut tail = String::new();
    let mut comment = None;
    for (i, token) in line.tokens.clone().enumerate() {
        let word = o.word(token).trim_end();
        let trailing = o.tokens[token].kind == Kind::Comment && i > 0;
        if trailing {
            comment = Some(Comment { text: word.to_string(), column: o.source_column(token) });
        }
        if o.dropped[token] || trailing {
            continue;
        }
        let out = if at.is_some_and(|at| token >= at) { &mut tail } else { &mut head };
        if line.spaces[i] && Some(token) != at {
            out.push(' ');
        }
        out.push_str(word);
        if o.comma[token] {
            out.push(',');
        }
    }
    let anchor = at.map(|at| Anchor {
        kind: anchor_kind(o, at),
        source: o.source_distance(first, at),
        padding: 1,
        tail,
    });
    Row { blank: line.blank, head, anchor, comment, goes_on: !line.is_first, indent: line.indent }
}

fn anchor_kind(o: &Outline<'_>, at: usize) -> AnchorKind {
    match o.word(at) {
        "as" => AnchorKind::As,
        "{" => AnchorKind::Record,
        _ => AnchorKind::Assign,
    }
}

/// The assignment of a statement, the `as` or initialiser of a field that has its line to itself, or
/// the brace of a record; if it is on the statement's first line in the source too.
fn find_anchor(o: &Outline<'_>, line: &Line) -> Option<usize> {
    let first = line.tokens.start;
    if !line.is_first || o.tokens[first].kind == Kind::Comment {
        return None;
    }
    let outside = |at: usize| line.depths[at - first] == 0;
    let mut found = line.tokens.clone().filter(|at| outside(*at));
    let at = match o.starts[first] {
        Start::Item { .. } if o.is(first, "record") => {
            found.find(|at| o.brackets[*at] == Bracket::Fields)?
        }
        Start::Item { .. } => return None,
        Start::Stmt | Start::Decorated if matches!(o.word(first), "for" | "while" | "if" | "@") => {
            return None;
        }
        Start::Stmt | Start::Decorated => found.find(|at| o.assigns(*at))?,
        Start::Nothing if matches!(o.word(first), "}" | "else") => return None,
        Start::Nothing => {
            let several = line
                .tokens
                .clone()
                .any(|at| outside(at) && o.is(at, ",") && o.starts_field_after(at, line));
            if several {
                return None;
            }
            found.find(|at| o.is(*at, "=") || o.is(*at, "as"))?
        }
    };
    let same_line = (first + 1..=at).all(|i| !o.tokens[i].first);
    same_line.then_some(at)
}

impl Outline<'_> {
    /// Whether a comma of a line is followed by a field on the same line.
    fn starts_field_after(&self, comma: usize, line: &Line) -> bool {
        comma + 1 < line.tokens.end && self.tokens[comma + 1].kind != Kind::Comment
    }
}

/// Aligns the anchors of each run of neighbouring statements.
fn align_anchors(rows: &mut [Row]) {
    let mut start = 0;
    while start < rows.len() {
        let Some(anchor) = &rows[start].anchor else {
            start += 1;
            continue;
        };
        let (kind, indent) = (anchor.kind, rows[start].indent);
        let mut run = vec![start];
        let mut next = start + 1;
        while next < rows.len() && !rows[next].blank {
            match &rows[next].anchor {
                Some(anchor) if anchor.kind == kind && rows[next].indent == indent => {
                    run.push(next)
                }
                None if rows[next].goes_on => {}
                _ => break,
            }
            next += 1;
        }
        align_run(rows, &run);
        start = next;
    }
}

/// Aligns what stood in one column. A line that is padded and stands in no column, since it was edited,
/// joins the largest one.
fn align_run(rows: &mut [Row], run: &[usize]) {
    let mut columns: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in run {
        let Some(anchor) = &rows[*at].anchor else {
            continue;
        };
        columns.entry(anchor.source).or_default().push(*at);
    }
    let is_padded = |at: usize| {
        rows[at].anchor.as_ref().is_some_and(|anchor| anchor.source > rows[at].head_width() + 1)
    };
    let (mut groups, alone): (Vec<Vec<usize>>, Vec<Vec<usize>>) =
        columns.into_values().partition(|lines| lines.len() > 1);
    let edited: Vec<usize> = alone.into_iter().flatten().filter(|at| is_padded(*at)).collect();
    // The first of the largest ones: `max_by_key` would take the last.
    match groups.iter_mut().rev().max_by_key(|lines| lines.len()) {
        Some(largest) => largest.extend(edited),
        None => groups.push(edited),
    }
    for group in groups {
        let widest = group.iter().map(|at| rows[*at].head_width()).max().unwrap_or(0);
        for at in group {
            let padding = widest + 1 - rows[at].head_width();
            if let Some(anchor) = &mut rows[at].anchor {
                anchor.padding = padding;
            }
        }
    }
}

/// Comments keep their column, if the code ends two columns before it; those of neighbouring lines that
/// share a column move together.
fn align_comments(rows: &mut [Row]) {
    let mut start = 0;
    while start < rows.len() {
        let column = rows[start].comment.as_ref().map(|comment| comment.column);
        let mut end = start + 1;
        if let Some(column) = column {
            let same =
                |row: &Row| !row.blank && row.comment.as_ref().is_some_and(|c| c.column == column);
            while end < rows.len() && same(&rows[end]) {
                end += 1;
            }
            let widest =
                rows[start..end].iter().map(|row| row.code().chars().count()).max().unwrap_or(0);
            for row in &mut rows[start..end] {
                if let Some(comment) = &mut row.comment {
                    comment.column = column.max(widest + 2);
                }
            }
        }
        start = end;
    }
}
