//! Responses of our own, in place of a handler's or an upstream's.
//!
//! nginx: ngx_http_send_response in src/http/ngx_http_core_module.c, ngx_http_clean_header in
//! src/http/ngx_http_special_response.c, ngx_http_upstream_send_response in src/http/ngx_http_upstream.c.

use std::ptr;

use super::{
    chain::Chain,
    filter::{next_body_filter, next_header_filter},
    headers::{HeaderError, same_name},
    output,
    request::Request,
};
use crate::{Level, Status, log_at, str::EMPTY, sys};

impl<'a> Request<'a> {
    /// Whether an upstream was asked for the response, or a cache in its place.
    pub fn has_upstream(self) -> bool {
        // SAFETY: a Request is a live request.
        unsafe { !(*self.as_ptr()).upstream.is_null() }
    }

    /// Sends a response, in any phase before a content handler has run: rewrite, access, content, or later while the
    /// request waits in one of them. It goes through all output filters, our own included.
    ///
    /// `reason` is the phrase of the status line where HTTP has one, empty for nginx's own; it must have no control
    /// character. What was in the response's headers is gone. A Content-Length among `headers` is replaced by the real one,
    /// headers that are not valid are left out with a log line, and the type of a body is `text/plain` unless it is
    /// named.
    ///
    /// Returns what the phase handler returns or [`Request::finalize`] gets. Success is 200 rather than `OK`: to the
    /// access phase `OK` would mean that the request may go on, `AGAIN` that it waits, but 200 ends it in every phase,
    /// and ngx_http_finalize_request then sends what is left.
    pub fn send_response<'h>(
        self,
        status: u16,
        reason: &[u8],
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
        body: &[u8],
    ) -> Status {
        let chain = match self.discard_body().and_then(|()| self.prepare(status, reason, headers, body)) {
            Ok(chain) => chain,
            Err(status) => return status,
        };
        // SAFETY: a Request is a live request; the header was not sent (prepare).
        let sent = Status(unsafe { sys::ngx_http_send_header(self.as_ptr()) });
        let sent = if self.wants_body(sent) {
            // SAFETY: as above; the chain's memory is the request's.
            Status(unsafe { sys::ngx_http_output_filter(self.as_ptr(), chain.as_ptr()) })
        } else {
            sent
        };
        if matches!(sent, Status::OK | Status::AGAIN) { Status::http(200) } else { sent }
    }

    /// Sends a response instead of the one whose header has come to our header filter, and was not passed on. It goes
    /// to the filters after ours.
    ///
    /// Returns what the header filter returns. Whoever made the other response goes on to send its body: the caller's
    /// body filter has to swallow it from now on ([`Chain::consume`], then `OK`). As soon as all of ours is sent, the
    /// request looks like one that wants no body, and an upstream is let go at once.
    pub fn replace_response<'h>(
        self,
        status: u16,
        reason: &[u8],
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
        body: &[u8],
    ) -> Status {
        let chain = match self.discard_body().and_then(|()| self.prepare(status, reason, headers, body)) {
            Ok(chain) => chain,
            Err(status) => return status,
        };
        self.stay_http();
        let mut sent = next_header_filter(self);
        if self.wants_body(sent) {
            sent = next_body_filter(self, chain);
        }
        if sent == Status::OK && !self.is_buffered() {
            // Filters like gzip take this for "nothing to do", so that it must not be said while they hold something.
            // SAFETY: a Request is a live request.
            unsafe { (*self.as_ptr()).set_header_only(1) };
        }
        if sent == Status::AGAIN { Status::OK } else { sent }
    }

    /// Whether a body follows the header that was sent.
    fn wants_body(self, sent: Status) -> bool {
        sent != Status::ERROR && sent.0 <= Status::OK.0 && !self.header_only()
    }

    /// The client's body is read away, so that the connection can be kept.
    fn discard_body(self) -> Result<(), Status> {
        // SAFETY: a Request is a live request.
        let discarded = Status(unsafe { sys::ngx_http_discard_request_body(self.as_ptr()) });
        if discarded == Status::OK { Ok(()) } else { Err(discarded) }
    }

    /// An upstream that agreed to switch protocols must not take the connection over.
    fn stay_http(self) {
        // SAFETY: a Request is a live request, and its upstream lives as long.
        unsafe {
            let upstream = (*self.as_ptr()).upstream;
            if !upstream.is_null() {
                (*upstream).set_upgrade(0);
            }
        }
    }

    /// Puts the response's header in place of what was there; its body.
    fn prepare<'h>(
        self,
        status: u16,
        reason: &[u8],
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
        body: &[u8],
    ) -> Result<Chain<'a>, Status> {
        if self.header_sent() {
            return Err(Status::ERROR);
        }
        if !(200..=999).contains(&status) {
            log_at!(self.log(), Level::Error, "a response of status {status} cannot be sent");
            return Err(Status::http(500));
        }
        let body = self.body_chain(body).ok_or(Status::http(500))?;
        self.clean(status);
        self.set_reason(status, reason).ok_or(Status::http(500))?;
        let out = self.response_headers();
        for (name, value) in headers.into_iter().filter(|(name, _)| !same_name(name, b"content-length")) {
            match out.add(name, value) {
                Ok(()) => (),
                Err(HeaderError::Invalid) => {
                    let name = String::from_utf8_lossy(name);
                    log_at!(self.log(), Level::Error, "the response header \"{name}\" is not valid and is left out");
                }
                Err(HeaderError::NoMemory) => return Err(Status::http(500)),
            }
        }
        let (length, bodyless) = (body.len(), matches!(status, 204 | 304));
        if length > 0 && !bodyless && out.get(b"content-type").is_none() {
            out.set(b"content-type", b"text/plain").map_err(|_| Status::http(500))?;
        }
        // SAFETY: a Request is a live request.
        unsafe { (*self.as_ptr()).headers_out.content_length_n = if bodyless { -1 } else { length as sys::off_t } };
        Ok(body)
    }

    /// Forgets the response that was to be sent, with all that says how its body may be treated.
    fn clean(self, status: u16) {
        let r = self.as_ptr();
        // SAFETY: a Request is a live request.
        unsafe {
            sys::ngx_http_clean_header(r);
            (*r).headers_out.status = status.into();
            (*r).headers_out.status_line = EMPTY;
            // An error page's status would win over ours in ngx_http_send_header.
            (*r).err_status = 0;
            (*r).set_allow_ranges(0);
            (*r).set_single_range(0);
            (*r).set_expect_trailers(0);
            // Conditions were about another entity: no 304 or 412 instead of ours.
            (*r).set_disable_not_modified(1);
        }
    }

    /// Gives the status line another phrase than nginx's.
    fn set_reason(self, status: u16, reason: &[u8]) -> Option<()> {
        if !reason.is_empty() {
            let line = [status.to_string().as_bytes(), b" ", reason].concat();
            let line = self.pool().copy_str(&line)?;
            // SAFETY: a Request is a live request; the line is in its pool.
            unsafe { (*self.as_ptr()).headers_out.status_line = line };
        }
        Some(())
    }

    /// A copy of the body as one buffer, which ends the response.
    fn body_chain(self, body: &[u8]) -> Option<Chain<'a>> {
        let pool = self.pool();
        let data = pool.copy(body)?.as_ptr_range();
        let b: *mut sys::ngx_buf_t = pool.calloc();
        // SAFETY: the request's pool. Buffer and link are fresh and ours; the bytes are in the pool.
        unsafe {
            let link = sys::ngx_alloc_chain_link(pool.as_ptr());
            if b.is_null() || link.is_null() {
                return None;
            }
            if !body.is_empty() {
                (*b).pos = data.start.cast_mut();
                (*b).last = data.end.cast_mut();
                (*b).start = (*b).pos;
                (*b).end = (*b).last;
                (*b).set_memory(1);
            }
            output::end(b, self);
            (*link).buf = b;
            (*link).next = ptr::null_mut();
            Some(Chain::from_raw(link))
        }
    }
}
