//! Memory of one process: for starts on trial, whose numbers nobody reads, and for tests.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use super::Memory;

#[derive(Clone)]
pub struct Plain(Arc<(Box<[AtomicU64]>, Mutex<()>)>);

impl Plain {
    pub fn new(bytes: usize) -> Self {
        let words = (0..bytes / size_of::<u64>()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new((words, Mutex::new(()))))
    }

    pub fn copy_of(words: &[AtomicU64]) -> Self {
        let words = words.iter().map(|word| AtomicU64::new(word.load(Relaxed))).collect();
        Self(Arc::new((words, Mutex::new(()))))
    }
}

impl Memory for Plain {
    fn words(&self) -> &[AtomicU64] {
        &self.0.0
    }

    fn exclusively<R>(&self, f: impl FnOnce() -> R) -> R {
        let _held = self.0.1.lock().unwrap_or_else(PoisonError::into_inner);
        f()
    }
}
