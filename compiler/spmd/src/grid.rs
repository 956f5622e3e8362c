//! Blocks: how the positions of a dim are dealt out over mesh axes.
//!
//! The device with linear coordinate c on a dim's axes holds the positions from c × L, where
//! L = ⌈extent / devices⌉. Blocks have equal extents on all devices, so the last ones may hold
//! padding, and with more devices than positions some hold nothing else.

use einmesh_ir::{BinaryOp, DType, Expr, Literal, Mesh, MeshAxisId, Reducer};

/// The arithmetic of blocks on a mesh.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    /// The devices.
    pub mesh: Mesh,
}

impl Grid {
    /// The number of blocks.
    pub fn parts(&self, axes: &[MeshAxisId]) -> u64 {
        self.mesh.size_of(axes)
    }

    /// The extent of a block.
    pub fn local(&self, extent: u64, axes: &[MeshAxisId]) -> u64 {
        extent.div_ceil(self.parts(axes))
    }

    /// Whether some block holds padding.
    pub fn uneven(&self, extent: u64, axes: &[MeshAxisId]) -> bool {
        self.local(extent, axes) * self.parts(axes) != extent
    }

    /// Whether each block over `axes` is exactly the concatenation of its blocks over `axes`
    /// followed by `minor`. Always so when the axes divide the extent.
    pub fn nests(&self, extent: u64, axes: &[MeshAxisId], minor: &[MeshAxisId]) -> bool {
        let all = [axes, minor].concat();
        self.local(extent, axes) == self.local(extent, &all) * self.parts(minor)
    }

    /// This device's linear coordinate on `axes`, the first slowest.
    pub fn coordinate(&self, axes: &[MeshAxisId]) -> Expr {
        let mut linear: Option<Expr> = None;
        for axis in axes {
            let here = Expr::Coord(*axis);
            linear = Some(match linear {
                Some(major) => {
                    let size = self.mesh.axes[*axis].size as i64;
                    add(mul(major, Expr::int(size)), here)
                }
                None => here,
            });
        }
        linear.unwrap_or_else(|| Expr::int(0))
    }

    /// Where this device's block starts.
    pub fn start(&self, extent: u64, axes: &[MeshAxisId]) -> Expr {
        mul(self.coordinate(axes), Expr::int(self.local(extent, axes) as i64))
    }

    /// The global position of a local one.
    pub fn position(&self, local: Expr, extent: u64, axes: &[MeshAxisId]) -> Expr {
        match axes {
            [] => local,
            _ => add(self.start(extent, axes), local),
        }
    }

    /// Whether this device is the first along each of `axes`.
    pub fn is_first(&self, axes: &[MeshAxisId]) -> Expr {
        binary(BinaryOp::Eq, self.coordinate(axes), Expr::int(0))
    }
}

/// What does not change a combination: the reducer's identity.
pub(crate) fn identity(reducer: Reducer, dtype: DType) -> Expr {
    let number = |value: f64, int: i64| match dtype {
        DType::Bool => Literal::Bool(int != 0),
        _ if dtype.is_float() => Literal::Float(dtype, value),
        _ => Literal::Int(dtype, int),
    };
    let (smallest, largest) = match dtype {
        DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    Expr::Literal(match reducer {
        Reducer::None | Reducer::Sum | Reducer::Any | Reducer::ArgMax | Reducer::ArgMin => {
            number(0.0, 0)
        }
        Reducer::Prod | Reducer::All => number(1.0, 1),
        Reducer::Max | Reducer::LogSumExp => number(f64::NEG_INFINITY, smallest),
        Reducer::Min => number(f64::INFINITY, largest),
    })
}

/// Zero, of any dtype.
pub(crate) fn zero(dtype: DType) -> Expr {
    identity(Reducer::Sum, dtype)
}

/// Whether devices can combine partial results of this type elementwise.
pub(crate) fn combines(reducer: Reducer, dtype: DType) -> bool {
    let number = dtype.is_float() || dtype.is_int();
    match reducer {
        Reducer::Sum | Reducer::Prod | Reducer::Max | Reducer::Min => number,
        Reducer::Any | Reducer::All => dtype == DType::Bool,
        Reducer::None | Reducer::ArgMax | Reducer::ArgMin | Reducer::LogSumExp => false,
    }
}

pub(crate) fn binary(op: BinaryOp, a: Expr, b: Expr) -> Expr {
    Expr::binary(op, a, b)
}

pub(crate) fn add(a: Expr, b: Expr) -> Expr {
    binary(BinaryOp::Add, a, b)
}

pub(crate) fn sub(a: Expr, b: Expr) -> Expr {
    binary(BinaryOp::Sub, a, b)
}

pub(crate) fn mul(a: Expr, b: Expr) -> Expr {
    match (&a, &b) {
        (_, Expr::Literal(Literal::Int(_, 1))) => a,
        _ => binary(BinaryOp::Mul, a, b),
    }
}

/// Conjunction of conditions; `None` if there are none.
pub(crate) fn all(conditions: impl IntoIterator<Item = Expr>) -> Option<Expr> {
    conditions.into_iter().reduce(|a, b| binary(BinaryOp::And, a, b))
}

/// The integer type of a subscript's literals must be that of the subscript.
pub(crate) fn int_like(dtype: DType, value: u64) -> Expr {
    Expr::Literal(Literal::Int(dtype, value as i64))
}

/// `0 ≤ position < extent`; `dtype` is the position's.
pub(crate) fn in_range(position: Expr, extent: u64, dtype: DType) -> Expr {
    let low = binary(BinaryOp::Ge, position.clone(), int_like(dtype, 0));
    let high = binary(BinaryOp::Lt, position, int_like(dtype, extent));
    binary(BinaryOp::And, low, high)
}

/// `position` moved into `0..extent`; `dtype` is the position's.
pub(crate) fn clamp(position: Expr, extent: u64, dtype: DType) -> Expr {
    let last = int_like(dtype, extent.saturating_sub(1));
    let low = binary(BinaryOp::Max, position, int_like(dtype, 0));
    binary(BinaryOp::Min, low, last)
}
