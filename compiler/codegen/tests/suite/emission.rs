//! What holds for every artifact, whatever the kernels.

use crate::common::make::*;
use einmesh_codegen::{Emitted, Level, Options, TargetKind, Wanted, emit};
use einmesh_ir::{DType, UnaryOp};
use einmesh_schedule::KernelGraph;
use einmesh_schedule::kernel::{Contraction, Kernel};

fn kernels() -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for n in 1..12 {
        let mut m = make(&format!("exp {n}"));
        let (x, out) = (m.read(DType::F32, &[n, 33]), m.write(DType::F32, &[n, 33]));
        let (i, j) = (m.index(n), m.index(33));
        let body = einmesh_ir::Expr::unary(UnaryOp::Exp, load(x, &[i, j]));
        kernels.push(m.nest(&[i], vec![map(&[j], body, to(out, &[i, j]))]));
        let mut m = make(&format!("matmul {n}"));
        let (a, b) = (m.read(DType::F32, &[40 * n, 64]), m.read(DType::F32, &[64, 48]));
        let out = m.write(DType::F32, &[40 * n, 48]);
        let acc = m.local(DType::F32, &[]);
        let (i, j, k) = (m.index(40 * n), m.index(48), m.index(64));
        kernels.push(m.contraction(Contraction {
            batch: vec![],
            m: vec![i],
            n: vec![j],
            k: vec![k],
            lhs: load(a, &[i, k]),
            rhs: load(b, &[k, j]),
            accumulator: DType::F32,
            acc,
            epilogue: load(acc, &[]),
            target: to(out, &[i, j]),
        }));
    }
    kernels
}

fn compiled(kernels: Vec<Kernel>, threads: usize, wanted: Wanted) -> Emitted {
    let graph = KernelGraph { kernels, ..KernelGraph::default() };
    let options = Options {
        target: TargetKind::Cpu(vec![Level::X86_64V4, Level::X86_64V3]),
        threads,
        wanted,
        ..Options::default()
    };
    emit(&graph, &options).unwrap_or_else(|bug| panic!("{bug}"))
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let one = compiled(kernels(), 1, Wanted::default());
    let four = compiled(kernels(), 4, Wanted::default());
    assert_eq!(one.images, four.images);
    assert_eq!(one.kernels, four.kernels);
}

#[test]
fn images_are_whole_pages_without_foreign_calls() {
    let emitted = compiled(kernels(), 2, Wanted::default());
    assert_eq!(emitted.images.len(), 2);
    assert_eq!(emitted.images[0].0.level, "x86-64-v4");
    assert_eq!(emitted.images[1].0.level, "x86-64-v3");
    for (n, (image, bytes)) in emitted.images.iter().enumerate() {
        assert!(image.text > 0 && image.text % 4096 == 0 && image.rodata % 4096 == 0);
        assert_eq!(bytes.len() as u64, image.text + image.rodata);
        assert_eq!(image.sha256.len(), 64);
        for kernel in &emitted.kernels {
            for phase in &kernel.phases[n] {
                assert!(phase.entry < image.text, "{}", kernel.name);
                assert!(phase.tiles > 0, "{}", kernel.name);
            }
        }
    }
}

#[test]
fn listings_show_every_form() {
    let wanted = Wanted { mlir: true, llvm: true, asm: true };
    let emitted = compiled(kernels().split_off(20), 1, wanted);
    let find = |form: &str, level: &str, what: &str| {
        let listing = emitted.listings.iter().find(|l| l.form == form && l.level == level);
        let text = &listing.unwrap_or_else(|| panic!("no {form} for {level}")).text;
        assert!(text.contains(what), "{form} for {level} has no {what}:\n{text}");
    };
    find("mlir", "x86-64-v4", "llvm.cond_br");
    find("llvm", "x86-64-v4", "<16 x float>");
    find("asm", "x86-64-v4", "zmm");
    find("llvm", "x86-64-v3", "<8 x float>");
    find("asm", "x86-64-v3", "vfmadd");
}

#[test]
fn no_kernels_are_fine() {
    let emitted = compiled(vec![], 2, Wanted::default());
    assert_eq!(emitted.images.len(), 2);
    assert!(emitted.kernels.is_empty());
}

#[test]
fn malformed_kernels_are_reported_as_bugs() {
    let mut m = make("sort");
    let (input, output) = (m.read(DType::F32, &[4]), m.write(DType::I32, &[4]));
    let graph =
        KernelGraph { kernels: vec![m.argsort(input, output, 1)], ..KernelGraph::default() };
    let bug = emit(&graph, &Options::default()).expect_err("there is no second dim");
    let text = bug.to_string();
    assert!(text.contains("argsort") && text.contains("x86-64-v3"), "{text}");
}
