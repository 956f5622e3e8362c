//! The numeric judge of rules: every node of a class must compute the same numbers.

use crate::build;
use crate::index::{IndexNumber, IndexSet};
use crate::lang::{Graph, MapFn, Node, Scalar};
use crate::saturate::class_ids;
use crate::table::Table;
use egg::{Id, Language};
use einmesh_ir::{BinaryOp, Builder, DType, DimId, Program, Reducer, UnaryOp, ValueId};
use std::collections::BTreeMap;

/// A random e-graph in the making: six indices, of which 0, 2 and 1, 3 have equal extents.
pub(crate) struct Sample {
    pub graph: Graph,
    program: Program,
    dims: Vec<DimId>,
    state: u64,
    leaves: u32,
}

impl Sample {
    pub fn new(seed: u64) -> Sample {
        let mut b = Builder::new("sample");
        let mut s = Sample {
            graph: Graph::new(Table::default()),
            program: Program::default(),
            dims: vec![],
            state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            leaves: 0,
        };
        let (p, q) = (1 + s.below(3), 1 + s.below(3));
        let extents = [p, q, p, q, 1 + s.below(3), 1 + s.below(2)];
        s.dims = extents.iter().enumerate().map(|(n, e)| b.dim(&format!("D{n}"), *e)).collect();
        if s.below(2) == 0 {
            // Shifts which leaves have mixed signs.
            b.value("unused", DType::F64, &[]);
        }
        s.program = b.finish();
        for dim in s.dims.clone() {
            s.graph.analysis.index(&s.program, dim, 0).expect("few indices");
        }
        s
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % n
    }

    /// A random subset.
    pub fn some(&mut self, of: IndexSet) -> IndexSet {
        of.iter().filter(|_| self.below(2) == 0).collect()
    }

    pub fn leaf(&mut self, indices: IndexSet) -> Id {
        self.typed_leaf(DType::F64, indices)
    }

    pub fn typed_leaf(&mut self, dtype: DType, indices: IndexSet) -> Id {
        let mut b = Builder { program: std::mem::take(&mut self.program) };
        let dims: Vec<DimId> = indices.iter().map(|i| self.dims[i as usize]).collect();
        self.leaves += 1;
        let value = b.value(&format!("x{}", self.leaves), dtype, &dims);
        self.program = b.finish();
        self.graph.analysis.add_value(&self.program, value).expect("few indices");
        self.graph.add(Node::Leaf(value))
    }

    /// A coefficient other than 1, of either sign.
    pub fn coefficient(&mut self) -> Scalar {
        Scalar::new([2.0, -1.0, 0.5, -3.0][self.below(4) as usize])
    }

    pub fn unary(&mut self, op: UnaryOp, x: Id) -> Id {
        build::map(&mut self.graph, MapFn::Unary(op), &[x])
    }

    pub fn position(&mut self, index: IndexNumber) -> Id {
        self.graph.add(Node::Position(index))
    }

    /// The condition `a <= b` on positions.
    pub fn at_most(&mut self, a: IndexNumber, b: IndexNumber) -> Id {
        let (a, b) = (self.position(a), self.position(b));
        build::map(&mut self.graph, MapFn::Binary(BinaryOp::Le), &[a, b])
    }

    /// The condition `a < b` on positions: of twins, it leaves nothing where `a` is last.
    pub fn below_index(&mut self, a: IndexNumber, b: IndexNumber) -> Id {
        let (a, b) = (self.position(a), self.position(b));
        build::map(&mut self.graph, MapFn::Binary(BinaryOp::Lt), &[a, b])
    }

    pub fn indices(&self, id: Id) -> IndexSet {
        self.graph[id].data.indices
    }
}

/// The set of these indices.
pub(crate) fn set(indices: &[IndexNumber]) -> IndexSet {
    indices.iter().copied().collect()
}

/// Evaluates every class and compares all of its nodes: how many, or what differs.
pub(crate) fn judge(graph: &Graph) -> Result<usize, String> {
    let mut values: BTreeMap<Id, Vec<f64>> = BTreeMap::new();
    let ids = class_ids(graph);
    loop {
        let before = values.len();
        for id in &ids {
            if !values.contains_key(id) {
                let found = graph[*id].nodes.iter().find_map(|n| evaluate(graph, n, *id, &values));
                if let Some(value) = found {
                    values.insert(*id, value);
                }
            }
        }
        if values.len() == before {
            break;
        }
    }
    let mut compared = 0;
    for id in &ids {
        for node in &graph[*id].nodes {
            let Some(value) = evaluate(graph, node, *id, &values) else {
                continue;
            };
            compared += 1;
            let same = |(a, b): (&f64, &f64)| {
                // Both undefined says nothing; one undefined is a difference.
                !a.is_finite() && !b.is_finite()
                    || (a - b).abs() <= 1e-9 * (1.0 + a.abs() + b.abs())
            };
            if !value.iter().zip(&values[id]).all(same) {
                return Err(format!("{node:?} is {value:?}, its class {:?}", values[id]));
            }
        }
    }
    Ok(compared)
}

/// A point of the index space: one position per index.
type Point = Vec<u64>;

fn points(table: &Table, set: IndexSet) -> Vec<Point> {
    let mut all = vec![vec![0; table.indices.len()]];
    for i in set.iter() {
        let extend = |p: &Point| {
            let mut p = p.clone();
            (0..table.extent(i))
                .map(|x| {
                    p[i as usize] = x;
                    p.clone()
                })
                .collect::<Vec<_>>()
        };
        all = all.iter().flat_map(extend).collect();
    }
    all
}

fn offset(table: &Table, set: IndexSet, point: &Point) -> usize {
    set.iter().fold(0, |n, i| n * table.extent(i) as usize + point[i as usize] as usize)
}

/// A leaf's number at a point: leaves alternate between positive and mixed signs.
fn noise(value: ValueId, at: usize) -> f64 {
    let x = (u64::from(value.0) * 1_000_003 + at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let unit =
        ((x ^ x >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 11) as f64 / (1u64 << 53) as f64;
    let magnitude = 0.3 + 1.4 * unit;
    if value.0 % 2 == 1 && x >> 7 & 1 == 1 { -magnitude } else { magnitude }
}

fn evaluate(
    graph: &Graph,
    node: &Node,
    class: Id,
    values: &BTreeMap<Id, Vec<f64>>,
) -> Option<Vec<f64>> {
    let table = &graph.analysis;
    let out = graph[class].data.indices;
    let children: Vec<(IndexSet, &Vec<f64>)> = node
        .children()
        .iter()
        .map(|c| Some((graph[*c].data.indices, values.get(&graph.find(*c))?)))
        .collect::<Option<_>>()?;
    let inner = children.iter().fold(out, |s, c| s | c.0);
    let at = |n: usize, p: &Point| children[n].1[offset(table, children[n].0, p)];
    let all = points(table, if matches!(node, Node::Rename(..)) { out } else { inner });
    let mut places: Vec<Vec<f64>> = vec![vec![]; points(table, out).len()];
    for p in &all {
        let place = offset(table, out, p);
        let args = |from: usize| (from..children.len()).map(|n| at(n, p)).collect::<Vec<f64>>();
        let number = match node {
            Node::Leaf(v) if table.dtype(*v) == DType::F32 => f64::from(noise(*v, place) as f32),
            Node::Leaf(v) => noise(*v, place),
            Node::Const(dtype, bits) if dtype.is_float() => f64::from_bits(*bits),
            Node::Const(_, bits) => *bits as i64 as f64,
            Node::Position(i) => p[*i as usize] as f64,
            Node::Ein { guarded, coefficient, .. } => {
                if *guarded && at(0, p) == 0.0 {
                    continue;
                }
                coefficient.value() * args(usize::from(*guarded)).iter().product::<f64>()
            }
            Node::Reduce { guarded, .. } => {
                if *guarded && at(0, p) == 0.0 {
                    continue;
                }
                at(usize::from(*guarded), p)
            }
            Node::Add(_) => args(0).iter().sum(),
            Node::Map(f, _) => function(*f, &args(0))?,
            Node::Rename(pairs, _) => {
                let mut inside = p.clone();
                pairs.iter().for_each(|(f, t)| inside[*f as usize] = p[*t as usize]);
                at(0, &inside)
            }
            _ => return None,
        };
        places[place].push(number);
    }
    let reducer = match node {
        Node::Reduce { reducer, .. } => *reducer,
        _ => Reducer::Sum,
    };
    Some(places.iter().map(|xs| combine(reducer, xs)).collect())
}

fn combine(reducer: Reducer, xs: &[f64]) -> f64 {
    let largest = xs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match reducer {
        Reducer::Max => largest,
        Reducer::Min => xs.iter().copied().fold(f64::INFINITY, f64::min),
        Reducer::LogSumExp if xs.is_empty() => f64::NEG_INFINITY,
        Reducer::LogSumExp => largest + xs.iter().map(|x| (x - largest).exp()).sum::<f64>().ln(),
        _ => xs.iter().sum(),
    }
}

fn function(f: MapFn, x: &[f64]) -> Option<f64> {
    let truth = |b: bool| f64::from(u8::from(b));
    Some(match f {
        MapFn::Recip => 1.0 / x[0],
        MapFn::Select => {
            if x[0] != 0.0 {
                x[1]
            } else {
                x[2]
            }
        }
        MapFn::Cast(DType::F32) => f64::from(x[0] as f32),
        MapFn::Cast(_) => x[0],
        MapFn::Unary(op) => match op {
            UnaryOp::Neg => -x[0],
            UnaryOp::Abs => x[0].abs(),
            UnaryOp::Exp => x[0].exp(),
            UnaryOp::Log => x[0].ln(),
            UnaryOp::Sqrt => x[0].sqrt(),
            UnaryOp::Rsqrt => 1.0 / x[0].sqrt(),
            UnaryOp::Tanh => x[0].tanh(),
            UnaryOp::Cos => x[0].cos(),
            UnaryOp::Floor => x[0].floor(),
            _ => return None,
        },
        MapFn::Binary(op) => match op {
            BinaryOp::Add => x[0] + x[1],
            BinaryOp::Pow => x[0].powf(x[1]),
            BinaryOp::Max => x[0].max(x[1]),
            BinaryOp::Min => x[0].min(x[1]),
            BinaryOp::Le => truth(x[0] <= x[1]),
            BinaryOp::Lt => truth(x[0] < x[1]),
            BinaryOp::And => truth(x[0] != 0.0 && x[1] != 0.0),
            _ => return None,
        },
    })
}
