//! The body of a request: reading it, seeing it, replacing it.
//!
//! nginx: src/http/ngx_http_request_body.c. A body is a chain of buffers in `r->request_body->bufs`: in memory, or, when it
//! is larger than `client_body_buffer_size`, one buffer of a temporary file.

use std::{cell::Cell, ptr};

use super::{chain::Chain, request::Request, request_body_handlers::BodyHandlers};
use crate::{Status, guard::guard, sys};

/// How a body that was asked for comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRead {
    /// It is there, or there is none, or, with `proxy_request_buffering off`, nginx lets the upstream read it.
    Ready,
    /// The handler will be called. A phase handler returns [`Status::DONE`] now.
    Pending,
    /// It cannot be read; what the phase handler returns.
    Failed(Status),
}

/// Why a body was not replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It was not read, not wholly, or is being discarded: what nginx would read later is still the client's.
    NotRead,
    /// There is no memory left, or a file or header could not be written.
    NoMemory,
}

/// What goes on when a body has come that [`Request::read_body`] said is pending: usually [`Request::run_phases`].
pub trait BodyHandler {
    fn ready(request: Request<'_>);
}

thread_local! {
    /// The request whose body is being asked for; null as soon as nginx said that it is there.
    static ASKED: Cell<*mut sys::ngx_http_request_t> = const { Cell::new(ptr::null_mut()) };
}

impl<'a> Request<'a> {
    /// Whether the client sends a body.
    pub fn has_body(self) -> bool {
        let r = self.as_ptr();
        // SAFETY: a Request is a live request.
        unsafe { (*r).headers_in.content_length_n > 0 || (*r).headers_in.chunked() != 0 }
    }

    /// Reads the client's body, whole.
    ///
    /// ngx_http_read_client_request_body counts the request up (`r->main->count`), since content handlers return
    /// NGX_DONE after it, which counts it down. A phase handler that returns NGX_DONE is only left alone
    /// (ngx_http_core_generic_phase), so it has to count down itself, at once, as ngx_http_mirror_module does: a
    /// failure in the middle of the body finalizes the request, and a request counted twice would never end. So it is
    /// done here, and the caller never counts. The event handlers of the connection keep a waiting request alive.
    pub fn read_body<H: BodyHandler>(self) -> BodyRead {
        let r = self.as_ptr();
        let outer = ASKED.replace(r);
        // SAFETY: a Request is a live request; it stays so, since the call counts it up.
        let code = unsafe { sys::ngx_http_read_client_request_body(r, Some(post_handler::<H>)) };
        let ready = ASKED.replace(outer).is_null();
        if code >= sys::NGX_HTTP_SPECIAL_RESPONSE as isize || code == Status::ERROR.0 {
            // nginx has counted it down again, or will tear it down.
            return BodyRead::Failed(Status(code));
        }
        // SAFETY: as above; the count is at least 2, nginx's own and the one of this call.
        unsafe {
            let main = (*r).main;
            (*main).set_count((*main).count() - 1);
        }
        if ready { BodyRead::Ready } else { BodyRead::Pending }
    }

    /// Whether the body is not read to its end: the upstream gets it as it comes (`proxy_request_buffering off`).
    #[inline]
    pub fn reading_body(self) -> bool {
        // SAFETY: a Request is a live request.
        unsafe { (*self.as_ptr()).reading_body() != 0 }
    }

    /// The length of the body that was read; 0 when none was.
    pub fn body_len(self) -> u64 {
        self.body().len()
    }

    /// Copies the body from `start` on to `into`; how many bytes there were. Past the end there are none.
    pub fn read_body_at(self, start: u64, into: &mut [u8]) -> std::io::Result<usize> {
        self.body().read_at(start, into)
    }

    /// The buffers of the body that was read.
    pub fn body(self) -> Chain<'a> {
        // SAFETY: a Request is a live request; the body's chain is null or as live as it.
        unsafe {
            let body = (*self.as_ptr()).request_body;
            if body.is_null() { Chain::empty() } else { Chain::from_raw((*body).bufs) }
        }
    }

    /// Sees to it that a body which nginx's DAV is going to store is read into a file, as that wants it.
    pub fn prepare_body_for_store(self, handlers: &BodyHandlers) {
        if !self.body_will_be_stored(handlers) {
            return;
        }
        // SAFETY: a Request is a live request. The flags are those of ngx_http_dav_handler.
        unsafe {
            let r = self.as_ptr();
            (*r).set_request_body_in_file_only(1);
            (*r).set_request_body_in_persistent_file(1);
            (*r).set_request_body_in_clean_file(1);
            (*r).set_request_body_file_group_access(1);
            (*r).set_request_body_file_log_level(0);
        }
    }

    /// Whether the body was read to its end, or there is none.
    pub fn may_replace_body(self) -> bool {
        let r = self.as_ptr();
        // SAFETY: a Request is a live request; its body is null or lives as long.
        unsafe {
            let body = (*r).request_body;
            let unread = if body.is_null() { self.has_body() } else { (*body).rest > 0 };
            !unread && !self.reading_body() && (*r).discard_body() == 0
        }
    }

    /// Replaces the body, or gives a request one: in memory, or in a file when nginx was told to keep it there only.
    /// Upstreams get exactly these bytes: with their number as Content-Length, not in chunks.
    pub fn replace_body(self, body: Vec<u8>) -> Result<(), BodyError> {
        let r = self.as_ptr();
        let len = body.len() as u64;
        // SAFETY: a Request is a live request with its pool.
        unsafe {
            if !self.may_replace_body() {
                return Err(BodyError::NotRead);
            }
            let in_file = (*r).request_body_in_file_only() != 0;
            let bufs = if body.is_empty() { ptr::null_mut() } else { self.body_bufs(body)? };
            let new: *mut sys::ngx_http_request_body_t = self.pool().calloc();
            if new.is_null() {
                return Err(BodyError::NoMemory);
            }
            // A body of its own: a subrequest has its parent's. `rest` 0 and `last_saved` say that it was read; its
            // temporary file is closed with the pool.
            (*new).bufs = bufs;
            (*new).received = len as sys::off_t;
            (*new).set_last_saved(1);
            if in_file {
                self.write_body(new)?;
            }
            self.declare_body(len)?;
            (*r).request_body = new;
        }
        Ok(())
    }

    /// Moves a body from memory to a file (ngx_http_write_request_body).
    ///
    /// # Safety
    /// `body` must be one of this request, whose buffers are in memory.
    unsafe fn write_body(self, body: *mut sys::ngx_http_request_body_t) -> Result<(), BodyError> {
        let r = self.as_ptr();
        let file: *mut sys::ngx_temp_file_t = self.pool().calloc();
        if file.is_null() {
            return Err(BodyError::NoMemory);
        }
        // SAFETY: by contract; the file is fresh and ours, and the core module's configuration is there for each request.
        unsafe {
            let core = *(*r).loc_conf.add(sys::ngx_http_core_module.ctx_index);
            (*file).file.fd = -1;
            (*file).file.log = (*self.connection()).log;
            (*file).path = (*core.cast::<sys::ngx_http_core_loc_conf_t>()).client_body_temp_path;
            (*file).pool = (*r).pool;
            (*file).set_persistent((*r).request_body_in_persistent_file());
            (*file).set_clean((*r).request_body_in_clean_file());
            if (*r).request_body_file_group_access() != 0 {
                (*file).access = 0o660;
            }
            let written = if (*body).bufs.is_null() {
                let (persistent, clean, access) = ((*file).persistent(), (*file).clean(), (*file).access);
                let (to, path) = (&raw mut (*file).file, (*file).path);
                sys::ngx_create_temp_file(to, path, (*r).pool, persistent as usize, clean as usize, access)
            } else {
                sys::ngx_write_chain_to_temp_file(file, (*body).bufs)
            };
            if written == Status::ERROR.0 {
                return Err(BodyError::NoMemory);
            }
            (*body).temp_file = file;
            if let Some(link) = (*body).bufs.as_mut() {
                ptr::write_bytes(link.buf, 0, 1);
                (*link.buf).set_in_file(1);
                (*link.buf).file_last = (*file).file.offset;
                (*link.buf).file = &raw mut (*file).file;
            }
        }
        Ok(())
    }

    /// One buffer with these bytes, which live as long as the request.
    fn body_bufs(self, mut body: Vec<u8>) -> Result<*mut sys::ngx_chain_t, BodyError> {
        let pool = self.pool();
        let range = body.as_mut_ptr_range();
        pool.cleanup(move || drop(body)).map_err(|_| BodyError::NoMemory)?;
        let buf: *mut sys::ngx_buf_t = pool.calloc();
        // SAFETY: the pool is the request's.
        let link = unsafe { sys::ngx_alloc_chain_link(pool.as_ptr()) };
        if buf.is_null() || link.is_null() {
            return Err(BodyError::NoMemory);
        }
        // SAFETY: both are fresh and ours; the bytes are those of the Vec that the pool keeps.
        unsafe {
            (*buf).start = range.start;
            (*buf).pos = range.start;
            (*buf).end = range.end;
            (*buf).last = range.end;
            (*buf).set_temporary(1);
            (*buf).set_last_buf(1);
            (*link).buf = buf;
            (*link).next = ptr::null_mut();
        }
        Ok(link)
    }

    /// Makes the request say how long its body is. One that never had any and gets none says nothing.
    pub fn declare_body(self, len: u64) -> Result<(), BodyError> {
        let (r, headers) = (self.as_ptr(), self.request_headers());
        headers.remove(b"transfer-encoding").map_err(|_| BodyError::NoMemory)?;
        // SAFETY: a Request is a live request.
        let silent = unsafe { len == 0 && (*r).headers_in.content_length_n < 0 && (*r).headers_in.chunked() == 0 };
        if !silent {
            headers.put_content_length(len).map_err(|_| BodyError::NoMemory)?;
        }
        // SAFETY: as above.
        unsafe { (*r).headers_in.set_chunked(0) };
        Ok(())
    }
}

/// Called by nginx when the body is there: at once, inside [`Request::read_body`], or later from the event loop.
unsafe extern "C" fn post_handler<H: BodyHandler>(r: *mut sys::ngx_http_request_t) {
    if ASKED.get() == r {
        ASKED.set(ptr::null_mut());
        return;
    }
    // SAFETY: nginx passes a live request. It may end in `ready`, and is then reached through its handle only.
    let request = unsafe { Request::from_raw(r) };
    let handle = guard(None, || Some(request.handle()));
    let done = guard(false, || {
        H::ready(request);
        true
    });
    if let Some(request) = handle.as_ref().and_then(|handle| handle.get()).filter(|_| !done) {
        request.finalize(Status::http(500));
    }
}
