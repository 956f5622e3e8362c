//! What this CPU can run.

use crate::error::RunError;
use einmesh_artifact::LEVELS;

/// The environment variable that names the most demanding level to use, for tests and comparisons of levels.
const LIMIT: &str = "EINMESH_CPU";

/// Whether this CPU, and the system, can run the code of a level, by its name in artifacts.
pub fn runs(level: &str) -> bool {
    match level {
        "x86-64-v3" => v3(),
        "x86-64-v4" => v4(),
        "x86-64-v4-bf16" => bf16(),
        "x86-64-v4-amx" => bf16() && amx(),
        _ => false,
    }
}

/// The levels that may be used, most demanding first: all of them, or those up to a limit, which is what
/// the environment variable [`LIMIT`] says.
pub(crate) fn allowed(limit: Option<&str>) -> Result<&'static [&'static str], RunError> {
    let Some(limit) = limit.filter(|limit| !limit.is_empty()) else {
        return Ok(&LEVELS);
    };
    match LEVELS.iter().position(|level| *level == limit) {
        Some(first) => Ok(&LEVELS[first..]),
        None => Err(RunError::Level { name: limit.to_owned(), known: LEVELS.join(", ") }),
    }
}

/// What [`LIMIT`] says now.
pub(crate) fn limit() -> Option<String> {
    std::env::var_os(LIMIT).map(|limit| limit.to_string_lossy().into_owned())
}

/// The level that artifacts with code for all of them run at; `None` on a CPU that is older than all.
pub fn best() -> Result<Option<&'static str>, RunError> {
    Ok(allowed(limit().as_deref())?.iter().copied().find(|level| runs(level)))
}

/// The best of some levels that this CPU runs, for messages.
pub(crate) fn level(allowed: &[&'static str]) -> &'static str {
    let best = allowed.iter().copied().find(|level| runs(level));
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

#[cfg(target_arch = "x86_64")]
fn bf16() -> bool {
    v4() && is_x86_feature_detected!("avx512bf16")
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
        if !has_leaf || __cpuid_count(7, 0).edx & bits != bits || !saves_tiles() {
            return false;
        }
        // SAFETY: arch_prctl with this request takes one number and touches no memory of ours; a
        // kernel that does not know it returns an error.
        let answer =
            unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) };
        answer == 0
    })
}

/// Whether the system saves the tiles of threads: bits 17 and 18 of XCR0.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn saves_tiles() -> bool {
    #[target_feature(enable = "xsave")]
    fn xcr0() -> u64 {
        // SAFETY: reading register 0 is allowed wherever XGETBV is.
        unsafe { std::arch::x86_64::_xgetbv(0) }
    }
    let bits = 1 << 17 | 1 << 18;
    // CPUID leaf 1: ECX bit 27 is that the system has enabled XGETBV.
    let enabled = std::arch::x86_64::__cpuid_count(1, 0).ecx & 1 << 27 != 0;
    // SAFETY: the CPU has the instruction.
    enabled && unsafe { xcr0() } & bits == bits
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
fn bf16() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn amx() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_leaves_the_levels_up_to_it() {
        assert_eq!(allowed(None).expect("no limit"), LEVELS);
        assert_eq!(allowed(Some("")).expect("no limit"), LEVELS);
        let some = allowed(Some("x86-64-v4")).expect("a level");
        assert_eq!(some, ["x86-64-v4", "x86-64-v3"]);
        let told = allowed(Some("x86-64-v9")).expect_err("no level").to_string();
        assert!(told.contains("`x86-64-v9`") && told.contains("x86-64-v4-bf16"), "{told}");
    }
}
