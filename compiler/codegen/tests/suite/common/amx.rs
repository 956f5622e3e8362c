//! AMX in software, to run kernels of tiles on machines that have none.
//!
//! Without AMX a tile instruction is undefined, and the system sends the thread that met it `SIGILL`. The handler
//! here decodes the instruction, does on the thread's registers and memory what Intel's manual (volume 2,
//! and volume 1 chapter 18) says it does, and lets the thread go on behind it. It knows the six instructions that kernels
//! consist of: `ldtilecfg`, `tilerelease`, `tilezero`, `tileloadd`, `tilestored` and `tdpbf16ps`. Anything else,
//! and any misuse of these (a tile that is not configured, shapes that do not fit), ends the process with a
//! message; a read or write outside of mapped memory ends it as the instruction itself would.
//!
//! What it shows is that kernels compute the right numbers and touch the right memory, not how fast they are.

use std::arch::x86_64::{__m128, _mm_cvtss_f32, _mm_fmadd_ss, _mm_set_ss};
use std::cell::UnsafeCell;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// A tile register: 16 rows of 64 bytes.
type Tile = [[u8; 64]; 16];

/// What a thread has of AMX.
struct State {
    /// Rows and bytes of a row of each tile; `None` before a configuration is loaded.
    shapes: Option<[(usize, usize); 8]>,
    tiles: [Tile; 8],
}

thread_local! {
    static STATE: UnsafeCell<State> =
        const { UnsafeCell::new(State { shapes: None, tiles: [[[0; 64]; 16]; 8] }) };
}

/// How many instructions the software has executed, if it is in use.
static EXECUTED: AtomicU64 = AtomicU64::new(0);
static ONCE: Once = Once::new();

/// How many instructions the software has executed; `None` if the processor has tiles of its own, or
/// nobody has asked for any.
pub fn executed() -> Option<u64> {
    let software = ONCE.is_completed() && !permitted();
    software.then(|| EXECUTED.load(Ordering::Relaxed))
}

/// Makes tile instructions work in this process, if need be by software.
pub fn provide() {
    ONCE.call_once(|| {
        if permitted() {
            return;
        }
        // SAFETY: the handler has the signature that SA_SIGINFO asks for; the struct is plain data.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = handle;
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            assert_eq!(libc::sigaction(libc::SIGILL, &action, std::ptr::null_mut()), 0);
        }
    });
}

/// Whether the processor has tiles and the system lets this process use them.
fn permitted() -> bool {
    use std::arch::x86_64::__cpuid_count;
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    let bits = 1 << 22 | 1 << 24;
    // SAFETY: the call takes numbers only.
    __cpuid_count(7, 0).edx & bits == bits
        && unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, 18) } == 0
}

/// Ends the process: a signal's handler can neither return nor unwind from here.
fn refuse(what: &str, code: &[u8]) -> ! {
    eprintln!("software AMX: {what}; the instruction is {code:02x?}");
    std::process::abort()
}

extern "C" fn handle(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system passes the interrupted thread's context, which is ours to change, and the thread
    // was executing the bytes at its instruction pointer; no instruction is longer than 15 bytes, and
    // kernels are followed by read-only pages or padding.
    unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let at = registers[libc::REG_RIP as usize] as *const u8;
        let code = std::slice::from_raw_parts(at, 15);
        EXECUTED.fetch_add(1, Ordering::Relaxed);
        let length = STATE.with(|state| execute(code, registers, &mut *state.get()));
        registers[libc::REG_RIP as usize] += length as i64;
    }
}

/// The registers by their numbers in instructions.
const NUMBERED: [i32; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// An operand in memory: where it starts, and the index register scaled.
struct Place {
    start: u64,
    index: u64,
    /// Bytes of the instruction up to here.
    length: usize,
}

/// Decodes the operand behind a three-byte VEX prefix and an opcode.
fn place(code: &[u8], registers: &[i64]) -> Place {
    let register = |number: u8| registers[NUMBERED[number as usize] as usize] as u64;
    // The prefix has the upper bits of register numbers inverted.
    let (upper_index, upper_base) = (u8::from(code[1] & 0x40 == 0), u8::from(code[1] & 0x20 == 0));
    let modrm = code[4];
    let (mode, rm) = (modrm >> 6, modrm & 7);
    let mut length = 5;
    let mut index = 0;
    let mut base = rm;
    if rm == 4 {
        let sib = code[5];
        length = 6;
        base = sib & 7;
        let number = (sib >> 3 & 7) | upper_index << 3;
        if number != 4 {
            index = register(number) << (sib >> 6);
        }
    }
    let word = |at: usize| i32::from_le_bytes([code[at], code[at + 1], code[at + 2], code[at + 3]]);
    let displacement = match (mode, base) {
        (0, 5) => {
            if rm == 5 {
                refuse("an operand relative to the instruction", code);
            }
            return Place { start: word(length) as i64 as u64, index, length: length + 4 };
        }
        (0, _) => 0,
        (1, _) => {
            length += 1;
            i64::from(code[length - 1] as i8)
        }
        _ => {
            length += 4;
            i64::from(word(length - 4))
        }
    };
    let start = register(base | upper_base << 3).wrapping_add(displacement as u64);
    Place { start, index, length }
}

/// Executes an instruction; returns its length.
///
/// # Safety
/// The instruction's operands in memory may be touched.
unsafe fn execute(code: &[u8], registers: &[i64], state: &mut State) -> usize {
    // VEX.128.W0 of map 0F38.
    if code[0] != 0xC4 || code[1] & 0x1F != 2 || code[2] & 0x84 != 0 {
        refuse("not an instruction of AMX", code);
    }
    let prefix = code[2] & 3;
    let modrm = code[4];
    let in_memory = modrm >> 6 != 3;
    let (reg, rm) = ((modrm >> 3 & 7) as usize, (modrm & 7) as usize);
    let unused = code[2] >> 3 & 15 == 15;
    let shape = |tile: usize| match state.shapes {
        Some(shapes) if shapes[tile].0 > 0 => shapes[tile],
        _ => refuse("a tile that is not configured", code),
    };
    match (code[3], prefix, in_memory) {
        (0x49, 0, true) if reg == 0 && unused => {
            let place = place(code, registers);
            // SAFETY: the instruction reads 64 bytes here.
            let config = unsafe { (place.start as *const [u8; 64]).read_unaligned() };
            state.shapes = Some(configuration(&config, code));
            state.tiles = [[[0; 64]; 16]; 8];
            place.length
        }
        (0x49, 0, false) if modrm == 0xC0 && unused => {
            *state = State { shapes: None, tiles: [[[0; 64]; 16]; 8] };
            5
        }
        (0x49, 3, false) if rm == 0 && unused => {
            shape(reg);
            state.tiles[reg] = [[0; 64]; 16];
            5
        }
        (0x4B, 3, true) if rm == 4 && unused => {
            let (rows, width) = shape(reg);
            let place = place(code, registers);
            let mut tile = [[0; 64]; 16];
            for (row, bytes) in tile[..rows].iter_mut().enumerate() {
                let from = place.start.wrapping_add(place.index.wrapping_mul(row as u64));
                // SAFETY: the instruction reads a row here.
                unsafe {
                    std::ptr::copy_nonoverlapping(from as *const u8, bytes.as_mut_ptr(), width);
                }
            }
            state.tiles[reg] = tile;
            place.length
        }
        (0x4B, 2, true) if rm == 4 && unused => {
            let (rows, width) = shape(reg);
            let place = place(code, registers);
            for (row, bytes) in state.tiles[reg][..rows].iter().enumerate() {
                let to = place.start.wrapping_add(place.index.wrapping_mul(row as u64));
                // SAFETY: the instruction writes a row here.
                unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, width) };
            }
            place.length
        }
        (0x5C, 2, false) => {
            let other = (!code[2] >> 3 & 15) as usize;
            if other > 7 || reg == rm || reg == other || rm == other {
                refuse("tiles of a product that are the same", code);
            }
            let (sums, lhs, rhs) = (shape(reg), shape(rm), shape(other));
            let fits = sums.0 == lhs.0 && sums.1 == rhs.1 && lhs.1 == 4 * rhs.0;
            if !fits || sums.1 % 4 != 0 {
                refuse("a product of shapes that do not fit", code);
            }
            let (left, right) = (state.tiles[rm], state.tiles[other]);
            // SAFETY: every processor that runs kernels has FMA.
            unsafe { multiply(&mut state.tiles[reg], &left, &right, (lhs.0, rhs.0, sums.1 / 4)) };
            5
        }
        _ => refuse("not one of the six instructions", code),
    }
}

/// The shapes that a configuration of palette 1 gives.
fn configuration(config: &[u8; 64], code: &[u8]) -> [(usize, usize); 8] {
    let reserved = config[2..16].iter().chain(&config[32..48]).chain(&config[56..64]);
    if config[0] != 1 || config[1] != 0 || reserved.copied().any(|byte| byte != 0) {
        refuse("a configuration that is not of palette 1", code);
    }
    std::array::from_fn(|tile| {
        let width = u16::from_le_bytes([config[16 + 2 * tile], config[17 + 2 * tile]]);
        let (rows, width) = (config[48 + tile] as usize, width as usize);
        if rows > 16 || width > 64 || (rows == 0) != (width == 0) {
            refuse("a configuration of shapes that no tile has", code);
        }
        (rows, width)
    })
}

/// Zero for what is denormal.
fn flushed(x: f32) -> f32 {
    if x.is_subnormal() { 0.0f32.copysign(x) } else { x }
}

/// The number of a bf16, denormals taken as zeros.
fn widened(bytes: &[u8]) -> f32 {
    let bits = u16::from_le_bytes([bytes[0], bytes[1]]);
    flushed(f32::from_bits(u32::from(bits) << 16))
}

/// `sums += lhs · rhs`: even and odd depths are summed apart, each product added with one rounding to nearest
/// even, then both to each other, then to the sum. Denormal operands and results are zeros.
#[target_feature(enable = "fma")]
fn multiply(
    sums: &mut Tile,
    lhs: &Tile,
    rhs: &Tile,
    (rows, pairs, columns): (usize, usize, usize),
) {
    let fused = |x: f32, y: f32, z: f32| {
        let [x, y, z]: [__m128; 3] = [x, y, z].map(|v| _mm_set_ss(v));
        flushed(_mm_cvtss_f32(_mm_fmadd_ss(x, y, z)))
    };
    for row in 0..rows {
        let mut parts = [[0.0f32; 2]; 16];
        for pair in 0..pairs {
            for (column, part) in parts[..columns].iter_mut().enumerate() {
                for (half, part) in part.iter_mut().enumerate() {
                    let x = widened(&lhs[row][4 * pair + 2 * half..]);
                    let y = widened(&rhs[pair][4 * column + 2 * half..]);
                    *part = fused(x, y, *part);
                }
            }
        }
        for (column, part) in parts[..columns].iter().enumerate() {
            let place = &mut sums[row][4 * column..4 * column + 4];
            let before = f32::from_le_bytes([place[0], place[1], place[2], place[3]]);
            let sum = flushed(flushed(before) + flushed(part[0] + part[1]));
            place.copy_from_slice(&sum.to_le_bytes());
        }
        sums[row][4 * columns..].fill(0);
    }
    sums[rows..].fill([0; 64]);
}
