//! Which piece of whose input makes which piece of whose output.

use einmesh_artifact::Collective;

/// The data movement of a collective in a group: the elements of its result, counted from 0, in
/// contiguous pieces of one size.
///
/// Where all members receive the same (all-reduce, all-gather), the result is counted once and written
/// to all; otherwise the members' results are counted one after the other.
pub(crate) struct Pattern {
    kind: Kind,
    /// The elements of the result.
    pub(crate) elements: u64,
    /// The elements of a piece; at least 1.
    pub(crate) piece_elements: u64,
    members: u64,
}

/// A piece of the result.
pub(crate) struct Piece {
    pub(crate) source: Source,
    /// Where it starts in the source's input, in elements.
    pub(crate) source_offset: u64,
    /// Who receives it; `None` for all.
    pub(crate) target: Option<usize>,
    /// Where it starts in the target's output.
    pub(crate) target_offset: u64,
}

/// Where a piece comes from.
pub(crate) enum Source {
    /// Nowhere.
    Zeros,
    /// A member's input.
    Member(usize),
    /// All inputs, combined in the group's order.
    All,
}

/// What distinguishes the collectives, with the extents that their offsets need.
enum Kind {
    AllReduce,
    /// The input is `[outer, piece]`.
    AllGather,
    /// The input is `[outer, members, piece]`.
    ReduceScatter {
        outer: u64,
    },
    /// The input is `[outer, members, split, middle, piece]`, the output
    /// `[outer, split, middle, members, piece]`.
    SplitBefore {
        outer: u64,
        split: u64,
        middle: u64,
    },
    /// The input is `[outer, middle, members, piece]`, the output `[outer, members, middle, piece]`.
    SplitAfter {
        outer: u64,
        middle: u64,
    },
    Permute {
        shift: i64,
        wrap: bool,
    },
}

impl Pattern {
    /// The movement of a collective whose members each give a tensor of these extents.
    pub(crate) fn new(collective: &Collective, members: u64, extents: &[u64]) -> Pattern {
        let product = |range: &[u64]| range.iter().product::<u64>();
        let length = product(extents);
        let (kind, elements, piece) = match *collective {
            Collective::AllReduce { .. } => (Kind::AllReduce, length, length),
            Collective::AllGather { position } => {
                let piece = product(&extents[position as usize..]);
                (Kind::AllGather, length * members, piece)
            }
            Collective::ReduceScatter { position, .. } => {
                let position = position as usize;
                let outer = product(&extents[..position]);
                let piece = product(&extents[position..]) / members;
                (Kind::ReduceScatter { outer }, length, piece)
            }
            Collective::AllToAll { split, concat } if split < concat => {
                let (s, c) = (split as usize, concat as usize);
                let kind = Kind::SplitBefore {
                    outer: product(&extents[..s]),
                    split: extents[s] / members,
                    middle: product(&extents[s + 1..c]),
                };
                (kind, length * members, product(&extents[c..]))
            }
            Collective::AllToAll { split, concat } => {
                let (s, c) = (split as usize, concat as usize);
                let kind = Kind::SplitAfter {
                    outer: product(&extents[..c]),
                    middle: product(&extents[c..s]),
                };
                (kind, length * members, product(&extents[s..]) / members)
            }
            Collective::CollectivePermute { shift, wrap } => {
                (Kind::Permute { shift, wrap }, length * members, length)
            }
        };
        Pattern { kind, elements, piece_elements: piece.max(1), members }
    }

    /// The piece that an element of the result lies in.
    pub(crate) fn piece(&self, element: u64) -> Piece {
        let n = self.members;
        let length = self.piece_elements;
        let number = element / length;
        match self.kind {
            Kind::AllReduce => {
                Piece { source: Source::All, source_offset: 0, target: None, target_offset: 0 }
            }
            Kind::AllGather => Piece {
                source: Source::Member((number % n) as usize),
                source_offset: number / n * length,
                target: None,
                target_offset: number * length,
            },
            Kind::ReduceScatter { outer } => {
                let (member, o) = (number / outer, number % outer);
                Piece {
                    source: Source::All,
                    source_offset: (o * n + member) * length,
                    target: Some(member as usize),
                    target_offset: o * length,
                }
            }
            Kind::SplitBefore { outer, split, middle } => {
                // The number within the target's output, whose pieces are [outer, split, middle, n].
                let per_member = outer * split * middle * n;
                let (member, within) = (number / per_member, number % per_member);
                let (place, from) = (within / n, within % n);
                let (o, rest) = (place / (split * middle), place % (split * middle));
                Piece {
                    source: Source::Member(from as usize),
                    source_offset: ((o * n + member) * split * middle + rest) * length,
                    target: Some(member as usize),
                    target_offset: within * length,
                }
            }
            Kind::SplitAfter { outer, middle } => {
                // The pieces of an output are [outer, n, middle].
                let per_member = outer * n * middle;
                let (member, within) = (number / per_member, number % per_member);
                let (o, rest) = (within / (n * middle), within % (n * middle));
                let (from, m) = (rest / middle, rest % middle);
                Piece {
                    source: Source::Member(from as usize),
                    source_offset: ((o * middle + m) * n + member) * length,
                    target: Some(member as usize),
                    target_offset: within * length,
                }
            }
            Kind::Permute { shift, wrap } => {
                // In 128 bits no shift overflows.
                let from = i128::from(number) - i128::from(shift);
                let source = match (0..i128::from(n)).contains(&from) {
                    true => Source::Member(from as usize),
                    false if wrap => Source::Member(from.rem_euclid(i128::from(n)) as usize),
                    false => Source::Zeros,
                };
                Piece { source, source_offset: 0, target: Some(number as usize), target_offset: 0 }
            }
        }
    }
}
