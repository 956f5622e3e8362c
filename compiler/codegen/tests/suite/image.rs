//! Linking: imports by slots, and nothing else from outside.

use crate::common::{Guarded, Loaded};
use einmesh_artifact::Phase;
use einmesh_codegen::context::Mlir;
use einmesh_codegen::image::{Image, link};
use einmesh_codegen::pipeline::{Wanted, compile};
use einmesh_codegen::{CompilerBug, Level};
use melior::ir::Module;

/// The image of a function that calls another of the C library.
fn image(callee: &str, call: &str) -> Result<Image, CompilerBug> {
    let text = format!(
        "module {{
           llvm.func @{callee}(!llvm.ptr, !llvm.ptr, i64) -> !llvm.ptr
           llvm.func @phase(%a: !llvm.ptr, %b: !llvm.ptr, %c: !llvm.ptr, %d: !llvm.ptr, %e: i64, %f: i64) {{
             %r = llvm.call @{call}(%c, %d, %e) : (!llvm.ptr, !llvm.ptr, i64) -> !llvm.ptr
             llvm.return
           }}
         }}"
    );
    let mlir = Mlir::new();
    let module = Module::parse(&mlir.context, &text).expect("the module is well-formed");
    let machine = Level::X86_64V3.machine();
    let compiled = compile(&mlir, module, machine, Wanted::default())?;
    link("x86-64-v3", &[compiled.object])
}

#[test]
fn imports_go_through_slots() {
    let image = image("memmove", "memmove").expect("memmove may be called");
    assert_eq!(image.code.imports, ["memmove"]);
    let loaded = Loaded::new(&image.code, &image.bytes);
    let phase =
        Phase { entry: image.entries["phase"], tiles: 1, workspace_bytes: 16, scratch_bytes: 16 };
    let (to, from) = (Guarded::new(16, 64), Guarded::of(b"0123456789abcdef"));
    // SAFETY: the function copies the given number of bytes, which both have.
    unsafe { loaded.call(&phase, &[], &[], to.pointer(), from.pointer(), (10, 0)) };
    assert_eq!(&to.bytes()[..11], b"0123456789\0");
}

#[test]
fn other_functions_are_refused() {
    let bug = image("sinf", "sinf").expect_err("no image has a sine");
    assert!(bug.to_string().contains("`sinf`"), "{bug}");
}
