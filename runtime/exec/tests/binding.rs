//! Which tensor becomes which input, and what is said when none does.

mod support;

use einmesh_artifact::{DType, Manifest};
use einmesh_exec::tensors::{ElementType, SafeTensors, Tensor, bind, write_safetensors};
use std::path::PathBuf;
use support::{Builder, Dim, f32s};

/// A directory of its own, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let name = format!("einmesh-binding-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn file(&self, name: &str, tensors: &[(&str, Tensor)]) -> SafeTensors {
        let path = self.0.join(name);
        let tensors: Vec<(String, Tensor)> =
            tensors.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect();
        write_safetensors(&path, &tensors).unwrap();
        SafeTensors::open(&path).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `forward(p: Params, tokens: i32[B])`, with two stacked layers and a product axis.
fn manifest() -> Manifest {
    let mut b = Builder::new(&[]);
    b.input(
        "p.h.w",
        DType::F32,
        &[Dim("L", 2, &[]), Dim("D", 2, &[]), Dim("3", 3, &[]), Dim("H", 1, &[])],
    );
    b.input("p.wte", DType::Bf16, &[Dim("V", 4, &[])]);
    b.input("tokens", DType::I32, &[Dim("B", 3, &[])]);
    b.manifest.inputs[0].tensor = "h.{}.w".to_owned();
    b.manifest.inputs[0].axes = vec![1, 2];
    b.manifest.inputs[1].tensor = "wte".to_owned();
    b.manifest
}

fn layer(l: f32) -> Tensor {
    f32s(&[l, 1.0, 2.0, 3.0, 4.0, 5.0], &[2, 3])
}

fn wte() -> Tensor {
    f32s(&[1.0, 2.0, 3.0, 4.0], &[4])
}

fn tokens(dtype: ElementType) -> Tensor {
    Tensor {
        dtype,
        shape: vec![3],
        bytes: [5i64, 6, 7]
            .iter()
            .flat_map(|n| n.to_le_bytes()[..dtype.bytes() as usize].to_vec())
            .collect(),
    }
}

#[test]
fn layers_are_stacked_and_a_common_prefix_is_found() {
    let directory = Directory::new("prefix");
    for prefix in ["", "transformer."] {
        let name = |n: &str| format!("{prefix}{n}");
        let (w0, w1, e, mask) = (name("h.0.w"), name("h.1.w"), name("wte"), name("h.0.attn.bias"));
        let params = directory
            .file("params", &[(&w0, layer(10.0)), (&w1, layer(20.0)), (&e, wte()), (&mask, wte())]);
        let inputs = [directory.file("inputs", &[("tokens", tokens(ElementType::I64))])];
        let manifest = manifest();
        let bindings = bind(&manifest, Some(&params), &inputs).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(bindings.values[0].pieces, [&layer(10.0).bytes[..], &layer(20.0).bytes]);
        assert_eq!(bindings.values[2].dtype, ElementType::I64);
        let mut notes = bindings.notes.iter();
        if !prefix.is_empty() {
            assert_eq!(notes.next().unwrap(), "the checkpoint's names stand under `transformer.`");
        }
        assert_eq!(notes.next().unwrap(), "1 input is rounded from f32 to bf16");
        assert_eq!(notes.next().unwrap(), &format!("the checkpoint's `{mask}` are not used"));
        assert_eq!(notes.next(), None);
    }
}

#[test]
fn bound_values_arrive_on_the_devices_converted() {
    let directory = Directory::new("arrive");
    let mut b = Builder::new(&[("data", 2)]);
    let x = b.input("p.x", DType::F32, &[Dim("L", 3, &[0]), Dim("D", 2, &[])]);
    let n = b.input("n", DType::I32, &[Dim("B", 3, &[0])]);
    b.manifest.inputs[0].tensor = "x.{}".to_owned();
    b.manifest.inputs[0].axes = vec![1];
    let y = b.output("y", DType::F32, &[Dim("L", 3, &[0]), Dim("D", 2, &[])]);
    let m = b.output("m", DType::I32, &[Dim("B", 3, &[0])]);
    b.step(einmesh_artifact::Step::Copy { from: x, to: y });
    b.step(einmesh_artifact::Step::Copy { from: n, to: m });
    let half = |a: f32, b: f32| Tensor {
        dtype: ElementType::F16,
        shape: vec![2],
        bytes: [a, b].iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect(),
    };
    let params = directory.file(
        "params",
        &[("x.0", half(1.0, 2.0)), ("x.1", half(3.0, 4.0)), ("x.2", half(5.0, 6.0))],
    );
    let inputs = [directory.file("inputs", &[("n", tokens(ElementType::I64))])];
    let bindings = bind(&b.manifest, Some(&params), &inputs).unwrap();
    assert!(bindings.notes.is_empty(), "widening needs no note: {:?}", bindings.notes);
    let mut session = support::session(&b.artifact(None, &[]), 2);
    for (i, value) in bindings.values.iter().enumerate() {
        session.bind(i, value).unwrap();
    }
    session.run().unwrap();
    assert_eq!(support::to_f32s(&session.output(0).unwrap()), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(session.output(1).unwrap(), tokens(ElementType::I32));
}

#[test]
fn leaves_may_come_by_their_full_path_with_product_axes_joined_or_apart() {
    let directory = Directory::new("paths");
    let mut flat = layer(0.0);
    flat.bytes.extend(layer(1.0).bytes);
    for shape in [vec![2, 2, 3], vec![2, 2, 3, 1]] {
        flat.shape = shape;
        let all = [("p.h.w", flat.clone()), ("p.wte", wte()), ("tokens", tokens(ElementType::I32))];
        let inputs = [directory.file("inputs", &all)];
        let manifest = manifest();
        let bindings = bind(&manifest, None, &inputs).unwrap();
        assert_eq!(bindings.values[0].pieces, [&flat.bytes[..]]);
    }
}

/// What binding these files says.
fn refused(params: Option<&[(&str, Tensor)]>, inputs: &[(&str, Tensor)]) -> Vec<String> {
    let directory = Directory::new("refused");
    let params = params.map(|tensors| directory.file("params", tensors));
    let inputs = [directory.file("inputs", inputs)];
    let error = bind(&manifest(), params.as_ref(), &inputs).unwrap_err();
    let place = format!("{}/", directory.0.display());
    error.0.iter().map(|e| e.replace(&place, "")).collect()
}

#[test]
fn problems_are_named_with_help() {
    let whole = [("h.0.w", layer(0.0)), ("h.1.w", layer(1.0)), ("wte", wte())];
    let ids = [("tokens", tokens(ElementType::I32))];

    let found =
        refused(Some(&[("h.0.w", layer(0.0)), ("h.1.W", layer(0.0)), ("wte", wte())]), &ids);
    assert_eq!(found, ["params lacks `h.1.w`, f32[2, 3]\nhelp: there is `h.1.W`"]);

    let found = refused(Some(&[("unrelated", wte())]), &ids);
    let too_few = "`h.{}.w` needs a tensor for each of L = 2, but the checkpoint has 1 in all";
    assert!(found[0].starts_with(too_few), "{found:?}");
    let missing =
        "params lacks `wte`, bf16[4]\nhelp: besides those found, the file has `unrelated`";
    assert_eq!(found[1], missing);

    let found = refused(Some(&[("h.0.w", wte()), whole[1].clone(), whole[2].clone()]), &ids);
    assert_eq!(
        found,
        ["`h.0.w` has the shape [4], expected [2, 3] for `p.h.w`, which is [L=2, D=2, 3, H=1]\n\
          help: pass the checkpoint of this model size, or compile for its sizes with `-D`"]
    );

    let found = refused(Some(&whole), &[("tokns", tokens(ElementType::I32))]);
    assert_eq!(
        found,
        ["no value for `tokens`, which is i32 [B=3]\nhelp: there is `tokns`: rename it"]
    );

    let found = refused(Some(&whole), &[("tokens", f32s(&[0.0; 3], &[3]))]);
    assert_eq!(found, ["`tokens` has f32 elements, expected i32\nhelp: convert the file"]);

    let found = refused(Some(&whole), &[("tokens", f32s(&[0.0; 4], &[4]))]);
    assert_eq!(
        found,
        ["`tokens` has the shape [4], expected [3], which are [B=3]\n\
          help: give an array of that shape, or compile for this one with `-D`"]
    );

    let found = refused(None, &ids);
    assert_eq!(
        found,
        [
            "no value for `p.h.w`, which is f32 [L=2, D=2, 3, H=1]\nhelp: pass `--params CKPT.safetensors` for `p`"
        ]
    );
}

#[test]
fn a_huge_stack_is_refused_before_it_is_spelled_out() {
    let mut manifest = manifest();
    manifest.inputs[0].dims[0].global = u64::MAX;
    let directory = Directory::new("stack");
    let params = directory.file("params", &[("wte", wte())]);
    let message = bind(&manifest, Some(&params), &[]).unwrap_err().to_string();
    assert!(message.contains("needs a tensor for each of L = 18446744073709551615"), "{message}");
}
