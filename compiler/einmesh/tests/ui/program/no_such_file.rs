einmesh::program! {
    mod linear = "tests/ui/program/lineal.ein";
}

fn main() {}
