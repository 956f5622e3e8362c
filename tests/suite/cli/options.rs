//! Options with values that mean nothing are refused: none is silently ignored.

use super::{Directory, FORWARD, INPUTS, exists};

#[test]
fn malformed_values_are_wrong_usage() {
    let d = Directory::new("malformed");
    let refused: [(&str, &str); 17] = [
        ("-DB", "NAME=VALUE"),
        ("-DB=many", "`many` is neither a number"),
        ("-D=4", "NAME=VALUE"),
        ("--mesh=data", "AXIS=N"),
        ("--mesh=data=", "AXIS=N"),
        ("--mesh=data=two", "`two` is not a number"),
        ("--mesh=data=-1", "`-1` is not a number"),
        ("--mesh=data=2,", "AXIS=N"),
        ("--shard=data", "AXIS=DIM"),
        ("--shard=data=B+", "AXIS=DIM"),
        ("--fsdp=Params", "AXIS=RECORD"),
        ("--precision=bogus", "compute=DTYPE"),
        ("--precision=compute=i32", "`i32` is not a float"),
        ("--precision=storage=bf16", "only `compute`"),
        ("--emit=assembly", "there is no stage `assembly`"),
        ("--emit=codegen", "`--emit=codegen` has no effect"),
        ("--time-passes=1", "--time-passes"),
    ];
    for (option, says) in refused {
        d.einmesh(&[&["plan"], &FORWARD, &[option]]).fails(2, &[says]);
    }
    let build = ["-o", "mlp.einpkg", "--target", "cuda"];
    d.einmesh(&[&["build"], &FORWARD, &build]).fails(2, &["cuda", "cpu"]);
    d.einmesh(&[&["build"], &FORWARD]).fails(2, &["--output"]);
    assert!(!exists(&d.path("mlp.einpkg")));
}

#[test]
fn names_that_the_program_lacks_are_diagnosed() {
    let d = Directory::new("unknown");
    let refused: [(&[&str], &[&str]); 15] = [
        (&["-DQ=4"], &["E0207", "`-D Q=4`"]),
        (&["--plan=training"], &["E0582", "no plan `training` for `forward`", "parallel"]),
        (&["--mesh=data=2", "--shard=data=Q"], &["E0581", "there is no dim `Q`"]),
        (&["--mesh=data=2", "--shard=dat=B"], &["E0583", "no axis `dat`", "did you mean `data`?"]),
        (&["--mesh=data=2", "--fsdp=data=Parms"], &["E0581", "there is no record `Parms`"]),
        (&["--mesh=data=0"], &["E0601", "no devices"]),
        (&["--mesh=data=2,data=2"], &["E0602", "twice"]),
        (&["-DB=0"], &["E0302", "`B` has 0 positions"]),
        (&["-DW=bool"], &["E0402", "the operands are bool"]),
        (&["-DB=1.5"], &["E0207", "`B` is a dim, its extent is a whole number"]),
        (&["-DB=4.0"], &["E0207", "`-D B=4.0`"]),
        (&["-DW=3"], &["E0207", "`W` is a type"]),
        (&["-DParams=3"], &["E0207", "`-D Params=3`"]),
        (&["-Dx=3"], &["E0207", "`-D x=3`"]),
        (&["-DB=99999999999999999999"], &["E0207", "`B` is a dim"]),
    ];
    for (options, says) in refused {
        d.einmesh(&[&["plan"], &FORWARD, options]).fails(1, says);
    }
}

#[test]
fn entries_and_extents_that_are_missing_are_all_named() {
    let d = Directory::new("missing");
    let plan = |arguments: &[&str]| d.einmesh(&[&["plan"], arguments]);
    plan(&["mlp.ein", "--entry=forwrd"]).fails(1, &["E0208", "did you mean `--entry forward`?"]);
    plan(&["mlp.ein", "--entry=step"]).fails(1, &["E0208", "forward(p: Params", "loss(p: Params"]);
    plan(&["absent.ein", "--entry=f"]).fails(1, &["cannot read `absent.ein`"]);
    d.write(
        "open.ein",
        "dim B, T, D = 4\nexport fn f(x: f32[B,T,D]) -> f32 = sum[b,t,d](x[b,t,d])\n",
    );
    let says = ["E0301", "`B`", "`T`", "-D B=", "-D T="];
    plan(&["open.ein", "--entry=f"]).fails(1, &says);
}

#[test]
fn every_stage_is_emitted() {
    let d = Directory::new("emit");
    let stages: [(&str, &str); 8] = [
        ("parse", "logits"),
        ("lower", "program forward"),
        ("rewrite", "program forward"),
        ("plan", "plan of `forward`"),
        ("spmd", "program forward"),
        ("schedule", "arena"),
        ("codegen", "llvm.func"),
        ("artifact", "\"entry\": \"forward\""),
    ];
    let emits = stages.map(|(stage, _)| format!("--emit={stage}={stage}.txt"));
    let mut options: Vec<&str> = emits.iter().map(String::as_str).collect();
    options.extend(["-o", "mlp.einpkg", "--time-passes"]);
    let ran = d.einmesh(&[&["build"], &FORWARD, &options]);
    for (stage, part) in stages {
        assert!(d.text(&format!("{stage}.txt")).contains(part), "{stage}");
        assert!(ran.stderr.contains(&format!(" {stage} ")), "no time of {stage}:\n{}", ran.stderr);
    }
    assert_eq!(ran.data(), "", "the dumps went to files");
    let ran = d.einmesh(&[&["build"], &FORWARD, &["-o", "mlp.einpkg", "--emit=spmd"]]);
    assert_eq!(ran.data().trim_end(), d.text("spmd.txt").trim_end());
    let unwritable = ["-o", "mlp.einpkg", "--emit=plan=absent/plan.txt"];
    d.einmesh(&[&["build"], &FORWARD, &unwritable]).fails(1, &["absent/plan.txt"]);
}

#[test]
fn options_that_would_do_nothing_are_refused() {
    let d = Directory::new("ignored");
    d.einmesh(&[&["build"], &FORWARD, &["-o", "mlp.einpkg"]]).data();
    let ignored = [
        "-DB=4",
        "--plan=parallel",
        "--mesh=data=2",
        "--shard=none",
        "--fsdp=none",
        "--precision=none",
        "--emit=plan",
        "--time-passes",
        "--backend=interp",
    ];
    for option in ignored {
        let ran = d.einmesh(&[&["run", "mlp.einpkg", option], &INPUTS]);
        ran.fails(2, &["has no effect on an artifact"]);
    }
    let interp = ["--backend=interp", "--threads=2"];
    d.einmesh(&[&["run"], &FORWARD, &INPUTS, &interp]).fails(2, &["`--threads` has no effect"]);
    d.einmesh(&[&["run"], &FORWARD, &INPUTS, &["--repeat=0"]]).fails(2, &["--repeat"]);
    d.einmesh(&[&["run"], &FORWARD, &INPUTS, &["--threads=0"]]).fails(2, &["--threads"]);
}
