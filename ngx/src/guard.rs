//! No panic unwinds into nginx.

use std::{
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    sync::OnceLock,
    thread::{self, ThreadId},
};

use crate::{Level, Log};

/// Runs `f`, called by C; a panic in it becomes `on_panic`.
///
/// The panic was logged by the hook ([`install_hook`]) where it happened. What `f` left half done is the caller's
/// concern: callers give a value that makes nginx drop the request, the connection or the start.
#[inline]
pub fn guard<T>(on_panic: T, f: impl FnOnce() -> T) -> T {
    match panic::catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => value,
        Err(payload) => {
            // Dropping the payload is foreign code that may panic as well; then it is leaked.
            if let Err(another) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                std::mem::forget(another);
            }
            on_panic
        }
    }
}

/// Makes panics of this thread, and of it in forked children, an `[alert]` line of nginx's log. Other threads keep the
/// hook that was there: nginx's log is the main thread's.
pub fn install_hook() {
    static MAIN_THREAD: OnceLock<ThreadId> = OnceLock::new();
    if MAIN_THREAD.set(thread::current().id()).is_err() {
        return;
    }
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if MAIN_THREAD.get() == Some(&thread::current().id()) {
            report(info);
        } else {
            previous(info);
        }
    }));
}

fn report(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("(no message)");
    let log = Log::cycle();
    match info.location() {
        Some(at) => log.write(Level::Alert, format_args!("panic at {}:{}: {message}", at.file(), at.line())),
        None => log.write(Level::Alert, format_args!("panic: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_the_default() {
        assert_eq!(guard(1, || 2), 2);
        assert_eq!(guard(1, || panic!("no")), 1);
    }

    #[test]
    fn a_payload_that_panics_when_dropped_is_leaked() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        assert_eq!(guard(1, || panic::panic_any(Bomb)), 1);
    }
}
