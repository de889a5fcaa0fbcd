//! Properties (spec v0.2.1, "Properties"). A path is a list of segments with a NUL between them; one after the last
//! is allowed.
//!
//! A filter may set any path: what the server does not know is kept for the context, as Envoy does it.

use super::{Out, hostcalls};
use crate::proxy_wasm::abi::{LogLevel, Status};
use crate::proxy_wasm::context::Properties;
use crate::proxy_wasm::host::{Host, Stream};
use crate::proxy_wasm::memory;
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

/// Appends the value of a property to `out`.
fn get<H: Host>(state: &mut State<H>, path: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
    match path {
        b"plugin_name" => out.extend_from_slice(state.config.name.as_bytes()),
        b"plugin_root_id" => out.extend_from_slice(&state.filter().ok_or(Status::NotFound)?.root_id),
        b"plugin_vm_id" => out.extend_from_slice(VM_ID),
        _ if H::Stream::names_property(path) => {
            let stream = state.stream().ok_or(Status::NotFound)?;
            stream.property(path, stream.property_format(), out)?;
        }
        _ => out.extend_from_slice(kept(state)?.value(path).ok_or(Status::NotFound)?),
    }
    Ok(())
}

fn set<H: Host>(state: &mut State<H>, path: &[u8], value: Option<&[u8]>) -> Result<(), Status> {
    if matches!(path, b"plugin_name" | b"plugin_root_id" | b"plugin_vm_id") {
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
