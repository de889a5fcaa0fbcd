//! Contexts: the roots, one for each filter of a VM, and the streams under them (spec v0.2.1, "Context lifecycle").

use std::sync::Arc;

use super::abi::Status;
use super::snapshot::Snapshot;
use super::vm::FilterConfig;

/// The most bytes of properties, names included, that one context may keep.
const MAX_PROPERTY_BYTES: usize = 1 << 20;

/// The place of a root among the roots of its VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RootIndex(usize);

/// A root context: a filter with its configuration.
#[derive(Debug)]
struct Root {
    id: u32,
    filter: Arc<FilterConfig>,
}

/// How far a context has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The guest has not heard of it.
    Reserved,
    /// `on_context_create` was delivered.
    Created,
    /// `on_done` answered false: it waits for `proxy_done`.
    Pending,
    /// `proxy_done` was called, its deletion is due.
    Finished,
}

#[derive(Debug)]
struct Context<S> {
    id: u32,
    root: RootIndex,
    stage: Stage,
    stream: Option<S>,
    /// What the stream was, from its end to the context's.
    snapshot: Option<Box<Snapshot>>,
    properties: Properties,
}

/// The slots of a table at first: for what lives as long as one request, a root and a stream.
const FEW: usize = 4;

/// Contexts by their ids. The slot of a context is its id modulo the number of slots, so that finding one is one look;
/// an id whose slot is taken is not given to a new context ([`Table::has_room_for`]).
#[derive(Debug)]
struct Table<S> {
    /// A power of two of them.
    slots: Vec<Option<Context<S>>>,
    living: usize,
}

impl<S> Table<S> {
    fn new() -> Self {
        Self { slots: Vec::new(), living: 0 }
    }

    #[inline]
    fn slot(&self, id: u32) -> usize {
        id as usize & self.slots.len().wrapping_sub(1)
    }

    #[inline]
    fn get(&self, id: u32) -> Option<&Context<S>> {
        self.slots.get(self.slot(id))?.as_ref().filter(|context| context.id == id)
    }

    #[inline]
    fn get_mut(&mut self, id: u32) -> Option<&mut Context<S>> {
        let slot = self.slot(id);
        self.slots.get_mut(slot)?.as_mut().filter(|context| context.id == id)
    }

    /// Makes sure that one more context finds a free slot soon: half of them are free.
    fn reserve(&mut self) {
        if self.slots.len() < FEW || self.slots.len() < 2 * (self.living + 1) {
            let count = (self.slots.len() * 2).max(FEW);
            let old = std::mem::replace(&mut self.slots, std::iter::repeat_with(|| None).take(count).collect());
            // Ids that were different modulo the old number are so modulo its double.
            old.into_iter().flatten().for_each(|context| self.put(context));
        }
    }

    fn has_room_for(&self, id: u32) -> bool {
        self.slots.get(self.slot(id)).is_some_and(Option::is_none)
    }

    fn put(&mut self, context: Context<S>) {
        let slot = self.slot(context.id);
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = Some(context);
        }
    }

    fn insert(&mut self, context: Context<S>) {
        self.living += 1;
        self.put(context);
    }

    fn remove(&mut self, id: u32) {
        let slot = self.slot(id);
        if let Some(slot) = self.slots.get_mut(slot)
            && slot.as_ref().is_some_and(|context| context.id == id)
        {
            *slot = None;
            self.living -= 1;
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Context<S>> {
        self.slots.iter().flatten()
    }
}

/// Who is speaking: what host functions need of a context, copied out of the table once for each callback.
#[derive(Clone, Copy, Debug)]
pub struct Scope<S> {
    pub context: u32,
    /// The root context's id; the same as `context` for a root.
    pub root: u32,
    root_index: RootIndex,
    /// The stream's handle, as long as there is one.
    pub stream: Option<S>,
}

/// All contexts of a VM.
#[derive(Debug)]
pub struct Contexts<S> {
    table: Table<S>,
    roots: Vec<Root>,
    last: u32,
}

impl<S: Copy> Contexts<S> {
    pub fn new() -> Self {
        Self { table: Table::new(), roots: Vec::new(), last: 0 }
    }

    /// The next id that no living context has. Ids grow, some are left out, and they start anew after 2³² of them; 0 is
    /// no context.
    fn fresh_id(&mut self) -> u32 {
        self.table.reserve();
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && self.table.has_room_for(self.last) {
                return self.last;
            }
        }
    }

    /// Adds a root context; the caller tells the guest.
    pub fn add_root(&mut self, filter: Arc<FilterConfig>) -> u32 {
        let id = self.fresh_id();
        let root = RootIndex(self.roots.len());
        self.roots.push(Root { id, filter });
        let (stage, properties) = (Stage::Created, Properties::default());
        self.table.insert(Context { id, root, stage, stream: None, snapshot: None, properties });
        id
    }

    /// Adds a stream context under a root, of which the guest has not heard yet.
    pub fn add_stream(&mut self, root: u32, stream: S) -> Option<u32> {
        let root = self.root_index(root)?;
        let id = self.fresh_id();
        let (stage, properties) = (Stage::Reserved, Properties::default());
        self.table.insert(Context { id, root, stage, stream: Some(stream), snapshot: None, properties });
        Some(id)
    }

    fn root_index(&self, id: u32) -> Option<RootIndex> {
        let root = self.table.get(id)?.root;
        self.roots.get(root.0).filter(|found| found.id == id).map(|_| root)
    }

    pub fn is_root(&self, id: u32) -> bool {
        self.root_index(id).is_some()
    }

    #[inline]
    pub fn scope(&self, id: u32) -> Option<(Scope<S>, Stage)> {
        let context = self.table.get(id)?;
        let root = self.roots.get(context.root.0)?.id;
        Some((Scope { context: id, root, root_index: context.root, stream: context.stream }, context.stage))
    }

    /// The filter behind a scope.
    pub fn filter(&self, scope: &Scope<S>) -> Option<&Arc<FilterConfig>> {
        self.roots.get(scope.root_index.0).map(|root| &root.filter)
    }

    pub fn stage(&self, id: u32) -> Option<Stage> {
        self.table.get(id).map(|context| context.stage)
    }

    pub fn set_stage(&mut self, id: u32, stage: Stage) {
        if let Some(context) = self.table.get_mut(id) {
            context.stage = stage;
        }
    }

    /// Forgets the stream's handle; a context of which the guest has not heard goes with it.
    pub fn detach(&mut self, id: u32) {
        if self.stage(id) == Some(Stage::Reserved) {
            self.remove(id);
        } else if let Some(context) = self.table.get_mut(id) {
            context.stream = None;
        }
    }

    /// The stream of a context has ended, and the context waits for `proxy_done`.
    pub fn outlive(&mut self, id: u32, snapshot: Option<Box<Snapshot>>) {
        if let Some(context) = self.table.get_mut(id) {
            (context.stage, context.stream, context.snapshot) = (Stage::Pending, None, snapshot);
        }
    }

    /// What the stream of a context was that waits for `proxy_done`.
    pub fn snapshot(&self, id: u32) -> Option<&Snapshot> {
        self.table.get(id)?.snapshot.as_deref()
    }

    pub fn remove(&mut self, id: u32) {
        self.table.remove(id);
    }

    /// The handles of the streams of which the guest has heard.
    pub fn streams(&self) -> Vec<S> {
        let created = self.table.iter().filter(|context| context.stage != Stage::Reserved);
        created.filter_map(|context| context.stream).collect()
    }

    /// Starts the ids anew after those of the roots. False while there are streams, or when a root keeps something.
    pub fn rewind(&mut self) -> bool {
        let untouched = self.table.living == self.roots.len()
            && self.table.iter().all(|context| context.properties.is_empty() && context.stage == Stage::Created);
        if untouched {
            self.last = self.roots.last().map_or(0, |root| root.id);
        }
        untouched
    }

    /// The properties that a context keeps.
    pub fn properties(&mut self, id: u32) -> Option<&mut Properties> {
        self.table.get_mut(id).map(|context| &mut context.properties)
    }
}

impl<S: Copy> Default for Contexts<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// Values that a filter keeps for one context. There are few of them: a list is enough.
#[derive(Debug, Default)]
pub struct Properties {
    values: Vec<(Box<[u8]>, Vec<u8>)>,
    refused: bool,
}

impl Properties {
    fn is_empty(&self) -> bool {
        self.values.is_empty() && !self.refused
    }

    /// Whether it is the first time that something was not kept.
    pub fn first_refusal(&mut self) -> bool {
        !std::mem::replace(&mut self.refused, true)
    }

    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.values.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.as_slice())
    }

    /// Sets a value; `None` forgets it. A context that keeps too much is refused with
    /// [`Status::InternalFailure`].
    pub fn set(&mut self, name: &[u8], value: Option<&[u8]>) -> Result<(), Status> {
        let at = self.values.iter().position(|(known, _)| **known == *name);
        let Some(value) = value else {
            if let Some(at) = at {
                self.values.swap_remove(at);
            }
            return Ok(());
        };
        let others = self.values.iter().filter(|(known, _)| **known != *name);
        let kept: usize = others.map(|(name, value)| name.len() + value.len()).sum();
        if kept + name.len() + value.len() > MAX_PROPERTY_BYTES {
            return Err(Status::InternalFailure);
        }
        match at.and_then(|at| self.values.get_mut(at)) {
            Some((_, old)) => {
                old.clear();
                old.extend_from_slice(value);
            }
            None => self.values.push((name.into(), value.into())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter() -> Arc<FilterConfig> {
        Arc::new(FilterConfig { name: "f".into(), root_id: vec![], config: vec![] })
    }

    #[test]
    fn ids_start_at_one_grow_and_skip_the_living() {
        let mut contexts = Contexts::<u8>::new();
        let root = contexts.add_root(filter());
        assert_eq!(root, 1);
        assert_eq!(contexts.add_stream(root, 0), Some(2));
        contexts.remove(2);
        assert_eq!(contexts.add_stream(root, 0), Some(3), "a dead id is not used again");
        contexts.last = u32::MAX;
        assert_eq!(contexts.add_stream(root, 0), Some(2), "past 0, 1 lives");
        assert_eq!(contexts.add_stream(root, 0), Some(4), "3 lives");
    }

    #[test]
    fn contexts_that_stay_are_found_among_those_that_come_and_go() {
        let mut contexts = Contexts::<usize>::new();
        let root = contexts.add_root(filter());
        let stay: Vec<u32> = (0..100).map(|stream| contexts.add_stream(root, stream).unwrap()).collect();
        for stream in 0..10_000 {
            let id = contexts.add_stream(root, stream).unwrap();
            assert_eq!(contexts.scope(id).unwrap().0.stream, Some(stream));
            contexts.remove(id);
            contexts.remove(id);
            assert!(contexts.scope(id).is_none(), "{id}");
        }
        for (stream, id) in stay.into_iter().enumerate() {
            assert_eq!(contexts.scope(id).unwrap().0.stream, Some(stream));
        }
        assert!(contexts.is_root(root));
        assert!(contexts.table.slots.len() <= 256, "{}", contexts.table.slots.len());
    }

    #[test]
    fn ids_start_anew_when_the_streams_are_forgotten() {
        let mut contexts = Contexts::<u8>::new();
        let root = contexts.add_root(filter());
        let first = contexts.add_stream(root, 1).unwrap();
        assert!(!contexts.rewind(), "there is a stream");
        contexts.remove(first);
        for _ in 0..5 {
            assert!(contexts.rewind());
            let stream = contexts.add_stream(root, 1).unwrap();
            assert_eq!(stream, first);
            contexts.remove(stream);
        }
        contexts.properties(root).unwrap().set(b"a", Some(b"kept")).unwrap();
        assert!(!contexts.rewind(), "a root keeps something of a stream's");
    }

    #[test]
    fn nothing_is_in_an_empty_table() {
        let mut contexts = Contexts::<u8>::new();
        assert!(contexts.scope(0).is_none() && contexts.scope(1).is_none() && contexts.scope(u32::MAX).is_none());
        contexts.remove(1);
        contexts.add_root(filter());
        assert!(contexts.scope(0).is_none() && contexts.scope(u32::MAX).is_none());
    }

    #[test]
    fn a_stream_is_no_root() {
        let mut contexts = Contexts::<u8>::new();
        let root = contexts.add_root(filter());
        let stream = contexts.add_stream(root, 0).unwrap();
        assert_eq!(contexts.add_stream(stream, 0), None);
        assert_eq!(contexts.add_stream(77, 0), None);
        assert!(contexts.is_root(root) && !contexts.is_root(stream));
    }

    #[test]
    fn what_a_context_keeps_is_bounded() {
        let mut properties = Properties::default();
        properties.set(b"a", Some(&vec![0; MAX_PROPERTY_BYTES - 3])).unwrap();
        assert_eq!(properties.set(b"b", Some(b"12")), Err(Status::InternalFailure));
        assert!(properties.first_refusal() && !properties.first_refusal());
        properties.set(b"b", Some(b"1")).unwrap();
        properties.set(b"a", Some(b"short")).unwrap();
        assert_eq!((properties.value(b"a"), properties.value(b"b")), (Some(&b"short"[..]), Some(&b"1"[..])));
        properties.set(b"a", None).unwrap();
        properties.set(b"never", None).unwrap();
        assert_eq!(properties.value(b"a"), None);
    }
}
