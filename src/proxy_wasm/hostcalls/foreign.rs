//! Foreign functions (spec v0.2.1, "Foreign function interface").

use super::hostcalls;
use crate::proxy_wasm::abi::Status::NotFound;

hostcalls! {
    /// Calls a function that the host registered by name. There is none: each is not found.
    V0_1_0 fn proxy_call_foreign_function(
        caller, name_data: u32, name_size: u32, arguments_data: u32, arguments_size: u32, return_data: u32,
        return_size: u32
    ) = NotFound;
}
