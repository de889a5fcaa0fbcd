//! A client's body on its way to the content handler, part by part (ngx_http_request_body_filter in
//! src/http/ngx_http_request_body.c, ngx_http_upstream_send_request_body in src/http/ngx_http_upstream.c).

use super::{request::Request, request_body_handlers::BodyHandlers};
use crate::{Status, guard::guard, sys};

type Create = unsafe extern "C" fn(*mut sys::ngx_http_request_t) -> sys::ngx_int_t;

/// How the content handler makes the upstream's request.
#[derive(Clone, Copy)]
pub struct CreateRequest(Create);

/// Called when an upstream is about to be asked, before the body has come to its end.
pub trait AskUpstream: 'static {
    /// What [`Request::pass_unknown_length`] gave.
    fn about_to_ask(r: Request<'_>) -> Option<CreateRequest>;
}

impl Request<'_> {
    /// Lets a body whose length filters may change go to the upstream. In the first call of the request body filter.
    ///
    /// A handler that can do without the length tells the upstream none: the result makes its request, see
    /// [`AskUpstream`]. Any other gets the body when it is whole, from nginx's own buffers or file.
    pub fn pass_unknown_length<A: AskUpstream>(self, handlers: &BodyHandlers) -> Option<CreateRequest> {
        let r = self.as_ptr();
        if !self.request_body_no_buffering() {
            return None;
        }
        // SAFETY: a Request is a live request; its upstream, if there is one, lives as long, and waits for the body.
        unsafe {
            let upstream = (*r).upstream;
            if !upstream.is_null()
                && self.may_pass_unknown_length(handlers)
                && let Some(create) = (*upstream).create_request
            {
                (*upstream).create_request = Some(create_request::<A>);
                return Some(CreateRequest(create));
            }
            (*r).set_request_body_no_buffering(0);
        }
        None
    }

    /// Lets whoever reads the body look again whether there is more of it.
    pub fn post_read(self) {
        // SAFETY: the connection outlives the request, and its read event with it (ngx_post_event).
        unsafe { sys::wasmx_post_event((*self.connection()).read, &raw mut sys::ngx_posted_events) }
    }

    /// What the request body filter returns to have the request end with a response of our own: our header filter gets
    /// an error's, without a detour to error pages, and replaces it. `whole`: nothing of the body is left to come.
    pub fn end_from_body_filter(self, whole: bool) -> Status {
        // SAFETY: a Request is a live request.
        unsafe { (*self.as_ptr()).set_error_page(1) };
        // Behind a body in chunks nginx may have read the next request, and an error drops what it has read.
        // SAFETY: as above.
        if !whole || unsafe { (*self.as_ptr()).headers_in.chunked() } != 0 {
            self.leave_body();
        }
        // One of the errors after which nginx keeps the connection, if it may be kept.
        Status::http(503)
    }

    /// The rest of the body is not read: the connection cannot be used again, and ends when the client has seen the
    /// response.
    pub fn leave_body(self) {
        self.disable_keepalive();
        // SAFETY: a Request is a live request.
        unsafe { (*self.as_ptr()).set_lingering_close(1) };
    }
}

/// In the place of an upstream's `create_request`: a body that has not ended yet has no length, as one in chunks.
unsafe extern "C" fn create_request<A: AskUpstream>(r: *mut sys::ngx_http_request_t) -> sys::ngx_int_t {
    // SAFETY: nginx passes a live request, with the upstream that this function was put into.
    let create = guard(None, || A::about_to_ask(unsafe { Request::from_raw(r) }));
    let Some(CreateRequest(create)) = create else { return Status::ERROR.0 };
    // SAFETY: as above; `create` is what stood there. nginx looks at these fields here only to describe the body: how it
    // is parsed depends on them as well, so that they are put back.
    unsafe {
        (*(*r).upstream).create_request = Some(create);
        if (*r).reading_body() == 0 {
            return create(r);
        }
        let headers = &raw mut (*r).headers_in;
        let (chunked, length) = ((*headers).chunked(), (*headers).content_length_n);
        let known = !(*headers).content_length.is_null();
        // The header itself, and what was read of it: `proxy_set_header` may name either.
        let request = Request::from_raw(r).request_headers();
        if known && request.remove(b"content-length").is_err() {
            return Status::ERROR.0;
        }
        (*headers).set_chunked(1);
        let status = create(r);
        (*headers).set_chunked(chunked);
        if known && request.put_content_length(u64::try_from(length).unwrap_or(0)).is_err() {
            return Status::ERROR.0;
        }
        status
    }
}
