//! Response headers that filters set before there is a response: kept here, and merged into whatever response follows.
//!
//! nginx's own map would not do: handlers, upstreams and error pages write over it, each in its own way.

use std::cell::{Cell, RefCell};

use ngx::error;
use ngx::http::{HeaderError, Request, ResponseHeaders};

type Pair = (Box<[u8]>, Box<[u8]>);

/// What filters have made of the response's headers so far.
#[derive(Default)]
pub(super) struct Early {
    /// The response has come: from now on its own headers are changed.
    over: Cell<bool>,
    /// The log has been told that a change came after the header was sent.
    late_told: Cell<bool>,
    pub(super) edits: RefCell<Edits>,
}

impl Early {
    pub(super) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// Whether this is the first change that came too late.
    pub(super) fn first_late_change(&self) -> bool {
        !self.late_told.replace(true)
    }

    /// Merges what was set into the response that has come; once more into one that takes its place.
    pub(super) fn apply(&self, r: Request<'_>) {
        self.over.set(true);
        let edits = self.edits.borrow();
        if edits.is_empty() {
            return;
        }
        if let Some(status) = edits.status.filter(|_| r.status() == 200 && !r.has_upstream()) {
            // One that cannot be sent was refused when it was set.
            let _ = r.set_response_status(status);
        }
        let headers = r.response_headers();
        for edit in edits.steps() {
            let done = match edit {
                Step::Remove(name) => headers.remove(name),
                Step::Set(name, value) => headers.set(name, value),
                Step::Add(name, value) => headers.add(name, value),
            };
            if done == Err(HeaderError::NoMemory) {
                error!(r.log(), "[proxy-wasm] no memory for the response headers that were set before");
                return;
            }
        }
    }

    /// The headers to go with a local response that brings `own`. What is to be missing stays for [`Self::apply`].
    pub(super) fn take_for_reply(&self, own: &[(Vec<u8>, Vec<u8>)]) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.over.set(true);
        let mut edits = self.edits.borrow_mut();
        let Edits { added, replaced, .. } = std::mem::take(&mut *edits);
        let brings = |name: &[u8]| own.iter().any(|(known, _)| same(known, name)) || names(&added, name);
        edits.replaced = replaced.into_iter().filter(|name| !brings(name)).collect();
        added.into_iter().map(|(name, value)| (name.into_vec(), value.into_vec())).collect()
    }
}

/// Changes to a map that is not there yet.
#[derive(Debug, Default)]
pub(super) struct Edits {
    /// For a response that has none but nginx's own 200.
    pub(super) status: Option<u16>,
    /// Names of which the response shall keep no value of its own.
    replaced: Vec<Box<[u8]>>,
    added: Vec<Pair>,
}

/// One change to the response.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Remove(&'a [u8]),
    Set(&'a [u8], &'a [u8]),
    Add(&'a [u8], &'a [u8]),
}

impl Edits {
    fn is_empty(&self) -> bool {
        self.status.is_none() && self.replaced.is_empty() && self.added.is_empty()
    }

    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) {
        if ResponseHeaders::is_single(name) {
            self.replace(name, value);
        } else {
            self.added.push((name.into(), value.into()));
        }
    }

    /// Leaves one pair, in the place of the first.
    pub(super) fn replace(&mut self, name: &[u8], value: &[u8]) {
        self.forget(name);
        let Some(first) = self.added.iter().position(|(known, _)| same(known, name)) else {
            self.added.push((name.into(), value.into()));
            return;
        };
        let mut at = 0;
        self.added.retain(|(known, _)| {
            at += 1;
            at == first + 1 || !same(known, name)
        });
        if let Some(pair) = self.added.get_mut(first) {
            *pair = (name.into(), value.into());
        }
    }

    pub(super) fn remove(&mut self, name: &[u8]) {
        self.forget(name);
        self.added.retain(|(known, _)| !same(known, name));
    }

    /// Whatever value the response brings is not wanted.
    fn forget(&mut self, name: &[u8]) {
        if !self.replaces(name) {
            self.replaced.push(name.into());
        }
    }

    fn replaces(&self, name: &[u8]) -> bool {
        self.replaced.iter().any(|known| same(known, name))
    }

    /// The map as it is so far, of what is in nginx's already.
    pub(super) fn over<'a>(
        &'a self,
        base: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let added = self.added.iter().map(|(name, value)| (&**name, &**value));
        base.filter(|(name, _)| !self.replaces(name)).chain(added)
    }

    /// What is to be done to a response. Nobody knows how long a body will be before there is one: a length is left
    /// out.
    fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        let removed = self.replaced.iter().filter(|name| !names(&self.added, name)).map(|name| Step::Remove(name));
        let added = self.added.iter().enumerate().filter(|(_, (name, _))| !same(name, b"content-length"));
        removed.chain(added.map(|(at, (name, value))| {
            let first = !self.added.iter().take(at).any(|(known, _)| same(known, name));
            if first && self.replaces(name) { Step::Set(name, value) } else { Step::Add(name, value) }
        }))
    }
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b)
}

fn names(pairs: &[Pair], name: &[u8]) -> bool {
    pairs.iter().any(|(known, _)| same(known, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Text = (&'static str, &'static str);

    fn over(edits: &Edits, base: &[Text]) -> Vec<(String, String)> {
        let base = base.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        edits.over(base).map(|(name, value)| (text(name), text(value))).collect()
    }

    fn owned(pairs: &[Text]) -> Vec<(String, String)> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn the_map_so_far_is_what_nginx_has_with_the_changes() {
        let mut edits = Edits::default();
        edits.add(b"a", b"1");
        edits.add(b"b", b"2");
        edits.add(b"A", b"3");
        assert_eq!(over(&edits, &[("a", "0")]), owned(&[("a", "0"), ("a", "1"), ("b", "2"), ("A", "3")]));
        edits.replace(b"a", b"4");
        assert_eq!(over(&edits, &[("a", "0")]), owned(&[("a", "4"), ("b", "2")]));
        edits.remove(b"B");
        assert_eq!(over(&edits, &[("b", "0"), ("c", "0")]), owned(&[("c", "0"), ("a", "4")]));
    }

    #[test]
    fn a_header_that_is_there_once_stays_one() {
        let mut edits = Edits::default();
        edits.add(b"content-type", b"a/b");
        edits.add(b"Content-Type", b"c/d");
        assert_eq!(over(&edits, &[("content-type", "text/plain")]), owned(&[("Content-Type", "c/d")]));
    }

    #[test]
    fn the_response_is_changed_in_the_order_of_the_map() {
        let mut edits = Edits::default();
        edits.add(b"a", b"1");
        edits.replace(b"b", b"2");
        edits.add(b"b", b"3");
        edits.remove(b"c");
        edits.add(b"content-length", b"7");
        let steps: Vec<_> = edits.steps().collect();
        assert_eq!(steps, [Step::Remove(b"c"), Step::Add(b"a", b"1"), Step::Set(b"b", b"2"), Step::Add(b"b", b"3")]);
    }

    #[test]
    fn a_reply_takes_them_along() {
        let early = Early::default();
        early.edits.borrow_mut().add(b"a", b"1");
        early.edits.borrow_mut().remove(b"server");
        early.edits.borrow_mut().remove(b"b");
        let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        assert_eq!(early.take_for_reply(&[pair("B", "own")]), [pair("a", "1")]);
        assert!(early.is_over());
        assert_eq!(early.edits.borrow().steps().collect::<Vec<_>>(), [Step::Remove(b"server")]);
        assert!(early.take_for_reply(&[]).is_empty());
    }

    #[test]
    fn the_log_is_told_once() {
        let early = Early::default();
        assert!(early.first_late_change() && !early.first_late_change());
    }
}
