//! Contexts: the roots, one for each filter of a VM, and the streams under them (spec v0.2.1, "Context lifecycle").

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::abi::Status;
use super::vm::FilterConfig;

/// The most bytes of properties, names included, that one context may keep.
const MAX_PROPERTY_BYTES: usize = 1 << 20;

/// Hashes context ids: they are small and dense, so one multiplication spreads them.
#[derive(Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

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
    root: RootIndex,
    stage: Stage,
    stream: Option<S>,
    properties: Properties,
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
    table: HashMap<u32, Context<S>, BuildHasherDefault<IdHasher>>,
    roots: Vec<Root>,
    last: u32,
}

impl<S: Copy> Contexts<S> {
    pub fn new() -> Self {
        Self { table: HashMap::default(), roots: Vec::new(), last: 0 }
    }

    /// The next id that no living context has. Ids grow, and start anew after 2³² of them; 0 is no context.
    fn fresh_id(&mut self) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.table.contains_key(&self.last) {
                return self.last;
            }
        }
    }

    /// Adds a root context; the caller tells the guest.
    pub fn add_root(&mut self, filter: Arc<FilterConfig>) -> u32 {
        let id = self.fresh_id();
        let root = RootIndex(self.roots.len());
        self.roots.push(Root { id, filter });
        let context = Context { root, stage: Stage::Created, stream: None, properties: Properties::default() };
        self.table.insert(id, context);
        id
    }

    /// Adds a stream context under a root, of which the guest has not heard yet.
    pub fn add_stream(&mut self, root: u32, stream: S) -> Option<u32> {
        let root = self.root_index(root)?;
        let id = self.fresh_id();
        let context = Context { root, stage: Stage::Reserved, stream: Some(stream), properties: Properties::default() };
        self.table.insert(id, context);
        Some(id)
    }

    fn root_index(&self, id: u32) -> Option<RootIndex> {
        let root = self.table.get(&id)?.root;
        self.roots.get(root.0).filter(|found| found.id == id).map(|_| root)
    }

    pub fn is_root(&self, id: u32) -> bool {
        self.root_index(id).is_some()
    }

    #[inline]
    pub fn scope(&self, id: u32) -> Option<(Scope<S>, Stage)> {
        let context = self.table.get(&id)?;
        let root = self.roots.get(context.root.0)?.id;
        Some((Scope { context: id, root, root_index: context.root, stream: context.stream }, context.stage))
    }

    /// The filter behind a scope.
    pub fn filter(&self, scope: &Scope<S>) -> Option<&Arc<FilterConfig>> {
        self.roots.get(scope.root_index.0).map(|root| &root.filter)
    }

    pub fn stage(&self, id: u32) -> Option<Stage> {
        self.table.get(&id).map(|context| context.stage)
    }

    pub fn set_stage(&mut self, id: u32, stage: Stage) {
        if let Some(context) = self.table.get_mut(&id) {
            context.stage = stage;
        }
    }

    /// Forgets the stream's handle; a context of which the guest has not heard goes with it.
    pub fn detach(&mut self, id: u32) {
        if self.stage(id) == Some(Stage::Reserved) {
            self.remove(id);
        } else if let Some(context) = self.table.get_mut(&id) {
            context.stream = None;
        }
    }

    pub fn remove(&mut self, id: u32) {
        self.table.remove(&id);
    }

    /// The handles of the streams of which the guest has heard.
    pub fn streams(&self) -> Vec<S> {
        let created = self.table.values().filter(|context| context.stage != Stage::Reserved);
        created.filter_map(|context| context.stream).collect()
    }

    /// The properties that a context keeps.
    pub fn properties(&mut self, id: u32) -> Option<&mut Properties> {
        self.table.get_mut(&id).map(|context| &mut context.properties)
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
