//! What a body filter sends: buffers of its own, held as long as it likes and used again.

use std::{io, ptr};

use super::{
    chain::{Buf, Chain},
    request::Request,
};
use crate::{Failed, Status, sys};

/// Its address marks buffers as ours (`ngx_buf_tag_t`).
static TAG: u8 = 0;

/// Buffers are made of whole pages: what is that large comes from malloc, and ngx_pfree can give it back.
const PAGE: usize = 4096;

/// The output of a body filter for one request.
///
/// What is pushed is queued, in order; [`Output::send`] passes the queue on. Memory is copied and the original
/// consumed, so that whoever fills the original goes on and is not starved while we hold the copy. Ranges of files are
/// not copied: they stay in their file, and sendfile stays possible. Buffers that were sent are used again.
///
/// It lives as long as its request, in the request's context: its memory is the request's pool.
pub struct Output {
    /// The request that the buffers belong to, so that no other can get them.
    owner: *mut sys::ngx_pool_t,
    queue: *mut sys::ngx_chain_t,
    tail: *mut sys::ngx_chain_t,
    busy: *mut sys::ngx_chain_t,
    free: *mut sys::ngx_chain_t,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            owner: ptr::null_mut(),
            queue: ptr::null_mut(),
            tail: ptr::null_mut(),
            busy: ptr::null_mut(),
            free: ptr::null_mut(),
        }
    }
}

impl Output {
    /// Queues a copy of `bytes`.
    pub fn push_bytes(&mut self, r: Request<'_>, bytes: &[u8]) -> Result<(), Failed> {
        if bytes.is_empty() {
            return Ok(());
        }
        let b = self.append(r, bytes.len())?;
        // SAFETY: `append` gave a buffer of ours with room for that many bytes, which overlap nothing of the caller's.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), (*b).pos, bytes.len());
            (*b).last = (*b).pos.add(bytes.len());
            (*b).set_temporary(1);
        }
        Ok(())
    }

    /// Queues a buffer with its orders (flush, sync, last), and consumes it.
    pub fn push(&mut self, r: Request<'_>, buf: Buf<'_>) -> Result<(), Failed> {
        if let Some(bytes) = buf.bytes() {
            self.push_bytes(r, bytes)?;
        } else if !buf.is_empty() {
            self.push_file(r, buf)?;
        }
        if buf.is_empty() || buf.flush() || buf.sync() || buf.last() || buf.last_in_chain() {
            self.push_orders(r, buf)?;
        }
        buf.consume();
        Ok(())
    }

    /// Queues the buffers themselves, unconsumed: whoever owns them is held back until [`Output::take_piece`] or
    /// [`Output::send`] has taken them. The chain's links are copied, since they are only lent.
    pub fn hold_chain(&mut self, r: Request<'_>, chain: Chain<'_>) -> Result<(), Failed> {
        let pool = r.pool().as_ptr();
        if self.owner.is_null() {
            self.owner = pool;
        }
        if self.owner != pool {
            return Err(Failed);
        }
        for buf in chain.iter() {
            // SAFETY: the request's pool; the link is fresh, and the buffer's owner keeps it until it is consumed, as
            // for nginx's own filters that queue what they get (ngx_chain_add_copy).
            unsafe {
                let link = sys::ngx_alloc_chain_link(pool);
                if link.is_null() {
                    return Err(Failed);
                }
                (*link).buf = buf.as_ptr();
                (*link).next = ptr::null_mut();
                self.append_link(link);
            }
        }
        Ok(())
    }

    /// # Safety
    /// `link` must be a link of its own, without a next one.
    unsafe fn append_link(&mut self, link: *mut sys::ngx_chain_t) {
        if self.tail.is_null() {
            self.queue = link;
        } else {
            // SAFETY: the tail is a link of ours.
            unsafe { (*self.tail).next = link };
        }
        self.tail = link;
    }

    /// Queues an order to send what came so far.
    pub fn push_flush(&mut self, r: Request<'_>) -> Result<(), Failed> {
        let b = self.append(r, 0)?;
        // SAFETY: a buffer of ours.
        unsafe { (*b).set_flush(1) };
        Ok(())
    }

    /// Lets the buffer that was queued last be sent at once, if one is queued.
    pub fn flush_last(&mut self) {
        if !self.queue.is_null() {
            // SAFETY: with a queue there is a tail, a link of ours with a buffer of ours.
            unsafe { (*(*self.tail).buf).set_flush(1) };
        }
    }

    /// Queues the end of the response. nginx: ngx_http_send_special.
    pub fn push_end(&mut self, r: Request<'_>) -> Result<(), Failed> {
        let b = self.append(r, 0)?;
        // SAFETY: a buffer of ours; a Request is a live request.
        unsafe { end(b, r) };
        Ok(())
    }

    /// What is queued and not sent.
    pub fn queued(&self) -> Chain<'_> {
        // SAFETY: the queue is ours and changes only through `&mut self`; its memory is that of the request, which
        // outlives its Output.
        unsafe { Chain::from_raw(self.queue) }
    }

    /// Takes bytes from the front of the queue, out of memory and files, until there are `limit` of them or more: a
    /// buffer in memory is taken whole. What they came with is in the result.
    pub fn take_piece(&mut self, r: Request<'_>, limit: usize, into: &mut Vec<u8>) -> io::Result<Piece> {
        let mut piece = Piece::default();
        while let Some(buf) = self.queued().iter().next() {
            let before = into.len();
            let wanted = if buf.is_file() { limit.saturating_sub(before) as u64 } else { u64::MAX };
            let count = buf.len().min(wanted) as usize;
            into.resize(before + count, 0);
            if let Err(error) = buf.read_at(0, &mut into[before..]) {
                into.truncate(before);
                return Err(error);
            }
            if (count as u64) < buf.len() {
                // SAFETY: a buffer of ours in a file, of which that many bytes were left.
                unsafe { (*buf.as_ptr()).file_pos += count as sys::off_t };
                break;
            }
            piece.flush |= buf.flush();
            piece.ends |= buf.last() || buf.last_in_chain();
            buf.consume();
            self.drop_front(r);
            if into.len() >= limit {
                break;
            }
        }
        Ok(piece)
    }

    /// Makes the first buffer of the queue, whose bytes were taken, a free one.
    fn drop_front(&mut self, r: Request<'_>) {
        let mut link = self.queue;
        // SAFETY: the queue is not empty, and all its links and buffers are ours.
        unsafe {
            self.queue = (*link).next;
            (*link).next = ptr::null_mut();
        }
        if self.queue.is_null() {
            self.tail = ptr::null_mut();
        }
        self.recycle(r, &mut link);
    }

    /// Drops what is queued.
    pub fn discard(&mut self, r: Request<'_>) {
        self.queued().consume();
        let mut queue = self.take();
        self.recycle(r, &mut queue);
    }

    /// Passes the queue to `next`, the next body filter, which gets an empty chain when there is none: it may have
    /// bytes of its own to send.
    pub fn send<'a>(&mut self, r: Request<'a>, next: impl FnOnce(Request<'a>, Chain<'a>) -> Status) -> Status {
        let mut queue = self.take();
        // SAFETY: the queue's memory is the request's; it is not touched before `next` returns.
        let status = next(r, unsafe { Chain::from_raw(queue) });
        if status != Status::ERROR {
            self.recycle(r, &mut queue);
        }
        status
    }

    /// Whether something that was sent is still on its way.
    pub fn is_busy(&mut self, r: Request<'_>) -> bool {
        if !self.busy.is_null() {
            self.recycle(r, &mut ptr::null_mut());
        }
        !self.busy.is_null()
    }

    fn take(&mut self) -> *mut sys::ngx_chain_t {
        self.tail = ptr::null_mut();
        std::mem::replace(&mut self.queue, ptr::null_mut())
    }

    /// Sorts our buffers into those that are still to be sent and those that are free.
    fn recycle(&mut self, r: Request<'_>, sent: &mut *mut sys::ngx_chain_t) {
        if self.owner != r.pool().as_ptr() {
            return;
        }
        // SAFETY: all three chains are ours, of this request's pool.
        unsafe { sys::ngx_chain_update_chains(self.owner, &mut self.free, &mut self.busy, sent, tag()) };
    }

    /// A range of a file stays where it is.
    fn push_file(&mut self, r: Request<'_>, buf: Buf<'_>) -> Result<(), Failed> {
        let b = self.append(r, 0)?;
        let from = buf.as_ptr();
        // SAFETY: a buffer of ours, and one that is lent; files are open as long as the request, whose pool closes
        // them.
        unsafe {
            (*b).file = (*from).file;
            (*b).file_pos = (*from).file_pos;
            (*b).file_last = (*from).file_last;
            (*b).set_in_file(1);
        }
        Ok(())
    }

    /// The orders of `buf`, on a buffer without bytes after those that came with them. One without any order is
    /// dropped: nginx refuses to write it ("zero size buf").
    fn push_orders(&mut self, r: Request<'_>, buf: Buf<'_>) -> Result<(), Failed> {
        if !(buf.flush() || buf.sync() || buf.last() || buf.last_in_chain()) {
            return Ok(());
        }
        let b = self.append(r, 0)?;
        // SAFETY: a buffer of ours. One that is only the last in a chain is not special to nginx unless it says sync.
        unsafe {
            (*b).set_flush(buf.flush().into());
            (*b).set_last_buf(buf.last().into());
            (*b).set_last_in_chain(buf.last_in_chain().into());
            (*b).set_sync((buf.sync() || !(buf.flush() || buf.last())).into());
        }
        Ok(())
    }

    /// A buffer at the end of the queue, with `room` bytes of memory at `pos`, and no flags.
    fn append(&mut self, r: Request<'_>, room: usize) -> Result<*mut sys::ngx_buf_t, Failed> {
        let pool = r.pool().as_ptr();
        if self.owner.is_null() {
            self.owner = pool;
        }
        if self.owner != pool {
            return Err(Failed);
        }
        // SAFETY: the pool and the free chain are this request's. The buffer is reset but for its memory.
        unsafe {
            let link = sys::ngx_chain_get_free_buf(pool, &mut self.free);
            if link.is_null() {
                return Err(Failed);
            }
            let b = (*link).buf;
            let memory = grow(pool, (*b).start, (*b).end, room)?;
            ptr::write_bytes(b, 0, 1);
            (*b).start = memory.0;
            (*b).end = memory.1;
            (*b).pos = (*b).start;
            (*b).last = (*b).start;
            (*b).tag = tag();
            (*link).next = ptr::null_mut();
            self.append_link(link);
            Ok(b)
        }
    }
}

/// What came with the bytes of [`Output::take_piece`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// They are to be sent at once.
    pub flush: bool,
    /// The response, or the subrequest's part of it, ends with them.
    pub ends: bool,
}

impl Request<'_> {
    /// Says that a body filter of ours holds a part of the response, or no longer does: nginx calls it again, with an
    /// empty chain, when the client can take more, and does not end the request before (`r->buffered`). The bit is the
    /// one of nginx's image filter, which works on whole images and is not used with filters of ours.
    pub fn set_filter_buffered(self, holds: bool) {
        const BIT: u32 = 0x08;
        // SAFETY: a Request is a live request.
        unsafe {
            let r = self.as_ptr();
            let others = sys::ngx_http_request_s::buffered_raw(r) & !BIT;
            sys::ngx_http_request_s::set_buffered_raw(r, others | if holds { BIT } else { 0 });
        }
    }

    /// Whether output has to wait: for a client that cannot take more now, or, in a subrequest, for its turn.
    pub fn output_waits(self) -> bool {
        let connection = self.connection();
        // SAFETY: the connection outlives the request; its data is the request that may send (ngx_http_postpone_filter).
        unsafe {
            (*connection).buffered() & sys::NGX_HTTP_WRITE_BUFFERED != 0
                || (*connection).data != self.as_ptr().cast::<std::ffi::c_void>()
        }
    }
}

/// Memory from `start` to `end` if it is enough, else more.
///
/// # Safety
/// `start` must be null or have been allocated here, from this live pool.
unsafe fn grow(
    pool: *mut sys::ngx_pool_t,
    start: *mut u8,
    end: *mut u8,
    room: usize,
) -> Result<(*mut u8, *mut u8), Failed> {
    // SAFETY: by contract; ngx_pfree gives back what was allocated large, and nobody uses a free buffer's memory.
    unsafe {
        let have = if start.is_null() { 0 } else { end.offset_from_unsigned(start) };
        if have >= room {
            return Ok((start, end));
        }
        if !start.is_null() {
            sys::ngx_pfree(pool, start.cast());
        }
        let size = room.next_multiple_of(PAGE);
        let start = sys::ngx_palloc(pool, size).cast::<u8>();
        if start.is_null() { Err(Failed) } else { Ok((start, start.add(size))) }
    }
}

/// Makes `b` the end of a response: that of the request, or, in a subrequest, of its part.
///
/// # Safety
/// `b` must be a buffer of ours.
pub(super) unsafe fn end(b: *mut sys::ngx_buf_t, r: Request<'_>) {
    let r = r.as_ptr();
    // SAFETY: by contract; a Request is a live request.
    unsafe {
        if (*r).main == r && (*r).post_action() == 0 {
            (*b).set_last_buf(1);
        } else if (*b).memory() == 0 {
            // Without bytes and not the last, it is special only as a sync.
            (*b).set_sync(1);
        }
        (*b).set_last_in_chain(1);
    }
}

fn tag() -> sys::ngx_buf_tag_t {
    (&raw const TAG).cast_mut().cast()
}
