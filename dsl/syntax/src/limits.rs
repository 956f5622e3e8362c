//! What is refused before parsing, so that hostile text costs neither memory nor stack.

use einmesh_diagnostics::{Diagnostic, FileId, Span, codes::syntax as codes};

/// The largest file, in bytes.
pub const MAX_FILE_BYTES: usize = 16 << 20;

/// The deepest nesting of brackets, braces and `else if`s.
pub const MAX_NESTING: usize = 256;

/// The longest item, in bytes. Pest needs some 150 bytes of memory for each.
pub const MAX_ITEM_BYTES: usize = 1 << 20;

/// The most mistakes that are reported for one file, or within one item.
pub(crate) const MAX_MISTAKES: usize = 64;

/// Says what is too large in `text`, in one pass over its bytes.
pub(crate) fn check(file: FileId, text: &str) -> Option<Diagnostic> {
    if text.len() > MAX_FILE_BYTES {
        let message =
            format!("the file has {} bytes; at most {MAX_FILE_BYTES} are read", text.len());
        let start = Span { file, start: 0, end: 0 };
        return Some(
            Diagnostic::error(codes::FILE_TOO_LARGE, message)
                .at(start, "")
                .help("split it into several files and import them with `use`"),
        );
    }
    let at = too_deep(text.as_bytes())?;
    let message = format!("brackets are nested deeper than {MAX_NESTING}");
    let span = Span { file, start: at as u32, end: at as u32 + 1 };
    Some(
        Diagnostic::error(codes::NESTING, message)
            .at(span, format!("this is level {}", MAX_NESTING + 1))
            .help(
                "bind inner parts to names of their own; if a closing bracket is missing, add it",
            ),
    )
}

/// What is said of a chain of `else if` that is too long.
pub(crate) fn too_many_arms(at: Span) -> Diagnostic {
    let message = format!(
        "blocks are nested deeper than {MAX_NESTING}, each `else if` counting as one level"
    );
    Diagnostic::error(codes::NESTING, message)
        .at(at, "one too many")
        .help("split the chain into several shorter ones")
}

/// What is said of an item that is too long.
pub(crate) fn item_too_long(item: Span) -> Diagnostic {
    let bytes = item.end - item.start;
    let message = format!("this item has {bytes} bytes; at most {MAX_ITEM_BYTES} are read");
    Diagnostic::error(codes::ITEM_TOO_LONG, message)
        .at(Span { end: item.start, ..item }, "it starts here")
        .help("split it into several items")
}

/// What is said of an item that needs more of pest's time or stack than there is.
pub(crate) fn item_too_complex(item: Span) -> Diagnostic {
    Diagnostic::error(codes::ITEM_TOO_LONG, "this item is too complex to be read")
        .at(Span { end: item.start, ..item }, "it starts here")
        .help("split it into several items")
}

/// The bracket that opens one level too many, skipping comments and texts. Kinds of brackets are
/// counted apart, so that a `)` does not seem to close a `{`.
fn too_deep(bytes: &[u8]) -> Option<usize> {
    let (mut round, mut square, mut curly) = (0usize, 0usize, 0usize);
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'(' => round += 1,
            b'[' => square += 1,
            b'{' => curly += 1,
            b')' => round = round.saturating_sub(1),
            b']' => square = square.saturating_sub(1),
            b'}' => curly = curly.saturating_sub(1),
            b'/' if bytes.get(at + 1) == Some(&b'/') => at = skip(bytes, at, |b| b == b'\n'),
            // A text ends at its quote, or at the end of the line if that is missing.
            b'"' => at = skip(bytes, at + 1, |b| b == b'"' || b == b'\n'),
            _ => {}
        }
        if round + square + curly > MAX_NESTING {
            return Some(at);
        }
        at += 1;
    }
    None
}

fn skip(bytes: &[u8], from: usize, until: impl std::ops::Fn(u8) -> bool) -> usize {
    from + bytes[from..].iter().position(|b| until(*b)).unwrap_or(bytes.len() - from)
}
