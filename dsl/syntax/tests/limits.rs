//! Hostile sizes: refused quickly, or read without overflowing the stack.

mod common;

use common::milliseconds;
use einmesh_diagnostics::{Diagnostics, FileId};
use einmesh_syntax::ast::File;
use einmesh_syntax::{MAX_FILE_BYTES, MAX_ITEM_BYTES, MAX_NESTING, parse};

fn read(text: &str) -> (File, Diagnostics) {
    parse(FileId(0), text)
}

fn codes(diagnostics: &Diagnostics) -> Vec<String> {
    diagnostics.iter().map(|d| d.code.to_string()).collect()
}

/// Refused with one diagnostic of this code within 100 ms.
fn refused(text: &str, code: &str) {
    let took = milliseconds(|| {
        let (tree, diagnostics) = read(text);
        assert_eq!(codes(&diagnostics), [code]);
        assert!(tree.items.is_empty());
    });
    assert!(took < 100, "{took} ms");
}

/// Runs on a thread with the stack that Rust gives to threads by default.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

fn function(expression: &str) -> String {
    format!("fn f(x: f32) -> f32 = {expression}\n")
}

#[test]
fn a_large_file_is_refused() {
    refused(&" ".repeat(MAX_FILE_BYTES + 1), "E0101");
    assert!(read(&" ".repeat(MAX_FILE_BYTES)).1.is_empty());
}

#[test]
fn deep_nesting_is_refused() {
    let deep = |depth: usize, open: &str, close: &str| {
        function(&format!("{}x{}", open.repeat(depth), close.repeat(depth)))
    };
    refused(&deep(MAX_NESTING + 1, "(", ")"), "E0102");
    refused(&deep(1_000_000, "f[a](", ")"), "E0102");
    refused(&"{".repeat(MAX_FILE_BYTES), "E0102");
    refused(&format!("{}{}", " ".repeat(MAX_FILE_BYTES - 1000), "(".repeat(1000)), "E0102");
    // Brackets in comments and texts do not count.
    let harmless = "const a = \"((((\" // ((((\n".repeat(1000);
    assert!(read(&harmless).1.is_empty());
}

#[test]
fn the_deepest_nesting_fits_a_small_stack() {
    on_a_small_stack(|| {
        for (open, close) in
            [("(", ")"), ("f(", ")"), ("x[", "]"), ("-(1 + ", ")"), ("2 ^ (x else ", ")")]
        {
            let text =
                function(&format!("{}x{}", open.repeat(MAX_NESTING), close.repeat(MAX_NESTING)));
            let (tree, diagnostics) = read(&text);
            assert_eq!(codes(&diagnostics), [""; 0], "{open}");
            assert_eq!(tree.items.len(), 1);
            assert_eq!(tree.clone(), tree);
        }
        let depth = MAX_NESTING - 1;
        let loops = "for l in L { ".repeat(depth);
        let text = format!("fn f(x: f32) -> f32 {{ {loops} x = 1 {} }}", "}".repeat(depth));
        assert_eq!(codes(&read(&text).1), [""; 0]);
        // The same with a mistake in the middle, which recovery walks down to.
        let text = format!("fn f(x: f32) -> f32 {{ {loops} x = 1 1 {} }}", "}".repeat(depth));
        assert_eq!(codes(&read(&text).1), ["E0110"]);
        let open = format!("fn f(x: f32) -> f32 {{ {loops} x = 1");
        assert_eq!(codes(&read(&open).1).len(), 64);
    });
}

#[test]
fn long_chains_are_refused_without_recursion() {
    on_a_small_stack(|| {
        for part in ["1 + ", "x ^ ", "-", "not ", "x else ", "x and ", "a * b - "] {
            let text = function(&format!("{}x", part.repeat(100_000)));
            refused_by_the_tree(&text);
        }
        for part in [".a", "[b]", "(c)"] {
            refused_by_the_tree(&function(&format!("x{}", part.repeat(100_000))));
        }
        let (_, diagnostics) = read(&function(&format!("{}x", "1 + ".repeat(1000))));
        assert_eq!(codes(&diagnostics), [""; 0]);
    });
}

fn refused_by_the_tree(text: &str) {
    let (_, diagnostics) = read(text);
    assert_eq!(codes(&diagnostics), ["E0103"], "{}", &text[..60]);
}

#[test]
fn long_chains_of_conditions_are_refused() {
    on_a_small_stack(|| {
        let chain = |arms: usize, last: &str| {
            let arm = "if c { x = 1 } else ";
            format!("fn f(c: bool) -> f32 {{ {}{{ x = {last} }} }}", arm.repeat(arms))
        };
        assert_eq!(codes(&read(&chain(MAX_NESTING, "2")).1), [""; 0]);
        assert_eq!(codes(&read(&chain(MAX_NESTING, "2 2")).1), ["E0110"]);
        assert_eq!(codes(&read(&chain(20_000, "2")).1), ["E0102"]);
        let both = codes(&read(&chain(20_000, "2 2")).1);
        assert!(both.contains(&"E0102".to_string()), "{both:?}");
    });
}

#[test]
fn a_long_item_is_refused() {
    let text = format!("dim {}B\n", "A, ".repeat(500_000));
    refused(&text, "E0104");
}

#[test]
fn the_longest_item_is_within_the_limit_of_calls() {
    let dense = "a=b\n".repeat((MAX_ITEM_BYTES - 100) / 4);
    let (tree, diagnostics) = read(&format!("fn f(x: f32) -> f32 {{\n{dense}}}\n"));
    assert_eq!(codes(&diagnostics), [""; 0]);
    assert_eq!(tree.items.len(), 1);
}

#[test]
fn many_items_are_read_in_linear_time() {
    let item = "fn f(x: f32[B,T]) -> f32[B] { out[b] = sum[t | t < 3](x[b,t] * 2) }\n";
    let text = item.repeat(5_000);
    let took = milliseconds(|| {
        let (tree, diagnostics) = read(&text);
        assert!(diagnostics.is_empty());
        assert_eq!(tree.items.len(), 5_000);
    });
    assert!(took < 3_000, "{took} ms");
}
