//! The nine programs of the language's design check, but for what is said to come later; and what of
//! them is complete lowers to programs that verify.

mod common;

use common::{from_file, from_text, lowered, options, repository};
use einmesh_lower::check;

/// The codes that checking a program gives, in order.
fn codes(path: &str) -> Vec<String> {
    let source = from_file(path);
    let diagnostics = check(&source.modules, &options("", ""));
    let rendered = source.rendered(&diagnostics);
    let mut codes: Vec<String> = diagnostics.iter().map(|d| d.code.to_string()).collect();
    codes.dedup();
    if codes.iter().any(|c| !c.starts_with("E059")) {
        panic!("{rendered}");
    }
    codes
}

#[test]
fn every_program_checks() {
    let none: [&str; 0] = [];
    assert_eq!(codes("models/std/prelude.ein"), none);
    assert_eq!(codes("tests/programs/std.ein"), none);
    assert_eq!(codes("tests/programs/gpt2.ein"), ["E0594"]);
    assert_eq!(codes("tests/programs/llama3.ein"), none);
    assert_eq!(codes("tests/programs/lora.ein"), none);
    assert_eq!(codes("tests/programs/mixtral.ein"), none);
    assert_eq!(codes("tests/programs/t5.ein"), none);
    assert_eq!(codes("tests/programs/train.ein"), ["E0593"]);
    assert_eq!(codes("tests/programs/decode.ein"), none);
    assert_eq!(codes("tests/programs/fragments.ein"), none);
}

#[test]
fn models_lower() {
    for (path, entry, defines) in [
        ("models/mlp.ein", "forward", "B=3"),
        ("models/mlp.ein", "loss", "B=3"),
        ("models/attention.ein", "forward", "B=2 T=5"),
        ("models/gpt2.ein", "forward", "B=2 T=8"),
        ("models/llama.ein", "forward", "B=2 T=8 W=bf16"),
        ("models/llama.ein", "loss", "B=2 T=8 tied=true"),
        ("models/bert.ein", "hidden", "B=2 T=8 W=bf16"),
        ("models/bert.ein", "embed", "B=2 T=8"),
        ("tests/programs/decode.ein", "generate", "B=2 T=5 L=2"),
        ("tests/programs/t5.ein", "loss", "B=2 S=5 T=4 L=2"),
        ("tests/programs/lora.ein", "step", "B=2 T=4 L=3 D=16 H=4 G=2 F=9 V=11 A=3"),
        ("tests/programs/mixtral.ein", "loss", "B=2 T=4 L=3 F=16 D=64"),
    ] {
        assert!(codes(path).is_empty());
        lowered(&from_file(path), &options(entry, defines));
    }
    // Without its plan, which asks for a pipeline.
    let path = repository().join("tests/programs/train.ein");
    let text = std::fs::read_to_string(path).expect("train.ein");
    let train = from_text("tests/programs/train.ein", text.split("plan pod").next().expect("text"));
    lowered(&train, &options("train_step", "B=2 T=4 M=3 L=2 D=6 H=3 V=11 P=5"));
    let gpt2 = from_file("models/gpt2.ein");
    for entry in ["forward", "loss"] {
        lowered(&gpt2, &options(entry, "B=2 T=4 P=6 V=11 D=6 H=2 F=8 L=3"));
    }
}

#[test]
fn size_does_not_grow_with_depth() {
    // Without its plan, which asks for a pipeline.
    let path = repository().join("tests/programs/train.ein");
    let text = std::fs::read_to_string(path).expect("train.ein");
    let train = from_text("tests/programs/train.ein", text.split("plan pod").next().expect("text"));
    lowered(&train, &options("train_step", "B=2 T=4 M=3 L=2 D=6 H=3 V=11 P=5"));
    let gpt2 = from_file("models/gpt2.ein");
    let ops = |layers: usize| {
        let options = options("forward", &format!("B=2 T=4 L={layers}"));
        lowered(&gpt2, &options).program.values.len()
    };
    assert_eq!(ops(2), ops(96));
}

#[test]
fn inputs_have_the_names_of_the_checkpoint() {
    // Without its plan, which asks for a pipeline.
    let path = repository().join("tests/programs/train.ein");
    let text = std::fs::read_to_string(path).expect("train.ein");
    let train = from_text("tests/programs/train.ein", text.split("plan pod").next().expect("text"));
    lowered(&train, &options("train_step", "B=2 T=4 M=3 L=2 D=6 H=3 V=11 P=5"));
    let gpt2 = from_file("models/gpt2.ein");
    let program = lowered(&gpt2, &options("forward", "B=2 T=4")).program;
    let fused = program
        .inputs
        .iter()
        .find(|i| i.path == "p.h.attn.c_attn.weight")
        .expect("the fused weight");
    assert_eq!(fused.tensor, "h.{}.attn.c_attn.weight");
    assert_eq!(fused.records, ["Conv1D", "Attn", "Block", "Params"]);
    assert_eq!(fused.axes, [1, 3]);
    assert_eq!(program.extents(fused.value), [12, 768, 3, 12, 64]);
    let names: Vec<&str> = program.inputs.iter().map(|i| i.tensor.as_str()).collect();
    assert_eq!(names[..2], ["wte.weight", "wpe.weight"]);
    assert_eq!(names.last(), Some(&"tokens"));
}

#[test]
fn plans_and_the_command_line_place() {
    // Without its plan, which asks for a pipeline.
    let path = repository().join("tests/programs/train.ein");
    let text = std::fs::read_to_string(path).expect("train.ein");
    let train = from_text("tests/programs/train.ein", text.split("plan pod").next().expect("text"));
    lowered(&train, &options("train_step", "B=2 T=4 M=3 L=2 D=6 H=3 V=11 P=5"));
    let gpt2 = from_file("models/gpt2.ein");
    let mut options = options("loss", "B=2 T=4");
    let directives = lowered(&gpt2, &options).directives;
    assert_eq!(directives.plan.as_deref(), Some("pod"));
    assert_eq!(directives.mesh, [("data".to_owned(), 2), ("tensor".to_owned(), 4)]);
    assert_eq!(directives.shard.len(), 2);
    assert_eq!(directives.remat[0].function, "attention");
    // A mesh without `tensor` drops what would be split over it; `--fsdp` adds.
    options.overrides.mesh = Some(vec![("data".to_owned(), 4)]);
    options.overrides.fsdp = Some(vec![("data".to_owned(), "Params".to_owned())]);
    let lowered = lowered(&gpt2, &options);
    let axes: Vec<&str> = lowered.directives.shard.iter().map(|s| s.axis.as_str()).collect();
    assert_eq!(axes, ["data"]);
    let dims = &lowered.program.dims;
    assert_eq!(dims[lowered.directives.shard[0].dims[0].0].name, "B");
    assert_eq!(lowered.directives.fsdp[0].record, "Params");
    options.overrides.shard = Some(vec![]);
    assert!(common::lowered(&gpt2, &options).directives.shard.is_empty());
}

#[test]
fn statements_place_what_they_bind() {
    let text = "dim B = 4, T = 8, Z: T\nexport fn f(x: f32[B,T]) -> (y: f32[B,T], s: f32) {\n  @shard(data: [Z, B])\n  a[b,z] = x[b,z]\n  @shard(y: [B: [data, tensor], ..])\n  y[b,t] = 2 * x[b,t]\n  s = sum(a)\n}\nplan p for f { @mesh(data: 2, tensor: 2) }";
    let source = common::from_text("tests/programs/test.ein", text);
    let lowered = lowered(&source, &options("f", ""));
    let program = &lowered.program;
    let placed: Vec<String> = lowered
        .directives
        .shard_values
        .iter()
        .map(|s| {
            let value = &program.values[s.values[0]];
            let dims = s
                .dims
                .iter()
                .map(|(d, axes)| format!("{}:{}", program.dims[*d].name, axes.join("+")));
            format!("{} {} {}", value.name, dims.collect::<Vec<_>>().join(","), s.open)
        })
        .collect();
    assert_eq!(placed, ["a Z:data true", "y B:data+tensor true"]);
}
