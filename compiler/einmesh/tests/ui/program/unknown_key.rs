einmesh::program! {
    mod linear = "tests/ui/program/linear.ein";
    dims { B = 2 };
    meshes { data: 2 };
}

fn main() {}
