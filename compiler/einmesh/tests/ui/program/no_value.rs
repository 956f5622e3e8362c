einmesh::program! {
    mod linear = "tests/ui/program/linear.ein";
    dims { B = 2 * 3 };
}

fn main() {}
