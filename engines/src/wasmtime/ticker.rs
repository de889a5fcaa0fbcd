//! A thread that does something small at regular intervals.

use std::{
    mem, process,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use crate::signals::without_signals;

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
