//! The output filters: where a chain sees the response, first of all filters, before gzip and range.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use ngx::http::{self, Chain, OutputBufs, OutputContext, Request};
use ngx::{Status, error};

use super::exchange::{Exchange, Flow};
use super::phases;
use super::reply;
use crate::proxy_wasm::chain::Step;
use crate::proxy_wasm::vm::{Callback, Callbacks};

/// Memory for file bodies that a filter wants to see: as nginx's own `output_buffers`.
const FILE_BUFFERS: (usize, usize) = (2, 32 * 1024);

/// The part of the response body that the chain is looking at.
#[derive(Default)]
pub(super) struct ResponseBody {
    /// As it came: nginx's buffers, within reach only while the body filter runs.
    original: http::HeldChain,
    /// What filters made of it.
    changed: RefCell<Option<Vec<u8>>>,
    /// Whether a body is passing now.
    passing: Cell<bool>,
    reader: OnceCell<OutputContext>,
    bufs: OutputBufs,
    /// Another response was sent in this one's place: the rest of this one is dropped.
    dropped: Cell<bool>,
}

impl ResponseBody {
    pub(super) fn len(&self) -> Option<usize> {
        let changed = self.changed.borrow().as_ref().map(Vec::len);
        self.passing.get().then(|| changed.unwrap_or_else(|| self.original.len()))
    }

    /// Copies `out.len()` bytes from `start`; false when they are not there.
    pub(super) fn read(&self, start: usize, out: &mut [u8]) -> bool {
        match &*self.changed.borrow() {
            None => self.passing.get() && self.original.copy_to(start, out),
            Some(bytes) => match bytes.get(start..).and_then(|rest| rest.get(..out.len())) {
                Some(part) => {
                    out.copy_from_slice(part);
                    true
                }
                None => false,
            },
        }
    }

    /// Replaces a part; `None` when no body is passing.
    pub(super) fn splice(&self, start: usize, len: usize, data: &[u8]) -> Option<()> {
        let total = self.len()?;
        let mut changed = self.changed.borrow_mut();
        let bytes = changed.get_or_insert_with(|| {
            let mut bytes = vec![0; total];
            self.original.copy_to(0, &mut bytes);
            bytes
        });
        let start = start.min(total);
        let end = start.saturating_add(len).min(total);
        bytes.splice(start..end, data.iter().copied());
        Some(())
    }
}

/// What nginx calls with a response's header, before every other filter.
pub fn header_filter(r: Request<'_>) -> Status {
    let Some(exchange) = phases::exchange_or_open(r) else { return http::next_header_filter(r) };
    if exchange.response_seen.replace(true) {
        return http::next_header_filter(r);
    }
    let flow = exchange.run(r, Step::ResponseHeaders, || Callback::ResponseHeaders {
        count: u32::try_from(r.response_headers().count()).unwrap_or(u32::MAX).saturating_add(1),
        end_of_stream: r.response_has_no_body(),
    });
    match flow {
        Flow::Reply => replace(&exchange, r),
        Flow::Fail => {
            exchange.failure_told();
            r.filter_finalize(500)
        }
        Flow::Close => Status::ERROR,
        Flow::Next | Flow::Wait => {
            if exchange.callbacks.contains(Callbacks::RESPONSE_BODY) && !r.response_has_no_body() {
                r.clear_for_changed_body();
                r.need_body_in_memory();
            }
            http::next_header_filter(r)
        }
    }
}

/// Sends a filter's response in place of the one whose header was on its way; the body filter drops the rest of that.
fn replace(exchange: &Exchange, r: Request<'_>) -> Status {
    let Some(response) = exchange.take_reply() else { return Status::ERROR };
    if reply::replace(r, &response).is_err() {
        return Status::ERROR;
    }
    let status = http::next_header_filter(r);
    exchange.body.dropped.set(true);
    if status == Status::ERROR || status.is_special() || r.header_only() {
        return status;
    }
    match exchange.body.bufs.make(r, &response.body, None, true) {
        Some(out) => http::next_body_filter(r, out),
        None => Status::ERROR,
    }
}

/// What nginx calls with each part of a response's body, before every other filter.
pub fn body_filter(r: Request<'_>, chain: Chain<'_>) -> Status {
    let Some(exchange) = phases::exchange(r) else { return http::next_body_filter(r, chain) };
    if exchange.body.dropped.get() {
        chain.consume();
        return Status::OK;
    }
    if exchange.failed() {
        return Status::ERROR;
    }
    if !exchange.callbacks.contains(Callbacks::RESPONSE_BODY) || !r.header_sent() {
        return http::next_body_filter(r, chain);
    }
    if exchange.body.reader.get().is_none() && !chain.has_file() {
        return pass(&exchange, r, chain);
    }
    // A body in a file is read piece by piece, no faster than it can be sent.
    let (count, size) = FILE_BUFFERS;
    exchange.body.reader.get_or_init(|| OutputContext::new(r, count, size, pass_read)).run(r, chain)
}

fn pass_read(r: Request<'_>, chain: Chain<'_>) -> Status {
    match phases::exchange(r) {
        Some(exchange) => pass(&exchange, r, chain),
        None => http::next_body_filter(r, chain),
    }
}

/// Takes a part of the body, in memory, through the chain and on.
fn pass(exchange: &Rc<Exchange>, r: Request<'_>, chain: Chain<'_>) -> Status {
    let body = &exchange.body;
    let end_of_stream = chain.ends(r);
    if chain.len() == 0 && !end_of_stream {
        return http::next_body_filter(r, chain);
    }
    body.passing.set(true);
    let flow = body.original.with(chain, || {
        exchange.run(r, Step::ResponseBody, || Callback::ResponseBody {
            size: u32::try_from(body.len().unwrap_or(0)).unwrap_or(u32::MAX),
            end_of_stream,
        })
    });
    body.passing.set(false);
    let changed = body.changed.take();
    match flow {
        Flow::Next | Flow::Wait => {}
        Flow::Reply => {
            error!(r.log(), "[proxy-wasm] a local response came after the response header was sent: closing the stream");
            return Status::ERROR;
        }
        Flow::Close | Flow::Fail => return Status::ERROR,
    }
    let Some(bytes) = changed else { return http::next_body_filter(r, chain) };
    let Some(out) = body.bufs.make(r, &bytes, Some(chain), end_of_stream) else { return Status::ERROR };
    chain.consume();
    let status = http::next_body_filter(r, out);
    body.bufs.reclaim(r, out);
    status
}
