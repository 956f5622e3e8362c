einmesh::program! {
    mod linear = "tests/ui/program/linear.ein";
}

fn main() {}
