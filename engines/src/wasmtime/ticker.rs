//! A thread that does something small at regular intervals.

use std::{
    mem, process, ptr,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// A running ticker. Dropping it ends and joins the thread.
pub(super) struct Running {
    stop: Arc<Stop>,
    thread: Option<thread::JoinHandle<()>>,
    /// The process whose thread it is.
    owner: u32,
}

#[derive(Default)]
struct Stop {
    asked: Mutex<bool>,
    changed: Condvar,
}

/// Starts a ticker.
///
/// # Panics
/// When the process may have no more threads: going on without would be going on without time limits.
pub(super) fn start(step: Duration, tick: impl Fn() + Send + 'static) -> Running {
    let stop = Arc::new(Stop::default());
    let seen = stop.clone();
    let body = move || {
        while !seen.wait(step) {
            tick();
        }
    };
    let thread = without_signals(|| thread::Builder::new().name("wasm-ticker".into()).spawn(body));
    let thread = thread.expect("a thread to watch time limits");
    Running { stop, thread: Some(thread), owner: process::id() }
}

impl Stop {
    /// Waits for a step; whether it is time to end.
    fn wait(&self, step: Duration) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, _) =
            self.changed.wait_timeout_while(asked, step, |asked| !*asked).unwrap_or_else(PoisonError::into_inner);
        *asked
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if self.owner != process::id() {
            // A forked copy: the thread stayed in the parent, perhaps with the lock in its hands.
            mem::forget(thread);
            return;
        }
        *self.stop.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.changed.notify_one();
        // A tick does not panic, and if one did there is nobody to tell.
        let _ = thread.join();
    }
}

/// Runs `spawn` with every signal blocked: a thread is born with the mask of its maker, and nginx's signals are for
/// its main thread.
fn without_signals<R>(spawn: impl FnOnce() -> R) -> R {
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
