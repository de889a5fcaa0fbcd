//! Clock and ticks (spec v0.2.1, "Clocks" and "Timers").

use std::time::Duration;

use super::hostcalls;
use crate::proxy_wasm::abi::Status;
use crate::proxy_wasm::memory;
use crate::proxy_wasm::vm::VmKind;
use crate::wasi::realtime;

hostcalls! {
    /// The time of day, in nanoseconds since 1970.
    V0_1_0 fn proxy_get_current_time_nanoseconds(caller, return_time: u32) Status {
        let (memory, _) = caller.split();
        Ok(memory::write_u64(memory, return_time, realtime())?)
    };

    /// Arms the tick of the effective context's root anew; 0 stops it. In an instance made for one request it does
    /// nothing.
    V0_1_0 fn proxy_set_tick_period_milliseconds(caller, period: u32) Status {
        let state = caller.data();
        let root = state.effective().ok_or(Status::BadArgument)?.root;
        if state.kind == VmKind::Root {
            let period = (period != 0).then(|| Duration::from_millis(u64::from(period)));
            state.host.set_tick_period(root, period);
        }
        Ok(())
    };
}
