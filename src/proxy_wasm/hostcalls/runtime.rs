//! What the runtimes of toolchains import beside the ABI: AssemblyScript's `abort`, emscripten's notices.

use engines::Trap;

use super::hostcalls;
use crate::proxy_wasm::abi::LogLevel;
use crate::proxy_wasm::memory;

/// The most bytes of a message that are read for the log.
const MAX_TEXT: u32 = 4096;

/// A string of AssemblyScript: UTF-16, its length in bytes in the word before it. Whatever is no string is empty.
fn utf16(memory: &[u8], address: u32) -> String {
    let text = address
        .checked_sub(4)
        .and_then(|header| memory::read_u32(memory, header).ok())
        .and_then(|size| memory::bytes(memory, address, size.min(MAX_TEXT)).ok());
    let (units, _) = text.filter(|_| address != 0).unwrap_or_default().as_chunks::<2>();
    char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

hostcalls! {
    /// Ends an AssemblyScript guest that has given up: its message goes to the log, the instance is over.
    V0_1_0 fn abort(caller, message: u32, file: u32, line: u32, column: u32) () {
        let (memory, state) = caller.split();
        let text = format!("abort: {} at {}:{line}:{column}", utf16(memory, message), utf16(memory, file));
        state.log(LogLevel::Error, text.as_bytes());
        Err(Trap::host(text))
    };

    /// Tells that the guest's memory has grown. Memory is looked at anew for each call: nothing is to be done.
    V0_1_0 fn emscripten_notify_memory_growth(caller, memory: u32) () {
        let _ = (caller, memory);
        Ok(())
    };

    /// Compares two threads, of which there is one. Filters of older emscripten versions import it.
    V0_1_0 fn pthread_equal(caller, left: u32, right: u32) u32 {
        let _ = caller;
        Ok(u32::from(left == right))
    };
}
