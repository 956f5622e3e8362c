//! What this CPU can run.

/// Whether this CPU, and the system, can run the code of a level, by its name in artifacts.
pub fn runs(level: &str) -> bool {
    match level {
        "x86-64-v3" => v3(),
        "x86-64-v4" => v4(),
        "x86-64-v4-amx" => v4() && amx(),
        _ => false,
    }
}

/// This CPU's level, for messages.
pub(crate) fn level() -> &'static str {
    let levels = ["x86-64-v4-amx", "x86-64-v4", "x86-64-v3"];
    let best = levels.into_iter().find(|level| runs(level));
    best.unwrap_or("older than x86-64-v3")
}

#[cfg(target_arch = "x86_64")]
fn v3() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("movbe")
        && is_x86_feature_detected!("xsave")
}

#[cfg(target_arch = "x86_64")]
fn v4() -> bool {
    v3() && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

/// Whether the CPU has AMX tiles for bf16 and the kernel lets this process use them. Linux hands
/// the tiles' state out on request only, once per process.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn amx() -> bool {
    use std::arch::x86_64::__cpuid_count;
    use std::sync::OnceLock;

    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    static PERMITTED: OnceLock<bool> = OnceLock::new();
    *PERMITTED.get_or_init(|| {
        let has_leaf = __cpuid_count(0, 0).eax >= 7;
        // CPUID leaf 7: EDX bit 22 is AMX-BF16, bit 24 AMX-TILE.
        let bits = 1 << 22 | 1 << 24;
        if !has_leaf || __cpuid_count(7, 0).edx & bits != bits {
            return false;
        }
        // SAFETY: arch_prctl with this request takes one number and touches no memory of ours; a
        // kernel that does not know it returns an error.
        let answer =
            unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) };
        answer == 0
    })
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn amx() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn v3() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn v4() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn amx() -> bool {
    false
}
