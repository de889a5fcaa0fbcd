//! Metrics (spec v0.2.1, "Metrics"). They are here so that filters link, check nothing, and answer
//! [`Unimplemented`].

use super::hostcalls;
use crate::proxy_wasm::abi::Status::Unimplemented;

hostcalls! {
    /// Makes or finds a metric. Not implemented yet.
    V0_1_0 fn proxy_define_metric(
        caller, kind: u32, name_data: u32, name_size: u32, return_metric: u32
    ) = Unimplemented;

    /// Sets a counter or gauge, adds to a histogram. Not implemented yet.
    V0_1_0 fn proxy_record_metric(caller, metric: u32, value: u64) = Unimplemented;

    /// Adds to a counter or gauge. Not implemented yet.
    V0_1_0 fn proxy_increment_metric(caller, metric: u32, delta: i64) = Unimplemented;

    /// Reads a counter or gauge. Not implemented yet.
    V0_1_0 fn proxy_get_metric(caller, metric: u32, return_value: u32) = Unimplemented;
}
