//! The members of a request's chain: its filters with their contexts, and its calls.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use ngx::http::{Handle, Request};

use crate::conf::{Call, Chain, Filter, Isolation, Link};
use crate::http::Stream;
use crate::raw::Phase;
use crate::worker::{self, Instance};

/// One filter or call of the chain, for this request.
pub(super) struct Member {
    pub(super) link: Link,
    /// Of a filter: its VM and its context there; `None` when the VM could not be had.
    pub(super) context: Option<(Rc<Instance>, u32)>,
    /// Of a call: the VM that was made for this request, if it was.
    own: RefCell<Option<Rc<Instance>>>,
    /// It failed, and the policy is `open`.
    pub(super) skipped: Cell<bool>,
}

impl Member {
    /// Opens a context in each filter of the chain. What calls run in is seen when they do.
    pub(super) fn open_all(r: Request<'_>, chain: &Chain, isolation: Isolation, handle: Handle) -> Vec<Self> {
        let mut members: Vec<Self> = Vec::with_capacity(chain.links.len());
        for link in &chain.links {
            let context = link.filter().and_then(|filter| {
                let instance = of_filter(r, &members, chain, filter, isolation)?;
                let context = instance.open(filter.id, Stream::new(handle, members.len()))?;
                Some((instance, context))
            });
            let (link, own, skipped) = (link.clone(), RefCell::default(), Cell::new(false));
            members.push(Self { link, context, own, skipped });
        }
        members
    }

    /// The call of this phase that it is.
    pub(super) fn call_in(&self, phase: Phase) -> Option<&Arc<Call>> {
        match &self.link {
            Link::Call(call) if call.phase == phase => Some(call),
            _ => None,
        }
    }

    /// A filter that could not be opened.
    pub(super) fn lacks_context(&self) -> bool {
        self.context.is_none() && self.link.filter().is_some()
    }

    /// The VM that a call of this module may run in, if this member has one for this request.
    fn lends(&self, module: usize, isolation: Isolation) -> Option<Rc<Instance>> {
        if self.link.module() != Some(module) {
            return None;
        }
        let shared = self.context.as_ref().filter(|_| isolation == Isolation::Stream).map(|(instance, _)| instance);
        let found = shared.cloned().or_else(|| self.own.borrow().clone());
        found.filter(|instance| instance.alive())
    }

    /// Gives up what it holds of its VM.
    pub(super) fn into_instance(self) -> Option<(usize, Rc<Instance>)> {
        let held = self.context.map(|(instance, _)| instance).or_else(|| self.own.into_inner());
        self.link.module().zip(held)
    }
}

fn of_filter(
    r: Request<'_>,
    members: &[Member],
    chain: &Chain,
    filter: &Filter,
    isolation: Isolation,
) -> Option<Rc<Instance>> {
    let module = *filter.module.get()?;
    let same = |member: &&Member| member.link.filter().is_some_and(|other| other.module.get() == Some(&module));
    worker::with(|worker| match isolation {
        Isolation::None => worker.roots(module),
        Isolation::Filter => {
            let alone = chain.filters().filter(|other| other.id == filter.id);
            worker.instance(module, alone, r.log())
        }
        Isolation::Stream => match members.iter().find(same) {
            Some(member) => member.context.as_ref().map(|(instance, _)| instance.clone()),
            None => worker.instance(module, chain.of_module(filter), r.log()),
        },
    })
    .flatten()
}

/// The VM that the call at `index` runs in: the worker's, or one that is this request's. One that has died is replaced.
pub(super) fn of_call(r: Request<'_>, members: &[Member], index: usize, isolation: Isolation) -> Option<Rc<Instance>> {
    let member = members.get(index)?;
    let module = member.link.module()?;
    if isolation == Isolation::None {
        return worker::with(|worker| worker.roots(module)).flatten();
    }
    // The one that it had is the first to be seen.
    let known = std::iter::once(member).chain(members).find_map(|other| other.lends(module, isolation));
    let instance = known.or_else(|| worker::with(|worker| worker.instance(module, [].iter(), r.log())).flatten())?;
    *member.own.borrow_mut() = Some(instance.clone());
    Some(instance)
}
