//! A part of a body on its way through the chain: what nginx gave, what filters make of it, what they hold.

use std::cell::{Cell, RefCell};

use ngx::http::{Chain, Lent};

/// Room for a part above this many bytes is given back after use.
const ROOM_KEPT: usize = 256 << 10;

/// What goes with the bytes of a part.
#[derive(Clone, Copy, Default)]
pub(super) struct Orders {
    pub flush: bool,
    /// The body ends with it, as far as filters are concerned: nothing but nginx's own end may come.
    pub ends: bool,
    /// It brings nginx's own end.
    pub last: bool,
}

impl Orders {
    pub(super) fn of(chain: Chain<'_>) -> Self {
        let last = chain.ends();
        Self { flush: chain.iter().any(|buf| buf.flush()), ends: last, last }
    }
}

/// What became of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// All filters have seen it.
    Passed,
    /// One of them holds it.
    Held,
}

/// A part that a filter holds.
struct Held {
    /// Its place in the chain.
    filter: usize,
    bytes: Vec<u8>,
    changed: bool,
    orders: Orders,
}

/// The part that the chain is looking at, and those that its filters hold.
#[derive(Default)]
pub(super) struct Part {
    /// As nginx gave it.
    pub(super) lent: Lent,
    /// The same, when it was read from a file, held or changed.
    bytes: RefCell<Vec<u8>>,
    owned: Cell<bool>,
    /// A filter made something else of it.
    changed: Cell<bool>,
    /// Whether it is passing now: filters can look at it.
    pub(super) passing: Cell<bool>,
    held: RefCell<Vec<Held>>,
}

impl Part {
    /// The length in bytes; `None` when no body is passing.
    pub(super) fn len(&self) -> Option<usize> {
        if !self.passing.get() {
            return None;
        }
        self.owned_len().or_else(|| usize::try_from(self.lent.read(|chain| chain.len())?).ok())
    }

    /// Copies `out.len()` bytes from `start`; false when they are not there.
    pub(super) fn read(&self, start: usize, out: &mut [u8]) -> bool {
        if !self.passing.get() {
            return false;
        }
        if self.owned.get() {
            return self.read_owned(start, out);
        }
        let Ok(start) = u64::try_from(start) else { return false };
        let read = self.lent.read(|chain| chain.read_at(start, out));
        matches!(read, Some(Ok(count)) if count == out.len())
    }

    /// Replaces some bytes; false when no body is passing.
    pub(super) fn splice(&self, start: usize, len: usize, data: &[u8]) -> bool {
        if !self.passing.get() || !self.own() {
            return false;
        }
        self.splice_owned(start, len, data);
        true
    }

    /// The length, if it is ours.
    pub(super) fn owned_len(&self) -> Option<usize> {
        self.owned.get().then(|| self.bytes.borrow().len())
    }

    pub(super) fn read_owned(&self, start: usize, out: &mut [u8]) -> bool {
        match self.bytes.borrow().get(start..).and_then(|rest| rest.get(..out.len())) {
            Some(part) => {
                out.copy_from_slice(part);
                true
            }
            None => false,
        }
    }

    pub(super) fn splice_owned(&self, start: usize, len: usize, data: &[u8]) {
        super::splice(&mut self.bytes.borrow_mut(), start, len, data);
        self.changed.set(true);
    }

    /// Makes it ours, if it is not; false when it cannot be read.
    fn own(&self) -> bool {
        if self.owned.get() {
            return true;
        }
        let read = self.lent.read(|chain| chain.append_to(&mut self.bytes.borrow_mut()));
        self.owned.set(!matches!(read, Some(Err(_))));
        self.owned.get()
    }

    /// The same, from a chain that is not lent.
    pub(super) fn own_copy_of(&self, chain: Chain<'_>) -> bool {
        if !self.owned.get() {
            self.owned.set(chain.append_to(&mut self.bytes.borrow_mut()).is_ok());
        }
        self.owned.get()
    }

    /// Makes what `fill` writes the part.
    pub(super) fn fill<R>(&self, fill: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.owned.set(true);
        fill(&mut self.bytes.borrow_mut())
    }

    pub(super) fn with_bytes<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        look(&self.bytes.borrow())
    }

    /// Whether what goes on is not what nginx gave.
    pub(super) fn is_owned(&self) -> bool {
        self.owned.get()
    }

    pub(super) fn is_changed(&self) -> bool {
        self.changed.get()
    }

    /// The length if a filter has changed it.
    pub(super) fn changed_len(&self) -> Option<u64> {
        self.changed.get().then(|| self.bytes.borrow().len() as u64)
    }

    /// What filters have made of it, if they have changed it.
    pub(super) fn take_changed(&self) -> Option<Vec<u8>> {
        let changed = self.changed.replace(false);
        self.owned.set(false);
        changed.then(|| self.bytes.take())
    }

    /// Makes room for the next part.
    pub(super) fn forget(&self) {
        if self.owned.replace(false) {
            let mut bytes = self.bytes.borrow_mut();
            bytes.clear();
            bytes.shrink_to(ROOM_KEPT);
        }
        self.changed.set(false);
    }

    /// Takes up what the filter at `index` holds; the part comes behind it.
    pub(super) fn take_up(&self, index: usize, orders: &mut Orders) -> bool {
        let held = {
            let mut all = self.held.borrow_mut();
            match all.iter().position(|held| held.filter == index) {
                Some(at) => all.swap_remove(at),
                None => return true,
            }
        };
        if !self.own() {
            return false;
        }
        let mut bytes = self.bytes.borrow_mut();
        let behind = std::mem::replace(&mut *bytes, held.bytes);
        bytes.extend_from_slice(&behind);
        self.changed.set(self.changed.get() || held.changed);
        orders.ends |= held.orders.ends;
        orders.last |= held.orders.last;
        orders.flush |= held.orders.flush;
        true
    }

    /// Lets the filter at `index` hold the part; false when it is more than `limit` bytes or cannot be kept.
    pub(super) fn hold(&self, index: usize, orders: Orders, limit: usize) -> bool {
        if !self.own() || self.bytes.borrow().len() > limit {
            return false;
        }
        let bytes = self.bytes.take();
        self.held.borrow_mut().push(Held { filter: index, bytes, changed: self.changed.get(), orders });
        true
    }

    /// Whether the filter at `index` holds a part.
    pub(super) fn holds(&self, index: usize) -> bool {
        self.held.borrow().iter().any(|held| held.filter == index)
    }

    pub(super) fn holds_anything(&self) -> bool {
        !self.held.borrow().is_empty()
    }

    pub(super) fn drop_held(&self) {
        self.held.borrow_mut().clear();
    }

    /// Takes up as the part what one of the filters holds and may let go, by `asked`; that filter.
    pub(super) fn take_released(&self, orders: &mut Orders, asked: impl Fn(usize) -> bool) -> Option<usize> {
        // The last of the chain first: what it holds came before what the others hold.
        let mut filters: Vec<usize> = self.held.borrow().iter().map(|held| held.filter).collect();
        filters.sort_unstable_by(|a, b| b.cmp(a));
        let filter = filters.into_iter().find(|filter| asked(*filter))?;
        self.owned.set(true);
        self.take_up(filter, orders).then_some(filter)
    }
}
