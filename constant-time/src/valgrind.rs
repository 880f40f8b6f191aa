//! Requests to valgrind about a program's memory.

use std::arch::asm;

/// Whether valgrind runs this program.
pub fn is_running() -> bool {
    client_request(RUNNING_ON_VALGRIND, [0; 3]) != 0
}

/// From here on valgrind takes the bytes for uninitialised.
pub fn conceal(bytes: &mut [u8]) {
    client_request(MAKE_MEM_UNDEFINED, [bytes.as_mut_ptr() as u64, bytes.len() as u64, 0]);
}

/// From here on valgrind takes the values for initialised.
pub fn disclose<T>(values: &mut [T]) {
    client_request(MAKE_MEM_DEFINED, [values.as_mut_ptr() as u64, size_of_val(values) as u64, 0]);
}

/// Whether valgrind takes something of each byte for uninitialised.
pub fn is_concealed<T>(value: &T) -> bool {
    let mut undefined_bits = vec![0_u8; size_of::<T>()];
    let bits = undefined_bits.as_mut_ptr() as u64;
    let answer = client_request(GET_VBITS, [&raw const *value as u64, bits, size_of::<T>() as u64]);
    assert_eq!(answer, 1, "valgrind knows these bytes");
    undefined_bits.iter().all(|bits| *bits != 0)
}

/// The numbers of valgrind.h and memcheck.h.
const RUNNING_ON_VALGRIND: u64 = 0x1001;
const MAKE_MEM_UNDEFINED: u64 = MEMCHECK + 1;
const MAKE_MEM_DEFINED: u64 = MEMCHECK + 2;
const GET_VBITS: u64 = MEMCHECK + 8;
const MEMCHECK: u64 = ((b'M' as u64) << 24) | ((b'C' as u64) << 16);

/// Speaks to valgrind: rotations by 128 bits in all and an exchange of a register with itself,
/// which do nothing on a CPU, and which valgrind knows (valgrind.h, the amd64 request).
fn client_request(request: u64, [first, second, third]: [u64; 3]) -> u64 {
    let block = [request, first, second, third, 0, 0];
    let answer: u64;
    // SAFETY: leaves all registers as they were but rdx, the answer. Valgrind reads `block`, and
    // changes what it knows of the memory that the block names. It writes to memory for `GET_VBITS`
    // only, whose second pointer is to bytes that the caller may change, as many as the third
    // argument says.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") block.as_ptr(),
            inout("rdx") 0_u64 => answer,
            inout("rdi") 0_u64 => _,
            options(nostack),
        );
    }
    answer
}
