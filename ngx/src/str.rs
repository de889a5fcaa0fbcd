//! `ngx_str_t` (src/core/ngx_string.h) as byte slices.

use std::{fmt, ops::Deref, slice};

use crate::sys;

/// A string that nginx owns, as it lies in nginx's memory.
#[repr(transparent)]
pub struct Str(sys::ngx_str_t);

impl Str {
    /// The bytes; nginx's strings are not terminated by zero and need not be UTF-8.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: an ngx_str_t that nginx lent holds len readable bytes, for as long as it is lent.
        unsafe { bytes(&raw const self.0) }
    }

    /// The string for messages: what is not UTF-8 is replaced.
    pub fn to_string_lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.as_bytes())
    }
}

impl Deref for Str {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string_lossy(), f)
    }
}

/// The bytes of a string of nginx's.
///
/// # Safety
/// `s` must point to an `ngx_str_t` whose data stays readable and unchanged for `'a`.
#[inline]
pub unsafe fn bytes<'a>(s: *const sys::ngx_str_t) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { from_parts((*s).data, (*s).len) }
}

/// A slice from a pointer that may be null when there are no bytes, which C allows and Rust does not.
///
/// # Safety
/// `len` bytes at `data` must stay readable and unchanged for `'a`, unless `len` is 0.
#[inline]
pub unsafe fn from_parts<'a>(data: *const u8, len: usize) -> &'a [u8] {
    if len == 0 || data.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(data, len) }
}

/// The bytes as nginx names them, not copied. nginx takes many strings through pointers to mut that it only reads;
/// those alone may be given the result.
#[inline]
pub fn lend(bytes: &[u8]) -> sys::ngx_str_t {
    sys::ngx_str_t { len: bytes.len(), data: bytes.as_ptr().cast_mut() }
}

/// An empty `ngx_str_t`, `ngx_null_string`.
pub const EMPTY: sys::ngx_str_t = sys::ngx_str_t { len: 0, data: std::ptr::null_mut() };
