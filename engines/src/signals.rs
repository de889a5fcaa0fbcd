//! Threads that no signal reaches.

use std::{mem, ptr};

/// Runs `spawn` with every signal blocked: a thread is born with the mask of its maker, and nginx's signals are for
/// its main thread.
pub(crate) fn without_signals<R>(spawn: impl FnOnce() -> R) -> R {
    let mut before = mem::MaybeUninit::uninit();
    // SAFETY: both sets are ours, `all` is written by `sigfillset` before it is read, and a mask that was read from
    // this thread is a valid one to put back.
    unsafe {
        let mut all = mem::MaybeUninit::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr());
    }
    let result = spawn();
    // SAFETY: `before` was filled in by the call above, which fails for a wrong `how` only.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    result
}
