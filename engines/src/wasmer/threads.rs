//! Compiling with threads that end.
//!
//! wasmer's compilers work on rayon's threads, which do not survive a fork and would be missed in the child. They get a pool
//! that ends with the work; what they start besides, they do not wait for, so that is done here.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant as Clock},
};

use anyhow::{Context as _, bail, ensure};

use crate::{Trap, signals::without_signals};

/// The stack of the thread that compiles: as much as a main thread has.
const STACK: usize = 8 << 20;
/// How long threads are waited for that have nothing more to do.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_micros(50);

/// Runs `work` where what it starts on rayon's threads is on one of its own; no thread of it is alive afterwards.
///
/// # Errors
/// When there can be no thread, when one does not end, and when `work` panics.
pub(super) fn contained<R: Send>(work: impl FnOnce() -> R + Send) -> anyhow::Result<R> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // A thread takes the name of the one that starts it, unless it is given another; and names have 15 bytes.
    let name = format!("wasm-cc-{:x}", COUNT.fetch_add(1, Ordering::Relaxed) & 0xff_ffff);
    let named = name.clone();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).stack_size(STACK).thread_name(move |_| named.clone());
    // What it catches is not used again: `work` is gone, and what it borrows is looked at by nobody who survives this.
    let guarded = || catch_unwind(AssertUnwindSafe(work)).map_err(Trap::panic);
    let result = without_signals(|| pool.build_scoped(|thread| thread.run(), |pool| pool.install(guarded)));
    wait_for(&name)?;
    match result.context("no thread to compile with")? {
        Ok(done) => Ok(done),
        Err(panic) => bail!("the compiler failed: {panic}"),
    }
}

/// Waits until no thread of this process has that name.
fn wait_for(name: &str) -> anyhow::Result<()> {
    let started = Clock::now();
    while is_alive(name).context("cannot see the threads of this process")? {
        ensure!(started.elapsed() < PATIENCE, "a thread of the compiler does not end");
        thread::sleep(POLL);
    }
    Ok(())
}

fn is_alive(name: &str) -> std::io::Result<bool> {
    for task in fs::read_dir("/proc/self/task")? {
        // One that cannot be read has ended in the meantime.
        let found = fs::read_to_string(task?.path().join("comm"));
        if found.is_ok_and(|comm| comm.trim_end() == name) {
            return Ok(true);
        }
    }
    Ok(false)
}
