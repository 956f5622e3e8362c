//! Texts that stay as they are, programs that come back, and errors with their lines.

use super::*;
use crate::testing::{GenerateOptions, Random, damage, generate};
use crate::{Program, SpmdProgram, verify, verify_spmd};

/// A text that parses, verifies, and prints as it is.
#[track_caller]
fn round_trips(source: &str) -> Program {
    let program = parse(source).unwrap_or_else(|e| panic!("{e}\n{source}"));
    assert_eq!(print(&program), source);
    assert_eq!(verify(&program), []);
    assert_eq!(parse(&print(&program)).unwrap(), program);
    program
}

#[track_caller]
fn round_trips_spmd(source: &str) -> SpmdProgram {
    let spmd = parse_spmd(source).unwrap_or_else(|e| panic!("{e}\n{source}"));
    assert_eq!(print_spmd(&spmd), source);
    assert_eq!(verify_spmd(&spmd), []);
    spmd
}

const ATTENTION: &str = "\
program attention {
  dim B = 2, T = 8, U: T = 8, D = 16, V = 50, 3 = 3, H = 4, K = 4, L = 2

  input %tokens.0: i32[B,T]
  input %wte.1: f32[V,D] path \"p.wte\" tensor \"wte.weight\" of Params
  input %w.2: f32[L,D,3,H,K] path \"p.h.w\" tensor \"h.{}.w\" axes [1,3] of Conv1D.Block.Params
  input %cache.3: f32[T,D] donated
  input %seed.4: rng

  %x.5: f32[B,T,D] = %wte.1[%tokens.0[b,t],d clamp]
  for l in L {
    carry %x.6: f32[B,T,D] = %x.5
    %q.7: f32[B,T,H,K] = sum[d](%x.6[b,t,d] * %w.2[l,d,0,h,k]) @ block.attention
    %k.8: f32[B,U,H,K] = sum[d](%x.6[b,u,d] * %w.2[l,d,1,h,k]) @ block.attention
    %s.9: f32[B,H,T,U] = sum[k](%q.7[b,t,h,k] * %k.8[b,u,h,k]) * 0.5
    %m.10: f32[B,H,T] = max[u | u <= t](%s.9[b,h,t,u])
    %z.11: f32[B,H,T] = sum[u | u <= t](exp(%s.9[b,h,t,u] - %m.10[b,h,t]))
    %x.12: f32[B,T,D] = %x.6[b,t,d] + %z.11[b,d div 4,t]
    yield %x.12 -> %x.13: f32[B,T,D]
    collect %z.11 -> %zs.14: f32[B,L,H,T] at 1
  }
  %order.15: i32[B,T,D] = argsort %x.13 at 2
  %best.16: i32[B,T] = argmax[d](%x.13[b,t,d])
  %shifted.17: f32[i:T,D] = %cache.3[i - 1,d else -0.0]
  %kept.18: f32[T,D] = where[t < 3 and not(d == 2)](-%cache.3[t,d])
  %cache.19: f32[T,D] = store[b,j:T,d] %cache.3[j + 1,d] += %x.13[b,j,d]
  %cache.20: f32[T,D] = store[t] %cache.19[t,0] max= sum[d](%cache.3[t,d])
  %noise.21: f32[D] = uniform(fold(%seed.4, 7i64), i64(d))

  output %x.13 path \"x\"
  output %cache.20 path \"cache\"
  output %noise.21
}
";

#[test]
fn a_program_with_everything() {
    // The one line that is not canonical: a reduction is not an operand.
    let source = ATTENTION.replace(
        "sum[k](%q.7[b,t,h,k] * %k.8[b,u,h,k]) * 0.5",
        "sum[k](%q.7[b,t,h,k] * %k.8[b,u,h,k] * 0.5)",
    );
    let source = source
        .replace("%x.13 path \"x\"", "%x.13")
        .replace("%cache.20 path \"cache\"", "%cache.20");
    let program = round_trips(&source);
    assert_eq!(program.inputs[1].records, ["Params"]);
    assert_eq!(program.inputs[2].records, ["Conv1D", "Block", "Params"]);
    assert_eq!(program.inputs[2].axes, [1, 3]);
    assert_eq!(program.dims[crate::DimId(2)].role_of, Some(crate::DimId(1)));
    let scope = &program.values[crate::ValueId(7)].origin.scope;
    assert_eq!(**scope, ["block", "attention"]);
}

#[test]
fn operators_keep_their_structure() {
    let bodies = [
        "%x.0 - (%x.0 - %x.0)",
        "%x.0 - %x.0 - %x.0",
        "%x.0 / (%x.0 * %x.0)",
        "-(%x.0 * %x.0)",
        "-%x.0 * --%x.0",
        "neg(1.0) + -1.0",
        "%x.0 + -%x.0",
        "pow(%x.0, -2.0)",
        "min(%x.0, max(%x.0, 1e-5))",
        "select(%x.0 < 1.0 or not(%x.0 == 2.0 and true), inf, -inf)",
        "f32(1i64 div -3i64 % 2i64)",
        "f32(1.5f64) + f32(inf.f64) + f32(-inf.bf16) + 1e16",
        "f32((%x.0 < 1.0) == (%x.0 > 1.0))",
        "isfinite(%x.0)",
        "erf(rsqrt(log1p(expm1(%x.0))))",
    ];
    for body in bodies {
        let dtype = if body.starts_with("isfinite") { "bool" } else { "f32" };
        round_trips(&format!(
            "program p {{\n\n  input %x.0: f32\n\n  %y.1: {dtype} = {body}\n\n  output %y.1\n}}\n"
        ));
    }
}

#[test]
fn names_that_are_not_plain_or_not_unique() {
    let program = round_trips(
        "\
program \"a b\" {
  dim N'0 = 4, N'1 = 4, \"d.x\" = 2, true_ = 3
  unused %\"odd name\".2: f32[N'1] @ \"f g\".h
  unused l~1 in N'0

  input %p.q.0: f32[N'0]

  for l~2 in \"d.x\" {
    for l~0 in \"d.x\" reversed {
      %.1: f32[i'0:N'0,i'1:N'1] = %p.q.0[i'0] + f32(i'1 + l + l~2)
      %y.3: f32[l:N'0] = %p.q.0[l] + f32(l~0)
    }
  }
}
",
    );
    assert_eq!(program.name, "a b");
    assert_eq!(program.loop_vars.len(), 3);
}

const PARTITIONED: &str = "\
program mlp {
  mesh data = 2, tensor = 3
  dim B = 4, F = 2, \"F whole\" = 6

  input %x.0: f32[B,F] split [4 of 7 on data, 2 of 5 on tensor]
  input %s.1: f32 split []

  %h.2: f32[B,F] = where[2 * coord(tensor) + f < 5](%x.0[b,f] * %s.1)
  %whole.3: f32[B,\"F whole\"] = all_gather(at 1, tensor) %h.2 because f \"@shard(tensor: F)\" in mlp @ mlp
  %sum.4: f32[B,\"F whole\"] = all_reduce(sum, data+tensor) %whole.3
  %part.5: f32[B,F] = reduce_scatter(max, at 1, tensor) %sum.4 because \"\" \"\\\"quoted\\\"\"
  %turned.6: f32[B,F] = collective_permute(shift -1, wrap, data) %part.5
  %moved.7: f32[B,F] = collective_permute(shift 1, data) %turned.6
  %same.8: f32[B,F] = all_to_all(split 0, concat 0, data) %moved.7

  output %same.8 split [4 of 7 on data, 2 of 5 on tensor]
}
";

#[test]
fn partitioned_programs() {
    let spmd = round_trips_spmd(PARTITIONED);
    assert_eq!(spmd.mesh.devices(), 6);
    let one = "program p {\n  mesh\n\n  input %x.0: f32 split []\n\n  output %x.0 split []\n}\n";
    assert_eq!(round_trips_spmd(one).mesh.devices(), 1);
    assert!(parse(PARTITIONED).is_err());
    assert!(parse_spmd("program p {\n}\n").is_err());
}

#[test]
fn long_declarations_are_broken_over_lines() {
    let mut builder = crate::Builder::new("wide");
    for n in 0..40 {
        builder.dim(&format!("Dim{n}"), n);
    }
    let text = print(&builder.finish());
    assert!(text.lines().count() > 5 && text.lines().all(|line| line.len() <= 100), "{text}");
    round_trips(&text);
}

#[test]
fn errors_name_their_line() {
    let error = |source: &str| parse(source).unwrap_err().to_string();
    let within = |line: &str| {
        error(&format!("program p {{\n  dim T = 4, U = 4\n  input %x.0: f32[T]\n  {line}\n}}\n"))
    };
    assert_eq!(error(""), "line 1: expected `program`, got the end");
    assert_eq!(error("program p {\n  dim T\n}"), "line 3: expected `=`, got `}`");
    assert_eq!(
        within("%y.1: f32[T] = %x.0[v]"),
        "line 4: there is no index or loop counter `v` here"
    );
    assert_eq!(within("%y.1: f32[W] = 1.0"), "line 4: there is no dim `W`");
    assert_eq!(within("%y.1: f33[T] = 1.0"), "line 4: expected a dtype, got `f33`");
    assert_eq!(within("%y.1: f32[T] = %z.7[t]"), "line 4: %z.7 is not assigned anywhere");
    assert_eq!(within("%y.1: f32[T] = %z.0[t]"), "line 4: %z.0 is called %x.0");
    assert_eq!(within("%x.0: f32[T] = 1.0"), "line 4: there are two values with the id 0");
    assert_eq!(within("%y.2: f32[T] = 1.0"), "line 5: the ids of values skip 1");
    assert_eq!(
        within("%y.1: f32 = 1 < 2 < 3"),
        "line 4: comparisons do not chain: use parentheses"
    );
    assert_eq!(
        within("%y.1: f32 = foo(1)"),
        "line 4: there is no function `foo` of that many arguments"
    );
    assert_eq!(within("%y.1: f32 = 1.5.2"), "line 4: expected a statement, got `.`");
    assert_eq!(
        within("%y.1: f32 = sum[q](1.0)"),
        "line 4: `q` does not tell its dim: write `q:Dim`"
    );
    assert_eq!(within("%y.1: f32 = $"), "line 4: unexpected character `$`");
    assert_eq!(within("%y: f32 = 1.0"), "line 4: a value is written %name.id");
    assert_eq!(within("output %x.0 path \"x"), "line 4: a quoted text does not end");
    assert_eq!(within("%y.1: f32 = coord(data)"), "line 4: there is no mesh axis `data`");
    let deep = format!("%y.1: f32 = {}1.0", "(".repeat(100_000));
    assert!(within(&deep).contains("nested more than"));
    let deep = format!("%y.1: f32 = {}%x.0", "-".repeat(100_000));
    assert!(within(&deep).contains("nested more than"));
}

#[test]
fn broken_programs_print_nevertheless() {
    let program = parse(&ATTENTION.replace(") * 0.5", " * 0.5)")).unwrap();
    let mut broken = program.clone();
    broken.values = broken.values.values().take(3).cloned().collect();
    broken.dims = broken.dims.values().take(2).cloned().collect();
    broken.loop_vars = Default::default();
    assert!(print(&broken).contains("for ?~0 in ?"));
}

#[test]
fn damaged_texts_never_panic() {
    let mut random = Random::new(1);
    let (mut refused, mut invalid, mut valid) = (0, 0, 0);
    for seed in 0..60 {
        let text = match seed % 4 {
            0 => PARTITIONED.to_owned(),
            _ => print(&generate(seed, &GenerateOptions::default()).0),
        };
        for _ in 0..40 {
            let damaged = damage(&text, &mut random);
            let found = match (parse(&damaged), parse_spmd(&damaged)) {
                (Ok(program), _) => {
                    let again = print(&program);
                    assert_eq!(parse(&again).map(|p| print(&p)), Ok(again));
                    verify(&program)
                }
                (_, Ok(spmd)) => {
                    let again = print_spmd(&spmd);
                    assert_eq!(parse_spmd(&again).map(|p| print_spmd(&p)), Ok(again));
                    verify_spmd(&spmd)
                }
                _ => {
                    refused += 1;
                    continue;
                }
            };
            *if found.is_empty() { &mut valid } else { &mut invalid } += 1;
        }
    }
    assert!(refused > 100 && invalid > 100 && valid > 100, "{refused} {invalid} {valid}");
}

#[test]
fn loops_with_conditions_round_trip() {
    round_trips(
        "\
program count {
  dim N = 8

  %zero.0: i32 = 0
  %yes.1: bool = true
  for step in N while %on.3 {
    carry %n.2: i32 = %zero.0
    carry %on.3: bool = %yes.1
    %n.4: i32 = %n.2 + 1
    %on.5: bool = %n.4 < 3
    yield %n.4 -> %n.6: i32
    yield %on.5 -> %on.7: bool
  }

  output %n.6
}
",
    );
}

#[test]
fn the_examples_of_the_documentation_are_canonical() {
    let source = include_str!("../text.rs");
    let (mut examples, mut inside) = (Vec::new(), false);
    for line in source.lines().map_while(|line| line.strip_prefix("//!")) {
        match line.trim() {
            "```text" => {
                inside = true;
                examples.push(String::new());
            }
            "```" => inside = false,
            _ if inside => {
                let example = examples.last_mut().expect("an example has begun");
                example.push_str(line.strip_prefix(' ').unwrap_or(line));
                example.push('\n');
            }
            _ => {}
        }
    }
    assert_eq!(examples.len(), 3);
    round_trips(&examples[0]);
    round_trips(&examples[1]);
    round_trips_spmd(&examples[2]);
}
