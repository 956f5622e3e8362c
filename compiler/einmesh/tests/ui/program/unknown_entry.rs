einmesh::program! {
    mod linear = "tests/ui/program/linear.ein";
    dims { B = 2 };
    entries = [linear, forward];
}

fn main() {}
