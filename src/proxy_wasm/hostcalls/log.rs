//! Logging (spec v0.2.1, "Logging").

use super::hostcalls;
use crate::proxy_wasm::abi::{LogLevel, Status};
use crate::proxy_wasm::memory;

hostcalls! {
    /// Writes a line to the log of the effective context.
    V0_1_0 fn proxy_log(caller, level: u32, message_data: u32, message_size: u32) Status {
        let (memory, state) = caller.split();
        let level = LogLevel::from_abi(level).ok_or(Status::BadArgument)?;
        state.log(level, memory::bytes(memory, message_data, message_size)?);
        Ok(())
    };

    /// The least severe level that is written at all.
    V0_2_1 fn proxy_get_log_level(caller, return_log_level: u32) Status {
        let (memory, state) = caller.split();
        let level = state.host.log_level(state.stream().as_ref());
        Ok(memory::write_u32(memory, return_log_level, level as u32)?)
    };
}
