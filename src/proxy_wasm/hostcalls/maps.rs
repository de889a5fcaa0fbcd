//! Header maps (spec v0.2.1, "HTTP fields").
//!
//! A map that the effective context does not have at all, and any map of a stream that is gone, is a bad argument;
//! read as a whole it is empty, since SDKs take no other answer there. What a filter that is not done reads after the
//! stream's end is what it was; writing that is a bad argument. The maps of calls are those of the answer whose callback
//! runs, whichever context is the effective one; there are none outside of it, and they are read only.

use super::{Out, hostcalls};
use crate::proxy_wasm::abi::{MapType, Status, Version};
use crate::proxy_wasm::host::{Host, Stream};
use crate::proxy_wasm::memory;
use crate::proxy_wasm::pairs::{Pairs, Size, Writer};
use crate::proxy_wasm::snapshot::View;
use crate::proxy_wasm::state::State;
use crate::proxy_wasm::vm::Fields;

fn map_type(map: u32) -> Result<MapType, Status> {
    MapType::from_abi(map).ok_or(Status::BadArgument)
}

/// Where a map is that is read.
enum Source<'a, S> {
    Stream(View<'a, S>, MapType),
    Answer(&'a Fields),
}

impl<'a, S: Stream> Source<'a, S> {
    fn new<H: Host<Stream = S>>(state: &'a State<H>, map: MapType) -> Result<Self, Status> {
        let source = match map {
            MapType::GrpcInitialMetadata
            | MapType::GrpcTrailingMetadata
            | MapType::CallResponseHeaders
            | MapType::CallResponseTrailers => state.answered_fields(map).map(Self::Answer),
            _ => state.view().map(|view| Self::Stream(view, map)),
        };
        source.ok_or(Status::BadArgument)
    }

    fn for_each(&self, mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), Status> {
        match self {
            Self::Stream(view, map) => view.for_each_pair(*map, visit),
            Self::Answer(fields) => {
                fields.iter().for_each(|(name, value)| visit(name, value));
                Ok(())
            }
        }
    }

    /// [`Status::NotFound`] when there is no such name.
    fn first(&self, name: &[u8], visit: impl FnOnce(&[u8])) -> Result<(), Status> {
        match self {
            Self::Stream(view, map) => view.pair(*map, name, visit),
            Self::Answer(fields) => {
                let found = fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                found.map(|(_, value)| visit(value)).ok_or(Status::NotFound)
            }
        }
    }
}

/// The stream whose maps are changed. Those of calls are not a stream's.
fn stream<H: Host>(state: &State<H>, map: MapType) -> Result<H::Stream, Status> {
    match map {
        MapType::RequestHeaders | MapType::RequestTrailers | MapType::ResponseHeaders | MapType::ResponseTrailers => {
            state.stream().ok_or(Status::BadArgument)
        }
        _ => Err(Status::BadArgument),
    }
}

/// [`Status::NotFound`] is what a stream that is gone answers, and none of these functions may.
fn known(result: Result<(), Status>) -> Result<(), Status> {
    result.map_err(|status| if status == Status::NotFound { Status::BadArgument } else { status })
}

fn size_of<H: Host>(state: &State<H>, map: MapType) -> Result<Size, Status> {
    let mut size = Size::default();
    known(Source::new(state, map)?.for_each(|name, value| size.add(name, value)))?;
    Ok(size)
}

hostcalls! {
    /// The bytes that the whole map takes on the wire.
    V0_1_0 fn proxy_get_header_map_size(caller, map: u32, return_size: u32) Status {
        let (memory, state) = caller.split();
        memory::check(memory, return_size, 4)?;
        let size = size_of(state, map_type(map)?)?;
        let size = u32::try_from(size.bytes()).map_err(|_| Status::InternalFailure)?;
        Ok(memory::write_u32(memory, return_size, size)?)
    };

    /// The whole map, names in lower case.
    V0_1_0 fn proxy_get_header_map_pairs(caller, map: u32, return_data: u32, return_size: u32) Status {
        let (memory, state) = caller.split();
        let map = map_type(map)?;
        let out = Out::new(memory, return_data, return_size)?;
        let size = match size_of(state, map) {
            Err(Status::BadArgument) => Size::default(),
            size => size?,
        };
        out.give(caller, size.bytes(), |room, state| {
            let mut writer = Writer::new(room, size).ok_or(Status::InternalFailure)?;
            if let Ok(source) = Source::new(state, map) {
                source.for_each(|name, value| writer.push(name, value))?;
            }
            if writer.finish() { Ok(()) } else { Err(Status::InternalFailure.into()) }
        })
    };

    /// Replaces the map; pseudo headers that are not named stay. A malformed one changes nothing.
    V0_1_0 fn proxy_set_header_map_pairs(caller, map: u32, data: u32, size: u32) Status {
        let (memory, state) = caller.split();
        let map = map_type(map)?;
        let pairs = Pairs::parse(memory::bytes(memory, data, size)?).map_err(|_| Status::ParseFailure)?;
        Ok(known(stream(state, map)?.set_pairs(map, &pairs))?)
    };

    /// The first value of a name. One that is not there is empty in ABI 0.1.0, and not found in later ones.
    V0_1_0 fn proxy_get_header_map_value(
        caller, map: u32, key_data: u32, key_size: u32, return_data: u32, return_size: u32
    ) Status {
        let (memory, state) = caller.split();
        let map = map_type(map)?;
        let out = Out::new(memory, return_data, return_size)?;
        let name = memory::bytes(memory, key_data, key_size)?;
        let mut value = state.take_scratch();
        match Source::new(state, map).and_then(|map| map.first(name, |found| value.extend_from_slice(found))) {
            Ok(()) => {}
            Err(Status::NotFound) if state.version == Version::V0_1_0 => {}
            Err(status) => {
                state.give_scratch(value);
                return Err(status.into());
            }
        }
        out.give_scratch(caller, value)
    };

    /// Adds a pair after those that are there.
    V0_1_0 fn proxy_add_header_map_value(
        caller, map: u32, key_data: u32, key_size: u32, value_data: u32, value_size: u32
    ) Status {
        let (memory, state) = caller.split();
        let map = map_type(map)?;
        let name = memory::bytes(memory, key_data, key_size)?;
        let value = memory::bytes(memory, value_data, value_size)?;
        Ok(known(stream(state, map)?.add_pair(map, name, value))?)
    };

    /// Leaves exactly one pair of the name.
    V0_1_0 fn proxy_replace_header_map_value(
        caller, map: u32, key_data: u32, key_size: u32, value_data: u32, value_size: u32
    ) Status {
        let (memory, state) = caller.split();
        let map = map_type(map)?;
        let name = memory::bytes(memory, key_data, key_size)?;
        let value = memory::bytes(memory, value_data, value_size)?;
        Ok(known(stream(state, map)?.replace_pair(map, name, value))?)
    };

    /// Removes all pairs of the name.
    V0_1_0 fn proxy_remove_header_map_value(caller, map: u32, key_data: u32, key_size: u32) Status {
        let (memory, state) = caller.split();
        let map = map_type(map)?;
        let name = memory::bytes(memory, key_data, key_size)?;
        Ok(known(stream(state, map)?.remove_pair(map, name))?)
    };
}
