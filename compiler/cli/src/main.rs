//! The `einmesh` command.

fn main() {}
