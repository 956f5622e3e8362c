//! Entries' signatures: arguments and results in the types that the source declares, with their extents. Callers
//! in other languages are made from it.

use crate::ctx::Ctx;
use crate::dims::Axis;
use crate::types::Ty;
use einmesh_ir::DType;
use einmesh_syntax::ast::{self, FnResult};

/// What an entry takes and gives. Leaves in this order are the program's inputs; those of the results and then of
/// the `inout` arguments are its outputs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Signature {
    /// The arguments, but for those with a default, which are constants of a compilation.
    pub arguments: Vec<Argument>,
    /// The results; a single one without a name is `out`.
    pub results: Vec<(String, Type)>,
}

/// An argument of an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Whether it is returned with a new value.
    pub inout: bool,
    /// Its type.
    pub ty: Type,
}

/// A type with its extents.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Type {
    /// An array.
    Array {
        /// The element type.
        dtype: DType,
        /// The axes, those of stacking first.
        axes: Vec<AxisType>,
    },
    /// A record.
    Record {
        /// The type as it is declared, without its dims: `Block`, `rows(Params)`.
        name: String,
        /// The type as it is used: `Block[L]`, `Linear(F,D)`.
        written: String,
        /// How many axes the leaves have before those that are declared.
        stacked: usize,
        /// The fields.
        fields: Vec<(String, Type)>,
    },
}

/// An axis: one dim, or a product of several.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AxisType {
    /// As it is written: `D`, `(3,H,K)`.
    pub written: String,
    /// Its dims with their extents; an extent that is written as a number has it as its name.
    pub dims: Vec<(String, u64)>,
}

/// An entry's signature before all extents are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declared {
    arguments: Vec<(String, bool, Ty)>,
    results: Vec<(String, Ty)>,
}

impl<'a> Ctx<'a> {
    /// Resolves the types of an entry, in its own scope. What is wrong with them is reported where they are used.
    pub(crate) fn declared(&mut self, function: &'a ast::Fn) -> Declared {
        self.quiet += 1;
        let params = function.params.iter().filter(|param| param.default.is_none());
        let params: Vec<&ast::Param> = params.collect();
        let mut declared = Declared::default();
        for param in params {
            if let Some(ty) = self.ty(&param.ty) {
                declared.arguments.push((param.name.text.clone(), param.inout, ty));
            }
        }
        let results: Vec<(&str, &'a ast::Type)> = match &function.result {
            FnResult::Single(ty) => vec![("out", ty)],
            FnResult::Named(all) => all.iter().map(|(n, ty)| (n.text.as_str(), ty)).collect(),
        };
        for (name, ty) in results {
            if let Some(ty) = self.ty(ty) {
                declared.results.push((name.to_owned(), ty));
            }
        }
        self.quiet -= 1;
        declared
    }

    /// The signature, when all extents are known.
    pub(crate) fn signature(&mut self, declared: Declared) -> Signature {
        let arguments = declared.arguments.into_iter();
        let arguments =
            arguments.map(|(name, inout, ty)| Argument { name, inout, ty: self.described(&ty) });
        let arguments = arguments.collect();
        let results = declared.results.into_iter();
        let results = results.map(|(name, ty)| (name, self.described(&ty))).collect();
        Signature { arguments, results }
    }

    fn described(&mut self, ty: &Ty) -> Type {
        match ty {
            Ty::Array { axes, dtype } => {
                let axes = axes.iter().map(|axis| self.axis_type(axis)).collect();
                Type::Array { dtype: *dtype, axes }
            }
            Ty::Record(record) => {
                let declared = self.records[record.def].1.name.text.clone();
                let fields = record.fields.iter();
                Type::Record {
                    name: record.lacks.name(declared),
                    written: self.ty_name(ty),
                    stacked: record.stack.len(),
                    fields: fields.map(|(n, ty)| (n.clone(), self.described(ty))).collect(),
                }
            }
        }
    }

    fn axis_type(&mut self, axis: &Axis) -> AxisType {
        let dims = axis.dims.iter().map(|dim| {
            let extent = self.extent(*dim);
            (self.dim_name(*dim).to_owned(), extent)
        });
        let dims = dims.collect();
        AxisType { written: self.axis_name(axis), dims }
    }
}

impl AxisType {
    /// The extent, that of a product the product of its dims'.
    pub fn extent(&self) -> u64 {
        self.dims.iter().map(|(_, extent)| *extent).fold(1, u64::saturating_mul)
    }
}

impl Type {
    /// Calls `visit` with every array, in the order of the fields.
    pub fn arrays<'t>(&'t self, visit: &mut impl FnMut(DType, &'t [AxisType])) {
        match self {
            Type::Array { dtype, axes } => visit(*dtype, axes),
            Type::Record { fields, .. } => fields.iter().for_each(|(_, ty)| ty.arrays(visit)),
        }
    }
}
