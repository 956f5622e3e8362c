//! `check`, `fmt`, `explain`, help, colours.

use super::Directory;
use std::process::{Command, Stdio};

/// Two mistakes.
const WRONG: &str = "dim B = 4, D = 4\n\
    export fn f(x: f32[B,D]) -> f32[B] {\n  y[b] = x[b,q]\n  out[b] = yy[b]\n}\n";

#[test]
fn check_reports_every_mistake_of_every_file() {
    let d = Directory::new("check");
    assert_eq!(d.einmesh(&[&["check", "mlp.ein"]]).data(), "");
    d.write("wrong.ein", WRONG);
    d.write("syntax.ein", "dim B = = 4\n");
    let all = ["check", "wrong.ein", "mlp.ein", "absent.ein", "syntax.ein"];
    d.einmesh(&[&all]).fails(
        1,
        &[
            "--> wrong.ein:3:14",
            "error[E0404]: the index `q`",
            "--> wrong.ein:4:12",
            "there is no `yy` here",
            "cannot read `absent.ein`",
            "--> syntax.ein:1:9",
        ],
    );
}

#[test]
fn colours_are_asked_for() {
    let d = Directory::new("colours");
    d.write("wrong.ein", WRONG);
    let plain = d.einmesh(&[&["check", "wrong.ein"]]);
    assert!(!plain.stderr.contains('\x1b'), "stderr is no terminal");
    let never = d.einmesh(&[&["check", "wrong.ein", "--color=never"]]);
    assert_eq!(plain.stderr, never.stderr);
    let mut command = d.command("einmesh", &[&["--color=always", "check", "wrong.ein"]]);
    let always = super::Ran::of(command.env("NO_COLOR", "1").output().expect("it starts"));
    assert!(always.stderr.contains("\x1b["), "an option says more than the environment");
    assert_eq!((plain.code, always.code), (1, 1));
}

#[test]
fn a_terminal_has_colours_unless_they_are_refused() {
    let d = Directory::new("terminal");
    d.write("wrong.ein", WRONG);
    // `script` runs a command on a pseudo-terminal; Debian's essential `bsdutils` has it.
    let on_terminal = |no_color: &str| {
        let mut script = Command::new("script");
        let einmesh = super::binary("einmesh");
        let check = format!("'{}' check wrong.ein", einmesh.display());
        script.args(["--quiet", "--command", &check, "/dev/null"]);
        script.current_dir(&d.0).env("NO_COLOR", no_color);
        let output = script.stdin(Stdio::null()).output().expect("it starts");
        String::from_utf8(output.stdout).expect("text")
    };
    let (coloured, plain) = (on_terminal(""), on_terminal("1"));
    assert!(coloured.contains("\x1b["), "{coloured}");
    assert!(plain.contains("error[E0404]") && !plain.contains("\x1b["), "{plain}");
}

#[test]
fn fmt_formats_files_and_stdin() {
    let d = Directory::new("fmt");
    let (ragged, tidy) = ("dim   B=4\n", "dim B = 4\n");
    d.write("ragged.ein", ragged);
    d.write("tidy.ein", tidy);
    d.write("syntax.ein", "dim B = = 4\n");

    let listed = d.einmesh(&[&["fmt", "--check", "ragged.ein", "tidy.ein"]]);
    assert_eq!((listed.code, listed.stdout.as_str()), (1, "ragged.ein\n"));
    assert_eq!(d.text("ragged.ein"), ragged, "`--check` changes nothing");
    assert_eq!(d.with_stdin(&["fmt", "-"], ragged).data(), tidy);
    assert_eq!(d.with_stdin(&["fmt", "--check", "-"], ragged).code, 1);
    assert_eq!(d.with_stdin(&["fmt", "--check", "-"], tidy).code, 0);

    // What cannot be formatted does not keep others from it.
    let all = ["fmt", "absent.ein", "syntax.ein", "ragged.ein"];
    d.einmesh(&[&all]).fails(1, &["cannot read `absent.ein`", "--> syntax.ein:1:9"]);
    assert_eq!(d.text("ragged.ein"), tidy);
    assert_eq!(d.text("syntax.ein"), "dim B = = 4\n");
    assert_eq!(d.einmesh(&[&["fmt", "--check", "ragged.ein"]]).data(), "");
}

#[test]
fn explain_knows_every_code() {
    let d = Directory::new("explain");
    let list = d.einmesh(&[&["explain"]]).data();
    assert!(list.lines().count() > 60, "{list}");
    for line in list.lines() {
        let (code, title) = line.split_once("  ").expect("a code and a title");
        let text = d.einmesh(&[&["explain", code]]).data();
        assert!(text.starts_with(&format!("{code}: {title}\n")), "{text}");
        assert!(text.lines().count() > 4, "{text}");
    }
    d.einmesh(&[&["explain", "E9999"]]).fails(2, &["there is no code `E9999`"]);
}

#[test]
fn a_reader_may_stop_early() {
    let d = Directory::new("pipe");
    let mut command = d.command("einmesh", &[&["explain"]]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.as_ref()), (Some(0), ""));
}

#[test]
fn help_is_data_and_wrong_usage_is_2() {
    let d = Directory::new("usage");
    let help = d.einmesh(&[&["--help"]]).data();
    let commands = ["check", "fmt", "explain", "plan", "build", "run", "einsum", "completions"];
    for command in commands {
        assert!(help.contains(&format!("  {command} ")), "{help}");
        assert!(d.einmesh(&[&[command, "--help"]]).data().contains("Usage: einmesh"));
    }
    assert!(d.einmesh(&[&["completions", "bash"]]).data().contains("einmesh"));
    d.einmesh(&[]).fails(2, &["Usage: einmesh"]);
    d.einmesh(&[&["check"]]).fails(2, &["FILE"]);
    d.einmesh(&[&["frobnicate"]]).fails(2, &["frobnicate"]);
    d.einmesh(&[&["plan", "mlp.ein"]]).fails(2, &["--entry"]);
    d.einmesh(&[&["run", "mlp.ein"]]).fails(2, &["--entry"]);
    d.einmesh_run(&[]).fails(2, &["OUT.einpkg"]);
    d.einmesh_run(&[&["--bogus"]]).fails(2, &["--bogus"]);
}
