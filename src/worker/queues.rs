//! The queues that this worker receives: it is woken by who puts something in, and tells the root contexts.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ngx::wake::Wake;
use ngx::{Posted, wake};

use super::Worker;

/// The most callbacks in one round of the event loop: requests are served in between.
const ROUND: u64 = 64;

/// A root context that receives a queue.
struct Receiver {
    token: u32,
    module: usize,
    root: u32,
    /// Callbacks that are due.
    due: Cell<u64>,
}

/// The receivers of a worker.
pub(super) struct Receivers {
    list: RefCell<Vec<Rc<Receiver>>>,
    /// Runs another round.
    more: Posted,
    _wake: Option<Wake>,
}

impl Receivers {
    /// Where there are no queues, nobody is woken.
    pub(super) fn new(queues: bool) -> Self {
        let ready = || {
            super::with(|worker| worker.receivers.ready(worker));
        };
        Self { list: RefCell::default(), more: Posted::new(ready), _wake: if queues { Wake::new(ready) } else { None } }
    }

    /// A root context is the receiver of a queue; whoever was it in this process is not any more.
    pub(super) fn add(&self, module: usize, root: u32, token: u32, waiting: bool) {
        let mut list = self.list.borrow_mut();
        list.retain(|receiver| receiver.token != token);
        list.push(Rc::new(Receiver { token, module, root, due: Cell::new(0) }));
        if waiting {
            wake::wake(ngx::process::worker_index());
        }
    }

    /// The root contexts of a module are gone.
    pub(super) fn forget(&self, module: usize) {
        self.list.borrow_mut().retain(|receiver| receiver.module != module);
    }

    /// Calls `on_queue_ready` once for each item that was put into a queue, as Envoy does; not for those that were taken
    /// meanwhile.
    fn ready(&self, worker: &Worker) {
        let mut left = ROUND;
        let list = self.list.borrow().clone();
        for receiver in list {
            let Some(slot) = worker.slots.get(receiver.module) else { continue };
            let due = receiver.due.get() + worker.shared.untold(receiver.token);
            receiver.due.set(due);
            for done in 0..due {
                if done > 0 && worker.shared.is_empty(receiver.token) {
                    receiver.due.set(0);
                    break;
                }
                if left == 0 {
                    break;
                }
                left -= 1;
                receiver.due.set(due - done - 1);
                // Without its VM, a queue waits for the next one to register.
                if !slot.queue_ready(worker, receiver.root, receiver.token) {
                    break;
                }
            }
        }
        if left == 0 {
            // One that always has something to do keeps no other waiting.
            let mut list = self.list.borrow_mut();
            if !list.is_empty() {
                list.rotate_left(1);
            }
            self.more.post_next();
        }
    }
}
