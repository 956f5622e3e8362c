//! The formulas that ties are broken with.

mod common;

use common::*;
use einmesh_ir::{CollectiveKind, DType, Op, Reducer};
use einmesh_plan::cost::{Work, wire_bytes, work};

#[test]
fn rings_send_their_textbook_bytes() {
    let all_reduce = CollectiveKind::AllReduce(Reducer::Sum);
    let gather = CollectiveKind::AllGather { position: 0 };
    let scatter = CollectiveKind::ReduceScatter { reducer: Reducer::Sum, position: 0 };
    let exchange = CollectiveKind::AllToAll { split: 0, concat: 1 };
    let shift = CollectiveKind::CollectivePermute { shift: 1, wrap: false };
    assert_eq!(wire_bytes(&all_reduce, 4, 1000), 1500);
    assert_eq!(wire_bytes(&gather, 4, 1000), 750);
    assert_eq!(wire_bytes(&scatter, 4, 1000), 750);
    assert_eq!(wire_bytes(&exchange, 4, 1000), 750);
    assert_eq!(wire_bytes(&shift, 4, 1000), 1000);
    // An all-reduce is a reduce-scatter and an all-gather.
    for n in 2..9 {
        let payload = 840 * n;
        let both = wire_bytes(&scatter, n, payload) + wire_bytes(&gather, n, payload);
        assert_eq!(wire_bytes(&all_reduce, n, payload), both);
    }
    assert_eq!(wire_bytes(&all_reduce, 1, 1000), 0, "one device sends nothing");
    assert_eq!(wire_bytes(&all_reduce, 3, 100), 134, "rounded up");
    assert_eq!(wire_bytes(&all_reduce, 4096, u64::MAX), u64::MAX, "saturates");
}

#[test]
fn a_matmul_is_two_flops_per_point() {
    let mut m = Make::new("main", &[("I", 4), ("J", 5), ("K", 6)]);
    let a = m.input("a", DType::F32, "i k");
    let b = m.input("b", DType::F32, "k j");
    m.einsum("y", "i j", "k", (a, "i k"), (b, "k j"));
    let program = m.b.finish();
    let Op::Compute(c) = &program.body.ops[0] else { panic!("a comprehension") };
    let bytes = 4 * (4 * 6 + 6 * 5 + 4 * 5);
    assert_eq!(work(&program, c), Work { flops: 2 * 4 * 5 * 6, bytes });
}
