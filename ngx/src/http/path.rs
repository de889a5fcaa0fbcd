//! The parts of a message that HTTP/2 calls pseudo headers: method, path, authority, status.
//!
//! nginx: ngx_http_process_request_uri in src/http/ngx_http_request.c, ngx_http_parse_complex_uri in
//! src/http/ngx_http_parse.c, ngx_http_proxy_create_request in src/http/modules/ngx_http_proxy_module.c.

use std::ptr;

use super::{
    headers::{self, HeaderError, Result, core_conf, forget_variables, is_token},
    request::Request,
};
use crate::{
    str::{EMPTY, bytes, from_parts},
    sys,
};

/// Methods that nginx knows, by name; all others are NGX_HTTP_UNKNOWN. nginx: ngx_http_parse_request_line.
const METHODS: [(&[u8], u32); 16] = [
    (b"GET", sys::NGX_HTTP_GET),
    (b"HEAD", sys::NGX_HTTP_HEAD),
    (b"POST", sys::NGX_HTTP_POST),
    (b"PUT", sys::NGX_HTTP_PUT),
    (b"DELETE", sys::NGX_HTTP_DELETE),
    (b"OPTIONS", sys::NGX_HTTP_OPTIONS),
    (b"PATCH", sys::NGX_HTTP_PATCH),
    (b"MKCOL", sys::NGX_HTTP_MKCOL),
    (b"COPY", sys::NGX_HTTP_COPY),
    (b"MOVE", sys::NGX_HTTP_MOVE),
    (b"PROPFIND", sys::NGX_HTTP_PROPFIND),
    (b"PROPPATCH", sys::NGX_HTTP_PROPPATCH),
    (b"LOCK", sys::NGX_HTTP_LOCK),
    (b"UNLOCK", sys::NGX_HTTP_UNLOCK),
    (b"TRACE", sys::NGX_HTTP_TRACE),
    (b"CONNECT", sys::NGX_HTTP_CONNECT),
];

impl<'a> Request<'a> {
    /// Whether [`Self::set_method`] would take the method.
    ///
    /// # Errors
    /// [`HeaderError::Invalid`].
    pub fn check_method(method: &[u8]) -> Result {
        let token = !method.is_empty() && method.iter().all(|&c| is_token(c));
        if token { Ok(()) } else { Err(HeaderError::Invalid) }
    }

    /// Sets the method, any token, for later phases and the upstream.
    ///
    /// What the client waits for does not change with it: the answer to its HEAD has no body, whatever the upstream
    /// was asked, and an upstream's answer to HEAD becomes one without length ([`Self::settle_response`]).
    pub fn set_method(self, method: &[u8]) -> Result {
        Self::check_method(method)?;
        let r = self.as_ptr();
        let known = METHODS.iter().find(|(name, _)| *name == method).map_or(sys::NGX_HTTP_UNKNOWN, |known| known.1);
        // SAFETY: a Request is a live request with its pool.
        unsafe {
            (*r).method_name = headers::copy((*r).pool, method, false)?;
            (*r).method = known as usize;
            if (*r).main == r {
                match (self.client_sent_head(), known == sys::NGX_HTTP_HEAD) {
                    (true, false) => (*r).set_header_only(1),
                    // The end of a body that is none and has no length is that of the connection.
                    (false, true) => (*r).set_keepalive(0),
                    _ => (),
                }
            }
            forget_variables(r, |variable| variable == b"request_method");
        }
        Ok(())
    }

    /// To be called when the response header comes, before it is sent: a filter may have made a HEAD of the client's
    /// GET, and then the length that the upstream names is not that of the body which the client will get.
    pub fn settle_response(self) {
        let r = self.as_ptr();
        // SAFETY: a Request is a live request.
        let head = unsafe { (*r).main == r && (*r).method == sys::NGX_HTTP_HEAD as usize };
        if head && !self.client_sent_head() {
            self.response_headers().body_may_change();
        }
    }

    /// The request line is the client's own, whatever filters and redirects have made of the request.
    fn client_sent_head(self) -> bool {
        // SAFETY: a Request is a live request, and so is its main one.
        unsafe { bytes(&raw const (*(*self.as_ptr()).main).request_line).starts_with(b"HEAD ") }
    }

    /// The path with its query, as an upstream gets it: as the client or a filter wrote it, or, once nginx has changed
    /// it (rewrite, internal redirect), escaped anew. `None` when there is no memory.
    pub fn path(self) -> Option<&'a [u8]> {
        let r = self.as_ptr();
        // SAFETY: a Request is a live request; its strings lie in its memory. The escaped path has the length that
        // ngx_escape_uri announced: two more bytes for each one that it escapes.
        unsafe {
            if (*r).valid_unparsed_uri() != 0 {
                return Some(bytes(&raw const (*r).unparsed_uri));
            }
            let (uri, args) = (bytes(&raw const (*r).uri), bytes(&raw const (*r).args));
            let kind = sys::NGX_ESCAPE_URI as usize;
            let escaped = if (*r).quoted_uri() != 0 || (*r).internal() != 0 {
                2 * sys::ngx_escape_uri(ptr::null_mut(), (*r).uri.data, uri.len(), kind)
            } else {
                0
            };
            if escaped == 0 && args.is_empty() {
                return Some(uri);
            }
            let path_len = uri.len() + escaped;
            let len = path_len + if args.is_empty() { 0 } else { 1 + args.len() };
            let data = sys::ngx_pnalloc((*r).pool, len).cast::<u8>();
            if data.is_null() {
                return None;
            }
            if escaped == 0 {
                ptr::copy_nonoverlapping(uri.as_ptr(), data, uri.len());
            } else {
                sys::ngx_escape_uri(data, (*r).uri.data, uri.len(), kind);
            }
            if !args.is_empty() {
                *data.add(path_len) = b'?';
                ptr::copy_nonoverlapping(args.as_ptr(), data.add(path_len + 1), args.len());
            }
            Some(from_parts(data, len))
        }
    }

    /// Sets path and query, as if the client had asked for them: decoded and normalised into `uri`, `args` and the
    /// extension, and sent as they are by a plain `proxy_pass http://name;`. The location {} stays the one that was
    /// chosen. On an error nothing has changed.
    pub fn set_path(self, path: &[u8]) -> Result {
        let r = self.as_ptr();
        let before = UriFields::take(self);
        // SAFETY: a Request is a live request with its pool.
        let parsed = unsafe { headers::copy((*r).pool, path, false) }.and_then(|copy| self.parse_path(copy));
        // SAFETY: as above; `before` was taken from this request.
        unsafe {
            before.restore_parser(r);
            if let Err(error) = parsed {
                before.restore(r);
                return Err(error);
            }
            if (*r).valid_location() != 0 {
                // Modules cut the location's name off the path when this is set; it must be there.
                let location: *mut sys::ngx_http_core_loc_conf_t = core_conf((*r).loc_conf);
                let within = bytes(&raw const (*r).uri).starts_with(bytes(&raw const (*location).name));
                (*r).set_valid_location(within.into());
            }
            forget_variables(r, |variable| variable == b"request_uri" || variable.starts_with(b"arg_"));
        }
        Ok(())
    }

    /// ngx_http_process_request_uri, without its finalizing the request.
    fn parse_path(self, path: sys::ngx_str_t) -> Result {
        let r = self.as_ptr();
        // SAFETY: a Request is a live request. The parsers read from uri_start to uri_end and the one byte after it,
        // which is a NUL here, and write at most the path's length to uri.data.
        unsafe {
            (*r).uri_start = path.data;
            (*r).uri_end = path.data.add(path.len);
            (*r).args_start = ptr::null_mut();
            (*r).uri_ext = ptr::null_mut();
            (*r).set_complex_uri(0);
            (*r).set_quoted_uri(0);
            (*r).set_plus_in_uri(0);
            (*r).set_empty_path_in_uri(0);
            (*r).args = EMPTY;
            (*r).exten = EMPTY;
            if path.len == 0 || sys::ngx_http_parse_uri(r) != sys::NGX_OK as isize {
                return Err(HeaderError::Invalid);
            }
            let end = |args: *mut u8| if args.is_null() { path.data.add(path.len) } else { args.sub(1) };
            (*r).uri = sys::ngx_str_t { len: end((*r).args_start).offset_from_unsigned(path.data), data: path.data };
            if (*r).complex_uri() != 0 || (*r).quoted_uri() != 0 {
                (*r).uri.data = sys::ngx_pnalloc((*r).pool, (*r).uri.len + 1).cast();
                if (*r).uri.data.is_null() {
                    return Err(HeaderError::NoMemory);
                }
                let server: *mut sys::ngx_http_core_srv_conf_t = core_conf((*r).srv_conf);
                if sys::ngx_http_parse_complex_uri(r, (*server).merge_slashes as usize) != sys::NGX_OK as isize {
                    return Err(HeaderError::Invalid);
                }
            }
            if !(*r).uri_ext.is_null() {
                let len = end((*r).args_start).offset_from_unsigned((*r).uri_ext);
                (*r).exten = sys::ngx_str_t { len, data: (*r).uri_ext };
            }
            if !(*r).args_start.is_null() {
                let len = (*r).uri_end.offset_from_unsigned((*r).args_start);
                (*r).args = sys::ngx_str_t { len, data: (*r).args_start };
            }
            (*r).unparsed_uri = path;
            (*r).set_valid_unparsed_uri(1);
        }
        Ok(())
    }

    /// The host that the client asked for, with its port: its Host header or, in HTTP/2 and 3, `:authority`.
    pub fn authority(self) -> Option<&'a [u8]> {
        let r = self.as_ptr();
        self.request_headers().get(b"host").or_else(|| {
            // SAFETY: a Request is a live request; the parsers set both pointers into its memory, or neither.
            unsafe {
                if !(*r).host_start.is_null() && !(*r).host_end.is_null() {
                    let len = (*r).host_end.offset_from_unsigned((*r).host_start);
                    return Some(from_parts((*r).host_start, len));
                }
                Some(bytes(&raw const (*r).headers_in.server)).filter(|server| !server.is_empty())
            }
        })
    }

    /// Sets the host that was asked for: the Host header, `$host` and what redirects use.
    pub fn set_authority(self, authority: &[u8]) -> Result {
        self.request_headers().set_host(authority)
    }

    /// Whether [`Self::set_response_status`] would take the status.
    ///
    /// # Errors
    /// [`HeaderError::Invalid`].
    pub fn check_response_status(self, status: u16) -> Result {
        // SAFETY: a Request is a live request.
        let before = unsafe { (*self.as_ptr()).headers_out.status };
        let upgrade = before == sys::NGX_HTTP_SWITCHING_PROTOCOLS as usize;
        if (200..=999).contains(&status) && !upgrade { Ok(()) } else { Err(HeaderError::Invalid) }
    }

    /// Sets the status of the response, 200 to 999, with nginx's own words for it. Before its header is sent.
    pub fn set_response_status(self, status: u16) -> Result {
        const BODYLESS: [usize; 2] = [sys::NGX_HTTP_NO_CONTENT as usize, sys::NGX_HTTP_NOT_MODIFIED as usize];
        let r = self.as_ptr();
        // SAFETY: a Request is a live request.
        let before = unsafe { (*r).headers_out.status };
        self.check_response_status(status)?;
        if BODYLESS.contains(&before) && !BODYLESS.contains(&status.into()) {
            // A 304 names the length of a body that does not come.
            self.response_headers().clear_content_length();
        }
        // SAFETY: as above.
        unsafe {
            (*r).headers_out.status = status.into();
            (*r).headers_out.status_line = EMPTY;
        }
        Ok(())
    }
}

/// What [`Request::set_path`] changes, so that it can be put back.
struct UriFields {
    uri: sys::ngx_str_t,
    args: sys::ngx_str_t,
    exten: sys::ngx_str_t,
    flags: [u32; 4],
    pointers: [*mut u8; 4],
}

impl UriFields {
    fn take(request: Request<'_>) -> Self {
        let r = request.as_ptr();
        // SAFETY: a Request is a live request.
        unsafe {
            Self {
                uri: (*r).uri,
                args: (*r).args,
                exten: (*r).exten,
                flags: [(*r).complex_uri(), (*r).quoted_uri(), (*r).plus_in_uri(), (*r).empty_path_in_uri()],
                pointers: [(*r).uri_start, (*r).uri_end, (*r).args_start, (*r).uri_ext],
            }
        }
    }

    /// The parser's own pointers; nginx keeps other things in their place at a request's end (ngx_http_ephemeral).
    ///
    /// # Safety
    /// `r` must be the live request that this was taken from.
    unsafe fn restore_parser(&self, r: *mut sys::ngx_http_request_t) {
        // SAFETY: this function's own contract.
        unsafe { [(*r).uri_start, (*r).uri_end, (*r).args_start, (*r).uri_ext] = self.pointers };
    }

    /// # Safety
    /// `r` must be the live request that this was taken from.
    unsafe fn restore(&self, r: *mut sys::ngx_http_request_t) {
        let [complex, quoted, plus, empty] = self.flags;
        // SAFETY: this function's own contract.
        unsafe {
            ((*r).uri, (*r).args, (*r).exten) = (self.uri, self.args, self.exten);
            (*r).set_complex_uri(complex);
            (*r).set_quoted_uri(quoted);
            (*r).set_plus_in_uri(plus);
            (*r).set_empty_path_in_uri(empty);
        }
    }
}
