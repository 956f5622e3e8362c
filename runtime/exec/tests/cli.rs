//! The binary, as a script sees it.

mod support;

use einmesh_artifact::{CollectiveRow, DType};
use einmesh_exec::tensors::{SafeTensors, Tensor, write_safetensors};
use std::path::PathBuf;
use std::process::{Command, Output};
use support::{ADD, Builder, Dim, f32s};

/// A directory with `add.einpkg` (z = x + y on two devices, x updated to itself) and `in.safetensors`.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let name = format!("einmesh-cli-{}-{name}", std::process::id());
        let directory = Directory(std::env::temp_dir().join(name));
        std::fs::create_dir_all(&directory.0).unwrap();
        let mut b = Builder::new(&[("data", 2)]);
        let dims = || [Dim("N", 5, &[0])];
        let x = b.input("x", DType::F32, &dims());
        let y = b.input("y", DType::F32, &dims());
        let z = b.output("z", DType::F32, &dims());
        b.donated("x", 0);
        let kernel = b.kernel("add", 0, 3);
        b.launch(kernel, &[x, y, z], &[]);
        // x += z: a second run on the same memory would give something else.
        b.launch(kernel, &[x, z, x], &[]);
        b.manifest.report.peak_bytes_per_device = 192;
        b.manifest.report.collectives.push(CollectiveRow {
            op: "all_reduce".to_owned(),
            axes: vec!["data".to_owned()],
            group_size: 2,
            count: 1,
            payload_bytes: 12,
            wire_bytes: 12,
            source: "add.ein:3:1".to_owned(),
            index: "n".to_owned(),
            decorator: "@shard(data: N)".to_owned(),
        });
        let artifact = b.artifact(Some(ADD), &[]);
        artifact.write_file(&directory.0.join("add.einpkg")).unwrap();
        let inputs: Vec<(String, Tensor)> = vec![
            ("x".to_owned(), f32s(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5])),
            ("y".to_owned(), f32s(&[0.5; 5], &[5])),
        ];
        write_safetensors(&directory.0.join("in.safetensors"), &inputs).unwrap();
        directory
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_einmesh-run"))
            .args(arguments)
            .current_dir(&self.0)
            .output()
            .unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn prints_a_table_that_does_not_depend_on_threads_or_repetitions() {
    let directory = Directory::new("table");
    let run = |threads: &str, repeat: &str| {
        let arguments =
            ["add.einpkg", "--inputs", "in.safetensors", "--threads", threads, "--repeat", repeat];
        let output = directory.run(&arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("2 devices"), "{}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    let table = run("1", "1");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[0].starts_with("name  type    first values"), "{table}");
    assert!(lines[1].starts_with("z     f32[5]  1.500000 2.500000 3.500000 4.500000 …"), "{table}");
    assert!(lines[2].starts_with("x     f32[5]  2.500000 4.500000 6.500000 8.500000 …"), "{table}");
    assert_eq!(run("3", "4"), table);
}

#[test]
fn writes_results_and_prints_json() {
    let directory = Directory::new("json");
    let output = directory.run(&[
        "add.einpkg",
        "--inputs",
        "in.safetensors",
        "--outputs",
        "out.safetensors",
        "--json",
        "--repeat",
        "3",
        "--entry",
        "main",
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["run_ms"].as_array().unwrap().len(), 3);
    assert_eq!(json["peak_bytes_per_device"], 192);
    let row = &json["collectives"][0];
    assert_eq!((&row["op"], &row["wire_bytes"]), (&"all_reduce".into(), &12.into()));
    assert_eq!(row["decorator"], "@shard(data: N)");
    let file = SafeTensors::open(&directory.0.join("out.safetensors")).unwrap();
    assert_eq!(file.names().collect::<Vec<_>>(), ["x", "z"]);
    let z = f32s(&[1.5, 2.5, 3.5, 4.5, 5.5], &[5]);
    assert_eq!(file.get("z").unwrap().bytes, z.bytes);
}

#[test]
fn failures_exit_with_1_and_wrong_usage_with_2() {
    let directory = Directory::new("failures");
    let stderr = |arguments: &[&str], code: i32| {
        let output = directory.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        text(&output.stderr).to_owned()
    };
    let found = stderr(&["add.einpkg"], 1);
    assert!(
        found.starts_with("error: no value for `x`, which is f32 [N=5]\nhelp: pass `--inputs"),
        "{found}"
    );
    assert!(found.contains("\nerror: no value for `y`"), "{found}");
    let found = stderr(&["in.safetensors"], 1);
    assert!(found.starts_with("error: this is not an Einmesh artifact"), "{found}");
    let found = stderr(&["nothing.einpkg"], 1);
    assert!(found.starts_with("error: cannot read nothing.einpkg: No such file"), "{found}");
    let found = stderr(&["add.einpkg", "--entry", "loss"], 1);
    assert!(found.starts_with("error: the artifact's entry is `main`, not `loss`"), "{found}");
    let found =
        stderr(&["add.einpkg", "--inputs", "in.safetensors", "--outputs", "no/such/dir"], 1);
    assert!(found.contains("error: cannot write no/such/dir: "), "{found}");
    stderr(&["add.einpkg", "--threads", "0"], 2);
    stderr(&["add.einpkg", "--thread"], 2);
    stderr(&[], 2);
}
