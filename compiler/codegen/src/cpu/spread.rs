//! How kernels are spread over the modules that they are compiled in: evenly by how long compiling takes, since
//! modules are what threads share the work by.

use einmesh_schedule::kernel::{Body, Kernel};

/// So many kernels are in a module on average: enough work for several threads, few enough modules to share
/// what kernels have in common. Never chosen by the number of threads, since it shows in the image.
const MODULE: usize = 8;
/// There are so many modules at least, if there are kernels for them.
const LEAST: usize = 2;

/// Spreads kernels over modules, in which they keep their order. There is one module at least, even if that is empty.
pub fn modules(kernels: &[Kernel], own: &[usize]) -> Vec<Vec<usize>> {
    let count = own.len().div_ceil(MODULE).max(LEAST.min(own.len())).max(1);
    let mut modules = vec![(0, Vec::new()); count];
    let mut heaviest_first = own.to_vec();
    heaviest_first.sort_by_key(|k| std::cmp::Reverse(weight(&kernels[*k])));
    for kernel in heaviest_first {
        let lightest = modules.iter_mut().min_by_key(|(weight, _)| *weight);
        let (sum, module) = lightest.expect("there is a module");
        *sum += weight(&kernels[kernel]);
        module.push(kernel);
    }
    let sorted = |(_, mut module): (u64, Vec<usize>)| {
        module.sort_unstable();
        module
    };
    modules.into_iter().map(sorted).collect()
}

/// About how long compiling a kernel takes, by what kernels of GPT-2's training step take: one is 5 ms.
fn weight(kernel: &Kernel) -> u64 {
    match &kernel.body {
        Body::Online(_) | Body::Sweep(_) => 20,
        Body::Contraction(_) => 6,
        Body::Siblings(siblings) => 4 + 2 * siblings.len() as u64,
        Body::Nest(_) | Body::Argsort { .. } => 2,
    }
}
