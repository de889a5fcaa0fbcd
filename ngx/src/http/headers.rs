//! What the header maps of both directions share: nginx's lists of headers, names without case, checked text.
//!
//! nginx keeps headers in an `ngx_list_t` of `ngx_table_elt_t` and, beside it, pointers to those it reads itself (the
//! typed headers: `headers_in.host`, `headers_out.etag`, …). nginx: src/core/ngx_list.h, src/core/ngx_hash.h,
//! src/http/ngx_http_request.h.

mod list;

use std::{fmt, ptr, slice};

pub(crate) use list::{Elt, List};

use crate::{str::bytes, sys};

/// Why a header was not changed. Nothing was changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// A name or a value that would break the message: an empty name, no token, CR, LF or NUL in a value, a
    /// Content-Length without digits, a Host that nginx would refuse.
    Invalid,
    /// The request's pool has no memory left.
    NoMemory,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "not a valid header",
            Self::NoMemory => "no memory for the header",
        })
    }
}

impl std::error::Error for HeaderError {}

pub(crate) type Result<T = ()> = std::result::Result<T, HeaderError>;

/// The longest name of a header that nginx keeps a typed copy of, with room to spare.
const LONGEST_KNOWN: usize = 32;

/// A name in lower case on the stack; of a name that is too long to be one of nginx's own, nothing.
pub(crate) struct Lower {
    bytes: [u8; LONGEST_KNOWN],
    len: usize,
}

impl Lower {
    #[inline]
    pub fn new(name: &[u8]) -> Self {
        let mut bytes = [0; LONGEST_KNOWN];
        let len = if name.len() <= LONGEST_KNOWN { name.len() } else { 0 };
        for (to, from) in bytes.iter_mut().zip(&name[..len]) {
            *to = from.to_ascii_lowercase();
        }
        Self { bytes, len }
    }

    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Whether two header names are the same one. Length and first byte tell most pairs apart.
#[inline]
pub(crate) fn same_name(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.first().map(|c| c | 0x20) == b.first().map(|c| c | 0x20) && a.eq_ignore_ascii_case(b)
}

/// `ngx_hash_key_lc`: the hash by which nginx looks names up (src/core/ngx_hash.c).
#[inline]
pub(crate) fn hash(name: &[u8]) -> usize {
    name.iter().fold(0_usize, |key, c| key.wrapping_mul(31).wrapping_add(usize::from(c.to_ascii_lowercase())))
}

/// The bytes of a token: `tchar` of RFC 9110, section 5.6.2.
const TOKEN: [bool; 256] = {
    let (mut token, marks) = ([false; 256], b"!#$%&'*+-.^_`|~");
    let mut at = 0;
    while at < 256 {
        token[at] = (at as u8).is_ascii_alphanumeric();
        at += 1;
    }
    at = 0;
    while at < marks.len() {
        token[marks[at] as usize] = true;
        at += 1;
    }
    token
};

/// Whether `byte` may stand in a header's name or in a method.
#[inline]
pub(crate) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Refuses what could end the header line early, and with it the message.
pub(crate) fn check(name: &[u8], value: &[u8]) -> Result {
    let name_ok = !name.is_empty() && name.iter().all(|&c| is_token(c));
    let value_ok = !value.iter().any(|c| matches!(c, b'\r' | b'\n' | b'\0'));
    if name_ok && value_ok { Ok(()) } else { Err(HeaderError::Invalid) }
}

/// A decimal number and nothing else, as nginx's `ngx_atoof` reads it.
pub(crate) fn digits(value: &[u8]) -> Option<i64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(value).ok()?.parse().ok()
}

/// Writes `number` in decimal to the end of `room`.
pub(crate) fn decimal(mut number: u64, room: &mut [u8; 20]) -> &[u8] {
    let mut at = room.len();
    loop {
        at -= 1;
        room[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &room[at..];
        }
    }
}

/// Copies `text` into `pool` and puts a NUL after it: nginx's parsers of times, cookies and content types read up to
/// there. `lower` makes it lower case on the way.
///
/// # Safety
/// `pool` must be a live pool.
pub(crate) unsafe fn copy(pool: *mut sys::ngx_pool_t, text: &[u8], lower: bool) -> Result<sys::ngx_str_t> {
    // SAFETY: a live pool by contract; ngx_pnalloc returns null or that many bytes of our own.
    let data = unsafe { sys::ngx_pnalloc(pool, text.len() + 1) }.cast::<u8>();
    if data.is_null() {
        return Err(HeaderError::NoMemory);
    }
    // SAFETY: `data` has text.len() + 1 fresh bytes, which nobody else sees yet; ptr::copy initialises them before a
    // slice is made.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), data, text.len());
        *data.add(text.len()) = 0;
        if lower {
            slice::from_raw_parts_mut(data, text.len()).make_ascii_lowercase();
        }
    }
    Ok(sys::ngx_str_t { len: text.len(), data })
}

/// Where nginx points to the headers of one name that it reads itself.
#[derive(Clone, Copy)]
pub(crate) enum Slot {
    /// A pointer to the first; since 1.23 the others hang on its `next`.
    Pointer(*mut *mut sys::ngx_table_elt_t),
    /// Before 1.23, for names that may repeat: `ngx_array_t` of pointers.
    #[cfg(not(ngx_linked_headers))]
    Array(*mut sys::ngx_array_t),
}

impl Slot {
    /// Points to `elts`, in their order, and to nothing else.
    ///
    /// # Safety
    /// The slot must belong to a live request, `pool` be its pool, and `elts` elements of the list beside the slot.
    pub unsafe fn point_to<'a>(
        self,
        #[cfg_attr(ngx_linked_headers, expect(unused_variables, reason = "only arrays allocate"))]
        pool: *mut sys::ngx_pool_t,
        elts: impl Iterator<Item = Elt<'a>>,
    ) -> Result {
        match self {
            // SAFETY: slot and elements live, by contract; `tail` is the slot or the `next` of a live element.
            #[cfg(ngx_linked_headers)]
            Self::Pointer(mut tail) => unsafe {
                *tail = ptr::null_mut();
                for elt in elts {
                    *tail = elt.as_ptr();
                    tail = &raw mut (*elt.as_ptr()).next;
                    *tail = ptr::null_mut();
                }
            },
            #[cfg(not(ngx_linked_headers))]
            Self::Pointer(slot) => {
                let mut elts = elts;
                // SAFETY: the slot lives, by contract.
                unsafe { *slot = elts.next().map_or(ptr::null_mut(), Elt::as_ptr) };
            }
            // SAFETY: the array lives and is of pointers to elements, or zeroed: then it is made here, as
            // ngx_array_init does, inline in src/core/ngx_array.h.
            #[cfg(not(ngx_linked_headers))]
            Self::Array(array) => unsafe {
                let size = size_of::<*mut sys::ngx_table_elt_t>();
                if (*array).elts.is_null() {
                    let elts = sys::ngx_palloc(pool, 2 * size);
                    if elts.is_null() {
                        return Err(HeaderError::NoMemory);
                    }
                    *array = sys::ngx_array_t { elts, nelts: 0, size, nalloc: 2, pool };
                }
                (*array).nelts = 0;
                for elt in elts {
                    let place = sys::ngx_array_push(array).cast::<*mut sys::ngx_table_elt_t>();
                    if place.is_null() {
                        return Err(HeaderError::NoMemory);
                    }
                    *place = elt.as_ptr();
                }
            },
        }
        Ok(())
    }

    /// Forgets an array that is another request's, so that `point_to` makes one of its own.
    ///
    /// # Safety
    /// The slot must belong to a live request.
    pub unsafe fn unshare(self) {
        match self {
            Self::Pointer(_) => (),
            // SAFETY: the array lives, by contract.
            #[cfg(not(ngx_linked_headers))]
            Self::Array(array) => unsafe { (*array).elts = ptr::null_mut() },
        }
    }
}

/// The configuration of nginx's http core module in `confs`, one of `main_conf`, `srv_conf` and `loc_conf` of a
/// request: `ngx_http_get_module_*_conf(r, ngx_http_core_module)`.
///
/// # Safety
/// `confs` must be such an array.
#[inline]
pub(crate) unsafe fn core_conf<T>(confs: *mut *mut std::ffi::c_void) -> *mut T {
    // SAFETY: nginx gives every http module a slot in these arrays, and its core module fills all three.
    unsafe { (*confs.add(sys::ngx_http_core_module.ctx_index)).cast() }
}

/// Makes nginx compute variables anew: it caches what `set`, `map`, `log_format` and the like have read by index, and
/// `$http_*` for one is never looked up twice (ngx_http_get_indexed_variable). Variables that a configuration sets
/// itself are left alone.
///
/// # Safety
/// `r` must be a live request.
pub(crate) unsafe fn forget_variables(r: *mut sys::ngx_http_request_t, which: impl Fn(&[u8]) -> bool) {
    // SAFETY: a live request by contract. r->variables has a value for each of cmcf->variables, from
    // ngx_http_alloc_request on, and names of variables live as long as the configuration.
    unsafe {
        let cmcf: *mut sys::ngx_http_core_main_conf_t = core_conf((*r).main_conf);
        let names = (*cmcf).variables.elts.cast::<sys::ngx_http_variable_t>();
        let values = (*r).variables;
        if values.is_null() {
            return;
        }
        for at in 0..(*cmcf).variables.nelts {
            let (variable, value) = (names.add(at), values.add(at));
            // Most have not been read in this request.
            if (*value).valid() == 0 && (*value).not_found() == 0 {
                continue;
            }
            if (*variable).flags & sys::NGX_HTTP_VAR_CHANGEABLE as usize == 0
                && which(bytes(&raw const (*variable).name))
            {
                (*value).set_valid(0);
                (*value).set_not_found(0);
            }
        }
    }
}

/// Whether `variable` is `prefix` and then `header` with its dashes as underscores: `http_x_id` for X-Id.
pub(crate) fn names_header(variable: &[u8], prefix: &[u8], header: &[u8]) -> bool {
    variable.strip_prefix(prefix).is_some_and(|rest| {
        let as_in_variable = |&c: &u8| if c == b'-' { b'_' } else { c.to_ascii_lowercase() };
        rest.len() == header.len() && rest.iter().copied().eq(header.iter().map(as_in_variable))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case() {
        assert!(same_name(b"Content-Type", b"content-type"));
        assert!(!same_name(b"content-type", b"content-typf"));
        assert!(!same_name(b"a", b""));
        assert!(same_name(b"", b""));
    }

    #[test]
    fn what_would_split_a_message_is_refused() {
        assert_eq!(check(b"x-a", b"any \x80\xff\t bytes"), Ok(()));
        for value in [&b"a\r\nb: c"[..], b"a\nb", b"a\0"] {
            assert_eq!(check(b"x-a", value), Err(HeaderError::Invalid));
        }
        for name in [&b""[..], b"a b", b"a:", b":path", b"a\r", "é".as_bytes()] {
            assert_eq!(check(name, b""), Err(HeaderError::Invalid));
        }
    }

    #[test]
    fn lengths_are_digits() {
        assert_eq!(digits(b"0042"), Some(42));
        for text in [&b""[..], b"+1", b"-1", b"1 ", b"1,1", b"99999999999999999999"] {
            assert_eq!(digits(text), None);
        }
        assert_eq!(decimal(0, &mut [0; 20]), b"0");
        assert_eq!(decimal(u64::MAX, &mut [0; 20]), b"18446744073709551615");
    }

    #[test]
    fn variables_name_headers_with_underscores() {
        assert!(names_header(b"http_x_id", b"http_", b"X-Id"));
        assert!(!names_header(b"http_x_id2", b"http_", b"x-id"));
        assert!(!names_header(b"http_x-id", b"http_", b"x-id"));
        assert!(!names_header(b"x_id", b"http_", b"x-id"));
    }

    #[test]
    fn the_hash_is_nginx_s() {
        assert_eq!(hash(b"Host"), ((usize::from(b'h') * 31 + 111) * 31 + 115) * 31 + 116);
    }

    #[test]
    fn a_name_too_long_to_be_known_is_none() {
        assert_eq!(Lower::new(b"X-Forwarded-For").as_bytes(), b"x-forwarded-for");
        assert_eq!(Lower::new(&[b'a'; LONGEST_KNOWN + 1]).as_bytes(), b"");
    }
}
