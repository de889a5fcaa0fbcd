//! Properties (spec v0.2.1, "Properties"). A path is a list of segments with a NUL between them; one after the last
//! is allowed.
//!
//! A filter may set any path: what the server does not know is kept for the context, as Envoy does it. Properties that
//! are maps of headers are made here, of the maps that host functions see; all others of the stream are the server's.

use super::{Out, hostcalls};
use crate::proxy_wasm::abi::{LogLevel, MapType, Status};
use crate::proxy_wasm::context::Properties;
use crate::proxy_wasm::host::{Host, PropertyFormat, Stream};
use crate::proxy_wasm::memory;
use crate::proxy_wasm::pairs::{Size, Writer};
use crate::proxy_wasm::snapshot::View;
use crate::proxy_wasm::state::State;

/// The longest path that can name anything.
const MAX_PATH: usize = 64 << 10;

/// The id of the only VM there is.
const VM_ID: &[u8] = b"main";

/// Writes the segments of a guest's path to `out`, parted by `.`.
fn join(path: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
    if path.len() > MAX_PATH {
        return Err(Status::NotFound);
    }
    let path = path.strip_suffix(b"\0").unwrap_or(path);
    out.extend(path.iter().map(|&byte| if byte == 0 { b'.' } else { byte }));
    Ok(())
}

/// What a property takes from a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    Whole,
    /// The values of one name.
    Values(&'a [u8]),
    /// The bytes of all names and values.
    Bytes,
}

/// The map that a path means, and what of it.
fn map_of(path: &[u8]) -> Option<(MapType, Part<'_>)> {
    let maps: [(&[u8], _); 3] = [
        (b"request.headers", MapType::RequestHeaders),
        (b"response.headers", MapType::ResponseHeaders),
        (b"response.trailers", MapType::ResponseTrailers),
    ];
    let (map, rest) = maps.into_iter().find_map(|(name, map)| Some((map, path.strip_prefix(name)?)))?;
    match rest {
        [] => Some((map, Part::Whole)),
        [b'.', name @ ..] => Some((map, Part::Values(name))),
        b"_bytes" if map != MapType::ResponseTrailers => Some((map, Part::Bytes)),
        _ => None,
    }
}

/// Appends a map as pairs, the values of one name of it with a comma between them, or its size.
fn get_map<S: Stream>(view: &View<'_, S>, map: MapType, part: Part<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    let none = |_| Status::NotFound;
    match part {
        Part::Values(name) => {
            let mut found = false;
            let values = view.for_each_pair(map, |known, value| {
                if known.eq_ignore_ascii_case(name) {
                    if found {
                        out.push(b',');
                    }
                    found = true;
                    out.extend_from_slice(value);
                }
            });
            values.map_err(none)?;
            if found { Ok(()) } else { Err(Status::NotFound) }
        }
        Part::Bytes => {
            let mut bytes = 0_u64;
            view.for_each_pair(map, |name, value| bytes += (name.len() + value.len()) as u64).map_err(none)?;
            match view.property_format() {
                PropertyFormat::Strings => out.extend_from_slice(bytes.to_string().as_bytes()),
                PropertyFormat::Envoy => out.extend_from_slice(&bytes.to_le_bytes()),
            }
            Ok(())
        }
        Part::Whole => {
            let mut size = Size::default();
            view.for_each_pair(map, |name, value| size.add(name, value)).map_err(none)?;
            if size.bytes() == 0 {
                return Ok(());
            }
            let start = out.len();
            out.resize(start + size.bytes(), 0);
            let mut writer =
                Writer::new(out.get_mut(start..).unwrap_or_default(), size).ok_or(Status::InternalFailure)?;
            view.for_each_pair(map, |name, value| writer.push(name, value)).map_err(none)?;
            if writer.finish() { Ok(()) } else { Err(Status::InternalFailure) }
        }
    }
}

/// Appends the value of a property to `out`.
fn get<H: Host>(state: &mut State<H>, path: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
    match path {
        b"plugin_name" => out.extend_from_slice(state.config.name.as_bytes()),
        b"plugin_root_id" => out.extend_from_slice(&state.filter().ok_or(Status::NotFound)?.root_id),
        b"plugin_vm_id" => out.extend_from_slice(VM_ID),
        _ => {
            let view = state.view().ok_or(Status::NotFound);
            match map_of(path) {
                Some((map, part)) => return get_map(&view?, map, part, out),
                None if H::Stream::names_property(path) => return view?.property(path, out),
                None => {}
            }
            out.extend_from_slice(kept(state)?.value(path).ok_or(Status::NotFound)?);
        }
    }
    Ok(())
}

fn set<H: Host>(state: &mut State<H>, path: &[u8], value: Option<&[u8]>) -> Result<(), Status> {
    if matches!(path, b"plugin_name" | b"plugin_root_id" | b"plugin_vm_id") {
        return Err(Status::NotFound);
    }
    if map_of(path).is_some() {
        return Err(Status::NotFound);
    }
    if H::Stream::names_property(path) {
        return state.stream().ok_or(Status::NotFound)?.set_property(path, value);
    }
    let kept = kept(state)?;
    let result = kept.set(path, value);
    if result.is_err() && kept.first_refusal() {
        state.log(LogLevel::Error, b"cannot keep a property: this context keeps too much already");
    }
    result
}

/// What the effective context keeps: `wasmx.NAME`, and whatever else is not the server's.
fn kept<H: Host>(state: &mut State<H>) -> Result<&mut Properties, Status> {
    let context = state.effective().ok_or(Status::NotFound)?.context;
    state.contexts.properties(context).ok_or(Status::NotFound)
}

hostcalls! {
    /// The value of a property. Roots have those of their filter only.
    V0_1_0 fn proxy_get_property(
        caller, path_data: u32, path_size: u32, return_data: u32, return_size: u32
    ) Status {
        let (memory, state) = caller.split();
        let out = Out::new(memory, return_data, return_size)?;
        let guest_path = memory::bytes(memory, path_data, path_size)?;
        let (mut path, mut value) = (state.take_path(), state.take_scratch());
        let found = join(guest_path, &mut path).and_then(|()| get(state, &path, &mut value));
        state.give_path(path);
        match found {
            Ok(()) => out.give_scratch(caller, value),
            Err(status) => {
                state.give_scratch(value);
                Err(status.into())
            }
        }
    };

    /// Sets a property; a value at address 0 that is empty unsets it.
    V0_1_0 fn proxy_set_property(
        caller, path_data: u32, path_size: u32, value_data: u32, value_size: u32
    ) Status {
        let (memory, state) = caller.split();
        let guest_path = memory::bytes(memory, path_data, path_size)?;
        let value = memory::bytes(memory, value_data, value_size)?;
        let value = (value_data != 0 || value_size != 0).then_some(value);
        let mut path = state.take_path();
        let result = join(guest_path, &mut path).and_then(|()| set(state, &path, value));
        state.give_path(path);
        Ok(result?)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_maps() {
        let table: [(&str, Option<(MapType, Part<'_>)>); 9] = [
            ("request.headers", Some((MapType::RequestHeaders, Part::Whole))),
            ("request.headers.x-a", Some((MapType::RequestHeaders, Part::Values(b"x-a")))),
            ("request.headers_bytes", Some((MapType::RequestHeaders, Part::Bytes))),
            ("response.headers.", Some((MapType::ResponseHeaders, Part::Values(b"")))),
            ("response.trailers.x.y", Some((MapType::ResponseTrailers, Part::Values(b"x.y")))),
            ("response.trailers_bytes", None),
            ("request.headersx", None),
            ("request", None),
            ("", None),
        ];
        for (path, expected) in table {
            assert_eq!(map_of(path.as_bytes()), expected, "{path}");
        }
    }
}
