//! Contexts and configuration (spec v0.2.1, "Context lifecycle"; v0.1.0, "Configuration").

use super::{Out, hostcalls};
use crate::proxy_wasm::abi::Status;

hostcalls! {
    /// Makes another context the effective one until the running callback returns.
    V0_1_0 fn proxy_set_effective_context(caller, context: u32) Status {
        Ok(caller.data().set_effective(context)?)
    };

    /// Ends the wait that `proxy_on_done` began by answering false. `on_log` and `on_delete` follow when the running
    /// callback has returned.
    V0_1_0 fn proxy_done(caller) Status {
        Ok(caller.data().done()?)
    };

    /// The plugin's configuration while a root is created and configured, the VM's otherwise. ABI 0.1.0 only; later
    /// ones have buffers for both.
    V0_1_0 fn proxy_get_configuration(caller, return_data: u32, return_size: u32) Status {
        let (memory, state) = caller.split();
        let out = Out::new(memory, return_data, return_size)?;
        let mut value = state.take_scratch();
        match state.filter() {
            Some(filter) if state.configuring => value.extend_from_slice(&filter.config),
            _ => value.extend_from_slice(&state.config.config),
        }
        out.give_scratch(caller, value)
    };
}
