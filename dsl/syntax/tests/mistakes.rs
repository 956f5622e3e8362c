//! What is said of wrong programs: codes, places and the corrected text.

use einmesh_diagnostics::{Diagnostic, SourceMap, render};
use einmesh_syntax::parse;

/// `E0117 2:6 write `C, D``: code, place of the first label, and the first help or note.
fn summary(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let (line, column) = sources.position(diagnostic.labels[0].span);
    let advice =
        diagnostic.help.first().or(diagnostic.notes.first()).unwrap_or(&diagnostic.message);
    format!("{} {line}:{column} {advice}", diagnostic.code)
}

fn mistakes(text: &str) -> Vec<String> {
    let mut sources = SourceMap::new();
    let file = sources.add("test.ein", text);
    let (_, diagnostics) = parse(file, text);
    diagnostics
        .iter()
        .map(|d| {
            // Rendering must not fail on any of them.
            assert!(render(d, &sources, false).contains(&d.message));
            summary(d, &sources)
        })
        .collect()
}

/// Checks the one mistake of a statement that stands at line 2, column 3.
fn statement(text: &str, expected: &str) {
    let program = format!("fn f(x: f32) -> f32 {{\n  {text}\n  out = x\n}}\n");
    assert_eq!(mistakes(&program), [expected], "{text}");
}

/// Checks the one mistake of a file.
fn file(text: &str, expected: &str) {
    assert_eq!(mistakes(text), [expected], "{text}");
}

#[test]
fn operators_of_other_languages() {
    statement("a = b && c", "E0114 2:9 write `b and c`");
    statement("a = b || not c", "E0114 2:9 write `or`");
    statement("a = !c", "E0114 2:7 write `not c`");
    statement("a = b ** 2", "E0114 2:9 write `^`, as in `x^2`");
    statement("a -= 3", "E0114 2:5 write `a = a - …`");
    statement("a[b] *= 3", "E0114 2:8 write `a[b] = a[b] * …`");
    statement("a = 3;", "E0114 2:8 remove it: a statement ends where it is complete");
    statement("a = b /* c */", "E0114 2:10 there are no block comments: start each line with `//`");
    statement("a = b × c", "E0112 2:9 write `*`");
    statement("a = b ? c : d", "E0112 2:9 a choice is written `where(condition, a, b)`");
    statement("# comment", "E0112 2:3 comments start with `//`");
    statement(
        "for i in 0..10 { a = i }",
        "E0114 2:13 a loop runs over a dim: declare `dim N = 10` and write `for n in N { … }`",
    );
}

#[test]
fn comparisons_and_not() {
    statement("a = b < c < d", "E0120 2:13 write `b < c and c < d`");
    statement("a = b <= c + 1 == d", "E0120 2:18 write `b <= c + 1 and c + 1 == d`");
    statement("a = b == not c", "E0121 2:12 put it in parentheses: `(not c)`");
    assert_eq!(mistakes("fn f(x: bool) -> bool = not not x and (not x) == x"), [""; 0]);
}

#[test]
fn spaces_before_brackets() {
    statement("a = f [i](b[i])", "E0116 2:9 write `f[i]`");
    statement("a = f (b)", "E0116 2:9 write `f(b)`");
    statement("a = f[i] (b)", "E0116 2:12 remove the space");
    statement("a: f32 [B] = 0", "E0116 2:10 write `f32[B]`");
    file("fn f (x: f32) -> f32 = x", "E0116 1:6 write `f(x: f32)`");
    file("plan p for f { @mesh (data: 2) }", "E0116 1:22 write `mesh(data: 2)`");
}

#[test]
fn equals_signs() {
    statement("if a = b { c = d }", "E0124 2:8 write `a == b`");
    statement("c = sum[u | u = 3](x[u])", "E0124 2:17 write `u == 3`");
    statement("c = f(eps = 3)", "E0124 2:13 write `eps: 3`");
    statement("c == 3", "E0124 2:5 write `c = …`");
    statement(
        "a = b = c",
        "E0124 2:9 to bind two names write two statements; a comparison is `==`",
    );
    file("const c := 3", "E0124 1:9 a declaration takes `=`: `c = …`");
    file("dim B == 3", "E0124 1:7 write `B = …`");
    file("plan p for f { @mesh(data = 2) }", "E0124 1:27 write `data: 2`");
}

#[test]
fn commas() {
    statement("a = f(b c)", "E0117 2:10 write `b, c`");
    statement("a = b[i j]", "E0117 2:10 write `i, j`");
    statement("a = f(b,)", "E0110 2:10 only the fields of a record may end with a comma");
    file("dim B C", "E0117 1:6 write `B, C`");
    file("record R { a: f32\n  b: f32 }", "E0117 1:18 add `,`");
    file("fn f(x: f32 y: f32) -> f32 = x", "E0117 1:12 write `f32, y`");
    file("dim B = 3\nC = 4", "E0117 1:10 separate them by `,`, or start a new `dim`");
}

#[test]
fn brackets() {
    statement("a = (b + c", "E0118 2:7 add `)`");
    statement("a = b[c, d)", "E0118 2:13 write `]` instead of `)`");
    statement("a = b[f(c, d]", "E0118 2:10 add `)`");
    statement("a = b)", "E0118 2:8 remove it, or open a bracket before it");
    file("fn f(x: f32) -> f32 {\n  out = x\n\nfn g(x: f32) -> f32 = x", "E0118 1:21 add `}`");
    // The loop's brace is missing, not the function's: the indentation tells.
    file("fn f(x: f32) -> f32 {\n  for l in L {\n    x = x\n  out = x\n}\n", "E0118 2:14 add `}`");
    file("dim B\n}\n", "E0118 2:1 remove it, or open a bracket before it");
}

#[test]
fn keywords_as_names() {
    statement("limit = 3", "E0115 2:3 call it `limit_`, or something that says more");
    statement("for = 3", "E0115 2:3 call it `for_`, or something that says more");
    statement("a = in * 3", "E0115 2:7 call it `in_`, or something that says more");
    file("fn use(x: f32) -> f32 = x", "E0115 1:4 call it `use_`, or something that says more");
    file(
        "record R {\n  type: f32,\n  b: f32\n}",
        "E0115 2:3 call it `type_`, or something that says more",
    );
    file("const not = 3", "E0115 1:7 call it `not_`, or something that says more");
}

#[test]
fn heads_of_functions() {
    file(
        "fn f(x: f32) { out = x }",
        "E0122 1:13 write `fn f(x: f32) -> f32`, with the type that it returns",
    );
    file("fn f(x: f32): f32 { out = x }", "E0122 1:13 write `fn f(x: f32) -> …`");
    file(
        "fn f(x: f32) = x",
        "E0122 1:13 write `fn f(x: f32) -> f32`, with the type that it returns",
    );
    file("fn f(x) -> f32 = x", "E0123 1:6 write its type, such as `x: f32` or `x: f32[B,T]`");
    file(
        "fn f(x: f32) -> (y) { y = x }",
        "E0123 1:18 write its type, such as `y: f32` or `y: f32[B,T]`",
    );
}

#[test]
fn statements_of_other_languages() {
    statement("let a = 3", "E0125 2:3 a statement needs no keyword: `x = …`");
    statement(
        "return a",
        "E0125 2:3 a function returns what is bound to `out`, or to the names of its results: `out = …`",
    );
    statement("f(a)", "E0125 2:3 bind it to a name: `y = f(a)`");
    statement("f(a) = 3", "E0125 2:3 for example `x`, `x[b,t]` or `cache[l].k[b,s]`");
    statement(
        "a = if b { c } else { d }",
        "E0110 2:7 choose a value with `where(condition, a, b)`",
    );
}

#[test]
fn tokens() {
    statement("a = \"b", "E0111 2:7 a text ends on the line it starts on: add `\"`");
    statement("a = 2 b", "E0110 2:9 for a product write `2 * b`");
    statement("a = 2b", "E0113 2:7 for a product write `2 * b`");
    statement("a = 1_000", "E0113 2:7 numbers have no separators: write `1000`");
    statement(
        "a = 1.0f",
        "E0113 2:7 numbers have no dtype of their own: write `1.0`, or cast the expression",
    );
    statement("a = 1.e5", "E0113 2:7 digits stand on both sides of the point: write `1.0e5`");
    statement("a = 70GB", "E0113 2:7 sizes are written with `KiB`, `MiB` or `GiB`: `70GiB`");
}

#[test]
fn forms_of_other_languages() {
    statement(
        "a = [1, 2]",
        "E0110 2:7 an array is computed by an indexed statement, `x[i] = …`, or is an argument",
    );
    statement(
        "a = b[:, 0]",
        "E0110 2:9 each axis has a subscript, and an index runs over all of it: `x[b,0]`",
    );
    statement("a = .5", "E0113 2:7 write `0.5`");
    statement("(a, b) := f(c)", "E0124 2:10 several results are bound with `=`: `(a, b) = …`");
    file("plan p for f { mesh(data: 2) }", "E0110 1:16 write `@mesh`");
}

#[test]
fn colons() {
    file("fn f(x f32) -> f32 = x", "E0123 1:7 write `x: f32`");
    file("record R { a f32 }", "E0123 1:13 write `a: f32`");
    file("plan p for f { @mesh(data 2) }", "E0110 1:26 write `data: 2`");
}

#[test]
fn unknown_declarations() {
    file("dim B\nrecrod R { a: f32 }\ndim C", "E0119 2:1 did you mean `record`?");
    file("def f(x):\n  return x\n", "E0119 1:1 write `fn`");
    file("struct R { a: f32 }", "E0119 1:1 write `record`");
    file(
        "use \"a.ein\"\nx = 3",
        "E0119 2:1 a constant is declared with `const x = …`; a value is computed in a `fn`",
    );
    file(
        "@remat fn f(x: f32) -> f32 = x",
        "E0119 1:1 decorators stand before a statement, or in a plan: `plan pod for forward { @mesh(data: 2) }`",
    );
}

#[test]
fn what_was_expected() {
    let message = |text: &str| {
        let mut sources = SourceMap::new();
        let file = sources.add("test.ein", text);
        let (_, diagnostics) = parse(file, text);
        diagnostics.iter().map(|d| d.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(message("dim"), ["expected a name, found the end of the file"]);
    assert_eq!(
        message("fn f(x: f32) -> f32 = 3 +"),
        ["expected an expression, found the end of the file"]
    );
    assert_eq!(
        message("fn f(x: f32) -> f32\ndim B"),
        ["expected `{` or `=`, found the keyword `dim`"]
    );
    assert_eq!(message("record R {}"), ["expected a name, found `}`"]);
    assert_eq!(message("use gpt2"), ["expected a text in quotes, found `gpt2`"]);
    assert_eq!(
        message("fn f(x: f32) -> f32 { while x { y = x } }"),
        ["expected `limit` or an operator, found `{`"]
    );
    assert_eq!(
        message("fn f(x: f32) -> f32 { for l of L { y = x } }"),
        ["expected `in`, found `of`"]
    );
}

#[test]
fn several_mistakes_are_found_and_the_rest_is_read() {
    let text = "dim B C\nfn f(x: f32) -> f32 {\n  a = b &&\n  for l in L { c = d e\n f = 2 }\n  if a { b = !c } else { d = 1 }\n  out = a\n}\nfn g(x: f32) -> f32 = x\n";
    let mut sources = SourceMap::new();
    let file = sources.add("test.ein", text);
    let (tree, diagnostics) = parse(file, text);
    let codes: Vec<_> = diagnostics.iter().map(|d| summary(d, &sources)).collect();
    assert_eq!(
        codes,
        [
            "E0117 1:6 write `B, C`",
            "E0114 3:9 write `and`",
            "E0110 4:22 for a product write `d * e`",
            "E0114 6:14 write `not c`"
        ]
    );
    // `f`'s good statements, and `g`.
    let einmesh_syntax::ast::Item::Fn(f) = &tree.items[0] else { panic!("f is read") };
    let einmesh_syntax::ast::FnBody::Block(block) = &f.body else { panic!("f has a block") };
    assert_eq!(block.stmts.len(), 3);
    assert_eq!(tree.items.len(), 2);
}

#[test]
fn a_file_of_mistakes_is_not_read_to_its_end() {
    let text = "fn f(x: f32) -> f32 {\n  out = x x\n}\n".repeat(1000);
    let found = mistakes(&text);
    assert_eq!(found.len(), 65);
    assert!(found[64].starts_with("E0105"), "{}", found[64]);
    let text = format!("fn f(x: f32) -> f32 {{\n{}}}\n", "  out = x x\n".repeat(10_000));
    assert_eq!(mistakes(&text).len(), 64);
}
