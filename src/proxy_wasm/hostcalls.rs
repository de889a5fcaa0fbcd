//! The host functions of ABI 0.1.0, 0.2.0 and 0.2.1. All are offered to every version: filters mix them.
//!
//! Each is a type of its own, made by [`hostcalls!`] from a declaration that reads like the function, so that the
//! linker, the import check of `nginx -t` and the rows of features.md come from one table.
//!
//! What all of them share: a bad range is [`Status::InvalidMemoryAccess`]; places for results are checked before
//! anything is done; a result is one allocation of exactly its size, and none when it is empty; nothing traps and
//! nothing panics, whatever the guest passes.

mod buffers;
mod context;
mod dispatch;
mod foreign;
mod log;
mod maps;
mod metrics;
mod properties;
mod runtime;
mod shared;
mod stream;
mod timers;

use engines::{Caller, Linker, Trap, ValType};

use super::abi::{Status, Version};
use super::host::Host;
use super::memory::{self, OutOfBounds};
use super::state::State;

/// The module that guests import these functions from.
pub const MODULE: &str = "env";

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostcallInfo {
    pub name: &'static str,
    /// False for one that is there so that filters link, and gives the same answer to everything.
    pub implemented: bool,
    /// The first ABI version that has it.
    pub since: Version,
    pub params: &'static [ValType],
    pub results: &'static [ValType],
}

/// Why a host function did not do what it was asked for.
#[derive(Debug)]
pub enum Fault<Code> {
    /// A number for the guest.
    Code(Code),
    /// The guest cannot go on.
    Trap(Trap),
}

impl<Code> From<Trap> for Fault<Code> {
    fn from(trap: Trap) -> Self {
        Self::Trap(trap)
    }
}

impl From<Status> for Fault<Status> {
    fn from(status: Status) -> Self {
        Self::Code(status)
    }
}

impl From<OutOfBounds> for Fault<Status> {
    fn from(_: OutOfBounds) -> Self {
        Self::Code(Status::InvalidMemoryAccess)
    }
}

/// What the body of a host function gives.
pub(crate) type Answer<Code = Status> = Result<(), Fault<Code>>;

/// Runs a body and gives the number that the guest sees; 0 is success in Proxy-Wasm and in WASI.
#[inline]
pub(crate) fn to_abi<Code: Into<u32>>(body: impl FnOnce() -> Answer<Code>) -> Result<u32, Trap> {
    match body() {
        Ok(()) => Ok(0),
        Err(Fault::Code(code)) => Ok(code.into()),
        Err(Fault::Trap(trap)) => Err(trap),
    }
}

impl From<Status> for u32 {
    fn from(status: Status) -> Self {
        status as Self
    }
}

/// Declares host functions: a type for each, the function that gives them to a linker, and the rows of the table.
///
/// Between the arguments and the body stands what the function answers with: the type of its codes, whose body gives
/// an [`Answer`]; `()` for a function without a result, or `u32` for one whose result is a plain number, whose bodies
/// give a `Result` with a [`Trap`]. `= CODE` in place of both is a function that checks nothing and answers that.
macro_rules! hostcalls {
    ($( $(#[$doc:meta])* $since:ident fn $name:ident ($caller:ident $(, $arg:ident : $ty:ty)*) $kind:tt $body:tt ; )*) => {
        $(
            $(#[$doc])*
            #[allow(non_camel_case_types, reason = "the type is named after the function that guests import")]
            pub struct $name;

            impl<H: $crate::proxy_wasm::host::Host> ::engines::HostFunction<$crate::proxy_wasm::state::State<H>> for $name {
                const NAME: &'static str = stringify!($name);
                type Args = ($($ty,)*);
                type Ret = $crate::proxy_wasm::hostcalls::hostcalls!(@ret $kind);

                #[inline]
                fn call(
                    $caller: &mut impl ::engines::Caller<$crate::proxy_wasm::state::State<H>>,
                    ($($arg,)*): Self::Args,
                ) -> Result<Self::Ret, ::engines::Trap> {
                    $crate::proxy_wasm::hostcalls::hostcalls!(@body $kind ($caller $($arg)*) $body)
                }
            }
        )*

        /// Gives these functions to a linker.
        pub(crate) fn define<H: $crate::proxy_wasm::host::Host>(
            linker: &mut impl ::engines::Linker<$crate::proxy_wasm::state::State<H>>,
            module: &'static str,
        ) {
            $( linker.define::<$name>(module); )*
        }

        /// The rows of these functions.
        pub(crate) const TABLE: &[$crate::proxy_wasm::hostcalls::HostcallInfo] = &[
            $( $crate::proxy_wasm::hostcalls::HostcallInfo {
                name: stringify!($name),
                implemented: $crate::proxy_wasm::hostcalls::hostcalls!(@implemented $kind),
                since: $crate::proxy_wasm::abi::Version::$since,
                params: <($($ty,)*) as ::engines::Args>::TYPES,
                results: <$crate::proxy_wasm::hostcalls::hostcalls!(@ret $kind) as ::engines::Ret>::TYPES,
            }, )*
        ];
    };
    (@ret ()) => { () };
    (@ret $kind:tt) => { u32 };
    (@implemented =) => { false };
    (@implemented $kind:tt) => { true };
    (@body = ($caller:ident $($arg:ident)*) $status:ident) => {{
        let _ = ($caller, $($arg),*);
        Ok(u32::from($status))
    }};
    (@body () ($caller:ident $($arg:ident)*) $body:tt) => { $body };
    (@body u32 ($caller:ident $($arg:ident)*) $body:tt) => { $body };
    (@body $code:ident ($caller:ident $($arg:ident)*) $body:tt) => {
        $crate::proxy_wasm::hostcalls::to_abi(|| -> $crate::proxy_wasm::hostcalls::Answer<$code> $body)
    };
}
pub(crate) use hostcalls;

/// Gives every host function to a linker.
pub(super) fn define<H: Host>(linker: &mut impl Linker<State<H>>) {
    log::define(linker, MODULE);
    context::define(linker, MODULE);
    maps::define(linker, MODULE);
    buffers::define(linker, MODULE);
    properties::define(linker, MODULE);
    stream::define(linker, MODULE);
    dispatch::define(linker, MODULE);
    shared::define(linker, MODULE);
    metrics::define(linker, MODULE);
    timers::define(linker, MODULE);
    foreign::define(linker, MODULE);
    runtime::define(linker, MODULE);
}

/// Every host function of the Proxy-Wasm ABI.
pub fn table() -> impl Iterator<Item = HostcallInfo> {
    let families = [
        log::TABLE,
        context::TABLE,
        maps::TABLE,
        buffers::TABLE,
        properties::TABLE,
        stream::TABLE,
        dispatch::TABLE,
        shared::TABLE,
        metrics::TABLE,
        timers::TABLE,
        foreign::TABLE,
        runtime::TABLE,
    ];
    families.into_iter().flatten().copied()
}

/// Where a guest wants a result: the address of its pointer and that of its size.
#[derive(Clone, Copy, Debug)]
struct Out {
    data: u32,
    size: u32,
}

impl Out {
    /// Both places, checked.
    fn new(memory: &[u8], data: u32, size: u32) -> Result<Self, OutOfBounds> {
        memory::check(memory, data, 4)?;
        memory::check(memory, size, 4)?;
        Ok(Self { data, size })
    }

    /// Gives the guest `len` bytes of its own, which `fill` writes. Pointer and size are 0 when there are none.
    fn give<H: Host>(
        self,
        caller: &mut impl Caller<State<H>>,
        len: usize,
        fill: impl FnOnce(&mut [u8], &mut State<H>) -> Answer,
    ) -> Answer {
        let size = u32::try_from(len).map_err(|_| Status::InternalFailure)?;
        let address = if size == 0 { 0 } else { caller.alloc(size)? };
        let (memory, state) = caller.split();
        if size != 0 {
            if address == 0 {
                return Err(Status::InvalidMemoryAccess.into());
            }
            fill(memory::bytes_mut(memory, address, size)?, state)?;
        }
        memory::write_u32(memory, self.data, address)?;
        memory::write_u32(memory, self.size, size)?;
        Ok(())
    }

    /// Gives the guest a value out of the scratch buffer, and the buffer back.
    fn give_scratch<H: Host>(self, caller: &mut impl Caller<State<H>>, value: Vec<u8>) -> Answer {
        let answer = self.give(caller, value.len(), |room, _| {
            room.copy_from_slice(&value);
            Ok(())
        });
        caller.data().give_scratch(value);
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The functions of spec v0.2.1, and those that only v0.1.0 has.
    const SPEC: &str = "proxy_done proxy_set_effective_context proxy_log proxy_get_log_level
        proxy_get_current_time_nanoseconds proxy_set_tick_period_milliseconds proxy_set_buffer_bytes
        proxy_get_buffer_bytes proxy_get_buffer_status proxy_get_header_map_size proxy_get_header_map_pairs
        proxy_set_header_map_pairs proxy_get_header_map_value proxy_add_header_map_value
        proxy_replace_header_map_value proxy_remove_header_map_value proxy_continue_stream proxy_close_stream
        proxy_get_status proxy_send_local_response proxy_http_call proxy_grpc_call proxy_grpc_stream proxy_grpc_send
        proxy_grpc_cancel proxy_grpc_close proxy_set_shared_data proxy_get_shared_data proxy_register_shared_queue
        proxy_resolve_shared_queue proxy_enqueue_shared_queue proxy_dequeue_shared_queue proxy_define_metric
        proxy_record_metric proxy_increment_metric proxy_get_metric proxy_get_property proxy_set_property
        proxy_call_foreign_function
        proxy_get_configuration proxy_continue_request proxy_continue_response proxy_clear_route_cache";

    /// The callbacks of spec v0.2.1 and what guests may export beside them.
    const CALLBACKS: &str = "_initialize main _start malloc proxy_on_memory_allocate proxy_on_context_create
        proxy_on_done proxy_on_log proxy_on_delete proxy_on_vm_start proxy_on_configure proxy_on_tick
        proxy_on_new_connection proxy_on_downstream_data proxy_on_downstream_connection_close proxy_on_upstream_data
        proxy_on_upstream_connection_close proxy_on_request_headers proxy_on_request_body proxy_on_request_trailers
        proxy_on_response_headers proxy_on_response_body proxy_on_response_trailers proxy_on_http_call_response
        proxy_on_grpc_receive_initial_metadata proxy_on_grpc_receive proxy_on_grpc_receive_trailing_metadata
        proxy_on_grpc_close proxy_on_queue_ready proxy_on_foreign_function";

    #[test]
    fn each_function_and_callback_has_its_row_in_features() {
        let features = include_str!("../../features.md");
        let names = table()
            .chain(crate::wasi::table())
            .chain(crate::raw::table())
            .map(|row| row.name)
            .chain(CALLBACKS.split_whitespace());
        let rows = || features.lines().filter(|line| line.starts_with('|'));
        let first_cell = |row: &'static str| row.split('|').nth(1).unwrap_or_default();
        let missing: Vec<_> =
            names.filter(|name| !rows().any(|row| first_cell(row).contains(&format!("`{name}`")))).collect();
        assert!(missing.is_empty(), "features.md has no row for {missing:?}");
    }

    #[test]
    fn the_table_is_the_specification() {
        let ours: BTreeSet<_> = table().map(|row| row.name).filter(|name| name.starts_with("proxy_")).collect();
        assert_eq!(ours, SPEC.split_whitespace().collect());
        assert_eq!(table().count(), table().map(|row| row.name).collect::<BTreeSet<_>>().len(), "each name once");
    }
}
