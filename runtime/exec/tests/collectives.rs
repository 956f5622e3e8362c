//! Every collective against its definition, index by index.

mod support;

use einmesh_artifact::{Collective, DType, Manifest, Reduction};
use einmesh_exec::tensors::{ElementType, Tensor};
use half::{bf16, f16};
use support::{Builder, Dim, Random, f32s, to_f32s};

/// A tensor of one device.
#[derive(Clone, PartialEq, Debug)]
struct Local {
    extents: Vec<u64>,
    numbers: Vec<f32>,
}

impl Local {
    fn make(extents: Vec<u64>, number: impl Fn(&[u64]) -> f32) -> Local {
        let mut numbers = Vec::new();
        for flat in 0..extents.iter().product() {
            let (mut rest, mut at) = (flat, vec![0; extents.len()]);
            for (position, extent) in extents.iter().enumerate().rev() {
                at[position] = rest % extent;
                rest /= extent;
            }
            numbers.push(number(&at));
        }
        Local { extents, numbers }
    }

    fn at(&self, at: &[u64]) -> f32 {
        let flat = at.iter().zip(&self.extents).fold(0, |n, (i, e)| n * e + i);
        self.numbers[flat as usize]
    }
}

/// What member `m` of a group receives, straight from the definition.
fn defined(kind: &Collective, group: &[Local], m: u64) -> Local {
    let n = group.len() as u64;
    let own = &group[m as usize];
    let sum = |at: &[u64]| group.iter().map(|l| l.at(at)).reduce(|a, b| a + b).unwrap();
    let largest = |at: &[u64]| group.iter().map(|l| l.at(at)).reduce(f32::max).unwrap();
    let with = |at: &[u64], position: u32, value: u64| {
        let mut at = at.to_vec();
        at[position as usize] = value;
        at
    };
    let scaled = |position: u32, by: (u64, u64)| {
        let mut extents = own.extents.clone();
        extents[position as usize] = extents[position as usize] * by.0 / by.1;
        extents
    };
    match *kind {
        Collective::AllReduce { reduction: Reduction::Max } => {
            Local::make(own.extents.clone(), largest)
        }
        Collective::AllReduce { .. } => Local::make(own.extents.clone(), sum),
        Collective::AllGather { position } => {
            let each = own.extents[position as usize];
            Local::make(scaled(position, (n, 1)), |at| {
                let i = at[position as usize];
                group[(i / each) as usize].at(&with(at, position, i % each))
            })
        }
        Collective::ReduceScatter { position, .. } => {
            let extents = scaled(position, (1, n));
            let each = extents[position as usize];
            Local::make(extents, |at| sum(&with(at, position, m * each + at[position as usize])))
        }
        Collective::AllToAll { split, concat } => {
            let part = own.extents[split as usize] / n;
            let mut extents = scaled(split, (1, n));
            let each = extents[concat as usize];
            extents[concat as usize] *= n;
            Local::make(extents, |at| {
                let i = at[concat as usize];
                let at = with(at, concat, i % each);
                let at = with(&at, split, m * part + at[split as usize]);
                group[(i / each) as usize].at(&at)
            })
        }
        Collective::CollectivePermute { shift, wrap } => {
            let from = m as i64 - shift;
            match wrap || (0..n as i64).contains(&from) {
                true => group[from.rem_euclid(n as i64) as usize].clone(),
                false => Local::make(own.extents.clone(), |_| 0.0),
            }
        }
    }
}

/// One collective of this kind on random numbers: what each device received.
struct Case {
    mesh: Vec<(&'static str, u64)>,
    kind: Collective,
    axes: Vec<u32>,
    extents: Vec<u64>,
}

impl Case {
    fn random(random: &mut Random) -> Case {
        let names = ["a", "b", "c"];
        let mesh = names.into_iter().take(1 + random.below(3) as usize);
        let mesh: Vec<(&str, u64)> = mesh.map(|name| (name, 1 + random.below(3))).collect();
        let mut axes: Vec<u32> = (0..mesh.len() as u32).filter(|_| random.below(3) > 0).collect();
        if random.below(2) == 0 {
            axes.reverse();
        }
        let members: u64 = axes.iter().map(|a| mesh[*a as usize].1).product();
        let mut extents: Vec<u64> = (0..3).map(|_| 1 + random.below(4)).collect();
        if random.below(4) == 0 {
            extents[2] = 1 + random.below(5000);
        }
        let position = random.below(3) as u32;
        let mut divisible = |position: u32| extents[position as usize] *= members;
        let reduction = match random.below(2) {
            0 => Reduction::Sum,
            _ => Reduction::Max,
        };
        let kind = match random.below(5) {
            0 => Collective::AllReduce { reduction },
            1 => Collective::AllGather { position },
            2 => {
                divisible(position);
                let reduction = Reduction::Sum;
                Collective::ReduceScatter { reduction, position }
            }
            3 => {
                divisible(position);
                let concat = random.below(3) as u32;
                Collective::AllToAll { split: position, concat }
            }
            _ => Collective::CollectivePermute {
                shift: random.below(9) as i64 - 4,
                wrap: random.below(2) == 0,
            },
        };
        Case { mesh, kind, axes, extents }
    }

    fn devices(&self) -> u64 {
        self.mesh.iter().map(|(_, size)| size).product()
    }

    /// The kind with positions moved by one, since the devices stand in a dim of their own in front.
    fn shifted(&self) -> Collective {
        match self.kind.clone() {
            Collective::AllGather { position } => Collective::AllGather { position: position + 1 },
            Collective::ReduceScatter { reduction, position } => {
                Collective::ReduceScatter { reduction, position: position + 1 }
            }
            Collective::AllToAll { split, concat } => {
                Collective::AllToAll { split: split + 1, concat: concat + 1 }
            }
            other => other,
        }
    }

    fn run(&self, locals: &[Local], received: &[u64], threads: usize) -> Tensor {
        let all: Vec<u32> = (0..self.mesh.len() as u32).collect();
        let devices = self.devices();
        let dims = |extents: &[u64]| {
            let mut dims = vec![Dim("R", devices, &all)];
            dims.extend(extents.iter().map(|e| Dim("E", *e, &[])));
            dims
        };
        let mut b = Builder::new(&self.mesh);
        let x = b.input("x", DType::F32, &dims(&self.extents));
        let y = b.output("y", DType::F32, &dims(received));
        b.collective(self.shifted(), &self.axes, x, y);
        let mut session = b.session(threads);
        let numbers: Vec<f32> = locals.iter().flat_map(|l| l.numbers.clone()).collect();
        session.bind(0, &f32s(&numbers, &[]).value()).unwrap();
        session.run().unwrap();
        session.output(0).unwrap()
    }
}

#[test]
fn random_collectives_are_as_defined_for_any_number_of_threads() {
    let mut random = Random(7);
    for number in 0..400 {
        let case = Case::random(&mut random);
        let count: u64 = case.extents.iter().product();
        let locals = (0..case.devices()).map(|_| Local {
            extents: case.extents.clone(),
            numbers: (0..count).map(|_| random.small()).collect(),
        });
        let locals: Vec<Local> = locals.collect();
        let manifest =
            Manifest { mesh: Builder::new(&case.mesh).manifest.mesh, ..Manifest::default() };
        let mut expected = vec![None; locals.len()];
        for group in manifest.groups(&case.axes) {
            let members: Vec<Local> = group.iter().map(|r| locals[*r as usize].clone()).collect();
            for (m, rank) in group.iter().enumerate() {
                expected[*rank as usize] = Some(defined(&case.kind, &members, m as u64));
            }
        }
        let expected: Vec<Local> = expected.into_iter().flatten().collect();
        let numbers: Vec<f32> = expected.iter().flat_map(|l| l.numbers.clone()).collect();
        for threads in [1, 3] {
            let found = case.run(&locals, &expected[0].extents, threads);
            let place =
                format!("case {number}, {:?} over {:?} of {:?}", case.kind, case.axes, case.mesh);
            assert_eq!(to_f32s(&found), numbers, "{place}");
        }
    }
}

/// All-reduces `rows` (one per member, in place) and gives the first member's result.
fn all_reduce(dtype: DType, reduction: Reduction, rows: &[Vec<u8>], threads: usize) -> Vec<u8> {
    let members = rows.len() as u64;
    let each = rows[0].len() as u64 / dtype.bytes();
    let mut b = Builder::new(&[("data", members)]);
    b.input("x", dtype, &[Dim("R", members, &[0]), Dim("N", each, &[])]);
    let x = b.donated("x", 0);
    b.collective(Collective::AllReduce { reduction }, &[0], x, x);
    let mut session = b.session(threads);
    let whole =
        Tensor { dtype: ElementType::of(dtype), shape: vec![members, each], bytes: rows.concat() };
    session.bind(0, &whole.value()).unwrap();
    session.run().unwrap();
    let bytes = session.output(0).unwrap().bytes;
    for row in bytes.chunks_exact(rows[0].len()) {
        assert_eq!(row, &bytes[..rows[0].len()], "all members receive the same");
    }
    bytes[..rows[0].len()].to_vec()
}

#[test]
fn sums_round_once_and_do_not_depend_on_threads() {
    let mut random = Random(11);
    let each = 20_000;
    let rows: Vec<Vec<f32>> = (0..5)
        .map(|_| (0..each).map(|_| random.small() * 1e3 + random.small() / 3.0).collect())
        .collect();
    // In the group's order, in f32.
    let sum = |i: usize, round: &dyn Fn(f32) -> f32| {
        rows.iter().map(|r| round(r[i])).reduce(|a, b| a + b).unwrap()
    };

    let bytes = |f: &dyn Fn(&f32) -> Vec<u8>| {
        rows.iter().map(|r| r.iter().flat_map(f).collect()).collect::<Vec<Vec<u8>>>()
    };
    let as_f32 = bytes(&|x| x.to_le_bytes().to_vec());
    let as_bf16 = bytes(&|x| bf16::from_f32(*x).to_le_bytes().to_vec());
    let as_f16 = bytes(&|x| f16::from_f32(*x).to_le_bytes().to_vec());
    for threads in [1, 2, 7] {
        let found = all_reduce(DType::F32, Reduction::Sum, &as_f32, threads);
        let expected: Vec<u8> = (0..each).flat_map(|i| sum(i, &|x| x).to_le_bytes()).collect();
        assert!(found == expected, "f32, {threads} threads");
        let found = all_reduce(DType::Bf16, Reduction::Sum, &as_bf16, threads);
        let rounded = |x| bf16::from_f32(x).to_f32();
        let expected = (0..each).flat_map(|i| bf16::from_f32(sum(i, &rounded)).to_le_bytes());
        assert!(found == expected.collect::<Vec<u8>>(), "bf16, {threads} threads");
        let found = all_reduce(DType::F16, Reduction::Sum, &as_f16, threads);
        let rounded = |x| f16::from_f32(x).to_f32();
        let expected = (0..each).flat_map(|i| f16::from_f32(sum(i, &rounded)).to_le_bytes());
        assert!(found == expected.collect::<Vec<u8>>(), "f16, {threads} threads");
    }
}

#[test]
fn every_reduction_of_every_type() {
    let f64s = |numbers: &[f64]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let f32s = |numbers: &[f32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let i32s = |numbers: &[i32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let i64s = |numbers: &[i64]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let check = |dtype, reduction, rows: &[Vec<u8>], expected: Vec<u8>| {
        let found = all_reduce(dtype, reduction, rows, 1);
        assert_eq!(found, expected, "{reduction:?} of {dtype:?}");
    };
    let rows = [f64s(&[2.0, -3.0]), f64s(&[5.0, 7.0]), f64s(&[0.5, 1.0])];
    check(DType::F64, Reduction::Sum, &rows, f64s(&[7.5, 5.0]));
    check(DType::F64, Reduction::Prod, &rows, f64s(&[5.0, -21.0]));
    check(DType::F64, Reduction::Min, &rows, f64s(&[0.5, -3.0]));
    check(DType::F64, Reduction::Max, &rows, f64s(&[5.0, 7.0]));
    let rows = [i32s(&[i32::MAX, -3]), i32s(&[1, 4])];
    check(DType::I32, Reduction::Sum, &rows, i32s(&[i32::MIN, 1]));
    check(DType::I32, Reduction::Prod, &rows, i32s(&[i32::MAX, -12]));
    check(DType::I32, Reduction::Max, &rows, i32s(&[i32::MAX, 4]));
    check(DType::I32, Reduction::Min, &rows, i32s(&[1, -3]));
    let rows = [i64s(&[1 << 60, -3]), i64s(&[5, 1 << 61])];
    check(DType::I64, Reduction::Sum, &rows, i64s(&[(1 << 60) + 5, (1 << 61) - 3]));
    let rows = [vec![0, 1, 0, 1], vec![0, 0, 1, 1]];
    check(DType::Bool, Reduction::Any, &rows, vec![0, 1, 1, 1]);
    check(DType::Bool, Reduction::All, &rows, vec![0, 0, 0, 1]);

    // NaN wins wherever it stands; infinities do not make one.
    let inf = f32::INFINITY;
    let rows = [f32s(&[f32::NAN, 1.0, -inf]), f32s(&[1.0, f32::NAN, -inf])];
    for reduction in [Reduction::Max, Reduction::Min, Reduction::LogSumExp] {
        let found = all_reduce(DType::F32, reduction, &rows, 1);
        let found: Vec<f32> =
            found.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        assert!(
            found[0].is_nan() && found[1].is_nan() && found[2] == -inf,
            "{reduction:?}: {found:?}"
        );
    }
    let inf = f64::INFINITY;
    // exp(1000) overflows; the result must not. Two ulps for the logarithm and the addition.
    let rows = [f64s(&[1000.0, -inf, inf]), f64s(&[1000.0, 3.0, 0.0]), f64s(&[999.0, -inf, 0.0])];
    let found = all_reduce(DType::F64, Reduction::LogSumExp, &rows, 1);
    let found: Vec<f64> = found.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
    let expected = 1000.0 + (2.0 + (-1.0f64).exp()).ln();
    assert!((found[0] - expected).abs() <= 2.0 * expected * f64::EPSILON, "{found:?}");
    assert_eq!(found[1..], [3.0, inf]);
}
