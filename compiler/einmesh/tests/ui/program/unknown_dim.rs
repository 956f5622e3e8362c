einmesh::program! {
    mod linear = "tests/ui/program/linear.ein";
    dims { B = 2, In = 8 };
}

fn main() {}
