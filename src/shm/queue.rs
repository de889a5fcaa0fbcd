//! Queues in a zone: first in, first out, each with a name and a receiver, who is told of items once for each.

use super::slab::{At, Damaged, Slab};

/// Who is told when there is something in a queue: a process, and the place of that process among the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiver {
    pub place: u32,
    pub process: u32,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// `Some`: this receiver has to be woken. `None`: there is none, or it has been woken and has not looked yet.
    Done(Option<Receiver>),
    Full,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dequeued {
    Done,
    Empty,
    Unknown,
}

/// There is no room for a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// A queue's receiver was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The queue, from 0.
    pub index: u32,
    /// There is something in it already.
    pub waiting: bool,
}

/// Changes with what is in a zone: another version of this module may find it.
const LAYOUT: u64 = 0x7175_0001;

// The zone's words.
const FORMAT: usize = 0;
/// The block that has the place of each queue; where there is one queue only, that queue.
const DIRECTORY: usize = 1;
/// The number of queues.
const QUEUES: usize = 2;
/// The most of them that the directory has room for.
const MOST: usize = 3;

// A queue: these, and its name.
const HEAD: usize = 0;
const TAIL: usize = 8;
const COUNT: usize = 16;
/// Items that its receiver has not been told of.
const UNTOLD: usize = 24;
const PLACE: usize = 32;
/// 0 is no receiver.
const PROCESS: usize = 36;
const NAME_LEN: usize = 40;
const HEADER: usize = 44;

// An item: these, and its bytes.
const NEXT: usize = 0;
const LEN: usize = 8;
const ITEM: usize = 12;

/// An opened zone.
pub struct Queues<'a, S: ?Sized> {
    slab: &'a mut S,
    most: u32,
    emptied: bool,
}

impl<'a, S: Slab + ?Sized> Queues<'a, S> {
    /// Opens a zone, which is locked, for `most` queues. One whose last change was not completed loses all items and keeps its
    /// queues; one that another version has made is emptied.
    ///
    /// # Errors
    /// When it is too small.
    pub fn open(slab: &'a mut S, most: u32) -> Result<Self, NoRoom> {
        let mut queues = Self { slab, most, emptied: false };
        if queues.slab.word(FORMAT) != LAYOUT {
            queues.lay_out()?;
            queues.slab.set_dirty(false);
        } else if queues.slab.is_dirty() {
            queues.empty()?;
        }
        Ok(queues)
    }

    /// Whether the items had to be dropped because the zone was left half-written.
    pub fn was_emptied(&self) -> bool {
        self.emptied
    }

    /// Makes or finds the queue of that name, and sets its receiver if there is one to be set.
    ///
    /// # Errors
    /// When there is no room for another queue.
    pub fn register(&mut self, name: &[u8], receiver: Option<Receiver>) -> Result<Registered, NoRoom> {
        self.retry(|queues| {
            queues.slab.set_dirty(true);
            let index = match queues.search(name)? {
                Some(index) => Some(index),
                None => queues.create(name, receiver)?,
            };
            let Some(index) = index else {
                queues.slab.set_dirty(false);
                return Ok(None);
            };
            let queue = queues.queue(index)?.ok_or(Damaged)?;
            let count = queues.slab.u64(queue, COUNT)?;
            if let Some(receiver) = receiver {
                queues.set_receiver(queue, receiver)?;
                // What the receiver before was told of and did not take is for this one.
                queues.slab.set_u64(queue, UNTOLD, count)?;
            }
            queues.slab.set_dirty(false);
            Ok(Some(Registered { index, waiting: count > 0 }))
        })
        .flatten()
        .ok_or(NoRoom)
    }

    /// The queue of that name.
    pub fn find(&mut self, name: &[u8]) -> Option<u32> {
        self.retry(|queues| queues.search(name)).flatten()
    }

    /// Appends an item to a queue.
    pub fn enqueue(&mut self, index: u32, item: &[u8]) -> Enqueued {
        self.retry(|queues| {
            let Some(queue) = queues.queue(index)? else { return Ok(Enqueued::Unknown) };
            let Ok(len) = u32::try_from(item.len()) else { return Ok(Enqueued::Full) };
            queues.slab.set_dirty(true);
            let done = match queues.slab.alloc(ITEM + item.len()) {
                Some(at) => {
                    queues.slab.set_u64(at, NEXT, 0)?;
                    queues.slab.set_u32(at, LEN, len)?;
                    queues.slab.bytes_mut(at, ITEM + item.len()).ok_or(Damaged)?[ITEM..].copy_from_slice(item);
                    queues.append(queue, at)?
                }
                None => Enqueued::Full,
            };
            queues.slab.set_dirty(false);
            Ok(done)
        })
        .unwrap_or(Enqueued::Full)
    }

    /// Takes the first item of a queue, and appends its bytes to `out`.
    pub fn dequeue(&mut self, index: u32, out: &mut Vec<u8>) -> Dequeued {
        let begin = out.len();
        self.retry(|queues| {
            out.truncate(begin);
            let Some(queue) = queues.queue(index)? else { return Ok(Dequeued::Unknown) };
            let Some(head) = At::new(queues.slab.u64(queue, HEAD)?) else { return Ok(Dequeued::Empty) };
            let end = ITEM + queues.slab.u32(head, LEN)? as usize;
            out.extend_from_slice(&queues.slab.bytes(head, end).ok_or(Damaged)?[ITEM..]);
            queues.slab.set_dirty(true);
            let next = queues.slab.u64(head, NEXT)?;
            queues.slab.set_u64(queue, HEAD, next)?;
            if next == 0 {
                queues.slab.set_u64(queue, TAIL, 0)?;
            }
            let count = queues.slab.u64(queue, COUNT)?.checked_sub(1).ok_or(Damaged)?;
            queues.slab.set_u64(queue, COUNT, count)?;
            queues.slab.free(head);
            queues.slab.set_dirty(false);
            Ok(Dequeued::Done)
        })
        .unwrap_or(Dequeued::Empty)
    }

    /// How many items a receiver has to be told of; it counts as told.
    pub fn untold(&mut self, index: u32, receiver: Receiver) -> u64 {
        self.retry(|queues| {
            let Some(queue) = queues.queue(index)? else { return Ok(0) };
            if queues.receiver(queue)? != Some(receiver) {
                return Ok(0);
            }
            let untold = queues.slab.u64(queue, UNTOLD)?;
            queues.slab.set_u64(queue, UNTOLD, 0)?;
            Ok(untold)
        })
        .unwrap_or(0)
    }

    /// The number of items in a queue.
    pub fn count(&mut self, index: u32) -> u64 {
        let count = self.retry(|queues| match queues.queue(index)? {
            Some(queue) => queues.slab.u64(queue, COUNT),
            None => Ok(0),
        });
        count.unwrap_or(0)
    }

    /// Runs an operation, on empty queues if the first try finds damage.
    fn retry<T>(&mut self, mut operation: impl FnMut(&mut Self) -> Result<T, Damaged>) -> Option<T> {
        if let Ok(done) = operation(self) {
            return Some(done);
        }
        self.empty().ok()?;
        operation(self).ok()
    }

    /// Leaves the zone dirty: whoever asks for it says when it is complete.
    fn lay_out(&mut self) -> Result<(), NoRoom> {
        self.slab.set_dirty(true);
        self.slab.reset();
        self.slab.set_word(DIRECTORY, 0);
        if self.most > 1 {
            let size = self.most as usize * size_of::<u64>();
            let directory = self.slab.alloc(size).ok_or(NoRoom)?;
            self.slab.set_word(DIRECTORY, directory.get());
        }
        self.slab.set_word(QUEUES, 0);
        self.slab.set_word(MOST, self.most.into());
        self.slab.set_word(FORMAT, LAYOUT);
        Ok(())
    }

    /// Starts anew with the queues that there were, so that the numbers that filters hold stay good: a queue is written
    /// before it is in the directory, and never moves. Items are not trusted.
    fn empty(&mut self) -> Result<(), NoRoom> {
        self.emptied = true;
        let mut known = Vec::new();
        for index in 0..self.slab.word(QUEUES).min(self.most.into()) as u32 {
            let Ok(found) = self.identity(index) else { break };
            known.push(found);
        }
        self.lay_out()?;
        for (name, receiver) in known {
            match self.create(&name, receiver) {
                Ok(Some(_)) => {}
                Ok(None) | Err(Damaged) => return Err(NoRoom),
            }
        }
        self.slab.set_dirty(false);
        Ok(())
    }

    fn identity(&self, index: u32) -> Result<(Vec<u8>, Option<Receiver>), Damaged> {
        let queue = self.queue(index)?.ok_or(Damaged)?;
        Ok((self.name(queue)?.to_vec(), self.receiver(queue)?))
    }

    fn create(&mut self, name: &[u8], receiver: Option<Receiver>) -> Result<Option<u32>, Damaged> {
        let index = self.slab.word(QUEUES);
        let Some(name_len) = u32::try_from(name.len()).ok().filter(|_| index < self.slab.word(MOST)) else {
            return Ok(None);
        };
        let Some(queue) = self.slab.alloc(HEADER + name.len()) else { return Ok(None) };
        let bytes = self.slab.bytes_mut(queue, HEADER + name.len()).ok_or(Damaged)?;
        bytes[..HEADER].fill(0);
        bytes[HEADER..].copy_from_slice(name);
        self.slab.set_u32(queue, NAME_LEN, name_len)?;
        if let Some(receiver) = receiver {
            self.set_receiver(queue, receiver)?;
        }
        match At::new(self.slab.word(DIRECTORY)).filter(|_| self.most > 1) {
            Some(directory) => self.slab.set_u64(directory, index as usize * size_of::<u64>(), queue.get())?,
            None => self.slab.set_word(DIRECTORY, queue.get()),
        }
        self.slab.set_word(QUEUES, index + 1);
        Ok(Some(index as u32))
    }

    fn queue(&self, index: u32) -> Result<Option<At>, Damaged> {
        if u64::from(index) >= self.slab.word(QUEUES) {
            return Ok(None);
        }
        let directory = At::new(self.slab.word(DIRECTORY)).ok_or(Damaged)?;
        if self.most == 1 {
            return Ok(Some(directory));
        }
        At::new(self.slab.u64(directory, index as usize * size_of::<u64>())?).ok_or(Damaged).map(Some)
    }

    fn search(&self, name: &[u8]) -> Result<Option<u32>, Damaged> {
        for index in 0..self.slab.word(QUEUES) as u32 {
            let queue = self.queue(index)?.ok_or(Damaged)?;
            if self.name(queue)? == name {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn name(&self, queue: At) -> Result<&[u8], Damaged> {
        let end = HEADER + self.slab.u32(queue, NAME_LEN)? as usize;
        Ok(&self.slab.bytes(queue, end).ok_or(Damaged)?[HEADER..])
    }

    fn receiver(&self, queue: At) -> Result<Option<Receiver>, Damaged> {
        let (place, process) = (self.slab.u32(queue, PLACE)?, self.slab.u32(queue, PROCESS)?);
        Ok((process != 0).then_some(Receiver { place, process }))
    }

    fn set_receiver(&mut self, queue: At, receiver: Receiver) -> Result<(), Damaged> {
        self.slab.set_u32(queue, PLACE, receiver.place)?;
        self.slab.set_u32(queue, PROCESS, receiver.process)
    }

    fn append(&mut self, queue: At, item: At) -> Result<Enqueued, Damaged> {
        match At::new(self.slab.u64(queue, TAIL)?) {
            Some(tail) => self.slab.set_u64(tail, NEXT, item.get())?,
            None => self.slab.set_u64(queue, HEAD, item.get())?,
        }
        self.slab.set_u64(queue, TAIL, item.get())?;
        let count = self.slab.u64(queue, COUNT)?;
        self.slab.set_u64(queue, COUNT, count + 1)?;
        let untold = self.slab.u64(queue, UNTOLD)?;
        self.slab.set_u64(queue, UNTOLD, untold + 1)?;
        // Also when it was told before: whoever should have told it may have been killed.
        Ok(Enqueued::Done(self.receiver(queue)?))
    }
}

#[cfg(test)]
mod tests;
