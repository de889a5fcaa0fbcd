//! What a stream was at its end: a filter whose `on_done` answered false reads it until it is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::abi::{MapType, Status};
use super::host::{PropertyFormat, Stream};

/// The maps that a stream itself has.
const MAPS: [MapType; 4] =
    [MapType::RequestHeaders, MapType::RequestTrailers, MapType::ResponseHeaders, MapType::ResponseTrailers];

/// The most bytes of one snapshot, and of all that a VM holds.
const MOST: usize = 1 << 20;
const MOST_TOGETHER: usize = 32 << 20;

type Pairs = Vec<(Box<[u8]>, Box<[u8]>)>;

/// A copy of a stream's maps and properties.
#[derive(Debug)]
pub struct Snapshot {
    maps: Vec<(MapType, Pairs)>,
    properties: Pairs,
    format: PropertyFormat,
    /// The bytes of its names and values.
    bytes: usize,
    room: Room,
}

/// How many bytes the snapshots of a VM hold together.
#[derive(Clone, Debug, Default)]
pub struct Room(Arc<AtomicUsize>);

impl Room {
    fn holds(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Snapshot {
    /// `None` when it would be more than there is room for.
    pub fn of(stream: &impl Stream, room: &Room) -> Option<Self> {
        let most = MOST.min(MOST_TOGETHER.saturating_sub(room.holds()));
        let (mut bytes, mut complete) = (0, true);
        let mut keep = |pairs: &mut Pairs, name: &[u8], value: &[u8]| {
            bytes += name.len() + value.len() + size_of::<(Box<[u8]>, Box<[u8]>)>();
            complete &= bytes <= most;
            if complete {
                pairs.push((name.into(), value.into()));
            }
        };
        let mut maps = Vec::with_capacity(MAPS.len());
        for map in MAPS {
            let mut pairs = Pairs::new();
            if stream.for_each_pair(map, |name, value| keep(&mut pairs, name, value)).is_ok() {
                maps.push((map, pairs));
            }
        }
        let mut properties = Pairs::new();
        stream.for_each_property(|path, value| keep(&mut properties, path, value));
        if !complete {
            return None;
        }
        room.0.fetch_add(bytes, Ordering::Relaxed);
        Some(Self { maps, properties, format: stream.property_format(), bytes, room: room.clone() })
    }

    fn pairs(&self, map: MapType) -> Result<&Pairs, Status> {
        self.maps.iter().find(|(known, _)| *known == map).map(|(_, pairs)| pairs).ok_or(Status::BadArgument)
    }
}

/// What can be read of a stream: of itself, or of what it was.
pub enum View<'a, S> {
    Live(S),
    Ended(&'a Snapshot),
}

impl<S: Stream> View<'_, S> {
    /// Like [`Stream::for_each_pair`].
    pub fn for_each_pair(&self, map: MapType, mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), Status> {
        match self {
            Self::Live(stream) => stream.for_each_pair(map, visit),
            Self::Ended(was) => {
                was.pairs(map)?.iter().for_each(|(name, value)| visit(name, value));
                Ok(())
            }
        }
    }

    /// Like [`Stream::pair`].
    pub fn pair(&self, map: MapType, name: &[u8], visit: impl FnOnce(&[u8])) -> Result<(), Status> {
        match self {
            Self::Live(stream) => stream.pair(map, name, visit),
            Self::Ended(was) => {
                let found = was.pairs(map)?.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                found.map(|(_, value)| visit(value)).ok_or(Status::NotFound)
            }
        }
    }

    /// Appends a property's value to `out`.
    pub fn property(&self, path: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
        match self {
            Self::Live(stream) => stream.property(path, stream.property_format(), out),
            Self::Ended(was) => {
                let (_, value) = was.properties.iter().find(|(known, _)| **known == *path).ok_or(Status::NotFound)?;
                out.extend_from_slice(value);
                Ok(())
            }
        }
    }

    pub fn property_format(&self) -> PropertyFormat {
        match self {
            Self::Live(stream) => stream.property_format(),
            Self::Ended(was) => was.format,
        }
    }
}
