einmesh::program! {
    mod linear = "tests/ui/program/linear.ein";
    dims { B = 2 };
}

fn main() {
    let w = einmesh::Tensor::<f32, 2>::zeros([3, 4]);
    let _ = linear::linear([1.0_f32; 4], &w);
    let _ = linear::linear([[1.0_f64; 4]; 2], &w);
}
