//! nginx's list of headers: reading it, and changing it without moving what nginx points to.

use std::{marker::PhantomData, ptr};

use super::{HeaderError, Result, copy, hash, same_name};
use crate::{str::bytes, sys};

/// One header in nginx's list. Copies are the same header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elt<'a>(*mut sys::ngx_table_elt_t, PhantomData<&'a ()>);

impl<'a> Elt<'a> {
    #[inline]
    pub fn as_ptr(self) -> *mut sys::ngx_table_elt_t {
        self.0
    }

    #[inline]
    pub fn key(self) -> &'a [u8] {
        // SAFETY: an Elt points into a list of a request that lives for 'a (List's contract), whose keys and values
        // lie in that request's memory.
        unsafe { bytes(&raw const (*self.0).key) }
    }

    #[inline]
    pub fn value(self) -> &'a [u8] {
        // SAFETY: as for `key`.
        unsafe { bytes(&raw const (*self.0).value) }
    }

    /// Whether the header has this name. Most have names of another length, which is cheaper to see than the name.
    #[inline]
    pub fn is_named(self, name: &[u8]) -> bool {
        // SAFETY: as for `key`.
        unsafe { (*self.0).key.len == name.len() && same_name(self.key(), name) }
    }

    #[inline]
    pub fn pair(self) -> (&'a [u8], &'a [u8]) {
        (self.key(), self.value())
    }

    /// Marks a response header as deleted: no filter of nginx writes one whose hash is 0.
    #[inline]
    pub fn delete(self) {
        // SAFETY: as for `key`; no reference to the element exists.
        unsafe { (*self.0).hash = 0 }
    }

    /// Replaces the value by a copy of `value`.
    ///
    /// # Safety
    /// `pool` must live at least as long as the list.
    pub unsafe fn set_value(self, pool: *mut sys::ngx_pool_t, value: &[u8]) -> Result {
        // SAFETY: a live pool by contract; the element as for `key`.
        unsafe { (*self.0).value = copy(pool, value, false)? };
        Ok(())
    }
}

/// nginx's list of headers, `ngx_list_t` of `ngx_table_elt_t` (src/core/ngx_list.h).
#[derive(Clone, Copy)]
pub(crate) struct List<'a>(*mut sys::ngx_list_t, PhantomData<&'a ()>);

impl<'a> List<'a> {
    /// # Safety
    /// `list` must be a header list of a request that lives for `'a`, initialised or zeroed.
    #[inline]
    pub unsafe fn new(list: *mut sys::ngx_list_t) -> Self {
        Self(list, PhantomData)
    }

    /// The headers that are there. One with hash 0 has been deleted.
    #[inline]
    pub fn iter(self) -> Elts<'a> {
        // SAFETY: `List::new`: the list lives, and its first part is a member of it.
        Elts { part: unsafe { &raw mut (*self.0).part }, at: 0, of: PhantomData }
    }

    #[inline]
    pub fn find(self, name: &[u8]) -> Option<Elt<'a>> {
        self.iter().find(|elt| elt.is_named(name))
    }

    /// Appends a header; its text is copied.
    ///
    /// # Safety
    /// `pool` must be the pool of the list's request.
    pub unsafe fn push(self, pool: *mut sys::ngx_pool_t, name: &[u8], value: &[u8]) -> Result<Elt<'a>> {
        // SAFETY: the pool by contract. The element that ngx_list_push returns is ours, uninitialised, and its fields
        // are all written before anything reads them.
        unsafe {
            let key = copy(pool, name, false)?;
            let value = copy(pool, value, false)?;
            let lowcase = if name.iter().any(u8::is_ascii_uppercase) { copy(pool, name, true)? } else { key };
            self.ready(pool)?;
            let elt = sys::ngx_list_push(self.0).cast::<sys::ngx_table_elt_t>();
            if elt.is_null() {
                return Err(HeaderError::NoMemory);
            }
            // 0 means deleted; a name may hash to it by chance.
            (*elt).hash = hash(name).max(1);
            (*elt).key = key;
            (*elt).value = value;
            (*elt).lowcase_key = lowcase.data;
            #[cfg(ngx_linked_headers)]
            {
                (*elt).next = ptr::null_mut();
            }
            Ok(Elt(elt, PhantomData))
        }
    }

    /// HTTP/0.9 requests have no headers, and nginx leaves their list zeroed: `ngx_list_init`, as the header file has
    /// it inline.
    ///
    /// # Safety
    /// As for `push`.
    unsafe fn ready(self, pool: *mut sys::ngx_pool_t) -> Result {
        const ROOM: usize = 4;
        let size = size_of::<sys::ngx_table_elt_t>();
        // SAFETY: the list lives by List's contract, the pool by this function's.
        unsafe {
            let list = self.0;
            if !(*list).last.is_null() {
                return Ok(());
            }
            let elts = sys::ngx_palloc(pool, ROOM * size);
            if elts.is_null() {
                return Err(HeaderError::NoMemory);
            }
            (*list).part = sys::ngx_list_part_t { elts, nelts: 0, next: ptr::null_mut() };
            (*list).last = &raw mut (*list).part;
            (*list).size = size;
            (*list).nalloc = ROOM;
            (*list).pool = pool;
        }
        Ok(())
    }

    /// Takes a header out of the list. The proxy modules copy every element of `headers_in` whatever its hash, so
    /// that marking it deleted is not enough there. No element moves: nginx points to them.
    pub fn unlink(self, elt: Elt<'_>) -> Result {
        // SAFETY: the list lives (List::new), and its parts are chained by `next` up to null; `elts` of each has
        // `nelts` elements.
        unsafe {
            let mut before: *mut sys::ngx_list_part_t = ptr::null_mut();
            let mut part = &raw mut (*self.0).part;
            while !part.is_null() {
                let first = (*part).elts.cast::<sys::ngx_table_elt_t>();
                if let Some(at) = (0..(*part).nelts).find(|&at| first.add(at) == elt.0) {
                    return self.cut(before, part, at);
                }
                before = part;
                part = (*part).next;
            }
        }
        Ok(())
    }

    /// Cuts element `at` out of `part`, which `before` (null for the first) points to. nginx's loops look at element
    /// 0 of every part but the first without asking whether there is one, so none of those may become empty; and
    /// `nalloc`, the capacity of the last part, must stay above 0.
    ///
    /// # Safety
    /// `part` must be a part of this list with more than `at` elements.
    unsafe fn cut(self, before: *mut sys::ngx_list_part_t, part: *mut sys::ngx_list_part_t, at: usize) -> Result {
        let list = self.0;
        // SAFETY: parts and elements exist by contract. Only counts and pointers of parts change.
        unsafe {
            let first = (*part).elts.cast::<sys::ngx_table_elt_t>();
            let (count, is_last) = ((*part).nelts, (*list).last == part);
            if count == 1 && !before.is_null() {
                return self.drop_part(before, part, is_last);
            }
            if at + 1 == count {
                (*part).nelts -= 1;
            } else if at == 0 {
                (*part).elts = first.add(1).cast();
                (*part).nelts -= 1;
                (*list).nalloc -= usize::from(is_last);
            } else {
                let rest = sys::ngx_palloc((*list).pool, size_of::<sys::ngx_list_part_t>());
                let rest = rest.cast::<sys::ngx_list_part_t>();
                if rest.is_null() {
                    return Err(HeaderError::NoMemory);
                }
                *rest =
                    sys::ngx_list_part_t { elts: first.add(at + 1).cast(), nelts: count - at - 1, next: (*part).next };
                (*part).nelts = at;
                (*part).next = rest;
                if is_last {
                    (*list).last = rest;
                    (*list).nalloc -= at + 1;
                }
            }
        }
        Ok(())
    }

    /// Takes out a part whose only element goes.
    ///
    /// # Safety
    /// `before` and `part` must be neighbours in this list.
    unsafe fn drop_part(
        self,
        before: *mut sys::ngx_list_part_t,
        part: *mut sys::ngx_list_part_t,
        is_last: bool,
    ) -> Result {
        let list = self.0;
        // SAFETY: by contract. The storage of `part` is that of `nalloc` elements when it is the last.
        unsafe {
            if is_last && (*before).nelts == 0 {
                // Only the first part may be empty; it takes the storage over, since its own capacity is not known.
                *before = sys::ngx_list_part_t { elts: (*part).elts, nelts: 0, next: ptr::null_mut() };
                (*list).last = before;
                return Ok(());
            }
            (*before).next = (*part).next;
            if is_last {
                (*list).last = before;
                (*list).nalloc = (*before).nelts;
            }
        }
        Ok(())
    }

    /// Gives the list elements of its own, those that `keep` wants. A subrequest starts with a plain copy of its
    /// parent's `ngx_list_t` (ngx_http_subrequest): the first part is its own, elements and further parts are the
    /// parent's, and `last` may point into the parent itself.
    ///
    /// # Safety
    /// `pool` must be the pool of the list's request.
    pub unsafe fn rebuild(self, pool: *mut sys::ngx_pool_t, keep: impl Fn(Elt<'a>) -> bool) -> Result {
        const SPARE: usize = 4;
        let size = size_of::<sys::ngx_table_elt_t>();
        let kept = || self.iter().filter(|&elt| keep(elt));
        let count = kept().count();
        // SAFETY: the pool by contract; room for `count` elements and more is allocated and `count` are written, read
        // from the old ones, which stay.
        unsafe {
            let elts = sys::ngx_palloc(pool, (count + SPARE) * size).cast::<sys::ngx_table_elt_t>();
            if elts.is_null() {
                return Err(HeaderError::NoMemory);
            }
            for (at, elt) in kept().enumerate() {
                elts.add(at).write(ptr::read(elt.0));
            }
            let list = self.0;
            (*list).part = sys::ngx_list_part_t { elts: elts.cast(), nelts: count, next: ptr::null_mut() };
            (*list).last = &raw mut (*list).part;
            (*list).size = size;
            (*list).nalloc = count + SPARE;
            (*list).pool = pool;
        }
        Ok(())
    }
}

/// The headers of a list that are not deleted, in order.
pub(crate) struct Elts<'a> {
    part: *mut sys::ngx_list_part_t,
    at: usize,
    of: PhantomData<&'a ()>,
}

impl<'a> Iterator for Elts<'a> {
    type Item = Elt<'a>;

    #[inline]
    fn next(&mut self) -> Option<Elt<'a>> {
        // SAFETY: parts are chained up to null, each with `nelts` elements at `elts`; the list lives for 'a.
        unsafe {
            while !self.part.is_null() {
                if self.at >= (*self.part).nelts {
                    self.part = (*self.part).next;
                    self.at = 0;
                    continue;
                }
                let elt = (*self.part).elts.cast::<sys::ngx_table_elt_t>().add(self.at);
                self.at += 1;
                if (*elt).hash != 0 {
                    return Some(Elt(elt, PhantomData));
                }
            }
        }
        None
    }
}
