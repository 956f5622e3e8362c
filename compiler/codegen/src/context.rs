//! An MLIR context with what kernels need, and nothing else; its diagnostics are kept.

use melior::Context;
use melior::dialect::{DialectHandle, DialectRegistry};
use melior::utility::register_all_llvm_translations;
use std::cell::RefCell;
use std::rc::Rc;

/// A context of one thread.
pub struct Mlir {
    /// The context.
    pub context: Context,
    messages: Rc<RefCell<Vec<String>>>,
}

impl Default for Mlir {
    fn default() -> Mlir {
        Mlir::new()
    }
}

impl Mlir {
    /// Creates a context. Loading only the dialects in use takes a tenth of the time of loading all.
    pub fn new() -> Mlir {
        let registry = DialectRegistry::new();
        let dialect = DialectHandle::llvm();
        dialect.insert_dialect(&registry);
        let context = Context::new_with_registry(&registry, false);
        register_all_llvm_translations(&context);
        dialect.load_dialect(&context);
        let messages = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&messages);
        context.attach_diagnostic_handler(move |diagnostic| {
            sink.borrow_mut().push(diagnostic.to_string());
            true
        });
        Mlir { context, messages }
    }

    /// What MLIR has complained about since the last call.
    pub fn take_messages(&self) -> Vec<String> {
        self.messages.take()
    }
}
