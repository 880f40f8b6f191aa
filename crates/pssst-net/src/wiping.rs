//! A stack that keeps no secrets.

use zeroize::zeroize_stack;

/// Bytes of stack that opening and sealing may use, with a margin. Frames are larger without
/// optimization.
const STACK_LEN: usize = if cfg!(debug_assertions) { 96 } else { 16 } * 1024;

/// Calls a function that handles the secrets of transactions, and wipes the stack that it used.
/// What it returns must hold no such secret by value.
pub(crate) fn on_wiped_stack<T>(function: impl FnOnce() -> T) -> T {
    /// Has a frame of its own, below the wiping caller's.
    #[inline(never)]
    fn call<T>(function: impl FnOnce() -> T) -> T {
        function()
    }

    let outcome = call(function);
    zeroize_stack::<STACK_LEN>();
    outcome
}
