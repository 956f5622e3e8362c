//! What is refused before parsing, so that hostile text costs neither memory nor stack.

use einmesh_diagnostics::{Diagnostic, FileId, Span, codes::syntax as codes};

/// The largest file, in bytes.
pub const MAX_FILE_BYTES: usize = 16 << 20;

/// The deepest nesting of brackets, braces and `else if`s.
pub const MAX_NESTING: usize = 256;

/// The longest item, in bytes. Pest needs some 150 bytes of memory for each.
pub const MAX_ITEM_BYTES: usize = 1 << 20;

/// Says what is too large in `text`, in one pass over its bytes.
pub(crate) fn check(file: FileId, text: &str) -> Option<Diagnostic> {
    if text.len() > MAX_FILE_BYTES {
        let message = format!(
            "the file has {} bytes; at most {MAX_FILE_BYTES} are read",
            text.len()
        );
        let start = Span {
            file,
            start: 0,
            end: 0,
        };
        return Some(
            Diagnostic::error(codes::FILE_TOO_LARGE, message)
                .at(start, "")
                .help("split it into several files and import them with `use`"),
        );
    }
    let at = too_deep(text.as_bytes())?;
    let message = format!("brackets are nested deeper than {MAX_NESTING}");
    let span = Span {
        file,
        start: at as u32,
        end: at as u32 + 1,
    };
    Some(
        Diagnostic::error(codes::NESTING, message)
            .at(span, format!("this is level {}", MAX_NESTING + 1))
            .help(
                "bind inner parts to names of their own; if a closing bracket is missing, add it",
            ),
    )
}

/// The bracket that opens one level too many, skipping comments and texts.
fn too_deep(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0usize, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'(' | b'[' | b'{' => {
                depth += 1;
                if depth > MAX_NESTING {
                    return Some(at);
                }
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'/' if bytes.get(at + 1) == Some(&b'/') => at = skip(bytes, at, |b| b == b'\n'),
            // A text ends at its quote, or at the end of the line if that is missing.
            b'"' => at = skip(bytes, at + 1, |b| b == b'"' || b == b'\n'),
            _ => {}
        }
        at += 1;
    }
    None
}

fn skip(bytes: &[u8], from: usize, until: impl std::ops::Fn(u8) -> bool) -> usize {
    from + bytes[from..]
        .iter()
        .position(|b| until(*b))
        .unwrap_or(bytes.len() - from)
}
