//! Machine code as assembly text: the bytes of an image under a name of its own.

use einmesh_artifact::CodeImage;
use std::fmt::Write;

/// Bytes of a stub.
const STUB: usize = 8;

/// An image as it is put into the user's crate.
pub struct Embedded {
    /// The symbol of its first byte. It is made of the code's hash, so that equal code has one name.
    pub symbol: String,
    /// Its size in bytes.
    pub bytes: usize,
    /// For `global_asm!` with `options(att_syntax, raw)`.
    pub assembly: String,
}

/// Writes an image as assembly text.
///
/// Every reference within an image is relative and already resolved. What it calls of the C library it calls by
/// stubs, which become jumps that the linker resolves. Equal images of several crates and codegen units are kept once: the
/// section is a COMDAT group, and within a unit the first definition hides the others.
pub fn embed(code: &CodeImage, bytes: &[u8]) -> Embedded {
    let symbol = format!("einmesh_{}", &code.sha256[..32]);
    let (stubs, count) = (code.stubs as usize, code.imports.len());
    let mut text = String::with_capacity(bytes.len() * 3);
    let _ = write!(
        text,
        ".ifndef {symbol}\n.pushsection .text.{symbol},\"axG\",@progbits,{symbol},comdat\n.balign 64\n\
         .weak {symbol}\n.hidden {symbol}\n.type {symbol},@function\n{symbol}:\n"
    );
    write_bytes(&mut text, &bytes[..stubs]);
    for import in &code.imports {
        let _ = write!(text, "jmp {import}@PLT\n.balign {STUB}, 0xcc\n");
    }
    write_bytes(&mut text, &bytes[stubs + STUB * count..]);
    let _ = write!(text, ".size {symbol}, .-{symbol}\n.popsection\n.endif\n");
    Embedded { symbol, bytes: bytes.len(), assembly: text }
}

/// Bytes as numbers of eight, and repetitions as what they are: pages are filled up with one byte.
fn write_bytes(text: &mut String, bytes: &[u8]) {
    const LINE: usize = 8;
    let mut words = bytes.chunks(8).peekable();
    while let Some(word) = words.next() {
        let mut same = 1;
        while words.next_if_eq(&word).is_some() {
            same += 1;
        }
        let Ok(eight) = <[u8; 8]>::try_from(word) else {
            for byte in word {
                let _ = writeln!(text, ".byte {byte}");
            }
            continue;
        };
        let number = u64::from_le_bytes(eight);
        if same > LINE {
            let _ = writeln!(text, ".rept {same}\n.quad {number:#x}\n.endr");
            continue;
        }
        for _ in 0..same {
            let _ = writeln!(text, ".quad {number:#x}");
        }
    }
}
