//! Foreign functions (spec v0.2.1, "Foreign function interface").

use super::{Answer, Out, hostcalls};
use crate::proxy_wasm::abi::{LogLevel, Status};
use crate::proxy_wasm::foreign::{self, Call};
use crate::proxy_wasm::host::Host;
use crate::proxy_wasm::memory;
use crate::proxy_wasm::state::State;

fn call<H: Host>(state: &mut State<H>, name: &[u8], arguments: &[u8], result: &mut Vec<u8>) -> Result<(), Status> {
    let function = foreign::find::<H>(name).ok_or(Status::NotFound)?;
    let (context, stream) = state.effective().map_or((0, None), |scope| (scope.context, scope.stream));
    let answer = function.call(&mut state.host, Call { arguments, result, context, stream });
    if answer == Err(Status::InternalFailure) {
        let line = format!("the foreign function \"{}\" is refused: its input or output is too large", function.name());
        state.log(LogLevel::Error, line.as_bytes());
    }
    answer
}

hostcalls! {
    /// Calls a function that the host registered by name. A guest that wants no result gives 0 for its places.
    V0_1_0 fn proxy_call_foreign_function(
        caller, name_data: u32, name_size: u32, arguments_data: u32, arguments_size: u32, return_data: u32,
        return_size: u32
    ) Status {
        let (memory, state) = caller.split();
        let wanted = return_data != 0 && return_size != 0;
        let out = if wanted { Some(Out::new(memory, return_data, return_size)?) } else { None };
        let name = memory::bytes(memory, name_data, name_size)?;
        let arguments = memory::bytes(memory, arguments_data, arguments_size)?;
        let mut result = state.take_scratch();
        let answer: Answer = call(state, name, arguments, &mut result).map_err(Into::into);
        match (answer, out) {
            (Ok(()), Some(out)) => out.give_scratch(caller, result),
            (answer, _) => {
                state.give_scratch(result);
                answer
            }
        }
    };
}
