//! Functions, loops and branches.

use super::{Builder, Cmp, Ty, V};
use melior::dialect::llvm;
use melior::ir::attribute::{
    ArrayAttribute, DenseI32ArrayAttribute, FlatSymbolRefAttribute, StringAttribute, TypeAttribute,
};
use melior::ir::{Attribute, Block, BlockLike, BlockRef, Region, RegionLike, Type, Value};

impl<'c> Builder<'c> {
    /// Adds a block to the end of a region; returns it and its arguments.
    fn add_block<'a>(
        &self,
        region: &impl RegionLike<'c, 'a>,
        arguments: &[Ty],
    ) -> (BlockRef<'c, 'c>, Vec<V<'c>>)
    where
        'c: 'a,
    {
        let types: Vec<_> = arguments.iter().map(|t| (self.mlir(*t), self.location)).collect();
        let block = region.append_block(Block::new(&types));
        // SAFETY: the region is, or will be, part of an operation of the module before anything can drop it
        // (only a panic could, and then nothing is built any more).
        let block: BlockRef<'c, 'c> = unsafe { BlockRef::from_raw(block.to_raw()) };
        let value = |(i, ty): (usize, &Ty)| {
            // SAFETY: the block was created with this many arguments.
            let raw = unsafe {
                Value::from_raw(mlir_sys::mlirBlockGetArgument(block.to_raw(), i as isize))
            };
            V { raw, ty: *ty }
        };
        (block, arguments.iter().enumerate().map(value).collect())
    }

    /// Adds a block to the function that is being built, after those it has.
    fn new_block(&self, arguments: &[Ty]) -> (BlockRef<'c, 'c>, Vec<V<'c>>) {
        let region = self.block.get().parent_region().expect("every block is in a region");
        self.add_block(&region, arguments)
    }

    /// Ends the current block: goes on in another, with values for its arguments.
    fn jump(&self, target: BlockRef<'c, 'c>, values: &[V<'c>]) {
        self.end("llvm.br", values, &[], &[target]);
    }

    /// Ends the current block: goes on in one of two, which have no arguments.
    fn branch(&self, condition: V<'c>, then: BlockRef<'c, 'c>, otherwise: BlockRef<'c, 'c>) {
        let sizes = DenseI32ArrayAttribute::new(self.context, &[1, 0, 0]).into();
        let attributes = [("operandSegmentSizes", sizes)];
        self.end("llvm.cond_br", &[condition], &attributes, &[then, otherwise]);
    }

    /// Adds a function without results to the module. Exported functions keep their name.
    pub fn function(
        &self,
        name: &str,
        arguments: &[Ty],
        exported: bool,
        body: impl FnOnce(&[V<'c>]),
    ) {
        let region = Region::new();
        let (entry, values) = self.add_block(&region, arguments);
        self.block.set(entry);
        body(&values);
        self.end("llvm.return", &[], &[], &[]);
        self.block.set(self.module);
        let types: Vec<Type<'c>> = arguments.iter().map(|t| self.mlir(*t)).collect();
        let function = llvm::r#type::function(llvm::r#type::void(self.context), &types, false);
        let mut attributes = vec![
            ("sym_name", StringAttribute::new(self.context, name).into()),
            ("function_type", TypeAttribute::new(function).into()),
            ("linkage", self.attribute("#llvm.linkage<external>")),
        ];
        if !exported {
            let alone: Attribute<'c> = StringAttribute::new(self.context, "noinline").into();
            attributes.push(("passthrough", ArrayAttribute::new(self.context, &[alone]).into()));
        }
        self.append("llvm.func", &[], &[], &attributes, vec![region]);
    }

    /// Calls a function of the module that has no results.
    pub fn call(&self, name: &str, arguments: &[V<'c>]) {
        let callee = FlatSymbolRefAttribute::new(self.context, name).into();
        let sizes = [arguments.len() as i32, 0];
        let sizes = DenseI32ArrayAttribute::new(self.context, &sizes).into();
        let bundles = DenseI32ArrayAttribute::new(self.context, &[]).into();
        let attributes =
            [("callee", callee), ("operandSegmentSizes", sizes), ("op_bundle_sizes", bundles)];
        self.append("llvm.call", arguments, &[], &attributes, vec![]);
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
        let mut first = vec![begin];
        first.extend(initial);
        let types: Vec<Ty> = first.iter().map(|v| v.ty).collect();
        let (head, now) = self.new_block(&types);
        self.jump(head, &first);
        let (inside, _) = self.new_block(&[]);
        self.block.set(inside);
        let carried = body(now[0], &now[1..]);
        debug_assert!(carried.iter().map(|v| v.ty).eq(initial.iter().map(|v| v.ty)));
        let mut next = vec![self.add(now[0], self.index(step))];
        next.extend(carried);
        self.jump(head, &next);
        let (after, _) = self.new_block(&[]);
        self.block.set(head);
        self.branch(self.cmp(Cmp::Lt, now[0], end), inside, after);
        self.block.set(after);
        now[1..].to_vec()
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
        let before = self.block.get();
        let (yes, _) = self.new_block(&[]);
        self.block.set(yes);
        let results = then();
        let yes_ends = self.block.get();
        let (no, _) = self.new_block(&[]);
        self.block.set(no);
        let others = otherwise();
        let types: Vec<Ty> = results.iter().map(|v| v.ty).collect();
        debug_assert!(others.iter().map(|v| v.ty).eq(types.iter().copied()));
        let (after, values) = self.new_block(&types);
        self.jump(after, &others);
        self.block.set(yes_ends);
        self.jump(after, &results);
        self.block.set(before);
        self.branch(condition, yes, no);
        self.block.set(after);
        values
    }

    /// Runs `then` if the condition holds.
    pub fn if_true(&self, condition: V<'c>, then: impl FnOnce()) {
        let before = self.block.get();
        let (inside, _) = self.new_block(&[]);
        self.block.set(inside);
        then();
        let (after, _) = self.new_block(&[]);
        self.jump(after, &[]);
        self.block.set(before);
        self.branch(condition, inside, after);
        self.block.set(after);
    }
}
