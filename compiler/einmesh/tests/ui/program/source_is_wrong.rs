einmesh::program! {
    mod total = "tests/ui/program/once.ein";
}

fn main() {}
