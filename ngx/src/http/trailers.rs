//! The trailers of a response: fields that follow its body.
//!
//! nginx writes what is in `headers_out.trailers` when the buffer with `last_buf` comes: after the last chunk
//! (src/http/ngx_http_chunked_filter_module.c), or in the HEADERS frame that ends the stream
//! (src/http/v2/ngx_http_v2_filter_module.c). Upstreams add theirs right before they send that buffer
//! (ngx_http_upstream_process_trailers).

use super::{
    headers::{self, Elt, HeaderError, List, Lower, Result, core_conf, forget_variables, names_header},
    request::Request,
};
use crate::{str::bytes, sys};

/// Fields that frame a message or speak of the connection: RFC 9110, section 6.5.1, and RFC 9113, section 8.2.2.
const NEVER: [&[u8]; 10] = [
    b"connection",
    b"content-encoding",
    b"content-length",
    b"host",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

impl<'a> Request<'a> {
    /// The trailers of the response, as far as they are known: an upstream's are when the response ends.
    #[inline]
    pub fn response_trailers(self) -> ResponseTrailers<'a> {
        ResponseTrailers(self)
    }

    /// Whether the upstream may send trailers after a body whose length it has told.
    pub fn trailers_may_follow(self) -> bool {
        // SAFETY: a Request is a live request; its upstream is null or lives as long, with its configuration.
        unsafe {
            let u = (*self.as_ptr()).upstream;
            if u.is_null() {
                return false;
            }
            #[cfg(ngx_conf_pass_trailers)]
            let passes = (*(*u).conf).pass_trailers != 0;
            #[cfg(not(ngx_conf_pass_trailers))]
            let passes = (*(*u).conf).pass_trailers() != 0;
            // HTTP/1 has trailers only where it tells no length.
            passes && !bytes(&raw const (*u).schema).starts_with(b"http")
        }
    }
}

/// The trailers of a response (`r->headers_out.trailers`).
#[derive(Clone, Copy)]
pub struct ResponseTrailers<'a>(Request<'a>);

impl<'a> ResponseTrailers<'a> {
    /// Whether [`Self::set`] and [`Self::add`] would take the field.
    ///
    /// # Errors
    /// [`HeaderError::Invalid`].
    pub fn check(name: &[u8], value: &[u8]) -> Result {
        headers::check(name, value)?;
        if NEVER.contains(&Lower::new(name).as_bytes()) { Err(HeaderError::Invalid) } else { Ok(()) }
    }

    /// Names and values, in the order in which nginx writes them.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.list().iter().map(Elt::pair)
    }

    pub fn count(self) -> usize {
        self.list().iter().count()
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.list().iter().next().is_none()
    }

    /// The first value of a field.
    pub fn get(self, name: &[u8]) -> Option<&'a [u8]> {
        self.list().find(name).map(Elt::value)
    }

    /// Whether a response that has none can be given some: its protocol must have trailers, it must have a body, and a
    /// header that has left must not have said otherwise.
    pub fn can_begin(self) -> bool {
        let r = self.raw();
        // SAFETY: a Request is a live request, with the core module's configuration.
        unsafe {
            let chunking = (*core_conf::<sys::ngx_http_core_loc_conf_t>((*r).loc_conf)).chunked_transfer_encoding != 0;
            let status = (*r).headers_out.status;
            let bodiless = (*r).header_only() != 0
                || (*r).method == sys::NGX_HTTP_HEAD as usize
                || matches!(status, 204 | 304)
                || status < 200;
            if bodiless || !self.0.is_main() {
                return false;
            }
            match ((*r).http_version, (*r).header_sent() != 0) {
                (2000.., false) => true,
                (2000.., true) => (*r).headers_out.content_length_n != 0 || (*r).expect_trailers() != 0,
                (1001, false) => chunking,
                (1001, true) => (*r).chunked() != 0,
                _ => false,
            }
        }
    }

    /// Leaves one field of the name, in the place of the first.
    pub fn set(self, name: &[u8], value: &[u8]) -> Result {
        Self::check(name, value)?;
        let Some(first) = self.list().find(name) else { return self.push(name, value) };
        // SAFETY: the pool is that of the list's request.
        unsafe { first.set_value(self.pool(), value)? };
        self.list().iter().filter(|&elt| elt != first && elt.is_named(name)).for_each(Elt::delete);
        self.changed(name);
        Ok(())
    }

    /// Appends a field.
    pub fn add(self, name: &[u8], value: &[u8]) -> Result {
        Self::check(name, value)?;
        self.push(name, value)
    }

    /// Removes all fields of the name.
    pub fn remove(self, name: &[u8]) {
        self.list().iter().filter(|elt| elt.is_named(name)).for_each(Elt::delete);
        self.changed(name);
    }

    /// Removes all fields.
    pub fn clear(self) {
        self.list().iter().for_each(Elt::delete);
        // SAFETY: a Request is a live request.
        unsafe { forget_variables(self.raw(), |variable| variable.starts_with(b"sent_trailer_")) };
    }

    fn push(self, name: &[u8], value: &[u8]) -> Result {
        // SAFETY: list and pool are those of this live request. What nginx is told makes it choose a framing that has
        // trailers, as long as the header has not left (ngx_http_chunked_header_filter).
        unsafe {
            self.list().push(self.pool(), name, value)?;
            (*self.raw()).set_expect_trailers(1);
        }
        self.changed(name);
        Ok(())
    }

    /// After the list has changed: cached variables.
    fn changed(self, name: &[u8]) {
        // SAFETY: a Request is a live request.
        unsafe { forget_variables(self.raw(), |variable| names_header(variable, b"sent_trailer_", name)) };
    }

    #[inline]
    fn list(self) -> List<'a> {
        // SAFETY: a Request is a live request, and this its list (ngx_http_alloc_request, ngx_http_subrequest).
        unsafe { List::new(&raw mut (*self.raw()).headers_out.trailers) }
    }

    #[inline]
    fn raw(self) -> *mut sys::ngx_http_request_t {
        self.0.as_ptr()
    }

    #[inline]
    fn pool(self) -> *mut sys::ngx_pool_t {
        self.0.pool().as_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::{HeaderError, ResponseTrailers};

    #[test]
    fn a_trailer_does_not_frame_the_message() {
        assert_eq!(ResponseTrailers::check(b"Grpc-Status", b"0"), Ok(()));
        for (name, value) in [(&b"Content-Length"[..], &b"1"[..]), (b":status", b"200"), (b"a", b"b\nc")] {
            assert_eq!(ResponseTrailers::check(name, value), Err(HeaderError::Invalid));
        }
    }
}
