//! Inputs that lie in panels: every element goes to its place, whatever type it is given in.

mod support;

use einmesh_artifact::{DType, Panels, Step};
use einmesh_exec::tensors::ElementType;
use support::{Builder, Dim, Random, f32s, to_f32s};

fn random_panels(random: &mut Random, rank: u64) -> Panels {
    let mut panels = Panels { across: vec![], along: vec![], width: 1 + random.below(5) };
    for dim in 0..rank as u32 {
        match random.below(3) {
            0 => panels.across.push(dim),
            1 => panels.along.push(dim),
            _ => {}
        }
    }
    panels
}

#[test]
fn bound_tensors_lie_in_panels() {
    let mut random = Random(31);
    for number in 0..400 {
        let rank = 1 + random.below(4);
        let extents: Vec<u64> = (0..rank).map(|_| random.below(9)).collect();
        let panels = random_panels(&mut random, rank);
        let place = format!("case {number}: {extents:?} in {panels:?}");
        let memory = panels.extents(&extents).unwrap();
        let mut b = Builder::new(&[]);
        let dims: Vec<Dim> = extents.iter().map(|n| Dim("N", *n, &[])).collect();
        let x = b.input("x", DType::F32, &dims);
        b.manifest.buffers[x as usize].extents.clone_from(&memory);
        b.manifest.inputs[0].panels = Some(panels.clone());
        let held: Vec<Dim> = memory.iter().map(|n| Dim("M", *n, &[])).collect();
        let y = b.output("y", DType::F32, &held);
        b.step(Step::Copy { from: x, to: y });
        let mut session = b.session(1);

        let count: u64 = extents.iter().product();
        let numbers: Vec<f32> = (0..count).map(|i| 1.0 + i as f32).collect();
        let mut expected = vec![0.0; memory.iter().product::<u64>() as usize];
        let placement = panels.placement(&extents).unwrap();
        for (i, x) in numbers.iter().enumerate() {
            expected[placement.offset(placement.parts(i as u64)) as usize] = *x;
        }
        let mut whole = f32s(&numbers, &extents);
        if number % 2 == 1 {
            let bytes = numbers.iter().flat_map(|x| f64::from(*x).to_le_bytes());
            whole.bytes = bytes.collect();
            whole.dtype = ElementType::F64;
        }
        session.bind(0, &whole.value()).unwrap();
        session.run().unwrap();
        assert_eq!(to_f32s(&session.output(0).unwrap()), expected, "{place}");
    }
}
