//! From a built module to an object file: translation from MLIR, LLVM's passes, the target machine.

use crate::context::Mlir;
use crate::error::CompilerBug;
use llvm_sys::core::*;
use llvm_sys::prelude::*;
use llvm_sys::target::*;
use llvm_sys::target_machine::*;
use llvm_sys::transforms::pass_builder::*;
use melior::ir::Module;
use melior::ir::operation::OperationLike;
use std::ffi::{CStr, c_char};
use std::sync::Once;
use std::time::{Duration, Instant};

/// LLVM's passes, in the order they run. Kernels are built vectorised, unrolled and mostly in the order in
/// which they should run, so that little is left to do: `default<O3>` takes five times as long for code that
/// is not faster (`benches/kernels`).
const PASSES: &CStr =
    c"function(early-cse<memssa>,loop-mssa(loop-rotate,licm),instcombine<no-verify-fixpoint>,simplifycfg,\
early-cse)";

/// What a processor can do, in LLVM's words.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// The processor.
    pub cpu: &'static CStr,
    /// Changes to its features.
    pub features: &'static CStr,
}

/// The text forms that are wanted besides the object.
#[derive(Clone, Copy, Default, Debug)]
pub struct Wanted {
    /// The module as it was built.
    pub mlir: bool,
    /// After LLVM's passes.
    pub llvm: bool,
    /// Assembly.
    pub asm: bool,
}

/// The result for one module.
#[derive(Default, Debug)]
pub struct Compiled {
    /// An ELF object.
    pub object: Vec<u8>,
    /// The texts that were wanted.
    pub mlir: Option<String>,
    /// After LLVM's passes.
    pub llvm: Option<String>,
    /// Assembly.
    pub asm: Option<String>,
    /// How long each step took.
    pub times: Vec<(&'static str, Duration)>,
}

/// Compiles a module whose exported functions are the phases of kernels.
pub fn compile(
    mlir: &Mlir,
    module: Module<'_>,
    machine: Machine,
    wanted: Wanted,
) -> Result<Compiled, CompilerBug> {
    let mut compiled = Compiled::default();
    let mut clock = Instant::now();
    let mut lap = |compiled: &mut Compiled, step| {
        let now = Instant::now();
        compiled.times.push((step, now - clock));
        clock = now;
    };
    if wanted.mlir {
        compiled.mlir = Some(module.as_operation().to_string());
    }
    verify(mlir, &module)?;
    lap(&mut compiled, "verify");
    let llvm = Llvm::translate(mlir, &module, machine)?;
    lap(&mut compiled, "translate");
    llvm.optimize()?;
    lap(&mut compiled, "llvm passes");
    if wanted.llvm {
        compiled.llvm = Some(llvm.text());
    }
    if wanted.asm {
        compiled.asm = Some(llvm.assembly()?);
    }
    lap(&mut compiled, "listings");
    compiled.object = llvm.object()?;
    lap(&mut compiled, "object");
    Ok(compiled)
}

fn verify(mlir: &Mlir, module: &Module<'_>) -> Result<(), CompilerBug> {
    if module.as_operation().verify() {
        return Ok(());
    }
    let messages = mlir.take_messages().join("; ");
    let text = module.as_operation().to_string();
    Err(CompilerBug::new(format!("the module that was built is invalid: {messages}"))
        .note(format!("reproduce: mlir-opt-22 on\n{text}")))
}

/// A module of LLVM with its own context and target machine.
struct Llvm {
    context: LLVMContextRef,
    module: LLVMModuleRef,
    machine: LLVMTargetMachineRef,
}

impl Llvm {
    fn translate(mlir: &Mlir, module: &Module<'_>, machine: Machine) -> Result<Llvm, CompilerBug> {
        initialize();
        let triple = c"x86_64-unknown-linux-gnu";
        // SAFETY: every reference passed is one that LLVM returned, and each object is freed once,
        // by `Drop`, in an order that LLVM allows.
        unsafe {
            let context = LLVMContextCreate();
            let raw = mlir_sys::mlirTranslateModuleToLLVMIR(
                module.as_operation().to_raw(),
                context.cast(),
            );
            if raw.is_null() {
                LLVMContextDispose(context);
                let messages = mlir.take_messages().join("; ");
                return Err(CompilerBug::new(format!("translation to LLVM failed: {messages}")));
            }
            let module: LLVMModuleRef = raw.cast();
            let mut target = std::ptr::null_mut();
            let mut error = std::ptr::null_mut();
            if LLVMGetTargetFromTriple(triple.as_ptr(), &mut target, &mut error) != 0 {
                let message = take_string(error);
                LLVMDisposeModule(module);
                LLVMContextDispose(context);
                return Err(CompilerBug::new(format!("no x86-64 target: {message}")));
            }
            let machine = LLVMCreateTargetMachine(
                target,
                triple.as_ptr(),
                machine.cpu.as_ptr(),
                machine.features.as_ptr(),
                LLVMCodeGenOptLevel::LLVMCodeGenLevelAggressive,
                LLVMRelocMode::LLVMRelocPIC,
                LLVMCodeModel::LLVMCodeModelSmall,
            );
            let llvm = Llvm { context, module, machine };
            LLVMSetTarget(module, triple.as_ptr());
            let layout = LLVMCreateTargetDataLayout(llvm.machine);
            LLVMSetModuleDataLayout(module, layout);
            LLVMDisposeTargetData(layout);
            llvm.prepare_functions();
            Ok(llvm)
        }
    }

    /// Generated code neither unwinds nor is seen from outside of its image.
    fn prepare_functions(&self) {
        // SAFETY: the functions are those of the module, which nothing else changes.
        unsafe {
            let kind = LLVMGetEnumAttributeKindForName(c"nounwind".as_ptr(), 8);
            let nounwind = LLVMCreateEnumAttribute(self.context, kind, 0);
            let mut function = LLVMGetFirstFunction(self.module);
            while !function.is_null() {
                if LLVMIsDeclaration(function) == 0 {
                    LLVMAddAttributeAtIndex(
                        function,
                        llvm_sys::LLVMAttributeFunctionIndex,
                        nounwind,
                    );
                    if LLVMGetLinkage(function) == llvm_sys::LLVMLinkage::LLVMExternalLinkage {
                        LLVMSetVisibility(function, llvm_sys::LLVMVisibility::LLVMHiddenVisibility);
                    }
                }
                function = LLVMGetNextFunction(function);
            }
        }
    }

    fn optimize(&self) -> Result<(), CompilerBug> {
        // SAFETY: module and machine are valid; the error, if any, is consumed by its message.
        unsafe {
            let options = LLVMCreatePassBuilderOptions();
            let error = LLVMRunPasses(self.module, PASSES.as_ptr(), self.machine, options);
            LLVMDisposePassBuilderOptions(options);
            if error.is_null() {
                return Ok(());
            }
            let message = llvm_sys::error::LLVMGetErrorMessage(error);
            let text = CStr::from_ptr(message).to_string_lossy().into_owned();
            llvm_sys::error::LLVMDisposeErrorMessage(message);
            Err(CompilerBug::new(format!("LLVM's passes failed: {text}")))
        }
    }

    fn text(&self) -> String {
        // SAFETY: the module is valid and the string is ours.
        unsafe { take_string(LLVMPrintModuleToString(self.module)) }
    }

    fn assembly(&self) -> Result<String, CompilerBug> {
        // SAFETY: emission changes the module, so it works on a copy of it, which is freed once.
        let text = unsafe {
            let copy = LLVMCloneModule(self.module);
            let text = self.emit(copy, LLVMCodeGenFileType::LLVMAssemblyFile);
            LLVMDisposeModule(copy);
            text?
        };
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The object; afterwards the module is not what it was.
    fn object(self) -> Result<Vec<u8>, CompilerBug> {
        // SAFETY: the module is valid, and nothing else is done with it.
        unsafe { self.emit(self.module, LLVMCodeGenFileType::LLVMObjectFile) }
    }

    /// Emits a module, which it changes.
    ///
    /// # Safety
    /// The module is valid and of this context.
    unsafe fn emit(
        &self,
        module: LLVMModuleRef,
        kind: LLVMCodeGenFileType,
    ) -> Result<Vec<u8>, CompilerBug> {
        // SAFETY: by contract; the buffer is copied before it is freed.
        unsafe {
            let mut error: *mut c_char = std::ptr::null_mut();
            let mut buffer = std::ptr::null_mut();
            let failed = LLVMTargetMachineEmitToMemoryBuffer(
                self.machine,
                module,
                kind,
                &mut error,
                &mut buffer,
            );
            if failed != 0 {
                let message = take_string(error);
                return Err(CompilerBug::new(format!("LLVM could not emit code: {message}")));
            }
            let start: *const u8 = LLVMGetBufferStart(buffer).cast();
            let bytes = std::slice::from_raw_parts(start, LLVMGetBufferSize(buffer)).to_vec();
            LLVMDisposeMemoryBuffer(buffer);
            Ok(bytes)
        }
    }
}

impl Drop for Llvm {
    fn drop(&mut self) {
        // SAFETY: each is freed once; the module before its context.
        unsafe {
            LLVMDisposeTargetMachine(self.machine);
            LLVMDisposeModule(self.module);
            LLVMContextDispose(self.context);
        }
    }
}

/// Copies and frees a string of LLVM's.
///
/// # Safety
/// The string is null or came from LLVM and is used nowhere else.
unsafe fn take_string(message: *mut c_char) -> String {
    if message.is_null() {
        return String::new();
    }
    // SAFETY: by contract.
    unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        LLVMDisposeMessage(message);
        text
    }
}

fn initialize() {
    static ONCE: Once = Once::new();
    // SAFETY: registration of the target, once.
    ONCE.call_once(|| unsafe {
        LLVMInitializeX86TargetInfo();
        LLVMInitializeX86Target();
        LLVMInitializeX86TargetMC();
        LLVMInitializeX86AsmPrinter();
    });
}
