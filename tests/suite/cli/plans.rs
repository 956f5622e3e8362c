//! `plan`, and the budgets of `@expect`.

use super::{Directory, FORWARD, MESH, exists};
use serde_json::json;

#[test]
fn a_plan_is_a_table() {
    let d = Directory::new("plan-table");
    let ran = d.einmesh(&[&["plan"], &FORWARD, &[MESH]]);
    assert_eq!(ran.stderr, "");
    let table = ran.data();
    for part in [
        "plan of `forward` for 4 devices, data=2 × tensor=2",
        "[F@tensor, D]",
        "[B@data, C]",
        "all_reduce  tensor (2)  1×     80 B     80 B  f      @shard(data: B, tensor: F)  mlp.ein:11:3",
        "each device sends 80 B per call",
        "peak memory: ",
        "intermediate values: ",
    ] {
        assert!(table.contains(part), "no {part:?} in:\n{table}");
    }
    let alone = d.einmesh(&[&["plan"], &FORWARD]).data();
    assert!(alone.contains("for one device") && alone.contains("no communication"), "{alone}");
}

#[test]
fn a_plan_is_a_json_object() {
    let d = Directory::new("plan-json");
    let plan = d.einmesh(&[&["plan"], &FORWARD, &[MESH, "--json"]]).json();
    // 2 rows × 10 classes × 4 bytes; a ring of two sends 2·(2−1)/2 of it.
    let expected = json!([{
        "op": "all_reduce", "axes": ["tensor"], "group_size": 2, "count": 1,
        "payload_bytes": 80, "wire_bytes": 80, "source": "mlp.ein:11:3", "index": "f",
        "decorator": "@shard(data: B, tensor: F)",
    }]);
    assert_eq!(plan["collectives"], expected);
    assert_eq!(plan["devices"], 4);
    assert_eq!(plan["mesh"], json!([["data", 2], ["tensor", 2]]));
    let values = plan["values"].as_array().expect("a list");
    let weight = values.iter().find(|v| v["name"] == "p.fc1.weight").expect("an argument");
    assert_eq!(weight["local_shape"], json!([128, 64]));
    assert_eq!(weight["bytes_per_device"], 128 * 64 * 4);
    assert_eq!(weight["dims"][0], json!({"name": "F", "extent": 256, "axes": ["tensor"]}));
    let (peak, arguments) = (&plan["peak_bytes_per_device"], &plan["argument_bytes_per_device"]);
    assert!(peak.as_u64() > arguments.as_u64() && arguments.as_u64() > Some(0), "{plan}");
    let stages = plan["stages_ms"].as_object().expect("an object");
    for stage in ["parse", "lower", "rewrite", "plan", "spmd", "schedule"] {
        assert!(stages[stage].as_f64().is_some_and(|ms| ms >= 0.0), "{stage}");
    }
}

#[test]
fn arenas_of_models_are_close_to_their_bound() {
    let d = Directory::new("arenas");
    let gpt = ["-DB=2", "-DT=64", "-DL=2"];
    let llama = ["-DB=2", "-DT=64", "-DL=2", "-DV=1000", "-DD=256", "-DH=8", "-DG=4", "-DF=512"];
    let meshes: [&[&str]; 2] = [&[], &["--mesh=data=2,tensor=2"]];
    for mesh in meshes {
        for (model, dims) in [("gpt2", &gpt[..]), ("llama", &llama[..])] {
            for entry in ["forward", "loss"] {
                let file = format!("{}/../models/{model}.ein", env!("CARGO_MANIFEST_DIR"));
                let entry = ["plan", &file, "--json", "--entry", entry];
                let arena = d.einmesh(&[&entry, dims, mesh]).json()["arena"].clone();
                let (bytes, bound) = (arena["bytes"].as_u64(), arena["lower_bound"].as_u64());
                assert!(bound > Some(0) && bytes >= bound, "{arena}");
                assert!(arena["ratio"].as_f64().is_some_and(|r| r <= 1.05), "{arena}");
            }
        }
    }
}

#[test]
fn overrides_replace_decorators() {
    let d = Directory::new("overrides");
    let on = |mesh: &str, more: &[&str]| {
        d.einmesh(&[&["plan"], &FORWARD, &[mesh, "--json"], more]).json()
    };
    let plan = |more: &[&str]| on(MESH, more);
    let alone = on("--mesh=none", &[]);
    assert_eq!(alone["devices"], 1);
    let none = plan(&["--shard=none"]);
    assert_eq!(none["collectives"], json!([]));
    assert_eq!(none["peak_bytes_per_device"], alone["peak_bytes_per_device"]);
    let swapped = plan(&["--shard=tensor=B,data=F"]);
    assert_eq!(swapped["collectives"][0]["axes"], json!(["data"]));
    let fsdp = plan(&["--fsdp=data=Params"]);
    let gathers = fsdp["collectives"].as_array().expect("a list").iter();
    assert!(gathers.clone().any(|c| c["op"] == "all_gather"), "{fsdp}");
    assert_eq!(plan(&["--plan=parallel"])["collectives"], plan(&[])["collectives"]);
    // The last extent given counts, over the file's too.
    let narrow = plan(&["-DF=32", "-DF=16"]);
    assert_eq!(narrow["values"][0]["local_shape"], json!([8, 64]));
}

#[test]
fn a_broken_budget_fails_the_build() {
    let d = Directory::new("expect");
    d.write(
        "budget.ein",
        "dim B = 4, D = 64, F = 256\n\
         export fn f(x: f32[B,D], w: f32[D,F], v: f32[F,D]) -> f32[B,D] {\n  \
           h[b,f]   = x[b,d] * w[d,f]\n  \
           out[b,d] = h[b,f] * v[f,d]\n}\n\
         plan p for f { @mesh(tensor: 2) @shard(tensor: F) @expect(count(all_reduce, tensor) <= 0) }\n",
    );
    let broken = [
        "error[E0651]",
        "measured 1, the limit is 0",
        "1 × all_reduce over tensor",
        "--> budget.ein:6:59",
    ];
    d.einmesh(&[&["plan", "budget.ein", "--entry=f"]]).fails(1, &broken);
    d.einmesh(&[&["build", "budget.ein", "--entry=f", "-o", "f.einpkg"]]).fails(1, &broken);
    assert!(!exists(&d.path("f.einpkg")));
    assert_eq!(d.einmesh(&[&["plan", "budget.ein", "--entry=f", "--shard=none"]]).code, 0);
}
