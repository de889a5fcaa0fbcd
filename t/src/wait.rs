//! Waiting for what will come, with one patience for all tests.

use std::time::{Duration, Instant};

/// How long a test waits for what should come at once.
pub fn patience() -> Duration {
    let seconds = std::env::var("WASMX_PATIENCE").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    Duration::from_secs(seconds)
}

/// Waits until `found` finds something.
///
/// # Panics
/// When patience is at its end.
#[track_caller]
pub fn eventually<T>(what: &str, found: impl FnMut() -> Option<T>) -> T {
    match soon(found) {
        Some(it) => it,
        None => panic!("waited {:?} in vain for {what}", patience()),
    }
}

/// As [`eventually`], for those who can say more about a failure.
pub(crate) fn soon<T>(found: impl FnMut() -> Option<T>) -> Option<T> {
    within(patience(), found)
}

/// The same, with a patience of one's own.
pub(crate) fn within<T>(patience: Duration, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + patience;
    let mut pause = Duration::from_micros(500);
    loop {
        if let Some(it) = found() {
            return Some(it);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_millis(10));
    }
}
