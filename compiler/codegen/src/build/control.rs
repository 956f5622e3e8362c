//! Functions, loops and branches.

use super::{Builder, Ty, V};
use melior::ir::attribute::{FlatSymbolRefAttribute, StringAttribute, TypeAttribute};
use melior::ir::operation::OperationBuilder;
use melior::ir::r#type::FunctionType;
use melior::ir::{Block, BlockLike, BlockRef, Region, RegionLike, Type, Value};

impl<'c> Builder<'c> {
    /// Runs `body` with the insertion point in a new block of a new region.
    fn region<R>(&self, arguments: &[Ty], body: impl FnOnce(&[V<'c>]) -> R) -> (Region<'c>, R) {
        let types: Vec<_> = arguments.iter().map(|t| (self.mlir(*t), self.location)).collect();
        let region = Region::new();
        let block = region.append_block(Block::new(&types));
        // SAFETY: the region is put into an operation of the module before anything can drop it (only
        // a panic could, and then nothing is built any more).
        let block: BlockRef<'c, 'c> = unsafe { BlockRef::from_raw(block.to_raw()) };
        let value = |(i, ty): (usize, &Ty)| {
            // SAFETY: the block was created with this many arguments.
            let raw = unsafe {
                Value::from_raw(mlir_sys::mlirBlockGetArgument(block.to_raw(), i as isize))
            };
            V { raw, ty: *ty }
        };
        let arguments: Vec<V<'c>> = arguments.iter().enumerate().map(value).collect();
        let before = self.block.replace(block);
        let result = body(&arguments);
        self.block.set(before);
        (region, result)
    }

    /// Adds a function without results to the module. Exported functions keep their name.
    pub fn function(
        &self,
        name: &str,
        arguments: &[Ty],
        exported: bool,
        body: impl FnOnce(&[V<'c>]),
    ) {
        let before = self.block.replace(self.module);
        let (region, ()) = self.region(arguments, |values| {
            body(values);
            self.append("func.return", &[], &[], &[], vec![]);
        });
        let types: Vec<Type<'c>> = arguments.iter().map(|t| self.mlir(*t)).collect();
        let function = FunctionType::new(self.context, &types, &[]);
        let mut attributes = vec![
            ("sym_name", StringAttribute::new(self.context, name).into()),
            ("function_type", TypeAttribute::new(function.into()).into()),
        ];
        if !exported {
            let private = StringAttribute::new(self.context, "private").into();
            attributes.push(("sym_visibility", private));
            attributes.push(("passthrough", self.attribute("[\"noinline\"]")));
        }
        self.append("func.func", &[], &[], &attributes, vec![region]);
        self.block.set(before);
    }

    /// Calls a function of the module that has no results.
    pub fn call(&self, name: &str, arguments: &[V<'c>]) {
        let callee = FlatSymbolRefAttribute::new(self.context, name).into();
        self.append("func.call", arguments, &[], &[("callee", callee)], vec![]);
    }

    fn yield_values(&self, values: &[V<'c>]) {
        let raw: Vec<Value<'c, 'c>> = values.iter().map(|v| v.raw).collect();
        let operation = OperationBuilder::new("scf.yield", self.location)
            .add_operands(&raw)
            .build()
            .expect("building without type inference cannot fail");
        self.block.get().append_operation(operation);
    }

    /// `for i in (begin..end).step_by(step)` with values carried from one iteration to the next;
    /// returns them after the last. The step must be positive.
    pub fn for_carried(
        &self,
        begin: V<'c>,
        end: V<'c>,
        step: i64,
        initial: &[V<'c>],
        body: impl FnOnce(V<'c>, &[V<'c>]) -> Vec<V<'c>>,
    ) -> Vec<V<'c>> {
        let carried: Vec<Ty> = initial.iter().map(|v| v.ty).collect();
        let mut arguments = vec![Ty::I64];
        arguments.extend(&carried);
        let (region, ()) = self.region(&arguments, |values| {
            let next = body(values[0], &values[1..]);
            debug_assert!(next.iter().map(|v| v.ty).eq(carried.iter().copied()));
            self.yield_values(&next);
        });
        let mut operands = vec![begin, end, self.index(step)];
        operands.extend(initial);
        self.append("scf.for", &operands, &carried, &[], vec![region])
    }

    /// `for i in (begin..end).step_by(step)`.
    pub fn for_each(&self, begin: V<'c>, end: V<'c>, step: i64, body: impl FnOnce(V<'c>)) {
        self.for_carried(begin, end, step, &[], |i, _| {
            body(i);
            vec![]
        });
    }

    /// The results of `then` if the condition holds, else those of `otherwise`.
    pub fn if_else(
        &self,
        condition: V<'c>,
        then: impl FnOnce() -> Vec<V<'c>>,
        otherwise: impl FnOnce() -> Vec<V<'c>>,
    ) -> Vec<V<'c>> {
        let branch = |body: Box<dyn FnOnce() -> Vec<V<'c>> + '_>| {
            self.region(&[], |_| {
                let values = body();
                self.yield_values(&values);
                values.iter().map(|v| v.ty).collect::<Vec<Ty>>()
            })
        };
        let (then, results) = branch(Box::new(then));
        let (otherwise, _) = branch(Box::new(otherwise));
        self.append("scf.if", &[condition], &results, &[], vec![then, otherwise])
    }

    /// Runs `then` if the condition holds.
    pub fn if_true(&self, condition: V<'c>, then: impl FnOnce()) {
        self.if_else(
            condition,
            || {
                then();
                vec![]
            },
            Vec::new,
        );
    }
}
