//! Statements that a request brings with it, and the balance of the contexts.

use std::cell::Cell;

use crate::LIVE;
use crate::host::{self, given};
use crate::ops::Turn;

thread_local! {
    static CREATED: Cell<u32> = const { Cell::new(0) };
    static DELETED: Cell<u32> = const { Cell::new(0) };
}

/// Takes note of a stream context that begins.
pub fn created() {
    CREATED.set(CREATED.get() + 1);
}

/// Takes note of one that ends.
pub fn deleted() {
    DELETED.set(DELETED.get() + 1);
}

/// How many stream contexts there were in this instance, how many of them ended, and how many there are.
pub fn balance() -> Vec<u8> {
    let living = LIVE.with_borrow(Vec::len);
    format!("created={} deleted={} living={living}", CREATED.get(), DELETED.get()).into_bytes()
}

impl Turn {
    /// `run NAME`: the statements in a request header.
    pub fn run_header(&mut self, name: &str) {
        // SAFETY: address and size are those of `name`.
        let call = |data, size| unsafe { host::proxy_get_header_map_value(0, name.as_ptr(), name.len(), data, size) };
        let (_, statements) = given(call);
        for statement in String::from_utf8_lossy(&statements).split(';').filter(|statement| !statement.is_empty()) {
            self.statement(statement);
        }
    }
}
