//! Whole tensors to shards and back, on random meshes and splits.

mod support;

use einmesh_artifact::{Collective, DType, DimLayout, Step, Storage};
use support::{Builder, Dim, Random, f32s, to_f32s};

struct Case {
    mesh: Vec<(&'static str, u64)>,
    extents: Vec<u64>,
    /// The mesh axes of each dim.
    axes: Vec<Vec<u32>>,
}

impl Case {
    /// Extents are below 7, or, if `even`, multiples of the devices that split them.
    fn random(random: &mut Random, even: bool) -> Case {
        let names = ["a", "b", "c"];
        let mesh = names.into_iter().take(1 + random.below(3) as usize);
        let mesh: Vec<(&str, u64)> = mesh.map(|name| (name, 1 + random.below(3))).collect();
        let rank = 1 + random.below(4) as usize;
        let mut axes: Vec<Vec<u32>> = vec![Vec::new(); rank];
        for axis in 0..mesh.len() as u32 {
            // Some axes split nothing: their devices hold the same.
            let dim = random.below(rank as u64 + 1) as usize;
            if let Some(axes) = axes.get_mut(dim) {
                let at = random.below(axes.len() as u64 + 1) as usize;
                axes.insert(at, axis);
            }
        }
        let extents = axes.iter().map(|axes| {
            let devices: u64 = axes.iter().map(|a| mesh[*a as usize].1).product();
            match even {
                true => devices * (1 + random.below(3)),
                false => random.below(7),
            }
        });
        Case { extents: extents.collect(), mesh, axes }
    }

    fn dims(&self) -> Vec<Dim<'_>> {
        let dims = self.extents.iter().zip(&self.axes);
        dims.map(|(extent, axes)| Dim("N", *extent, axes)).collect()
    }

    fn numbers(&self) -> Vec<f32> {
        (0..self.extents.iter().product::<u64>()).map(|i| i as f32).collect()
    }
}

#[test]
fn tensors_come_back_as_they_went() {
    let mut random = Random(23);
    for number in 0..500 {
        let case = Case::random(&mut random, false);
        let mut b = Builder::new(&case.mesh);
        let x = b.input("x", DType::F32, &case.dims());
        let y = b.output("y", DType::F32, &case.dims());
        b.step(Step::Copy { from: x, to: y });
        let mut session = b.session(1);
        let whole = f32s(&case.numbers(), &case.extents);
        session.bind(0, &whole.value()).unwrap();
        session.run().unwrap();
        let place =
            format!("case {number}: {:?} over {:?} of {:?}", case.extents, case.axes, case.mesh);
        assert_eq!(session.output(0).unwrap(), whole, "{place}");
    }
}

/// Gathering every split dim over its axes gives every device the whole tensor: blocks are numbered
/// as groups are.
#[test]
fn gathered_shards_are_the_whole() {
    let mut random = Random(29);
    for number in 0..300 {
        let case = Case::random(&mut random, true);
        let mut b = Builder::new(&case.mesh);
        let mut held = b.input("x", DType::F32, &case.dims());
        let mut extents = b.manifest.buffers[held as usize].extents.clone();
        for (position, axes) in case.axes.iter().enumerate() {
            extents[position] = case.extents[position];
            let next = b.arena("gathered", DType::F32, &extents);
            let position = position as u32;
            b.collective(Collective::AllGather { position }, axes, held, next);
            held = next;
        }
        // Each device's copy is an output block of its own, along a dim in front.
        let all: Vec<u32> = (0..case.mesh.len() as u32).collect();
        let devices: u64 = case.mesh.iter().map(|(_, size)| size).product();
        let mut dims = vec![Dim("R", devices, &all)];
        dims.extend(case.extents.iter().map(|n| Dim("N", *n, &[])));
        let y = b.output("y", DType::F32, &dims);
        b.step(Step::Copy { from: held, to: y });
        let mut session = b.session(2);
        session.bind(0, &f32s(&case.numbers(), &case.extents).value()).unwrap();
        session.run().unwrap();
        let place =
            format!("case {number}: {:?} over {:?} of {:?}", case.extents, case.axes, case.mesh);
        for copy in to_f32s(&session.output(0).unwrap()).chunks(case.numbers().len()) {
            assert_eq!(copy, case.numbers(), "{place}");
        }
    }
}

/// Positions beyond the whole are zero on the devices, also when a shard is bound again.
#[test]
fn padding_is_zero() {
    let mut b = Builder::new(&[("data", 2)]);
    b.input("x", DType::F32, &[Dim("N", 3, &[0])]);
    let x = b.donated("x", 0);
    // The output shows the shards with their padding: 4 positions of 4.
    let y = b.output("y", DType::F32, &[Dim("N", 4, &[0])]);
    b.step(Step::Copy { from: x, to: y });
    let ones = b.input("ones", DType::F32, &[Dim("N", 4, &[0])]);
    b.step(Step::Copy { from: ones, to: x });
    assert!(matches!(b.manifest.buffers[x as usize].storage, Storage::Input(0)));
    let local = |d: &DimLayout| d.local;
    assert_eq!(b.manifest.inputs[0].dims.iter().map(local).collect::<Vec<_>>(), [2]);
    let mut session = b.session(1);
    session.bind(1, &f32s(&[1.0; 4], &[4]).value()).unwrap();
    for _ in 0..2 {
        session.bind(0, &f32s(&[7.0, 8.0, 9.0], &[3]).value()).unwrap();
        session.run().unwrap();
        assert_eq!(to_f32s(&session.output(1).unwrap()), [7.0, 8.0, 9.0, 0.0]);
    }
}
