//! Random instances of the rules' left sides.

use crate::build::{add, constant, guarded_ein, map, reduce, rename, scale};
use crate::index::IndexSet;
use crate::lang::{MapFn, Node, Scalar};
use crate::testing::{Sample, set};
use egg::Id;
use einmesh_ir::{BinaryOp, DType, Reducer, UnaryOp};

/// A random sum of products: two to four factors, perhaps guarded, perhaps with a coefficient.
fn product(s: &mut Sample) -> Id {
    let n = 2 + s.below(3);
    let bag: Vec<Id> = (0..n).map(|_| factor(s)).collect();
    ein_over(s, &bag)
}

/// An einsum of the factors with a random result.
fn ein_over(s: &mut Sample, bag: &[Id]) -> Id {
    let guard = (s.below(3) == 0).then(|| s.at_most(1, 3));
    let mut all = bag.iter().fold(IndexSet::EMPTY, |i, f| i | s.indices(*f));
    if guard.is_some() {
        all = all | set(&[1, 3]);
    }
    let mut out = s.some(all);
    if s.below(4) == 0 {
        // A broadcast over an index that nothing has.
        out = out | (set(&[0, 2, 4, 5]) - all);
    }
    let k = if s.below(2) == 0 { Scalar::ONE } else { s.coefficient() };
    guarded_ein(&mut s.graph, out, k, guard, bag)
}

fn factor(s: &mut Sample) -> Id {
    let own = s.some(set(&[0, 1, 2, 3, 4]));
    s.leaf(own)
}

/// A product among whose factors are products.
fn nested(s: &mut Sample) -> Id {
    let (inner, other) = (product(s), factor(s));
    ein_over(s, &[inner, other])
}

/// A sum of two random terms.
fn sum(s: &mut Sample) -> Id {
    let (a, b) = (factor(s), factor(s));
    add(&mut s.graph, &[a, b])
}

/// A reduction of `x` over index 1 and perhaps another, perhaps guarded.
fn reduction(s: &mut Sample, reducer: Reducer, x: Id) -> Id {
    let guard = (s.below(2) == 0).then(|| s.at_most(1, 3));
    let all = s.indices(x) | if guard.is_some() { set(&[1, 3]) } else { IndexSet::EMPTY };
    let out = all - set(&[1]) - s.some(set(&[0]));
    reduce(&mut s.graph, reducer, out, guard, x)
}

fn extreme(s: &mut Sample) -> Reducer {
    [Reducer::Max, Reducer::Min][s.below(2) as usize]
}

/// A term renamed from indices 0 and 1 to their twins, perhaps exchanging the first pair.
fn renamed(s: &mut Sample, x: Id) -> Id {
    let own = s.indices(x);
    let pairs = [vec![(0, 2), (2, 0)], vec![(0, 2)], vec![(1, 3)], vec![(0, 2), (1, 3)]];
    let fits: Vec<_> = pairs.into_iter().filter(|p| own.renamed(p).is_some()).collect();
    let n = s.below(fits.len().max(1) as u64) as usize;
    fits.get(n).map_or(x, |pairs| rename(&mut s.graph, pairs, x))
}

/// Exponentials of `x` or `x − m`, and their guarded sum over index 1: (exponential, sum, m).
fn exponentials(s: &mut Sample) -> (Id, Id, Id) {
    let own = s.some(set(&[0, 2])) | set(&[1, 3]);
    let x = s.leaf(own);
    let out = own - set(&[1]);
    let top = s.leaf(out);
    let negated = scale(&mut s.graph, Scalar::new(-1.0), top);
    let y = if s.below(2) == 0 { add(&mut s.graph, &[x, negated]) } else { x };
    let exp = s.unary(UnaryOp::Exp, y);
    let guard = (s.below(2) == 0).then(|| s.at_most(1, 3));
    let sum = guarded_ein(&mut s.graph, out, Scalar::ONE, guard, &[exp]);
    (exp, sum, top)
}

/// An instance of what the rule of this name looks for.
pub(super) fn instance(rule: &str, s: &mut Sample) -> Id {
    match rule {
        // A mean of nothing is undefined.
        "flatten-product" if s.below(8) == 0 => {
            let guard = if s.below(2) == 0 { s.below_index(3, 1) } else { s.at_most(1, 3) };
            let (x, y) = (s.leaf(set(&[1, 3])), s.leaf(set(&[1])));
            let mut sum = |x| guarded_ein(&mut s.graph, set(&[3]), Scalar::ONE, Some(guard), &[x]);
            let (total, count) = (sum(x), sum(y));
            let each = map(&mut s.graph, MapFn::Recip, &[count]);
            guarded_ein(&mut s.graph, set(&[3]), Scalar::ONE, None, &[total, each])
        }
        "flatten-product" => nested(s),
        "split-product" | "contraction-order" => product(s),
        "coefficient-out" => {
            let (inner, other) = (product(s), factor(s));
            let k = s.coefficient();
            let inner = scale(&mut s.graph, k, inner);
            ein_over(s, &[inner, other])
        }
        "hoist-from-guard" => guarded_sum(s),
        // A row of softmax: its sum is of nothing where the guard excludes all.
        "unguard" if s.below(4) == 0 => {
            let guard = if s.below(2) == 0 { s.below_index(3, 1) } else { s.at_most(1, 3) };
            let x = s.leaf(set(&[1, 3]));
            let masked = guarded_ein(&mut s.graph, set(&[1, 3]), Scalar::ONE, Some(guard), &[x]);
            let total = guarded_ein(&mut s.graph, set(&[3]), Scalar::ONE, Some(guard), &[x]);
            let each = map(&mut s.graph, MapFn::Recip, &[total]);
            guarded_ein(&mut s.graph, set(&[1, 3]), Scalar::ONE, Some(guard), &[masked, each])
        }
        "unguard" => {
            let own = s.some(set(&[0, 1, 3]));
            let (inner, outer) = (s.at_most(1, 3), s.at_most(1, 3));
            let x = s.leaf(own);
            let out = if s.below(2) == 0 { own | set(&[1, 3]) } else { set(&[3]) };
            let masked = guarded_ein(&mut s.graph, out, Scalar::ONE, Some(inner), &[x]);
            let other = factor(s);
            let all = out | s.indices(other) | set(&[1, 3]);
            let (out, k) = (s.some(all), s.coefficient());
            guarded_ein(&mut s.graph, out, k, Some(outer), &[masked, other])
        }
        "constant-factor" => {
            let c = constant(&mut s.graph, DType::F64, 0.75);
            let x = factor(s);
            let bag = if s.below(4) == 0 { vec![c, c] } else { vec![c, x] };
            ein_over(s, &bag)
        }
        "flatten-sum" => {
            let (inner, other) = (sum(s), factor(s));
            add(&mut s.graph, &[inner, other])
        }
        "common-factor" => common_factor(s),
        "common-coefficient" => {
            let k = s.coefficient();
            let (a, b) = (product(s), product(s));
            let (a, b) = (scale(&mut s.graph, k, a), scale(&mut s.graph, k, b));
            add(&mut s.graph, &[a, b])
        }
        "like-terms" => {
            let (x, other) = (product(s), factor(s));
            let k = s.coefficient();
            let scaled = scale(&mut s.graph, k, x);
            let again = if s.below(2) == 0 { x } else { scaled };
            add(&mut s.graph, &[scaled, again, other])
        }
        "constant-term" => {
            let x = factor(s);
            let zero = constant(&mut s.graph, DType::F64, 0.0);
            let (a, b) =
                (constant(&mut s.graph, DType::F64, 0.25), constant(&mut s.graph, DType::F64, 3.0));
            let terms = if s.below(2) == 0 { vec![x, a, b] } else { vec![x, zero] };
            add(&mut s.graph, &terms)
        }
        "distribute" => {
            let (inner, other) = (sum(s), factor(s));
            let all = s.indices(inner) | s.indices(other);
            let (out, k) = (s.some(all), s.coefficient());
            guarded_ein(&mut s.graph, out, k, None, &[inner, other])
        }
        "rename-twice" => {
            let x = factor(s);
            let once = renamed(s, x);
            renamed(s, once)
        }
        "rename-product" => {
            let x = product(s);
            renamed(s, x)
        }
        "rename-sum" => {
            let x = sum(s);
            renamed(s, x)
        }
        "rename-function" => {
            let x = factor(s);
            let y = if s.below(4) == 0 { s.position(0) } else { s.unary(UnaryOp::Exp, x) };
            renamed(s, y)
        }
        "rename-reduction" => {
            let x = s.leaf(set(&[0, 1, 4]));
            let (reducer, own) = (extreme(s), s.some(set(&[0, 1])));
            let out = own | set(&[4]);
            let guard = (s.below(2) == 0).then(|| s.at_most(1, 0));
            let y = reduce(&mut s.graph, reducer, out, guard, x);
            renamed(s, y)
        }
        "power-product" => power(s, &[2.0, 3.0]),
        "power-root" => power(s, &[0.5, -0.5, -1.0, 1.0]),
        "reciprocal" => {
            let x = factor(s);
            let f = [UnaryOp::Sqrt, UnaryOp::Rsqrt, UnaryOp::Exp][s.below(3) as usize];
            let y = s.unary(f, x);
            let once = map(&mut s.graph, MapFn::Recip, &[y]);
            map(&mut s.graph, MapFn::Recip, &[once])
        }
        "reciprocal-product" => {
            let (a, b, c) = (factor(s), factor(s), factor(s));
            let a = map(&mut s.graph, MapFn::Recip, &[a]);
            let b = map(&mut s.graph, MapFn::Recip, &[b]);
            ein_over(s, &[a, b, c])
        }
        "log-of-exp" => {
            let x = factor(s);
            let y = s.unary(UnaryOp::Exp, x);
            s.unary(UnaryOp::Log, y)
        }
        "exp-of-log" => {
            let (_, sum, _) = exponentials(s);
            let y = s.unary(UnaryOp::Log, sum);
            s.unary(UnaryOp::Exp, y)
        }
        "twice" => {
            let x = factor(s);
            let f = [UnaryOp::Neg, UnaryOp::Abs, UnaryOp::Floor][s.below(3) as usize];
            let once = s.unary(f, x);
            s.unary(f, once)
        }
        "same-arguments" => {
            let x = s.leaf(set(&[1, 3]));
            let other = s.leaf(set(&[1, 3]));
            let condition = s.at_most(1, 3);
            match s.below(3) {
                0 => map(&mut s.graph, MapFn::Select, &[condition, x, x]),
                1 => map(&mut s.graph, MapFn::Select, &[condition, x, other]),
                _ => map(&mut s.graph, MapFn::Binary(BinaryOp::Max), &[x, x]),
            }
        }
        "conversion" => {
            let own = s.some(set(&[0, 1]));
            let (dtype, through) =
                [(DType::F32, DType::F64), (DType::F64, DType::F32), (DType::F64, DType::F64)]
                    [s.below(3) as usize];
            let x = s.typed_leaf(dtype, own);
            let away = map(&mut s.graph, MapFn::Cast(through), &[x]);
            map(&mut s.graph, MapFn::Cast(dtype), &[away])
        }
        "constant-function" => {
            let value = [0.25, 2.0, -3.0][s.below(3) as usize];
            let c = constant(&mut s.graph, DType::F64, value);
            let x = factor(s);
            let f = [MapFn::Recip, MapFn::Unary(UnaryOp::Sqrt), MapFn::Unary(UnaryOp::Abs)]
                [s.below(3) as usize];
            let y = map(&mut s.graph, f, &[c]);
            add(&mut s.graph, &[x, y])
        }
        "merge-reductions" => {
            let (x, r) = (s.leaf(set(&[0, 1, 3, 4])), extreme(s));
            let inner = if s.below(3) == 0 { Reducer::LogSumExp } else { r };
            let out = s.some(set(&[0, 3])) | set(&[4]);
            let y = reduction(s, inner, x);
            let guard = (s.below(2) == 0).then(|| s.at_most(4, 5));
            let out = if guard.is_some() { out | set(&[5]) } else { out & s.indices(y) };
            let outer = if inner == Reducer::LogSumExp { inner } else { r };
            let out = out & (s.indices(y) | set(&[5]));
            reduce(&mut s.graph, outer, out, guard, y)
        }
        "split-reduction" => {
            let own = s.some(set(&[0, 2])) | set(&[1, 3]);
            let x = s.leaf(own);
            let r = [Reducer::Max, Reducer::Min, Reducer::LogSumExp][s.below(3) as usize];
            reduce(&mut s.graph, r, own - set(&[1, 3]), None, x)
        }
        "max-of-multiple" => {
            let own = s.some(set(&[0, 2])) | set(&[1, 3]);
            let (x, k, r) = (s.leaf(own), s.coefficient(), extreme(s));
            let x = scale(&mut s.graph, k, x);
            reduction(s, r, x)
        }
        "max-of-shifted" => {
            let own = s.some(set(&[0, 2])) | set(&[1, 3]);
            let (x, other) = (s.leaf(own), s.some(set(&[0, 1, 2, 3])));
            let shift = s.leaf(other);
            let y = add(&mut s.graph, &[x, shift]);
            let r = [Reducer::Max, Reducer::Min, Reducer::LogSumExp][s.below(3) as usize];
            reduction(s, r, y)
        }
        "max-of-monotone" => {
            let own = s.some(set(&[0, 2])) | set(&[1, 3]);
            let x = s.leaf(own);
            let f = [UnaryOp::Exp, UnaryOp::Tanh, UnaryOp::Cos][s.below(3) as usize];
            let (y, r) = (s.unary(f, x), extreme(s));
            reduce(&mut s.graph, r, own - set(&[1]), None, y)
        }
        "log-sum-exp" => {
            let (_, sum, top) = exponentials(s);
            let log = s.unary(UnaryOp::Log, sum);
            if s.below(2) == 0 { log } else { add(&mut s.graph, &[log, top]) }
        }
        "online-softmax" => {
            let (exp, sum, _) = exponentials(s);
            let over = map(&mut s.graph, MapFn::Recip, &[sum]);
            let v = s.leaf(set(&[1, 4]));
            let bag = if s.below(2) == 0 { vec![exp, over] } else { vec![exp, over, v] };
            ein_over(s, &bag)
        }
        other => unreachable!("rule `{other}` has no instances"),
    }
}

fn power(s: &mut Sample, exponents: &[f64]) -> Id {
    let x = factor(s);
    let n = s.below(exponents.len() as u64) as usize;
    let exponent = constant(&mut s.graph, DType::F64, exponents[n]);
    map(&mut s.graph, MapFn::Binary(BinaryOp::Pow), &[x, exponent])
}

/// A sum under a guard that may exclude everything, with the reciprocal of such a sum as factor.
fn guarded_sum(s: &mut Sample) -> Id {
    let (a, b) = (s.leaf(set(&[1, 3])), s.leaf(set(&[1, 4])));
    let own = s.some(set(&[3, 4, 1]));
    let other = s.leaf(own);
    let zero = s.graph.add(Node::Const(DType::I32, 0));
    let one = s.graph.add(Node::Const(DType::I32, 1));
    let (u, t) = (s.position(1), s.position(3));
    let (low, high) = [(u, t), (one, u), (zero, u)][s.below(3) as usize];
    let guard = map(&mut s.graph, MapFn::Binary(BinaryOp::Le), &[low, high]);
    let sum = guarded_ein(&mut s.graph, set(&[3]), Scalar::ONE, Some(guard), &[a]);
    let over = map(&mut s.graph, MapFn::Recip, &[sum]);
    let k = s.coefficient();
    guarded_ein(&mut s.graph, set(&[3, 4]), k, Some(guard), &[a, b, other, over])
}

/// Two products that share a factor.
fn common_factor(s: &mut Sample) -> Id {
    let shared = factor(s);
    let a = factor(s);
    let b = if s.below(2) == 0 { factor(s) } else { s.leaf(s.indices(a)) };
    let out = s.some(set(&[0, 1, 2, 3, 4]));
    let guard = (s.below(3) == 0).then(|| s.at_most(1, 3));
    let (k, l) = (s.coefficient(), s.coefficient());
    let x = guarded_ein(&mut s.graph, out, k, guard, &[shared, a]);
    let y = guarded_ein(&mut s.graph, out, l, guard, &[shared, b]);
    let other = s.leaf(out);
    let terms = if s.below(2) == 0 { vec![x, y] } else { vec![x, y, other] };
    add(&mut s.graph, &terms)
}
