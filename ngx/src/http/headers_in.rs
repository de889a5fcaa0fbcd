//! The headers of a request, with nginx's typed copies in step.
//!
//! nginx: the table ngx_http_headers_in and its handlers in src/http/ngx_http_request.c. The handlers themselves are not
//! called: they finalize a request whose header they do not like. What they do is done here, and what they refuse is
//! an error.

use super::{
    headers::{
        self, Elt, HeaderError, List, Lower, Result, Slot, core_conf, digits, forget_variables, names_header, same_name,
    },
    request::Request,
};
use crate::{
    str::{EMPTY, bytes},
    sys,
};

impl<'a> Request<'a> {
    /// The request's headers.
    #[inline]
    pub fn request_headers(self) -> RequestHeaders<'a> {
        RequestHeaders(self)
    }
}

/// The headers of a request (`r->headers_in`): what nginx, its modules, later phases and the upstream see.
#[derive(Clone, Copy)]
pub struct RequestHeaders<'a>(Request<'a>);

impl<'a> RequestHeaders<'a> {
    /// Whether [`Self::set`] and [`Self::add`] would take the header.
    ///
    /// # Errors
    /// [`HeaderError::Invalid`].
    pub fn check(name: &[u8], value: &[u8]) -> Result {
        headers::check(name, value)?;
        let fits = match Lower::new(name).as_bytes() {
            b"host" => host_len(value).is_some(),
            b"content-length" => digits(value).is_some(),
            _ => true,
        };
        if fits { Ok(()) } else { Err(HeaderError::Invalid) }
    }

    /// Names as they were sent, and values, in order.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.list().iter().map(Elt::pair)
    }

    /// How many there are.
    #[inline]
    pub fn count(self) -> usize {
        self.list().iter().count()
    }

    /// The first value of a header.
    #[inline]
    pub fn get(self, name: &[u8]) -> Option<&'a [u8]> {
        self.list().find(name).map(Elt::value)
    }

    /// Replaces all values of a header by one.
    ///
    /// Headers that say how long the body is stay true: Content-Length must be a number and is written as the length
    /// nginx knows ([`Request::replace_body`] changes both), Transfer-Encoding is kept as `chunked` when the body came
    /// in chunks; other values of the two have no effect. No filter can make nginx and an upstream disagree on where
    /// a request ends.
    pub fn set(self, name: &[u8], value: &[u8]) -> Result {
        self.write(name, value, true)
    }

    /// Appends a header. Host, Content-Length, Content-Type and Transfer-Encoding can be there only once and are set.
    pub fn add(self, name: &[u8], value: &[u8]) -> Result {
        self.write(name, value, false)
    }

    /// Removes all values of a header. nginx still knows a body's length when Content-Length goes, and sends it on.
    pub fn remove(self, name: &[u8]) -> Result {
        self.own()?;
        let list = self.list();
        let mut named = list.iter().filter(|elt| elt.is_named(name));
        let (Some(first), second) = (named.next(), named.next()) else { return Ok(()) };
        list.unlink(first)?;
        if second.is_some() {
            while let Some(elt) = list.find(name) {
                list.unlink(elt)?;
            }
        }
        self.changed(name, Lower::new(name).as_bytes())
    }

    /// Removes all headers but Host, which is the pseudo header `:authority`.
    pub fn clear(self) -> Result {
        // SAFETY: a Request is a live request, and this its list and pool.
        unsafe { self.list().rebuild(self.pool(), |elt| same_name(elt.key(), b"host"))? };
        self.point_all()?;
        for name in [&b"connection"[..], b"user-agent", b"authorization", b"keep-alive"] {
            self.follow(name);
        }
        // SAFETY: as above.
        unsafe { forget_variables(self.raw(), reads_request_headers) };
        Ok(())
    }

    fn write(self, name: &[u8], value: &[u8], replace: bool) -> Result {
        headers::check(name, value)?;
        let lower = Lower::new(name);
        match lower.as_bytes() {
            b"host" => self.set_host(value),
            b"content-length" => self.set_content_length(digits(value).ok_or(HeaderError::Invalid)?),
            b"transfer-encoding" => {
                // SAFETY: a Request is a live request.
                let chunked = unsafe { (*self.raw()).headers_in.chunked() } != 0;
                if chunked && value.eq_ignore_ascii_case(b"chunked") { self.put(name, value, true) } else { Ok(()) }
            }
            b"content-type" => self.put(name, value, true),
            _ => self.put(name, value, replace),
        }
    }

    /// Writes a header as it is, with its typed copy.
    pub(super) fn put(self, name: &[u8], value: &[u8], replace: bool) -> Result {
        self.own()?;
        let list = self.list();
        let replaced = if replace { list.find(name) } else { None };
        match replaced {
            // SAFETY: the pool is that of the list's request.
            Some(first) => unsafe {
                first.set_value(self.pool(), value)?;
                while let Some(other) = list.iter().find(|&elt| elt != first && elt.is_named(name)) {
                    list.unlink(other)?;
                }
            },
            // SAFETY: as above.
            None => unsafe { list.push(self.pool(), name, value).map(drop)? },
        }
        self.changed(name, Lower::new(name).as_bytes())
    }

    /// The header Host, and with it `$host` and the name that redirects use; the server {} stays the one that was
    /// chosen. nginx: ngx_http_process_host.
    pub(super) fn set_host(self, value: &[u8]) -> Result {
        headers::check(b"host", value)?;
        let len = host_len(value).ok_or(HeaderError::Invalid)?;
        // SAFETY: a Request is a live request with its pool.
        let server = unsafe { headers::copy(self.pool(), &value[..len], true)? };
        self.put(b"Host", value, true)?;
        // SAFETY: as above; the string lies in the request's pool.
        unsafe { (*self.raw()).headers_in.server = server };
        Ok(())
    }

    /// A length that differs from what nginx will read or send would let one request look like two.
    fn set_content_length(self, wanted: i64) -> Result {
        let r = self.raw();
        // SAFETY: a Request is a live request.
        let (known, chunked) = unsafe { ((*r).headers_in.content_length_n, (*r).headers_in.chunked() != 0) };
        if chunked || (known < 0 && wanted != 0) {
            return Ok(());
        }
        self.put_content_length(known.max(0) as u64)
    }

    /// Header and number alike.
    pub(super) fn put_content_length(self, length: u64) -> Result {
        self.put(b"Content-Length", headers::decimal(length, &mut [0; 20]), true)?;
        // SAFETY: a Request is a live request.
        unsafe { (*self.raw()).headers_in.content_length_n = length as sys::off_t };
        Ok(())
    }

    /// After the list has changed: typed copies, what nginx derives from them, and cached variables.
    fn changed(self, name: &[u8], lower: &[u8]) -> Result {
        if let Some(slot) = self.slot(lower) {
            let elts = self.list().iter().filter(|elt| same_name(elt.key(), name));
            // SAFETY: slot, pool and list are those of this live request.
            unsafe { slot.point_to(self.pool(), elts)? };
            self.follow(lower);
        }
        let names = |variable: &[u8]| {
            names_header(variable, b"http_", name)
                || match lower {
                    b"host" => variable == b"host",
                    b"cookie" => variable.starts_with(b"cookie_"),
                    b"authorization" => variable == b"remote_user",
                    b"content-type" | b"content-length" => names_header(variable, b"", lower),
                    b"x-forwarded-for" => variable == b"proxy_add_x_forwarded_for",
                    _ => false,
                }
        };
        // SAFETY: a Request is a live request.
        unsafe { forget_variables(self.raw(), names) };
        Ok(())
    }

    /// What nginx derives from a header when it reads the request.
    fn follow(self, lower: &[u8]) {
        let value = self.get(lower);
        let r = self.raw();
        // SAFETY: a Request is a live request; the strings are null.
        unsafe {
            match lower {
                b"host" if value.is_none() => {
                    (*r).headers_in.server = EMPTY;
                    (*r).host_start = std::ptr::null_mut();
                    (*r).host_end = std::ptr::null_mut();
                }
                b"connection" => self.follow_connection(value.unwrap_or_default()),
                b"user-agent" => self.follow_user_agent(value.unwrap_or_default()),
                b"authorization" => {
                    // Decoded anew by ngx_http_auth_basic_user at the next use.
                    (*r).headers_in.user = EMPTY;
                    (*r).headers_in.passwd = EMPTY;
                }
                b"keep-alive" => (*r).headers_in.keep_alive_n = value.and_then(digits).unwrap_or(-1),
                _ => (),
            }
        }
    }

    /// nginx: ngx_http_process_connection, ngx_http_handler.
    fn follow_connection(self, value: &[u8]) {
        let kind = if contains_ignore_case(value, b"close") {
            sys::NGX_HTTP_CONNECTION_CLOSE
        } else if contains_ignore_case(value, b"keep-alive") {
            sys::NGX_HTTP_CONNECTION_KEEP_ALIVE
        } else {
            0
        };
        let r = self.raw();
        // SAFETY: a Request is a live request.
        unsafe {
            (*r).headers_in.set_connection_type(kind);
            // nginx has decided before the first phase. Only closing is safe after that: a client that asked for
            // `close` waits for it.
            if kind == sys::NGX_HTTP_CONNECTION_CLOSE && (*r).main == r {
                (*r).set_keepalive(0);
            }
        }
    }

    /// nginx: ngx_http_process_user_agent.
    fn follow_user_agent(self, value: &[u8]) {
        let has = |word: &[u8]| contains(value, word);
        let opera = has(b"Opera");
        let ie = value.windows(5).position(|w| w == b"MSIE ").map(|at| &value[at..]).filter(|ie| ie.len() > 7);
        let msie = ie.is_some() && !opera;
        let msie6 = msie
            && ie.is_some_and(|ie| match (ie[5], ie[6]) {
                (b'4' | b'5', b'.') => true,
                (b'6', b'.') => !contains(&ie[8..], b"SV1"),
                _ => false,
            });
        let other = !msie && !opera;
        let gecko = other && has(b"Gecko/");
        let chrome = other && !gecko && has(b"Chrome/");
        let safari = other && !gecko && !chrome && has(b"Safari/") && has(b"Mac OS X");
        let konqueror = other && !gecko && !chrome && !safari && has(b"Konqueror");
        // SAFETY: a Request is a live request.
        unsafe {
            let h = &raw mut (*self.raw()).headers_in;
            (*h).set_msie(msie.into());
            (*h).set_msie6(msie6.into());
            (*h).set_opera(opera.into());
            (*h).set_gecko(gecko.into());
            (*h).set_chrome(chrome.into());
            (*h).set_safari(safari.into());
            (*h).set_konqueror(konqueror.into());
        }
    }

    /// Where nginx keeps its typed copy of the header, by its own table: `cmcf->headers_in_hash`.
    fn slot(self, lower: &[u8]) -> Option<Slot> {
        let r = self.raw();
        // SAFETY: a live request has the core module's main configuration, and its hash holds ngx_http_header_t;
        // ngx_hash_find reads `len` bytes of the name.
        unsafe {
            let cmcf: *mut sys::ngx_http_core_main_conf_t = core_conf((*r).main_conf);
            let (table, name) = (&raw mut (*cmcf).headers_in_hash, lower.as_ptr().cast_mut());
            let known = sys::ngx_hash_find(table, headers::hash(lower), name, lower.len());
            known.cast::<sys::ngx_http_header_t>().as_ref().map(|known| self.slot_at(known.offset, lower))
        }
    }

    #[cfg_attr(ngx_linked_headers, expect(unused_variables, reason = "only arrays have names of their own"))]
    fn slot_at(self, offset: usize, lower: &[u8]) -> Slot {
        // SAFETY: offsets of nginx's table are those of fields of ngx_http_headers_in_t.
        let field = unsafe { (&raw mut (*self.raw()).headers_in).byte_add(offset) };
        #[cfg(not(ngx_linked_headers))]
        if matches!(lower, b"cookie" | b"x-forwarded-for") {
            return Slot::Array(field.cast());
        }
        Slot::Pointer(field.cast())
    }

    /// Points all typed copies to the list as it is.
    fn point_all(self) -> Result {
        // SAFETY: nginx's table ends with an entry without a name; its names live as long as nginx. Slots, pool and
        // list are those of this live request.
        unsafe {
            let mut known = (&raw const sys::ngx_http_headers_in).cast::<sys::ngx_http_header_t>();
            while (*known).name.len != 0 {
                let name = bytes(&raw const (*known).name);
                let slot = self.slot_at((*known).offset, Lower::new(name).as_bytes());
                slot.unshare();
                slot.point_to(self.pool(), self.list().iter().filter(|elt| same_name(elt.key(), name)))?;
                known = known.add(1);
            }
        }
        Ok(())
    }

    /// Before a change: a subrequest, which starts with its parent's headers, gets a list of its own. Whose an element
    /// is cannot be seen, so that every change makes a new one; changes in subrequests are rare.
    fn own(self) -> Result {
        let r = self.raw();
        // SAFETY: a Request is a live request, and so is its main one.
        if unsafe { (*r).main == r } {
            return Ok(());
        }
        // SAFETY: the pool is that of the list's request.
        unsafe { self.list().rebuild(self.pool(), |_| true)? };
        self.point_all()
    }

    #[inline]
    fn list(self) -> List<'a> {
        // SAFETY: a Request is a live request, and this its list, which HTTP/0.9 leaves zeroed.
        unsafe { List::new(&raw mut (*self.raw()).headers_in.headers) }
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

/// Variables that read a request's headers.
fn reads_request_headers(variable: &[u8]) -> bool {
    variable.starts_with(b"http_")
        || variable.starts_with(b"cookie_")
        || matches!(variable, b"content_type" | b"content_length" | b"remote_user" | b"proxy_add_x_forwarded_for")
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w == word)
}

fn contains_ignore_case(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w.eq_ignore_ascii_case(word))
}

/// The length of a host's name in `host`, without port and final dot; nothing when nginx would refuse it.
/// nginx: ngx_http_validate_host.
fn host_len(host: &[u8]) -> Option<usize> {
    #[derive(PartialEq)]
    enum State {
        Usual,
        Literal,
        Rest,
    }
    let (mut state, mut len, mut dot) = (State::Usual, host.len(), None);
    for (at, &c) in host.iter().enumerate() {
        match c {
            b'.' if at > 0 && dot == Some(at - 1) => return None,
            b'.' => dot = Some(at),
            b':' if state == State::Usual => (len, state) = (at, State::Rest),
            b'[' if at == 0 => state = State::Literal,
            b']' if state == State::Literal => (len, state) = (at + 1, State::Rest),
            b'/' | 0..=0x20 | 0x7f => return None,
            _ => (),
        }
    }
    if len > 0 && dot == Some(len - 1) {
        len -= 1;
    }
    (len > 0).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::{HeaderError, RequestHeaders, host_len};

    #[test]
    fn a_header_is_checked_before_it_is_set() {
        for (name, value) in [("Host", "a:80"), ("content-length", "0"), ("x-a", "")] {
            assert_eq!(RequestHeaders::check(name.as_bytes(), value.as_bytes()), Ok(()), "{name}");
        }
        for (name, value) in [("Host", ""), ("host", "a b"), ("Content-Length", "-1"), (":path", "/"), ("x-a", "\r")] {
            assert_eq!(
                RequestHeaders::check(name.as_bytes(), value.as_bytes()),
                Err(HeaderError::Invalid),
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn a_host_is_what_nginx_takes_for_one() {
        for (host, name) in [
            ("example.com", Some("example.com")),
            ("example.com.", Some("example.com")),
            ("example.com:8080", Some("example.com")),
            ("example.com.:80", Some("example.com")),
            ("[::1]:80", Some("[::1]")),
            ("", None),
            (".", None),
            (":80", None),
            ("a..b", None),
            ("..", None),
            ("a/b", None),
            ("a b", None),
            ("a\u{7f}", None),
        ] {
            assert_eq!(host_len(host.as_bytes()), name.map(str::len), "{host:?}");
        }
    }
}
