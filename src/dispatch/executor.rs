//! Runs futures on nginx's event loop. Waking one only notes that it is to be polled: that is done from a posted event,
//! never in place (hyper wakes while it holds locks, nginx's handlers while nginx is in the middle of something).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;

use async_task::{Runnable, Task};
use ngx::Posted;
use ngx::guard::guard;

/// The most futures that are polled in one round of the event loop: sockets are looked at in between.
const ROUND: usize = 1024;

thread_local! {
    static EXECUTOR: RefCell<Option<Rc<Executor>>> = const { RefCell::new(None) };
}

struct Executor {
    ready: RefCell<VecDeque<Runnable>>,
    posted: Posted,
    /// The event loop has come by: what is posted now is seen before it waits. Not so what a worker does at its start.
    runs: Cell<bool>,
    /// Futures that nobody waits for.
    detached: RefCell<Vec<Task<()>>>,
}

fn current() -> Option<Rc<Executor>> {
    // `try_with`: something may be woken after the thread's locals are gone.
    EXECUTOR.try_with(|executor| executor.borrow().clone()).ok().flatten()
}

/// Makes this process one that runs futures.
pub(super) fn start() {
    let posted = Posted::new(|| {
        if let Some(executor) = current() {
            executor.run();
        }
    });
    let executor = Executor { ready: RefCell::default(), posted, runs: Cell::new(false), detached: RefCell::default() };
    EXECUTOR.set(Some(Rc::new(executor)));
}

/// Drops all futures, with what they hold. Those whose [`Task`] is held elsewhere have been dropped by its owner.
pub(super) fn stop() {
    let Some(executor) = current() else { return };
    drop(executor.detached.take());
    // A future that was cancelled is dropped when its turn comes.
    executor.drain(usize::MAX);
    EXECUTOR.take();
}

/// Runs a future until it is done, or its task is dropped.
pub(super) fn spawn(future: impl Future<Output = ()> + 'static) -> Task<()> {
    let (runnable, task) = async_task::spawn_local(future, schedule);
    runnable.schedule();
    task
}

/// Runs a future until it is done, or the process ends.
pub(super) fn spawn_detached(future: impl Future<Output = ()> + 'static) {
    let task = spawn(future);
    if let Some(executor) = current() {
        let mut detached = executor.detached.borrow_mut();
        if detached.len() == detached.capacity() {
            detached.retain(|task| !task.is_finished());
        }
        detached.push(task);
    }
}

/// Without an executor the future is dropped: the process ends.
fn schedule(runnable: Runnable) {
    if let Some(executor) = current() {
        executor.ready.borrow_mut().push_back(runnable);
        if executor.runs.get() { executor.posted.post() } else { executor.posted.post_next() }
    }
}

impl Executor {
    fn run(&self) {
        self.runs.set(true);
        self.drain(ROUND);
        if !self.ready.borrow().is_empty() {
            self.posted.post_next();
        }
    }

    fn drain(&self, most: usize) {
        for _ in 0..most {
            let Some(runnable) = self.ready.borrow_mut().pop_front() else { return };
            // One that panics takes none of the others with it.
            guard(false, || runnable.run());
        }
    }
}

/// For hyper's HTTP/2 connections.
#[derive(Clone, Copy)]
pub(super) struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_detached(future);
    }
}
