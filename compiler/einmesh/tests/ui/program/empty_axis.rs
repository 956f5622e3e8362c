einmesh::program! {
    mod linear = "tests/ui/program/linear.ein";
    dims { B = 2 };
    mesh { data: 0 };
}

fn main() {}
