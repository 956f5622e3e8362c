//! `tune`, and what is compiled with its tables.

use super::{Directory, FORWARD, INPUTS, distance};

#[test]
fn a_measured_table_is_used_and_changes_no_result() {
    let d = Directory::new("tune");
    let tuned = d.einmesh(&[&["tune", "--seconds=1", "-o", "table.json"]]);
    assert!(tuned.stderr.contains("measuring on"), "{}", tuned.stderr);
    let table = d.text("table.json");
    assert!(table.contains("\"format\": 1") && table.contains("\"tile_rows\""), "{table}");
    let build = |output: &str, more: &[&str]| {
        d.einmesh(&[&["build"], &FORWARD, &["-o", output], more]).data();
        d.bytes(output)
    };
    let tuning = ["--tuning", "table.json"];
    assert_eq!(build("one.einpkg", &tuning), build("two.einpkg", &tuning));
}

#[test]
fn any_table_computes_the_same() {
    let d = Directory::new("tables");
    let run = |output: &str, more: &[&str]| {
        d.einmesh(&[&["run"], &FORWARD, &INPUTS, &["--outputs", output], more]).data();
        d.result(output, "logits")
    };
    let usual = run("usual.safetensors", &[]);
    let level = |rows: u64| {
        format!(
            "{{\"tile_rows\": {rows}, \"tile_vectors\": 1, \"step_bytes\": 256, \"block_rows\": 8, \
             \"block_columns\": 16, \"packed_rows\": 8, \"blocks\": 64, \"block_flops\": 1}}"
        )
    };
    let (v4, v3) = (level(3), level(5));
    let levels = format!("{{\"x86-64-v4\": {v4}, \"x86-64-v3\": {v3}}}");
    let table = format!("{{\"format\": 1, \"cpu\": \"none\", \"levels\": {levels}}}");
    d.write("small.json", &table);
    let small = run("small.safetensors", &["--tuning=small.json"]);
    // 256 products are summed in another order.
    assert!(distance(&usual, &small) < 1e-5);

    d.write("large.json", table.replace("\"tile_rows\": 5", "\"tile_rows\": 15"));
    let large: &[&[&str]] = &[&["run"], &FORWARD, &INPUTS, &["--tuning=large.json"]];
    d.einmesh(large).fails(
        1,
        &["cannot use `large.json`: x86-64-v3: a tile of 15×1 vectors needs 17 registers; the level has 16"],
    );
}

#[test]
fn a_table_that_would_do_nothing_is_refused() {
    let d = Directory::new("no-tuning");
    let plan = d.einmesh(&[&["plan"], &FORWARD, &["--tuning=absent.json"]]);
    plan.fails(2, &["`--tuning` has no effect"]);
    let build = d.einmesh(&[&["build"], &FORWARD, &["-o", "x.einpkg", "--tuning=absent.json"]]);
    build.fails(1, &["cannot read `absent.json`"]);
}
