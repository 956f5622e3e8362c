//! The formatter keeps the tree and the comments, and changes nothing the second time.

mod common;

use common::{Writer, cases, comments, milliseconds, shape, tree};
use einmesh_syntax::{WIDTH, format};

fn check(text: &str) -> String {
    let before = shape(&tree(text));
    let formatted = format(text).expect("it parses");
    same(&before, &shape(&tree(&formatted)), text);
    same(&comments(text).join("\n"), &comments(&formatted).join("\n"), text);
    same(&formatted, &format(&formatted).expect("it parses"), text);
    for line in formatted.lines() {
        assert_eq!(line.trim_end(), line);
    }
    assert!(!formatted.contains("\n\n\n"));
    formatted
}

/// Equal; else shows the first line that differs.
fn same(left: &str, right: &str, text: &str) {
    if left == right {
        return;
    }
    let at = left.lines().zip(right.lines()).take_while(|(a, b)| a == b).count();
    let show =
        |text: &str| text.lines().skip(at.saturating_sub(1)).take(4).collect::<Vec<_>>().join("\n");
    panic!("--- text:\n{text}\n--- left:\n{}\n--- right:\n{}", show(left), show(right));
}

#[test]
fn random_programs() {
    for seed in 0..cases(1_500) {
        check(&Writer::program(seed));
    }
}

/// Checks that a text is formatted like this, and the rest of [`check`].
fn becomes(text: &str, expected: &str) {
    assert_eq!(check(text), expected);
}

#[test]
fn spaces() {
    becomes(
        "fn f( x:f32[ B,T ],p : Linear( (H ,K),D ) )->f32[B]{out[ b ]=x[b,t]*p . w[ t ]*K ^ - 0.5+f [1] }"
            .replace("f [1]", "f[1]")
            .as_str(),
        "fn f(x: f32[B,T], p: Linear((H,K), D)) -> f32[B] { out[b] = x[b,t] * p.w[t] * K^-0.5 + f[1] }\n",
    );
    becomes(
        "plan p for m . f{@mesh( data:2 )@shard(a:[B,C:[x,y],..])}",
        "plan p for m.f { @mesh(data: 2) @shard(a: [B, C: [x, y], ..]) }\n",
    );
    becomes("use \"a.ein\"(V=1) :{a,b as c}", "use \"a.ein\" (V = 1): { a, b as c }\n");
    becomes("const a=-b- -c*not_d,b=not(c)and d", "const a = -b - -c * not_d, b = not (c) and d\n");
    becomes(
        "fn f(x:f32)->f32{a max=b c[i]+=d max=3}",
        "fn f(x: f32) -> f32 { a max= b c[i] += d max = 3 }\n",
    );
}

#[test]
fn subscripts_are_tight_unless_an_element_has_a_space() {
    let body = |text: &str| format!("fn f(x: f32) -> f32 = {text}\n");
    becomes(&body("a[b, t]"), &body("a[b,t]"));
    becomes(&body("a[b,t+1]"), &body("a[b, t + 1]"));
    becomes(&body("a[(0, h),-b]"), &body("a[(0,h),-b]"));
    becomes(&body("a[b,q:1]"), &body("a[b, q: 1]"));
    becomes(&body("a[b, t | t<3]"), &body("a[b,t | t < 3]"));
    becomes(&body("a[b,f(c,d)]"), &body("a[b, f(c, d)]"));
    // Elements that are longer, but have no spaces, stand as written.
    becomes(&body("a[s[b],t]"), &body("a[s[b],t]"));
    becomes(&body("a[s[b], t]"), &body("a[s[b], t]"));
}

#[test]
fn blocks_and_blank_lines() {
    becomes(
        "\n\n\ndim B\n\n\n\ndim C\nfn f(x: f32) -> f32\n{\n\n  for l in L { x = y z = w }\n\n\n  if a { b = c\n} else if d { e = f }\n  else { g = h }\n\n}\n\n\n",
        "dim B\n\ndim C\nfn f(x: f32) -> f32 {\n  for l in L { x = y z = w }\n\n  if a {\n    b = c\n  } else if d { e = f }\n  else { g = h }\n}\n",
    );
    becomes(
        "record R {\na: f32,\n\nb: f32, c: f32 // last\n}\nrecord S { a: f32, }",
        "record R {\n  a: f32,\n\n  b: f32, c: f32, // last\n}\nrecord S { a: f32 }\n"
            .replace(", // last", ",  // last")
            .as_str(),
    );
    becomes(
        "fn f() -> f32 {\n\n}\nplan p for f {\n@mesh(a: 1) @fsdp(b: C)\n}",
        "fn f() -> f32 {}\nplan p for f {\n  @mesh(a: 1)\n  @fsdp(b: C)\n}\n",
    );
}

#[test]
fn columns_stay_columns() {
    let body = |lines: &str| format!("fn f(x: f32) -> f32 {{\n{lines}}}\n");
    // The widest left side decides; what is not in the column stays out of it.
    becomes(
        &body("  a      = 1\n  longer = 2\n  far_too_long = 3\n  b[i]   = 4\n"),
        &body("  a      = 1\n  longer = 2\n  far_too_long = 3\n  b[i]   = 4\n"),
    );
    becomes(&body("  a       = 1\n  long    = 2\n"), &body("  a    = 1\n  long = 2\n"));
    // A line that was edited joins the column, a single one needs none.
    becomes(
        &body("  a   = 1\n  bbb = 2\n  dd    = 3\n\n  c      = 3\n"),
        &body("  a   = 1\n  bbb = 2\n  dd  = 3\n\n  c = 3\n"),
    );
    becomes(&body("  a = 1\n  bbb = 2\n"), &body("  a = 1\n  bbb = 2\n"));
    becomes(
        "record A   { a: f32 }\nrecord Bcd { a: f32 }\nrecord R {\n  a: f32   as \"a\",\n  bc: f32[B]   as \"b\",\n}\n",
        "record A   { a: f32 }\nrecord Bcd { a: f32 }\nrecord R {\n  a: f32     as \"a\",\n  bc: f32[B] as \"b\",\n}\n",
    );
}

#[test]
fn comments_keep_their_column() {
    becomes(
        "dim B          // batch\ndim T, U       // time\n",
        "dim B          // batch\ndim T, U       // time\n",
    );
    // The code grew into the column: both move.
    becomes(
        "dim B=1,C=2 // batch\ndim T       // time\n",
        "dim B = 1, C = 2  // batch\ndim T             // time\n",
    );
    becomes(
        "fn f(x: f32) -> f32 {   // head\n      // inner\n  a = b + // why\n  c\n      // last\n}\n// end\n",
        "fn f(x: f32) -> f32 {   // head\n  // inner\n  a = b +  // why\n    c\n  // last\n}\n// end\n",
    );
}

#[test]
fn wide_lines_are_cut() {
    let params: Vec<_> = (0..12).map(|i| format!("parameter_{i}: f32[B,T]")).collect();
    let text = format!(
        "fn f({}) -> (first: f32[B,T], second: f32[B,T]) {{ first = x second = y }}",
        params.join(", ")
    );
    let out = check(&text);
    assert!(out.lines().all(|line| line.chars().count() <= WIDTH), "{out}");
    assert_eq!(
        out,
        "fn f(parameter_0: f32[B,T], parameter_1: f32[B,T], parameter_2: f32[B,T], parameter_3: f32[B,T], parameter_4: f32[B,T],\n    parameter_5: f32[B,T], parameter_6: f32[B,T], parameter_7: f32[B,T], parameter_8: f32[B,T], parameter_9: f32[B,T],\n    parameter_10: f32[B,T], parameter_11: f32[B,T]) -> (first: f32[B,T], second: f32[B,T]) {\n  first = x\n  second = y\n}\n"
    );
    let sum: Vec<_> = (0..12).map(|i| format!("weight_{i}[b,t] * value_{i}[t]")).collect();
    let out = check(&format!("fn f(x: f32) -> f32 {{ out[b] = {} }}", sum.join(" + ")));
    assert!(out.lines().all(|line| line.chars().count() <= WIDTH), "{out}");
    assert!(out.contains("\n    + weight_"), "{out}");
}

#[test]
fn the_programs_change_little() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs");
    let (mut lines, mut changed) = (0, 0);
    for entry in std::fs::read_dir(folder).expect("the programs are there") {
        let text = std::fs::read_to_string(entry.expect("a readable folder").path())
            .expect("a readable file");
        let formatted = check(&text);
        assert_eq!(text.lines().count(), formatted.lines().count());
        lines += text.lines().count();
        changed += text.lines().zip(formatted.lines()).filter(|(a, b)| a != b).count();
    }
    // Columns that were set wider than their widest line, and one subscript.
    assert!(lines > 500 && changed <= 29, "{changed} of {lines} lines");
}

#[test]
fn mistakes_are_not_formatted() {
    assert!(format("dim B C").is_err());
    assert_eq!(format("").expect("an empty file is a file"), "");
    assert_eq!(format("// only a comment").expect("it parses"), "// only a comment\n");
}

#[test]
fn long_files_take_linear_time() {
    let comments = "// a comment\n".repeat(50_000);
    let statements = format!("fn f(x: f32) -> f32 {{ {}}}", "a = b ".repeat(20_000));
    let took = milliseconds(|| {
        assert_eq!(format(&comments).expect("it parses"), comments);
        assert_eq!(format(&statements).expect("it parses").lines().count(), 20_002);
    });
    assert!(took < 3_000, "{took} ms");
}
