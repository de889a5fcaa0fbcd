//! The line that no panic crosses.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Trap;

/// Runs the body of a host function. wasmi aborts the process when a panic reaches its frames; wasmtime and wasmer carry it
/// through to the caller of the guest. None of them gets to see one.
#[inline]
pub(crate) fn guard<R>(body: impl FnOnce() -> Result<R, Trap>) -> Result<R, Trap> {
    // The body's captures are the caller and plain numbers. What the panic left half done in the store's data is not
    // looked at again by the guest: the instance is dead after this trap.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| Err(Trap::panic(payload)))
}
