//! Shared data and queues (spec v0.2.1, "Shared Key-Value Store" and "Shared Queues").

use super::{Out, hostcalls};
use crate::proxy_wasm::abi::Status;
use crate::proxy_wasm::memory;

/// The id of the only VM there is; empty means the own one.
fn is_own_vm(id: &[u8]) -> bool {
    matches!(id, b"" | b"main")
}

hostcalls! {
    /// Reads a shared value, and its cas.
    V0_1_0 fn proxy_get_shared_data(
        caller, key_data: u32, key_size: u32, return_data: u32, return_size: u32, return_cas: u32
    ) Status {
        let (memory, state) = caller.split();
        let out = Out::new(memory, return_data, return_size)?;
        memory::check(memory, return_cas, 4)?;
        let key = memory::bytes(memory, key_data, key_size)?;
        let mut value = state.take_scratch();
        match state.host.shared_value(key, &mut value) {
            Ok(cas) => {
                out.give_scratch(caller, value)?;
                Ok(memory::write_u32(caller.split().0, return_cas, cas)?)
            }
            Err(status) => {
                state.give_scratch(value);
                Err(status.into())
            }
        }
    };

    /// Writes a shared value. An empty one at address 0 deletes it, as in ngx_wasm_module.
    V0_1_0 fn proxy_set_shared_data(
        caller, key_data: u32, key_size: u32, value_data: u32, value_size: u32, cas: u32
    ) Status {
        let (memory, state) = caller.split();
        let key = memory::bytes(memory, key_data, key_size)?;
        let value = memory::bytes(memory, value_data, value_size)?;
        let value = (value_data != 0 || value_size != 0).then_some(value);
        Ok(state.host.set_shared_value(key, value, cas)?)
    };

    /// Makes or opens a queue, and this root its receiver. In an instance made for one request it receives nothing.
    V0_1_0 fn proxy_register_shared_queue(caller, name_data: u32, name_size: u32, return_queue: u32) Status {
        let (memory, state) = caller.split();
        memory::check(memory, return_queue, 4)?;
        let name = memory::bytes(memory, name_data, name_size)?;
        let root = state.effective().ok_or(Status::BadArgument)?.root;
        let queue = state.host.register_queue(root, name)?;
        Ok(memory::write_u32(memory, return_queue, queue)?)
    };

    /// Finds a queue of a VM.
    V0_1_0 fn proxy_resolve_shared_queue(
        caller, vm_data: u32, vm_size: u32, name_data: u32, name_size: u32, return_queue: u32
    ) Status {
        let (memory, state) = caller.split();
        memory::check(memory, return_queue, 4)?;
        let name = memory::bytes(memory, name_data, name_size)?;
        if !is_own_vm(memory::bytes(memory, vm_data, vm_size)?) {
            return Err(Status::NotFound.into());
        }
        let queue = state.host.resolve_queue(name)?;
        Ok(memory::write_u32(memory, return_queue, queue)?)
    };

    /// Appends an item to a queue.
    V0_1_0 fn proxy_enqueue_shared_queue(caller, queue: u32, value_data: u32, value_size: u32) Status {
        let (memory, state) = caller.split();
        let item = memory::bytes(memory, value_data, value_size)?;
        Ok(state.host.enqueue(queue, item)?)
    };

    /// Takes the first item of a queue.
    V0_1_0 fn proxy_dequeue_shared_queue(caller, queue: u32, return_data: u32, return_size: u32) Status {
        let (memory, state) = caller.split();
        let out = Out::new(memory, return_data, return_size)?;
        let mut item = state.take_scratch();
        match state.host.dequeue(queue, &mut item) {
            Ok(()) => out.give_scratch(caller, item),
            Err(status) => {
                state.give_scratch(item);
                Err(status.into())
            }
        }
    };
}
