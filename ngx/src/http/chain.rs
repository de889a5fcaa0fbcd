//! Buffers and chains, as body filters get and give them.
//!
//! nginx: src/core/ngx_buf.h, src/core/ngx_buf.c, src/http/ngx_http_write_filter_module.c. A buffer is a range of memory, a
//! range of a file, or special: without bytes, with an order (flush, sync, last).

use std::{cell::Cell, io, marker::PhantomData, ptr};

use crate::{str::from_parts, sys};

/// A buffer that nginx lends: what it refers to is good until the chain is passed on or consumed, or the filter returns.
#[derive(Clone, Copy)]
pub struct Buf<'a>(*mut sys::ngx_buf_t, PhantomData<&'a ()>);

impl<'a> Buf<'a> {
    #[inline]
    pub(super) fn as_ptr(self) -> *mut sys::ngx_buf_t {
        self.0
    }

    /// The bytes, when they are in memory.
    #[inline]
    pub fn bytes(self) -> Option<&'a [u8]> {
        let b = self.0;
        // SAFETY: the buffer is lent for 'a, and `pos` to `last` are its bytes when one of these flags is set.
        unsafe {
            let in_memory = (*b).temporary() | (*b).memory() | (*b).mmap() != 0;
            in_memory.then(|| from_parts((*b).pos, (*b).last.offset_from_unsigned((*b).pos)))
        }
    }

    /// Whether the bytes are in a file, and there only.
    #[inline]
    pub fn is_file(self) -> bool {
        // SAFETY: the buffer is lent for 'a.
        unsafe { (*self.0).in_file() != 0 && self.bytes().is_none() }
    }

    /// How many bytes there are: `ngx_buf_size`.
    #[inline]
    pub fn len(self) -> u64 {
        match self.bytes() {
            Some(bytes) => bytes.len() as u64,
            // SAFETY: the buffer is lent for 'a.
            None if self.is_file() => unsafe { ((*self.0).file_last - (*self.0).file_pos).max(0) as u64 },
            None => 0,
        }
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The response ends here.
    #[inline]
    pub fn last(self) -> bool {
        // SAFETY: the buffer is lent for 'a.
        unsafe { (*self.0).last_buf() != 0 }
    }

    /// The response of this subrequest ends here, or that of the request: see [`Buf::last`].
    #[inline]
    pub fn last_in_chain(self) -> bool {
        // SAFETY: the buffer is lent for 'a.
        unsafe { (*self.0).last_in_chain() != 0 }
    }

    /// What came up to here is to be sent now.
    #[inline]
    pub fn flush(self) -> bool {
        // SAFETY: the buffer is lent for 'a.
        unsafe { (*self.0).flush() != 0 }
    }

    #[inline]
    pub fn sync(self) -> bool {
        // SAFETY: the buffer is lent for 'a.
        unsafe { (*self.0).sync() != 0 }
    }

    /// No bytes, only an order.
    #[inline]
    pub fn special(self) -> bool {
        self.bytes().is_none() && !self.is_file()
    }

    /// Says that all bytes were taken, so that whoever owns the buffer fills it again.
    #[inline]
    pub fn consume(self) {
        let b = self.0;
        // SAFETY: the buffer is lent for 'a to us alone.
        unsafe {
            (*b).pos = (*b).last;
            (*b).file_pos = (*b).file_last;
        }
    }

    /// Copies bytes from `start` on to `into`, out of memory or the file; how many there were.
    pub fn read_at(self, start: u64, into: &mut [u8]) -> io::Result<usize> {
        let count = self.len().saturating_sub(start).min(into.len() as u64) as usize;
        let into = &mut into[..count];
        match self.bytes() {
            _ if count == 0 => (),
            Some(bytes) => into.copy_from_slice(&bytes[start as usize..][..count]),
            // SAFETY: a buffer in a file has one, open as long as the buffer is lent.
            None => unsafe { read_file((*self.0).file, (*self.0).file_pos + start as i64, into)? },
        }
        Ok(count)
    }
}

/// Fills `into` from `offset` of `file` on.
///
/// # Safety
/// `file` must be an open file of nginx's.
unsafe fn read_file(file: *mut sys::ngx_file_t, offset: i64, mut into: &mut [u8]) -> io::Result<()> {
    // SAFETY: by contract. O_DIRECT would want aligned memory; nginx too takes it off for unaligned reads
    // (ngx_output_chain_copy_buf).
    let (fd, direct) = unsafe { ((*file).fd, (*file).directio() != 0) };
    if direct {
        // SAFETY: an open file.
        unsafe { sys::ngx_directio_off(fd) };
    }
    let mut at = offset;
    let mut result = Ok(());
    while !into.is_empty() {
        // SAFETY: `into` is writable for its length. pread moves no offset that others use.
        let count = unsafe { libc::pread(fd, into.as_mut_ptr().cast(), into.len(), at) };
        match count {
            1.. => (into, at) = (&mut into[count as usize..], at + count as i64),
            0 => {
                result = Err(io::ErrorKind::UnexpectedEof.into());
                break;
            }
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => (),
                error => {
                    result = Err(error);
                    break;
                }
            },
        }
    }
    if direct {
        // SAFETY: an open file.
        unsafe { sys::ngx_directio_on(fd) };
    }
    result
}

/// A chain of buffers, lent by nginx to a body filter or made by [`Output`].
#[derive(Clone, Copy)]
pub struct Chain<'a> {
    first: *mut sys::ngx_chain_t,
    of: PhantomData<&'a ()>,
}

impl<'a> Chain<'a> {
    /// No buffers: what nginx passes to let filters send what they have.
    #[inline]
    pub fn empty() -> Self {
        Self { first: ptr::null_mut(), of: PhantomData }
    }

    /// # Safety
    /// `first` must be null or a chain whose links, buffers and bytes stay for `'a`.
    #[inline]
    pub unsafe fn from_raw(first: *mut sys::ngx_chain_t) -> Self {
        Self { first, of: PhantomData }
    }

    #[inline]
    pub fn as_ptr(self) -> *mut sys::ngx_chain_t {
        self.first
    }

    /// Whether there are no buffers at all, not even special ones.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.first.is_null()
    }

    #[inline]
    pub fn iter(self) -> Bufs<'a> {
        Bufs(self)
    }

    /// How many bytes there are.
    pub fn len(self) -> u64 {
        self.iter().map(Buf::len).sum()
    }

    /// Whether the response ends in this chain, that of a subrequest included.
    pub fn ends(self) -> bool {
        self.iter().any(|buf| buf.last() || buf.last_in_chain())
    }

    /// Takes the end of the response out of the chain, if it is there: the caller sends one of its own later. (As
    /// ngx_http_addition_body_filter does it.)
    pub fn take_end(self) -> bool {
        let mut found = false;
        for buf in self.iter().filter(|buf| buf.last() || buf.last_in_chain()) {
            let b = buf.as_ptr();
            // SAFETY: the buffer is lent for 'a to us alone. One without bytes must stay special.
            unsafe {
                (*b).set_last_buf(0);
                (*b).set_last_in_chain(0);
                if buf.is_empty() {
                    (*b).set_sync(1);
                }
            }
            found = true;
        }
        found
    }

    /// Copies bytes from `start` on to `into`; how many there were.
    pub fn read_at(self, mut start: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        for buf in self.iter() {
            if done == into.len() {
                break;
            }
            done += buf.read_at(start, &mut into[done..])?;
            start = start.saturating_sub(buf.len());
        }
        Ok(done)
    }

    /// Appends all bytes to `to`, those of files too. On an error `to` is as it was.
    pub fn append_to(self, to: &mut Vec<u8>) -> io::Result<()> {
        let before = to.len();
        for buf in self.iter() {
            if let Some(bytes) = buf.bytes() {
                to.extend_from_slice(bytes);
                continue;
            }
            let at = to.len();
            to.resize(at + buf.len() as usize, 0);
            if let Err(error) = buf.read_at(0, &mut to[at..]) {
                to.truncate(before);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Says that all bytes were taken.
    pub fn consume(self) {
        self.iter().for_each(Buf::consume);
    }
}

/// Lends a chain to code that cannot be handed it (a guest's host functions, which are reached through an engine), for
/// the time of a call.
#[derive(Default)]
pub struct Lent(Cell<Option<Chain<'static>>>);

impl Lent {
    /// Runs `f`; meanwhile [`Lent::read`] finds the chain.
    pub fn with<R>(&self, chain: Chain<'_>, f: impl FnOnce() -> R) -> R {
        struct TakeBack<'l>(&'l Lent, Option<Chain<'static>>);
        impl Drop for TakeBack<'_> {
            fn drop(&mut self) {
                self.0.0.set(self.1);
            }
        }
        // The pointer outlives its lifetime here only in name: `take_back` ends it before this function returns, also
        // when `f` panics, and `read` lends it for no longer than its closure runs.
        let take_back = TakeBack(self, self.0.replace(Some(Chain { first: chain.first, of: PhantomData })));
        let result = f();
        drop(take_back);
        result
    }

    /// Runs `f` with the chain; `None` when none is lent.
    pub fn read<R>(&self, f: impl for<'c> FnOnce(Chain<'c>) -> R) -> Option<R> {
        self.0.get().map(f)
    }
}

/// The buffers of a [`Chain`].
pub struct Bufs<'a>(Chain<'a>);

impl<'a> Iterator for Bufs<'a> {
    type Item = Buf<'a>;

    #[inline]
    fn next(&mut self) -> Option<Buf<'a>> {
        let link = self.0.first;
        if link.is_null() {
            return None;
        }
        // SAFETY: a Chain's links stay for 'a, chained up to null, each with a buffer.
        unsafe {
            self.0.first = (*link).next;
            Some(Buf((*link).buf, PhantomData))
        }
    }
}
