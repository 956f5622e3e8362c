//! Tables of sizes: what is read is what was written, and what cannot be generated is refused.

use einmesh_codegen::{Level, Sizes, Tuning};

#[test]
fn a_table_is_read_as_it_was_written() {
    let mut tuning = Tuning::of_cpu("a CPU");
    let sizes = Sizes { tile_rows: 8, tile_vectors: 3, ..Sizes::built_in(Level::X86_64V4) };
    tuning.set(Level::X86_64V4, sizes);
    let read = Tuning::parse(&tuning.to_json()).expect("it was just written");
    assert_eq!(read, tuning);
    assert_eq!(read.of(Level::X86_64V4), sizes);
    assert_eq!(read.of(Level::X86_64V3), Sizes::built_in(Level::X86_64V3));
}

#[test]
fn the_built_in_sizes_are_accepted() {
    let mut tuning = Tuning::default();
    for level in Level::ALL {
        tuning.set(level, Sizes::built_in(level));
    }
    assert_eq!(Tuning::parse(&tuning.to_json()), Ok(tuning));
}

#[test]
fn mistakes_in_a_table_are_all_told() {
    let mut tuning = Tuning::default();
    let spilling = Sizes { tile_rows: 14, ..Sizes::built_in(Level::X86_64V3) };
    tuning.set(Level::X86_64V3, spilling);
    tuning.set(Level::X86_64V4, Sizes { step_bytes: 300, ..Sizes::built_in(Level::X86_64V4) });
    let told = Tuning::parse(&tuning.to_json()).expect_err("two levels are wrong");
    assert_eq!(
        told,
        "x86-64-v3: a tile of 14×2 vectors needs 31 registers; the level has 16\n\
         x86-64-v4: `step_bytes` is 300; it must be a multiple of 256"
    );
    let changed = |from: &str, to: &str| {
        let text = Tuning::default().to_json().replace(from, to);
        Tuning::parse(&text).expect_err("it was spoiled")
    };
    assert_eq!(
        changed("\"format\": 1", "\"format\": 7"),
        "it has format 7, and this `einmesh` reads 1: run `einmesh tune` again"
    );
    assert!(changed("\"cpu\"", "\"gpu\"").contains("unknown field `gpu`"));
    assert!(changed("{}", "{\"x86-64-v9\": 1}").contains("not a table"));
}
