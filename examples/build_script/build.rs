//! Compiles a model before the crate.

fn main() -> Result<(), einmesh_build::Error> {
    einmesh_build::Builder::new("../../models/mlp.ein")
        .define("B", 2)
        .define("D", 4)
        .define("F", 8)
        .define("C", 3)
        .entries(&["forward"])
        .levels(&["x86-64-v3"])
        .compile("mlp")
}
