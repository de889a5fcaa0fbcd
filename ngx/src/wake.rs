//! Waking workers from other workers. Each place among the workers has an eventfd, made by the master before it forks, so
//! that a respawned worker finds that of the one it replaces. nginx's own channels go from the master only.
//!
//! With epoll nobody reads them: each write is an event of its own for everyone who watches, so that an old worker, which
//! is about to end, cannot take a wake-up away from the new one in the same place.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, FromRawFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    Failed, Level, Log, process,
    readable::{self, Readable},
};

/// Never fewer than these, so that an old worker can wake those that a reload adds.
const LEAST: usize = 32;

/// They outlive configurations; workers inherit them.
static PLACES: Mutex<Vec<File>> = Mutex::new(Vec::new());

fn places() -> MutexGuard<'static, Vec<File>> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes sure that workers of the places before `count` can be woken. In the master, before it forks.
///
/// # Errors
/// When there are too many open files; it has been logged.
pub fn prepare(log: Log<'_>, count: usize) -> Result<(), Failed> {
    let mut places = places();
    while places.len() < count.max(LEAST) {
        // SAFETY: no preconditions.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
            log.with_errno(errno).write(Level::Emerg, format_args!("eventfd() failed"));
            return Err(Failed);
        }
        // SAFETY: just opened, and nobody else's.
        places.push(unsafe { File::from_raw_fd(fd) });
    }
    Ok(())
}

/// Wakes the workers of a place: the one that serves, and one that is about to end.
pub fn wake(place: usize) {
    if let Some(mut file) = places().get(place) {
        // It fails when the count of wake-ups is at its end, in some centuries.
        let _ = file.write(&1u64.to_ne_bytes());
    }
}

/// Runs a closure whenever this process is woken, until it is dropped.
pub struct Wake(#[expect(dead_code, reason = "it is there to be dropped")] Readable);

impl Wake {
    /// For the place of this worker; `None` when it has none.
    pub fn new(mut callback: impl FnMut() + 'static) -> Option<Self> {
        let place = process::worker_index();
        let on_event = move || {
            if !readable::told_by_edges()
                && let Some(mut file) = places().get(place)
            {
                let _ = file.read(&mut [0; 8]);
            }
            callback();
        };
        let readable = Readable::new(places().get(place)?.as_fd(), on_event)?;
        Some(Self(readable))
    }
}
