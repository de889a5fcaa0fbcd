//! The headers of a response, with nginx's typed copies in step.
//!
//! nginx writes some headers from fields (Content-Type, Content-Length, Last-Modified, Server, Date) and the others from
//! a list in which hash 0 means deleted. nginx: src/http/ngx_http_header_filter_module.c, the copy handlers of
//! src/http/ngx_http_upstream.c.

use std::ptr;

use super::{
    headers::{
        self, Elt, HeaderError, List, Lower, Result, Slot, decimal, digits, forget_variables, names_header, same_name,
    },
    request::Request,
};
use crate::{
    str::{EMPTY, bytes, from_parts},
    sys,
};

const TIME_LEN: usize = "Mon, 28 Sep 1970 06:00:00 GMT".len();

impl<'a> Request<'a> {
    /// The headers of the response.
    #[inline]
    pub fn response_headers(self) -> ResponseHeaders<'a> {
        ResponseHeaders(self)
    }
}

/// The headers of a response (`r->headers_out`), as its client would see them: before the header is sent, that is.
///
/// Not among them, unless a filter or an upstream has set them: Server and Date, which nginx makes itself. Never among
/// them: Connection, Keep-Alive and Transfer-Encoding, which belong to the connection.
#[derive(Clone, Copy)]
pub struct ResponseHeaders<'a>(Request<'a>);

type Pair<'a> = (&'a [u8], &'a [u8]);

impl<'a> ResponseHeaders<'a> {
    /// Whether [`Self::set`] and [`Self::add`] would take the header.
    ///
    /// # Errors
    /// [`HeaderError::Invalid`].
    pub fn check(name: &[u8], value: &[u8]) -> Result {
        headers::check(name, value)?;
        if same_name(name, b"content-length") && digits(value).is_none() {
            return Err(HeaderError::Invalid);
        }
        Ok(())
    }

    /// Whether a response has at most one header of this name, so that adding it means setting it.
    pub fn is_single(name: &[u8]) -> bool {
        let lower = Lower::new(name);
        SINGLE.contains(&lower.as_bytes()) || SINGLE_IN_LIST.contains(&lower.as_bytes())
    }

    /// Names and values, in the order in which nginx writes them.
    pub fn iter(self) -> impl Iterator<Item = Pair<'a>> {
        let written = [
            (&b"content-type"[..], self.content_type()),
            (b"content-length", self.content_length()),
            (b"last-modified", self.last_modified()),
        ];
        let written = written.into_iter().filter_map(|(name, value)| Some((name, value?)));
        written.chain(self.list().iter().map(Elt::pair))
    }

    /// How many [`Self::iter`] yields.
    pub fn count(self) -> usize {
        let h = self.fields();
        // SAFETY: a Request is a live request, whose fields these are.
        let written = unsafe { [(*h).content_type.len > 0, self.writes_content_length(), self.writes_last_modified()] };
        written.into_iter().filter(|&yes| yes).count() + self.list().iter().count()
    }

    /// The first value of a header.
    pub fn get(self, name: &[u8]) -> Option<&'a [u8]> {
        let written = match name.len() {
            12 if same_name(name, b"content-type") => self.content_type(),
            14 if same_name(name, b"content-length") => self.content_length(),
            13 if same_name(name, b"last-modified") => self.last_modified(),
            _ => None,
        };
        written.or_else(|| self.list().find(name).map(Elt::value))
    }

    /// Replaces all values of a header by one.
    ///
    /// `Connection: close` closes the connection after the response; Connection, Keep-Alive and Transfer-Encoding have
    /// no other effect, since how the response is framed is nginx's. Content-Length must be a number; one that
    /// differs from what nginx knows is believed, but then the connection is not used again, so that a wrong one
    /// spoils no other response.
    pub fn set(self, name: &[u8], value: &[u8]) -> Result {
        self.write(name, value, true)
    }

    /// Appends a header. Those that can be there only once are set.
    pub fn add(self, name: &[u8], value: &[u8]) -> Result {
        self.write(name, value, false)
    }

    /// Removes all values of a header; Server and Date too, which nginx would add.
    pub fn remove(self, name: &[u8]) -> Result {
        let lower = Lower::new(name);
        match lower.as_bytes() {
            b"content-type" => self.clear_content_type(),
            b"content-length" => self.clear_content_length(),
            b"accept-ranges" => self.clear_accept_ranges(),
            // SAFETY: a Request is a live request, whose field this is.
            b"last-modified" => unsafe { (*self.fields()).last_modified_time = -1 },
            b"server" | b"date" => return self.suppress(name, lower.as_bytes()),
            _ => (),
        }
        self.delete_all(name);
        self.changed(name, lower.as_bytes())
    }

    /// Removes all headers, but the length of the body, which nginx knows. It makes Server and Date again.
    pub fn clear(self) -> Result {
        for elt in self.list().iter() {
            elt.delete();
        }
        for name in TYPED {
            if let Some(slot) = self.slot(name) {
                // SAFETY: slot and pool are those of this live request.
                unsafe { slot.point_to(self.pool(), std::iter::empty())? };
            }
        }
        self.clear_content_type();
        // SAFETY: a Request is a live request, whose fields these are.
        unsafe {
            (*self.fields()).content_length = ptr::null_mut();
            (*self.fields()).last_modified_time = -1;
            forget_variables(self.raw(), |variable| variable.starts_with(b"sent_http_"));
        }
        Ok(())
    }

    /// Says that the length of the body is not known: nginx sends it in chunks, or closes the connection after it.
    /// nginx: ngx_http_clear_content_length.
    pub fn clear_content_length(self) {
        let h = self.fields();
        // SAFETY: a Request is a live request; a typed pointer is null or points into its list.
        unsafe {
            (*h).content_length_n = -1;
            if !(*h).content_length.is_null() {
                (*(*h).content_length).hash = 0;
                (*h).content_length = ptr::null_mut();
            }
        }
        self.delete_all(b"content-length");
    }

    /// Makes nginx serve no ranges of this response. nginx: ngx_http_clear_accept_ranges.
    pub fn clear_accept_ranges(self) {
        // SAFETY: a Request is a live request.
        unsafe {
            (*self.raw()).set_allow_ranges(0);
            (*self.fields()).accept_ranges = ptr::null_mut();
        }
        self.delete_all(b"accept-ranges");
    }

    /// For a body that may change on its way: neither its length nor ranges of it can be promised.
    pub fn body_may_change(self) {
        self.clear_content_length();
        self.clear_accept_ranges();
    }

    /// For a body that was changed as a whole: its new length. Ranges, and the conditions of a client that knows another
    /// body by its ETag, are not served.
    pub fn body_was_changed(self, len: u64) {
        self.body_may_change();
        // SAFETY: a Request is a live request. nginx writes the header from this (ngx_http_header_filter).
        unsafe { (*self.fields()).content_length_n = sys::off_t::try_from(len).unwrap_or(-1) };
    }

    /// How long nginx knows that the body will be, in bytes.
    pub fn known_length(self) -> Option<u64> {
        // SAFETY: a Request is a live request.
        u64::try_from(unsafe { (*self.fields()).content_length_n }).ok()
    }

    fn write(self, name: &[u8], value: &[u8], replace: bool) -> Result {
        headers::check(name, value)?;
        let lower = Lower::new(name);
        match lower.as_bytes() {
            b"connection" => {
                if value.eq_ignore_ascii_case(b"close") {
                    // SAFETY: a Request is a live request, and so is its main one, which owns the connection.
                    unsafe { (*(*self.raw()).main).set_keepalive(0) };
                }
                return Ok(());
            }
            b"keep-alive" | b"transfer-encoding" => return Ok(()),
            b"content-type" => self.set_content_type(value)?,
            b"content-length" => self.set_content_length(digits(value).ok_or(HeaderError::Invalid)?),
            b"last-modified" => self.set_last_modified(name, value)?,
            b"accept-ranges" => self.set_accept_ranges(name, value)?,
            lower => self.put(name, value, replace || SINGLE_IN_LIST.contains(&lower))?,
        }
        self.changed(name, lower.as_bytes())
    }

    /// Writes a header into the list.
    fn put(self, name: &[u8], value: &[u8], replace: bool) -> Result {
        let replaced = if replace { self.list().find(name) } else { None };
        match replaced {
            Some(first) => {
                // SAFETY: the pool is that of the list's request.
                unsafe { first.set_value(self.pool(), value)? };
                self.list().iter().filter(|&elt| elt != first && elt.is_named(name)).for_each(Elt::delete);
                Ok(())
            }
            // SAFETY: as above.
            None => unsafe { self.list().push(self.pool(), name, value).map(drop) },
        }
    }

    fn delete_all(self, name: &[u8]) {
        self.list().iter().filter(|elt| elt.is_named(name)).for_each(Elt::delete);
    }

    /// After the list has changed: the typed copy and cached variables.
    fn changed(self, name: &[u8], lower: &[u8]) -> Result {
        let suppressed = matches!(lower, b"server" | b"date") && self.list().find(name).is_none();
        if let Some(slot) = self.slot(lower).filter(|_| !suppressed) {
            let elts = self.list().iter().filter(|elt| elt.is_named(name));
            // nginx makes a Location that starts with a slash absolute when it is typed. What a filter or an upstream
            // says goes out as it is (ngx_http_upstream_rewrite_location does the same).
            let elts = elts.filter(|elt| lower != b"location" || !elt.value().starts_with(b"/"));
            // SAFETY: slot, pool and list are those of this live request.
            unsafe { slot.point_to(self.pool(), elts)? };
        }
        // SAFETY: a Request is a live request.
        unsafe { forget_variables(self.raw(), |variable| names_header(variable, b"sent_http_", name)) };
        Ok(())
    }

    /// nginx makes Server and Date unless the typed copy is there; pointing it to a deleted header leaves neither
    /// (ngx_http_upstream_process_headers does the same).
    fn suppress(self, name: &[u8], lower: &[u8]) -> Result {
        self.delete_all(name);
        // SAFETY: slot, pool and list are those of this live request.
        unsafe {
            let none = self.list().push(self.pool(), name, b"")?;
            none.delete();
            if let Some(slot) = self.slot(lower) {
                slot.point_to(self.pool(), std::iter::once(none))?;
            }
        }
        self.changed(name, lower)
    }

    /// The type with the charset that nginx will append to it.
    fn content_type(self) -> Option<&'a [u8]> {
        let h = self.fields();
        // SAFETY: a Request is a live request; strings in its headers_out live as long as it or its configuration.
        unsafe {
            let kind = bytes(&raw const (*h).content_type);
            if kind.is_empty() {
                return None;
            }
            let charset = bytes(&raw const (*h).charset);
            if charset.is_empty() || (*h).content_type_len != kind.len() {
                return Some(kind);
            }
            let whole = [kind, b"; charset=", charset].concat();
            headers::copy(self.pool(), &whole, false).ok().map(|s| from_parts(s.data, s.len))
        }
    }

    fn content_length(self) -> Option<&'a [u8]> {
        // SAFETY: a Request is a live request with its pool.
        unsafe {
            let length = (*self.fields()).content_length_n;
            let text = self.writes_content_length().then(|| copied_decimal(self.pool(), length as u64))?;
            text.ok().map(|s| from_parts(s.data, s.len))
        }
    }

    fn last_modified(self) -> Option<&'a [u8]> {
        if !self.writes_last_modified() {
            return None;
        }
        // SAFETY: a Request is a live request with its pool; ngx_http_time writes TIME_LEN bytes.
        unsafe {
            let data = sys::ngx_pnalloc(self.pool(), TIME_LEN).cast::<u8>();
            if data.is_null() {
                return None;
            }
            sys::ngx_http_time(data, (*self.fields()).last_modified_time);
            Some(from_parts(data, TIME_LEN))
        }
    }

    fn writes_content_length(self) -> bool {
        let h = self.fields();
        // SAFETY: a Request is a live request, whose fields these are.
        unsafe { (*h).content_length.is_null() && (*h).content_length_n >= 0 }
    }

    fn writes_last_modified(self) -> bool {
        let h = self.fields();
        // SAFETY: a Request is a live request, whose fields these are.
        unsafe { (*h).last_modified.is_null() && (*h).last_modified_time != -1 }
    }

    /// nginx: ngx_http_upstream_copy_content_type.
    fn set_content_type(self, value: &[u8]) -> Result {
        let h = self.fields();
        // SAFETY: a Request is a live request with its pool; `charset` is a part of the copy, at an offset inside it.
        unsafe {
            let kind = headers::copy(self.pool(), value, false)?;
            self.clear_content_type();
            (*h).content_type = kind;
            (*h).content_type_len = kind.len;
            if let Some(charset) = charset(value) {
                (*h).content_type_len = charset.type_len;
                (*h).charset = sys::ngx_str_t { len: charset.len, data: kind.data.add(charset.at) };
            }
        }
        self.delete_all(b"content-type");
        Ok(())
    }

    fn clear_content_type(self) {
        let h = self.fields();
        // SAFETY: a Request is a live request, whose fields these are.
        unsafe {
            (*h).content_type = EMPTY;
            (*h).content_type_len = 0;
            (*h).content_type_lowcase = ptr::null_mut();
            (*h).content_type_hash = 0;
            (*h).charset = EMPTY;
        }
    }

    fn set_content_length(self, length: i64) {
        let (r, h) = (self.raw(), self.fields());
        // SAFETY: a Request is a live request, and so is its main one.
        unsafe {
            let known = (*h).content_length_n;
            self.delete_all(b"content-length");
            (*h).content_length = ptr::null_mut();
            (*h).content_length_n = length;
            if known != length && (*r).method != sys::NGX_HTTP_HEAD as usize {
                (*(*r).main).set_keepalive(0);
                self.clear_accept_ranges();
            }
        }
    }

    fn set_last_modified(self, name: &[u8], value: &[u8]) -> Result {
        self.put(name, value, true)?;
        // SAFETY: a Request is a live request; the parser reads `len` bytes and writes none.
        unsafe {
            (*self.fields()).last_modified_time = sys::ngx_parse_http_time(value.as_ptr().cast_mut(), value.len())
        };
        Ok(())
    }

    /// nginx's range filter says `bytes` itself where it serves ranges.
    fn set_accept_ranges(self, name: &[u8], value: &[u8]) -> Result {
        // SAFETY: a Request is a live request.
        let serves = unsafe { (*self.raw()).allow_ranges() } != 0;
        if serves && value.eq_ignore_ascii_case(b"bytes") {
            self.delete_all(name);
            return Ok(());
        }
        self.clear_accept_ranges();
        self.put(name, value, true)
    }

    /// Where nginx keeps its typed copy. Its own table, ngx_http_headers_out, lacks half of them.
    fn slot(self, lower: &[u8]) -> Option<Slot> {
        let h = self.fields();
        // SAFETY: a Request is a live request; only addresses of fields are taken.
        let field = unsafe {
            match lower {
                b"server" => &raw mut (*h).server,
                b"date" => &raw mut (*h).date,
                b"content-encoding" => &raw mut (*h).content_encoding,
                b"location" => &raw mut (*h).location,
                b"refresh" => &raw mut (*h).refresh,
                b"last-modified" => &raw mut (*h).last_modified,
                b"content-range" => &raw mut (*h).content_range,
                b"accept-ranges" => &raw mut (*h).accept_ranges,
                b"www-authenticate" => &raw mut (*h).www_authenticate,
                b"expires" => &raw mut (*h).expires,
                b"etag" => &raw mut (*h).etag,
                #[cfg(ngx_linked_headers)]
                b"cache-control" => &raw mut (*h).cache_control,
                #[cfg(ngx_linked_headers)]
                b"link" => &raw mut (*h).link,
                #[cfg(not(ngx_linked_headers))]
                b"cache-control" => return Some(Slot::Array(&raw mut (*h).cache_control)),
                #[cfg(not(ngx_linked_headers))]
                b"link" => return Some(Slot::Array(&raw mut (*h).link)),
                _ => return None,
            }
        };
        Some(Slot::Pointer(field))
    }

    #[inline]
    fn list(self) -> List<'a> {
        // SAFETY: a Request is a live request, and this its list (ngx_http_alloc_request, ngx_http_subrequest).
        unsafe { List::new(&raw mut (*self.fields()).headers) }
    }

    #[inline]
    fn fields(self) -> *mut sys::ngx_http_headers_out_t {
        // SAFETY: a Request is a live request; only the address of a field is taken.
        unsafe { &raw mut (*self.raw()).headers_out }
    }

    #[inline]
    fn raw(self) -> *mut sys::ngx_http_request_t {
        self.0.as_ptr()
    }

    #[inline]
    fn pool(self) -> *mut sys::ngx_pool_t {
        // SAFETY: a Request is a live request.
        unsafe { (*self.raw()).pool }
    }
}

/// Headers that a response has at most once and that are written in a way of their own.
const SINGLE: [&[u8]; 4] = [b"content-type", b"content-length", b"last-modified", b"accept-ranges"];

/// Those that are in nginx's list as all others are.
const SINGLE_IN_LIST: [&[u8]; 8] =
    [b"server", b"date", b"location", b"etag", b"content-range", b"content-encoding", b"expires", b"refresh"];

/// The names that [`ResponseHeaders::slot`] knows.
const TYPED: [&[u8]; 13] = [
    b"server",
    b"date",
    b"content-encoding",
    b"location",
    b"refresh",
    b"last-modified",
    b"content-range",
    b"accept-ranges",
    b"www-authenticate",
    b"expires",
    b"etag",
    b"cache-control",
    b"link",
];

/// A length as text in the pool.
///
/// # Safety
/// `pool` must be a live pool.
unsafe fn copied_decimal(pool: *mut sys::ngx_pool_t, number: u64) -> Result<sys::ngx_str_t> {
    // SAFETY: this function's own contract.
    unsafe { headers::copy(pool, decimal(number, &mut [0; 20]), false) }
}

/// Where a content type names its charset.
struct Charset {
    /// How long the type is without it.
    type_len: usize,
    at: usize,
    len: usize,
}

/// nginx: ngx_http_upstream_copy_content_type, which takes all that follows for the charset's name.
fn charset(value: &[u8]) -> Option<Charset> {
    const KEY: &[u8] = b"charset=";
    let semicolons = value.iter().enumerate().filter(|&(_, &c)| c == b';').map(|(at, _)| at);
    for type_len in semicolons {
        let rest = &value[type_len + 1..];
        let spaces = rest.iter().take_while(|&&c| c == b' ').count();
        let Some(name) = rest[spaces..].split_at_checked(KEY.len()).filter(|(key, _)| key.eq_ignore_ascii_case(KEY))
        else {
            continue;
        };
        let name = name.1;
        let name = name.strip_prefix(b"\"").unwrap_or(name);
        let at = value.len() - name.len();
        return Some(Charset { type_len, at, len: name.strip_suffix(b"\"").unwrap_or(name).len() });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{HeaderError, ResponseHeaders, charset};

    #[test]
    fn a_header_is_checked_before_it_is_set() {
        assert_eq!(ResponseHeaders::check(b"content-length", b"12"), Ok(()));
        for (name, value) in [(&b"Content-Length"[..], &b"x"[..]), (b"a b", b""), (b"a", b"b\nc")] {
            assert_eq!(ResponseHeaders::check(name, value), Err(HeaderError::Invalid));
        }
        assert!(ResponseHeaders::is_single(b"Content-Type") && ResponseHeaders::is_single(b"ETag"));
        assert!(!ResponseHeaders::is_single(b"set-cookie") && !ResponseHeaders::is_single(b""));
    }

    #[test]
    fn a_type_may_name_its_charset() {
        let named = |value: &'static [u8]| charset(value).map(|c| (&value[..c.type_len], &value[c.at..][..c.len]));
        assert_eq!(named(b"text/html; charset=utf-8"), Some((&b"text/html"[..], &b"utf-8"[..])));
        assert_eq!(named(b"text/html;CHARSET=\"x\""), Some((&b"text/html"[..], &b"x"[..])));
        assert_eq!(named(b"a/b; q=1; charset=x"), Some((&b"a/b; q=1"[..], &b"x"[..])));
        assert_eq!(named(b"text/html"), None);
        assert_eq!(named(b"text/html; "), None);
        assert_eq!(named(b"text/html; charse"), None);
        assert_eq!(named(b"text/html; charset="), Some((&b"text/html"[..], &b""[..])));
    }
}
