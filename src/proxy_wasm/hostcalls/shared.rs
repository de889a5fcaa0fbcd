//! Shared data and queues (spec v0.2.1, "Shared Key-Value Store" and "Shared Queues"). They are here so that filters
//! link, check nothing, and answer [`Unimplemented`].

use super::hostcalls;
use crate::proxy_wasm::abi::Status::Unimplemented;

hostcalls! {
    /// Reads a shared value. Not implemented yet.
    V0_1_0 fn proxy_get_shared_data(
        caller, key_data: u32, key_size: u32, return_data: u32, return_size: u32, return_cas: u32
    ) = Unimplemented;

    /// Writes a shared value. Not implemented yet.
    V0_1_0 fn proxy_set_shared_data(
        caller, key_data: u32, key_size: u32, value_data: u32, value_size: u32, cas: u32
    ) = Unimplemented;

    /// Makes or opens a queue, and this root its receiver. Not implemented yet.
    V0_1_0 fn proxy_register_shared_queue(
        caller, name_data: u32, name_size: u32, return_queue: u32
    ) = Unimplemented;

    /// Finds a queue of a VM. Not implemented yet.
    V0_1_0 fn proxy_resolve_shared_queue(
        caller, vm_data: u32, vm_size: u32, name_data: u32, name_size: u32, return_queue: u32
    ) = Unimplemented;

    /// Appends an item to a queue. Not implemented yet.
    V0_1_0 fn proxy_enqueue_shared_queue(caller, queue: u32, value_data: u32, value_size: u32) = Unimplemented;

    /// Takes the first item of a queue. Not implemented yet.
    V0_1_0 fn proxy_dequeue_shared_queue(caller, queue: u32, return_data: u32, return_size: u32) = Unimplemented;
}
